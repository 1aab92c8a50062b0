"""JSON and msgpack as the wire writes them: durations, sizes and 64-bit numbers as strings, keys matched in any case.

msgspec does the work; this module adds the three conventions it does not know (`wire.md` §5, §14, §27.4-5).
"""

import functools
import typing
from typing import Any, TypeVar

import msgspec

from ais.api import pieces
from ais.base import bounds
from ais.base.errors import BadRequest
from ais.base.units import Duration, Size

T = TypeVar("T")


class U64(int):
    """An integer that travels as a decimal string."""


def _encode_custom(value: object) -> str:
    if isinstance(value, U64):
        return int.__repr__(value)
    if isinstance(value, Duration | Size):
        return str(value)
    raise TypeError(f"no wire form for {type(value).__name__}")


def _decode_custom(kind: type, value: Any) -> Any:
    if kind is U64:
        if isinstance(value, bool) or not isinstance(value, int | str):
            raise ValueError("expected an integer or a decimal string")
        return U64(int(value or 0))
    if kind in (Duration, Size):
        if isinstance(value, bool) or not isinstance(value, int | str):
            raise ValueError("expected a string with a unit, or an integer")
        try:
            return kind.parse(value)
        except BadRequest as error:
            raise ValueError(str(error)) from None
    raise NotImplementedError(kind)


_json_encoder = msgspec.json.Encoder(enc_hook=_encode_custom)
_msgpack_encoder = msgspec.msgpack.Encoder(enc_hook=_encode_custom)
_any_decoder = msgspec.json.Decoder()


def to_json(value: object) -> bytes:
    """The JSON body of `value`, without a trailing newline."""
    return _json_encoder.encode(value)


def to_msgpack(value: object) -> bytes:
    """The msgpack body of `value`."""
    return _msgpack_encoder.encode(value)


def to_builtins(value: object) -> Any:
    """`value` as dicts, lists, strings and numbers, as its JSON would read."""
    return msgspec.to_builtins(value, enc_hook=_encode_custom)


def parse_json(body: bytes | memoryview | str, *, is_bounded: bool = True) -> Any:
    """Any JSON value. Raise `BadRequest` when `body` is not JSON, or has more of it than others may send us."""
    try:
        if is_bounded:
            bounds.check_json(body.encode() if isinstance(body, str) else body)
        return pieces.decode(body) if isinstance(body, bytes) else _any_decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadRequest(f"request body is not valid JSON: {error}") from None


def from_json(body: bytes | memoryview | str, kind: type[T]) -> T:
    """Decode a value that we or a client wrote, keys matched in any case. Raise `BadRequest` naming the bad field."""
    return convert(parse_json(body), kind)


def from_own_json(body: bytes, kind: type[T]) -> T:
    """Decode a value that a node wrote, several times as fast: keys exactly as they are. Raise `BadRequest`."""
    try:
        return msgspec.json.decode(body, type=kind, dec_hook=_decode_custom)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadRequest(f"body is not a valid {kind.__name__}: {error}") from None


def from_msgpack(body: bytes | memoryview, kind: type[T]) -> T:
    """Decode msgpack written by a node or client. Raise `BadRequest` when it is not a `kind`."""
    try:
        return msgspec.msgpack.decode(body, type=kind, dec_hook=_decode_custom)
    except (msgspec.DecodeError, msgspec.ValidationError, UnicodeDecodeError, RecursionError) as error:
        raise BadRequest(f"body is not a valid {kind.__name__}: {error}") from None


def convert(value: Any, kind: type[T]) -> T:
    """Turn parsed JSON into `kind`: keys in any case, unknown keys ignored, null struct fields take their default."""
    try:
        return msgspec.convert(_fold_keys(value, kind), kind, dec_hook=_decode_custom)
    except msgspec.ValidationError as error:
        raise BadRequest(f"invalid value: {error}") from None


def convert_strictly(value: Any, kind: type[T]) -> T:
    """As `convert`, but unknown keys, and numbers for strings or the reverse, raise `BadRequest` too."""
    check_strictly(value, kind)
    return convert(value, kind)


def check_strictly(value: Any, kind: Any, path: str = "") -> None:
    """Raise `BadRequest` for unknown keys (in whatever case), for numbers where strings belong, and the reverse."""
    if typing.get_origin(kind) is typing.Annotated:
        kind = typing.get_args(kind)[0]
    struct = _struct_of(kind)
    if struct is not None and isinstance(value, dict):
        wire_names = _wire_names(struct)
        for key, item in value.items():
            if (found := wire_names.get(key.lower())) is None:
                raise BadRequest(f'invalid value: unknown field "{path}{key[:80]}"')
            check_strictly(item, found[1], f"{path}{key}.")
    elif value is not None and kind in (int, U64, Size) and isinstance(value, str) == (kind is int):
        expected = "a number" if kind is int else "a string"
        raise BadRequest(f'invalid value of "{path.rstrip(".")}": {value!r} is not {expected}')


def _fold_keys(value: Any, kind: Any) -> Any:
    """Rename the keys of JSON objects to the wire names of the struct they are meant for, whatever their case."""
    kind = _without_none(kind)
    struct = _struct_of(kind)
    if struct is not None and isinstance(value, dict):
        wire_names = _wire_names(struct)
        folded = {}
        for key, item in value.items():
            found = wire_names.get(key.lower()) if isinstance(key, str) else None
            if found is None:
                continue
            wire_name, field_kind, has_default = found
            if item is None and has_default and not _allows_none(field_kind):
                continue
            folded[wire_name] = _fold_keys(item, field_kind)
        return folded
    if kind is int and isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= 20:
        return int(value)  # beside fields that travel as strings, it is easy to send this one as a string, too
    arguments = typing.get_args(kind)
    if isinstance(value, list) and arguments:
        if _is_text(kind):
            return value
        return [_fold_keys(item, arguments[0]) for item in value]
    if isinstance(value, dict) and len(arguments) == 2 and typing.get_origin(kind) is dict:
        return {key: _fold_keys(item, arguments[1]) for key, item in value.items()}
    return value


@functools.cache
def _without_none(kind: Any) -> Any:
    """`list[X]` of `list[X] | None`, and what is annotated."""
    if typing.get_origin(kind) is typing.Annotated:
        kind = typing.get_args(kind)[0]
    lists = [one for one in typing.get_args(kind) if typing.get_origin(one) in (list, dict)]
    return lists[0] if lists and _allows_none(kind) else kind


@functools.cache
def _is_text(kind: Any) -> bool:
    """Whether a list of this kind holds texts only: a million names are not looked at one by one."""
    arguments = typing.get_args(kind)
    return all(map(_is_text, arguments)) if arguments else kind in (str, type(None))


def _struct_of(kind: Any) -> type[msgspec.Struct] | None:
    """The struct that a JSON object given for `kind` becomes: `kind` itself, or the struct in `Struct | None`."""
    candidates = (kind,) if typing.get_origin(kind) in (None, list, dict, tuple) else typing.get_args(kind)
    return next((one for one in candidates if isinstance(one, type) and issubclass(one, msgspec.Struct)), None)


def _allows_none(kind: Any) -> bool:
    return kind is Any or type(None) in typing.get_args(kind)


@functools.cache
def _wire_names(struct: type[msgspec.Struct]) -> dict[str, tuple[str, Any, bool]]:
    return {
        field.encode_name.lower(): (field.encode_name, field.type, not field.required)
        for field in msgspec.structs.fields(struct)
    }
