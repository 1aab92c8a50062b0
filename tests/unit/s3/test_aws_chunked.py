"""Chunked bodies: everything that was sent comes out, and nothing that was tampered with passes."""

import hashlib
import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ais.auth import signing
from ais.s3 import sigv4
from ais.s3.aws_chunked import ChunkDecoder
from ais.s3.errors import S3Error

SIGNED = sigv4.Signed(
    signing.signing_key("secret", "20260102", "us-east-1"),
    "20260102/us-east-1/s3/aws4_request",
    "20260102T030405Z",
    "5eed",
)
TRAILER = "x-amz-checksum-crc32c"


def _sign(previous: str, data: bytes) -> str:
    digest = hashlib.sha256(data).hexdigest()
    text = f"AWS4-HMAC-SHA256-PAYLOAD\n{SIGNED.timestamp}\n{SIGNED.scope}\n{previous}\n{sigv4.EMPTY_SHA256}\n{digest}"
    return hmac.new(SIGNED.key, text.encode(), hashlib.sha256).hexdigest()


def _signed_chunks(pieces: list[bytes]) -> list[bytes]:
    previous, chunks = SIGNED.signature, []
    for piece in [*pieces, b""]:
        previous = _sign(previous, piece)
        chunks.append(
            b"%x;chunk-signature=%s\r\n%s" % (len(piece), previous.encode(), piece + b"\r\n" if piece else b"")
        )
    return [*chunks, b"\r\n"]


def _unsigned(pieces: list[bytes], trailer: bytes = b"") -> bytes:
    return b"".join(b"%x\r\n%s\r\n" % (len(one), one) for one in pieces) + b"0\r\n" + trailer + b"\r\n"


def _decode(body: bytes, decoder: ChunkDecoder, step: int = 1 << 20) -> bytes:
    out = b"".join(
        bytes(piece) for at in range(0, len(body), step) for piece in decoder.feed(memoryview(body)[at : at + step])
    )
    decoder.finish()
    return out


PIECES = st.lists(st.binary(min_size=1, max_size=60), max_size=5)


@given(PIECES, st.integers(1, 50))
def test_signed_round_trip(pieces: list[bytes], step: int) -> None:
    """However the network cuts it, the content comes out."""
    content = b"".join(pieces)
    assert _decode(b"".join(_signed_chunks(pieces)), ChunkDecoder(len(content), SIGNED), step) == content


@given(PIECES, st.integers(1, 50))
def test_unsigned_with_trailer(pieces: list[bytes], step: int) -> None:
    """The trailing checksum is handed out."""
    content = b"".join(pieces)
    decoder = ChunkDecoder(len(content), None, frozenset([TRAILER]))
    assert _decode(_unsigned(pieces, TRAILER.encode() + b":AAAAAA==\r\n"), decoder, step) == content
    assert decoder.trailers == {TRAILER: "AAAAAA=="}


def _fails(body: bytes, decoder: ChunkDecoder) -> str:
    with pytest.raises(S3Error) as caught:
        _decode(body, decoder)
    return caught.value.code


def test_tampering_is_seen() -> None:
    """A chunk that was changed, dropped, repeated or swapped does not verify."""
    chunks = _signed_chunks([b"aaaa", b"bbbb"])
    changed = [chunks[0].replace(b"aaaa", b"aaab"), *chunks[1:]]
    assert _fails(b"".join(changed), ChunkDecoder(8, SIGNED)) == "SignatureDoesNotMatch"
    assert _fails(b"".join([chunks[1], chunks[0], *chunks[2:]]), ChunkDecoder(8, SIGNED)) == "SignatureDoesNotMatch"
    assert _fails(b"".join([chunks[0], chunks[0], *chunks[1:]]), ChunkDecoder(12, SIGNED)) == "SignatureDoesNotMatch"
    assert _fails(b"".join([chunks[0], *chunks[2:]]), ChunkDecoder(4, SIGNED)) == "SignatureDoesNotMatch"
    assert _fails(_unsigned([b"aaaa"]), ChunkDecoder(4, SIGNED)) == "SignatureDoesNotMatch"


@pytest.mark.parametrize("cut", range(1, 20, 3))
def test_cut_body_is_incomplete(cut: int) -> None:
    """A body that ends early is never complete."""
    body = _unsigned([b"0123456789"])
    assert _fails(body[: -cut - 2], ChunkDecoder(10)) == "IncompleteBody"


@pytest.mark.parametrize(
    ("body", "length", "code"),
    [
        (b"4\r\naaaaX\r\n0\r\n\r\n", 4, "InvalidChunkSizeError"),
        (b"4\r\naaaa\r\n0\r\n\r\n", 5, "IncompleteBody"),
        (b"4\r\naaaa\r\n0\r\n\r\n", 3, "IncompleteBody"),
        (b"4\r\naaaa\r\n0\r\n\r\nmore", 4, "IncompleteBody"),
        (b"zz\r\n", 4, "InvalidRequest"),
        (b"4\naaaa\r\n0\r\n\r\n", 4, "InvalidRequest"),
        (b"4;chunk-signature=short\r\n", 4, "InvalidRequest"),
        (b"f" * 400, 4, "InvalidRequest"),
        (b"0\r\nx-other:1\r\n\r\n", 0, "MalformedTrailerError"),
        (b"0\r\nno colon\r\n\r\n", 0, "MalformedTrailerError"),
        (b"-1\r\n", 4, "InvalidRequest"),
    ],
)
def test_malformed(body: bytes, length: int, code: str) -> None:
    """Each malformation has its code."""
    assert _fails(body, ChunkDecoder(length)) == code


def test_missing_and_forged_trailer() -> None:
    """An announced trailer must come, and on a signed body be signed."""
    assert _fails(_unsigned([b"a"]), ChunkDecoder(1, None, frozenset([TRAILER]))) == "MalformedTrailerError"
    chunks = _signed_chunks([b"a"])[:-1]
    last = _sign(_sign(SIGNED.signature, b"a"), b"")
    line = f"{TRAILER}:AAAAAA==\n".encode()
    good = f"x-amz-trailer-signature:{sigv4.trailer_signature(SIGNED, last, line)}\r\n\r\n".encode()
    head = b"".join(chunks) + line[:-1] + b"\r\n"
    assert _decode(head + good, ChunkDecoder(1, SIGNED, frozenset([TRAILER]))) == b"a"
    forged = b"x-amz-trailer-signature:" + b"0" * 64 + b"\r\n\r\n"
    assert _fails(head + forged, ChunkDecoder(1, SIGNED, frozenset([TRAILER]))) == "SignatureDoesNotMatch"
    assert _fails(head + b"\r\n", ChunkDecoder(1, SIGNED, frozenset([TRAILER]))) == "SignatureDoesNotMatch"
