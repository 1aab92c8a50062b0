"""Long JSON in pieces: one call of the decoder, or encoder, for a million names would keep all other threads waiting.

What is long is one list, of names usually. It is cut where one of its elements seems to end; a piece that is no list of
whole elements is found out by the decoder, and then the text is decoded at once. So what comes out is what the decoder
makes of the whole: texts that are lists, one after the other with commas between them, are one list.

What was decoded is given back in pieces as well (`Freeing`).
"""

import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import msgspec

BYTES_MIN = 1 << 20
"""Less takes a few milliseconds."""
PIECE_BYTES = 256 << 10
AROUND_BYTES_MAX = 64 << 10
"""Of what stands before the list, and behind it."""
_ENDS = (b'","', b'", "', b"},{", b"}, {")
"""How elements end and the next ones begin."""
_MARK = "\N{OBJECT REPLACEMENT CHARACTER} the list"
_ENCODED_TOGETHER = 10_000
FREED_TOGETHER = 5000
_LOOK_S = 0.05
_decoder = msgspec.json.Decoder()
_encoder = msgspec.json.Encoder()


class Freeing:
    """Empties lists piece by piece: to free a million objects is one step of Python, in which no other thread runs.

    Lists are kept until nobody else has them: then those that were made of them, with the same elements, are gone too.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: list[list[Any]] = []
        self.thread: threading.Thread | None = None
        """There is one while there are lists."""

    def keep(self, elements: list[Any]) -> None:
        """Empty this list when the caller, and everybody after him, has forgotten it."""
        with self._lock:
            self._kept.append(elements)
            if self.thread is None:
                self.thread = threading.Thread(target=self._run, name="freeing", daemon=True)
                self.thread.start()

    def _run(self) -> None:
        while True:
            time.sleep(_LOOK_S)
            with self._lock:
                forgotten = self._forgotten()
                if not (forgotten or self._kept):
                    self.thread = None
                    return
            for elements in forgotten:
                while elements:
                    del elements[-FREED_TOGETHER:]

    def _forgotten(self) -> list[list[Any]]:
        kept, self._kept = self._kept, []
        found: list[list[Any]] = []
        while kept:
            elements = kept.pop()
            is_forgotten = sys.getrefcount(elements) <= 2  # `elements` and the argument
            (found if is_forgotten else self._kept).append(elements)
        return found


freeing = Freeing()


def decode(body: bytes) -> Any:
    """The value of a text, decoded with pauses for other threads where that can be. Raise `msgspec.DecodeError`."""
    taken = take_apart(body, _decoder)
    return _decoder.decode(body) if taken is None else taken[0]


def encode(text_of: Callable[[list[str]], bytes], elements: Sequence[str]) -> bytes:
    """What `text_of` gives for a list that stands in its text once, made with pauses for other threads."""
    if len(elements) <= _ENCODED_TOGETHER:
        return text_of(list(elements))
    before, _, after = text_of([_MARK]).partition(b'["%b"]' % _MARK.encode())
    starts = range(0, len(elements), _ENCODED_TOGETHER)
    return b"%b[%b]%b" % (
        before,
        b",".join(_encoder.encode(elements[start : start + _ENCODED_TOGETHER])[1:-1] for start in starts),
        after,
    )


def take_apart(body: bytes, elements: "msgspec.json.Decoder[Any]") -> tuple[Any, list[Any]] | None:
    """The value of a long text, and the list in it whose pieces were decoded with `elements`; None: decode it whole."""
    try:
        return _taken_apart(body, elements) if len(body) >= BYTES_MIN else None
    except (msgspec.DecodeError, _Whole):
        return None


class _Whole(Exception):
    """The text has another form."""


def _taken_apart(body: bytes, elements: "msgspec.json.Decoder[Any]") -> tuple[Any, list[Any]]:
    start, end = body.find(b"[", 0, AROUND_BYTES_MAX), body.rfind(b"]", len(body) - AROUND_BYTES_MAX)
    separator = next((one for one in _ENDS if body.find(one, start, start + AROUND_BYTES_MAX) >= 0), None)
    if start < 0 or end < 0 or separator is None:
        raise _Whole
    around = _decoder.decode(b'%b["%b"]%b' % (body[:start], _MARK.encode(), body[end + 1 :]))
    found = _find(around, [_MARK])
    if found is None:
        raise _Whole
    found.clear()
    freeing.keep(found)
    for piece in _pieces(body, start + 1, end, separator):
        found += elements.decode(b"[%b]" % piece)
    return around, found


def _pieces(body: bytes, start: int, end: int, separator: bytes) -> Iterator[bytes]:
    """What is between `start` and `end`, without the commas at which it was cut."""
    comma = separator.index(b",")
    while start < end:
        cut = body.find(separator, start + PIECE_BYTES, end)
        if cut < 0:
            yield body[start:end]
            return
        yield body[start : cut + comma]
        start = cut + comma + 1


def _find(value: Any, wanted: list[str]) -> list[Any] | None:
    """The list that is equal to `wanted`, in a small value."""
    if isinstance(value, list) and value == wanted:
        return value
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return next((found for one in inner if (found := _find(one, wanted)) is not None), None)
