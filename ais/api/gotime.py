"""Times as clients ask for them: Go's reference-time layouts (`wire.md` §11, `time_format`), always in UTC.

A layout is an example: how `Mon Jan 2 15:04:05 MST 2006` would be written. Text that is no part of the example is
copied. The names of the usual layouts (`RFC822`, `RFC3339`, ...) are taken too.
"""

import functools
import re
from collections.abc import Callable
from datetime import UTC, datetime

from ais.base.errors import BadRequest

RFC822 = "02 Jan 06 15:04 MST"
LAYOUT_LEN_MAX = 128

NAMED = {
    "": RFC822,
    "ANSIC": "Mon Jan _2 15:04:05 2006",
    "UnixDate": "Mon Jan _2 15:04:05 MST 2006",
    "RFC822": RFC822,
    "RFC822Z": "02 Jan 06 15:04 -0700",
    "RFC850": "Monday, 02-Jan-06 15:04:05 MST",
    "RFC1123": "Mon, 02 Jan 2006 15:04:05 MST",
    "RFC1123Z": "Mon, 02 Jan 2006 15:04:05 -0700",
    "RFC3339": "2006-01-02T15:04:05Z07:00",
    "RFC3339Nano": "2006-01-02T15:04:05.999999999Z07:00",
    "Kitchen": "3:04PM",
    "Stamp": "Jan _2 15:04:05",
    "DateTime": "2006-01-02 15:04:05",
    "DateOnly": "2006-01-02",
    "TimeOnly": "15:04:05",
}

_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_MONTHS = (
    "January", "February", "March", "April", "May", "June",
    "July", "August", "September", "October", "November", "December",
)  # fmt: skip

# Words longest first. "2" and "1" alone must not swallow the start of a longer number, hence 2006, 15, 01... before.
_WORD = re.compile(
    r"January|Jan|Monday|Mon|MST|2006|Z07:00:00|Z070000|Z07:00|Z0700|Z07|-07:00:00|-070000|-07:00|-0700|-07"
    r"|[.,]0+(?!\d)|[.,]9+(?!\d)|__2|002|01|02|03|04|05|06|15|_2(?!006)|PM|pm|1|2|3|4|5"
)

_FIELDS: dict[str, Callable[[datetime], str]] = {
    "January": lambda t: _MONTHS[t.month - 1],
    "Jan": lambda t: _MONTHS[t.month - 1][:3],
    "Monday": lambda t: _DAYS[t.weekday()],
    "Mon": lambda t: _DAYS[t.weekday()][:3],
    "MST": lambda _: "UTC",
    "2006": lambda t: f"{t.year:04d}",
    "06": lambda t: f"{t.year % 100:02d}",
    "01": lambda t: f"{t.month:02d}",
    "1": lambda t: str(t.month),
    "02": lambda t: f"{t.day:02d}",
    "_2": lambda t: f"{t.day:2d}",
    "2": lambda t: str(t.day),
    "002": lambda t: f"{t.timetuple().tm_yday:03d}",
    "__2": lambda t: f"{t.timetuple().tm_yday:3d}",
    "15": lambda t: f"{t.hour:02d}",
    "03": lambda t: f"{t.hour % 12 or 12:02d}",
    "3": lambda t: str(t.hour % 12 or 12),
    "04": lambda t: f"{t.minute:02d}",
    "4": lambda t: str(t.minute),
    "05": lambda t: f"{t.second:02d}",
    "5": lambda t: str(t.second),
    "PM": lambda t: "PM" if t.hour >= 12 else "AM",
    "pm": lambda t: "pm" if t.hour >= 12 else "am",
    "-0700": lambda _: "+0000",
    "-07:00": lambda _: "+00:00",
    "-07": lambda _: "+00",
    "-070000": lambda _: "+000000",
    "-07:00:00": lambda _: "+00:00:00",
}


@functools.lru_cache(maxsize=64)
def formatter(layout: str) -> Callable[[int], str]:
    """A function from nanoseconds since the epoch to text in `layout`; 0 becomes the empty string.

    `layout` is a Go layout or the name of a usual one, empty for RFC 822. Raise `BadRequest` when it is too long.
    """
    if len(layout) > LAYOUT_LEN_MAX:
        raise BadRequest(f"time format is longer than {LAYOUT_LEN_MAX} characters")
    parts = _split(NAMED.get(layout, layout))

    def write(time_ns: int) -> str:
        if not time_ns:
            return ""
        seconds, fraction_ns = divmod(time_ns, 1_000_000_000)
        moment = datetime.fromtimestamp(seconds, UTC)
        return "".join(part if isinstance(part, str) else part(moment, fraction_ns) for part in parts)

    return write


def _split(layout: str) -> list[str | Callable[[datetime, int], str]]:
    parts: list[str | Callable[[datetime, int], str]] = []
    position = 0
    for match in _WORD.finditer(layout):
        if match.start() > position:
            parts.append(layout[position : match.start()])
        parts.append(_field(match.group()))
        position = match.end()
    if position < len(layout):
        parts.append(layout[position:])
    return parts


def _field(word: str) -> str | Callable[[datetime, int], str]:
    if word[0] == "Z":
        return "Z"
    if word[0] in ".,":
        return functools.partial(_fraction, word)
    field = _FIELDS[word]
    return lambda moment, _: field(moment)


def _fraction(word: str, _: datetime, fraction_ns: int) -> str:
    """`.000` keeps trailing zeros, `.999` drops them and with them the point."""
    digits = f"{fraction_ns:09d}".ljust(len(word) - 1, "0")[: len(word) - 1]
    if word[1] == "9":
        digits = digits.rstrip("0")
    return word[0] + digits if digits else ""
