"""A target that was restarted goes on with its part of a job behind what was done."""

from collections.abc import Callable
from typing import Any

import pytest
from harness.target import BCK, LiveTarget, until

from ais.api import codec, groups, headers
from ais.api.bucket import Bck
from ais.api.codec import U64
from ais.api.groups import GroupTask
from ais.meta.bmd import inherited_props
from ais.target import group_job, place

Scenario = Callable[[Any], Any]
TO = Bck("to")
NAMES = [f"o{number:03}" for number in range(200)]
BEFORE = 50
"""Objects that are copied before the target stops."""


def _copied(live: LiveTarget) -> dict[str, int]:
    """The copies there are, and which file each is."""
    store = live.target._store
    return {one.name: store.head(TO, one.name).stat.st_ino for one in live.target._pages._lister.walk(TO)}


@pytest.mark.parametrize("names", [None, NAMES], ids=["all of a bucket", "a list"])
def test_a_copy_goes_on_where_it_was(
    serve: Any, run: Scenario, names: list[str] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was copied when the target stopped is not copied again, everything else is, and all is counted."""
    monkeypatch.setattr(place, "MARK_EVERY_S", 0.0)
    monkeypatch.setattr(group_job, "_STEP", 20)
    task = GroupTask("copyCOPY1", groups.COPY_BUCKET, BCK, TO, names, workers=-1)

    async def scenario() -> None:
        async with serve() as [live]:
            await live.create()
            await live.create(TO)
            for name in NAMES:
                assert (await live.ask("PUT", name, data=name.encode())).status == 200
            bmd, registry = live.node.bmd, live.target.registry
            caller = {headers.CALLER_ID: live.node.snode.id}
            started = await live.call("PUT", live.url + groups.GROUPS, data=codec.to_json(task), headers=caller)
            assert started.status == 200, started.body
            await until(lambda: registry.get(task.uuid).objects >= BEFORE)
            await registry.close()
            before = _copied(live)
            assert BEFORE <= len(before) < len(NAMES)
        async with serve(is_starting=True) as [live]:
            live.node.bmd = bmd
            await live.target.load_bmd(bmd)
            live.target.serve()
            job = live.target.registry.get(task.uuid)
            await job.wait()
            assert not job.error
            assert len(NAMES) <= job.objects < len(NAMES) + BEFORE
            after = _copied(live)
            assert sorted(after) == NAMES
            again = [name for name, inode in before.items() if after[name] != inode]
            assert len(again) < BEFORE
            assert (await live.ask("GET", NAMES[0], bucket=TO.name)).body == NAMES[0].encode()
            await until(lambda: not [one for one in live.files() if task.uuid in one])

    run(scenario())


@pytest.mark.parametrize("made_anew", [BCK, TO], ids=["source", "destination"])
def test_a_job_does_not_go_on_with_other_buckets(
    serve: Any, run: Scenario, made_anew: Bck, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That have the names of those it began with: nothing is written to them, nor deleted because they are empty."""
    monkeypatch.setattr(place, "MARK_EVERY_S", 0.0)
    task = GroupTask("copyCOPY1", groups.COPY_BUCKET, BCK, TO, synchronize=True, workers=-1)

    async def scenario() -> None:
        async with serve() as [live]:
            await live.create()
            await live.create(TO)
            for name in NAMES:
                assert (await live.ask("PUT", name, data=name.encode())).status == 200
            registry, caller = live.target.registry, {headers.CALLER_ID: live.node.snode.id}
            started = await live.call("PUT", live.url + groups.GROUPS, data=codec.to_json(task), headers=caller)
            assert started.status == 200, started.body
            await until(lambda: registry.get(task.uuid).objects >= BEFORE)
            await registry.close()
            before = _copied(live)
            assert BEFORE <= len(before) < len(NAMES)
            props = inherited_props(made_anew, live.node.config.cluster, U64((1 << 63) + 99), 2)
            bmd = live.node.bmd.without_bucket(made_anew).with_bucket(made_anew, props)
        async with serve(is_starting=True) as [live]:
            live.node.bmd = bmd
            await live.target.load_bmd(bmd)
            live.target.serve()
            job = live.target.registry.get(task.uuid)
            await job.wait()
            assert "made anew" in job.error
            copied = {path.rpartition("/")[2] for path in live.files() if f"/{TO.name}/%ob/" in path}
            assert copied == before.keys()

    run(scenario())
