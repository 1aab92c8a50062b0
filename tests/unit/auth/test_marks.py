"""Marks on redirects: right for one key, target, method and URL, with nothing but the time of the redirect behind."""

from collections.abc import Iterable

import pytest

from ais.auth import marks
from ais.auth.marks import Reader
from ais.base.errors import AccessDenied

OLD_KEY, KEY, NOW_NS = b"o" * 32, b"k" * 32, 1_800_000_000 * 10**9
LOCATION, TIME = "/v1/objects/b/dir/o?provider=ais&pid=gateway1", "&utm=1800000000000000001"
TARGET = marks.sign(KEY, "t1", "GET", LOCATION, NOW_NS) + TIME


def keys_of(gateway_id: str) -> Iterable[bytes]:
    if gateway_id != "gateway1":
        raise AccessDenied(gateway_id)
    return OLD_KEY, KEY


@pytest.fixture
def reader() -> Reader:
    return Reader("t1", keys_of)


@pytest.mark.parametrize("method", ["GET", "PUT"])
@pytest.mark.parametrize("key", [OLD_KEY, KEY])
def test_a_mark_is_taken_off(reader: Reader, method: str, key: bytes) -> None:
    """Made with any of the gateway's keys; each time it comes, until it ends five to six minutes later."""
    target = marks.sign(key, "t1", method, LOCATION, NOW_NS) + TIME
    end_ns = marks.end_of(NOW_NS) * 10**9
    assert marks.LIFE_S < end_ns // 10**9 - NOW_NS // 10**9 <= marks.LIFE_S + marks.STEP_S
    for now_ns in (NOW_NS, NOW_NS, end_ns - 1):
        assert reader.read(method, target, now_ns) == LOCATION + TIME
    for now_ns in (end_ns, end_ns + 10**9, NOW_NS - 10 * 60 * 10**9):
        assert reader.read(method, target, now_ns) is None
    assert reader.read(method, target.replace(TIME, "&utm=1800000000000000002"), NOW_NS) == f"{LOCATION}{TIME[:-1]}2"


def test_marks_of_earlier_versions_are_read(reader: Reader) -> None:
    """The same digest: gateways and targets may be of different versions."""
    was = LOCATION + "&sig=06b49d368f9666cb7e1abb0d0878364e046771db8" + TIME
    assert reader.read("GET", was, NOW_NS) == LOCATION + TIME


@pytest.mark.parametrize("is_known", [True, False])
@pytest.mark.parametrize("more", ["&namespace=%23x", "&utm=2", "&", "x", " ", "%30", "&object_to=ais/@%23/other/o"])
def test_nothing_may_follow(reader: Reader, more: str, is_known: bool) -> None:
    """What is behind the time is not covered, and would be believed; also of a mark that was taken before."""
    if is_known:
        assert reader.read("GET", TARGET, NOW_NS)
    if more == "&utm=2":  # then the first time is part of what should be the gateway's name
        with pytest.raises(AccessDenied, match="gateway1&sig="):
            reader.read("GET", TARGET + more, NOW_NS)
    else:
        assert reader.read("GET", TARGET + more, NOW_NS) is None


@pytest.mark.parametrize("target", ["", "/", LOCATION, "&sig=&utm=1", TARGET.removesuffix(TIME), LOCATION + TIME])
def test_what_has_no_mark(target: str) -> None:
    """Is not taken for one."""
    assert Reader("t1", lambda _: (KEY,)).read("GET", target, NOW_NS) is None


@pytest.mark.parametrize("is_known", [True, False])
def test_a_mark_is_good_for_nothing_else(reader: Reader, is_known: bool) -> None:
    """Another key, target, method, or any other character of what is covered: it is not right, or of no gateway."""
    if is_known:
        assert reader.read("GET", TARGET, NOW_NS)
    assert reader.read("PUT", TARGET, NOW_NS) is None
    assert Reader("t1", lambda _: (OLD_KEY,)).read("GET", TARGET, NOW_NS) is None
    assert Reader("t2", keys_of).read("GET", TARGET, NOW_NS) is None
    for at in range(TARGET.index(TIME)):
        changed = TARGET[:at] + chr(ord(TARGET[at]) ^ 1) + TARGET[at + 1 :]
        try:
            assert reader.read("GET", changed, NOW_NS) is None, changed
        except AccessDenied:
            assert "pid=gateway1&" not in changed


def test_what_is_remembered_has_an_end() -> None:
    """Of marks, and of methods that clients make up."""
    reader = Reader("t1", keys_of)
    for number in range(marks.KNOWN_MAX + 10):
        assert reader.read("GET", marks.sign(KEY, "t1", "GET", f"/{number}?pid=gateway1", NOW_NS) + TIME, NOW_NS)
    for number in range(2 * marks.BEGUN_MAX):
        assert reader.read(f"M{number}", TARGET, NOW_NS) is None
    assert len(reader._known) <= marks.KNOWN_MAX
    assert len(reader._begun) <= marks.BEGUN_MAX
