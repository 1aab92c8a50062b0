"""How much JSON may be sent: levels and values, counted as they are, not as they look within strings."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ais.base import bounds
from ais.base.errors import BadRequest

values = st.recursive(
    st.none() | st.integers() | st.text(alphabet='[]{},"\\\\a'),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(alphabet='[{,"\\\\'), inner, max_size=4),
    max_leaves=30,
)


@pytest.fixture(autouse=True)
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounds, "_current", bounds.Bounds(json_depth=5, json_values=12))
    monkeypatch.setattr(bounds, "_LOOK_STEP", 7)  # strings and escapes go on in the next piece


def depth_of(value: object) -> int:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return 0 if inner is None else 1 + max(map(depth_of, inner), default=0)


def count_of(value: object) -> int:
    """Lists and objects, and what stands behind a comma."""
    inner = list(value.values() if isinstance(value, dict) else value) if isinstance(value, dict | list) else None
    return 0 if inner is None else 1 + max(0, len(inner) - 1) + sum(map(count_of, inner))


@given(values)
def test_as_they_are(value: object) -> None:
    """Whatever stands in strings: exactly what has too many levels or values is refused."""
    is_fine = depth_of(value) <= 5 and count_of(value) <= 12
    for text in (json.dumps(value).encode(), memoryview(json.dumps(value, indent=1).encode())):
        try:
            bounds.check_json(text)
        except BadRequest:
            assert not is_fine
        else:
            assert is_fine


@pytest.mark.parametrize("text", [b"[" * 100, b'"' * 99, b'"\\"' * 99, b"]" * 99, b"{" * 5 + b'"' * 99])
def test_what_is_no_json(text: bytes) -> None:
    """Refused for its levels or left to the decoder; nothing else happens."""
    if text.startswith(b"["):
        with pytest.raises(BadRequest, match="more than 5 levels"):
            bounds.check_json(text)
    else:
        bounds.check_json(text)
