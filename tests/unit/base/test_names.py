"""Which names buckets, namespaces and objects may have."""

import random

import pytest

from ais.base import ids, names
from ais.base.errors import InvalidName


@pytest.mark.parametrize("name", ["b", "my-bucket", "A.b_c", "x" * 64, ".sys-inventory"])
def test_good_bucket_names(name: str) -> None:
    """Names within the rules pass."""
    names.check_bucket_name(name)


@pytest.mark.parametrize("name", ["", "x" * 65, "a b", "a/b", "a..b", ".hidden", "ü", "a\0", "a%20b"])
def test_bad_bucket_names(name: str) -> None:
    """Names outside the rules are refused."""
    with pytest.raises(InvalidName):
        names.check_bucket_name(name)


@pytest.mark.parametrize(
    "name", ["a", "a/b", "ü/日本", "a b+c%20", "x" * 1024, "a..b", "...", "a/.b", "a//b", "%", "tab\t"]
)
def test_good_object_names(name: str) -> None:
    """Unusual but legal object names pass."""
    names.check_object_name(name)


@pytest.mark.parametrize(
    "name", ["", "/a", "a/", ".", "..", "a/../b", "./a", "a/.", "~/x", "a~/b", "a\0b", "x" * 1025, "ü" * 513, "\ud800"]
)
def test_bad_object_names(name: str) -> None:
    """Names that could escape the layout, or are no UTF-8, are refused."""
    with pytest.raises(InvalidName):
        names.check_object_name(name)


@pytest.mark.parametrize(("uuid", "name"), [("a b", ""), ("-x", ""), ("u" * 33, ""), ("", "a/b"), ("", "..")])
def test_bad_namespaces(uuid: str, name: str) -> None:
    """Namespaces outside the rules are refused."""
    with pytest.raises(InvalidName):
        names.check_namespace(uuid, name)


def test_new_ids_are_valid_everywhere() -> None:
    """A fresh identifier passes the clients' test and may name a node."""
    rng = random.Random(7)
    fresh = [ids.new_id(rng) for _ in range(1000)]
    assert len(set(fresh)) == 1000
    assert all(ids.is_valid_uuid(one) and ids.is_valid_node_id(one) for one in fresh)


@pytest.mark.parametrize("text", ["", "short", "-abcdefghi", "abcdefghi_", "a" * 33, "abc def ghi"])
def test_bad_uuids(text: str) -> None:
    """What clients would refuse, we refuse."""
    assert not ids.is_valid_uuid(text)


def test_rebalance_ids() -> None:
    """A rebalance is named by its RMD version."""
    assert ids.is_rebalance_id("g17")
    assert ids.is_valid_uuid("g17")
    assert not ids.is_rebalance_id("g")
