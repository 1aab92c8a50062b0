"""Clusters that earlier versions wrote, packed with their extended attributes, laid out again to be started.

`tests/golden/<commit>.json.xz` holds every file of a playground of one gateway and one target with two mountpaths, and
what its nodes said of it. Laid out again it has other paths and ports, and the record of the mountpaths says so.
"""

import base64
import json
import lzma
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ais.config import environment
from ais.meta import store
from ais.playground.plan import PLAN_FILE
from ais.testing import free_ports

DIRECTORY = Path(__file__).parents[1] / "golden"


@dataclass(frozen=True)
class Golden:
    """A packed cluster."""

    root: str
    facts: dict[str, Any]
    entries: list[dict[str, Any]]

    def lay_out(self, root: Path) -> None:
        """Write all files below `root`, a playground that `ais.testing.Cluster(dir=root.parent)` can start."""
        port, new_port = int(self.facts["port"]), free_ports(2)
        moved = {self.root.encode(): str(root).encode()}
        moved |= {str(port + number).encode(): str(new_port + number).encode() for number in range(2)}
        for entry in self.entries:
            self._write(root / entry["path"], entry, moved)
        for entry in self.entries:  # afterwards: what is written into a directory changes its time
            os.utime(root / entry["path"], ns=(entry["mtime_ns"], entry["mtime_ns"]), follow_symlinks=False)
        if workers := environment.for_tests().workers:
            for path in (root / PLAN_FILE, *root.glob("*/local.json")):
                path.write_text(json.dumps(json.loads(path.read_text()) | {"workers": workers}))

    def _write(self, path: Path, entry: dict[str, Any], moved: dict[bytes, bytes]) -> None:
        if "link" in entry:
            path.symlink_to(entry["link"])
            return
        if "content" in entry:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(_moved(path.name, base64.b64decode(entry["content"]), moved))
        else:
            path.mkdir(parents=True, exist_ok=True)
        path.chmod(entry["mode"])
        for name, value in entry["xattrs"].items():
            os.setxattr(path, name, base64.b64decode(value))


def read(commit: str) -> Golden:
    """The cluster that this commit wrote."""
    packed = json.loads(lzma.decompress((DIRECTORY / f"{commit}.json.xz").read_bytes()))
    return Golden(packed["root"], packed["facts"], packed["entries"])


def _moved(name: str, content: bytes, moved: dict[bytes, bytes]) -> bytes:
    """Settings and the record of mountpaths with other paths and ports; everything else as it was written."""
    if name.endswith(".json"):
        return _replaced(content, moved)
    if name == store.VMD:
        record = store.decode(name, content, name)
        # Other paths give other places: as after any change of mountpaths, objects may lie elsewhere for a while.
        payload = _replaced(record.payload, {**moved, b'"is_unsettled":false': b'"is_unsettled":true'})
        return store.encode(name, store.Record(record.term, payload))
    return content


def _replaced(content: bytes, moved: dict[bytes, bytes]) -> bytes:
    for old, new in moved.items():
        content = content.replace(old, new)
    return content
