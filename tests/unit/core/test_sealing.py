"""Sealed streams: every range comes back, and whatever is changed, moved or cut off is an error, never bytes."""

import os
import random
from pathlib import Path

import pytest

from ais.base.errors import CorruptMetadata
from ais.core import sealing
from ais.core.meta import ObjectMeta, run_lengths
from ais.core.sealing import SEGMENT_BYTES, Sealer

KEY = bytes(range(32))
SIZES = (0, 1, SEGMENT_BYTES - 1, SEGMENT_BYTES, SEGMENT_BYTES + 1, 20 * SEGMENT_BYTES + 17)


def sealed(content: bytes, part: int = 1, pieces: int = 3) -> bytes:
    """A stream, made in pieces."""
    sealer = Sealer(KEY, size=len(content), part=part)
    step = max(1, len(content) // pieces)
    out = b"".join(sealer.seal(content[at : at + step]) for at in range(0, len(content), step))
    return out + sealer.finish()


def read(path: Path, meta: ObjectMeta, start: int, length: int, key: bytes = KEY) -> bytes:
    """A range of the content of a file."""
    fd = os.open(path, os.O_RDONLY)
    try:
        opened = sealing.reader(fd, key)
        return b"".join(map(opened, sealing.plan(sealing.streams(meta, fd), start, length)))
    finally:
        os.close(fd)


def store(path: Path, parts: list[bytes], *, remembers: bool = True) -> tuple[bytes, ObjectMeta]:
    """A file of these parts: the content, and what is known about it."""
    streams = [sealed(part, number) for number, part in enumerate(parts, 1)]
    path.write_bytes(b"".join(streams))
    content = b"".join(parts)
    runs = run_lengths([len(one) for one in streams]) if remembers and len(parts) > 1 else ()
    facts = {sealing.KEY: "x", sealing.SIZE: str(len(content))}
    return content, ObjectMeta(path.stat().st_size, runs=runs, facts=facts)


@pytest.mark.parametrize("size", SIZES)
def test_sizes(size: int) -> None:
    """What a stream takes is known before it is made, and tells what is in it."""
    stream = sealed(bytes(size))
    assert len(stream) == sealing.sealed_size(size)
    assert sealing.content_size(len(stream)) == size


@pytest.mark.parametrize("remembers", [True, False])
@pytest.mark.parametrize(
    "sizes", [[0], [1], [SEGMENT_BYTES], [20 * SEGMENT_BYTES + 17], [70_000, 65_536, 5], [3, 0, 4]]
)
def test_every_range(tmp_path: Path, sizes: list[int], remembers: bool) -> None:
    """Whole, and any range, over the borders of segments and parts."""
    rng = random.Random(7)
    content, meta = store(tmp_path / "o", [rng.randbytes(size) for size in sizes], remembers=remembers)
    assert read(tmp_path / "o", meta, 0, len(content)) == content
    for _ in range(50 if content else 0):
        start = rng.randrange(len(content))
        length = rng.randrange(1, len(content) - start + 1)
        assert read(tmp_path / "o", meta, start, length) == content[start : start + length]


def test_nothing_changed_is_served(tmp_path: Path) -> None:
    """A bit flipped anywhere, segments or parts exchanged, the end cut off, another key: an error."""
    rng = random.Random(8)
    path = tmp_path / "o"
    content, meta = store(path, [rng.randbytes(3 * SEGMENT_BYTES), rng.randbytes(3 * SEGMENT_BYTES)])
    right = path.read_bytes()
    for _ in range(200):
        at = rng.randrange(len(right))
        wrong = bytearray(right)
        wrong[at] ^= 1 << rng.randrange(8)
        path.write_bytes(wrong)
        with pytest.raises(CorruptMetadata):
            read(path, meta, 0, len(content))
    step, half = SEGMENT_BYTES + sealing.TAG_BYTES, len(right) // 2
    exchanged = right[:32] + right[32 + step : 32 + 2 * step] + right[32 : 32 + step] + right[32 + 2 * step :]
    for wrong_content in (exchanged, right[:half] + right[:half], right[: half - step] + right[half:]):
        path.write_bytes(wrong_content)
        with pytest.raises(CorruptMetadata):
            read(path, meta, 0, len(content))
    path.write_bytes(right)
    with pytest.raises(CorruptMetadata):
        read(path, meta, 0, len(content), key=bytes(32))


def test_no_two_streams_are_alike() -> None:
    """The same content under the same key looks different each time."""
    assert sealed(b"same" * 100)[32:] != sealed(b"same" * 100)[32:]
