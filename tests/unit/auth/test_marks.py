"""Marks on redirects: right for one key, target, method and URL, with nothing but the time of the redirect behind."""

import pytest

from ais.auth import marks

KEY, NOW_NS = b"k" * 32, 1_800_000_000 * 10**9
LOCATION = "/v1/objects/b/dir/o?provider=ais&pid=gateway1"
TARGET = marks.sign(KEY, "t1", "GET", LOCATION, NOW_NS) + "&utm=1800000000000000001"


def test_a_mark_is_found_and_read() -> None:
    """Where it begins and ends, who made it, and that it ends five to six minutes later."""
    found = marks.find(TARGET)
    assert found is not None
    assert (TARGET[: found.start], TARGET[found.end :], found.gateway_id) == (LOCATION, TARGET[-24:], "gateway1")
    until_s = marks.good_until(KEY, "t1", "GET", TARGET, found.end)
    assert until_s == marks.end_of(NOW_NS)
    assert marks.LIFE_S < until_s - NOW_NS // 10**9 <= marks.LIFE_S + marks.STEP_S


def test_marks_of_earlier_versions_are_read() -> None:
    """The same digest: gateways and targets may be of different versions."""
    was = LOCATION + "&sig=06b49d368f9666cb7e1abb0d0878364e046771db8&utm=1"
    assert marks.good_until(KEY, "t1", "GET", was, was.index("&utm")) == marks.end_of(NOW_NS)


@pytest.mark.parametrize("more", ["&namespace=%23x", "&utm=2", "&", "x", " ", "%30", "&object_to=ais/@%23/other/o"])
def test_nothing_may_follow(more: str) -> None:
    """What is behind the time is not covered, and would be believed."""
    found = marks.find(TARGET + more)
    assert found is None or not marks.good_until(KEY, "t1", "GET", TARGET + more, found.end)


@pytest.mark.parametrize("target", ["", "/", LOCATION, TARGET.replace("&sig=", "&sag="), "&sig=&utm=1", TARGET[:-20]])
def test_what_has_no_mark(target: str) -> None:
    """Is not taken for one."""
    assert marks.find(target) is None


def test_a_mark_is_good_for_nothing_else() -> None:
    """Another key, target, method, or any other character of what is covered: it is not right."""
    end = TARGET.rindex("&")
    assert not marks.good_until(b"l" * 32, "t1", "GET", TARGET, end)
    assert not marks.good_until(KEY, "t2", "GET", TARGET, end)
    assert not marks.good_until(KEY, "t1", "PUT", TARGET, end)
    for at in range(end):
        changed = TARGET[:at] + chr(ord(TARGET[at]) ^ 1) + TARGET[at + 1 :]
        found = marks.find(changed)
        assert found is None or not marks.good_until(KEY, "t1", "GET", changed, found.end), changed
