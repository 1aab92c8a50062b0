"""Listing objects over several targets."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from harness.target import until

from ais.api import listing
from ais.api.listing import Page
from ais.base.errors import DiskFailure
from ais.proxy import listing as proxy_listing

Run = Callable[[Any], Any]
NAMES = sorted(f"dir{index % 7}/obj-{index:05d}" for index in range(5000))


async def page(proxy: Any, value: dict[str, Any], bucket: str = "b") -> Page:
    answer = await proxy.act("GET", f"/v1/buckets/{bucket}", "list", value, headers={"Accept": "application/msgpack"})
    assert answer.status == 200, answer.error
    assert answer.headers["Content-Type"] == "application/msgpack"
    return listing.decode_page(answer.body)


async def pages(proxies: list[Any], value: dict[str, Any]) -> list[Page]:
    """All pages, each from the next proxy in turn."""
    found: list[Page] = []
    uuid = token = ""
    while not found or token:
        proxy = proxies[len(found) % len(proxies)]
        found.append(await page(proxy, value | {"uuid": uuid, "continuation_token": token}))
        uuid, token = found[-1].UUID, found[-1].ContinuationToken
    return found


def names_of(found: list[Page]) -> list[str]:
    return [entry.n for one in found for entry in one.Entries or ()]


def test_pages_hold_every_name_once_and_in_order(serve: Any, run: Run) -> None:
    """Three targets, pages of 700: the whole bucket, sorted, full pages, one ID, and no name fetched twice."""

    async def scenario() -> None:
        async with serve(targets=3) as cluster:
            await cluster.create("b")
            cluster.spread("b", NAMES)
            found = await pages([cluster.primary], {"pagesize": 700, "props": "name"})
            assert names_of(found) == NAMES
            assert {len(one.Entries or ()) for one in found[:-1]} == {700}
            assert len({one.UUID for one in found}) == 1
            assert sum(target.role.fetched for target in cluster.targets) == len(NAMES)

    run(scenario())


def test_a_first_page_asks_each_target_for_its_part(serve: Any, run: Run) -> None:
    """Who wants one page only does not have as many names looked up as there are targets times its size."""

    async def scenario() -> None:
        async with serve(targets=5) as cluster:
            await cluster.create("b")
            cluster.spread("b", NAMES)
            first = await page(cluster.primary, {"pagesize": 500, "props": "name"})
            assert names_of([first]) == NAMES[:500]
            assert sum(target.role.fetched for target in cluster.targets) < 1000
            assert [target.role.pages for target in cluster.targets] == [1] * 5
            following = {"uuid": first.UUID, "continuation_token": first.ContinuationToken}
            second = await page(cluster.primary, {"pagesize": 500, "props": "name"} | following)
            assert names_of([second]) == NAMES[500:1000]
            assert max(target.role.pages for target in cluster.targets) <= 3  # with what is asked ahead

    run(scenario())


def test_any_proxy_continues_a_listing(serve: Any, run: Run) -> None:
    """Pages asked of two proxies in turn: nothing lost, nothing doubled."""

    async def scenario() -> None:
        async with serve(proxies=2, targets=2) as cluster:
            await cluster.create("b")
            cluster.spread("b", NAMES)
            assert names_of(await pages(cluster.proxies, {"pagesize": 999})) == NAMES

    run(scenario())


def test_an_exact_fit_is_followed_by_an_empty_page(serve: Any, run: Run) -> None:
    """The token is the last name whenever the page is full, so the last full page promises one more."""

    async def scenario() -> None:
        async with serve(targets=2) as cluster:
            await cluster.create("b")
            cluster.spread("b", NAMES[:100])
            found = await pages([cluster.primary], {"pagesize": 50})
            assert [len(one.Entries or ()) for one in found] == [50, 50, 0]
            assert found[1].ContinuationToken == NAMES[99]

    run(scenario())


def test_prefix_and_start_after_narrow_the_listing(serve: Any, run: Run) -> None:
    """A prefix (also with a star) and an exclusive start give exactly the names between."""

    async def scenario() -> None:
        async with serve(targets=2) as cluster:
            await cluster.create("b")
            cluster.spread("b", NAMES)
            inside = [name for name in NAMES if name.startswith("dir3/")]
            assert names_of(await pages([cluster.primary], {"prefix": "dir3/*", "pagesize": 100})) == inside
            after = {"prefix": "dir3/", "start_after": inside[10]}
            assert names_of(await pages([cluster.primary], after)) == inside[11:]

    run(scenario())


def test_json_is_given_to_those_who_do_not_ask_for_msgpack(serve: Any, run: Run) -> None:
    """Without an Accept header the page has the JSON names, sizes as strings; an easy URL gives the same page."""

    async def scenario() -> None:
        async with serve(targets=2) as cluster:
            await cluster.create("b")
            cluster.spread("b", ["a", "bb"])
            for answer in (
                await cluster.primary.act("GET", "/v1/buckets/b", "list", {}),
                await cluster.primary.ask("GET", "/ais/b"),
            ):
                assert answer.headers["Content-Type"] == "application/json; charset=utf-8"
                assert answer.json["continuation_token"] == ""
                assert answer.json["entries"] == [
                    {"name": "a", "size": "1", "flags": 64},
                    {"name": "bb", "size": "2", "flags": 64},
                ]

    run(scenario())


def test_a_target_that_fails_fails_the_listing(serve: Any, run: Run) -> None:
    """An error of one target, or its silence, is an error of the page: a short list is never given as the whole."""

    async def scenario() -> None:
        async with serve(targets=2) as cluster:
            await cluster.create("b")
            cluster.spread("b", NAMES)
            cluster.targets[1].role.failure = DiskFailure("mountpath /mp1 is broken")
            broken = await cluster.primary.act("GET", "/v1/buckets/b", "list", {})
            assert broken.status == 500
            assert "/mp1" in broken.error["message"]
            await cluster.targets[1].server.close()
            silent = await cluster.primary.act("GET", "/v1/buckets/b", "list", {})
            assert silent.status == 502
            assert cluster.targets[1].id in silent.error["message"]

    run(scenario())


def test_a_cluster_without_targets_has_nothing_to_ask(serve: Any, run: Run) -> None:
    """503 with advice, not an empty list."""

    async def scenario() -> None:
        async with serve(targets=0) as cluster:
            await cluster.create("b")
            answer = await cluster.primary.act("GET", "/v1/buckets/b", "list", {})
            assert answer.status == 503
            assert "target" in answer.error["message"]

    run(scenario())


def test_many_listings_at_once_keep_their_own_places(serve: Any, run: Run) -> None:
    """Twenty clients list at the same time with different page sizes; each sees the whole bucket."""

    async def scenario() -> None:
        async with serve(targets=2) as cluster:
            await cluster.create("b")
            cluster.spread("b", NAMES)
            listings = (pages([cluster.primary], {"pagesize": 400 + 37 * index}) for index in range(20))
            for found in await asyncio.gather(*listings):
                assert names_of(found) == NAMES

    run(scenario())


def test_targets_are_asked_ahead_of_who_goes_on(serve: Any, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """After its second page a client's next ones are there already; whoever reads one page causes no more work."""
    monkeypatch.setattr(proxy_listing, "AHEAD_S_MAX", 3600.0)

    async def scenario() -> None:
        async with serve(targets=1) as cluster:
            await cluster.create("b")
            cluster.spread("b", NAMES)
            [target] = cluster.targets
            first = await page(cluster.primary, {"pagesize": 500})
            assert target.role.fetched == 500
            request = {"pagesize": 500, "uuid": first.UUID, "continuation_token": first.ContinuationToken}
            found = [first, await page(cluster.primary, request)]
            await until(lambda: target.role.fetched == len(NAMES))
            target.role.failure = DiskFailure("mountpath /mp1 is broken")
            while token := found[-1].ContinuationToken:
                found.append(await page(cluster.primary, request | {"continuation_token": token}))
            assert names_of(found) == NAMES

    run(scenario())


@pytest.mark.parametrize("is_late", [True, False])
def test_what_was_asked_ahead_in_vain_is_asked_again(
    serve: Any, run: Run, monkeypatch: pytest.MonkeyPatch, is_late: bool
) -> None:
    """The client comes late, or the target failed then and does not now: the pages are the same."""
    if is_late:
        monkeypatch.setattr(proxy_listing, "AHEAD_S_MAX", -1.0)

    async def scenario() -> None:
        async with serve(targets=2) as cluster:
            await cluster.create("b")
            cluster.spread("b", NAMES)
            role = cluster.targets[1].role
            read = role.page

            def page_or_failure(bucket: str, message: Any) -> Page:
                if message.pagesize == proxy_listing.AHEAD_MIN and not is_late:
                    raise DiskFailure("mountpath /mp1 is broken")
                return read(bucket, message)

            role.page = page_or_failure
            assert names_of(await pages([cluster.primary], {"pagesize": 700})) == NAMES

    run(scenario())


def test_what_moved_between_two_pages_is_listed(serve: Any, run: Run) -> None:
    """One target has told what it has up to there, the other has not been asked yet: a rebalance that begins and ends
    meanwhile brings a name from this one to that one, and what was kept for the next page does not know it.
    """

    async def scenario() -> None:
        async with serve(targets=2) as cluster:
            await cluster.create("b")
            one, other = cluster.targets
            one.role.names["b"] = ["a", "c", "x", "y"]
            other.role.names["b"] = ["b", "d", "e", "f", "g", "h", "i", "m"]
            first = await page(cluster.primary, {"pagesize": 4})
            one.role.names["b"].append("m")
            other.role.names["b"].remove("m")
            await cluster.primary.node.changes.change_smap(lambda smap: smap.changed())
            names, token = names_of([first]), first.ContinuationToken
            while token:
                found = await page(cluster.primary, {"pagesize": 4, "uuid": first.UUID, "continuation_token": token})
                names, token = names + names_of([found]), found.ContinuationToken
            assert names == [*"abcdefghimxy"]

    run(scenario())


def test_small_pages_are_not_read_far_ahead(serve: Any, run: Run) -> None:
    """A client that takes a few names at a time, with time between, sees what was written meanwhile."""

    async def scenario() -> None:
        async with serve(targets=1) as cluster:
            await cluster.create("b")
            cluster.spread("b", NAMES)
            await run_pages(cluster, 3)
            [target] = cluster.targets
            await until(lambda: target.role.pages >= 3)
            assert target.role.fetched < 100

    async def run_pages(cluster: Any, count: int) -> None:
        uuid = token = ""
        for _ in range(count):
            found = await page(cluster.primary, {"pagesize": 5, "uuid": uuid, "continuation_token": token})
            uuid, token = found.UUID, found.ContinuationToken

    run(scenario())
