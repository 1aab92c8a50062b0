"""Google Cloud Storage through its JSON API, with gcloud-aio-storage (ADR 19).

Credentials are found as in every program for it: the file that `GOOGLE_APPLICATION_CREDENTIALS` names, what
`gcloud auth application-default login` left, the machine's service account. A bucket's `extra.gcp` goes before them.
A file that was replaced is read again. `STORAGE_EMULATOR_HOST` names another server, which is asked without them.

The library is imported when it is first needed, in a thread.
"""

import asyncio
import base64
import importlib
import io
import json
import os
import random
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractContextManager, AsyncExitStack, asynccontextmanager, suppress
from datetime import datetime
from email.utils import parsedate_to_datetime
from functools import partial
from typing import Any, NamedTuple, TypeVar
from urllib.parse import quote

import aiohttp
import google_crc32c

from ais.api import checksum
from ais.api.bucket import Bck
from ais.backend import failures
from ais.backend.interface import (
    CHUNK_BYTES,
    CONTENT_HEADERS,
    USER,
    Download,
    Place,
    RemoteObject,
    RemotePage,
    Upload,
    by_owner,
    is_common_prefix,
)
from ais.base.errors import (
    AccessDenied,
    AisError,
    BadRequest,
    MissingBackend,
    NotReady,
    ObjectNotFound,
    RemoteBucketNotFound,
    Unreachable,
)
from ais.base.files import Stamp, stamp
from ais.config.sections import Extra, ExtraGCP

PROVIDER = "gcp"
PAGE_MAX = 1000
PART_BYTES = 16 << 20
"""Larger objects are sent in parts, one after the other: that much memory an upload takes."""
CONNECTIONS_MAX = 512
"""More than one bucket has turns for (`ais.target.remote.cold`): those of others must not wait for its answers."""
CONNECT_TIMEOUT_S, READ_TIMEOUT_S = 5, 30
ATTEMPTS_MAX = 3
"""Of a request whose answer has not begun, with a growing pause: connections that fail, 429, 5xx."""
PAUSE_S = 0.5
EMULATOR = "STORAGE_EMULATOR_HOST"
CREDENTIALS = "GOOGLE_APPLICATION_CREDENTIALS"
_ROOT = "https://www.googleapis.com"
_LISTED = "nextPageToken,prefixes,items(name,size,etag,generation,updated,md5Hash,crc32c)"
_JSON_NAMES = {
    "cache-control": "cacheControl",
    "content-disposition": "contentDisposition",
    "content-encoding": "contentEncoding",
    "content-language": "contentLanguage",
    "content-type": "contentType",
}
"""Content headers, and what the API calls them; it has none for `expires`."""
_SPAN = re.compile(r"bytes ([0-9]+)-([0-9]+)/([0-9]+)")
_KEPT = re.compile(r"bytes=0-([0-9]+)")
Client = Any
T = TypeVar("T")


class _Known(NamedTuple):
    stamp: Stamp
    """Of the credentials file: another one is another file."""
    client: Client


class GCS:
    """The backend `gcp`."""

    is_read_only = False

    def __init__(self) -> None:
        self._known: dict[str, _Known] = {}
        self._making = asyncio.Lock()
        self._session: aiohttp.ClientSession | None = None

    async def buckets(self) -> list[Bck]:
        """See `Backend`: those of the project of the credentials, or of `GOOGLE_CLOUD_PROJECT`."""
        client = await self._client(ExtraGCP())

        async def ask() -> list[Bck]:
            project = "emulated" if _emulator() else await client.token.get_project()
            if not project:
                raise BadRequest("cannot list gs:// buckets without a project: give the targets GOOGLE_CLOUD_PROJECT")
            found = await client.list_buckets(project, timeout=_timeout())
            return [Bck(one.name, PROVIDER) for one in found]

        return await _tried(None, "", ask)

    async def head_bucket(self, place: Place) -> Extra:
        """See `Backend`. Asks for a name in it: to see the bucket itself takes a right that readers seldom have."""
        await self._list(place, {"maxResults": "1", "fields": "nextPageToken"})
        return Extra()

    async def page(self, place: Place, prefix: str, after: str, limit: int, delimiter: str = "") -> RemotePage:
        """See `Backend`."""
        start = after
        if is_common_prefix(after, prefix, delimiter):
            start = after[:-1] + chr(ord(after[-1]) + 1)  # else it comes again
        params = {"fields": _LISTED, "maxResults": str(min(limit + bool(after), PAGE_MAX))}  # `after` itself comes, too
        params |= {"prefix": prefix, "startOffset": start, "delimiter": delimiter}
        objects: list[RemoteObject] = []
        prefixes: list[str] = []
        while True:
            answer = await self._list(place, {key: value for key, value in params.items() if value})
            objects += [_described(one["name"], one) for one in answer.get("items", ()) if one["name"] != after]
            prefixes += answer.get("prefixes", ())
            params["pageToken"] = answer.get("nextPageToken", "")
            if objects or prefixes or not params["pageToken"]:
                return _cut(objects, prefixes, limit, has_more=bool(params["pageToken"]))

    async def head(self, place: Place, name: str) -> RemoteObject:
        """See `Backend`."""
        client = await self._client(place.extra.gcp)

        async def ask() -> RemoteObject:
            found = await client.download_metadata(place.bck.name, name, timeout=_timeout())
            return _described(name, found)

        return await _tried(place.bck, name, ask)

    @asynccontextmanager
    async def get(self, place: Place, name: str, offset: int = 0, length: int | None = None) -> AsyncIterator[Download]:
        """See `Backend`. A whole object is compared with the CRC32C that Google says while the bytes come."""
        client = await self._client(place.extra.gcp)
        is_whole = not offset and length is None
        span = "" if is_whole else f"bytes={offset}-{'' if length is None else offset + length - 1}"
        async with AsyncExitStack() as stack:
            opening = _open_whole if is_whole else _open_span
            found, count, body = await _tried(place.bck, name, lambda: opening(client, stack, place.bck, name, span))
            yield Download(found, _chunks(body, place.bck, name, count, found.crc32c))

    async def put(self, place: Place, name: str, content: Upload, user: dict[str, str]) -> RemoteObject:
        """See `Backend`. Google compares what comes with its CRC32C, and keeps nothing that does not match."""
        resource: dict[str, Any] = _resource(place.bck, name, user)
        client = await self._client(place.extra.gcp)
        if content.size > PART_BYTES:
            resource["crc32c"] = await _crc32c_of(content)
            return _described(name, await _put_in_parts(client, place.bck, name, content, resource))
        body = await content.read(0, content.size)
        resource["crc32c"] = _text(google_crc32c.value(body))

        async def send() -> dict[str, Any]:
            answer: dict[str, Any] = await client.upload(
                place.bck.name,
                name,
                body,
                content_type=resource["contentType"],
                metadata={_dashed(key): value for key, value in resource.items()},
                force_resumable_upload=False,
                timeout=_timeout(),
            )
            return answer

        return _described(name, await _tried(place.bck, name, send))

    async def delete(self, place: Place, name: str) -> None:
        """See `Backend`."""
        client = await self._client(place.extra.gcp)
        with suppress(ObjectNotFound):
            await _tried(place.bck, name, lambda: client.delete(place.bck.name, name, timeout=_timeout()))

    async def close(self) -> None:
        """See `Backend`."""
        self._known.clear()
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def _list(self, place: Place, params: dict[str, str]) -> dict[str, Any]:
        client = await self._client(place.extra.gcp)

        async def ask() -> dict[str, Any]:
            answer: dict[str, Any] = await client.list_objects(place.bck.name, params=params, timeout=_timeout())
            return answer

        return await _tried(place.bck, "", ask)

    async def _client(self, extra: ExtraGCP) -> Client:
        """The client for a bucket with these properties, with a token that is valid. Raise `AisError`."""
        path = extra.application_creds or os.environ.get(CREDENTIALS, "")
        found = stamp(path or _default_path())
        async with self._making:
            known = self._known.get(path)
            if known is None or known.stamp != found:
                if self._session is None:
                    self._session = _new_session()
                client = await asyncio.to_thread(_make, path, self._session)
                known = self._known[path] = _Known(found, client)
        if not _emulator():
            await _authorise(known.client.token)
        return known.client


def _new_session() -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=CONNECTIONS_MAX),
        timeout=_timeout(),
        read_bufsize=CHUNK_BYTES,
        trust_env=True,
    )


def _timeout() -> aiohttp.ClientTimeout:
    """Of silence: how long a body takes is not limited."""
    return aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_TIMEOUT_S, sock_read=READ_TIMEOUT_S)


def _emulator() -> str:
    """URL of the server that takes Google's place."""
    host = os.environ.get(EMULATOR, "")
    return host if not host or "://" in host else f"http://{host}"


def _default_path() -> str:
    """What `gcloud auth application-default login` writes."""
    directory = os.environ.get("CLOUDSDK_CONFIG") or os.path.expanduser("~/.config/gcloud")
    return os.path.join(directory, "application_default_credentials.json")


def _make(path: str, session: aiohttp.ClientSession) -> Client:
    """In a thread: imports, and reads the file."""
    try:
        storage = importlib.import_module("gcloud.aio.storage")
    except ImportError:
        raise MissingBackend(
            "GCP backend needs a library that this target does not have: install it with pip install 'ais[gcp]'"
        ) from None
    try:
        root, is_emulated = _emulator() or _ROOT, bool(_emulator())
        client = storage.Storage(session=session, service_file=path or None, api_root=root, api_is_dev=is_emulated)
    except Exception as error:  # noqa: BLE001 - whatever a file makes the library raise; its text may quote the file
        why = error.strerror if isinstance(error, OSError) else type(error).__name__
        raise AccessDenied(f"gs://: these credentials cannot be read ({why}): {_ADVICE}") from None
    # the library tries five times, for up to half a minute, when nobody waits any more
    client.token.acquire_access_token = partial(type(client.token).acquire_access_token.__wrapped__, client.token)
    return client


async def _authorise(token: Any) -> None:
    """Have a token. Raise `AccessDenied` when these credentials give none."""
    try:
        # who gives up does not take the token from others that wait for it
        await asyncio.shield(asyncio.ensure_future(token.ensure_token()))
    except (aiohttp.ClientConnectionError, TimeoutError) as error:
        if token.service_data:
            raise failures.of_connection(error, "gs://") from None
        raise AccessDenied(_NO_CREDENTIALS) from None
    except Exception as error:  # noqa: BLE001 - of several libraries; its text may quote what is in the file
        status = getattr(error, "status", None) or type(error).__name__
        raise AccessDenied(f"gs://: these credentials give no token ({status}): {_ADVICE}") from None


_ADVICE = f"give the targets a key file in {CREDENTIALS} (docs/backends.md)"
_NO_CREDENTIALS = f"gs://: the targets have no credentials of Google Cloud: {_ADVICE}"


async def _open_whole(
    client: Client, stack: AsyncExitStack, bck: Bck, name: str, _: str
) -> tuple[RemoteObject, int, aiohttp.StreamReader]:
    """Content and description at once: an answer with content does not say everything."""
    async with asyncio.TaskGroup() as group:
        describing = group.create_task(client.download_metadata(bck.name, name, timeout=_timeout()))
        response = await _send_for(client, stack, bck, name, {})
    found = _described(name, describing.result())
    if response.headers.get("X-Goog-Generation", found.version) != found.version:
        raise Unreachable(f"{bck.cname(name)} was changed at its backend while it was read: try again")
    return found, found.size, response.content


async def _open_span(
    client: Client, stack: AsyncExitStack, bck: Bck, name: str, span: str
) -> tuple[RemoteObject, int, aiohttp.StreamReader]:
    """The version tells which object it is: whether the tag of such an answer is the object's own is not documented."""
    response = await _send_for(client, stack, bck, name, {"Range": span})
    headers = response.headers
    sent = _SPAN.fullmatch(headers.get("Content-Range", ""))
    if response.status != 206 or sent is None or not span.startswith(f"bytes={sent[1]}-"):
        raise Unreachable(f"{bck.cname(name)}: its backend sent another range than it was asked for")
    changed = headers.get("Last-Modified")
    found = RemoteObject(
        name,
        int(sent[3]),
        version=headers.get("X-Goog-Generation", ""),
        modified_s=parsedate_to_datetime(changed).timestamp() if changed else 0.0,
        content={key: headers[key] for key in CONTENT_HEADERS if key in headers},
    )
    return found, int(sent[2]) - int(sent[1]) + 1, response.content


async def _send_for(
    client: Client, stack: AsyncExitStack, bck: Bck, name: str, headers: dict[str, str]
) -> aiohttp.ClientResponse:
    """The answer with the content as it is stored: Google would unpack what is packed."""
    stream = await client.download_stream(
        bck.name, name, headers={"Accept-Encoding": "gzip", **headers}, timeout=_timeout()
    )
    response: aiohttp.ClientResponse = await stack.enter_async_context(stream)
    return response


async def _chunks(body: aiohttp.StreamReader, bck: Bck, name: str, length: int, crc32c: str) -> AsyncIterator[bytes]:
    got, value = 0, 0
    with _translated(bck, name):
        while chunk := await body.read(CHUNK_BYTES):
            got += len(chunk)
            if crc32c:
                value = google_crc32c.extend(value, chunk)
            yield chunk
    if got != length:
        raise Unreachable(f"{bck.cname(name)} broke off at its backend: {got} of {length} bytes")
    if crc32c and _text(value) != crc32c:
        raise Unreachable(f"{bck.cname(name)} came with another checksum than its backend says: try again")


async def _put_in_parts(
    client: Client, bck: Bck, name: str, content: Upload, resource: dict[str, Any]
) -> dict[str, Any]:
    """A resumable upload (JSON API, "Resumable uploads"): after a failure it goes on behind what Google has."""
    root = _emulator() or _ROOT
    url = f"{root}/upload/storage/v1/b/{quote(bck.name, safe='')}/o"
    headers = {"Content-Type": "application/json; charset=UTF-8", "X-Upload-Content-Length": str(content.size)}
    body = json.dumps(resource | {"name": name}).encode()

    async def begin() -> str:
        params = {"uploadType": "resumable", "name": name}
        answer = await client.session.post(
            url, headers=headers | await _signed(client), params=params, data=body, timeout=_timeout()
        )
        return str(answer.headers["Location"])

    async def send(part: bytes, span: str) -> tuple[int, dict[str, Any] | None]:
        with _translated(bck, name):
            told = {"Content-Range": f"bytes {span}/{content.size}"} | await _signed(client)
            answer = await client.session.put(session_url, headers=told, data=io.BytesIO(part), timeout=_timeout())
            if answer.status in (200, 201):
                return content.size, await answer.json(content_type=None)
            kept = _KEPT.fullmatch(answer.headers.get("Range", ""))
            answer.release()
            return int(kept[1]) + 1 if kept else 0, None

    session_url = await _tried(bck, name, begin)
    offset, failed = 0, 0
    try:
        while True:
            end = min(offset + PART_BYTES, content.size)
            part = await content.read(offset, end - offset)
            problem: AisError = Unreachable(f"{bck.cname(name)}: its backend takes no more than {offset} bytes")
            try:
                kept, answer = await send(part, f"{offset}-{end - 1}")
            except (Unreachable, NotReady) as error:
                kept, answer, problem = offset, None, error
            if answer is None and kept <= offset:
                failed += 1
                if failed == ATTEMPTS_MAX:
                    raise problem
                await _pause(failed)
                kept, answer = await _tried(bck, name, lambda: send(b"", "*"))
            if answer is not None:
                if int(answer["size"]) != content.size:
                    raise Unreachable(f"{bck.cname(name)}: its backend has {answer['size']} of {content.size} bytes")
                return answer
            if kept > offset:
                failed = 0
            offset = kept
    except BaseException:
        with suppress(Exception):  # whatever went wrong is told, and not that this went wrong, too
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                await client.session.delete(session_url, headers=await _signed(client))
        raise


async def _signed(client: Client) -> dict[str, str]:
    return {} if _emulator() else {"Authorization": f"Bearer {await client.token.get()}"}


async def _tried(bck: Bck | None, name: str, call: Callable[[], Awaitable[T]]) -> T:
    for attempt in range(1, ATTEMPTS_MAX):
        try:
            with _translated(bck, name):
                return await call()
        except (Unreachable, NotReady):
            await _pause(attempt)
    with _translated(bck, name):
        return await call()


async def _pause(attempt: int) -> None:
    await asyncio.sleep(PAUSE_S * 2**attempt * (0.5 + random.random() / 2))


async def _crc32c_of(content: Upload) -> str:
    value = 0
    for offset in range(0, content.size, CHUNK_BYTES):
        value = google_crc32c.extend(value, await content.read(offset, min(CHUNK_BYTES, content.size - offset)))
    return _text(value)


def _text(crc32c: int) -> str:
    return base64.b64encode(crc32c.to_bytes(4, "big")).decode()


def _resource(bck: Bck, name: str, user: Mapping[str, str]) -> dict[str, Any]:
    """What an owner says of an object, as the API takes it. Raise `BadRequest`."""
    if "expires" in user:
        raise BadRequest(
            f"{bck.cname(name)}: Google Cloud Storage keeps no Expires: leave it out, or use Cache-Control"
        )
    found: dict[str, Any] = {"contentType": "application/octet-stream"}
    found |= {key: user[told] for told, key in _JSON_NAMES.items() if told in user}
    if metadata := {key.removeprefix(USER): value for key, value in user.items() if key.startswith(USER)}:
        found["metadata"] = metadata
    return found


def _dashed(key: str) -> str:
    """`contentType` as the library wants it: `content-Type`."""
    return re.sub(r"([A-Z])", r"-\1", key)


def _described(name: str, found: Mapping[str, Any]) -> RemoteObject:
    crc32c = found.get("crc32c", "")
    return RemoteObject(
        name,
        int(found["size"]),
        found.get("etag", "").strip('"'),
        str(found.get("generation", "")),
        datetime.fromisoformat(found["updated"]).timestamp(),
        {told: found[key] for told, key in _JSON_NAMES.items() if found.get(key)},
        by_owner(found.get("metadata") or {}),
        (checksum.CRC32C, _digits(crc32c)) if crc32c else (checksum.NONE, ""),
        _digits(found.get("md5Hash", "")),
        crc32c,
    )


def _digits(text: str) -> str:
    """Hexadecimal ones, of base64."""
    return base64.b64decode(text).hex()


def _cut(objects: list[RemoteObject], prefixes: list[str], limit: int, *, has_more: bool) -> RemotePage:
    """The first `limit` of both."""
    names = sorted([one.name for one in objects] + prefixes)
    if len(names) <= limit:
        return RemotePage(objects, prefixes, has_more)
    last = names[limit - 1]
    return RemotePage([one for one in objects if one.name <= last], [one for one in prefixes if one <= last], True)


def _translated(bck: Bck | None, name: str = "") -> AbstractContextManager[None]:
    """What the library raises as errors of ours, which name the bucket or object."""
    return failures.translated(lambda error: _meaning(error, bck, name))


def _meaning(error: BaseException, bck: Bck | None, name: str) -> AisError:
    what = "gs://" if bck is None else bck.cname(name)
    if not isinstance(error, aiohttp.ClientResponseError):
        return failures.of_connection(error, what)
    said = _said(error.message)
    text = f"gcp-error[{error.status}: {said}] ({what})"
    if bck is not None and "bucket does not exist" in said:
        return RemoteBucketNotFound(bck.provider, bck.cname())
    if error.status == 410:  # of an upload in parts: it is to be begun anew
        return Unreachable(text)
    return failures.of_status(error.status, text, bck, name)


def _said(message: str) -> str:
    """The sentence in an answer such as `Not Found: {"error": {"message": "..."}}`."""
    reason, _, body = message.partition(": ")
    try:
        return str(json.loads(body)["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return body.strip()[:200] or reason
