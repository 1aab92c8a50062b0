"""Many clients at once of a cluster whose nodes come and go, who know what they were promised and complain.

Every worker changes names of its own, so it knows what each must be. A request that gets 503, or no answer, is sent
again as clients do, and counted: while nobody is killed there should be none.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple
from urllib.parse import quote
from xml.etree import ElementTree

import aiohttp
import msgpack
import yarl

from harness.meanwhile import Meanwhile
from harness.wire import message

PATIENCE_S = 90.0
PAUSE_S = 0.2
PLAIN, VERSIONED = "plain", "versioned"
OF_WORKER = 40
"""Names that each worker changes."""


class Size(NamedTuple):
    """How many clients do what, and how many objects nobody changes."""

    readers: int = 32
    writers: int = 8
    listers: int = 2
    deleters: int = 2
    stable: int = 6000


class Reply(NamedTuple):
    """An answer. `tries`: how often it was asked for; after more than once an earlier one may have had an effect."""

    status: int
    body: bytes
    headers: dict[str, str]
    tries: int


def content(name: str) -> bytes:
    """What an object holds that nobody changes."""
    return random.Random(name).randbytes(1000 + len(name) * 37)


class Crowd(Meanwhile):
    """See the module. Works as a context; `check` afterwards, when nobody works any more."""

    def __init__(self, urls: Sequence[str], size: Size) -> None:
        self.urls, self.size = list(urls), size
        self.stable = [f"s{number % 17}/o{number:05}" for number in range(size.stable)]
        self.kept: dict[str, bytes] = {}
        self.dead: set[str] = set()
        """Deleted for good."""
        self.versions: dict[str, dict[str, bytes | None]] = {}
        """Of each name in the bucket that keeps versions: what each holds; None: a delete marker."""
        self.unsure: set[str] = set()
        """Names of that bucket that may have more versions: an answer was lost."""
        self.requests = self.repeated = 0
        self.last_refusal = ""
        self.problems: list[str] = []
        self.rounds: dict[str, int] = {}
        self._loop = asyncio.new_event_loop()
        super().__init__(lambda: self._loop.run_until_complete(self._main()))

    def fill(self) -> None:
        """Make the buckets and the objects that nobody changes."""
        self._loop.run_until_complete(self._fill())

    def check(self) -> None:
        """Nobody has complained, all have worked, and everything is as promised."""
        assert not self.problems, self.problems[:5]
        assert len(self.rounds) == 6, self.rounds
        self._loop.run_until_complete(self._check())
        self.close()
        assert not self.problems, self.problems[:5]

    def close(self) -> None:
        """Nobody works any more, and nothing is to be checked."""
        self._loop.close()

    # -- work

    async def _main(self) -> None:
        size = self.size
        kept = max(1, size.writers // 4)
        jobs = [self._reads] * size.readers + [self._lists] * size.listers + [self._list_versions]
        workers = [(job, f"r{number}") for number, job in enumerate(jobs)]
        workers += [(self._writes, f"w{number}") for number in range(size.writers - kept)]
        workers += [(self._writes_versions, f"v{number}") for number in range(kept)]
        workers += [(self._deletes, f"d{number}") for number in range(size.deleters)]
        async with aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0), requote_redirect_url=False
        ) as self._http:
            await asyncio.gather(*(self._work(job, who) for job, who in workers))

    async def _work(self, job: Callable[[str], Awaitable[None]], who: str) -> None:
        while not self.ended.is_set():
            try:
                await job(who)
            except Exception as error:  # noqa: BLE001 - told at the end
                self.problems.append(f"{who}: {error!r}")
                return
            self.rounds[job.__name__] = self.rounds.get(job.__name__, 0) + 1

    async def _ask(self, method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None) -> Reply:
        loop, tries = asyncio.get_running_loop(), 0
        deadline = loop.time() + PATIENCE_S
        while True:
            tries += 1
            self.requests += 1
            url = yarl.URL(random.choice(self.urls) + path, encoded=True)
            try:
                timeout = aiohttp.ClientTimeout(total=30)
                async with self._http.request(
                    method, url, data=body or None, headers=headers, timeout=timeout
                ) as answer:
                    found = Reply(answer.status, await answer.read(), dict(answer.headers), tries)
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                found = Reply(0, repr(error).encode(), {}, tries)
            if found.status not in (0, 502, 503) or loop.time() > deadline:
                return found
            self.repeated += 1
            self.last_refusal = f"{method} {path}: {found.status} {found.body[:300]!r}"
            await asyncio.sleep(PAUSE_S)

    def _expect(self, what: str, found: object, wanted: object) -> None:
        if found != wanted:
            self.problems.append(f"{what}: {found!r:.400}, expected {wanted!r:.200}")

    async def _get(self, name: str, wanted: bytes | None) -> None:
        answer = await self._ask("GET", _native(name))
        status = 404 if wanted is None else 200
        self._expect(
            f"GET {name}", (answer.status, answer.body if wanted is not None else b""), (status, wanted or b"")
        )

    async def _reads(self, _who: str) -> None:
        name = random.choice(self.stable)
        await self._get(name, content(name))

    async def _writes(self, who: str) -> None:
        name, data = f"{who}/o{random.randrange(OF_WORKER)}", random.randbytes(random.choice((100, 5000, 200_000)))
        answer = await self._ask("PUT", _native(name), data)
        self._expect(f"PUT {name}", answer.status, 200)
        self.kept[name] = data
        await self._get(name, data)

    async def _deletes(self, who: str) -> None:
        name = f"{who}/{len(self.dead)}"
        self._expect("PUT", (await self._ask("PUT", _native(name), b"short-lived")).status, 200)
        await asyncio.sleep(random.random())
        answer = await self._ask("DELETE", _native(name))
        if not (answer.status == 404 and answer.tries > 1):
            self._expect(f"DELETE {name}", (answer.status, answer.body), (200, b""))
        self.dead.add(name)
        for old in (name, *random.sample(sorted(self.dead), min(3, len(self.dead)))):
            await self._get(old, None)

    async def _writes_versions(self, who: str) -> None:
        name = f"{who}/o{random.randrange(OF_WORKER)}"
        known = self.versions.setdefault(name, {})
        choice = random.random()
        if choice < 0.2:
            answer = await self._ask("DELETE", _s3(name))
            self._expect(f"DELETE {name}", answer.status, 204)
            known[answer.headers["x-amz-version-id"]] = None
        elif choice < 0.5 and len(known) > 4:
            version_id = random.choice(list(known))
            del known[version_id]
            answer = await self._ask("DELETE", f"{_s3(name)}?versionId={version_id}")
            self._expect(f"DELETE {name} {version_id}", answer.status, 204)
            answer = await self._ask("GET", f"{_s3(name)}?versionId={version_id}")
            self._expect(f"GET {name} {version_id}", answer.status, 404)
        else:
            data, is_native = random.randbytes(3000), choice > 0.8
            answer = await self._ask("PUT", _native(name, VERSIONED) if is_native else _s3(name), data)
            self._expect(f"PUT {name}", answer.status, 200)
            stored = await self._ask("HEAD", _s3(name)) if is_native else answer
            known[stored.headers["x-amz-version-id"]] = data
        if answer.tries > 1:
            self.unsure.add(name)
        if known:
            version_id, data = random.choice(list(known.items()))
            if data is not None:
                answer = await self._ask("GET", f"{_s3(name)}?versionId={version_id}")
                self._expect(f"GET {name} {version_id}", (answer.status, answer.body), (200, data))

    async def _lists(self, _who: str) -> None:
        dead, token = set(self.dead), ""
        found: list[str] = []
        while True:
            value = {"pagesize": 1000, "continuation_token": token}
            body = message("list", value=value)
            headers = {"Accept": "application/msgpack", "Content-Type": "application/json"}
            answer = await self._ask("GET", f"/v1/buckets/{PLAIN}?provider=ais", body, headers)
            if answer.status != 200:
                return self._expect("LIST", (answer.status, answer.body), 200)
            page = msgpack.unpackb(answer.body)
            found += [entry["n"] for entry in page["Entries"] or ()]
            token = page["ContinuationToken"]
            if not token:
                break
        self._expect("LIST in order", found, sorted(set(found)))
        self._expect("LIST misses", sorted(set(self.stable) - set(found))[:5], [])
        self._expect("LIST brings back", sorted(dead & set(found))[:5], [])
        return None

    async def _list_versions(self, _who: str) -> None:
        before = {(name, one) for name, known in self.versions.items() for one in known}
        found = await self._all_versions()
        after = {(name, one) for name, known in self.versions.items() for one in known}
        self._expect("versions missed", sorted((before & after) - set(found))[:5], [])
        self._expect("versions twice", len(found), len(set(found)))

    async def _all_versions(self) -> list[tuple[str, str]]:
        found: list[tuple[str, str]] = []
        markers = ""
        while True:
            answer = await self._ask("GET", f"/s3/{VERSIONED}?versions&max-keys=500{markers}")
            assert answer.status == 200, answer
            root = ElementTree.fromstring(answer.body)
            space = root.tag.partition("}")[0] + "}"
            entries = [one for one in root if one.tag in (f"{space}Version", f"{space}DeleteMarker")]
            found += [(one.findtext(f"{space}Key", ""), one.findtext(f"{space}VersionId", "")) for one in entries]
            if root.findtext(f"{space}IsTruncated") != "true":
                return found
            key, version = (root.findtext(f"{space}Next{one}Marker", "") for one in ("Key", "VersionId"))
            markers = f"&key-marker={quote(key)}&version-id-marker={version}"

    # -- before and after

    async def _fill(self) -> None:
        async with aiohttp.ClientSession(requote_redirect_url=False) as self._http:
            made = await self._ask("POST", f"/v1/buckets/{PLAIN}?provider=ais", message("create-bck"))
            assert made.status == 200, made
            assert (await self._ask("PUT", f"/s3/{VERSIONED}")).status == 200
            enable = b"<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>"
            assert (await self._ask("PUT", f"/s3/{VERSIONED}?versioning", enable)).status == 200
            names = iter(self.stable)

            async def put() -> None:
                for name in names:
                    assert (await self._ask("PUT", _native(name), content(name))).status == 200

            await asyncio.gather(*(put() for _ in range(16)))
        self.repeated = 0

    async def _check(self) -> None:
        async with aiohttp.ClientSession(requote_redirect_url=False) as self._http:
            everything: dict[str, bytes | None] = {name: content(name) for name in self.stable}
            everything |= self.kept | dict.fromkeys(self.dead)
            pending = iter(everything.items())

            async def look() -> None:
                for name, wanted in pending:
                    await self._get(name, wanted)

            await asyncio.gather(*(look() for _ in range(16)))
            await self._lists("")
            found: dict[str, set[str]] = {}
            for name, version_id in await self._all_versions():
                found.setdefault(name, set()).add(version_id)
            for name, known in self.versions.items():
                there = found.get(name, set())
                self._expect(f"versions of {name} lost", known.keys() - there, set())
                if name not in self.unsure:
                    self._expect(f"versions of {name} back", there - known.keys(), set())
                for version_id, data in known.items():
                    if data is not None:
                        answer = await self._ask("GET", f"{_s3(name)}?versionId={version_id}")
                        self._expect(f"GET {name} {version_id}", (answer.status, answer.body), (200, data))


def _native(name: str, bucket: str = PLAIN) -> str:
    return f"/v1/objects/{bucket}/{quote(name)}?provider=ais"


def _s3(name: str) -> str:
    return f"/s3/{VERSIONED}/{quote(name)}"
