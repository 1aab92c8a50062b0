"""A data set on its way: copied, archived into shards, indexed, read member by member, sorted into smaller shards.

The content is proven by checksums at every step. Once in peace, and once with a target killed and started again in the
middle of each job: it is looked at until it is between `SHARE_MIN` and `SHARE_MAX` done, and afterwards it must have
gone on. `DATASET_OBJECTS=10000` for less.
"""

import asyncio
import hashlib
import io
import json
import os
import random
import shutil
import tarfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from datetime import UTC, datetime
from itertools import chain
from signal import SIGKILL
from typing import Any

import pytest
from aisclient.aio import AsyncBucket, AsyncClient
from harness.nodes import eventually
from harness.wire import Api

from ais.api.xact import time_ns_of
from ais.testing import Cluster

OBJECTS = int(os.environ.get("DATASET_OBJECTS", "100000"))
SHARDS = 1000
PER_SHARD = OBJECTS // SHARDS
WORKERS = 16
WITHIN_S = 3600.0
SHARE_MIN, SHARE_MAX = 0.05, 0.80


def content_of(number: int) -> bytes:
    return random.Random(number).randbytes(600 + number % 800)


def name_of(number: int) -> str:
    """Neighbours are far from each other, so that a sort has something to do."""
    return f"{number * 7919 % OBJECTS:07}.bin"


class Digests:
    """What the content of every name must be."""

    def __init__(self) -> None:
        self._of = {name_of(number): self.digest(content_of(number)) for number in range(OBJECTS)}
        assert len(self._of) == OBJECTS

    @staticmethod
    def digest(content: bytes) -> bytes:
        return hashlib.blake2b(content, digest_size=16).digest()

    def check(self, name: str, content: bytes) -> None:
        assert self.digest(content) == self._of[name], name


async def each(items: Iterable[Any], work: Callable[[Any], Awaitable[None]]) -> None:
    """Work on all with some at a time."""
    waiting = iter(items)

    async def worker() -> None:
        for item in waiting:
            await work(item)

    async with asyncio.TaskGroup() as group:
        for _ in range(WORKERS):
            group.create_task(worker())


def began(snap: dict[str, Any]) -> datetime:
    """When a job began, in this life of its target."""
    return datetime.fromtimestamp(time_ns_of(snap["start-time"]) / 1e9, UTC)


def runs(snap: dict[str, Any]) -> bool:
    return bool(snap["end-time"].startswith("0001"))


def walked(snaps: list[dict[str, Any]]) -> float:
    """The share of a job that goes through names."""
    [progress] = [snap["progress"] for snap in snaps if "progress" in snap] or [{"done": 0, "total": 1}]
    return float(progress["done"] / progress["total"])


def ended(snaps: list[dict[str, Any]]) -> float:
    """The share of many jobs."""
    return sum(not runs(snap) for snap in snaps) / SHARDS


def sorted_share(snaps: list[dict[str, Any]]) -> float:
    """The share of a sort: half of it is reading shards, half making them."""
    counts = [(snap["ext"]["local_extraction"], snap["ext"]["shard_creation"]) for snap in snaps if snap["ext"]]
    read, made, all_made = (
        sum(int(found[part][name]) for found in counts)
        for part, name in ((0, "extracted_count"), (1, "created_count"), (1, "to_create"))
    )
    return read / SHARDS / 2 + (made / all_made / 2 if all_made else 0)


SHARE = {"copy-bck": walked, "archive": ended, "index-shard": walked, "dsort": sorted_share}
OWN = ("copy-bck", "index-shard")
"""Of these a target's part is looked at, of the others all targets'."""


class Course:
    """One run over one cluster."""

    def __init__(self, cluster: Cluster, *, is_deadly: bool) -> None:
        self.cluster, self.is_deadly = cluster, is_deadly
        self.api, self.digests = Api(cluster.endpoint), Digests()
        self.victims = iter(cluster.targets * 10)
        self.began = time.monotonic()

    def told(self, what: str) -> None:
        print(f"{time.monotonic() - self.began:8.1f} s  {what}", flush=True)

    def snaps(self, kind: str, *, running: bool) -> dict[str, list[dict[str, Any]]]:
        body = json.dumps({"kind": kind, "show_active": running}).encode()
        answer = self.api.call("GET", "/v1/cluster", {"what": "qryxstats"}, body=body)
        assert answer.status == 200, answer.body
        return {target: snaps or [] for target, snaps in answer.json().items()}

    def kill_one(self, kind: str) -> None:
        """A target dies in the middle of its part of a job, comes back, and goes on with it."""
        victim, share = next(self.victims), 0.0
        pid, running = victim.pid, set[str]()

        def has_come_far() -> bool:
            nonlocal share, running
            snaps = self.snaps(kind, running=False)
            own = snaps.get(victim.id, [])
            is_over = bool(own) and kind != "archive" and not any(map(runs, own))
            share = 1.0 if is_over else SHARE[kind](own if kind in OWN else [*chain(*snaps.values())])
            if share < SHARE_MIN:
                return False
            running = {snap["id"] for snap in self.snaps(kind, running=True)[victim.id]}
            return len(running) > (kind == "archive") or share > SHARE_MAX

        eventually(has_come_far, within_s=WITHIN_S, every_s=0.005)
        os.kill(pid, SIGKILL)  # at once: an archive takes some ten milliseconds
        self.cluster.wait_ended(victim)
        killed = datetime.now(UTC)
        assert share <= SHARE_MAX, f"{kind} was {share:.0%} done when a target was to be killed in the middle of it"
        time.sleep(1)
        self.cluster.restart(victim)
        self.cluster.wait_ready()
        again = {snap["id"] for snap in self.snaps(kind, running=False)[victim.id] if began(snap) > killed}
        assert running & again, f"{victim.name} had nothing of {kind} to go on with: it was killed too late"
        self.told(f"killed {victim.name} when {kind} was {share:.0%} done, and started it again")

    def wait(self, kind: str) -> None:
        """Until no such job runs; none failed."""
        eventually(lambda: not any(self.snaps(kind, running=True).values()), within_s=WITHIN_S, every_s=0.5)
        bad = [snap for snap in chain(*self.snaps(kind, running=False).values()) if snap["err"] or snap["aborted"]]
        assert not bad, bad[:3]
        self.told(f"{kind} has ended")

    def start(self, verb: str, bucket: str, action: str, value: Any = None, **query: str) -> None:
        def begun() -> bool:
            answer = self.api.act(
                verb, f"/v1/buckets/{bucket}", action, value=value, query={"provider": "ais", **query}
            )
            assert answer.status == 200, answer.body
            return True

        eventually(begun, within_s=120)

    async def check_objects(self, bucket: AsyncBucket) -> None:
        """Every object is there, with its content."""
        count = 0
        async for name, content in bucket.get_many(name_of(number) for number in range(OBJECTS)):
            assert content is not None, name
            self.digests.check(name, content)
            count += 1
        assert count == OBJECTS

    async def shards(self, bucket: AsyncBucket) -> AsyncIterator[tuple[str, list[str], int]]:
        """Each shard, the names in it, the size of their content, which is checked."""
        for name in sorted([one.name async for one in bucket.list_objects_iter()]):
            raw = await bucket.object(name).get()
            names, size = [], 0
            with tarfile.open(fileobj=io.BytesIO(raw)) as tar:
                for member in tar:
                    names.append(member.name)
                    file = tar.extractfile(member)
                    assert file is not None
                    size += member.size
                    self.digests.check(member.name, file.read())
            yield name, names, size

    async def run(self) -> None:
        """All of it."""
        async with AsyncClient(self.cluster.endpoint) as client:
            loose, copy, packed, sorted_ = (client.bucket(name) for name in ("loose", "copy", "packed", "sorted"))
            for bucket in (loose, packed, sorted_):
                await bucket.create()

            async def put(number: int) -> None:
                await loose.object(name_of(number)).put(content_of(number))

            await each(range(OBJECTS), put)
            self.told(f"{OBJECTS} objects were put")

            await asyncio.to_thread(self.start, "POST", "loose", "copy-bck", {}, bck_to="ais/@#/copy/")
            await self.maybe_kill("copy-bck")
            await asyncio.to_thread(self.wait, "copy-bck")
            await self.check_objects(copy)
            self.told("the copies are right")

            async def archive(shard: int) -> None:
                names = [name_of(number) for number in range(shard * PER_SHARD, (shard + 1) * PER_SHARD)]
                value = {"archname": f"shard-{shard:05}.tar", "tobck": {"name": "packed"}, "objnames": names}
                await asyncio.to_thread(self.start, "PUT", "copy", "archive", value)

            archiving = asyncio.gather(each(range(SHARDS), archive))
            await self.maybe_kill("archive")
            await archiving
            await asyncio.to_thread(self.wait, "archive")
            found = [one async for one in self.shards(packed)]
            assert [name for name, _, _ in found] == [f"shard-{shard:05}.tar" for shard in range(SHARDS)]
            assert sum(len(names) for _, names, _ in found) == OBJECTS
            self.told(f"{len(found)} shards are right")

            self.forget_indexes()
            await asyncio.to_thread(self.start, "POST", "packed", "index-shard", {})
            await self.maybe_kill("index-shard")
            await asyncio.to_thread(self.wait, "index-shard")
            summary = await asyncio.to_thread(self.summary, "packed")
            assert (summary["shards"], summary["archived-objs"]) == (str(SHARDS), str(OBJECTS)), summary

            async def read(place: tuple[str, str]) -> None:
                self.digests.check(place[1], await packed.object(place[0]).get(archpath=place[1]))

            await each([(shard, name) for shard, names, _ in found for name in names], read)
            self.told(f"{OBJECTS} members were read one by one, {summary['shards']} shards are indexed")

            half = sum(size for _, _, size in found) // len(found) // 2
            await asyncio.to_thread(self.sort, half)
            await self.maybe_kill("dsort")
            await asyncio.to_thread(self.wait, "dsort")
            out = [one async for one in self.shards(sorted_)]
            assert [name for _, names, _ in out for name in names] == [f"{key:07}.bin" for key in range(OBJECTS)]
            assert all(half <= size < half + 1400 for _, _, size in out[:-1])
            summary = await asyncio.to_thread(self.summary, "sorted")
            assert (summary["shards"], summary["archived-objs"]) == (str(len(out)), str(OBJECTS)), summary
            self.told(f"{len(out)} sorted shards of half the size are right, and indexed")

    async def maybe_kill(self, kind: str) -> None:
        """In the run in which targets die."""
        if self.is_deadly:
            await asyncio.to_thread(self.kill_one, kind)

    def forget_indexes(self) -> None:
        """Archives were indexed when they were written: they lose that, so that there is something to do."""
        for target in self.cluster.targets:
            for mountpath in target.mountpaths:
                shutil.rmtree(mountpath / "@ais" / "packed" / "%ix", ignore_errors=True)

    def sort(self, size: int) -> None:
        spec = {
            "input_bck": {"name": "packed", "provider": "ais"},
            "output_bck": {"name": "sorted", "provider": "ais"},
            "input_format": {"template": f"shard-{{00000..{SHARDS - 1:05}}}"},
            "output_format": f"new-{{00000..{SHARDS * 4:05}}}",
            "input_extension": ".tar",
            "output_shard_size": f"{size}B",
            "algorithm": {"kind": "alphanumeric"},
            "description": "by key",
        }
        answer = self.api.call("POST", "/v1/sort", body=json.dumps(spec).encode())
        assert answer.status == 200, answer.body

    def summary(self, bucket: str) -> dict[str, str]:
        path, value = f"/v1/buckets/{bucket}", {"uuid": "", "prefix": ""}
        value["uuid"] = self.api.act("GET", path, "summary-shard", value=value).body.decode()
        last = None

        def is_done() -> bool:
            nonlocal last
            last = self.api.act("GET", path, "summary-shard", value=value)
            return last.status == 200

        eventually(is_done, within_s=300)
        assert last is not None
        found: dict[str, str] = last.json()
        return found


@pytest.mark.parametrize("is_deadly", [False, True], ids=["peace", "kill -9"])
def test_a_data_set_on_its_way(is_deadly: bool) -> None:
    """Copied, archived, indexed, read, sorted: every byte is where it belongs after each step, whoever dies."""
    with Cluster(proxies=1, targets=3, mountpaths=2) as cluster:
        print()
        asyncio.run(Course(cluster, is_deadly=is_deadly).run())
