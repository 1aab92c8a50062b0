"""The libraries that read and write `ais://`, each the real one, and the datasets (`make clients` installs them)."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from aisclient import Bucket, Client
from aisclient.namefile import NameFile
from aisclient.sampling import Epoch, done_after
from harness import sampling
from harness.wire import fresh_name

pytestmark = pytest.mark.filterwarnings("default")


@pytest.fixture(scope="module")
def client(cluster) -> Iterator[Client]:
    """At the shared cluster, which the environment names too: that is where options do not reach."""
    with pytest.MonkeyPatch.context() as patch, Client(cluster.endpoint) as client:
        patch.setenv("AIS_ENDPOINT", cluster.endpoint)
        yield client


@pytest.fixture
def bck(client: Client) -> Iterator[Bucket]:
    """A fresh bucket."""
    bucket = client.bucket(fresh_name("lib")).create()
    yield bucket
    bucket.delete()


@pytest.fixture
def options(cluster) -> dict[str, str]:
    """What libraries call storage options."""
    return {"endpoint": cluster.endpoint}


def test_a_million_names():
    """1,000,000 names, 8 ranks of 4 workers, stopped and resumed 20 times: each once, the same order for the seed."""
    assert sampling.run(1_000_000, seed=1) == sampling.run(1_000_000, seed=1)


def test_pandas(bck: Bucket, options):
    """CSV and Parquet, by storage options."""
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame({"a": range(1000), "b": [f"x{i}" for i in range(1000)]})
    frame.to_csv(f"ais://{bck.name}/dir/a.csv", index=False, storage_options=options)
    frame.to_parquet(f"ais://{bck.name}/dir/a.parquet", storage_options=options)
    assert pd.read_csv(f"ais://{bck.name}/dir/a.csv", storage_options=options).equals(frame)
    assert pd.read_parquet(f"ais://{bck.name}/dir/a.parquet", storage_options=options).equals(frame)


def test_dask(bck: Bucket, options):
    """Many Parquet files written and read by workers of their own."""
    dd, pd = pytest.importorskip("dask.dataframe"), pytest.importorskip("pandas")
    frame = pd.DataFrame({"a": range(10_000)})
    dd.from_pandas(frame, npartitions=4).to_parquet(f"ais://{bck.name}/t", storage_options=options)
    assert len([entry for entry in bck.list_objects_iter("t/") if entry.name.endswith(".parquet")]) == 4
    found = dd.read_parquet(f"ais://{bck.name}/t", storage_options=options)
    assert found.a.sum().compute(scheduler="processes") == frame.a.sum()


def test_duckdb(bck: Bucket, options):
    """SQL over a glob of Parquet files, and its result stored."""
    duckdb, fsspec = pytest.importorskip("duckdb"), pytest.importorskip("fsspec")
    database = duckdb.connect()
    database.register_filesystem(fsspec.filesystem("ais", **options))
    for part in range(3):
        database.sql(f"COPY (SELECT {part} AS part, range AS i FROM range(100)) TO 'ais://{bck.name}/p{part}.parquet'")
    found = database.sql(
        f"SELECT part, sum(i) FROM 'ais://{bck.name}/*.parquet' GROUP BY part ORDER BY part"
    ).fetchall()
    assert found == [(0, 4950), (1, 4950), (2, 4950)]


def test_zarr_and_xarray(bck: Bucket, options):
    """Chunked arrays written, a part of one read, and a labelled dataset."""
    zarr, xr, np = pytest.importorskip("zarr"), pytest.importorskip("xarray"), pytest.importorskip("numpy")
    data = np.arange(10_000).reshape(100, 100)
    url = f"ais://{bck.name}/array.zarr"
    array = zarr.create_array(url, shape=data.shape, chunks=(10, 100), dtype=data.dtype, storage_options=options)
    array[:] = data
    assert (zarr.open_array(url, mode="r", storage_options=options)[40:60] == data[40:60]).all()
    dataset = xr.Dataset({"t": (("x", "y"), data)})
    dataset.to_zarr(f"ais://{bck.name}/set.zarr", storage_options=options, consolidated=False)
    found = xr.open_zarr(f"ais://{bck.name}/set.zarr", storage_options=options, consolidated=False)
    assert found.equals(dataset)


def test_hugging_face_datasets(bck: Bucket, options, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A dataset saved, loaded, and streamed from JSON lines."""
    monkeypatch.setenv("HF_DATASETS_OFFLINE", "1")
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path))
    datasets = pytest.importorskip("datasets")
    made = datasets.Dataset.from_dict({"a": list(range(100))})
    made.save_to_disk(f"ais://{bck.name}/saved", storage_options=options)
    assert datasets.load_from_disk(f"ais://{bck.name}/saved", storage_options=options)["a"][:] == list(range(100))
    bck.object("lines.jsonl").put(b"".join(b'{"a": %d}\n' % i for i in range(50)))
    streamed = datasets.load_dataset(
        "json", data_files=f"ais://{bck.name}/lines.jsonl", streaming=True, split="train", storage_options=options
    )  # fmt: skip
    assert [row["a"] for row in streamed] == list(range(50))


def test_ray_data(bck: Bucket, options, monkeypatch: pytest.MonkeyPatch):
    """The recipe of docs/recipes.md: rows written by workers, read and reduced by others."""
    ray, fsspec = pytest.importorskip("ray"), pytest.importorskip("fsspec")
    pa_fs = pytest.importorskip("pyarrow.fs")
    files = pa_fs.PyFileSystem(pa_fs.FSSpecHandler(fsspec.filesystem("ais", **options)))
    monkeypatch.setenv("RAY_raylet_start_wait_time_s", "300")
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    try:
        ray.data.range(1000, override_num_blocks=4).write_parquet(f"{bck.name}/rows", filesystem=files)
        assert ray.data.read_parquet(f"{bck.name}/rows", filesystem=files).sum("id") == 499_500
    finally:
        ray.shutdown()


def _filled(bck: Bucket, count: int = 200) -> dict[str, bytes]:
    content = {f"dir/{i:04}": b"%d" % i * 10 for i in range(count)}
    for name, data in content.items():
        bck.object(name).put(data)
    return content


@pytest.mark.parametrize("workers", [0, 2])
def test_torch_datasets(bck: Bucket, workers: int):
    """Map, parallel, iterable and batch datasets give every object once, through workers too."""
    data = pytest.importorskip("torch.utils.data")
    from aisclient import torch as ours

    content = _filled(bck)
    halves = [(bck, "dir/00"), (bck, "dir/01")]
    for dataset in (ours.AISMapDataset(bck), ours.AISMapDataset(halves), ours.AISParallelMapDataset(bck),
                    ours.AISIterDataset(bck), ours.AISBatchIterDataset((bck, "dir/"))):  # fmt: skip
        loader = data.DataLoader(dataset, batch_size=16, num_workers=workers, collate_fn=list)
        found = [sample for batch in loader for sample in batch]
        assert {name: bytes(one) for name, one in found} == content, type(dataset)
        assert len(found) == len(content)


def test_torch_resumes(bck: Bucket):
    """Two loaders of different numbers of workers, the second from where the first stopped: each object once."""
    data = pytest.importorskip("torch.utils.data")
    from aisclient import torch as ours

    content = _filled(bck)
    names = NameFile.write(entry.name for entry in bck.list_objects_iter())
    epoch = Epoch(len(names), seed=1, fingerprint=names.fingerprint)
    loader = data.DataLoader(ours.ResumableDataset(bck, names, epoch), batch_size=8, num_workers=3, collate_fn=list)
    seen, batches = [], 0
    for batch in loader:
        seen += [name for name, _ in batch]
        if (batches := batches + 1) == 10:
            break
    rest = epoch.after(done_after(batches, 3, 8))
    loader = data.DataLoader(ours.ResumableDataset(bck, names, rest), batch_size=8, num_workers=2, collate_fn=list)
    seen += [name for batch in loader for name, _ in batch]
    assert sorted(seen) == sorted(content)
    dataset = ours.ResumableDataset(bck, names, epoch)
    samples = iter(dataset)
    first = [next(samples) for _ in range(70)]
    again = ours.ResumableDataset(bck, names, epoch)
    again.load_state_dict(dataset.state_dict())
    assert dict(first) | dict(again) == content
    assert len(list(ours.ResumableDataset(bck, names, Epoch.resume([dataset.state()])))) == 130


def test_shards_and_webdataset(bck: Bucket, options):
    """The same samples of tar shards by the shard reader and by WebDataset, which wrote them."""
    wds, fsspec = pytest.importorskip("webdataset"), pytest.importorskip("fsspec")
    pytest.importorskip("torch")
    from aisclient import torch as ours

    for shard in range(3):
        with fsspec.open(f"ais://{bck.name}/s{shard}.tar", "wb", **options) as file, wds.TarWriter(file) as tar:
            for i in range(10):
                tar.write({"__key__": f"{shard}/{i}", "txt": f"text {i}", "cls": i})
    found = dict(ours.AISShardReader(bck))
    assert len(found) == 30
    assert found["1/4"] == {"txt": b"text 4", "cls": b"4"}
    wds.gopen_schemes["ais"] = lambda url, mode="rb", *_, **__: (
        bck.client.get_object_from_url(url).get_reader().as_file()
    )
    urls = [f"ais://{bck.name}/{entry.name}" for entry in bck.list_objects_iter()]
    theirs = {sample["__key__"]: sample["txt"] for sample in wds.WebDataset(urls, shardshuffle=False)}
    assert theirs == {key: sample["txt"] for key, sample in found.items()}


def test_spark(bck: Bucket, cluster):
    """The recipe of docs/recipes.md, as it is printed there: Spark over S3A writes rows and counts them."""
    pytest.importorskip("pyspark")
    found = _run_recipe("Spark", cluster.endpoint, {"s3a://data": f"s3a://{bck.name}"})
    assert found.split()[-1] == "1000"


def _run_recipe(name: str, endpoint: str, replaced: dict[str, str]) -> str:
    text = (Path(__file__).parents[2] / "docs" / "recipes.md").read_text()
    code = text.partition(f"## {name}\n")[2].partition("```python\n")[2].partition("```")[0]
    assert code, f"no recipe for {name}"
    for old, new in {"http://127.0.0.1:8080": endpoint, **replaced}.items():
        assert old in code
        code = code.replace(old, new)
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=600, check=False)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


@pytest.mark.parametrize("recipe", ["jax", "tensorflow"])
def test_recipes(bck: Bucket, recipe: str, client: Client):
    """The recipe of docs/recipes.md for this framework runs as it is printed there, in a process of its own."""
    pytest.importorskip(recipe)
    content = _filled(bck)
    found = _run_recipe(recipe, client.settings.endpoint, {'"data"': f'"{bck.name}"'})
    assert f"{sum(map(len, content.values()))} bytes of {len(content)}" in found
