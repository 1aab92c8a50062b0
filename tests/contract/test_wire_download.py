"""Download jobs by hand against a real web server: what is stored, shown, refused, retried, stopped and resumed."""

import io
import json
import re
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ais_cli.main import cli
from click.testing import CliRunner
from harness.nodes import eventually
from harness.origin import CHANGED, LARGE, Origin, origin
from harness.wire import Answer, Api, fresh_name, object_path

from ais.testing import Cluster

PATH = "/v1/download"
END_S = 60.0


@pytest.fixture(scope="module")
def downloading() -> Iterator[Cluster]:
    """A cluster that may download from this machine."""
    with Cluster(proxies=1, targets=2, mountpaths=2, local={"egress_networks": ["127.0.0.1/32"]}) as running:
        yield running


@pytest.fixture(scope="module")
def api(downloading: Cluster) -> Api:
    return Api(downloading.endpoint)


@pytest.fixture
def web() -> Iterator[Origin]:
    with origin() as server:
        yield server


def ask(api: Api, method: str, value: Any, path: str = "") -> Answer:
    return api.call(method, PATH + path, body=json.dumps(value).encode(), headers={"Content-Type": "application/json"})


def start(api: Api, bucket: str, **body: Any) -> str:
    answer = ask(api, "POST", {"bucket": {"name": bucket, "provider": "ais"}, **body})
    assert answer.status == 200, answer
    uuid = answer.json()["id"]
    assert uuid.startswith("dnl-")
    return uuid


def status(api: Api, uuid: str, **query: Any) -> dict[str, Any]:
    answer = ask(api, "GET", {"id": uuid, **query})
    assert answer.status == 200, answer
    return answer.json()


def is_ended(shown: dict[str, Any]) -> bool:
    return not shown["finished_time"].startswith("1970-01-01")


def ended(api: Api, uuid: str) -> dict[str, Any]:
    """The status when the job is over."""
    eventually(lambda: is_ended(status(api, uuid)), within_s=END_S)
    return status(api, uuid)


def content(api: Api, bucket: str, name: str) -> bytes:
    answer = api.call("GET", object_path(bucket, name))
    assert answer.status == 200, answer
    return answer.body


def test_single_range_and_multi(api: Api, web: Origin, bucket: str):
    """Each type stores what the server has under the names asked for; status and list say so; headers are sent."""
    token = {"Authorization": ["Bearer x"]}
    single = start(api, bucket, type="single", object_name="one", link=f"{web.url}/f0.txt?sig=1", headers=token)
    several = start(api, bucket, type="range", template=web.url + "/f{0..3}.txt", subdir="sub", description="four")
    multi = start(api, bucket, type="multi", objects={"m1": f"{web.url}/f1.txt", "m2": f"{web.url}/nosuch.txt"})
    listed = start(api, bucket, type="multi", objects=[f"{web.url}/moved", f"{web.url}/f%39 ä.txt"])

    shown = ended(api, single)
    assert (shown["finished_cnt"], shown["total"], shown["error_cnt"], shown["aborted"]) == (1, 1, 0, False)
    assert shown["description"] == f"{web.url}/f0.txt -> ais://{bucket}"
    [file] = shown["finished_tasks"]
    assert (file["name"], file["downloaded"], file["total"]) == ("one", "14", "14")
    assert content(api, bucket, "one") == b"this is f0.txt"
    assert any(one.get("Authorization") == "Bearer x" for one in web.seen)

    shown = ended(api, several)
    assert sorted(one["name"] for one in shown["finished_tasks"]) == [f"sub/f{n}.txt" for n in range(4)]
    assert (shown["scheduled_cnt"], shown["all_dispatched"]) == (4, True)
    assert content(api, bucket, "sub/f3.txt") == b"this is f3.txt"

    shown = ended(api, multi)
    assert (shown["finished_cnt"], shown["error_cnt"], shown["total"]) == (1, 1, 2)
    assert shown["download_errors"] == [{"name": "m2", "error": f"ErrNotFound: {web.url}/nosuch.txt does not exist"}]
    assert ended(api, listed)["finished_cnt"] == 2
    assert content(api, bucket, "moved") == b"this is f7.txt"
    assert content(api, bucket, "f9 ä.txt") == "this is f9 ä.txt".encode()

    ids = {one["id"] for one in ask(api, "GET", {}).json()}
    assert {single, several, multi, listed} <= ids
    assert [one["id"] for one in ask(api, "GET", {"regex": "^four$"}).json()] == [several]
    assert "finished_tasks" not in status(api, several, only_active_tasks=True)


def test_again(api: Api, web: Origin, bucket: str):
    """What is here already as it is there is not downloaded a second time; what was replaced here is."""
    body = {"type": "range", "template": web.url + "/f{0..2}.txt"}
    ended(api, start(api, bucket, **body))
    api.call("PUT", object_path(bucket, "f1.txt"), body=b"mine")
    shown = ended(api, start(api, bucket, **body))
    assert (shown["skipped_cnt"], shown["finished_cnt"]) == (2, 3)
    assert content(api, bucket, "f1.txt") == b"this is f1.txt"


def test_another_query_is_another_file(api: Api, web: Origin, bucket: str):
    """It may be older than the one there is, which the time alone does not tell."""
    for query in ("a", "ab", "abc"):
        ended(api, start(api, bucket, type="single", object_name="one", link=f"{web.url}/by-query?{query}"))
        assert content(api, bucket, "one") == query.encode()
    for skipped in (0, 1):
        shown = ended(api, start(api, bucket, type="single", object_name="two", link=f"{web.url}/by-query"))
        assert shown["skipped_cnt"] == skipped


def test_trouble_of_the_server(api: Api, web: Origin, bucket: str):
    """A refusal is waited for, a broken transfer of the same file goes on, a wrong checksum stores nothing."""
    names = ["flaky", "cut", "wrong-md5"]
    uuid = start(api, bucket, type="multi", objects=[f"{web.url}/{name}" for name in names[:2]])
    assert ended(api, uuid)["finished_cnt"] == 2
    assert content(api, bucket, "flaky") == b"at last"
    assert content(api, bucket, "cut") == LARGE
    assert len(web.ranges) == 1
    assert web.ranges[0] != "bytes=0-"
    for name in ("changed", "changed-untold"):
        uuid = start(api, bucket, type="single", link=f"{web.url}/{name}")
        assert ended(api, uuid)["finished_cnt"] == 1
        assert content(api, bucket, name) == CHANGED
    uuid = start(api, bucket, type="single", link=f"{web.url}/wrong-md5")
    eventually(lambda: web.asked["/wrong-md5"] > 1, within_s=END_S)
    assert api.call("HEAD", object_path(bucket, "wrong-md5")).status == 404
    assert ask(api, "DELETE", {"id": uuid}, "/abort").status == 200
    assert ended(api, uuid)["aborted"]


def test_where_a_node_must_not_go(api: Api, web: Origin, bucket: str):
    """Addresses inside are refused, named or redirected to, and retried never."""
    links = ["http://169.254.169.254/x", f"{web.url}/inside", "http://[::1]/y", "http://10.1.2.3/z"]
    shown = ended(api, start(api, bucket, type="multi", objects=links))
    assert shown["error_cnt"] == len(links)
    assert all("egress blocked" in one["error"] for one in shown["download_errors"])
    assert web.asked["/inside"] == 1


def test_abort_and_remove(api: Api, web: Origin, bucket: str):
    """A running job shows what it does, is not removed, is aborted without leaving anything, and then is removed."""
    uuid = start(api, bucket, type="single", object_name="slow", link=f"{web.url}/slow", limits={"connections": 1})
    eventually(lambda: status(api, uuid).get("current_tasks", [{}])[0].get("downloaded") == "500", within_s=END_S)
    assert status(api, uuid)["current_tasks"][0]["total"] == "1000"
    assert ask(api, "DELETE", {"id": uuid}, "/remove").status == 400
    assert ask(api, "DELETE", {"id": uuid}, "/abort").status == 200
    shown = ended(api, uuid)
    assert (shown["aborted"], shown["error_cnt"], shown["download_errors"][0]["name"]) == (True, 1, "slow")
    assert api.call("HEAD", object_path(bucket, "slow")).status == 404
    assert ask(api, "DELETE", {"id": uuid}, "/remove").status == 200
    answer = ask(api, "GET", {"id": uuid})
    assert (answer.status, answer.error["tcode"]) == (404, "ErrNotFound")


def test_resume(downloading: Cluster, api: Api, web: Origin, bucket: str):
    """Targets that are killed in the middle of a job go on with it, and do not download again what they have."""
    links = {f"f{n:02}.txt": f"{web.url}/f{n:02}.txt" for n in range(40)}
    uuid = start(api, bucket, type="multi", objects=links | {"slow": f"{web.url}/slow"}, limits={"connections": 1})
    eventually(lambda: status(api, uuid)["finished_cnt"] >= 40, within_s=END_S)
    before = web.asked.copy()
    for target in downloading.targets:
        downloading.kill(target)
    web.gate.set()
    for target in downloading.targets:
        downloading.restart(target)
    downloading.wait_ready()
    shown = ended(api, uuid)
    assert (shown["finished_cnt"], shown["error_cnt"], shown["aborted"]) == (41, 0, False), shown.get("download_errors")
    assert content(api, bucket, "slow") == b"s" * 1000
    assert all(web.asked[f"/f{n:02}.txt"] == before[f"/f{n:02}.txt"] == 1 for n in range(40))


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"type": "nosuch"}, "supported formats"),
        ({"type": "single", "object_name": "l"}, "missing 'link'"),
        ({"type": "single", "link": "ftp://a/b"}, "expected http"),
        ({"type": "single", "link": "http://a/"}, "object_name"),
        ({"type": "single", "link": "http://a/b", "template": "x"}, "is of type range"),
        ({"type": "single", "link": "http://a/b", "object_name": "../x"}, "x"),
        ({"type": "single", "link": "http://a/b\nc"}, "control character"),
        ({"type": "single", "link": "http://a/b", "headers": {"Host": "c"}}, "cannot be set"),
        ({"type": "single", "link": "http://a/b", "headers": {"X": "a\r\nY: b"}}, "invalid header"),
        ({"type": "single", "link": "http://a/b", "limits": {"connections": -1}}, "connections"),
        ({"type": "single", "link": "http://a/b", "limits": {"bytes_per_hour": -1}}, "bytes_per_hour"),
        ({"type": "single", "link": "http://a/b", "timeout": "soon"}, "timeout"),
        ({"type": "single", "link": "http://a/b", "unknown": 1}, "unknown field"),
        ({"type": "range", "template": "http://a/b"}, "no range"),
        ({"type": "range", "template": "http://a/{0..2}/b"}, "same names"),
        ({"type": "range", "template": "http://a/b?{0..2}"}, "behind its path"),
        ({"type": "multi", "objects": {}}, "missing 'objects'"),
        ({"type": "multi", "objects": ["http://a/x", "http://b/x"]}, "would become"),
        ({"type": "multi", "objects": {"x": 1}}, ""),
        ({"type": "backend"}, "remote bucket"),
    ],
)
def test_what_cannot_work(api: Api, body: dict[str, Any], message: str):
    """Is refused before anything starts, and makes no bucket."""
    name = fresh_name()
    answer = ask(api, "POST", {"bucket": {"name": name, "provider": "ais"}, **body})
    assert answer.status == 400, answer
    assert message in answer.error["message"]
    assert api.call("HEAD", f"/v1/buckets/{name}", {"provider": "ais"}).status == 404


def test_unknown_jobs(api: Api):
    """Are not found; a body is needed."""
    for method, path in (("GET", ""), ("DELETE", "/abort"), ("DELETE", "/remove")):
        answer = ask(api, method, {"id": "dnl-nosuch1"}, path)
        assert (answer.status, answer.error["tcode"]) == (404, "ErrNotFound")
    assert ask(api, "DELETE", {}, "/abort").status == 400
    assert api.call("GET", PATH).status == 400


def test_the_command_line(
    downloading: Cluster, web: Origin, bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """`ais download` stores what it is told to, tells what failed by its exit code, and shows and forgets its jobs."""
    monkeypatch.setenv("AIS_ENDPOINT", downloading.endpoint)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))

    def ais(*words: str, code: int = 0) -> str:
        result = CliRunner().invoke(cli, list(words), prog_name="ais")
        assert result.exit_code == code, result.output
        return result.output

    to = f"ais://{bucket}"
    assert "Downloaded 1 file" in ais("download", f"{web.url}/f0.txt", f"{to}/one", "--wait")
    assert "Downloaded 3 files" in ais("download", f"{web.url}/f{{1..3}}.txt", f"{to}/sub", "--wait")
    names = tmp_path / "names.json"
    names.write_text('["f4.txt", "nosuch"]')
    told = ais("start", "download", web.url, f"{to}/listed", "--object-list", str(names), "--wait", code=1)
    assert "listed/nosuch" in told
    assert "1 of 2 files were not downloaded" in told
    [uuid] = re.findall(r"dnl-\w+(?=\. )", told)
    assert {"one", "sub/f1.txt", "sub/f3.txt", "listed/f4.txt"} <= set(ais("ls", to, "--name-only", "-H").split())
    assert "listed/f4.txt" in ais("show", "job", "download", uuid, "-v")
    assert uuid in ais("show", "job", "download", "--all")
    ais("wait", uuid, code=1)
    ais("job", "rm", "download", uuid)
    assert "does not exist" in ais("show", "job", "download", uuid, code=3)


def shard(number: int) -> bytes:
    """Ten files of a few bytes."""
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w") as tar:
        for record in range(10):
            info = tarfile.TarInfo(f"r{number}-{record}.txt")
            info.size = 5
            tar.addfile(info, io.BytesIO(b"bytes"))
    return raw.getvalue()


def test_a_running_sort_is_aborted(
    downloading: Cluster, api: Api, web: Origin, bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """A sort that waits for its external key map is shown, stopped by `ais stop`, and leaves nothing; then one runs."""
    monkeypatch.setenv("AIS_ENDPOINT", downloading.endpoint)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))

    def ais(*words: str, code: int = 0) -> str:
        result = CliRunner().invoke(cli, list(words), prog_name="ais")
        assert result.exit_code == code, result.output
        return result.output

    for number in range(4):
        assert api.call("PUT", object_path(bucket, f"s-{number}.tar"), body=shard(number)).status == 200
    spec = tmp_path / "spec.yaml"
    spec.write_text(
        "input_extension: .tar\ninput_format:\n    template: s-{0..3}\noutput_shard_size: 4KiB\n"
        f"algorithm:\n    kind: shuffle\ndescription: waits\nekm_file: {web.url}/slow\nekm_file_sep: ' '\n"
    )
    told = ais("dsort", f"ais://{bucket}", "--spec", str(spec))
    [uuid] = re.findall(r"srt-\w+(?=\. )", told)
    eventually(lambda: web.asked["/slow"], within_s=END_S)
    assert "Running" in ais("show", "job", "dsort")
    assert "Running" in ais("show", "job", "dsort", uuid)
    assert "still running" in ais("job", "rm", "dsort", uuid, code=2)
    ais("stop", uuid)
    eventually(lambda: "Running" not in ais("show", "job", "dsort", uuid), within_s=END_S)
    assert "Aborted" in ais("show", "job", "dsort", uuid)
    assert api.names(bucket) == [f"s-{number}.tar" for number in range(4)]
    mountpaths = [path for target in downloading.targets for path in target.mountpaths]
    assert not any(list(path.glob(".ais.dsort/*")) for path in mountpaths)
    ais("job", "rm", "dsort", uuid)
    ais("show", "job", "dsort", uuid, code=3)

    spec.write_text(
        '{"input_extension": ".tar", "input_format": {"template": "s-{0..3}"}, "output_format": "new-{00..99}",'
        ' "output_shard_size": "4KiB", "algorithm": {"kind": "alphanumeric"}}'
    )
    ais("start", "dsort", f"ais://{bucket}", f"ais://{bucket}", "-f", str(spec), "--wait")
    assert any(name.startswith("new-") for name in api.names(bucket))
    assert "output shards" in ais("dsort", f"ais://{bucket}", "-f", '{"input_extension": ".tar"}', code=2)
    ais("dsort", "-f", "{not: [yaml", code=2)
