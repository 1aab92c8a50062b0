"""The code and the file of a slice, without disk or network."""

import itertools
import random

import pytest

from ais.base.errors import CorruptMetadata
from ais.core.meta import ObjectMeta
from ais.ec import code
from ais.ec import slice as slices
from ais.ec.slice import Slice


@pytest.mark.parametrize(("data", "parity"), [(1, 2), (2, 1), (2, 2), (4, 2), (3, 5)])
def test_any_d_blocks_give_the_data_back(data: int, parity: int) -> None:
    """Each choice of D of the D+P blocks is enough."""
    rng = random.Random(data * 100 + parity)
    blocks = [rng.randbytes(1000) for _ in range(data)] if data > 1 else [rng.randbytes(1000)]
    every = [bytes(block) for block in [*blocks, *code.encode(blocks, parity)]]
    for chosen in itertools.combinations(range(data + parity), data):
        found = code.decode({index: every[index] for index in chosen}, data, parity)
        assert [bytes(block) for block in found] == blocks


def test_parity_on_disk_is_a_format() -> None:
    """The same data gives these parity bytes in every version: slices of old versions stay readable."""
    parity = code.encode([bytes(range(8)), bytes(range(8, 16))], 2)
    assert [bytes(block).hex() for block in parity] == ["1011121314151617", "2021222324252627"]


@pytest.mark.parametrize("size", [0, 1, 2, 3, 1000, 2 * slices.BLOCK_BYTES_MAX, 5 * slices.BLOCK_BYTES_MAX + 17])
def test_blocks_cover_the_object_exactly(size: int) -> None:
    """Stripes and spans add up to the body, whatever the size."""
    one = Slice("ais/@#/b/o", ObjectMeta(size), (1, 2), 3, 2, 0, slices.block_bytes_of(size, 3))
    lengths = [one.block_bytes(stripe) for stripe in range(one.stripes)]
    assert sum(lengths) * 3 >= size > (sum(lengths) * 3) - 3 * max(one.stripes, 1)
    assert one.body_bytes == sum(length + slices.SUM_BYTES for length in lengths)
    for first in range(one.stripes):
        assert one.span(first, 1) == (sum(lengths[:first]) + first * slices.SUM_BYTES, lengths[first] + 8)


def test_a_header_is_read_back_and_no_flipped_bit_is_believed() -> None:
    """The header says all about the slice; damage anywhere in it is noticed."""
    one = Slice("ais/@#/b/dir/o", ObjectMeta(7, "xxhash2", "ab", "3", {"k": "v"}, stamp=(2, 9)), (1, 2), 2, 2, 3, 4)
    head = one.encode()
    assert len(head) % 512 == 0
    assert slices.decode(head + b"blocks") == (one, len(head))
    used = len(head.rstrip(b"\0"))
    for position in range(used):
        damaged = bytearray(head)
        damaged[position] ^= 4
        with pytest.raises(CorruptMetadata):
            slices.decode(bytes(damaged))
    with pytest.raises(CorruptMetadata):
        slices.decode(head[:100])


def test_a_block_at_the_wrong_place_is_damaged() -> None:
    """Its checksum is of the block and its stripe."""
    one = Slice("ais/@#/b/o", ObjectMeta(30), (1, 2), 1, 1, 0, 10)
    body = b"".join(slices.seal(stripe, bytes([stripe]) * 10) + bytes([stripe]) * 10 for stripe in range(3))
    found = slices.unseal(one, 0, 3, body)
    assert found is not None
    assert [bytes(block) for block in found] == [bytes([stripe]) * 10 for stripe in range(3)]
    assert slices.unseal(one, 0, 3, body[18:] + body[:18]) is None
    assert slices.unseal(one, 1, 2, body[18:-1]) is None
