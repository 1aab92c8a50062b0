"""Where a body ends: a count of bytes, chunked encoding (RFC 9112 §7.1), the end of the connection. No I/O.

All framings decode in place: `take(view)` looks at raw bytes just received, moves the payload to the front of `view`
and returns (payload bytes, raw bytes consumed). Bytes beyond `consumed` belong to the next message.

Chunked states: SIZE (hex digits, extension ignored, CRLF) → DATA → DATA_END (CRLF) → SIZE …; a size of 0 → TRAILER
(header lines, dropped) until an empty line → DONE.
"""

import enum
import re

from ais.base.errors import BadRequest, TooLarge

SIZE_LINE_BYTES_MAX = 256
TRAILER_BYTES_MAX = 8192

_SIZE_LINE = re.compile(rb"([0-9A-Fa-f]{1,15})(?:[ \t]*;[\t\x20-\x7e\x80-\xff]*)?")
_TRAILER_LINE = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+:[\t\x20-\x7e\x80-\xff]*")


class FixedBody:
    """A body of `remaining` more bytes."""

    __slots__ = ("remaining",)

    def __init__(self, length: int) -> None:
        self.remaining = length

    @property
    def is_done(self) -> bool:
        """Whether the whole body has been taken."""
        return self.remaining == 0

    def take(self, view: memoryview) -> tuple[int, int]:
        """(payload bytes, consumed bytes), which are the same here."""
        taken = min(self.remaining, len(view))
        self.remaining -= taken
        return taken, taken


class _State(enum.Enum):
    SIZE = enum.auto()
    DATA = enum.auto()
    DATA_END = enum.auto()
    TRAILER = enum.auto()
    DONE = enum.auto()


class ChunkedBody:
    """Decoder of one chunked body."""

    __slots__ = ("_line", "_state", "_trailer_bytes", "remaining")

    def __init__(self) -> None:
        self._state = _State.SIZE
        self._line = b""
        self._trailer_bytes = 0
        self.remaining = 0
        """Bytes of the present chunk that have not come yet."""

    @property
    def is_done(self) -> bool:
        """Whether the whole body has been taken."""
        return self._state is _State.DONE

    def take(self, view: memoryview) -> tuple[int, int]:
        """Decode `view` in place. Raise `BadRequest` for bad framing, `TooLarge` for endless lines or trailers."""
        payload = position = 0
        while position < len(view) and self._state is not _State.DONE:
            if self._state is _State.DATA:
                count = min(self.remaining, len(view) - position)
                if payload != position:
                    view[payload : payload + count] = view[position : position + count]
                payload, position = payload + count, position + count
                self.remaining -= count
                if not self.remaining:
                    self._state = _State.DATA_END
            else:
                position += self._take_line(view[position : position + SIZE_LINE_BYTES_MAX])
        return payload, position

    def _take_line(self, view: memoryview) -> int:
        """Consume bytes up to the end of the present line; the line may have begun in an earlier buffer."""
        before = len(self._line)
        line = self._line + view.tobytes()
        end = line.find(b"\r\n", max(before - 1, 0))
        if end < 0:
            self._line = line
            self._check_unfinished_line(len(view))
            return len(view)
        self._line = b""
        if self._state is _State.TRAILER:
            self._trailer_bytes += end + 2 - before
        self._end_line(line[:end])
        return end + 2 - before

    def _check_unfinished_line(self, added: int) -> None:
        if self._state is _State.TRAILER:
            self._trailer_bytes += added
            if self._trailer_bytes > TRAILER_BYTES_MAX:
                raise TooLarge(f"chunked trailers exceed {TRAILER_BYTES_MAX} bytes")
        elif self._state is _State.DATA_END and self._line != b"\r":
            raise BadRequest("chunk is not followed by a line break")
        elif len(self._line) > SIZE_LINE_BYTES_MAX:
            raise BadRequest("chunk size line is too long")

    def _end_line(self, line: bytes) -> None:
        if self._state is _State.DATA_END:
            if line:
                raise BadRequest("chunk is not followed by a line break")
            self._state = _State.SIZE
        elif self._state is _State.SIZE:
            match = _SIZE_LINE.fullmatch(line)
            if match is None or len(line) > SIZE_LINE_BYTES_MAX:
                raise BadRequest("malformed chunk size")
            self.remaining = int(match[1], 16)
            self._state = _State.DATA if self.remaining else _State.TRAILER
        elif not line:
            self._state = _State.DONE
        elif self._trailer_bytes > TRAILER_BYTES_MAX:
            raise TooLarge(f"chunked trailers exceed {TRAILER_BYTES_MAX} bytes")
        elif not _TRAILER_LINE.fullmatch(line):
            raise BadRequest("malformed chunked trailer")


class OpenBody:
    """The body of an answer that ends with the connection; only whoever sees that end knows that it is complete."""

    __slots__ = ()

    is_done = False

    def take(self, view: memoryview) -> tuple[int, int]:
        """Everything is payload."""
        return len(view), len(view)


Body = FixedBody | ChunkedBody
AnswerBody = FixedBody | ChunkedBody | OpenBody
