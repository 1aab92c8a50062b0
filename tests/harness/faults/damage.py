"""Damage to files of objects behind the back of their target: what a dying disk does."""

import contextlib
import os
import random
from enum import Enum
from pathlib import Path

XATTR = "user.ais.obj"


class Damage(Enum):
    """What happens to a file."""

    FLIP = "a bit flipped"
    FLIP_METADATA = "a bit of the metadata flipped"
    CUT = "cut short"
    NO_METADATA = "metadata lost"
    GONE = "file lost"


def files_of(mountpath: Path, bucket: str) -> list[Path]:
    """The files of objects of a bucket on a mountpath."""
    root = mountpath / "@ais" / bucket / "%ob"
    return sorted(path for path in root.rglob("*") if path.is_file())


def damage(source: random.Random, path: Path, kind: Damage) -> None:
    """Damage one file; that it was replaced or removed meanwhile is fine."""
    with contextlib.suppress(OSError):
        found = path.stat()
        match kind:
            case Damage.FLIP if found.st_size:
                at = source.randrange(found.st_size)
                with path.open("r+b") as file:
                    file.seek(at)
                    byte = file.read(1)[0] ^ 1 << source.randrange(8)
                    file.seek(at)
                    file.write(bytes([byte]))
                os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns))
            case Damage.FLIP_METADATA:
                value = bytearray(os.getxattr(path, XATTR))
                value[source.randrange(len(value))] ^= 1 << source.randrange(8)
                os.setxattr(path, XATTR, bytes(value))
            case Damage.CUT if found.st_size:
                os.truncate(path, found.st_size // 2)
            case Damage.NO_METADATA:
                os.removexattr(path, XATTR)
            case Damage.GONE:
                path.unlink()
            case _:
                pass
