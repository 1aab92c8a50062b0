"""An open object as the archive it is."""

from ais.core.content import pread_of
from ais.core.store import OpenObject
from ais.shard import formats
from ais.shard.formats import MAGIC_BYTES, Format


def detect(opened: OpenObject, name: str, mime: str) -> Format:
    """The format of a shard that is there. Blocks. Raise `BadRequest`."""
    return formats.detect(name, mime, pread_of(opened)(MAGIC_BYTES, 0))
