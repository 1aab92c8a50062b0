"""Web servers: what has a URL below the one that the bucket names can be read. They list nothing and take nothing.

Links and redirects go only where this node may go (`ais.net.egress`).
"""

import re
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from email.utils import parsedate_to_datetime
from urllib.parse import quote

import aiohttp

from ais.api.bucket import Bck
from ais.api.download import shown
from ais.backend.detached import detach
from ais.backend.failures import of_status
from ais.backend.interface import CONTENT_HEADERS, Download, Place, RemoteObject, RemotePage, Upload
from ais.base.errors import (
    AisError,
    BadRequest,
    ObjectNotFound,
    RangeNotSatisfiable,
    Unreachable,
    Unsupported,
)
from ais.config.sections import Extra, ExtraHTTP
from ais.net.egress import Egress

PROVIDER = "ht"
READ_TIMEOUT_S = 30.0
_RANGE = re.compile(r"bytes (?:([0-9]+)-([0-9]+)|\*)/([0-9]+)")


class Web:
    """The backend `ht`."""

    is_read_only = True

    def __init__(self, make_egress: Callable[[], Egress]) -> None:
        """`make_egress` makes one that goes where this node may go at that moment."""
        self._make_egress = make_egress
        self._egress: Egress | None = None

    async def buckets(self) -> list[Bck]:
        """See `Backend`: nobody can tell."""
        return []

    async def head_bucket(self, place: Place) -> Extra:
        """See `Backend`. A bucket is there when it says where its objects are: nothing is asked."""
        return Extra(http=ExtraHTTP(original_url=_base(place)))

    async def page(self, place: Place, prefix: str, after: str, limit: int, delimiter: str = "") -> RemotePage:
        """Raise `Unsupported`."""
        raise Unsupported(f"{place.bck.cname()} is a web server, which lists nothing: list what is in the cluster")

    async def head(self, place: Place, name: str) -> RemoteObject:
        """See `Backend`."""
        try:
            async with self._asked(place, name, "bytes=0-0") as response:
                return _described(name, response, _size(response))
        except RangeNotSatisfiable as error:
            if error.size_bytes:
                raise
        async with self._asked(place, name, "") as response:  # empty: there is no first byte
            return _described(name, response, _size(response))

    @asynccontextmanager
    async def get(self, place: Place, name: str, offset: int = 0, length: int | None = None) -> AsyncIterator[Download]:
        """See `Backend`. Servers that know no ranges send all of it; what is not asked for is passed over."""
        span = ""
        if offset or length is not None:
            span = f"bytes={offset}-{'' if length is None else offset + length - 1}"
        async with self._asked(place, name, span) as response:
            size = _size(response)
            skip, count = 0, size
            if span:
                if offset >= size:
                    raise RangeNotSatisfiable(span, size)
                count = size - offset if length is None else min(length, size - offset)
                skip = offset if response.status == 200 else 0
                _check_span(response, offset, count, place.bck.cname(name))
            chunks = _chunks(response, skip, count, place.bck.cname(name))
            is_exact = response.content_length == count
            yield Download(
                _described(name, response, size),
                chunks,
                lambda: detach(response, place.bck.cname(name), READ_TIMEOUT_S) if is_exact else None,
            )

    async def put(self, place: Place, name: str, content: Upload, user: dict[str, str]) -> RemoteObject:
        """Raise `Unsupported`."""
        raise Unsupported(f"cannot write {place.bck.cname(name)}: web servers are read only")

    async def delete(self, place: Place, name: str) -> None:
        """Raise `Unsupported`."""
        raise Unsupported(f"cannot delete {place.bck.cname(name)}: web servers are read only; evict it")

    async def close(self) -> None:
        """See `Backend`."""
        egress, self._egress = self._egress, None
        if egress is not None:
            await egress.close()

    async def _current(self) -> Egress:
        """One that goes where this node may go now; connections to where it may not any more are ended."""
        before, now = self._egress, self._make_egress()
        if before is not None and before.bounds == now.bounds:
            return before
        self._egress = now
        if before is not None:
            await before.close()
        return now

    @asynccontextmanager
    async def _asked(self, place: Place, name: str, span: str) -> AsyncIterator[aiohttp.ClientResponse]:
        """The successful answer. Raise for any other."""
        egress = await self._current()
        cname = place.bck.cname(name)
        url = f"{_base(place).rstrip('/')}/{quote(name)}"
        headers = {"Accept-Encoding": "identity"} | ({"Range": span} if span else {})
        async with AsyncExitStack() as stack:
            try:
                response = await stack.enter_async_context(egress.get(url, headers, READ_TIMEOUT_S))
            except TimeoutError:
                raise Unreachable(f"{cname}: its web server did not answer in time") from None
            _check_status(response, span, cname)
            yield response


def _base(place: Place) -> str:
    if not (url := place.extra.http.original_url):
        raise BadRequest(
            f'{place.bck.cname()} does not say where its objects are: create it with {{"extra": {{"http": '
            '{"original_url": "https://host/path"}}}'
        )
    return url


def _check_status(response: aiohttp.ClientResponse, span: str, cname: str) -> None:
    status = response.status
    if status in (200, 206):
        return
    if status in (404, 410):
        raise ObjectNotFound(cname)
    if status == 416:
        raise RangeNotSatisfiable(span, _size(response))
    raise of_status(status, f"{cname}: its web server answers {status}", None, "")


def _size(response: aiohttp.ClientResponse) -> int:
    """Of the whole object. Raise `Unsupported` when the server does not say: it will not the next time either;
    `Unreachable` when it sends some of it that nothing is told of.
    """
    if found := _RANGE.fullmatch(response.headers.get("Content-Range", "")):
        return int(found[3])
    length = response.headers.get("Content-Length", "")
    if response.status == 200 and length.isdigit():
        return int(length)
    problem = f"{shown(str(response.url))} does not say how large it is: only such files can be objects"
    raise Unreachable(problem) if response.status == 206 else Unsupported(problem)


def _check_span(response: aiohttp.ClientResponse, offset: int, count: int, cname: str) -> None:
    found = _RANGE.fullmatch(response.headers.get("Content-Range", ""))
    if response.status == 206 and (found is None or found[1] != str(offset) or found[2] != str(offset + count - 1)):
        raise Unreachable(f"{cname}: its web server sent another range than it was asked for")


def _described(name: str, response: aiohttp.ClientResponse, size: int) -> RemoteObject:
    headers = response.headers
    modified_s = 0.0
    with suppress(ValueError):
        modified_s = parsedate_to_datetime(headers.get("Last-Modified", "")).timestamp()
    content = {key: headers[key] for key in CONTENT_HEADERS if key in headers and key != "expires"}
    etag = headers.get("ETag", "").removeprefix("W/").strip('"')
    return RemoteObject(name, size, etag, "", modified_s, content)


async def _chunks(response: aiohttp.ClientResponse, skip: int, count: int, cname: str) -> AsyncIterator[bytes]:
    """`count` bytes behind the first `skip`."""
    left = count
    try:
        async for chunk, _ in response.content.iter_chunks():  # as they came: nothing is put together
            passed = min(skip, len(chunk))
            skip -= passed
            if piece := chunk[passed : passed + left]:
                left -= len(piece)
                yield piece
            if not left:
                return
    except AisError:
        raise
    except (aiohttp.ClientError, OSError) as error:
        raise Unreachable(f"{cname} broke off at its web server: {error}") from None
    if left:
        raise Unreachable(f"{cname} broke off at its web server: {count - left} of {count} bytes")
