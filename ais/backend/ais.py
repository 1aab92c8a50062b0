"""Another cluster that speaks AIStore's API: AIStore, or ours; through our own client.

Content headers have no place in that API: they travel as custom metadata under their lower-case names. The entity tag
of an object is its checksum there: a listing tells that, too.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from email.utils import parsedate_to_datetime

import msgspec
from aiohttp import ClientError

from ais.api import checksum
from ais.api.bucket import AIS, Bck, Namespace
from ais.api.codec import U64
from ais.api.errors import RemoteError
from ais.api.listing import Flag, LsoMsg
from ais.backend import failures
from ais.backend.clusters import DEFUNCT, RemoteCluster
from ais.backend.detached import detach
from ais.backend.interface import (
    CHUNK_BYTES,
    CONTENT_HEADERS,
    OF_BACKEND,
    Download,
    Place,
    RemoteObject,
    RemotePage,
    Upload,
    is_common_prefix,
    require_span,
)
from ais.base.errors import (
    AccessDenied,
    AisError,
    BadRequest,
    BucketExists,
    BucketNotFound,
    Busy,
    Conflict,
    NotReady,
    ObjectNotFound,
    OutOfSpace,
    RangeNotSatisfiable,
    RateLimited,
    RemoteBucketNotFound,
    Unreachable,
    Unsupported,
)
from ais.client.body import OnBytes
from ais.client.client import Client
from ais.client.objects import Claim, ObjectAttributes, Reader
from ais.config.sections import Extra

RETRIES = 2
"""Of requests that a lost answer allows to repeat."""
CONNECT_TIMEOUT_S, READ_TIMEOUT_S = 5.0, 30.0
DESCRIBE_TIMEOUT_S = 5.0
"""Of a cluster that is shown with others: these are not to wait for one that does not answer."""
CONNECTIONS_MAX = 512
"""More than one bucket has turns for (`ais.target.remote.cold`): those of others must not wait for its answers."""
_PROPS = "name,size,version,checksum,custom"
_TOTAL = re.compile(r"bytes [0-9]+-[0-9]+/([0-9]+)")


class RemoteAis:
    """The backend `ais`: one attached cluster."""

    is_read_only = False

    def __init__(self, alias: str, url: str) -> None:
        self._alias, self._url = alias, url
        self._client: Client | None = None

    async def describe(self) -> RemoteCluster:
        """The cluster, as far as it answers."""
        try:
            async with asyncio.timeout(DESCRIBE_TIMEOUT_S):
                smap = await (await self._opened()).cluster.smap()
        except (AisError, TimeoutError):
            return RemoteCluster(None, f"[{self._url}]", self._alias, DEFUNCT)
        return RemoteCluster(smap, self._url, self._alias, smap.uuid)

    async def create_bucket(self, place: Place) -> None:
        """Make a bucket there. Raise `BucketExists`."""
        client = await self._opened()
        with _translated(place.bck):
            await client.buckets.create(_there(place.bck))

    async def destroy_bucket(self, place: Place) -> None:
        """Destroy a bucket there. Raise `RemoteBucketNotFound`."""
        client = await self._opened()
        with _translated(place.bck):
            await client.buckets.destroy(_there(place.bck))

    async def buckets(self) -> list[Bck]:
        """See `Backend`: those of the cluster itself, not those of its backends."""
        client = await self._opened()
        with _translated(None):
            found = await client.buckets.all(AIS)
        return [self._here(bck) for bck in found if bck.provider == AIS and not bck.namespace.uuid]

    async def head_bucket(self, place: Place) -> Extra:
        """See `Backend`."""
        client = await self._opened()
        with _translated(place.bck):
            await client.buckets.head(_there(place.bck))
        return Extra()

    async def page(self, place: Place, prefix: str, after: str, limit: int, delimiter: str = "") -> RemotePage:
        """See `Backend`."""
        if delimiter not in ("", "/"):
            raise Unsupported(f'{place.bck.cname()} is listed with the delimiter "/" only')
        if is_common_prefix(after, prefix, delimiter):
            after += "\U0010ffff"  # else it comes again
        message = LsoMsg(prefix=prefix, props=_PROPS, pagesize=limit, continuation_token=after)
        if delimiter:
            message = msgspec.structs.replace(message, flags=U64(Flag.NO_RECURSION))
        client = await self._opened()
        with _translated(place.bck):
            page = await anext(client.buckets.pages(_there(place.bck), message))
        entries = page.Entries or []
        return RemotePage(
            [RemoteObject(one.n, int(one.s or 0), one.cs, one.v) for one in entries if not one.is_dir],
            [one.n if one.n.endswith("/") else one.n + "/" for one in entries if one.is_dir],
            bool(page.ContinuationToken),
        )

    async def head(self, place: Place, name: str) -> RemoteObject:
        """See `Backend`."""
        client = await self._opened()
        with _translated(place.bck, name):
            found = await client.objects.head(_there(place.bck), name)
        return _described(name, found, found.size)

    @asynccontextmanager
    async def get(self, place: Place, name: str, offset: int = 0, length: int | None = None) -> AsyncIterator[Download]:
        """See `Backend`. Of a whole object the checksum is compared while the bytes come."""
        client, span = await self._opened(), ""
        if offset or length is not None:
            span = f"{offset}-{'' if length is None else offset + length - 1}"
        reading = client.objects.get(_there(place.bck), name, byte_range=span)
        with _translated(place.bck, name):
            reader = await reading.__aenter__()
        try:
            if span:
                require_span(reader.content_range, offset, length, place.bck.cname(name))
            total = _TOTAL.fullmatch(reader.content_range)
            size = int(total[1]) if total else reader.attributes.size
            found = _described(name, reader.attributes, size)
            if span or not found.etag:
                found = await self._known(place, found)
            yield Download(
                found,
                _chunks(reader, place.bck, name),
                lambda: detach(reader.response, place.bck.cname(name), READ_TIMEOUT_S),
            )
        finally:
            with _translated(place.bck, name):
                await reading.__aexit__(None, None, None)

    async def _known(self, place: Place, sent: RemoteObject) -> RemoteObject:
        """An object of which something comes: with a range there may be the checksum of that alone, and a time with
        none. Raise `Busy` when it is another one by now.
        """
        found = await self.head(place, sent.name)
        if (found.size, found.version) != (sent.size, sent.version):
            raise Busy(f"{place.bck.cname(sent.name)} was changed at its backend while it was read: try again")
        return found

    async def put(self, place: Place, name: str, content: Upload, user: dict[str, str]) -> RemoteObject:
        """See `Backend`. The cluster compares what comes with our checksum, but where something is said of the content:
        AIStore lets what it has of the same checksum be, whatever else is new.
        """
        client = await self._opened()
        kept = {key: value for key, value in user.items() if key not in OF_BACKEND}
        with _translated(place.bck, name):
            claim = Claim(*content.claim) if all(content.claim) and not kept else None
            found = await client.objects.put(_there(place.bck), name, _Sent(content), claim=claim, custom=kept)
        described = _described(name, found, content.size)
        return msgspec.structs.replace(
            described,
            content={key: value for key, value in kept.items() if key in CONTENT_HEADERS},
            user={key: value for key, value in kept.items() if key not in CONTENT_HEADERS},
        )

    async def delete(self, place: Place, name: str) -> None:
        """See `Backend`."""
        client = await self._opened()
        try:
            with _translated(place.bck, name):
                await client.objects.delete(_there(place.bck), name)
        except ObjectNotFound:
            pass

    async def close(self) -> None:
        """See `Backend`."""
        client, self._client = self._client, None
        if client is not None:
            await client.__aexit__(None, None, None)

    async def _opened(self) -> Client:
        if self._client is None:
            client = Client(
                self._url,
                timeout_s=READ_TIMEOUT_S,
                connect_timeout_s=CONNECT_TIMEOUT_S,
                retries=RETRIES,
                connections=CONNECTIONS_MAX,
            )
            await client.__aenter__()
            self._client = client
        return self._client

    def _here(self, bck: Bck) -> Bck:
        return Bck(bck.name, AIS, Namespace(self._alias, bck.namespace.name))


class _Sent:
    """Content as our client sends it."""

    is_replayable = True

    def __init__(self, content: Upload) -> None:
        self.size: int | None = content.size
        self._content = content

    async def open(self, on_bytes: OnBytes) -> AsyncIterator[bytes]:
        """See `ais.client.body.Body`."""
        for offset in range(0, self._content.size, CHUNK_BYTES):
            piece = await self._content.read(offset, min(CHUNK_BYTES, self._content.size - offset))
            yield piece
            on_bytes(len(piece))


def _there(bck: Bck) -> Bck:
    """The name that a bucket has in its own cluster."""
    return Bck(bck.name, AIS, Namespace("", bck.namespace.name))


def _described(name: str, found: ObjectAttributes, size: int) -> RemoteObject:
    modified_s = parsedate_to_datetime(found.last_modified).timestamp() if found.last_modified else 0.0
    return RemoteObject(
        name,
        size,
        found.checksum,
        found.version,
        modified_s,
        {key: value for key, value in found.custom.items() if key in CONTENT_HEADERS},
        {key: value for key, value in found.custom.items() if key not in CONTENT_HEADERS and key not in OF_BACKEND},
        (found.checksum_kind, found.checksum) if found.checksum_kind in checksum.KINDS else (checksum.NONE, ""),
    )


async def _chunks(reader: Reader, bck: Bck, name: str) -> AsyncIterator[bytes]:
    kind, got = reader.attributes.checksum_kind, 0
    hasher = checksum.new_hasher(kind) if reader.is_whole and kind in checksum.KINDS else None
    with _translated(bck, name):
        async for chunk in reader.chunks():
            got += len(chunk)
            if hasher is not None:
                hasher.update(chunk)
            yield chunk
    if reader.length is not None and got != reader.length:
        raise Unreachable(f"{bck.cname(name)} broke off at its backend: {got} of {reader.length} bytes")
    if hasher is not None and hasher.hexdigest() != reader.attributes.checksum:
        raise Unreachable(f"{bck.cname(name)} came with another checksum than its backend says: try again")


@contextmanager
def _translated(bck: Bck | None, name: str = "") -> Iterator[None]:
    """What the other cluster answered as errors that name the bucket or object here."""
    what = "the remote cluster" if bck is None else bck.cname(name)
    try:
        yield
    except BucketNotFound:
        raise RemoteBucketNotFound("remote", what if bck is None else bck.cname()) from None
    except ObjectNotFound:
        raise ObjectNotFound(what) from None
    except (BucketExists, RangeNotSatisfiable, BadRequest, Unsupported, OutOfSpace, NotReady):
        raise
    except Conflict as error:
        raise Conflict(f"{what}: {error}") from None
    except RateLimited as error:
        raise NotReady(f"{what}: {error}") from None
    except AccessDenied as error:
        raise AccessDenied(
            f"{what}: {error}; give the targets a token of that cluster (AIS_AUTHN_TOKEN_FILE)"
        ) from None
    except RemoteError as error:
        raise failures.of_status(error.status, f"{what}: {error}", None, "") from None
    except (AisError, ClientError, TimeoutError) as error:
        raise Unreachable(f"{what}: {error}") from None
