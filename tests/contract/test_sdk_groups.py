"""Groups of objects with the published SDK: `ObjectGroup`, `Bucket.copy` and `Job`, and what they refuse."""

import json
from collections.abc import Callable, Iterator

import pytest
from aistore.sdk import Bucket, Client
from aistore.sdk.errors import AISError, InvalidBckProvider
from aistore.sdk.multiobj import ObjectRange
from harness.wire import Api, fresh_name

NAMES = [f"d/o-{number:03d}.jpg" for number in range(40)]


@pytest.fixture
def full(bck: Bucket) -> Bucket:
    """A bucket with objects in a directory, and one beside it."""
    for name in (*NAMES, "top.txt"):
        bck.object(name).get_writer().put_content(name.encode())
    return bck


@pytest.fixture
def to(client: Client) -> Iterator[Bucket]:
    """A bucket that does not exist yet."""
    bucket = client.bucket(fresh_name("to"))
    yield bucket
    bucket.delete(missing_ok=True)


def names(bucket: Bucket) -> list[str]:
    """What is in a bucket."""
    return sorted(entry.name for entry in bucket.list_all_objects())


@pytest.fixture
def wait(client: Client) -> Callable[..., None]:
    """Wait for the end of a job, or of several."""

    def until_ended(*jobs: str) -> None:
        for job in jobs:
            assert client.job(job).wait(timeout=60).success

    return until_ended


def test_copy_a_bucket(full: Bucket, to: Bucket, wait: Callable[..., None]) -> None:
    """All or a prefix goes to a bucket that is made on the fly, under new names; contents and properties come along."""
    wait(full.copy(to, prefix_filter="d/", prepend="new/", ext={"jpg": "png"}))
    copies = [f"new/{name.removesuffix('jpg')}png" for name in NAMES]
    assert names(to) == copies
    assert to.object(copies[7]).get_reader().read_all() == NAMES[7].encode()
    wait(full.copy(to))
    assert names(to) == sorted([*copies, *NAMES, "top.txt"])


def test_a_dry_run_copies_nothing(client: Client, full: Bucket, to: Bucket, wait: Callable[..., None]) -> None:
    """The statistics of a dry run say what would have been copied; not even the bucket is made."""
    job = full.copy(to, dry_run=True)
    wait(job)
    snapshots = client.job(job).get_details().list_snapshots()
    assert sum(snapshot.stats.objects for snapshot in snapshots) == len(NAMES) + 1
    assert sum(snapshot.stats.bytes for snapshot in snapshots) == sum(map(len, [*NAMES, "top.txt"]))
    with pytest.raises(AISError):
        to.head()


def test_synchronize_removes_what_the_source_has_not(full: Bucket, to: Bucket, wait: Callable[..., None]) -> None:
    """After a synchronized copy the destination has what the source has, and nothing else."""
    to.create()
    to.object("d/old").get_writer().put_content(b"old")
    to.object("kept").get_writer().put_content(b"outside of the prefix")
    wait(full.copy(to, prefix_filter="d/", sync=True))
    assert names(to) == sorted([*NAMES, "kept"])


def test_copy_groups(full: Bucket, to: Bucket, wait: Callable[..., None]) -> None:
    """Objects by list, by range and by template are copied, also under new names into their own bucket."""
    wait(*full.objects(obj_names=NAMES[:3]).copy(to, num_workers=2))
    chosen = ObjectRange(prefix="d/o-", min_index=10, max_index=14, pad_width=3, step=2, suffix=".jpg")
    wait(*full.objects(obj_range=chosen).copy(to))
    wait(*full.objects(obj_template="d/o-{020..021}.jpg").copy(to, prepend="x/"))
    assert names(to) == sorted([*NAMES[:3], *NAMES[10:15:2], *(f"x/{name}" for name in NAMES[20:22])])
    wait(*full.objects(obj_names=["top.txt"]).copy(full, prepend="again/"))
    assert "again/top.txt" in names(full)


def test_delete_groups(full: Bucket, wait: Callable[..., None]) -> None:
    """Objects by list, by range, by prefix and all of them are deleted; a range may have gaps."""
    wait(full.objects(obj_names=NAMES[:2]).delete())
    wait(full.objects(obj_template="d/o-{000..009}.jpg").delete())
    assert names(full) == [*NAMES[10:], "top.txt"]
    wait(full.objects(obj_template="d/").delete())
    assert names(full) == ["top.txt"]


def test_a_named_object_that_is_missing(client: Client, api: Api, full: Bucket) -> None:
    """It is reported, and everything else that was named is deleted all the same."""
    job = full.objects(obj_names=[*NAMES[:5], "nosuch"]).delete()
    assert not client.job(job).wait(timeout=60).success
    found = api.call("GET", "/v1/cluster", {"what": "qryxstats"}, body=json.dumps({"id": job}).encode()).json()
    errors = [snap["err"] for snaps in found.values() for snap in snaps if snap["err"]]
    assert len(errors) == 1
    assert "nosuch does not exist" in errors[0]
    assert names(full) == [*NAMES[5:], "top.txt"]


def test_prefetch_and_evict_need_a_remote_bucket(api: Api, full: Bucket) -> None:
    """Both are refused for a bucket without a backend, by the SDK and by the cluster, and nothing is lost."""
    group, value = full.objects(obj_names=NAMES), {"objnames": NAMES}
    asks = ((group.evict, "DELETE", "evict-listrange"), (group.prefetch, "POST", "prefetch-listrange"))
    for ask, verb, action in asks:
        with pytest.raises(InvalidBckProvider):
            ask()
        answer = api.act(verb, f"/v1/buckets/{full.name}", action, value=value)
        assert (answer.status, answer.error["tcode"]) == (400, "ErrNotRemoteBck")
    assert names(full) == [*NAMES, "top.txt"]


@pytest.mark.parametrize(
    ("action", "value", "query", "status"),
    [
        ("copy-bck", {}, {}, 400),
        ("copy-bck", {}, {"bck_to": "ais/@#/{bucket}/"}, 400),
        ("copy-bck", {"nosuch": 1}, {"bck_to": "ais/@#/x1/"}, 400),
        ("copy-bck", {"synchronize": True, "prepend": "a"}, {"bck_to": "ais/@#/x1/"}, 400),
        ("copy-bck", {"prepend": "../"}, {"bck_to": "ais/@#/x1/"}, 400),
        ("copy-bck", {"id": "etl"}, {"bck_to": "ais/@#/x1/"}, 501),
        ("copy-bck", {}, {"bck_to": "aws/@#/x1/"}, 404),
        ("copy-listrange", {"objnames": ["o"]}, {}, 400),
        ("copy-listrange", {"objnames": ["o"], "tobck": {"name": "{bucket}"}}, {}, 400),
        ("copy-listrange", {"template": "o", "prepend": "o1/", "tobck": {"name": "{bucket}"}}, {}, 400),
        ("copy-listrange", {"template": "o-{9..1}", "tobck": {"name": "x1"}}, {}, 400),
    ],
    ids=lambda value: str(value)[:40],
)
def test_what_cannot_be_copied(api: Api, bucket: str, action: str, value: dict, query: dict, status: int) -> None:
    """It is refused before a bucket is made or a job starts."""

    def fill(given: object) -> object:
        if isinstance(given, dict):
            return {key: fill(item) for key, item in given.items()}
        return given.replace("{bucket}", bucket) if isinstance(given, str) else given

    answer = api.act("POST", f"/v1/buckets/{bucket}", action, value=fill(value), query=fill(query))
    assert answer.status == status, answer
    assert "x1" not in api.call("GET", "/v1/buckets").body.decode()


@pytest.mark.parametrize(
    "value",
    [{"objnames": ["a/../b"]}, {"objnames": ["a"], "template": "b"}, {"template": "o-{9..1}"}, {"template": "{"}],
    ids=str,
)
def test_what_cannot_be_deleted(api: Api, bucket: str, value: dict) -> None:
    """A name or template that is none is refused, and everything stays."""
    assert api.put(bucket, "a", b"x").status == 200
    assert api.act("DELETE", f"/v1/buckets/{bucket}", "delete-listrange", value=value).status == 400
    assert api.names(bucket) == ["a"]
