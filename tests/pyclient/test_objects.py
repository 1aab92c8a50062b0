"""Objects through the blocking client."""

import io
import multiprocessing
import pickle
import random
import weakref

import pytest
from aisclient import Bucket, Client, ErrBckAlreadyExists, ErrBckNotFound, ErrObjNotFound
from aisclient.errors import ChecksumMismatch, RangeNotSatisfiable
from aisclient.transport import Transport
from harness.wire import Api, fresh_name

CONTENT = random.Random(1).randbytes(3_000_000)


@pytest.mark.parametrize("name", ["a", "dir/b", "ä b+c%?#&=", "x" * 300, "d/" * 100 + "e", "日本/語"])
def test_names_of_all_kinds(bck: Bucket, name: str):
    """What is put under a name is read, described, listed and deleted under it."""
    stored = bck.object(name).put(b"content", custom_metadata={"k": "v"})
    assert (stored.checksum_type, stored.obj_version) == ("xxhash2", "1")
    assert bck.object(name).get() == b"content"
    assert bck.object(name).head().custom_metadata == {"k": "v"}
    assert [(entry.name, entry.size) for entry in bck.list_objects_iter(props="name,size")] == [(name, 7)]
    bck.object(name).delete()
    assert not bck.object(name).exists()


def test_errors_by_class(client: Client, bck: Bucket):
    """Each refusal is an error of its own class, which is also what Python's own code expects."""
    with pytest.raises(ErrObjNotFound, match="nosuch"):
        bck.object("nosuch").get()
    with pytest.raises(FileNotFoundError):
        bck.object("nosuch").delete()
    bck.object("nosuch").delete(missing_ok=True)
    missing = client.bucket(fresh_name())
    for call in (missing.head, missing.delete, missing.object("a").get, missing.object("a").head):
        with pytest.raises(ErrBckNotFound):
            call()
    with pytest.raises(ErrBckNotFound):
        missing.object("a").put(b"x")
    with pytest.raises(ErrBckAlreadyExists):
        bck.create()
    bck.create(exist_ok=True)
    bck.object("short").put(b"abc")
    with pytest.raises(RangeNotSatisfiable):
        bck.object("short").get("bytes=5-9")


@pytest.mark.parametrize("size", [0, 1, 4096, 65_536, 3_000_000])
def test_content_of_all_kinds(bck: Bucket, tmp_path, size: int):
    """Bytes, files, pieces of known and unknown length arrive whole, and each way to read gives them."""
    data = CONTENT[:size]
    path = tmp_path / "source"
    path.write_bytes(data)
    pieces = [data[start : start + 1000] for start in range(0, size, 1000)]
    bck.object("bytes").put(data)
    bck.object("file").put(io.BytesIO(data))
    bck.object("path").put_file(path)
    bck.object("parts").put_file(path, part_bytes=1_000_000)
    bck.object("known").put(iter(pieces), size=size)
    bck.object("unknown").put(iter(pieces))
    for name in ("bytes", "file", "path", "parts", "known", "unknown"):
        obj = bck.object(name)
        assert obj.get() == data, name
        assert obj.head().size == size
    obj = bck.object("bytes")
    buffer = bytearray(size + 10)
    assert obj.read_into(buffer) == size
    assert obj.read_into(buffer, size + 5) == 0
    assert buffer[:size] == data
    assert b"".join(obj.get_reader(chunk_size=5000)) == data
    assert obj.get_reader().as_file().read() == data
    assert obj._object.url == obj.url
    assert obj.get_reader(num_workers=3).read_all() == data
    obj.download(tmp_path / "goal", part_bytes=700_000)
    assert (tmp_path / "goal").read_bytes() == data
    assert sorted(one.name for one in tmp_path.iterdir()) == ["goal", "source"]


def test_progress(bck: Bucket, tmp_path):
    """Progress goes up to the size, whether one request carries the content or many do."""
    path = tmp_path / "source"
    path.write_bytes(CONTENT)
    seen: list[tuple[int, int | None]] = []
    bck.object("a").put(CONTENT, on_progress=lambda *now: seen.append(now))
    assert seen[-1] == (len(CONTENT), len(CONTENT))
    for call in (
        lambda told: bck.object("b").put_file(path, part_bytes=500_000, on_progress=told),
        lambda told: bck.object("b").download(tmp_path / "goal", part_bytes=500_000, on_progress=told),
    ):
        seen.clear()
        call(lambda *now: seen.append(now))
        assert seen[-1] == (len(CONTENT), len(CONTENT))
        assert len(seen) >= 6


def test_damage_is_refused(cluster, bck: Bucket, tmp_path):
    """An object whose bytes changed on disk, or content that is not what was announced, raises."""
    bck.object("a").put(CONTENT)
    files = [path for target in cluster.targets for mp in target.mountpaths for path in mp.rglob("a") if path.is_file()]
    assert len(files) == 1
    with files[0].open("r+b") as file:
        file.seek(2_000_000)
        file.write(b"damage")
    obj = bck.object("a")
    for read in (obj.get, lambda: obj.read_into(bytearray(len(CONTENT))), lambda: list(obj.get_reader()),
                 obj.get_reader(num_workers=2).read_all, lambda: obj.download(tmp_path / "goal")):  # fmt: skip
        with pytest.raises(ChecksumMismatch):
            read()
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ValueError, match="announced"):
        bck.object("b").put(iter([b"abc"]), size=5)
    with pytest.raises(ValueError, match="announced"):
        bck.object("b").put(iter([b"abcabc"]), size=5)
    assert not bck.object("b").exists()


def test_multipart(bck: Bucket):
    """Parts in any order become the object at the end, not before; after an abort there is nothing."""
    upload = bck.object("a").multipart_upload().create()
    upload.put(2, b"two")
    upload.put(1, b"one")
    assert not bck.object("a").exists()
    upload.complete()
    assert bck.object("a").get() == b"onetwo"
    upload = bck.object("b").multipart_upload().create()
    upload.put(1, b"one")
    upload.abort()
    assert [entry.name for entry in bck.list_objects_iter()] == ["a"]


def test_copy_rename_append_and_custom(client: Client, bck: Bucket, api: Api):
    """What else the SDK does with one object: copies, names, appended content, metadata."""
    bck.object("a").put(b"content")
    bck.object("a").copy(bck.object("dir/b+c"))
    bck.object("dir/b+c").rename("c")
    writer = bck.object("c").get_writer()
    handle = writer.append_content(b" and more")
    writer.append_content(b"", writer.append_content(b"!", handle), flush=True)
    writer.set_custom_props({"k": "v"})
    assert bck.object("c").get() == b"content and more!"
    assert bck.object("c").head().custom_metadata == {"k": "v"}
    assert client.get_object_from_url(f"ais://{bck.name}/c").get() == b"content and more!"


def test_listing_by_pages(bck: Bucket):
    """A listing over many pages has every name once, in order, also from the middle, below a prefix, and flat."""
    names = sorted(f"d{i % 3}/o{i:03}" for i in range(100))
    for name in names:
        bck.object(name).put(name.encode())
    assert [entry.name for entry in bck.list_objects_iter(page_size=7)] == names
    assert [entry.name for entry in bck.list_objects_iter("d1/", page_size=7)] == [n for n in names if n[:3] == "d1/"]
    assert [entry.name for entry in bck.list_objects_iter(start_after=names[40])] == names[41:]
    flat = list(bck.list_objects_iter(flags=1 << 11))
    assert [entry.name.rstrip("/") for entry in flat] == ["d0", "d1", "d2"]
    assert all(entry.is_dir for entry in flat)


def test_reads_go_straight_to_the_owner(client: Client, bck: Bucket, monkeypatch: pytest.MonkeyPatch):
    """A read of what is there asks no gateway: one request, to a target."""
    for i in range(20):
        bck.object(f"o{i}").put(b"x")
    asked = []
    exchange = Transport._exchange

    async def spy(self, origin, *rest, **more):
        asked.append(origin)
        return await exchange(self, origin, *rest, **more)

    monkeypatch.setattr(Transport, "_exchange", spy)
    for i in range(20):
        assert bck.object(f"o{i}").get() == b"x"
    targets = {node.url for node in client.cluster_map().targets.values()}
    asked.pop()
    assert len(asked) == 20
    assert set(asked) <= targets
    assert len(set(asked)) > 1


def test_travels_to_other_processes(bck: Bucket):
    """Clients, buckets and objects can be pickled, as data loaders and schedulers do."""
    bck.object("a").put(b"x")
    for one in (bck.client, bck, bck.object("a")):
        copied = pickle.loads(pickle.dumps(one))
        assert type(copied) is type(one)
    assert copied.get() == b"x"


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_forgotten_clients_and_forks(cluster, bck: Bucket):
    """A client nobody holds closes its connections; a forked child does not use those of its parent."""
    bck.object("a").put(b"x")
    client = Client(cluster.endpoint)
    pool = weakref.ref(client._client._transport.pool)
    assert client.bucket(bck.name).object("a").get() == b"x"
    used = [connection.wire._socket for idle in pool()._idle.values() for connection in idle]
    assert used
    del client
    assert pool() is None
    assert all(one.fileno() == -1 for one in used)
    here = bck.client._client._transport.pool
    assert any(here._idle.values())
    process = multiprocessing.get_context("fork").Process(target=_read_elsewhere, args=(bck,))
    process.start()
    process.join()
    assert process.exitcode == 0
    assert bck.object("a").get() == b"x"


def _read_elsewhere(bck: Bucket) -> None:
    assert not any(bck.client._client._transport.pool._idle.values())
    assert bck.object("a").get() == b"x"
