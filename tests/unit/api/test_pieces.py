"""Long JSON in pieces is what it is at once, whatever stands in it, and also when it cannot be cut."""

import json
import weakref
from typing import Any
from unittest.mock import patch

import msgspec
import pytest
from harness.nodes import eventually
from hypothesis import given, settings
from hypothesis import strategies as st

from ais.api import codec, pieces
from ais.api.batch import BatchMsg
from ais.api.bucket import Bck
from ais.api.groups import GroupTask
from ais.base.errors import BadRequest

TEXTS = st.text(alphabet='a",[]{}\\: \n\u00fc', max_size=8)
VALUES = st.recursive(TEXTS | st.integers() | st.none(), lambda inner: st.lists(inner) | st.dictionaries(TEXTS, inner))


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(TEXTS, st.lists(TEXTS, max_size=40) | VALUES, max_size=4), st.sampled_from([(",", ":"), None]))
def test_the_same_value(value: dict[str, Any], separators: tuple[str, str] | None) -> None:
    """Also with quotes, commas and brackets in names, several lists, and none."""
    body = json.dumps(value, separators=separators).encode()
    with patch.multiple(pieces, BYTES_MIN=0, PIECE_BYTES=5):
        assert pieces.decode(body) == value


@pytest.mark.parametrize(
    "body",
    [
        b'{"a":["x","y","z"',
        b'{"a":["x","y" "z"]}',
        b'{"a":["x","y",]}',
        b'{"a":["x",,"y","z"]}',
        b'{"a":["x","y"],"z"]}',
        b'["a","b"],["c","d"]',
    ],
)
def test_what_is_not_json_stays_so(body: bytes) -> None:
    """A text that is wrong is refused with the words for the whole of it."""
    with patch.multiple(pieces, BYTES_MIN=0, PIECE_BYTES=1), pytest.raises(msgspec.DecodeError) as in_pieces:
        pieces.decode(body)
    with pytest.raises(msgspec.DecodeError) as at_once:
        msgspec.json.decode(body)
    assert str(in_pieces.value) == str(at_once.value)


def test_a_list_of_names_is_cut() -> None:
    """A million bytes of names, as SDKs and Go clients write them, take many calls of the decoder."""
    names = [f'dir/object-{number}, with "quotes" and [brackets]' for number in range(50_000)]
    for separators in ((",", ":"), None):
        body = json.dumps({"action": "x", "value": {"objnames": names}}, separators=separators).encode()
        with patch.object(pieces, "_decoder", wraps=pieces._decoder) as decoder:
            assert codec.parse_json(body)["value"]["objnames"] == names
        longest = max(len(call.args[0]) for call in decoder.decode.call_args_list)
        assert longest < 2 * pieces.PIECE_BYTES < len(body)


def test_entries_of_a_batch() -> None:
    """So are those of a batch, with all that stands beside them, before and behind."""
    entries = [{"objname": f"o-{number}", "archpath": "a,b"} for number in range(30_000)]
    body = json.dumps({"coer": True, "in": entries, "mime": ".tgz"}).encode()
    found = BatchMsg.parse(body)
    assert (found.continue_on_error, found.mime, len(found.entries)) == (True, ".tgz", 30_000)
    assert [(one.name, one.archpath) for one in found.entries] == [(one["objname"], "a,b") for one in entries]
    with pytest.raises(BadRequest):
        BatchMsg.parse(body.replace(b"o-29999", b""))


@pytest.mark.parametrize("count", [0, 1, 10_000, 10_001, 30_003])
def test_a_long_list_is_encoded_as_at_once(count: int) -> None:
    """In pieces the text is the same, whatever stands around the list, and what is made of it reads back."""
    names = [f'{number}/"\N{SNOWMAN}],[' for number in range(count)]
    task = GroupTask("u", "delete-listrange", Bck("b"), names=names, template='"names":[]', prepend="[")
    assert task.to_json() == codec.to_json(task)
    assert codec.from_json(task.to_json(), GroupTask).names == names


class Thing:
    """Something that can be asked whether it is still there."""


def test_a_list_is_emptied_when_everybody_has_forgotten_it() -> None:
    """And not before; then the thread that does it ends, until there is another one."""
    for _ in range(2):
        freeing = pieces.Freeing()
        held, forgotten = ([Thing() for _ in range(2 * pieces.FREED_TOGETHER + 1)] for _ in range(2))
        ends = [weakref.ref(forgotten[at]) for at in (0, -1)]
        freeing.keep(held)
        freeing.keep(forgotten)
        del forgotten
        eventually(lambda ends=ends: all(one() is None for one in ends), within_s=60)
        assert len(held) == 2 * pieces.FREED_TOGETHER + 1
        del held
        eventually(lambda freeing=freeing: freeing.thread is None, within_s=60)
