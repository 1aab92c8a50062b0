"""The wire's JSON conventions."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ais.api import codec
from ais.api.codec import U64
from ais.api.messages import ActMsg
from ais.base.errors import BadRequest
from ais.base.units import Duration, Size


class Inner(msgspec.Struct, frozen=True):
    """A nested value."""

    size: Size = Size(0)


class Sample(msgspec.Struct, frozen=True):
    """One field of each convention."""

    wait: Duration = Duration(1)
    number: U64 = U64(0)
    inner: Inner | None = None
    many: list[Inner] = []
    named: dict[str, Inner] = {}
    other_name: str = msgspec.field(default="", name="daemon_id")
    some: list[Inner] | None = None


def test_numbers_and_units_travel_as_strings() -> None:
    """64-bit numbers, durations and sizes are JSON strings."""
    value = Sample(Duration(90), U64(2**64 - 1), Inner(Size(65536)))
    assert codec.parse_json(codec.to_json(value)) == {
        "wait": "1m30s",
        "number": "18446744073709551615",
        "inner": {"size": "64KiB"},
        "many": [],
        "named": {},
        "daemon_id": "",
        "some": None,
    }


@given(st.integers(0, 2**64 - 1), st.integers(0, 10**6), st.integers(0, 1023))
def test_round_trip(number: int, seconds: int, size: int) -> None:
    """What is written is read back, in both codecs."""
    value = Sample(Duration(seconds), U64(number), Inner(Size(size)), [Inner(Size(1))], {"k": Inner(Size(2))})
    assert codec.from_json(codec.to_json(value), Sample) == value
    assert codec.from_msgpack(codec.to_msgpack(value), Sample) == value


def test_keys_match_in_any_case_and_nulls_are_defaults() -> None:
    """Go matches keys in any case; the Python SDK sends null for what it leaves out."""
    body = b'{"WAIT":"2s","Number":7,"Inner":{"SIZE":"1k"},"many":null,"DaemonID":"x","daemon_ID":"y","zz":[1]}'
    assert codec.from_json(body, Sample) == Sample(Duration(2), U64(7), Inner(Size(1024)), [], {}, "y")
    assert codec.from_json(b'{"inner":null}', Sample).inner is None
    assert codec.from_json(b'{"some":[{"SIZE":null}]}', Sample).some == [Inner()]


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[1", b'{"wait":{}}', b'{"number":"x"}', b'{"number":true}', b'{"many":3}', b"\xff", b"[]"]
)
def test_bad_json_is_a_bad_request(body: bytes) -> None:
    """Whatever the client sends, the answer is a 400."""
    with pytest.raises(BadRequest):
        codec.from_json(body, Sample)


def test_deep_nesting_is_a_bad_request() -> None:
    """Nesting beyond the parser's depth does not crash it."""
    with pytest.raises(BadRequest):
        codec.parse_json(b"[" * 100_000)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"", ActMsg()),
        (b'{"Action":"list","name":null,"value":{"a":1}}', ActMsg("list", "", {"a": 1})),
        (b"{}", ActMsg()),
    ],
)
def test_action_message(body: bytes, expected: Any) -> None:
    """All three keys are optional, in any case."""
    assert ActMsg.parse(body) == expected


@pytest.mark.parametrize("body", [b"[]", b"3", b'{"action":5}', b"nonsense"])
def test_bad_action_message(body: bytes) -> None:
    """Anything but an object with string fields is a 400."""
    with pytest.raises(BadRequest):
        ActMsg.parse(body)
