"""Bucket summaries: the protocol of 202, 206 and 200, in bodies and in headers."""

from collections.abc import Callable
from typing import Any

import pytest

from ais.api import codec, summary
from ais.api.codec import U64
from ais.api.summary import BsummResult, ObjCount, ObjSize, TotalSize
from ais.env.network import Answer
from ais.proxy.summary import BUCKETS, DONE, PARTIAL, PENDING, combine

Run = Callable[[Any], Any]


def part(count: int, smallest: int, largest: int, total: int) -> BsummResult:
    """One target's figures of bucket `b`."""
    return BsummResult(
        "b",
        "ais",
        ObjCount=ObjCount(U64(count)),
        ObjSize=ObjSize(smallest, 0, largest),
        TotalSize=TotalSize(U64(30), U64(total), U64(0), U64(100)),
    )


def test_figures_of_targets_add_up() -> None:
    """Counts and sizes are summed, extremes are of those that have objects, the mean is of all."""
    whole = summary.merge([[part(3, 5, 20, 30)], [part(1, 2, 2, 2)], [part(0, 0, 0, 0)]])
    assert len(whole) == 1
    assert codec.to_builtins(whole[0]) == {
        "name": "b",
        "provider": "ais",
        "namespace": {"uuid": "", "name": ""},
        "ObjCount": {"obj_count_present": "4", "obj_count_remote": "0"},
        "ObjSize": {"obj_min_size": 2, "obj_avg_size": 8, "obj_max_size": 20},
        "TotalSize": {
            "size_on_disk": "90",
            "size_all_present_objs": "32",
            "size_all_remote_objs": "0",
            "total_disks_size": "300",
        },
        "used_pct": 30,
        "is_present": True,
    }


@pytest.mark.parametrize(
    ("statuses", "expected"),
    [((202, 202), PENDING), ((202, 200), PARTIAL), ((206, 200), PARTIAL), ((206, 202), PARTIAL), ((200, 200), DONE)],
)
def test_the_whole_is_done_when_every_part_is(statuses: tuple[int, ...], expected: int) -> None:
    """Partial as soon as one target knows something, final only when all are."""
    body = codec.to_json([part(1, 1, 1, 1)])
    answers = [Answer(status, {}, b"" if status == 202 else body) for status in statuses]
    progress = combine(BUCKETS, answers)
    assert progress.status == expected
    assert bool(progress.results) == (expected != PENDING)


def test_a_summary_is_started_here_and_polled_there(serve: Any, run: Run) -> None:
    """202 with an ID, then 202, 206 and 200 from whichever proxy is asked; the figures cover all targets."""

    async def scenario() -> None:
        async with serve(proxies=2, targets=2) as cluster:
            await cluster.create("b")
            cluster.spread("b", ["a", "bb", "ccc", "dddd"])
            begun = await cluster.proxies[1].act("GET", "/v1/buckets/b", "summary-bck", {"uuid": "", "prefix": ""})
            assert begun.status == 202
            uuid = begun.body.decode()
            statuses = []
            for turn in range(3):
                proxy = cluster.proxies[turn % 2]
                answer = await proxy.act("GET", "/v1/buckets/b", "summary-bck", {"uuid": uuid, "prefix": ""})
                statuses.append(answer.status)
            assert statuses == [202, 206, 200]
            assert answer.json[0]["ObjCount"]["obj_count_present"] == "4"
            assert answer.json[0]["ObjSize"] == {"obj_min_size": 1, "obj_avg_size": 2, "obj_max_size": 4}

    run(scenario())


def test_a_summary_in_headers_remembers_its_prefix(serve: Any, run: Run) -> None:
    """HEAD with a prefix starts it, HEAD with the ID alone polls it, as the published SDK does."""

    async def scenario() -> None:
        async with serve(targets=2) as cluster:
            await cluster.create("b")
            cluster.spread("b", ["in/a", "in/b", "out"])
            proxy = cluster.primary
            begun = await proxy.ask("HEAD", "/v1/buckets/b/in/?bsumm_remote=True&presence=1")
            assert begun.status == 202
            assert codec.parse_json(begun.headers["Ais-Bucket-Props"])["provider"] == "ais"
            uuid = begun.headers["Ais-Xaction-Id"]
            for status in (202, 206, 200):
                polled = await proxy.ask("HEAD", f"/v1/buckets/b?bsumm_remote=True&uuid={uuid}")
                assert polled.status == status
                assert polled.headers["Ais-Xaction-Id"] == uuid
            result = codec.parse_json(polled.headers["Ais-Bucket-Summ"])
            assert result["ObjCount"]["obj_count_present"] == "2"
            lost = await proxy.ask("HEAD", "/v1/buckets/b/in/")
            assert lost.status == 400

    run(scenario())


def test_a_summary_that_a_target_lost_is_gone(serve: Any, run: Run) -> None:
    """When one target does not know the ID any more, the answer is 404 and not a smaller sum."""

    async def scenario() -> None:
        async with serve(targets=2) as cluster:
            await cluster.create("b")
            begun = await cluster.primary.act("GET", "/v1/buckets/b", "summary-bck", {"uuid": ""})
            cluster.targets[0].role.summaries.clear()
            value = {"uuid": begun.body.decode()}
            assert (await cluster.primary.act("GET", "/v1/buckets/b", "summary-bck", value)).status == 404
            bad = await cluster.primary.act("GET", "/v1/buckets/b", "summary-bck", {"uuid": "!"})
            assert bad.status == 400

    run(scenario())
