"""Events of a bucket, from the change to a real receiver: every way of writing, receivers that are away, restarts."""

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from harness.receiver import Receiver, receiver
from harness.target import BCK, LiveTarget, until

from ais.api import codec
from ais.api.bucket import Bck
from ais.api.messages import ActMsg
from ais.core.announcing import Change, Event
from ais.meta.bmd import Bprops, Bucket
from ais.target.events import journal as journals
from ais.target.events import service
from ais.target.view import BucketView

Scenario = Callable[[Any], Any]
DOCUMENT = (
    "<NotificationConfiguration><QueueConfiguration><Id>all</Id><Queue>arn:ais:sqs::hook:webhook</Queue>"
    "<Event>s3:ObjectCreated:*</Event><Event>s3:ObjectRemoved:*</Event></QueueConfiguration></NotificationConfiguration>"
)


async def _with_events(live: LiveTarget, hook: Receiver, *, is_new: bool = True) -> None:
    """Know the receiver, and have a bucket whose events go to it."""
    cluster = live.node.config.cluster
    net = msgspec.structs.replace(cluster.net, s3_events=(f"hook={hook.url}",))
    live.node.config = live.node.config.with_shared(msgspec.structs.replace(cluster, net=net))
    if is_new:
        await live.create()
    bucket = live.node.bmd.get(BCK)
    assert bucket is not None
    props = bucket.props.with_s3(documents={"notification": DOCUMENT})
    await live.take(live.node.bmd.with_props(BCK, props))


def _told(hook: Receiver) -> list[str]:
    """Each change once, in the order in which they came."""
    return list(dict.fromkeys(f"{event}:{key}" for event, key, _ in hook.events("b")))


def test_every_way_of_writing(serve: Any, run: Scenario) -> None:
    """S3 and native changes are told under Amazon's names; a refused one, and one of what is not there, is not."""

    async def scenario() -> None:
        with receiver() as hook:
            async with serve() as [live]:
                await _with_events(live, hook)
                await live.s3("PUT", "b/k", data=b"123")
                assert (await live.s3("PUT", "b/k", data=b"4", headers={"If-None-Match": "*"})).status == 412
                await live.s3("PUT", "b/k2", headers={"x-amz-copy-source": "b/k"})
                await live.s3("DELETE", "b/k")
                await live.s3("DELETE", "b/absent")
                await live.ask("PUT", "native", data=b"n")
                await live.ask("DELETE", "native")
                await live.ask("PUT", "old", data=b"r")
                assert (await live.act("POST", "old", "rename-obj", "new")).status == 200
                created, removed = "ObjectCreated", "ObjectRemoved"
                wanted = {
                    "k": [f"{created}:Put:k", f"{removed}:Delete:k"],
                    "k2": [f"{created}:Copy:k2"],
                    "native": [f"{created}:Put:native", f"{removed}:Delete:native"],
                    "old": [f"{created}:Put:old", f"{removed}:Delete:old"],
                    "new": [f"{created}:Put:new"],
                }
                await until(lambda: len(_told(hook)) == 8)
                for key, events in wanted.items():
                    assert [one for one in _told(hook) if one.endswith(f":{key}")] == events
                [record] = [one for one in hook.records if one["s3"]["object"]["key"] == "k2"]
                assert record["s3"]["object"]["size"] == 3
                assert record["s3"]["configurationId"] == "all"

    run(scenario())


def test_what_a_backend_has_is_the_backends_to_tell() -> None:
    """A cold read makes no event: neither in a bucket at a backend nor in one that is linked to it."""
    documents = Bprops().with_s3(documents={"notification": DOCUMENT})
    linked = msgspec.structs.replace(documents, backend_bck=Bck("far", provider="s3"))
    assert BucketView(Bucket(BCK, documents)).rules.event is not None
    assert BucketView(Bucket(Bck("far", provider="s3"), documents)).rules.event is None
    assert BucketView(Bucket(BCK, linked)).rules.event is None


def test_restarts_and_receivers_that_are_away(serve: Any, run: Scenario) -> None:
    """What a receiver refused, another process sends; a note whose change was never made is not sent."""

    async def scenario() -> None:
        with receiver() as hook:
            hook.refuses = True
            async with serve() as [live]:
                await _with_events(live, hook)
                bmd = live.node.bmd
                for number in range(20):
                    await live.s3("PUT", f"b/k{number}", data=b"1")
                    await live.s3("PUT", f"b/k{number}", data=b"22")
                await until(lambda: hook.refused > 0)
                place = live.volume.available[0].path
                stamp = (1 << 40, 1)
                change = Change(BCK, "k0", Event(), is_removal=True, meta=None, stamp=stamp)
                assert live.target.announcer.note(place, change, fsync=False) is not None
            hook.refuses = False
            async with serve() as [live]:
                live.node.bmd = bmd
                await live.target.load_bmd(bmd)
                live.target.serve()
                await _with_events(live, hook, is_new=False)
                await live.s3("PUT", "b/last", data=b"1")
                expected = {f"ObjectCreated:Put:k{number}" for number in range(20)} | {"ObjectCreated:Put:last"}
                await until(lambda: set(_told(hook)) == expected)
                sequences: dict[str, list[str]] = {}
                for _, key, sequencer in hook.events("b"):
                    sequences.setdefault(key, []).append(sequencer)
                for key, found in sequences.items():
                    once = list(dict.fromkeys(found))
                    assert once == sorted(once)
                    assert len(once) == (1 if key == "last" else 2)

    run(scenario())


def test_what_waits_for_nobody_is_removed(serve: Any, run: Scenario, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the last receiver was taken away, what waited for it, and what is noted from then on, leaves the disk."""
    monkeypatch.setattr(journals, "SEGMENT_BYTES", 500)
    monkeypatch.setattr(service, "LOOKS_WITHOUT_MAX", 0)

    async def scenario() -> None:
        with receiver() as hook:
            hook.refuses = True
            async with serve() as [live]:
                await _with_events(live, hook)
                place = Path(live.volume.available[0].path, journals.DIRECTORY)
                names = (f"k{number}" for number in itertools.count())
                while len(list(place.glob("0*"))) <= 2:  # the other mountpath has its share of them
                    await live.s3("PUT", f"b/{next(names)}", data=b"1")
                cluster = live.node.config.cluster
                none = msgspec.structs.replace(cluster, net=msgspec.structs.replace(cluster.net, s3_events=()))
                live.node.config = live.node.config.with_shared(none)
                await live.s3("PUT", "b/last", data=b"1")
                await until(lambda: len(list(place.glob("0*"))) <= 1)

    run(scenario())


def test_a_mountpath_taken_out_at_once(serve: Any, run: Scenario) -> None:
    """Others send what it had, and what happens while it is gone and when it is back."""

    async def scenario() -> None:
        with receiver() as hook:
            hook.refuses = True
            async with serve() as [live]:
                await _with_events(live, hook)
                for number in range(20):
                    await live.s3("PUT", f"b/k{number}", data=b"1")
                gone = live.volume.available[0].path
                for method, action in (("DELETE", "detach-mp"), ("PUT", "attach-mp")):
                    body = codec.to_json(ActMsg(action, "", gone))
                    answer = await live.call(method, f"{live.url}/v1/daemon/mountpaths?dntres=true", data=body)
                    assert answer.status == 200
                    await live.s3("PUT", f"b/{action}", data=b"1")
                    assert live.target.announcer.waiting() == {"hook": 21 if action == "detach-mp" else 22}
                hook.refuses = False
                wanted = {f"ObjectCreated:Put:k{number}" for number in range(20)}
                wanted |= {"ObjectCreated:Put:detach-mp", "ObjectCreated:Put:attach-mp"}
                await until(lambda: set(_told(hook)) == wanted)
                assert len(_told(hook)) == len(wanted)
                await until(lambda: live.target.announcer.waiting() == {"hook": 0})

    run(scenario())
