"""AIStore's `ais`, unmodified: recorded commands give the same tables, messages and exit codes against our cluster."""

import difflib
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import boto3
import pytest
from _pytest.mark import ParameterSet
from harness.moto import set_environment
from harness.nodes import eventually
from harness.wire import Api, message

from ais.testing import Cluster
from peer import captured, expected
from peer.captured import Capture, Run
from peer.neutral import Names

CLI = os.environ.get("AIS_PEER_CLI", "")
ALL = captured.read_all()
TIMEOUT_S = 120
RECORDED = Names({"p1raaaaa": "P1", "t1raaaaa": "T1", "t2rbbbbb": "T2", "t3rccccc": "T3", "RPLig8pYD": "rem"})
CONFIGURED = {"features": "S3-Use-Path-Style", "lru.enabled": "false", "space.dont_cleanup_time": "2h"}
"""How the recorded cluster differed from the defaults."""

pytestmark = [
    pytest.mark.skipif(not CLI or not ALL, reason="AIS_PEER_CLI and AIS_PEER_CAPTURES do not name a CLI and its runs"),
    pytest.mark.timeout(1200),
]


@dataclass(frozen=True)
class Session:
    """All recorded commands, run in their order against one cluster of ours."""

    names: Names
    runs: dict[int, Run]


class _Shell:
    """Runs command lines with the CLI as `ais`, in a directory and a home of its own."""

    def __init__(self, cluster: Cluster, directory: Path) -> None:
        self.directory = directory
        (directory / "bin").mkdir()
        (directory / "bin" / "ais").symlink_to(Path(CLI).absolute())
        self._environment = {
            "PATH": f"{directory / 'bin'}:{os.environ['PATH']}",
            "HOME": str(directory / "home"),
            "AIS_ENDPOINT": cluster.endpoint,
        }

    def run(self, command: str, stdin: str = "") -> Run:
        ended = subprocess.run(
            ["bash", "-c", command],
            input=stdin,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            cwd=self.directory,
            env=self._environment,
            check=False,
            timeout=TIMEOUT_S,
        )
        return Run(ended.returncode, ended.stdout, ended.stderr)


def _make_files(directory: Path) -> None:
    """The files that the recorded commands put."""
    for number in range(5):
        (directory / f"f{number}.txt").write_text(f"file {number}\n" * (number + 1))
    (directory / "d" / "sub").mkdir(parents=True)
    for number in range(3):
        (directory / "d" / f"a{number}.bin").write_bytes(bytes([number]) * 1000 * (number + 1))
    (directory / "d" / "sub" / "z.bin").write_bytes(b"z" * 500)


def _make_more_files(directory: Path) -> None:
    for number in range(40):
        (directory / "d" / f"o{number}").write_bytes(os.urandom(20_000))


def _is_made(cluster: Cluster) -> bool:
    """Whether no inventory is being made."""
    running = Api(cluster.endpoint).call("GET", "/v1/cluster?what=running_all", body=b"{}").json()
    return not any(one.startswith("create-inventory") for one in running)


@pytest.fixture(scope="module")
def cloud(moto_url: str) -> Iterator[None]:
    """A bucket at moto with what the recorded one had; nodes that start meanwhile find it."""
    with pytest.MonkeyPatch.context() as patch:
        set_environment(patch, moto_url)
        origin = boto3.client("s3", endpoint_url=moto_url)
        origin.create_bucket(Bucket="cloud")
        for number in range(1, 6):
            origin.put_object(Bucket="cloud", Key=f"obj-{number}", Body=b"cloud object %d\n" % number)
        origin.put_object(Bucket="cloud", Key="big", Body=bytes(6_000_000))
        yield


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory, cloud: None) -> Iterator[Session]:
    """Run everything once."""
    directory = tmp_path_factory.mktemp("peer")
    _make_files(directory)
    with (
        Cluster(proxies=1, targets=3, mountpaths=2, config_overrides=CONFIGURED) as cluster,
        Cluster(proxies=1, targets=1, mountpaths=1) as far,
    ):
        attached = {"Ais-Remote-Ais-Alias": "rem", "Ais-Remote-Ais-Url": far.endpoint}
        assert Api(cluster.endpoint).call("PUT", "/v1/cluster/attach?what=remote", headers=attached).status == 200
        served = message("set-config", value={"backend": {"aws": {}}})
        assert Api(cluster.endpoint).call("PUT", "/v1/cluster", body=served).status == 200
        shell = _Shell(cluster, directory)
        here = dict(zip(("t1raaaaa", "t2rbbbbb", "t3rccccc"), sorted(one.id for one in cluster.targets), strict=True))
        here["p1raaaaa"] = cluster.proxies[0].id
        runs = {}
        for capture in ALL:
            if capture.number == expected.MORE_FILES:
                _make_more_files(directory)
            if capture.number in expected.AFTER_JOBS:
                eventually(lambda: _is_made(cluster), within_s=60)
            command = capture.command
            for recorded, ours in here.items():
                command = command.replace(recorded, ours)
            runs[capture.number] = shell.run(command, capture.stdin)
        nodes = {ours: RECORDED.nodes[recorded] for recorded, ours in here.items()}
        nodes[Api(far.endpoint).smap()["uuid"]] = "rem"
        yield Session(Names(nodes, str(directory)), runs)


def _lacks(capture: Capture, numbers: dict[str, tuple[int, ...]] = expected.NEEDS) -> bool:
    return any(capture.number in numbers.get(feature, ()) for feature in expected.MISSING)


def _kind(capture: Capture) -> str:
    if _lacks(capture):
        return "missing"
    is_other = capture.number in expected.DIFFERENT or _lacks(capture, expected.TRACES)
    return "different" if is_other else "same"


def _lines(names: Names, run: Run, capture: Capture) -> list[str]:
    """What is compared of a run."""
    is_figures = capture.number in expected.FIGURES
    out, err = (names.neutral(text, machine=is_figures) for text in (run.out, run.err))
    if capture.number in expected.COUNTERS:
        # Which columns there are depends on what was counted so far.
        out = "\n".join(line.partition(" ")[0] for line in out.splitlines())
    lines = out.splitlines()
    if capture.number in expected.UNORDERED:
        lines = sorted(line.rstrip(",") for line in lines)
    return [f"[exit {run.code}]", *lines, "[stderr]", *err.splitlines()]


def _difference(session: Session, capture: Capture) -> str:
    recorded = _lines(RECORDED, capture.run, capture)
    ours = _lines(session.names, session.runs[capture.number], capture)
    return "\n".join(difflib.unified_diff(recorded, ours, "AIStore", "ours", lineterm="", n=1))


def _cases(kind: str) -> list[ParameterSet]:
    return [pytest.param(one, id=one.name) for one in ALL if _kind(one) == kind]


@pytest.mark.parametrize("capture", _cases("same"))
def test_same(session: Session, capture: Capture) -> None:
    """A command whose feature we have ends exactly as it did against AIStore."""
    difference = _difference(session, capture)
    assert not difference, f"$ {capture.command}\n{difference}"


@pytest.mark.parametrize("capture", _cases("different"))
def test_differs_as_listed(session: Session, capture: Capture) -> None:
    """What is listed as different is different, or the list is wrong; a wanted difference leaves the exit code."""
    assert _difference(session, capture), "no difference any more: take it off the list"
    if capture.number in expected.DIFFERENT:
        code = expected.OTHER_CODE.get(capture.number, capture.run.code)
        assert session.runs[capture.number].code == code


@pytest.mark.parametrize("capture", _cases("missing"))
def test_missing_feature(session: Session, capture: Capture) -> None:
    """A command of a feature that we do not have yet says so in one line and ends with 1."""
    run = session.runs[capture.number]
    said = [line for line in run.err.splitlines() if line.strip() and not line.startswith("Warning:")]
    assert run.code == 1, run
    assert len(said) == 1, run
