"""Versions that come with their IDs from elsewhere: in whatever order, and how often, the name ends the same."""

import itertools
from collections.abc import Callable
from typing import Any

import pytest
from harness.versioning import given_id, state

from ais.base.errors import AlreadyExists
from ais.core import replicas
from ais.core.version_listing import VersionLister
from ais.core.workfile import Keeping, WriteRules

KEEPS = WriteRules(keeping=Keeping.ENABLED)
MARKER = 3


def bring(bench: Any, age: int) -> None:
    """Store the version of an age; one is a delete marker."""
    if age == MARKER:
        bench.store.delete(bench.bck, "a", rules=KEEPS, version_id=given_id(age))
    else:
        bench.put("a", f"{age}".encode(), KEEPS, version_id=given_id(age))


@pytest.mark.parametrize("mountpaths", [1, 2])
def test_any_order_ends_the_same(make_bench: Callable[..., Any], mountpaths: int) -> None:
    """Four versions in all 24 orders, each brought again in between: listed by age, the newest is the object."""
    for number, order in enumerate(itertools.permutations((1, 2, MARKER, 4))):
        bench = make_bench(mountpaths, f"order{number}")
        for age in order:
            bring(bench, age)
            if age == MARKER:
                bring(bench, age)
            else:
                with pytest.raises(AlreadyExists):
                    bring(bench, age)
        assert state(bench) == {"a": [(False, "4"), (False, None), (False, "2"), (False, "1")]}
        own = bench.put("a", b"own", KEEPS)
        found = VersionLister(bench.volume, bench.env).page(bench.bck).entries
        assert [one.version_id for one in found] == [own.version_id, *(given_id(age) for age in (4, 3, 2, 1))]


def test_a_version_from_a_clock_ahead_stays_below_what_comes_after(bench: Any) -> None:
    """What is written here after it is newer than it."""
    ahead = (1 << 63) + 1
    bench.put("a", b"ahead", KEEPS, version_id=given_id(ahead)[:32])
    bench.put("a", b"own", KEEPS)
    assert state(bench) == {"a": [(False, "own"), (False, "ahead")]}


def test_states_of_replicas() -> None:
    """What each step makes of the fact, and what it says: pending until all have it, failed when one refused it."""
    begun = replicas.begun({"etag": "e"}, ["@1", "@2"])
    assert (replicas.status(begun), replicas.waiting(begun), replicas.revision(begun)) == ("PENDING", ["@1", "@2"], 1)
    one = replicas.ended(begun, "@1", 1, is_there=True)
    assert (replicas.status(one), replicas.waiting(one)) == ("PENDING", ["@2"])
    both = replicas.ended(one, "@2", 1, is_there=True)
    assert replicas.status(both) == "COMPLETED"
    assert replicas.status(replicas.ended(one, "@2", 1, is_there=False)) == "FAILED"
    again = replicas.begun(both, ["@2"])
    assert (replicas.status(again), replicas.waiting(again), replicas.revision(again)) == ("PENDING", ["@2"], 2)
    assert replicas.ended(again, "@2", 1, is_there=True) == again
    assert replicas.ended(again, "@3", 2, is_there=True) == again
    arrived = replicas.arrived({"etag": "e"}, 2)
    assert (replicas.status(arrived), replicas.waiting(arrived), replicas.revision(arrived)) == ("REPLICA", [], 2)
    assert replicas.without(arrived) == {"etag": "e"}
    assert (replicas.status({}), replicas.revision({}), replicas.begun({}, [])) == ("", 0, {})
    assert replicas.status(replicas.begun({}, ["@1"], can_be=False)) == "FAILED"
