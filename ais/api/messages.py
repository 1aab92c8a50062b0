"""Control messages: the JSON body of every control request (`wire.md` §5)."""

from typing import Any, TypeVar

import msgspec

from ais.api import codec
from ais.base.errors import BadRequest

T = TypeVar("T")


class ActMsg(msgspec.Struct, frozen=True):
    """`{"action", "name", "value"}`; `value` stays raw until its action is known."""

    action: str = ""
    name: str = ""
    value: Any = None

    @classmethod
    def parse(cls, body: bytes) -> "ActMsg":
        """Decode a request body; an empty one is an empty message. Raise `BadRequest`."""
        if not body.strip():
            return cls()
        parsed = codec.parse_json(body)
        if not isinstance(parsed, dict):
            raise BadRequest('request body must be a JSON object {"action": ..., "name": ..., "value": ...}')
        return codec.convert(parsed, cls)

    def value_as(self, kind: type[T]) -> T:
        """`value` as `kind`; null or absent gives the all-defaults value. Raise `BadRequest` naming the bad field."""
        return codec.convert({} if self.value is None else self.value, kind)
