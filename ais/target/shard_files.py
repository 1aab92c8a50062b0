"""An open object as the archive it is."""

import os
from typing import IO

from ais.core.store import OpenObject
from ais.shard import formats
from ais.shard.formats import MAGIC_BYTES, Format


def detect(opened: OpenObject, name: str, mime: str) -> Format:
    """The format of a shard that is there. Blocks. Raise `BadRequest`."""
    return formats.detect(name, mime, os.pread(opened.fd, MAGIC_BYTES, 0))


def file_of(opened: OpenObject) -> IO[bytes]:
    """The object's content as a file, from its beginning; closing it leaves the descriptor open."""
    file = os.fdopen(opened.fd, "rb", closefd=False)
    file.seek(0)  # what was put together of slices was written through this descriptor
    return file
