"""What the control process and its workers say to each other: a question, its answer, one at a time."""

import asyncio
import struct

import msgspec

from ais.base.errors import BadRequest
from ais.fs.record import VolumeRecord
from ais.meta.smap import Snode
from ais.node.messages import Sealed

_LENGTH = struct.Struct("<I")
MESSAGE_BYTES_MAX = 1 << 30


class Begin(msgspec.Struct, frozen=True, tag=True):
    """The first message to a worker: which one it is, and of which node."""

    index: int
    count: int
    snode: Snode
    listeners: list[int]
    """The networks (`ais.net.http.Network`) that each listener carries."""


class StandAside(msgspec.Struct, frozen=True, tag=True):
    """Pass on every request from now on; the answer comes when nothing is being written any more."""


class Follow(msgspec.Struct, frozen=True, tag=True):
    """Serve again, by this: the answer comes when it is obeyed."""

    parts: list[Sealed]
    """What the worker does not have yet of the cluster's metadata."""
    own: dict[str, str]
    transient: dict[str, str]
    """Settings of this node (`ais.config.node.NodeConfig`)."""
    volume: VolumeRecord | None
    """A target's mountpaths."""
    regions: dict[str, int]
    """Where the turns of mountpaths are (`ais.workers.shared`)."""
    may_serve: bool
    """Whether requests may be answered without the control process."""


class Drain(msgspec.Struct, frozen=True, tag=True):
    """Take no more requests and end within this time."""

    timeout_s: float


class Done(msgspec.Struct, frozen=True, tag=True):
    """A worker's answer."""


Question = Begin | StandAside | Follow | Drain
_encoder = msgspec.msgpack.Encoder()
_decoder: msgspec.msgpack.Decoder[Question | Done] = msgspec.msgpack.Decoder(Question | Done)


async def send(writer: asyncio.StreamWriter, message: Question | Done) -> None:
    """Send one message. Raise `OSError`."""
    packed = _encoder.encode(message)
    writer.write(_LENGTH.pack(len(packed)) + packed)
    await writer.drain()


async def receive(reader: asyncio.StreamReader) -> Question | Done:
    """The next message. Raise `EOFError` at the end, `OSError`, `BadRequest` for what is none."""
    try:
        (length,) = _LENGTH.unpack(await reader.readexactly(_LENGTH.size))
        return _decoder.decode(await reader.readexactly(min(length, MESSAGE_BYTES_MAX)))
    except msgspec.MsgspecError as error:
        raise BadRequest(f"not a message of this version: {error}") from None
