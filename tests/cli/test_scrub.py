"""`ais scrub`, `ais show protection`, `ais storage cleanup|quarantine`: what is wrong is found, told and mended."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from harness.nodes import eventually

from ais.testing import Cluster

MIRRORED = ("mirror.enabled=true", "mirror.copies=2")


@pytest.fixture
def mirrored(ais: Any, uri: str, cluster: Cluster) -> str:
    """A mirrored bucket with an object that has its copy."""
    ais("bucket", "props", "set", uri, *MIRRORED)
    ais("put", "-", f"{uri}/o", stdin=b"x" * 1000)
    eventually(lambda: len(copies(cluster, uri, "%cp")) == 1, within_s=60)
    return uri


def copies(cluster: Cluster, uri: str, content: str) -> list[Path]:
    """Files of the bucket's object below `content`."""
    bucket = uri.removeprefix("ais://")
    roots = [path for target in cluster.targets for path in target.mountpaths]
    return [file for path in roots for file in (path / "@ais" / bucket / content).rglob("*") if file.is_file()]


def test_a_damaged_copy_is_found_mended_and_kept(ais: Any, mirrored: str, cluster: Cluster) -> None:
    """A scrub repairs it and says so; the statement can be shown, the damaged file is listed and can be removed."""
    (victim,) = copies(cluster, mirrored, "%cp")
    stat = victim.stat()
    victim.write_bytes(b"x" * 999 + b"y")
    os.utime(victim, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    looked = json.loads(ais("scrub", mirrored, "--no-repair", "-j", code=1).stdout)[mirrored]
    assert (looked["missing"], looked["damaged"], looked["repaired"], looked["examples"]) == (1, 1, 0, ["o"])
    found = json.loads(ais("scrub", mirrored, "-j").stdout)[mirrored]
    assert (found["objects"], found["promised"], found["found"], found["repaired"]) == (1, 2, 2, 1)
    assert copies(cluster, mirrored, "%cp")[0].read_bytes() == b"x" * 1000
    kept = [one for files in json.loads(ais("storage", "quarantine", "-j").stdout).values() for one in files]
    assert [(one["name"], one["size"]) for one in kept if one["bucket"] == mirrored] == [("o", 1000)]
    assert mirrored in ais("show", "scrub", mirrored).stdout
    assert "0 files removed" in ais("storage", "cleanup", mirrored, "--quarantine", "--wait").stdout
    ais("config", "set", "space.dont_cleanup_time=0s")
    assert "1 file would be removed" in ais("storage", "cleanup", mirrored, "--quarantine", "--dry-run").stdout
    assert "1 file removed, 1000B" in ais("storage", "cleanup", mirrored, "--quarantine", "--wait").stdout
    ais("config", "set", "space.dont_cleanup_time=30m")
    assert not copies(cluster, mirrored, "%qu")


def test_a_missing_copy_is_told_until_it_is_there(ais: Any, mirrored: str, cluster: Cluster) -> None:
    """`show protection` and `show cluster` say what is short, with an exit code, and ok when it is not any more."""

    def state(code: int) -> dict[str, Any]:
        found = json.loads(ais("show", "protection", mirrored, "-j", code=code).stdout)
        return dict(found["buckets"][0])

    eventually(lambda: state(0)["found"] == 2, within_s=60)
    copies(cluster, mirrored, "%cp")[0].unlink()
    ais("scrub", mirrored, "--quick", "--no-repair", code=1)
    found = state(1)
    assert (found["state"], found["promised"], found["found"], found["missing"]) == ("short", 2, 1, 1)
    assert "1 copies or slices missing" in ais("show", "cluster").stdout
    ais("scrub", mirrored, "--quick")
    assert (state(0)["state"], state(0)["found"]) == ("ok", 2)


def test_cleanup_refuses_what_it_does_not_do(ais: Any, uri: str) -> None:
    """Objects without content are objects: they are not removed, and the command says so."""
    ais("put", "-", f"{uri}/empty", stdin=b"")
    assert "by name" in ais("storage", "cleanup", uri, "--rm-zero-size", "--wait", code=1).stderr
    assert "empty" in ais("ls", uri).stdout
