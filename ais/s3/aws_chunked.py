"""`aws-chunked` bodies, without I/O (Amazon S3 API reference, "Transferring payload in multiple chunks").

    <hex size>[;chunk-signature=<64 hex>]\r\n <data> \r\n  ...  0[;chunk-signature=<64 hex>]\r\n [<trailer lines>] \r\n

Feed what arrives; data comes out as views of what was fed, never copied. Signatures are chained: each chunk's covers
the one before it, so a chunk that was cut, changed, repeated or moved does not verify. The data of a chunk is handed
out before its signature can be checked; whoever stores it must not make it visible before `finish` returned.
"""

import hashlib
import hmac
import re
from collections.abc import Iterator
from enum import Enum, auto

from ais.s3 import sigv4
from ais.s3.errors import S3Error

LINE_BYTES_MAX = 256
TRAILER_BYTES_MAX = 4096
_CHUNK_LINE = re.compile(rb"([0-9a-fA-F]{1,16})(?:;chunk-signature=([0-9a-f]{64}))?")


class _State(Enum):
    HEADER = auto()
    DATA = auto()
    DATA_END = auto()
    TRAILER = auto()
    DONE = auto()


class ChunkDecoder:
    """Decoder of one body.

    `length` is the announced decoded length in bytes (`x-amz-decoded-content-length`); `signed` the verified request
    when every chunk must be signed, else None; `trailers` the lower-case names announced in `x-amz-trailer`.
    """

    def __init__(self, length: int, signed: sigv4.Signed | None = None, trailers: frozenset[str] = frozenset()) -> None:
        self._length = length
        self._signed = signed
        self._announced = trailers
        self._previous = signed.signature if signed else ""
        self._state = _State.HEADER
        self._pending = bytearray()
        self._left = 0
        self._received = 0
        self._claimed = b""
        self._sha256 = hashlib.sha256()
        self._trailer = bytearray()
        self._trailer_signature: str | None = None
        self.trailers: dict[str, str] = {}

    def feed(self, data: memoryview) -> Iterator[memoryview]:
        """Yield the pieces of content in `data`. Raise `S3Error` at the first byte that cannot be right."""
        while data:
            if self._state is _State.DATA:
                piece = data[: self._left]
                data = data[len(piece) :]
                self._take(piece)
                yield piece
            elif self._state is _State.DONE:
                raise S3Error("IncompleteBody", "There is data behind the last chunk")
            else:
                line, data = self._line(data)
                if line is not None:
                    self._on_line(line)

    def finish(self) -> dict[str, str]:
        """The trailing headers, once all of the body was fed. Raise `S3Error` when something is missing."""
        if self._state is _State.TRAILER and not self._pending and not self._trailer and not self._announced:
            self._state = _State.DONE  # some clients leave out the last empty line
        if self._state is not _State.DONE:
            raise S3Error("IncompleteBody", "The body ended in the middle of a chunk")
        if self._received != self._length:
            raise S3Error("IncompleteBody", f"{self._received} bytes arrived, {self._length} were announced")
        missing = self._announced - self.trailers.keys()
        if missing:
            raise S3Error("MalformedTrailerError", f"The announced trailer {min(missing)} did not arrive")
        return self.trailers

    def _take(self, piece: memoryview) -> None:
        if self._signed:
            self._sha256.update(piece)
        self._left -= len(piece)
        if self._left == 0:
            self._check_chunk()
            self._state = _State.DATA_END

    def _line(self, data: memoryview) -> tuple[bytes | None, memoryview]:
        """The next line without its end, or None when it is not complete yet; and what follows it."""
        chunk = bytes(data[: LINE_BYTES_MAX + 2])
        end = chunk.find(b"\n")
        taken = len(chunk) if end < 0 else end + 1
        self._pending += chunk[:taken]
        if len(self._pending) > LINE_BYTES_MAX:
            raise S3Error("InvalidRequest", "A chunk header or trailer line is too long")
        if end < 0:
            return None, data[taken:]
        line = bytes(self._pending)
        self._pending.clear()
        if self._state is _State.TRAILER:
            return line.rstrip(b"\r\n"), data[taken:]
        if not line.endswith(b"\r\n"):
            raise S3Error("InvalidRequest", "A chunk header must end with CR LF")
        return line[:-2], data[taken:]

    def _on_line(self, line: bytes) -> None:
        if self._state is _State.DATA_END:
            if line:
                raise S3Error("InvalidChunkSizeError")
            self._state = _State.HEADER
        elif self._state is _State.HEADER:
            self._on_header(line)
        else:
            self._on_trailer(line)

    def _on_header(self, line: bytes) -> None:
        match = _CHUNK_LINE.fullmatch(line)
        if match is None:
            raise S3Error("InvalidRequest", "A chunk header must read <hex size>[;chunk-signature=<64 hex digits>]")
        if self._signed and match[2] is None:
            raise S3Error("SignatureDoesNotMatch", "A chunk of a signed body carries no signature")
        self._left, self._claimed = int(match[1], 16), match[2] or b""
        if self._received + self._left > self._length:
            raise S3Error("IncompleteBody", f"More bytes arrive than the {self._length} announced")
        self._received += self._left
        if self._left:
            self._state = _State.DATA
        else:
            self._check_chunk()
            self._state = _State.TRAILER

    def _check_chunk(self) -> None:
        if self._signed:
            expected = sigv4.chunk_signature(self._signed, self._previous, self._sha256.hexdigest())
            if not hmac.compare_digest(expected.encode(), self._claimed):
                raise S3Error("SignatureDoesNotMatch", "The signature of a chunk does not match its data")
            self._previous = expected
            self._sha256 = hashlib.sha256()

    def _on_trailer(self, line: bytes) -> None:
        if not line:
            self._check_trailer()
            self._state = _State.DONE
            return
        if len(self._trailer) + len(line) > TRAILER_BYTES_MAX:
            raise S3Error("MalformedTrailerError", "The trailing headers are too large")
        name, separator, value = line.partition(b":")
        text = name.strip().lower().decode("latin-1")
        if not separator or not text:
            raise S3Error("MalformedTrailerError")
        if text == "x-amz-trailer-signature":
            self._trailer_signature = value.strip().decode("latin-1")
        elif text not in self._announced:
            raise S3Error("MalformedTrailerError", f"The trailer {text} was not announced in x-amz-trailer")
        elif self._trailer_signature is not None or text in self.trailers:
            raise S3Error("MalformedTrailerError", f"The trailer {text} is out of place")
        else:
            self.trailers[text] = value.strip().decode("latin-1")
            self._trailer += name.strip().lower() + b":" + value.strip() + b"\n"

    def _check_trailer(self) -> None:
        if self._signed and self._announced:
            expected = sigv4.trailer_signature(self._signed, self._previous, bytes(self._trailer))
            if not hmac.compare_digest((self._trailer_signature or "").encode(), expected.encode()):
                raise S3Error("SignatureDoesNotMatch", "The signature of the trailing headers does not match them")
