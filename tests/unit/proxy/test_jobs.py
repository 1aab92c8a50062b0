"""Jobs as clients see them, and the rename of a bucket from its mark to its end."""

import asyncio
from collections.abc import Callable
from typing import Any

from ais.api.bucket import Bck
from ais.api.xact import Snap
from ais.meta import rename

Run = Callable[[Any], Any]
OLD, NEW = "/v1/buckets/old", "/v1/buckets/new"
RENAME = OLD + "?bck_to=ais/@%23/new/"


async def until(condition: Callable[[], bool]) -> None:
    """Wait for something that background work brings about; the test's own timeout ends a wait in vain."""
    while not condition():  # noqa: ASYNC110 - what is waited for happens in code that knows no test
        await asyncio.sleep(0.02)


def snap(uuid: str, kind: str = "lru", *, ended: bool = True, error: str = "") -> Snap:
    end = {"end_time": "2024-01-01T00:00:05.5Z"} if ended else {}
    return Snap(id=uuid, kind=kind, start_time="2024-01-01T00:00:00Z", err=error, **end)


def test_the_status_of_a_job_is_that_of_all_targets(serve: Any, run: Run) -> None:
    """It runs while one target is at it, has ended when all have, and has the error of any.

    One that would idle at AIStore when its work is done is found by who waits for that.
    """

    async def scenario() -> None:
        async with serve(proxies=2, targets=2) as cluster:
            first, second = cluster.targets
            for target in cluster.targets:
                target.role.xactions_end = False
            first.role.snaps["jobJOBjob1"] = snap("jobJOBjob1")
            second.role.snaps["jobJOBjob1"] = snap("jobJOBjob1", ended=False)
            proxy = cluster.proxies[1]

            async def ask(what: str, **query: Any) -> Any:
                return await proxy.ask("GET", f"/v1/cluster?what={what}", query)

            running = (await ask("status", ID="jobJOBjob1", Kind="", DaemonID="", Bck=None, Buckets=None)).json
            assert running == {
                "kind": "lru",
                "uuid": "jobJOBjob1",
                "err": "",
                "end_time": 0,
                "aborted": False,
            }
            assert (await ask("running_all", show_active=True)).json == ["lru[jobJOBjob1]"]
            second.role.snaps["jobJOBjob1"] = snap("jobJOBjob1", error="disk on fire")
            ended = (await ask("status", kind="lru-eviction")).json
            assert (ended["end_time"], ended["err"]) == (1704067205500000000, "disk on fire")
            assert [one["uuid"] for one in (await ask("status_all")).json] == ["jobJOBjob1"]
            snaps = (await ask("qryxstats", id="jobJOBjob1")).json
            assert {target_id: [one["id"] for one in found] for target_id, found in snaps.items()} == {
                first.id: ["jobJOBjob1"],
                second.id: ["jobJOBjob1"],
            }
            assert (await ask("running_all")).json == []
            assert (await ask("qryxstats", id="jobJOBjob1", show_active=True)).status == 404
            first.role.snaps["jobJOBjob2"] = snap("jobJOBjob2", "copy-listrange")
            idle = (await ask("qryxstats", id="jobJOBjob2", show_active=True)).json
            assert [one["id"] for one in idle[first.id]] == ["jobJOBjob2"]
            assert (await ask("status_all", kind="ec-encode")).json is None
            assert (await ask("status", id="noSUCHjob1")).status == 404
            assert (await ask("qryxstats", id="noSUCHjob1")).status == 404
            assert (await ask("status")).status == 400
            assert (await ask("status", kind="magic")).status == 400
            await second.server.close()
            assert (await ask("status", id="jobJOBjob1")).status == 503

    run(scenario())


def test_a_rename_is_over_when_every_target_has_moved_its_objects(serve: Any, run: Run) -> None:
    """The new name exists at once, the old one is gone for clients; the job ends when the old bucket has left."""

    async def scenario() -> None:
        async with serve(proxies=2, targets=2) as cluster:
            await cluster.create("old")
            slow = cluster.targets[1].role
            slow.xactions_end = False
            second = cluster.proxies[1]
            begun = await second.act("POST", RENAME, "move-bck")
            assert begun.status == 200
            uuid = begun.body.decode()
            assert (await second.ask("HEAD", OLD)).status == 404
            assert (await second.ask("HEAD", NEW)).status == 200
            assert [one["name"] for one in (await second.act("GET", "/v1/buckets", "list")).json] == ["new"]
            for method, path, action in (
                ("POST", OLD, "create-bck"),
                ("DELETE", NEW, "destroy-bck"),
                ("POST", NEW + "?bck_to=ais/@%23/x/", "move-bck"),
            ):
                assert (await second.act(method, path, action)).status == 409
            query = {"ID": uuid}
            assert (await second.ask("GET", "/v1/cluster?what=status", query)).json["end_time"] == 0
            await until(lambda: uuid in slow.snaps)
            assert (await second.act("PUT", "/v1/cluster", "stop", query)).status == 501
            slow.xactions_end = True
            await until(lambda: second.node.bmd.get(Bck("old")) is None)
            status = (await second.ask("GET", "/v1/cluster?what=status", query)).json
            assert status["end_time"] > 0
            assert status["err"] == ""
            assert (await second.act("POST", OLD, "create-bck")).status == 200

    run(scenario())


def test_a_new_primary_finishes_the_rename(serve: Any, run: Run) -> None:
    """The primary changes in the middle; the next one drives the same job to its end."""

    async def scenario() -> None:
        async with serve(proxies=2, targets=1) as cluster:
            await cluster.create("old")
            role = cluster.targets[0].role
            role.xactions_end = False
            uuid = (await cluster.primary.act("POST", RENAME, "move-bck")).body.decode()
            second = cluster.proxies[1]
            assert (await second.ask("PUT", f"/v1/cluster/proxy/{second.id}")).status == 200
            role.snaps.clear()
            await until(lambda: uuid in role.snaps)
            role.xactions_end = True
            await until(lambda: not list(rename.pending(second.node.bmd)))
            assert [bucket.bck.name for bucket in second.node.bmd] == ["new"]

    run(scenario())


def test_a_rename_waits_for_a_target_that_left(serve: Any, run: Run) -> None:
    """Objects of a target that is away are not lost: the old bucket stays until it has been back."""

    async def scenario() -> None:
        async with serve(targets=2) as cluster:
            await cluster.create("old")
            gone = cluster.targets[1]
            gone.role.xactions_end = False
            assert (await cluster.primary.act("POST", RENAME, "move-bck")).status == 200
            await until(lambda: bool(gone.role.snaps))
            await gone.stop()
            await cluster.primary.node.remove_nodes(frozenset({gone.id}))
            asked = cluster.targets[0].role.queries
            await until(lambda: cluster.targets[0].role.queries > asked + 2)
            assert cluster.primary.node.bmd.get(Bck("old")) is not None

    run(scenario())
