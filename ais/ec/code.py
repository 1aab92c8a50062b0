"""The code itself, behind one interface: D equal blocks make P more, any D of the D+P give the D back.

Reed-Solomon over GF(256) by zfec, systematic: the first D blocks are the data itself. D = 1 means copies. PyECLib over
ISA-L encodes at 0.7 to 2.8 times the rate (docs/performance.md), but gives no bare blocks: what it makes carries
headers of its own, which slices would have to keep for ever.
"""

import functools
from collections.abc import Mapping, Sequence

import zfec

NAME = "zfec"
"""What slices say they were made with."""
Block = bytes | bytearray | memoryview


@functools.lru_cache(maxsize=64)
def _encoder(data: int, parity: int) -> zfec.Encoder:
    return zfec.Encoder(data, data + parity)


@functools.lru_cache(maxsize=64)
def _decoder(data: int, parity: int) -> zfec.Decoder:
    return zfec.Decoder(data, data + parity)


def encode(blocks: Sequence[Block], parity: int) -> list[Block]:
    """The parity blocks of D data blocks of equal length."""
    data = len(blocks)
    if data == 1:
        return [blocks[0]] * parity
    if not parity or not len(blocks[0]):
        return [b""] * parity
    return list(_encoder(data, parity).encode(blocks, list(range(data, data + parity))))


def decode(blocks: Mapping[int, Block], data: int, parity: int) -> list[Block]:
    """The D data blocks from any D blocks, given by their index among the D+P."""
    if data == 1:
        return [next(iter(blocks.values()))]
    if all(index in blocks for index in range(data)):
        return [blocks[index] for index in range(data)]
    chosen = sorted(blocks)[:data]
    if not len(blocks[chosen[0]]):
        return [b""] * data
    return list(_decoder(data, parity).decode([blocks[index] for index in chosen], chosen))
