"""What every backend must do, as one scenario; and content to give to them."""

import pytest

from ais.backend.interface import Backend, Place
from ais.base.errors import ObjectNotFound, RangeNotSatisfiable, RemoteBucketNotFound

SAID = {"x-amz-meta-k": "v", "content-type": "text/x", "cache-control": "no-cache"}
NAMES = ("a/b", "a/c d", "a//e", "b%20ü", "z")


class Content:
    """Bytes as an upload."""

    def __init__(self, body: bytes) -> None:
        self.body, self.size, self.claim = body, len(body), ("none", "")

    async def read(self, offset: int, length: int) -> bytes:
        """See `ais.backend.interface.Upload`."""
        return self.body[offset : offset + length]


async def read(backend: Backend, place: Place, name: str, offset: int = 0, length: int | None = None) -> bytes:
    """What a GET gives."""
    async with backend.get(place, name, offset, length) as download:
        return b"".join([chunk async for chunk in download.chunks])


async def conform(backend: Backend, place: Place, missing: Place, *, large: bytes) -> None:
    """Put, look, read, list and delete in an empty bucket. `large` is so much that it goes in parts."""
    assert place.bck in await backend.buckets()
    await backend.head_bucket(place)
    with pytest.raises(RemoteBucketNotFound):
        await backend.head_bucket(missing)
    with pytest.raises(RemoteBucketNotFound):
        await backend.page(missing, "", "", 10)
    for name in NAMES:
        put = await backend.put(place, name, Content(name.encode()), SAID)
        found = await backend.head(place, name)
        assert (found.name, found.size, found.etag) == (name, len(name.encode()), put.etag)
        assert (found.content, found.user) == (
            {"content-type": "text/x", "cache-control": "no-cache"},
            {"x-amz-meta-k": "v"},
        )
        assert found.modified_s > 0
        assert await read(backend, place, name) == name.encode()
    put = await backend.put(place, "large", Content(large), {})
    assert (await backend.head(place, "large")).size == put.size == len(large)
    await backend.put(place, "empty", Content(b""), {})
    await conform_reads(backend, place, large)
    await _check_pages(backend, place)
    await backend.delete(place, "z")
    await backend.delete(place, "z")
    for call in (backend.head(place, "z"), read(backend, place, "z")):
        with pytest.raises(ObjectNotFound):
            await call


async def conform_reads(backend: Backend, place: Place, large: bytes) -> None:
    """The objects are there, `large` and `empty` among them: look at them and read them, also in part."""
    for name in NAMES:
        found = await backend.head(place, name)
        assert (found.name, found.size) == (name, len(name.encode()))
        assert await read(backend, place, name) == name.encode()
    assert await read(backend, place, "large") == large
    for offset, length in ((5, 7), (0, 1), (len(large) - 3, None), (len(large) - 3, 100), (1, None)):
        end = len(large) if length is None else offset + length
        assert await read(backend, place, "large", offset, length) == large[offset:end]
    async with backend.get(place, "large", 5, 7) as download:
        assert (download.found.size, download.found.name) == (len(large), "large")
        assert download.found.is_same_as(await backend.head(place, "large"))
    assert (await backend.head(place, "empty")).size == 0
    assert await read(backend, place, "empty") == b""
    with pytest.raises(RangeNotSatisfiable):
        await read(backend, place, "z", 100, 1)
    for call in (backend.head(place, "none"), read(backend, place, "none"), read(backend, place, "none", 1, 1)):
        with pytest.raises(ObjectNotFound):
            await call


async def conform_to_placeholders(backend: Backend, place: Place) -> None:
    """An object that tools put in the place of a directory is the first of its listing, and ends no page too early."""
    for name in ("f/", "f/a", "f/b/c"):
        await backend.put(place, name, Content(b""), {})
    names, after = [], ""
    while True:
        page = await backend.page(place, "f/", after, 1, "/")
        names += [one.name for one in page.objects] + page.prefixes
        if not page.has_more:
            break
        after = page.last
    assert names == ["f/", "f/a", "f/b/"]


async def _check_pages(backend: Backend, place: Place) -> None:
    everything = sorted([*NAMES, "large", "empty"])
    page = await backend.page(place, "", "", 1000)
    assert [one.name for one in page.objects] == everything
    assert not page.has_more
    names, after = [], ""
    while True:
        page = await backend.page(place, "", after, 2)
        names += [one.name for one in page.objects]
        if not page.has_more:
            break
        after = page.last
    assert names == everything
    assert [one.name for one in (await backend.page(place, "a/c", "", 10)).objects] == ["a/c d"]
    first = await backend.page(place, "", "", 1, "/")
    assert (first.prefixes, first.objects, first.has_more) == (["a/"], [], True)
    rest = await backend.page(place, "", first.last, 10, "/")
    assert (rest.prefixes, [one.name for one in rest.objects]) == ([], [name for name in everything if "/" not in name])
