"""Listings against a reference computed here: every page exact, whatever prefix, delimiter, marker and size it has.

5,000 keys and 100 common prefixes in CI, 100,000 and 1,000 with S3_FULL=1 (`make nightly`).
"""

import bisect
import itertools
import random
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple
from urllib.parse import quote, unquote_plus
from xml.etree import ElementTree

import pytest
from harness.load import put_empty
from harness.s3access import Access, boto, remove_bucket
from harness.s3raw import call
from harness.scale import FULL

from ais.testing import Cluster

KEYS, PREFIXES, PAGES = (100_000, 1_000, 2_000) if FULL else (5_000, 100, 250)
BUCKET = "listing"
LAST = "\U0010ffff"
XMLNS = "{http://s3.amazonaws.com/doc/2006-03-01/}"

PLAIN_KEYS = [
    *(f"class-{number % PREFIXES:04}/sample-{number:06}.jpg" for number in range(KEYS * 9 // 10)),
    *(f"flat-{number:05}--part-{number % 3}" for number in range(KEYS // 10)),
]
ODD_KEYS = [
    *(
        "a",
        "a/",
        "a//",
        "a//b",
        "a/b",
        "a/b/c",
        "ab",
        "a b+c",
        "%41",
        "~",
        "ünï/日本",
        "😀/x",
        "<&>\"'",
        "z/",
        ".",
        "..",
    ),
    *("--", "class-", "class-0003", "flat-00001--", "x/./y", "x/../y", "/lead", "//", "end/.", "\u00a0"),
]
ALL_KEYS = sorted([*PLAIN_KEYS, *ODD_KEYS], key=str.encode)

DELIMITERS = ["", "/", "--", "sample", "-0", "日"]
STARTS = ["", "class-0", "class-0007/", "class-0007/sample-0000", "flat", "a", "a/", "nothing"]
MARKERS = ["", "A", "a/", "a/b", "class-0005", "class-0007/sample-000107.jpg", "flat-00100--part-1", "zzz", "ünï/"]
SIZES = [0, 1, 2, 7, 1000, 5000]


class Query(NamedTuple):
    """One page asked for; `after` is V1's marker or V2's start-after."""

    prefix: str
    delimiter: str
    after: str
    max_keys: int


class Page(NamedTuple):
    """What a page shows. `last` is the last entry, key or common prefix, of a truncated page."""

    keys: list[str]
    prefixes: list[str]
    is_truncated: bool
    last: str


def reference(keys: list[str], query: Query) -> Page:
    """The page S3 documents, from all keys in UTF-8 order."""
    found = Page([], [], False, "")
    room, last = min(query.max_keys, 1000), ""
    index = bisect.bisect_left(keys, query.prefix.encode(), key=str.encode)
    if query.after:
        behind = query.after + LAST if rolled_up(query.after, query) == query.after else query.after
        index = max(index, bisect.bisect_right(keys, behind.encode(), key=str.encode))
    while room and index < len(keys) and keys[index].startswith(query.prefix):
        if len(found.keys) + len(found.prefixes) == room:
            return found._replace(is_truncated=True, last=last)
        if group := rolled_up(keys[index], query):
            last = group
            found.prefixes.append(group)
            index = bisect.bisect_left(keys, (group + LAST).encode(), key=str.encode)
        else:
            last = keys[index]
            found.keys.append(last)
            index += 1
    return found


def rolled_up(key: str, query: Query) -> str:
    """The common prefix a key is shown as, empty if it is shown itself."""
    if not query.delimiter or not key.startswith(query.prefix):
        return ""
    head, found, _ = key[len(query.prefix) :].partition(query.delimiter)
    return query.prefix + head + found if found else ""


@pytest.fixture(scope="module")
def s3(cluster: Cluster) -> Access:
    """A cluster in which nobody has to say who they are: it is filled natively."""
    return Access(cluster.endpoint, "any", "anysecret")


@pytest.fixture(scope="module")
def listed(s3: Access) -> Iterator[Access]:
    """The endpoint, with a bucket that holds ALL_KEYS."""
    client = boto(s3)
    client.create_bucket(Bucket=BUCKET)
    put_empty(s3.url, BUCKET, PLAIN_KEYS)
    for key in ODD_KEYS:
        client.put_object(Bucket=BUCKET, Key=key)
    yield s3
    remove_bucket(client, BUCKET)


def ask(access: Access, bucket: str = BUCKET, **parameters: Any) -> ElementTree.Element:
    """The XML of a page; `_` in parameter names stands for `-`."""
    sent = {name.replace("_", "-"): quote(str(value), safe="") for name, value in parameters.items()}
    answer = call(access, "GET", f"/{bucket}", "&".join(f"{name}={value}" for name, value in sent.items()))
    assert answer.status == 200, (parameters, answer)
    root = ElementTree.fromstring(answer.body)
    for element in root.iter():
        element.tag = element.tag.removeprefix(XMLNS)
    return root


def texts(root: ElementTree.Element, path: str) -> list[str]:
    """Texts of all elements at a path, those without one as empty."""
    return [element.text or "" for element in root.findall(path)]


def page_of(root: ElementTree.Element) -> Page:
    """What a page shows; `last` is not compared by this."""
    truncated = root.findtext("IsTruncated") == "true"
    keys, prefixes = texts(root, "Contents/Key"), texts(root, "CommonPrefixes/Prefix")
    last = max([*keys, *prefixes], key=str.encode) if truncated else ""
    return Page(keys, prefixes, truncated, last)


def some(seed: int, *choices: list[Any]) -> list[Query]:
    """PAGES combinations, or all when there are no more."""
    combinations = [Query(*chosen) for chosen in itertools.product(*choices)]
    return random.Random(seed).sample(combinations, min(PAGES, len(combinations)))


def test_pages_of_version_1(listed: Access) -> None:
    """Each V1 page has the keys and common prefixes of the reference; NextMarker only with a delimiter.

    A marker within a common prefix passes over all of it, as in S3.
    """
    for query in some(1, STARTS, DELIMITERS, MARKERS, SIZES):
        root = ask(listed, prefix=query.prefix, delimiter=query.delimiter, marker=query.after, max_keys=query.max_keys)
        expected = reference(ALL_KEYS, query._replace(after=rolled_up(query.after, query) or query.after))
        assert page_of(root) == expected, query
        marker = root.findtext("NextMarker") or ""
        assert marker == (expected.last if query.delimiter else ""), query
        assert (root.findtext("Prefix") or "", root.findtext("Marker") or "") == (query.prefix, query.after)


def test_pages_of_version_2(listed: Access) -> None:
    """Each V2 page has the keys and common prefixes of the reference, an exact KeyCount, and a token when truncated."""
    for query in some(2, STARTS, DELIMITERS, [one for one in MARKERS if not one.endswith("/")], SIZES):
        root = ask(
            listed,
            list_type=2,
            prefix=query.prefix,
            delimiter=query.delimiter,
            start_after=query.after,
            max_keys=query.max_keys,
        )
        expected = reference(ALL_KEYS, query)
        assert page_of(root) == expected, query
        assert root.findtext("KeyCount") == str(len(expected.keys) + len(expected.prefixes)), query
        assert bool(root.findtext("NextContinuationToken")) == expected.is_truncated, query


WALKS = [
    ("", "", 1000),
    ("", "/", 1000),
    ("", "/", 7),
    ("class-0", "/", 3),
    ("class-0007/", "/", 11),
    ("flat", "--", 100),
    ("", "sample", 37),
    ("a", "", 2),
]


@pytest.mark.timeout(900)
@pytest.mark.parametrize(("prefix", "delimiter", "max_keys"), WALKS)
@pytest.mark.parametrize("version", [1, 2])
def test_walk(listed: Access, version: int, prefix: str, delimiter: str, max_keys: int) -> None:
    """Page after page gives every entry once and in order, each page as full as it can be."""
    query = Query(prefix, delimiter, "", max_keys)
    walk = walk_1(listed, BUCKET, query) if version == 1 else walk_2(listed, BUCKET, query)
    for page in walk:
        assert page == reference(ALL_KEYS, query)
        query = query._replace(after=page.last)
    assert not page.is_truncated


def walk_1(access: Access, bucket: str, query: Query) -> Iterator[Page]:
    """All pages by V1: the next marker is NextMarker, or the last key when there is none."""
    marker = ""
    while True:
        root = ask(
            access, bucket, prefix=query.prefix, delimiter=query.delimiter, marker=marker, max_keys=query.max_keys
        )
        page = page_of(root)
        yield page
        if not page.is_truncated:
            return
        marker = root.findtext("NextMarker") or page.keys[-1]


def walk_2(access: Access, bucket: str, query: Query) -> Iterator[Page]:
    """All pages by V2 and its tokens."""
    token: dict[str, str] = {}
    while True:
        root = ask(
            access,
            bucket,
            list_type=2,
            prefix=query.prefix,
            delimiter=query.delimiter,
            max_keys=query.max_keys,
            **token,
        )
        page = page_of(root)
        yield page
        if not page.is_truncated:
            return
        token = {"continuation_token": root.findtext("NextContinuationToken") or ""}


@pytest.mark.parametrize("version", [1, 2])
def test_url_encoding(listed: Access, version: int) -> None:
    """With `encoding-type=url` names, prefixes and what was asked for come percent-encoded and decode to themselves."""
    asked = {"list_type": 2} if version == 2 else {}
    for prefix, delimiter in (("a", ""), ("a", "/"), ("", "日"), ("😀", ""), ("x/", ""), ("%", "")):
        root = ask(listed, encoding_type="url", prefix=prefix, delimiter=delimiter, **asked)
        expected = reference(ALL_KEYS, Query(prefix, delimiter, "", 1000))
        keys, prefixes = texts(root, "Contents/Key"), texts(root, "CommonPrefixes/Prefix")
        assert all(text.isascii() and " " not in text for text in (*keys, *prefixes))
        assert ([unquote_plus(text) for text in keys], [unquote_plus(text) for text in prefixes]) == expected[:2]
        assert root.findtext("EncodingType") == "url"
        assert unquote_plus(root.findtext("Prefix") or "") == prefix
        assert unquote_plus(root.findtext("Delimiter") or "") == delimiter


def test_control_characters_need_encoding(s3: Access, s3_bucket: str) -> None:
    """A key that XML cannot hold is listed when the client asks for encoding, as boto3 does."""
    client = boto(s3)
    keys = ["bell\x07", "line\nfeed", "tab\tkey"]
    for key in keys:
        client.put_object(Bucket=s3_bucket, Key=key, Body=key.encode())
    assert [one["Key"] for one in client.list_objects_v2(Bucket=s3_bucket)["Contents"]] == keys
    for key in keys:
        assert client.get_object(Bucket=s3_bucket, Key=key)["Body"].read() == key.encode()
        client.delete_object(Bucket=s3_bucket, Key=key)  # the XML of DeleteObjects could not name it


def test_entries_describe_the_objects(s3: Access, s3_bucket: str) -> None:
    """An entry has the size, entity tag, time and checksum algorithm of its object, and the owner when asked for."""
    client = boto(s3)
    put = client.put_object(Bucket=s3_bucket, Key="k", Body=b"12345", ChecksumAlgorithm="SHA256")
    head = client.head_object(Bucket=s3_bucket, Key="k")
    for entry, owner in (
        (client.list_objects(Bucket=s3_bucket)["Contents"][0], True),
        (client.list_objects_v2(Bucket=s3_bucket)["Contents"][0], False),
        (client.list_objects_v2(Bucket=s3_bucket, FetchOwner=True)["Contents"][0], True),
    ):
        assert (entry["Size"], entry["ETag"], entry["StorageClass"]) == (5, put["ETag"], "STANDARD")
        assert entry["LastModified"].replace(microsecond=0) == head["LastModified"]
        assert entry["ChecksumAlgorithm"] == ["SHA256"]
        assert ("Owner" in entry) == owner


def test_empty_bucket(s3: Access, s3_bucket: str) -> None:
    """A bucket without objects lists as an empty, complete page."""
    for asked in ({}, {"list_type": 2}):
        assert page_of(ask(s3, s3_bucket, **asked)) == Page([], [], False, "")


@pytest.mark.parametrize("version", [1, 2])
def test_nothing_is_missed_under_writes(s3: Access, s3_bucket: str, version: int) -> None:
    """While others come and go between them, every key that existed throughout is listed once and in order."""
    lasting = [f"dir-{number % 10}/k-{number:05}" for number in range(2_000)]
    put_empty(s3.url, s3_bucket, lasting)
    lasting.sort()
    passing = [f"{name}-passing" for name in lasting[::4]]
    stop = threading.Event()

    def come_and_go() -> int:
        """How often they came and went."""
        rounds = 0
        while not stop.is_set():
            put_empty(s3.url, s3_bucket, passing)
            objects = [{"Key": key} for key in passing]
            boto(s3).delete_objects(Bucket=s3_bucket, Delete={"Objects": objects, "Quiet": True})
            rounds += 1
        return rounds

    with ThreadPoolExecutor(1) as pool:
        writer = pool.submit(come_and_go)
        try:
            seen_passing = walks = 0
            while not writer.done() and (walks < 3 or not seen_passing):
                pages = (walk_1 if version == 1 else walk_2)(s3, s3_bucket, Query("dir-", "", "", 100))
                names = [key for page in pages for key in page.keys]
                assert names == sorted(set(names))
                assert [name for name in names if not name.endswith("-passing")] == lasting
                seen_passing += len(names) - len(lasting)
                walks += 1
        finally:
            stop.set()
        assert writer.result() >= 1
