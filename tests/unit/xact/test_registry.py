"""The registry of a target's xactions."""

import asyncio

import pytest

from ais.api.bucket import Bck
from ais.base.errors import BadRequest, NotReady
from ais.env.clock import SystemClock
from ais.xact import registry
from ais.xact.registry import Registry, Xaction


class SteppedClock(SystemClock):
    """Wall time that a test sets."""

    def __init__(self) -> None:
        self.time_ns = 1_000_000_000_000

    def now_ns(self) -> int:  # type: ignore[override]
        return self.time_ns


async def count_three(xaction: Xaction) -> None:
    """Work that handles three objects."""
    for size in (1, 2, 3):
        xaction.objects += 1
        xaction.bytes += size
        await asyncio.sleep(0)


async def wait_forever(_: Xaction) -> None:
    """Work that ends only when it is aborted."""
    await asyncio.Event().wait()


def test_an_xaction_runs_once_and_is_remembered() -> None:
    """The same ID again while it runs or after a good end is the same xaction; its counters stay readable."""

    async def scenario() -> None:
        known = Registry(SystemClock())
        first = known.start("move-bck", "abcDEF123", count_three, bck=Bck("a"), bck_to=Bck("b"))
        assert known.start("move-bck", "abcDEF123", count_three) is first
        await first.wait()
        assert known.start("move-bck", "abcDEF123", count_three) is first
        snap = first.snap()
        assert (snap.stats.loc_objs, snap.stats.loc_bytes, snap.err, snap.aborted) == (3, 6, "", False)
        assert (snap.src_bck.name, snap.dst_bck.name, snap.is_finished) == ("a", "b", True)

    asyncio.run(scenario())


def test_a_failed_xaction_says_why_and_may_start_again() -> None:
    """An error ends it with the error's text, and the same ID starts new work."""

    async def fail(_: Xaction) -> None:
        raise BadRequest("no such thing")

    async def scenario() -> None:
        known = Registry(SystemClock())
        first = known.start("move-bck", "abcDEF123", fail)
        await first.wait()
        assert first.snap().err == "no such thing"
        second = known.start("move-bck", "abcDEF123", count_three)
        assert second is not first
        await second.wait()
        assert second.snap().err == ""

    asyncio.run(scenario())


def test_abort_stops_the_work_and_is_shown() -> None:
    """An aborted xaction ends, is marked, and keeps the reason."""

    async def scenario() -> None:
        known = Registry(SystemClock())
        xaction = known.start("move-bck", "abcDEF123", wait_forever)
        known.abort(xaction, "stopped by user")
        await xaction.wait()
        snap = xaction.snap()
        assert (snap.aborted, snap.abort_err, snap.is_finished) == (True, "stopped by user", True)

    asyncio.run(scenario())


def test_select_matches_everything_given() -> None:
    """IDs, kind, bucket (source or destination) and state narrow the answer."""

    async def scenario() -> None:
        known = Registry(SystemClock())
        move = known.start("move-bck", "moveMOVE1", wait_forever, bck=Bck("a"), bck_to=Bck("b"))
        summary = known.start("summary-bck", "summSUMM1", count_three, bck=Bck("a"))
        await summary.wait()
        assert list(known.select()) == [move, summary]
        assert list(known.select(only_running=True)) == [move]
        assert list(known.select(kind="summary-bck")) == [summary]
        assert list(known.select(bck=Bck("b"))) == [move]
        assert list(known.select(uuids=frozenset({"summSUMM1", "other"}))) == [summary]
        await known.close()
        assert not move.is_running

    asyncio.run(scenario())


def test_ended_xactions_are_forgotten_by_age_and_number(monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory is bounded: old ones go, and the oldest of too many; running ones stay."""
    monkeypatch.setattr(registry, "REMEMBERED_MAX", 2)

    async def scenario() -> None:
        clock = SteppedClock()
        known = Registry(clock)
        running = known.start("move-bck", "running00", wait_forever)
        for index in range(4):
            await known.start("move-bck", f"ended000{index}", count_three).wait()
        assert [one.uuid for one in known.select()] == ["running00", "ended0001", "ended0002", "ended0003"]
        clock.time_ns += int(registry.REMEMBERED_S * 1e9) + 1
        await known.start("move-bck", "ended0004", count_three).wait()
        assert [one.uuid for one in known.select()] == ["running00", "ended0004"]
        await known.close()
        assert not running.is_running

    asyncio.run(scenario())


def test_nothing_starts_after_close() -> None:
    """A target that stops takes no new work."""

    async def scenario() -> None:
        known = Registry(SystemClock())
        await known.close()
        with pytest.raises(NotReady):
            known.start("move-bck", "abcDEF123", count_three)

    asyncio.run(scenario())
