"""Files on the targets' disks made objects: by the SDK, by hand and by the command line, and what may not be."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ais_cli.main import cli
from aistore.sdk import Client
from click.testing import CliRunner
from harness.nodes import eventually
from harness.wire import Answer, Api, object_path

from ais.testing import Cluster

END_S = 60.0


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("promote")


@pytest.fixture(scope="module")
def promoting(root: Path) -> Iterator[Cluster]:
    """A cluster whose targets may promote what is below `root`."""
    with Cluster(proxies=1, targets=2, mountpaths=2, local={"promote_roots": [str(root)]}) as running:
        yield running


@pytest.fixture(scope="module")
def api(promoting: Cluster) -> Api:
    return Api(promoting.endpoint)


@pytest.fixture
def tree(root: Path, request: pytest.FixtureRequest) -> Path:
    """Files in two directories, of this test alone."""
    top = root / request.node.name
    (top / "sub").mkdir(parents=True)
    for number in range(20):
        (top / f"f{number:02}").write_bytes(f"file {number}".encode() * 1000)
    (top / "sub" / "g").write_bytes(b"below")
    return top


def promote(api: Api, bucket: str, path: Path | str, name: str = "", **value: Any) -> Answer:
    given = {"src": str(path), "obj": name, **value}
    return api.act("POST", f"/v1/objects/{bucket}", "promote", name=str(path), value=given)


def done(api: Api, answer: Answer) -> dict[str, Any]:
    """The status of the job when it has ended."""
    assert answer.status == 200, answer
    body = f'{{"id":"{answer.body.decode()}"}}'.encode()

    def status() -> dict[str, Any]:
        return api.call("GET", "/v1/cluster", {"what": "status"}, body=body).json()

    eventually(lambda: status()["end_time"], within_s=END_S)
    return status()


def content(api: Api, bucket: str, name: str) -> bytes:
    answer = api.call("GET", object_path(bucket, name))
    assert answer.status == 200, answer
    return answer.body


def test_by_the_sdk(promoting: Cluster, api: Api, bucket: str, tree: Path):
    """A file is an object when the call returns; a directory is a job, which keeps what was there."""
    client = Client(promoting.endpoint)
    assert client.bucket(bucket).object("one").promote(str(tree / "f00")) == ""
    assert content(api, bucket, "one") == b"file 0" * 1000
    uuid = client.bucket(bucket).object("pfx/").promote(str(tree), recursive=True)
    assert client.job(uuid).wait(timeout=60).success
    assert content(api, bucket, "pfx/sub/g") == b"below"
    assert all(content(api, bucket, f"pfx/f{n:02}") == f"file {n}".encode() * 1000 for n in range(20))
    assert len(api.names(bucket)) == 22
    (tree / "f00").write_bytes(b"changed")
    done(api, promote(api, bucket, tree, "pfx/"))
    assert content(api, bucket, "pfx/f00") == b"file 0" * 1000
    done(api, promote(api, bucket, tree, "pfx/", ovw=True))
    assert content(api, bucket, "pfx/f00") == b"changed"
    assert (tree / "sub" / "g").exists()


@pytest.mark.parametrize("is_shared", [True, False])
def test_deleting(promoting: Cluster, api: Api, bucket: str, tree: Path, is_shared: bool):
    """Sources go when they are objects, those that another target owns too; what was there keeps its file."""
    assert api.call("PUT", object_path(bucket, "f03"), body=b"mine").status == 200
    one_target = {} if is_shared else {"tid": promoting.targets[0].id}
    assert not done(api, promote(api, bucket, tree, rcr=True, dls=True, **one_target))["err"]
    assert content(api, bucket, "f03") == b"mine"
    assert content(api, bucket, "f19") == b"file 19" * 1000
    assert [path.name for path in tree.rglob("*") if path.is_file()] == ["f03"]


def test_links(api: Api, bucket: str, root: Path, tree: Path, tmp_path: Path):
    """Nothing outside is read through a link; the job names it and does the rest."""
    (tmp_path / "secret").write_bytes(b"secret")
    (tree / "link").symlink_to(tmp_path / "secret")
    os.mkfifo(tree / "pipe")
    status = done(api, promote(api, bucket, tree))
    assert "symbolic link" in status["err"] or "no regular file" in status["err"]
    assert len(api.names(bucket)) == 20
    (root / "out").symlink_to(tmp_path)
    for path in (root / "out" / "secret", tree / "link", root / "out"):
        answer = promote(api, bucket, path)
        assert answer.status == 400, answer
    assert len(api.names(bucket)) == 20


@pytest.mark.parametrize(
    ("path", "status", "tcode"),
    [
        ("relative", 400, "errInvalidPromoteSource"),
        ("/etc/hostname", 400, "errInvalidPromoteSource"),
        ("{root}/../x", 400, "errInvalidPromoteSource"),
        ("{root}x/y", 400, "errInvalidPromoteSource"),
        ("{root}/nosuch", 404, "PathError"),
    ],
)
def test_what_may_not_be(api: Api, bucket: str, root: Path, path: str, status: int, tcode: str):
    """Is refused before anything happens."""
    answer = promote(api, bucket, path.format(root=root), "p")
    assert (answer.status, answer.error.get("tcode")) == (status, tcode), answer
    assert api.names(bucket) == []


def test_wrong_requests(api: Api, bucket: str, tree: Path):
    """An empty directory, an unknown field, bucket, target or action."""
    (tree / "empty").mkdir()
    assert promote(api, bucket, tree / "empty").status == 400
    assert promote(api, bucket, tree, nonsense=1).status == 400
    assert promote(api, bucket, tree, tid="nosuch").status == 404
    assert promote(api, "nosuch", tree).status == 404
    assert api.act("POST", f"/v1/objects/{bucket}", "nosuch").status == 400


def test_the_command_line(
    promoting: Cluster, api: Api, bucket: str, tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """`ais object promote` waits when it is told to, and fails when the cluster refuses."""
    monkeypatch.setenv("AIS_ENDPOINT", promoting.endpoint)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    words = ["object", "promote", str(tree), f"ais://{bucket}/in/", "-r", "--wait"]
    result = CliRunner().invoke(cli, words, prog_name="ais")
    assert result.exit_code == 0, result.output
    assert content(api, bucket, "in/sub/g") == b"below"
    result = CliRunner().invoke(cli, ["object", "promote", "/etc", f"ais://{bucket}"], prog_name="ais")
    assert result.exit_code == 2, result.output
    assert "must be under" in result.output


def test_jobs_go_on(promoting: Cluster, api: Api, root: Path):
    """A target that is killed in the middle of jobs does its part when it is back, and others wait for it."""
    numbers = range(600)
    (root / "many").mkdir()
    for number in numbers:
        (root / "many" / f"f{number:03}").write_bytes(b"%d" % number)
    for bucket in ("promoted", "copied", "source", "emptied"):
        assert api.create(bucket).status == 200
    for bucket in ("source", "emptied"):
        done(api, promote(api, bucket, root / "many"))
    uuids = [
        promote(api, "promoted", root / "many"),
        api.act(
            "POST", "/v1/buckets/source", "copy-bck", value={"num-workers": -1}, query={"bck_to": "ais/@#/copied/"}
        ),
        api.act("DELETE", "/v1/buckets/emptied", "delete-listrange", value={"template": "f", "num-workers": -1}),
    ]
    target = promoting.targets[0]
    promoting.kill(target)
    assert any(list(path.glob(".ais.tasks/*")) for path in target.mountpaths), "all jobs had ended: nothing is proven"
    promoting.restart(target)
    promoting.wait_ready()
    assert [done(api, uuid)["err"] for uuid in uuids] == ["", "", ""]
    names = [f"f{number:03}" for number in numbers]
    assert api.names("promoted") == api.names("copied") == names
    assert api.names("emptied") == []
    eventually(lambda: not any(list(path.glob(".ais.tasks/*")) for path in target.mountpaths), within_s=END_S)
