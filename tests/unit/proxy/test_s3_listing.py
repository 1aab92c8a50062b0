"""S3 listings over real targets, against lists computed the slow way."""

import asyncio
import random
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote_plus
from xml.etree import ElementTree

from yarl import URL

from ais.s3 import xml

Run = Callable[[Any], Any]
ODD_KEYS = [
    "/",
    "//a",
    "/a",
    ".",
    "./a",
    "..",
    "a",
    "a/",
    "a//b",
    "a/b",
    "a/b/",
    "~/x",
    "a b+c%",
    "\x01",
    "é/\U0001f600",
    "x" * 900,
]
KEYS = sorted({*ODD_KEYS, *(f"dir{index % 5}/sub-{index % 3}/o{index:03d}" for index in range(60))})


@dataclass
class Shown:
    """What a page says."""

    root: ElementTree.Element

    @property
    def keys(self) -> list[str]:
        return [unquote_plus(one.findtext("Key", "")) for one in self.root.findall("Contents")]

    @property
    def prefixes(self) -> list[str]:
        return [unquote_plus(one.findtext("Prefix", "")) for one in self.root.findall("CommonPrefixes")]

    @property
    def units(self) -> list[str]:
        return sorted([*self.keys, *self.prefixes])

    @property
    def is_truncated(self) -> bool:
        return self.root.findtext("IsTruncated") == "true"

    def text(self, name: str) -> str | None:
        return self.root.findtext(name)


class Client:
    """Asks a gateway about bucket `b`."""

    def __init__(self, proxy: Any) -> None:
        self._proxy = proxy

    async def send(
        self, method: str, key: str = "", query: str = "", body: bytes = b"", headers: dict[str, str] | None = None
    ) -> tuple[int, bytes]:
        """Status and body; keys go out as they are."""
        escaped = quote(key, safe="").replace(".", "%2E")
        url = URL(f"{self._proxy.url}/s3/b/{escaped}?{query}", encoded=True)
        async with self._proxy.http.request(method, url, data=body or None, headers=headers) as answer:
            return answer.status, await answer.read()

    async def ask(self, query: str = "", **params: str | int) -> Shown:
        """A page; `_` in names stands for `-`, keys come URL-encoded."""
        pairs = {"encoding-type": "url"} | {name.replace("_", "-"): str(value) for name, value in params.items()}
        query = "&".join([query, *(f"{name}={quote(value)}" for name, value in pairs.items())])
        status, body = await self.send("GET", query=query)
        assert status == 200, body
        return Shown(ElementTree.fromstring(body.decode().replace(f' xmlns="{xml.NAMESPACE}"', "")))

    async def refused(self, query: str) -> tuple[int, str, str]:
        """Status, code and argument of an error."""
        status, body = await self.send("GET", query=query)
        root = ElementTree.fromstring(body)
        return status, root.findtext("Code", ""), root.findtext("ArgumentName", "")

    async def fill(self, keys: Iterable[str]) -> None:
        """Put empty objects, a few at a time."""
        await self._each("PUT", keys)

    async def clear(self, keys: Iterable[str]) -> None:
        """Delete objects."""
        await self._each("DELETE", keys)

    async def _each(self, method: str, keys: Iterable[str]) -> None:
        left = iter(keys)

        async def work() -> None:
            for key in left:
                status, body = await self.send(method, key)
                assert status in (200, 204), body

        await asyncio.gather(*(work() for _ in range(8)))


async def v1_pages(client: Client, **params: str | int) -> list[Shown]:
    """All pages of ListObjects, continued as clients do."""
    pages = [await client.ask(**params)]
    while pages[-1].is_truncated:
        marker = pages[-1].text("NextMarker") if params.get("delimiter") else quote(pages[-1].keys[-1])
        pages.append(await client.ask(**params | {"marker": unquote_plus(marker or "")}))
    return pages


async def v2_pages(clients: list[Client], **params: str | int) -> list[Shown]:
    """All pages of ListObjectsV2, each asked of the next gateway in turn."""
    pages = [await clients[0].ask("list-type=2", **params)]
    while pages[-1].is_truncated:
        token = pages[-1].text("NextContinuationToken") or ""
        client = clients[len(pages) % len(clients)]
        pages.append(await client.ask("list-type=2", **params | {"continuation_token": token}))
        assert pages[-1].text("ContinuationToken") == token
    assert all(page.text("NextContinuationToken") is None for page in pages[-1:])
    return pages


def units(keys: list[str], prefix: str = "", delimiter: str = "", after: str = "", start_after: str = "") -> list[str]:
    """Keys and common prefixes as S3 defines them."""
    return sorted(unit for unit in set(_units(keys, prefix, delimiter, start_after)) if unit > after)


def _units(keys: list[str], prefix: str, delimiter: str, start_after: str) -> Iterator[str]:
    for key in keys:
        if key.startswith(prefix) and key > start_after:
            head, found, _ = key[len(prefix) :].partition(delimiter) if delimiter else (key[len(prefix) :], "", "")
            yield prefix + head + found


def full_pages(pages: list[Shown], size: int) -> bool:
    """Whether every page but the last has this many entries, and the last at least one if there are several."""
    sizes = [len(page.units) for page in pages]
    return set(sizes[:-1]) <= {size} and (len(sizes) == 1 or 0 < sizes[-1] <= size)


def test_listings_are_those_of_a_sorted_list(serve: Any, run: Run) -> None:
    """Every combination of prefix, delimiter, start and page size, in both versions, over odd and ordinary keys."""

    async def scenario() -> None:
        async with serve(proxies=2, targets=3, storage=True) as cluster:
            await cluster.create("b")
            clients = [Client(proxy) for proxy in cluster.proxies]
            await clients[0].fill(KEYS)
            for prefix in ("", "a", "a/", "/", "dir1", "dir1/", "dir2/sub-0/o0", "none", "x" * 899, "x" * 1025, "\0"):
                for delimiter in ("", "/", "-", "b/", "sub-", "//", "x"):
                    for size in (1 if prefix and delimiter else 5, 1000):
                        shape: dict[str, Any] = {"prefix": prefix, "delimiter": delimiter, "max_keys": size}
                        expected = units(KEYS, prefix, delimiter)
                        for pages in (await v1_pages(clients[0], **shape), await v2_pages(clients, **shape)):
                            assert [unit for page in pages for unit in page.units] == expected
                            assert full_pages(pages, size)
                            assert all(page.text("KeyCount") in (None, str(len(page.units))) for page in pages)

    run(scenario())


def test_starts_within_a_common_prefix(serve: Any, run: Run) -> None:
    """A marker passes over the prefix it lies in; a key to start after does so only when no greater key is in it."""

    async def scenario() -> None:
        async with serve(targets=3, storage=True) as cluster:
            await cluster.create("b")
            client = Client(cluster.primary)
            await client.fill(KEYS)
            for start in (*random.Random(3).sample(KEYS, 6), "dir1/", "dir1/~", "dir1", "a", "zz", "\U0010ffff"):
                for delimiter in ("/", "-", ""):
                    for size in (1 if delimiter else 20, 2 if delimiter else 1000):
                        shape: dict[str, Any] = {"delimiter": delimiter, "max_keys": size}
                        shown = [unit for page in await v1_pages(client, **shape, marker=start) for unit in page.units]
                        assert shown == units(KEYS, delimiter=delimiter, after=start)
                        pages = await v2_pages([client], **shape, start_after=start)
                        shown = [unit for page in pages for unit in page.units]
                        assert shown == units(KEYS, delimiter=delimiter, start_after=start)
                        assert full_pages(pages, size)

    run(scenario())


def test_any_keys_and_any_delimiter(serve: Any, run: Run) -> None:
    """Random sets of keys in a bucket that is emptied in between: the same pages as the definition gives."""
    rng = random.Random(11)

    def text(alphabet: str, size_min: int, size_max: int) -> str:
        return "".join(rng.choices(alphabet, k=rng.randint(size_min, size_max)))

    async def scenario() -> None:
        async with serve(targets=2, storage=True) as cluster:
            await cluster.create("b")
            client = Client(cluster.primary)
            for _ in range(80):
                keys = {text("ab/-\U0001f600\x7f", 1, 5) for _ in range(rng.randrange(20))}
                await client.fill(keys)
                prefix, delimiter = text("ab/-", 0, 2), text("ab/-\U0001f600", 0, 2)
                shape: dict[str, Any] = {"prefix": prefix, "delimiter": delimiter, "max_keys": rng.randint(1, 5)}
                for pages in (await v1_pages(client, **shape), await v2_pages([client], **shape)):
                    assert [unit for page in pages for unit in page.units] == units(sorted(keys), prefix, delimiter)
                await client.clear(keys)

    run(scenario())


def test_what_is_said_about_an_object(serve: Any, run: Run) -> None:
    """Entity tag and checksum of what S3 wrote, or what stands for them; owners when asked; echoes of the request."""

    async def scenario() -> None:
        async with serve(targets=2, storage=True) as cluster:
            await cluster.create("b")
            client = Client(cluster.primary)
            await cluster.s3()("put_object", Bucket="b", Key="a ~", Body=b"12345", ChecksumAlgorithm="CRC32C")
            native = f"{cluster.primary.url}/v1/objects/b/b/c"
            async with cluster.primary.http.put(native, data=b"1", allow_redirects=True) as answer:
                assert answer.status == 200
            page = await client.ask("list-type=2", prefix="", start_after="A~", fetch_owner="true", delimiter="/")
            [content] = page.root.findall("Contents")
            assert {one.tag: one.text for one in content if one.tag not in ("LastModified", "Owner")} == {
                "Key": "a+%7E",
                "ETag": '"827ccb0eea8a706c4c34a16891f84e7b"',
                "ChecksumAlgorithm": "CRC32C",
                "ChecksumType": "FULL_OBJECT",
                "Size": "5",
                "StorageClass": "STANDARD",
            }
            assert content.find("Owner/ID") is not None
            assert [one.tag for one in page.root] == [
                *("Name", "Prefix", "StartAfter", "KeyCount", "MaxKeys", "Delimiter", "EncodingType", "IsTruncated"),
                *("Contents", "CommonPrefixes"),
            ]
            assert (page.text("StartAfter"), page.text("Name"), page.text("MaxKeys")) == ("A%7E", "b", "1000")
            [other] = (await client.ask("list-type=2", prefix="b")).root.findall("Contents")
            assert other.findtext("ETag", "").endswith('-1"')
            assert other.find("Owner") is None
            first = await client.ask(delimiter="/", max_keys=1)
            assert [one.tag for one in first.root] == [
                *("Name", "Prefix", "Marker", "NextMarker", "MaxKeys", "Delimiter", "EncodingType", "IsTruncated"),
                "Contents",
            ]
            assert first.text("NextMarker") == "a+%7E"
            assert first.root.find("Contents/Owner/ID") is not None
            assert (await client.ask(max_keys=1)).text("NextMarker") is None

    run(scenario())


def test_limits_of_a_page(serve: Any, run: Run) -> None:
    """0 is an empty page that is the last; more than 1000 is 1000; an exact fit is not truncated."""

    async def scenario() -> None:
        async with serve(targets=2, storage=True) as cluster:
            await cluster.create("b")
            client = Client(cluster.primary)
            await client.fill(f"k{index:04d}" for index in range(1003))
            for query in ("", "list-type=2"):
                none = await client.ask(query, max_keys=0)
                assert (none.units, none.is_truncated, none.text("MaxKeys")) == ([], False, "0")
                many = await client.ask(query, max_keys=5000)
                assert (len(many.units), many.is_truncated, many.text("MaxKeys")) == (1000, True, "1000")
                fit = await client.ask(query, prefix="k10", max_keys=3)
                assert (len(fit.units), fit.is_truncated) == (3, False)

    run(scenario())


def test_wrong_requests(serve: Any, run: Run) -> None:
    """Each has S3's code and names its parameter."""
    cases = {
        "max-keys=-1": "maxKeys",
        "max-keys=x": "max-keys",
        "max-keys=2147483648": "max-keys",
        "list-type=2&max-keys=1.5": "max-keys",
        "encoding-type=base64": "encoding-type",
        "encoding-type=": "encoding-type",
        "list-type=2&continuation-token=": "continuation-token",
        "list-type=2&continuation-token=abc": "continuation-token",
        "list-type=2&continuation-token=YWJjZGVmZ2hpams=": "continuation-token",
        "list-type=2&marker=x": "marker",
        "start-after=x": "start-after",
        "continuation-token=x": "continuation-token",
        "versions&version-id-marker=null": "version-id-marker",
        "versions&key-marker=a&version-id-marker=": "version-id-marker",
        "versions&key-marker=a&version-id-marker=none": "version-id-marker",
        "uploads&max-uploads=-1": "max-uploads",
    }

    async def scenario() -> None:
        async with serve(targets=1, storage=True) as cluster:
            await cluster.create("b")
            client = Client(cluster.primary)
            for query, argument in cases.items():
                assert await client.refused(query) == (400, "InvalidArgument", argument), query

    run(scenario())


def test_a_target_that_does_not_answer_is_503(serve: Any, run: Run, tmp_path: Path) -> None:
    """Never a short list: not when a node is gone, and not when it cannot read something."""

    async def scenario() -> None:
        async with serve(targets=2, storage=True) as cluster:
            await cluster.create("b")
            client = Client(cluster.primary)
            await client.fill(f"k{index}" for index in range(20))
            assert (await client.send("POST", "k1", "uploads"))[0] == 200
            [record] = tmp_path.glob("t*/@ais/b/%mp/*/upload")
            whole = record.read_bytes()
            record.write_bytes(b"junk")
            assert (await client.refused("uploads"))[0] == 500
            record.write_bytes(whole)
            await cluster.targets[1].server.close()
            for query in ("", "list-type=2", "versions", "uploads", "list-type=2&delimiter=/&start-after=k/a"):
                assert await client.refused(query) == (503, "ServiceUnavailable", ""), query

    run(scenario())


def test_keys_that_stay_are_listed_while_others_come_and_go(serve: Any, run: Run) -> None:
    """Many pages beside writers that put, overwrite and delete, with names that are files and directories in turn."""
    staying = [f"d{index % 5}/k{index:03d}" for index in range(150)]

    async def scenario() -> None:
        async with serve(targets=2, storage=True) as cluster:
            await cluster.create("b")
            client, is_over = Client(cluster.primary), asyncio.Event()
            await client.fill(staying)

            async def churn(seed: int) -> None:
                rng = random.Random(seed)
                while not is_over.is_set():
                    key = rng.choice(staying)
                    await client.fill([key])
                    await client.fill([f"{key}/below{seed}", f"new{seed}-{rng.randrange(50)}"])
                    await client.clear([f"{key}/below{seed}"])

            writers = [asyncio.create_task(churn(seed)) for seed in range(4)]
            for size in (7, 23, 100):
                for pages in (await v1_pages(client, max_keys=size), await v2_pages([client], max_keys=size)):
                    shown = [key for page in pages for key in page.keys]
                    assert shown == sorted(set(shown))
                    assert set(staying) <= set(shown)
                rolled = await v2_pages([client], max_keys=2, delimiter="/")
                shown = [unit for page in rolled for unit in page.prefixes]
                assert shown == [f"d{index}/" for index in range(5)]
            is_over.set()
            await asyncio.gather(*writers)

    run(scenario())


async def all_versions(client: Client, **params: str | int) -> tuple[list[tuple[str, ...]], list[str]]:
    """(key, version ID, latest, kind) of all versions page by page, and the common prefixes."""
    found: list[tuple[str, ...]] = []
    prefixes: list[str] = []
    while True:
        page = await client.ask("versions", **params)
        shown = [one for one in page.root if one.tag in ("Version", "DeleteMarker")]
        assert len(shown) + len(page.prefixes) <= int(params["max_keys"])
        found += [
            (
                unquote_plus(one.findtext("Key", "")),
                one.findtext("VersionId", ""),
                one.findtext("IsLatest", ""),
                one.tag,
            )
            for one in shown
        ]
        prefixes += page.prefixes
        if not page.is_truncated:
            return found, prefixes
        params["key_marker"] = unquote_plus(page.text("NextKeyMarker") or "")
        params.pop("version_id_marker", None)
        if marker := page.text("NextVersionIdMarker"):
            params["version_id_marker"] = marker


def test_a_bucket_that_never_kept_versions(serve: Any, run: Run) -> None:
    """Each object is its own latest version, called null; markers continue behind the key."""

    async def scenario() -> None:
        async with serve(targets=2, storage=True) as cluster:
            await cluster.create("b")
            client = Client(cluster.primary)
            await client.fill(KEYS)
            found, prefixes = await all_versions(client, delimiter="/", max_keys=3)
            assert {one[1:] for one in found} == {("null", "true", "Version")}
            assert sorted([*(key for key, *_ in found), *prefixes]) == units(KEYS, delimiter="/")

    run(scenario())


def test_versions(serve: Any, run: Run) -> None:
    """Null versions, kept versions and delete markers, newest first, with any page size, prefix and delimiter."""
    keys = ["a", "a/b", "a/c/", "dir/x", "dir/y", "gone/k", "z"]

    async def scenario() -> None:
        async with serve(targets=2, storage=True) as cluster:
            await cluster.create("b")
            client, history = Client(cluster.primary), {key: ["null"] for key in keys[:4]}
            await client.fill(history)
            boto = cluster.s3()
            await boto("put_bucket_versioning", Bucket="b", VersioningConfiguration={"Status": "Enabled"})
            for turn in range(3):
                for key in keys:
                    done = await boto("put_object", Bucket="b", Key=key, Body=b"x" * turn)
                    history.setdefault(key, []).insert(0, done["VersionId"])
            for key in ("a/b", "gone/k"):
                done = await boto("delete_object", Bucket="b", Key=key)
                history[key].insert(0, done["VersionId"])
            markers = {history["a/b"][0], history["gone/k"][0]}
            expected = [
                (key, version, "true" if at == 0 else "false", "DeleteMarker" if version in markers else "Version")
                for key in keys
                for at, version in enumerate(history[key])
            ]
            for size in (1, 2, 3, 5, 1000):
                assert await all_versions(client, max_keys=size) == (expected, [])
                inside = [one for one in expected if one[0].startswith("a/")]
                assert await all_versions(client, max_keys=size, prefix="a/") == (inside, [])
                top = [one for one in expected if "/" not in one[0]]
                assert await all_versions(client, max_keys=size, delimiter="/") == (top, ["a/", "dir/", "gone/"])
            for at, (key, version, *_) in enumerate(expected):
                found, _ = await all_versions(client, max_keys=4, key_marker=key, version_id_marker=version)
                assert found == expected[at + 1 :]
            assert (await client.ask("list-type=2", delimiter="/")).units == ["a", "a/", "dir/", "z"]

    run(scenario())


def test_uploads(serve: Any, run: Run) -> None:
    """By key, then by start; with prefix, delimiter, limits and both markers; common prefixes once."""

    async def scenario() -> None:
        async with serve(targets=3, storage=True) as cluster:
            await cluster.create("b")
            client = Client(cluster.primary)
            started: list[tuple[str, str]] = []
            for index in range(60):
                key = f"dir{index % 4}/k{index % 3}" if index % 2 else f"k{index % 5} "
                status, body = await client.send("POST", key, "uploads", headers={"x-amz-checksum-algorithm": "SHA1"})
                assert status == 200, body
                started.append((key, body.partition(b"<UploadId>")[2].partition(b"<")[0].decode()))
            in_order = sorted(started, key=lambda one: one[0])  # stable: uploads of one key stay in order of start
            for size in (1, 7, 1000):
                for delimiter in ("", "/"):
                    shown: list[tuple[str, str]] = []
                    prefixes: list[str] = []
                    params: dict[str, Any] = {"max_uploads": size, "delimiter": delimiter}
                    page = None
                    while page is None or page.is_truncated:
                        page = await client.ask("uploads", **params)
                        found = page.root.findall("Upload")
                        shown += [
                            (unquote_plus(one.findtext("Key", "")), one.findtext("UploadId", "")) for one in found
                        ]
                        prefixes += page.prefixes
                        assert len(found) + len(page.prefixes) <= size
                        params["key_marker"] = unquote_plus(page.text("NextKeyMarker") or "")
                        params["upload_id_marker"] = page.text("NextUploadIdMarker") or ""
                    assert shown == [one for one in in_order if not delimiter or "/" not in one[0]]
                    assert prefixes == ([f"dir{index}/" for index in (1, 3)] if delimiter else [])
            one = (await client.ask("uploads", prefix="k", max_uploads=1)).root.find("Upload")
            assert one is not None
            assert [child.tag for child in one] == [
                *("Key", "UploadId", "Initiator", "Owner", "StorageClass", "Initiated"),
                *("ChecksumAlgorithm", "ChecksumType"),
            ]
            behind = await client.ask("uploads", key_marker="k0 ")
            assert [unquote_plus(key.text or "") for key in behind.root.iter("Key")] == [
                key for key, _ in in_order if key > "k0 "
            ]

    run(scenario())
