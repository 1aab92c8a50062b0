"""Durations and sizes: `1m30s`, `64MiB` for people and the wire, float seconds and int bytes inside the program."""

import re
from typing import Self

from ais.base.errors import BadRequest

_SECONDS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_DURATION_PART = re.compile(r"(\d{1,18}(?:\.\d{0,18})?|\.\d{1,18})(ns|us|µs|ms|s|m|h)")
_IEC = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")
_SIZE = re.compile(r"\s*(\d{1,18}(?:\.\d{1,18})?)\s*([kmgtp]?)(i?)b?\s*", re.IGNORECASE)


_DIGITS_MAX = 18


def is_whole(text: str) -> bool:
    """Whether a text is a whole number of at most 18 digits: Python refuses to read thousands of them."""
    return len(text) <= _DIGITS_MAX and text.isascii() and text.isdigit()


class Duration(float):
    """Seconds; on the wire a Go duration string such as `10s` or `2h0m` (integers are nanoseconds)."""

    @classmethod
    def parse(cls, text: str | int) -> Self:
        """Read Go's notation, or a bare integer of nanoseconds. Raise `BadRequest` for anything else."""
        if isinstance(text, int):
            return cls(text / 1e9)
        body = text.strip()
        sign = -1.0 if body.startswith("-") else 1.0
        body = body[1:] if body[:1] in ("+", "-") else body
        if body == "0":
            return cls(0.0)
        if is_whole(body):
            return cls(sign * int(body) / 1e9)
        parts = _DURATION_PART.findall(body)
        if not parts or "".join(number + unit for number, unit in parts) != body:
            raise BadRequest(f'invalid duration "{text}": write it like 10s, 1m30s or 500ms')
        return cls(sign * sum(float(number) * _SECONDS[unit] for number, unit in parts))

    def __str__(self) -> str:
        return format_duration(self)


class Size(int):
    """Bytes; on the wire an IEC string such as `64MiB`."""

    @classmethod
    def parse(cls, text: str | int) -> Self:
        """Read `1048576`, `1MiB`, `1mb`, `1.5g` (all units binary). Raise `BadRequest` for anything else."""
        if isinstance(text, int):
            return cls(text)
        match = _SIZE.fullmatch(text)
        if match is None:
            raise BadRequest(f'invalid size "{text}": write it like 4096, 64KiB or 1GiB')
        number, unit, _ = match.groups()
        return cls(float(number) * 1024 ** " kmgtp".index(unit.lower() or " "))

    def __str__(self) -> str:
        return format_size(self)


def format_duration(seconds: float) -> str:
    """Go's notation without trailing zero units: 90 -> `1m30s`, 7200 -> `2h0m`, 0.1 -> `100ms`."""
    if seconds == 0:
        return "0s"
    if seconds < 0:
        return "-" + format_duration(-seconds)
    if seconds < 1:
        for unit, scale in (("ms", 1e3), ("µs", 1e6), ("ns", 1e9)):
            if (value := round(seconds * scale, 6)) >= 1:
                return f"{value:g}{unit}"
    minutes, rest = divmod(round(seconds, 9), 60)
    hours, minutes = divmod(int(minutes), 60)
    text = f"{hours}h{minutes}m" if hours else f"{minutes}m" if minutes else ""
    return text + (f"{rest:.9g}s" if rest else "")


def format_size(size_bytes: int) -> str:
    """Shortest exact-to-two-digits IEC notation: 65536 -> `64KiB`, 1536 -> `1.5KiB`, 12 -> `12B`."""
    value, unit = float(size_bytes), 0
    while abs(value) >= 1024 and unit < len(_IEC) - 1:
        value, unit = value / 1024, unit + 1
    return f"{value:.2f}".rstrip("0").rstrip(".") + _IEC[unit]


def parse_bool(text: str) -> bool:
    """`true`, `yes`, `y`, `on`, `1` in any case are true; the empty string and everything else is false."""
    return text.lower() in ("true", "yes", "y", "on", "1")
