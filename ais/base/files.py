"""Whether a file is still the one that was read."""

import os

Stamp = tuple[int, ...]


def stamp(path: str) -> Stamp:
    """What is another when the file or its content is: inode, size, time. Empty when there is none."""
    try:
        found = os.stat(path)
    except OSError:
        return ()
    return found.st_ino, found.st_size, found.st_mtime_ns
