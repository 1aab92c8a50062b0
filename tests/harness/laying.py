"""Many objects in less time than PUTs take: files as the store lays them out, with the attributes of a real object."""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from ais.fs.layout import OBJECT_XATTR
from ais.meta.placement import Candidates
from ais.meta.smap import digest
from ais.testing import Node


def lay(targets: Sequence[Node], bucket: str, names: Iterable[str], like: str) -> int:
    """Give each name the content and metadata of the object `like`, which was put, where it belongs.

    `targets`: those that own names, all of the same weight. Of an `ais://` bucket without copies, slices or versions.
    Return how many there are.
    """
    owners = Candidates([digest(node.id) for node in targets])
    disks = [_roots(node, bucket) for node in targets]
    path = next(found for _, roots in disks for root in roots if (found := Path(root) / like).exists())
    content, attribute = path.read_bytes(), os.getxattr(path, OBJECT_XATTR)
    made: set[str] = set()
    count = 0
    for name in names:
        key = digest(f"ais/@#/{bucket}/{name}")
        mountpaths, roots = disks[owners.best(key)]
        file = f"{roots[mountpaths.best(key)]}/{name}"
        directory = os.path.dirname(file)
        if directory not in made:
            os.makedirs(directory, exist_ok=True)
            made.add(directory)
        fd = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
        try:
            os.write(fd, content)
            os.setxattr(fd, OBJECT_XATTR, attribute)
        finally:
            os.close(fd)
        count += 1
    return count


def _roots(node: Node, bucket: str) -> tuple[Candidates, list[str]]:
    """The mountpaths, and where objects are on each."""
    paths = [str(path) for path in node.mountpaths]
    return Candidates([digest(path) for path in paths]), [f"{path}/@ais/{bucket}/%ob" for path in paths]
