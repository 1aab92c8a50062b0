"""Turning values into text: tables, JSON, sizes, times.

Tables are written here and not by a library: a listing of a million rows is written page by page, piped output must be
neither wrapped nor cut to a terminal's width, and columns stay aligned for wide characters.
"""

import json
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any, NamedTuple

import click

from ais.base.units import format_duration

GAP = "  "
_UNITS = {
    "iec": (1024, ("B", "KiB", "MiB", "GiB", "TiB", "PiB")),
    "si": (1000, ("B", "KB", "MB", "GB", "TB", "PB")),
}
UNITS = (*_UNITS, "raw")
_units: ContextVar[str] = ContextVar("units", default="iec")
NONE = "-"


class Column(NamedTuple):
    """A column's title, and whether its cells are numbers (aligned right)."""

    title: str
    is_number: bool = False


class TableWriter:
    """Writes rows in batches; columns are as wide as what was seen so far."""

    def __init__(self, columns: Sequence[Column], *, headers: bool = True) -> None:
        self._columns = columns
        self._widths = [width(column.title) if headers else 0 for column in columns]
        self._header_pending = headers

    def write(self, rows: Sequence[Sequence[str]]) -> None:
        """Write rows; the header comes before the first."""
        for row in rows:
            self._widths = [max(known, width(cell)) for known, cell in zip(self._widths, row, strict=True)]
        lines = [self._line(row) for row in rows]
        if self._header_pending:
            self._header_pending = False
            click.secho(self._line([column.title for column in self._columns]), bold=True)
        if lines:
            click.echo("\n".join(lines))

    def _line(self, cells: Sequence[str]) -> str:
        parts = []
        for cell, column, wanted in zip(cells, self._columns, self._widths, strict=True):
            padding = " " * (wanted - width(cell))
            parts.append(padding + cell if column.is_number else cell + padding)
        return GAP.join(parts).rstrip()


def print_table(columns: Sequence[Column], rows: Sequence[Sequence[str]], *, headers: bool = True) -> None:
    """Write a whole table."""
    TableWriter(columns, headers=headers).write(rows)


def print_properties(properties: Mapping[str, str], *, headers: bool = True) -> None:
    """Write a table of names and values."""
    print_table([Column("PROPERTY"), Column("VALUE")], list(properties.items()), headers=headers)


def print_json(value: Any) -> None:
    """Write a value as indented JSON."""
    from ais.api import codec

    click.echo(json.dumps(codec.to_builtins(value), indent=4, ensure_ascii=False))


def note(text: str) -> None:
    """Tell a person something that is not the command's output."""
    click.echo(text, err=True)


def width(text: str) -> int:
    """Terminal cells that `text` takes, without its colours."""
    plain = click.unstyle(text) if "\x1b" in text else text
    if plain.isascii():
        return len(plain)
    return sum(
        0 if unicodedata.combining(char) else 2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in plain
    )


def printable(name: str) -> str:
    """A name that cannot break the line or the terminal: control characters escaped."""
    return name if name.isprintable() else "".join(c if c.isprintable() else ascii(c)[1:-1] for c in name)


def size(count: int) -> str:
    """With two digits after the point, in the command's units: `1.50MiB`, `12B`."""
    if (wanted := _units.get()) == "raw":
        return str(count)
    base, names = _UNITS[wanted]
    value, units = float(count), iter(names)
    unit = next(units)
    while abs(value) >= base and unit != names[-1]:
        value, unit = value / base, next(units)
    return f"{count}B" if unit == "B" else f"{value:.2f}{unit}"


def use_units(units: str) -> None:
    """Write sizes in `iec` or `si` units or, `raw`, as plain numbers, as long as this command runs."""
    _units.set(units)


def rate(count: int) -> str:
    """Bytes per second."""
    return f"{size(count)}/s"


def percent(value: float) -> str:
    """A percentage without needless digits."""
    return f"{value:.0f}%" if value in (0, 100) or value == round(value) else f"{value:.2f}%"


def duration(time_ns: int) -> str:
    """A duration in Go's notation, coarser the longer it is."""
    seconds = time_ns / 1e9
    if seconds < 1:
        return format_duration(round(seconds, 3))
    if seconds < 3600:
        return format_duration(round(seconds))
    return format_duration(round(seconds / 60) * 60)


def moment(time_ns: int) -> str:
    """A time of day with its date, in the local zone."""
    if not time_ns:
        return NONE
    return datetime.fromtimestamp(time_ns / 1e9, UTC).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def flatten(tree: Any, prefix: str = "") -> dict[str, str]:
    """Nested JSON as dotted names and text: `{"a": {"b": true}}` is `{"a.b": "true"}`."""
    flat: dict[str, str] = {}
    for key, value in tree.items():
        name = f"{prefix}{key}"
        if isinstance(value, dict) and value:
            flat |= flatten(value, name + ".")
        else:
            flat[name] = _plain(value)
    return flat


def select(properties: Mapping[str, str], section: str) -> dict[str, str]:
    """The properties whose names begin with `section`."""
    return {name: value for name, value in properties.items() if name.startswith(section)}


def _plain(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if value is None or value == {}:
        return NONE
    if isinstance(value, list):
        return ",".join(map(str, value)) or NONE
    return str(value) if value != "" else NONE


def count_of(number: int, noun: str) -> str:
    """`1 object`, `1,234 objects`."""
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def joined(items: Iterable[str]) -> str:
    """Items separated by commas, or a dash."""
    return ", ".join(items) or NONE
