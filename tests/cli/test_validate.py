"""`ais storage validate`: what is not as it should be in a bucket is found."""

import json
import shutil
from typing import Any

from ais.testing import Cluster


def test_a_bucket_that_is_well(ais: Any, uri: str) -> None:
    """Objects are counted with their sizes, small and large ones too; nothing is wrong."""
    for number in range(3):
        ais("put", "-", f"{uri}/o{number}", stdin=b"x" * (100 * number))
    found = json.loads(ais("storage", "validate", uri, "--large-size", "150", "--small-size", "0", "-j").stdout)
    assert found[0]["OBJECTS"] == "3"
    assert (found[0]["SMALL"], found[0]["LARGE"]) == ("1", "1")
    assert "MISPLACED" not in ais("storage", "validate", uri).stdout
    assert "MISPLACED(cluster)" in ais("bucket", "validate", uri, "--all-columns").stdout
    assert ais("storage", "validate", uri, "--limit", "2", "-H").stdout.split()[1] == "2"
    assert uri in ais("storage", "validate", "ais").stdout


def test_a_misplaced_object(ais: Any, uri: str, cluster: Cluster) -> None:
    """An object that lies on the wrong mountpath is counted, named, and makes the exit code 1."""
    ais("put", "-", f"{uri}/o", stdin=b"x")
    mountpaths = [path for target in cluster.targets for path in target.mountpaths]
    [found] = [file for path in mountpaths for file in path.rglob("o") if file.is_file()]
    [own] = [path for path in mountpaths if found.is_relative_to(path)]
    [other] = [
        path for target in cluster.targets if own in target.mountpaths for path in target.mountpaths if path != own
    ]
    moved = other / found.relative_to(own)
    moved.parent.mkdir(parents=True, exist_ok=True)
    shutil.move(found, moved)
    result = ais("storage", "validate", uri, "--all-columns", code=1)
    assert "look at o" in result.stderr
