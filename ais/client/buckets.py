"""Calls about buckets (wire contract §9) and the objects listed in them (§11)."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any
from urllib.parse import quote

import msgspec

from ais.api import actions, blob, codec, groups, inventory, listing, query, xact
from ais.api import headers as header
from ais.api.blob import BlobMsg
from ais.api.bucket import Bck
from ais.api.groups import CopyBucketMsg, CopyMsg, IndexMsg, PrefetchMsg, RechunkMsg
from ais.api.inventory import CreateMsg, Shown
from ais.api.listing import Entry, LsoMsg, Page
from ais.api.shard_summary import ShardSummary, ShardSummaryMsg
from ais.api.summary import BsummResult, SummaryMsg
from ais.base.errors import BucketNotFound, NotFound, Unreachable
from ais.client import answers, paths
from ais.client.transport import Transport
from ais.meta.bmd import Bprops

MSGPACK = "application/msgpack"
POLL_S = 0.1
POLL_S_MAX = 2.0
_ANY = "0"
"""Presence: whether the bucket is in the cluster or only known to its backend."""
_IN_CLUSTER = "2"
"""Presence: only what is in the cluster."""


class Buckets:
    """Made by `Client`."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def all(self, provider: str = "", namespace: str = "") -> list[Bck]:
        """All buckets (of one provider or namespace), sorted."""
        wanted = {query.PRESENCE: _ANY} | ({query.PROVIDER: provider} if provider else {})
        wanted |= {query.NAMESPACE: namespace} if namespace else {}
        _, body = await self._transport.call("GET", paths.BUCKETS, wanted, json=paths.action(actions.LIST))
        return answers.decode(body, list[Bck])

    async def create(self, bck: Bck, props: Mapping[str, Any] | None = None) -> None:
        """Create a bucket; `props` (nested as in JSON) differ from the cluster's defaults. Raise `BucketExists`."""
        message = paths.action(actions.CREATE_BUCKET, value=props)
        await self._transport.call("POST", paths.of_bucket(bck), paths.query_of(bck), json=message)

    async def destroy(self, bck: Bck) -> None:
        """Destroy a bucket and all objects in it. Raise `BucketNotFound`."""
        message = paths.action(actions.DESTROY_BUCKET)
        await self._transport.call("DELETE", paths.of_bucket(bck), paths.query_of(bck), json=message)

    async def rename(self, bck: Bck, to: Bck) -> str:
        """Begin to rename a bucket; the ID of the job that does it."""
        wanted = paths.query_of(bck) | {query.BUCKET_TO: to.uname}
        message = paths.action(actions.MOVE_BUCKET)
        _, body = await self._transport.call("POST", paths.of_bucket(bck), wanted, json=message)
        return body.decode()

    async def head(self, bck: Bck) -> Bprops:
        """A bucket's properties. Raise `BucketNotFound`."""
        async with self._transport.open("HEAD", paths.of_bucket(bck), paths.query_of(bck)) as response:
            return answers.decode(response.headers.get(header.BUCKET_PROPS, "{}"), Bprops)

    async def exists(self, bck: Bck) -> bool:
        """Whether there is such a bucket."""
        try:
            await self.head(bck)
        except (BucketNotFound, NotFound):
            return False
        return True

    async def set_props(self, bck: Bck, props: Mapping[str, Any]) -> str:
        """Change properties (nested as in JSON); the ID of the job this started, or the empty string."""
        return await self._patch(bck, paths.action(actions.SET_BUCKET_PROPS, value=props))

    async def give(self, bck: Bck, owner: str) -> None:
        """Have it belong to a user of access keys; to nobody, that is to the administrators, when `owner` is empty."""
        await self._patch(bck, paths.action(actions.GIVE_BUCKET, value=owner))

    async def reset_props(self, bck: Bck) -> str:
        """Back to the cluster's defaults; the ID of the job this started, or the empty string."""
        return await self._patch(bck, paths.action(actions.RESET_BUCKET_PROPS))

    async def make_copies(self, bck: Bck, copies: int) -> str:
        """Keep so many copies of each object, in all; the ID of the job that makes or removes them."""
        message = paths.action(xact.MAKE_COPIES, value=copies)
        _, body = await self._transport.call("POST", paths.of_bucket(bck), paths.query_of(bck), json=message)
        return body.decode()

    async def ec_encode(self, bck: Bck, changes: Mapping[str, int]) -> str:
        """Code all objects of a bucket, after these changes of its `ec` properties, if any; the ID of the job."""
        value = codec.to_json({"enabled": True, **changes}).decode() if changes else None
        message = paths.action(xact.EC_ENCODE, value=value)
        _, body = await self._transport.call("POST", paths.of_bucket(bck), paths.query_of(bck), json=message)
        return body.decode()

    async def _patch(self, bck: Bck, message: bytes) -> str:
        _, body = await self._transport.call("PATCH", paths.of_bucket(bck), paths.query_of(bck), json=message)
        return body.decode()

    async def summary(
        self, bck: Bck | None = None, prefix: str = "", provider: str = "", *, with_remote: bool = False
    ) -> list[BsummResult]:
        """Counts and sizes of one bucket, or of all; waits until every target has counted.

        `with_remote`: also what backends have.
        """
        if bck is not None:
            path, wanted = paths.of_bucket(bck), paths.query_of(bck)
        else:
            path, wanted = paths.BUCKETS, {query.PROVIDER: provider} if provider else {}
        uuid, delay_s = "", POLL_S
        while True:
            value = SummaryMsg(uuid, prefix, cached=not with_remote, present=not with_remote)
            message = paths.action(actions.SUMMARY_BUCKET, value=value)
            response, body = await self._transport.call("GET", path, wanted, json=message)
            if response.status == 200 and uuid:
                return answers.decode(body, list[BsummResult])
            if response.status == 202 and not uuid:
                uuid = body.decode().strip('" \n')
            await asyncio.sleep(delay_s)
            delay_s = min(delay_s * 2, POLL_S_MAX)

    async def start_group(self, bck: Bck, kind: str, message: PrefetchMsg | IndexMsg | RechunkMsg) -> str:
        """Start a job on a group of objects (`ais.api.groups`): prefetch, evict, index, rechunk; its ID."""
        verb = "DELETE" if kind == groups.EVICT else "POST"
        body = paths.action(kind, value=message)
        _, answer = await self._transport.call(verb, paths.of_bucket(bck), paths.query_of(bck), json=body)
        return answer.decode()

    async def copy(self, bck: Bck, to: Bck, message: CopyBucketMsg, *, only_here: bool = False) -> str:
        """Start a job that copies a bucket, or with `CopyMsg` objects of it, to another; its ID.

        `only_here`: of a remote bucket, what is in the cluster.
        """
        wanted = paths.query_of(bck) | ({query.PRESENCE: _IN_CLUSTER} if only_here else {})
        if isinstance(message, CopyMsg):
            body = paths.action(groups.COPY, value=msgspec.structs.replace(message, to=to))
        else:
            wanted[query.BUCKET_TO] = to.uname
            body = paths.action(groups.COPY_BUCKET, value=message)
        _, answer = await self._transport.call("POST", paths.of_bucket(bck), wanted, json=body)
        return answer.decode()

    async def blob_download(self, bck: Bck, name: str, message: BlobMsg) -> str:
        """Start fetching an object of a remote bucket in parts; the job's ID, empty: it is in the cluster."""
        body = paths.action(blob.KIND, name, message)
        path = f"{paths.OBJECTS}/{quote(bck.name)}"
        _, answer = await self._transport.call("POST", path, paths.query_of(bck), json=body)
        return answer.decode()

    async def create_inventory(self, bck: Bck, message: CreateMsg) -> str:
        """Start to make an inventory of a remote bucket; the job's ID, and its name unless it was given one."""
        body = paths.action(inventory.CREATE, value=message)
        _, answer = await self._transport.call("POST", paths.of_bucket(bck), paths.query_of(bck), json=body)
        return answer.decode()

    async def inventories(self, bck: Bck | None = None, name: str = "", provider: str = "") -> list[Shown]:
        """The inventories of a bucket, or of all."""
        path = paths.of_bucket(bck) if bck is not None else paths.BUCKETS
        wanted = paths.query_of(bck) if bck is not None else {query.PROVIDER: provider} if provider else {}
        _, body = await self._transport.call("GET", path, wanted, json=paths.action(inventory.SHOW, name))
        return list(answers.decode(body, dict[str, Shown]).values())

    async def destroy_inventory(self, bck: Bck, name: str = "") -> None:
        """Remove the inventory of that name, or all of a bucket. That there is none is no error."""
        body = paths.action(inventory.DESTROY, name)
        await self._transport.call("DELETE", paths.of_bucket(bck), paths.query_of(bck), json=body)

    async def evict(self, bck: Bck, *, keep: bool) -> None:
        """Remove what is here of a remote bucket; `keep` it and its properties in the metadata."""
        wanted = paths.query_of(bck) | {query.KEEP_BUCKET: str(keep).lower()}
        await self._transport.call(
            "DELETE", paths.of_bucket(bck), wanted, json=paths.action(actions.EVICT_REMOTE_BUCKET)
        )

    async def shard_summary(self, bck: Bck, prefix: str = "") -> ShardSummary:
        """How many shards there are and have an index; waits until every target has counted."""
        uuid, delay_s = "", POLL_S
        while True:
            message = paths.action(actions.SUMMARY_SHARD, value=ShardSummaryMsg(uuid, prefix))
            response, body = await self._transport.call("GET", paths.of_bucket(bck), paths.query_of(bck), json=message)
            if response.status == 200 and uuid:
                return answers.decode(body, ShardSummary)
            if response.status == 202 and not uuid:
                uuid = body.decode().strip('" \n')
            await asyncio.sleep(delay_s)
            delay_s = min(delay_s * 2, POLL_S_MAX)

    async def objects(self, bck: Bck, message: LsoMsg | None = None) -> AsyncIterator[Entry]:
        """Every object of a bucket in the order of names, fetched page by page as the caller goes on."""
        async for page in self.pages(bck, message):
            for entry in page.Entries or ():
                yield entry

    async def pages(
        self, bck: Bck, message: LsoMsg | None = None, gaps: set[str] | None = None, inventory: str = ""
    ) -> AsyncIterator[Page]:
        """The pages of a listing; `message` says what to list and what entries carry, by default names and sizes.

        With `gaps` they hold what is there, and the names of nodes that cannot be asked are added to it; without, that
        is an error. `inventory`: the name of the one to list by.
        """
        message = message or LsoMsg()
        while True:
            page = await self._page(bck, message, gaps, inventory)
            yield page
            token = page.ContinuationToken
            if not token:
                return
            if token <= message.continuation_token:
                raise Unreachable(f"the listing of {bck.cname()} does not advance: it repeats a page")
            message = msgspec.structs.replace(message, uuid=page.UUID, continuation_token=token, start_after="")

    async def _page(self, bck: Bck, message: LsoMsg, gaps: set[str] | None, inventory_name: str) -> Page:
        headers = {"Accept": MSGPACK} | ({header.LIST_PARTIAL: "true"} if gaps is not None else {})
        headers |= {header.INVENTORY_NAME: inventory_name} if inventory_name else {}
        response, body = await self._transport.call(
            "GET",
            paths.of_bucket(bck),
            paths.query_of(bck),
            headers=headers,
            json=paths.action(actions.LIST, value=message),
        )
        if gaps is not None:
            gaps.update(filter(None, response.headers.get(header.LIST_MISSING, "").split(",")))
        if response.headers.get("Content-Type") == MSGPACK:
            return listing.decode_page(body)
        return listing.page_from_json(answers.parse(body))
