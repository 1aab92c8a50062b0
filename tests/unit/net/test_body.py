"""Body framing, fed in every kind of pieces."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ais.base.errors import AisError, BadRequest, TooLarge
from ais.net.body import TRAILER_BYTES_MAX, ChunkedBody, FixedBody


def decode(raw: bytes, cuts: list[int]) -> tuple[bytes, bytes, bool]:
    """Feed `raw` in pieces of the given sizes (the last takes the rest): payload, bytes left over, whether it ended."""
    body, payload, position = ChunkedBody(), b"", 0
    for size in [*cuts, len(raw)]:
        piece = bytearray(raw[position : position + size])
        view = memoryview(piece)
        length, consumed = body.take(view)
        payload += bytes(view[:length])
        position += consumed
        if body.is_done:
            break
        assert consumed == len(piece)
    return payload, raw[position:], body.is_done


@given(
    st.lists(st.binary(min_size=1, max_size=300), max_size=6),
    st.lists(st.integers(1, 40), max_size=60),
    st.sampled_from([b"", b";ext", b" ; name=value"]),
    st.sampled_from([b"", b"Trailer: x\r\n", b"A: b\r\nC:\r\n"]),
    st.sampled_from([b"", b"GET / HTTP/1.1\r\n\r\n"]),
)
def test_round_trip(chunks: list[bytes], cuts: list[int], extension: bytes, trailers: bytes, behind: bytes) -> None:
    """Any chunks in any pieces give the payload, and never touch the next request."""
    raw = b"".join(b"%x%b\r\n%b\r\n" % (len(one), extension, one) for one in chunks)
    raw += b"000\r\n" + trailers + b"\r\n" + behind
    assert decode(raw, cuts) == (b"".join(chunks), behind, True)


@given(st.binary(max_size=400), st.lists(st.integers(1, 20), max_size=20))
def test_garbage(raw: bytes, cuts: list[int]) -> None:
    """Nothing but our errors comes out of it."""
    with contextlib.suppress(AisError):
        decode(raw, cuts)


@pytest.mark.parametrize("cuts", [[], [1] * 400])
@pytest.mark.parametrize(
    "raw",
    [
        b"\r\n",
        b"g\r\n",
        b"-1\r\n",
        b"+1\r\nx",
        b"0x1\r\nx",
        b"1 1\r\nx",
        b" 1\r\nx",
        b"1\nx\r\n",
        b"1;\x00\r\nx",
        b"1234567890123456\r\n",
        b"1\r\nxy\r\n",
        b"1\r\nx\n0\r\n\r\n",
        b"1\r\nx\rx",
        b"1;" + b"e" * 300 + b"\r\nx",
        b"0\r\nno colon\r\n\r\n",
        b"0\r\nA: b\x00\r\n\r\n",
        b"0\r\n folded\r\n\r\n",
    ],
)
def test_bad_framing(raw: bytes, cuts: list[int]) -> None:
    """Whatever could hide a request is refused."""
    with pytest.raises(BadRequest):
        decode(raw, cuts)


@pytest.mark.parametrize("cuts", [[], [100] * 200])
@pytest.mark.parametrize("line", [b"A: b\r\n", b"A: " + b"x" * 3000 + b"\r\n"])
def test_endless_trailers(line: bytes, cuts: list[int]) -> None:
    """Trailers have a limit, in one line or in many."""
    with pytest.raises(TooLarge):
        decode(b"0\r\n" + line * (TRAILER_BYTES_MAX // len(line) + 1) + b"\r\n", cuts)


def test_fixed() -> None:
    """A counted body takes what belongs to it."""
    body = FixedBody(5)
    assert body.take(memoryview(bytearray(b"abc"))) == (3, 3)
    assert not body.is_done
    assert body.take(memoryview(bytearray(b"deXYZ"))) == (2, 2)
    assert body.is_done
