"""S3 listings at a gateway: objects, versions and uploads of all targets, in one order, page by page.

Targets roll names up into common prefixes themselves and send only what a page shows; `ais.proxy.listing` merges. A
page is complete or an error. A continuation token is all that the next page needs, here or at another gateway.
"""

from ais.api import headers
from ais.api.listing import Entry, EntryFlag, Kind, LsoMsg
from ais.backend.interface import RemotePage
from ais.base.errors import NotRemoteBucket
from ais.base.ids import new_id
from ais.base.names import OBJECT_NAME_BYTES_MAX
from ais.core.versions import is_version_id
from ais.core.walk import common_prefix
from ais.net.http import Reply
from ais.node.node import Node
from ais.proxy import inventories
from ais.proxy.inventories import Inventories
from ais.proxy.listing import Gaps, Lister
from ais.proxy.remote import RemoteBuckets
from ais.proxy.s3.call import Call, Operation
from ais.s3 import answers, listings
from ais.s3.buckets import S3Bucket
from ais.s3.errors import S3Error
from ais.s3.listings import Page, Query
from ais.s3.operations import Op

_LAST_CHAR = "\U0010ffff"


class Listing:
    """One per proxy. Requests are authorized, buckets exist. Every method raises `S3Error`, or why a target failed."""

    def __init__(self, node: Node, lister: Lister, remote: RemoteBuckets, inventories: Inventories) -> None:
        self._remote = remote
        self._inventories = inventories
        self._node = node
        self._lister = lister

    def operations(self) -> dict[Op, Operation]:
        """What is served here."""
        return {
            Op.LIST_OBJECTS: Operation(self._objects),
            Op.LIST_OBJECTS_V2: Operation(self._objects_v2),
            Op.LIST_OBJECT_VERSIONS: Operation(self._versions),
            Op.LIST_MULTIPART_UPLOADS: Operation(self._uploads),
        }

    async def _objects(self, call: Call) -> Reply:
        """ListObjects. The marker says where to go on and nothing else: each page reads the disks anew."""
        bucket, params = call.bucket, call.request.params
        listings.refuse(params, listings.NOT_IN_V1)
        query, marker, gaps = _query_of(call), params.get("marker", ""), _gaps_of(call)
        page = await self._page(bucket, Kind.OBJECTS, query, marker, gaps=gaps)
        return _reply(call, listings.objects(bucket.name, bucket.s3.owner, query, marker, page), gaps)

    async def _objects_v2(self, call: Call) -> Reply:
        """ListObjectsV2."""
        bucket, params = call.bucket, call.request.params
        if params["list-type"] != "2":
            return await self._objects(call)
        listings.refuse(params, listings.NOT_IN_V2)
        query, gaps = _query_of(call), _gaps_of(call)
        if (fetch := params.get("fetch-owner", "false").lower()) not in ("true", "false"):
            raise S3Error("InvalidArgument", "fetch-owner is true or false", ArgumentName="fetch-owner")
        token, start_after = params.get("continuation-token"), params.get("start-after")
        if token is None:
            listing_id = new_id(self._node.env.rng)
            page = await self._first_page(bucket, query, start_after or "", listing_id, gaps)
        else:
            listing_id, after = listings.decode_token(token)
            page = await self._page(bucket, Kind.OBJECTS, query, after, listing_id, gaps=gaps)
        body = listings.objects_v2(
            bucket.name,
            bucket.s3.owner if fetch == "true" else None,
            query,
            page,
            start_after=start_after,
            token=token,
            next_token=listings.encode_token(listing_id, page.entries[-1].n) if page.is_truncated else None,
        )
        return _reply(call, body, gaps)

    async def _versions(self, call: Call) -> Reply:
        """ListObjectVersions. A marker without a version begins behind all versions of its key."""
        bucket, params = call.bucket, call.request.params
        query = listings.read_query(params)
        key_marker, version_id_marker = params.get("key-marker", ""), params.get("version-id-marker")
        if version_id_marker is not None and not key_marker:
            raise _marker_error("A version-id marker cannot be specified without a key marker.", version_id_marker)
        if version_id_marker == "":
            raise _marker_error("A version-id marker cannot be empty.", version_id_marker)
        if version_id_marker is not None and not is_version_id(version_id_marker):
            raise _marker_error("Invalid version id specified", version_id_marker)
        after = f"{key_marker}\0{version_id_marker or ''}".rstrip("\0")
        gaps = _gaps_of(call)
        page = await self._page(bucket, Kind.VERSIONS, query, after, gaps=gaps)
        body = listings.versions(bucket.name, bucket.s3.owner, query, key_marker, version_id_marker or "", page)
        return _reply(call, body, gaps)

    async def _uploads(self, call: Call) -> Reply:
        """ListMultipartUploads. The marker of an upload counts only together with that of its key."""
        bucket, params = call.bucket, call.request.params
        query = listings.read_query(params, "max-uploads")
        key_marker, upload_id_marker = params.get("key-marker", ""), params.get("upload-id-marker", "")
        after = f"{key_marker}\0{upload_id_marker or _LAST_CHAR}" if key_marker else ""
        gaps = _gaps_of(call)
        page = await self._page(bucket, Kind.UPLOADS, query, after, gaps=gaps)
        body = listings.uploads(bucket.name, bucket.s3.owner, query, key_marker, upload_id_marker, page)
        return _reply(call, body, gaps)

    async def _first_page(
        self, bucket: S3Bucket, query: Query, start_after: str, listing_id: str, gaps: Gaps | None
    ) -> Page:
        """A key to start after may lie within a common prefix, which counts if a greater key is in it."""
        shared = common_prefix(start_after, query.prefix, query.delimiter)
        if not shared or not query.limit or not await self._any(bucket, shared, start_after, gaps):
            return await self._page(bucket, Kind.OBJECTS, query, start_after, listing_id, gaps=gaps)
        first = Entry(shared, f=int(EntryFlag.IS_DIR))
        fewer = query._replace(limit=max(query.limit - 1, 1))
        rest = await self._page(bucket, Kind.OBJECTS, fewer, shared, listing_id, gaps=gaps)
        if query.limit == 1:
            return Page([first], bool(rest.entries))
        return Page([first, *rest.entries], rest.is_truncated)

    async def _any(self, bucket: S3Bucket, prefix: str, after: str, gaps: Gaps | None) -> bool:
        page = await self._page(bucket, Kind.OBJECTS, Query(prefix, "", 1), after, gaps=gaps)
        return bool(page.entries)

    async def _page(
        self,
        bucket: S3Bucket,
        kind: Kind,
        query: Query,
        after: str,
        listing_id: str = "",
        *,
        gaps: Gaps | None,
    ) -> Page:
        """Entries greater than `after`; with a listing ID, pages that follow one another are cheap.

        `gaps` None: a page that cannot be complete is an error.
        """
        prefix = query.prefix
        if not query.limit or "\0" in prefix or len(prefix.encode()) > OBJECT_NAME_BYTES_MAX:
            return Page([], is_truncated=False)
        if bucket.bucket.has_backend and kind is Kind.OBJECTS:  # parts of uploads are here
            where = prefix, after, query.limit, query.delimiter
            if query.inventory is not None:
                return _of_backend(await self._inventories.page(bucket.bucket, query.inventory, *where))
            return _of_backend(await self._remote.page(bucket.bucket, *where))
        if query.inventory is not None:
            raise NotRemoteBucket("list by inventory", bucket.bucket.bck.cname())
        message = LsoMsg(
            uuid=listing_id,
            prefix=prefix,
            continuation_token=after,
            pagesize=query.limit,
            delimiter=query.delimiter,
            kind=kind,
        )
        return Page(*await self._lister.read(bucket.bucket, message, gaps))


def _of_backend(found: RemotePage) -> Page:
    objects = [Entry(one.name, s=one.size, e=one.etag, i=int(one.modified_s * 1e9)) for one in found.objects]
    prefixes = [Entry(name, f=int(EntryFlag.IS_DIR)) for name in found.prefixes]
    return Page(sorted(objects + prefixes, key=lambda entry: entry.n), found.has_more)


def _query_of(call: Call) -> Query:
    """Of objects: maybe those of an inventory, as AIStore's headers ask for it."""
    sent = {name: call.request.header(name.lower()) for name in (headers.INVENTORY, headers.INVENTORY_NAME)}
    return listings.read_query(call.request.params)._replace(inventory=inventories.asked(sent))


def _gaps_of(call: Call) -> Gaps | None:
    """Where to note what is missing, when the caller wants what is there (`Ais-List-Partial: true`)."""
    return set() if call.request.header(headers.LIST_PARTIAL.lower()).lower() == "true" else None


def _reply(call: Call, body: bytes, gaps: Gaps | None) -> Reply:
    lines = ((headers.LIST_MISSING, ",".join(sorted(gaps))),) if gaps else ()
    return answers.xml_reply(call.request.id, body, 200, *lines)


def _marker_error(message: str, value: str) -> S3Error:
    return S3Error("InvalidArgument", message, ArgumentName="version-id-marker", ArgumentValue=value)
