"""How a setting is declared: once, with its type, default, range and one line of documentation.

A section is a frozen `Section` whose fields are `Annotated[type, setting("what it does", ge=..., le=...)]`. Ranges hold
for numbers of any kind, durations (seconds) and sizes (bytes) included, and are checked whenever a section is built.
"""

import functools
import typing
from collections.abc import Callable
from typing import Any

import msgspec

PENDING = "Kept for clients; no effect yet."
RESTART = "Takes effect when the node restarts."


def setting(
    doc: str, *, ge: float | None = None, le: float | None = None, pending: bool = False, restart: bool = False
) -> msgspec.Meta:
    """Describe one setting; `pending`: clients read and write it, no effect yet; `restart`: read at start only."""
    notes = (doc, PENDING if pending else "", RESTART if restart else "")
    return msgspec.Meta(
        description=" ".join(note for note in notes if note), extra={"ge": ge, "le": le, "pending": pending}
    )


class OutOfRange(ValueError):
    """A value outside the range of its setting; `setting` is the name within the section."""

    def __init__(self, setting: str, problem: str) -> None:
        self.setting, self.problem = setting, problem
        super().__init__(f"{setting}: {problem}")


class Section(msgspec.Struct, frozen=True):
    """A group of settings. Building one with a value outside its range raises `OutOfRange`."""

    def __post_init__(self) -> None:
        for name, low, high in _ranges(type(self)):
            value = getattr(self, name)
            if low is not None and value < low:
                raise OutOfRange(name, f"{value} is below the minimum {_as(value, low)}")
            if high is not None and value > high:
                raise OutOfRange(name, f"{value} is above the maximum {_as(value, high)}")
        self.check()

    def check(self) -> None:
        """Raise `ValueError` when settings of this section contradict each other."""

    def check_asked(self) -> None:
        """Raise `ValueError` for what nobody may ask for, though it may be stored: it was taken once."""


@functools.cache
def meta_of(field_type: Any) -> msgspec.Meta | None:
    """The declaration of a field, found in its annotated type."""
    found = (one for one in getattr(field_type, "__metadata__", ()) if isinstance(one, msgspec.Meta))
    return next(found, None)


@functools.cache
def plain_type(field_type: Any) -> Any:
    """A field's type without its declaration."""
    return typing.get_args(field_type)[0] if hasattr(field_type, "__metadata__") else field_type


@functools.cache
def _ranges(section: type[Section]) -> list[tuple[str, float | None, float | None]]:
    bounds = []
    for field in msgspec.structs.fields(section):
        meta = meta_of(field.type)
        extra = (meta.extra or {}) if meta else {}
        if extra.get("ge") is not None or extra.get("le") is not None:
            bounds.append((field.name, extra["ge"], extra["le"]))
    return bounds


def _as(value: object, bound: float) -> object:
    """`bound` written the way `value` is: seconds as a duration, bytes as a size."""
    kind = typing.cast(Callable[[float], object], type(value))
    return kind(bound)
