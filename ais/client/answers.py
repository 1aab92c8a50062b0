"""Reading the bodies that a cluster answers with."""

from typing import Any, TypeVar

from ais.api import codec
from ais.base.errors import BadRequest, Unreachable

T = TypeVar("T")


def decode(body: bytes | str, kind: type[T]) -> T:
    """An answer's JSON as `kind`. Raise `Unreachable` when it is not: whoever answered is no cluster of ours."""
    try:
        return codec.from_json(body, kind)
    except BadRequest as error:
        raise _not_ours(error) from None


def parse(body: bytes) -> Any:
    """An answer's JSON as it is. Raise `Unreachable` when it is none."""
    try:
        return codec.parse_json(body, is_bounded=False)
    except BadRequest as error:
        raise _not_ours(error) from None


def _not_ours(error: BadRequest) -> Unreachable:
    return Unreachable(f"the endpoint does not answer like an AIS cluster: {str(error).removeprefix('request ')}")
