"""The short form of an object's metadata: what it takes, and that it says the same as the long one."""

import base64
import random
import string
from typing import Any

import msgspec
import pytest

from ais.api import checksum
from ais.base.errors import CorruptMetadata
from ais.core import meta, short_meta
from ais.core.meta import Cut, ObjectMeta
from ais.s3.checksums import ALGORITHMS, COMPOSITE, FULL_OBJECT

STAMP = (12, 1_764_486_000_123_456_789)
ETAG = "2bcd3c4de20c918e19fab5c36249c70d"
CLAIMED = {"checksum-algorithm": "CRC32", "checksum": "opEggg==", "checksum-type": "FULL_OBJECT"}
USUAL = ObjectMeta(4096, "xxhash2", "0123456789abcdef", "1", facts={"etag": ETAG, **CLAIMED}, stamp=STAMP)
GOLDEN = bytes.fromhex(
    "a3e3936f7299cd100002c4080123456789abcdef010ccf187cb6ab20822d15c4102bcd3c4de20c918e19fab5c36249c70d01c404a2912082"
)


def value_of(name: str) -> str:
    """A checksum of that algorithm, as S3 spells it."""
    return base64.b64encode(random.Random(name).randbytes(ALGORITHMS[name].size_bytes)).decode()


def test_the_bytes_on_disk_are_a_format() -> None:
    """What was written by this version is read by every later one."""
    assert meta.encode(USUAL) == GOLDEN
    assert meta.decode(GOLDEN) == meta.decoded(GOLDEN) == USUAL
    assert meta.all_decoded([GOLDEN, None, GOLDEN[:-1]]) == [USUAL, None, None]
    assert short_meta.KINDS[: len(checksum.KINDS)] == checksum.KINDS
    assert set(short_meta.ALGORITHMS) >= ALGORITHMS.keys()


@pytest.mark.parametrize("size", [0, 4096, (4 << 30) - 1])
@pytest.mark.parametrize("algorithm", ["CRC32", "CRC32C", "CRC64NVME"])
@pytest.mark.parametrize("more", [{}, {"content-type": "image/jpeg"}])
def test_what_clients_usually_put_fits_into_the_inode(size: int, algorithm: str, more: dict[str, str]) -> None:
    """With any checksum that a client computes by itself, and a content type that it guesses."""
    claimed = {**CLAIMED, "checksum-algorithm": algorithm, "checksum": value_of(algorithm)}
    usual = msgspec.structs.replace(USUAL, size=size, facts={"etag": ETAG, **claimed, **more})
    value = meta.encode(usual)
    assert len(value) <= 64
    assert meta.decode(value) == usual


OTHERS: list[dict[str, Any]] = [
    *({"size": size} for size in (0, 1, 1 << 33, 1 << 62)),
    *({"checksum_kind": kind, "checksum": digest} for kind in checksum.KINDS for digest in ("", "00", "ab" * 32)),
    {"checksum_kind": "other"},
    *({"checksum": text} for text in ("AB", "0", "ab cd", "x", " ", "é")),
    *({"version": version} for version in ("", "0", "1", "7", "01", "+1", " 1", "1_0", "٣", "-1", "9" * 30, "v1")),
    {"custom": {"k": "v"}},
    {"runs": ((2, 5 << 20),)},
    {"version_id": "a" * 32},
    {"order": "a" * 32},
    {"is_marker": True},
    {"cut": Cut(2, 1, 2048, STAMP)},
    {"stamp": (0, 0)},
    {"stamp": (1 << 40, 1)},
    *({"facts": facts} for facts in ({}, CLAIMED, {"tagging": "a=b"}, {"content-type": "text/plain"})),
    *(
        {"facts": {"etag": ETAG, **facts}}
        for facts in (
            {},
            {"content-type": "text/plain"},
            {"content-type": "text/strange"},
            {"content-type": ""},
            {"content-type": "TEXT/PLAIN"},
            {"tagging": "a=b"},
            {"sealed": "x"},
            {"checksum": "opEggg=="},
            {"checksum-algorithm": "CRC32"},
            {"checksum-type": "FULL_OBJECT"},
            {**CLAIMED, "checksum-type": COMPOSITE},
            {**CLAIMED, "checksum-algorithm": "CRC33"},
            {**CLAIMED, "part-checksums": "opEggg=="},
            *({**CLAIMED, "checksum": text} for text in ("", "opEggg", "opEggg==\n", "opEggh==", "!opEggg==", "é")),
        )
    ),
    *({"facts": {"etag": text, **CLAIMED}} for text in ("", f"{ETAG}-2", ETAG.upper(), ETAG[:-1], ETAG + "é")),
    *(
        {"facts": {"etag": ETAG, "checksum-algorithm": name, "checksum": value_of(name), "checksum-type": FULL_OBJECT}}
        for name in ALGORITHMS
    ),
]


@pytest.mark.parametrize("change", OTHERS, ids=str)
def test_nothing_is_lost_of_others(change: dict[str, Any]) -> None:
    """What has no short form is written in the long one; both say what was to be kept."""
    other = msgspec.structs.replace(USUAL, **change)
    assert meta.decode(meta.encode(other)) == other


def test_nothing_is_lost_of_any() -> None:
    """Thousands that consist of good and bad parts."""
    seeded = random.Random(7)
    texts = [
        "",
        "0",
        "1",
        "42",
        ETAG,
        "0123456789abcdef",
        "opEggg==",
        "text/plain",
        *string.printable[::9],
        *CLAIMED.values(),
    ]
    keys = ["etag", "content-type", "tagging", *CLAIMED]
    shorts = 0
    for _ in range(5000):
        facts = {key: seeded.choice(texts) for key in seeded.sample(keys, seeded.choice((0, 0, 0, 1, 2, 3, 4)))}
        facts |= {"etag": ETAG} if seeded.random() < 0.8 else {}
        facts |= CLAIMED if seeded.random() < 0.5 else {}
        kind, stamp = seeded.choice(checksum.KINDS), (seeded.randrange(300), seeded.randrange(1 << 63))
        digest, version = (seeded.choice(some) for some in (["0123456789abcdef"] * 9 + texts, ["1", "42"] * 9 + texts))
        made = ObjectMeta(seeded.randrange(1 << 34), kind, digest, version, facts=facts, stamp=stamp)
        value = meta.encode(made)
        assert meta.decode(value) == made
        shorts += value.startswith(short_meta.MAGIC)
    assert 50 < shorts < 4950


def test_tables_of_later_versions() -> None:
    """What names something that this version does not know is damaged, not something else."""
    body = msgspec.msgpack.encode((1, 0, b"", 0, 0, 0, b"", len(short_meta.ALGORITHMS) + 1, b""))
    value = short_meta.MAGIC + short_meta._checksum(short_meta._SEED, body).to_bytes(4) + body
    with pytest.raises(CorruptMetadata, match="later version"):
        meta.decode(value)
