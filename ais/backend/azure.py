"""Azure Blob Storage through azure-storage-blob (ADR 19). A bucket is a container of the one account of the targets.

Credentials are found as in Azure's own programs: `AZURE_STORAGE_CONNECTION_STRING`; `AZURE_STORAGE_ACCOUNT` with
`AZURE_STORAGE_KEY` or `AZURE_STORAGE_SAS_TOKEN`, or with what azure-identity finds (managed identity, workload
identity, service principal), which renews it. `AIS_AZURE_URL` names another server, or another suffix of its name.

The libraries are imported when they are first needed, in a thread.
"""

import asyncio
import base64
import configparser
import hashlib
import importlib
import io
import os
import re
import secrets
from collections import OrderedDict
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import AbstractContextManager, aclosing, asynccontextmanager, suppress
from functools import partial
from typing import Any

from ais.api.bucket import Bck
from ais.backend import failures
from ais.backend.interface import USER, Download, Place, RemoteObject, RemotePage, Upload, by_owner
from ais.base.errors import (
    AccessDenied,
    AisError,
    BadRequest,
    Conflict,
    MissingBackend,
    NotReady,
    ObjectNotFound,
    RemoteBucketNotFound,
)
from ais.base.files import Stamp, stamp
from ais.config.sections import Extra

PROVIDER = "azure"
PAGE_MAX = 5000
WHOLE_BYTES_MAX = 1 << 20
"""Larger objects are sent as blocks: the library writes a body that is no block at once, and holds the loop up."""
PART_BYTES = 16 << 20
"""Of a block. `PARTS_AT_ONCE` of them are under way: that much memory an upload takes."""
PARTS_AT_ONCE, PARTS_MAX = 2, 50_000
FIRST_BYTES, READ_BYTES = 4 << 20, 8 << 20
"""The library reads ranges of these sizes as a whole; the next one comes while the last is passed on. So an
object that is read takes up to three of the larger."""
MD5_BYTES_MAX = 256 << 10
"""Hashing more than that stops the event loop for too long."""
BLOCK_BYTES = 256 << 10
"""What is read of a body at a time."""
CONNECT_TIMEOUT_S, READ_TIMEOUT_S = 5, 30
ATTEMPTS_MAX = 3
MARKS_MAX = 1024
"""Places in listings that are remembered."""
CONNECTION, ACCOUNT = "AZURE_STORAGE_CONNECTION_STRING", "AZURE_STORAGE_ACCOUNT"
KEY, SAS, URL = "AZURE_STORAGE_KEY", "AZURE_STORAGE_SAS_TOKEN", "AIS_AZURE_URL"
_PREFIX, _SECTION = "AZURE_STORAGE_", "storage"
"""Variables, and where the file of Azure's command line has the same under their names without this."""
CERTIFICATE = "AZURE_CLIENT_CERTIFICATE_PATH"
_SUFFIX = ".blob.core.windows.net"
_SETTINGS = {
    "cache-control": "cache_control",
    "content-disposition": "content_disposition",
    "content-encoding": "content_encoding",
    "content-language": "content_language",
    "content-type": "content_type",
}
"""Content headers, and what the library calls them; Azure has none for `expires`."""
_NAME = re.compile(r"[a-z_][a-z0-9_]*")
_TOTAL = re.compile(r"bytes [0-9]+-[0-9]+/([0-9]+)")
_NO_BUCKET = frozenset({"ContainerNotFound", "ContainerBeingDeleted", "InvalidResourceName", "OutOfRangeInput"})
_NO_CREDENTIALS = frozenset({"CredentialUnavailableError", "ClientAuthenticationError", "AzureSigningError"})
_ADVICE = f"give the targets {CONNECTION}, or {ACCOUNT} and {KEY} (docs/backends.md)"
Client = Any
Mark = tuple[Bck, str, str, str]


class Azure:
    """The backend `azure`."""

    is_read_only = False

    def __init__(self) -> None:
        self._service: Client = None
        self._transport: Any = None
        """Of all services, those with the credentials before too."""
        self._stamps: list[Stamp] = []
        self._making = asyncio.Lock()
        self._marks: OrderedDict[Mark, str | None] = OrderedDict()

    async def buckets(self) -> list[Bck]:
        """See `Backend`."""
        service = await self._opened()
        with _translated(None):
            return [Bck(one.name, PROVIDER) async for one in service.list_containers()]

    async def head_bucket(self, place: Place) -> Extra:
        """See `Backend`. Asks for a name in it: to see the container itself takes a right that readers seldom have."""
        container = await self._container(place)
        with _translated(place.bck):
            await anext(container.list_blobs(results_per_page=1).by_page(), None)
        return Extra()

    async def page(self, place: Place, prefix: str, after: str, limit: int, delimiter: str = "") -> RemotePage:
        """See `Backend`. Azure goes on from markers of its own: one that is not known any more is looked for."""
        container, limit = await self._container(place), min(limit, PAGE_MAX)
        mark, is_known = None, not after
        if after and (place.bck, prefix, delimiter, after) in self._marks:
            mark, is_known = self._marks[place.bck, prefix, delimiter, after], True
        walk = partial(container.walk_blobs, delimiter=delimiter) if delimiter else container.list_blobs
        found: list[Any] = []
        with _translated(place.bck):
            while True:
                pages = walk(name_starts_with=prefix or None, results_per_page=limit if is_known else PAGE_MAX)
                pages = pages.by_page(continuation_token=mark)
                page = await anext(pages, None)
                if page is not None:
                    found += [one async for one in page if one.name > after]
                following = pages.continuation_token or None
                if found or not following:
                    break
                mark = following
        kept = found[:limit]
        has_more = len(kept) < len(found) or following is not None
        if kept and has_more:
            self._remember((place.bck, prefix, delimiter, kept[-1].name), mark if len(kept) < len(found) else following)
        return RemotePage(
            [_described(one.name, one) for one in kept if hasattr(one, "etag")],
            [one.name for one in kept if not hasattr(one, "etag")],
            has_more,
        )

    async def head(self, place: Place, name: str) -> RemoteObject:
        """See `Backend`."""
        blob = await self._blob(place, name)
        with _translated(place.bck, name):
            return _described(name, await blob.get_blob_properties())

    @asynccontextmanager
    async def get(self, place: Place, name: str, offset: int = 0, length: int | None = None) -> AsyncIterator[Download]:
        """See `Backend`."""
        blob = await self._blob(place, name)
        span = {} if not offset and length is None else {"offset": offset, "length": length}
        async with _closing_answers() as note:
            with _translated(place.bck, name):
                reader = await blob.download_blob(decompress=False, raw_response_hook=note, **span)
            async with aclosing(_chunks(reader, place.bck, name)) as chunks:
                yield Download(_described(name, reader.properties), chunks)

    async def put(self, place: Place, name: str, content: Upload, user: dict[str, str]) -> RemoteObject:
        """See `Backend`. Azure compares what comes with its MD5."""
        said = _given(place.bck, name, user)
        blob = await self._blob(place, name)
        md5 = hashlib.md5(usedforsecurity=False)
        with _translated(place.bck, name):
            if content.size <= WHOLE_BYTES_MAX:
                body = await content.read(0, content.size)
                sealed = await _sealed(body, md5)
                answer = await blob.upload_blob(body, overwrite=True, **said, **sealed)
            else:
                answer = await _put_in_parts(blob, content, said, md5)
        return RemoteObject(
            name,
            content.size,
            answer["etag"].strip('"'),
            answer["etag"].strip('"'),
            answer["last_modified"].timestamp(),
            {key: user[key] for key in _SETTINGS if key in user},
            {key: value for key, value in user.items() if key.startswith(USER)},
            told_md5=md5.hexdigest(),
        )

    async def delete(self, place: Place, name: str) -> None:
        """See `Backend`."""
        blob = await self._blob(place, name)
        with suppress(ObjectNotFound), _translated(place.bck, name):
            await blob.delete_blob()

    async def close(self) -> None:
        """See `Backend`."""
        service, self._service = self._service, None
        if service is not None:
            await service.close()
        self._transport = None

    def _remember(self, place: Mark, marker: str | None) -> None:
        self._marks[place] = marker
        self._marks.move_to_end(place)
        if len(self._marks) > MARKS_MAX:
            self._marks.popitem(last=False)

    async def _container(self, place: Place) -> Client:
        return (await self._opened()).get_container_client(place.bck.name)

    async def _blob(self, place: Place, name: str) -> Client:
        if "\\" in name:
            raise BadRequest(f"{place.bck.cname(name)}: Azure takes no backslash in names, it would read it as a slash")
        return (await self._opened()).get_blob_client(place.bck.name, name)

    async def _opened(self) -> Client:
        """With credentials as they are in files now."""
        async with self._making:
            stamps = [stamp(path) for path in (_config_path(), os.environ.get(CERTIFICATE, ""))]
            if self._service is None or stamps != self._stamps:
                connect = await asyncio.to_thread(_connector)
                if self._transport is None:
                    self._transport = _new_transport()
                try:
                    self._service = connect(transport=self._transport)
                except ValueError as error:
                    raise AccessDenied(f"az://: {error}: {_ADVICE}") from None
                self._stamps = stamps
        return self._service


def _new_transport() -> Any:
    return _imported("azure.core.pipeline.transport").AioHttpTransport(
        connection_timeout=CONNECT_TIMEOUT_S, read_timeout=READ_TIMEOUT_S, connection_data_block_size=BLOCK_BYTES
    )


def _config_path() -> str:
    """Of the file that `az config set storage.account=...` writes."""
    return os.path.join(os.environ.get("AZURE_CONFIG_DIR") or os.path.expanduser("~/.azure"), "config")


def _told() -> dict[str, str]:
    """What the environment says of the account, by variable; what that file says when it names none."""
    names = (CONNECTION, ACCOUNT, KEY, SAS)
    found = {name: said for name in names if (said := os.environ.get(name))}
    if CONNECTION in found or ACCOUNT in found:
        return found
    file = configparser.ConfigParser(interpolation=None)
    try:
        file.read(_config_path())
    except (configparser.Error, UnicodeDecodeError):  # their texts quote it
        raise AccessDenied(f"az://: {_config_path()} cannot be read: {_ADVICE}") from None
    kept = {name: file.get(_SECTION, name.removeprefix(_PREFIX).lower(), fallback="") for name in names}
    return {name: said for name, said in kept.items() if said} | found


def _connector() -> Callable[..., Client]:
    """What makes a client of the account that the environment or a file names. In a thread: imports."""
    blob = _imported("azure.storage.blob.aio")
    patience = blob.ExponentialRetry(initial_backoff=1, increment_base=2, retry_total=ATTEMPTS_MAX - 1)
    options = {
        "retry_policy": patience,
        "connection_timeout": CONNECT_TIMEOUT_S,
        "read_timeout": READ_TIMEOUT_S,
        "max_single_get_size": FIRST_BYTES,
        "max_chunk_get_size": READ_BYTES,
    }
    told = _told()
    if connection := told.get(CONNECTION):
        return partial(blob.BlobServiceClient.from_connection_string, connection, **options)
    account, url = told.get(ACCOUNT, ""), os.environ.get(URL, "")
    if not account:
        raise AccessDenied(f"az://: the targets have no credentials of Azure: {_ADVICE}")
    if "://" not in url:
        url = f"https://{account}.{(url or _SUFFIX).removeprefix('.')}"
    credential: Any = None
    if key := told.get(KEY):
        credential = {"account_name": account, "account_key": key}
    elif sas := told.get(SAS):
        credential = sas.removeprefix("?")
    else:
        credential = _imported("azure.identity.aio").DefaultAzureCredential()
    return partial(blob.BlobServiceClient, url, credential, **options)


def _imported(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError:
        raise MissingBackend(
            "AZURE backend needs a library that this target does not have: install it with pip install 'ais[azure]'"
        ) from None


@asynccontextmanager
async def _closing_answers() -> AsyncIterator[Callable[[Any], None]]:
    """Yield the hook for each answer of a read, one after the other.

    The library keeps connections whose answers stall, or whose reader is cancelled, until they are garbage.
    """
    latest = None

    def note(answer: Any) -> None:
        nonlocal latest
        if latest is not None:
            latest.close()
        latest = answer.http_response.internal_response

    try:
        yield note
    finally:
        if latest is not None:
            latest.close()


async def _chunks(reader: Any, bck: Bck, name: str) -> AsyncGenerator[bytes]:
    """Ranges, all of one version of the object: the library sees to that."""
    pieces = reader.chunks()
    coming: asyncio.Task[bytes | None] = asyncio.ensure_future(anext(pieces, None))
    try:
        with _translated(bck, name):
            while (piece := await coming) is not None:
                coming = asyncio.ensure_future(anext(pieces, None))
                yield piece
    finally:
        coming.cancel()
        await asyncio.gather(coming, return_exceptions=True)


async def _put_in_parts(blob: Client, content: Upload, said: dict[str, Any], md5: Any) -> dict[str, Any]:
    """Blocks are of no blob until all of them are; those of an upload that failed go after a week.

    Their IDs are this upload's alone: of equal ones Azure takes what came last, whoever sent it.
    """
    own = secrets.token_bytes(6)
    part_bytes = max(PART_BYTES, -(-content.size // PARTS_MAX))
    numbers = iter(range(-(-content.size // part_bytes)))
    ids: list[str] = []
    in_order = asyncio.Lock()

    async def send() -> None:
        while True:
            async with in_order:
                if (number := next(numbers, None)) is None:
                    return
                offset = number * part_bytes
                body = await content.read(offset, min(part_bytes, content.size - offset))
                sealed = await _sealed(body, md5)
                ids.append(base64.b64encode(own + number.to_bytes(2, "big")).decode())
            await blob.stage_block(ids[number], io.BytesIO(body), length=len(body), **sealed)

    async with asyncio.TaskGroup() as group:
        for _ in range(PARTS_AT_ONCE):
            group.create_task(send())
    block = importlib.import_module("azure.storage.blob").BlobBlock
    said["content_settings"].content_md5 = bytearray(md5.digest())
    answer: dict[str, Any] = await blob.commit_block_list([block(one) for one in ids], **said)
    return answer


async def _sealed(body: bytes, whole: Any) -> dict[str, Any]:
    """The MD5 of a body, which the server compares with what came; that of all bodies goes on."""

    def update() -> bytes:
        whole.update(body)
        return hashlib.md5(body, usedforsecurity=False).digest()

    digest = await asyncio.to_thread(update) if len(body) > MD5_BYTES_MAX else update()
    return {"headers": {"Content-MD5": base64.b64encode(digest).decode()}}


def _given(bck: Bck, name: str, user: Mapping[str, str]) -> dict[str, Any]:
    """What an owner says of an object, as arguments of a call. Raise `BadRequest`."""
    if "expires" in user:
        raise BadRequest(f"{bck.cname(name)}: Azure keeps no Expires: leave it out, or use Cache-Control")
    settings = importlib.import_module("azure.storage.blob").ContentSettings
    found = {"content_settings": settings(**{key: user[told] for told, key in _SETTINGS.items() if told in user})}
    metadata = {}
    for key, value in user.items():
        if not key.startswith(USER):
            continue
        # names are identifiers there
        metadata[own := key.removeprefix(USER).replace("_", "__").replace("-", "_")] = value
        if not _NAME.fullmatch(own) or not value.isascii():
            raise BadRequest(
                f'{bck.cname(name)}: Azure takes no metadata "{key}": use ASCII letters, digits, "-" and "_", and begin'
                " with a letter"
            )
    if metadata:
        found["metadata"] = metadata
    return found


def _own_name(key: str) -> str:
    return "_".join(part.replace("_", "-") for part in key.split("__"))


def _described(name: str, found: Any) -> RemoteObject:
    """What the properties of a blob say."""
    settings, etag = found.content_settings, (found.etag or "").strip('"')
    total = _TOTAL.fullmatch(found.content_range or "") if hasattr(found, "content_range") else None
    return RemoteObject(
        name,
        int(total[1]) if total else found.size,
        etag,
        etag,
        found.last_modified.timestamp(),
        {told: value for told, key in _SETTINGS.items() if (value := getattr(settings, key))},
        by_owner({_own_name(key): value for key, value in (found.metadata or {}).items()}),
        told_md5=bytes(settings.content_md5).hex() if settings.content_md5 else "",
    )


def _translated(bck: Bck | None, name: str = "") -> AbstractContextManager[None]:
    """What the library raises as errors of ours, which name the bucket or object."""
    return failures.translated(lambda error: _meaning(error, bck, name))


def _meaning(error: BaseException, bck: Bck | None, name: str) -> AisError:
    what = "az://" if bck is None else bck.cname(name)
    status, code = getattr(error, "status_code", None), getattr(error, "error_code", None) or ""
    said = str(error).partition("\n")[0][:200]
    if type(error).__name__ in _NO_CREDENTIALS and not status:
        return AccessDenied(f"{what}: {said}: {_ADVICE}")
    if type(error).__name__ in ("ServiceRequestTimeoutError", "ServiceResponseTimeoutError"):
        return failures.of_connection(TimeoutError(), what)
    if not status:
        return failures.of_connection(error, what)
    text = f"azure-error[{code or status}: {said}] ({what})"
    if bck is not None and (code == "ContainerNotFound" or (not name and code in _NO_BUCKET)):
        return RemoteBucketNotFound(bck.provider, bck.cname())
    if code in ("ServerBusy", "OperationTimedOut"):
        return NotReady(f"{text}: try again later")
    if code == "InvalidBlockList":  # somebody else wrote it meanwhile
        return Conflict(text)
    return failures.of_status(status, text, bck, name)
