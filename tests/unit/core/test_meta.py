"""The metadata of an object on disk."""

import msgspec
import pytest

from ais.base.errors import BadRequest, CorruptMetadata
from ais.core import meta
from ais.core.meta import Cut, ObjectMeta

SAMPLE = ObjectMeta(4096, "xxhash2", "0123456789abcdef", "7", {"k": "v"})
FIRST = b"AISO\x01\x96\xcd\x10\x00\xa7xxhash2\xb00123456789abcdef\xa17\x81\xa1k\xa1v\x90"
"""As written before there were S3 facts and kept versions."""
SECOND = b"AISO\x01\x9a" + FIRST[6:] + b"\x80\xa0\xa0\xc2"
"""As written before the attribute had a checksum of its own."""
STAMPED = msgspec.structs.replace(SAMPLE, stamp=(3, 1_700_000_000_000_000_000))
THIRD = bytes.fromhex(
    "4149534f02e60e33b39bcd1000a778786861736832b030313233343536373839616263646566a13781a16ba1769080a0a0c29203cf17979cfe362a0000"
)
"""As written before objects were kept as slices alone."""
GOLDEN = bytes.fromhex(
    "4149534f0244aacf6f9ccd1000a778786861736832b030313233343536373839616263646566a13781a16ba1769080a0a0c29203cf17979cfe362a0000c0"
)
CUT = msgspec.structs.replace(STAMPED, cut=Cut(2, 1, 2048, (3, 1_600_000_000_000_000_000)))
GOLDEN_CUT = bytes.fromhex(
    "4149534f02f4cd2d6a9ccd1000a778786861736832b030313233343536373839616263646566a13781a16ba1769080a0a0c29203cf17979cfe362a0000940201cd08009203cf16345785d8a00000"
)


def test_the_bytes_on_disk_are_a_format() -> None:
    """What was written by this version, and by those before it, is read by every later one."""
    assert meta.encode(STAMPED) == GOLDEN
    assert meta.encode(CUT) == GOLDEN_CUT
    assert meta.decode(GOLDEN_CUT) == CUT
    assert meta.decode(GOLDEN) == meta.decode(THIRD) == STAMPED
    assert meta.decode(FIRST) == meta.decode(SECOND) == SAMPLE


@pytest.mark.parametrize("sample", [STAMPED, ObjectMeta(4096, facts={"etag": "00112233445566778899aabbccddeeff"})])
def test_no_flipped_bit_is_believed(sample: ObjectMeta) -> None:
    """Each single bit of the attribute, and each two neighbours, are covered by its checksum: in both forms."""
    value = meta.encode(sample)
    for bit in range(8 * len(value)):
        for mask in (1, 3):
            flipped = (int.from_bytes(value) ^ (mask << bit)) % (1 << 8 * len(value))
            with pytest.raises(CorruptMetadata):
                meta.decode(flipped.to_bytes(len(value)))


def test_fields_may_be_appended() -> None:
    """A reader ignores fields it does not know and gives defaults to those that are missing."""
    assert meta.decode(b"AISO\x01\x9d" + SECOND[6:] + b"\x92\x00\x00\xc0\x01") == SAMPLE
    assert meta.decode(b"AISO\x01\x91\x05") == ObjectMeta(5)


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"AISO",
        b"AISO\x03" + GOLDEN[5:],
        b"AISO\x02" + SECOND[5:],
        GOLDEN[:-1],
        SECOND[:-1],
        b"AISO\x01\x91\xa1x",
        b"AISO\x01\xc0",
    ],
)
def test_damage_is_an_error_of_its_own(value: bytes) -> None:
    """Bytes that we did not write are told from every other failure."""
    with pytest.raises(CorruptMetadata):
        meta.decode(value)


@pytest.mark.parametrize(
    "custom", [{"": "v"}, {"k": "v" * 2048}, {str(index): "" for index in range(800)}, {"k": "é" * 1024}]
)
def test_custom_metadata_has_a_limit(custom: dict[str, str]) -> None:
    """2 KiB of keys and values, no empty key."""
    with pytest.raises(BadRequest):
        meta.check_custom(custom)


def test_metadata_must_fit_an_attribute() -> None:
    """Many tiny entries fit the sum but not the attribute."""
    custom = {chr(0x21 + index % 90) + (chr(0x21 + index // 90)): "" for index in range(1024)}
    meta.check_custom(custom)
    with pytest.raises(BadRequest, match="too large"):
        meta.encode(ObjectMeta(1, "sha512", "f" * 128, "1", {**custom, **{f"{i:02x}é": "" for i in range(200)}}))


@pytest.mark.parametrize(("current", "following"), [("", "1"), ("1", "2"), ("9", "10"), ("abc", "1"), ("²", "1")])
def test_versions_count(current: str, following: str) -> None:
    """Whole numbers; anything else begins again."""
    assert meta.next_version(current) == following
