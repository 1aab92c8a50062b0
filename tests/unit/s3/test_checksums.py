"""Checksums of S3: values of the reference implementation, of parts, and the refusal of wrong claims."""

import base64
import hashlib
import zlib

import pytest
import xxhash
from hypothesis import given
from hypothesis import strategies as st

from ais.s3 import checksums
from ais.s3.errors import S3Error

CHECK_VALUES = {
    "CRC32": "y/Q5Jg==",
    "CRC32C": "4waSgw==",
    "CRC64NVME": "rosUhgp5mIg=",
    "SHA1": base64.b64encode(hashlib.sha1(b"123456789").digest()).decode(),
    "SHA256": base64.b64encode(hashlib.sha256(b"123456789").digest()).decode(),
    "SHA512": base64.b64encode(hashlib.sha512(b"123456789").digest()).decode(),
    "MD5": base64.b64encode(hashlib.md5(b"123456789").digest()).decode(),
    "XXHASH64": base64.b64encode(bytes.fromhex("8cb841db40e6ae83")).decode(),
    "XXHASH3": base64.b64encode(xxhash.xxh3_64_digest(b"123456789")).decode(),
    "XXHASH128": base64.b64encode(xxhash.xxh3_128_digest(b"123456789")).decode(),
}
EMPTY = {"XXHASH3": "2d06800538d394c2", "XXHASH128": "99aa06d3014798d86001c324468d497f"}


@pytest.mark.parametrize("name", sorted(checksums.ALGORITHMS))
def test_check_value(name: str) -> None:
    """Each algorithm gives the catalogued check value of `123456789`, also when fed in pieces."""
    hasher = checksums.by_name(name.lower()).new()
    hasher.update(b"1234")
    hasher.update(memoryview(b"56789"))
    assert checksums.encode(hasher.digest()) == CHECK_VALUES[name]


@pytest.mark.parametrize("name", EMPTY)
def test_value_of_nothing(name: str) -> None:
    """The published value of the empty input: which of the XXH3 family it is, and in which order its bytes come."""
    assert checksums.by_name(name).new().digest().hex() == EMPTY[name]


@given(st.lists(st.binary(max_size=50), min_size=1, max_size=5), st.sampled_from(["CRC32", "CRC32C", "CRC64NVME"]))
def test_full_object_from_parts(parts: list[bytes], name: str) -> None:
    """The CRC of the content follows from those of the parts."""
    algorithm = checksums.by_name(name)

    def digest(data: bytes) -> bytes:
        hasher = algorithm.new()
        hasher.update(data)
        return hasher.digest()

    combined = checksums.full_object(algorithm, [(digest(part), len(part)) for part in parts])
    assert combined == checksums.encode(digest(b"".join(parts)))


def test_composite_and_multipart_etag() -> None:
    """`value-N` over the digests of the parts."""
    digests = [zlib.crc32(one).to_bytes(4, "big") for one in (b"a", b"b")]
    expected = base64.b64encode(zlib.crc32(b"".join(digests)).to_bytes(4, "big")).decode()
    assert checksums.composite(checksums.by_name("CRC32"), digests) == f"{expected}-2"
    md5s = [hashlib.md5(one).digest() for one in (b"a", b"b")]
    assert checksums.multipart_etag(md5s) == hashlib.md5(b"".join(md5s)).hexdigest() + "-2"


def test_read_claim() -> None:
    """Header, trailer, or only the name of the algorithm."""
    crc32 = checksums.by_name("CRC32")
    assert checksums.read_claim({}) is None
    assert checksums.read_claim({"x-amz-checksum-crc32": ["y/Q5Jg=="]}) == (crc32, "y/Q5Jg==")
    assert checksums.read_claim({"x-amz-trailer": ["x-amz-checksum-crc32"]}) == (crc32, None)


@pytest.mark.parametrize(
    "headers",
    [
        {"x-amz-checksum-crc32": ["y/Q5Jg="]},
        {"x-amz-checksum-crc32": ["AAAA"]},
        {"x-amz-checksum-crc32": ["y/Q5Jg=="], "x-amz-checksum-crc32c": ["4waSgw=="]},
        {"x-amz-checksum-crc32": ["y/Q5Jg=="], "x-amz-trailer": ["x-amz-checksum-sha1"]},
        {"x-amz-checksum-crc32": ["y/Q5Jg=="], "x-amz-sdk-checksum-algorithm": ["SHA1"]},
        {"x-amz-sdk-checksum-algorithm": ["MD4"]},
    ],
)
def test_wrong_claims(headers: dict[str, list[str]]) -> None:
    """Bad base64, wrong size, two at once, and contradictions are refused."""
    with pytest.raises(S3Error) as caught:
        checksums.read_claim(headers)
    assert caught.value.code == "InvalidRequest"


@pytest.mark.parametrize("value", ["", "x", "AAAA", "not base64!"])
def test_bad_content_md5(value: str) -> None:
    """Content-MD5 is base64 of 16 bytes."""
    with pytest.raises(S3Error) as caught:
        checksums.read_content_md5({"content-md5": [value]})
    assert caught.value.code == "InvalidDigest"
