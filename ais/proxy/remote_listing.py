"""Listing a bucket that has a backend: names as the backend has them, with what the cluster has of each (§11).

A page is one of the backend's, or of an inventory. Its token is the last name, as everywhere, so that any proxy can go
on.
"""

import msgspec

from ais.api import listing
from ais.api.listing import Entry, EntryFlag, Flag, LsoMsg, Page
from ais.backend.interface import ETAG, LAST_MODIFIED, RemoteObject, RemotePage
from ais.base.errors import BadRequest, Unsupported
from ais.base.ids import new_id
from ais.meta.bmd import Bucket
from ais.node.node import Node
from ais.proxy.inventories import Inventories
from ais.proxy.listing import Lister
from ais.proxy.remote import RemoteBuckets

PAGE_MAX = 1000


class RemoteLister:
    """Makes pages. One per proxy."""

    def __init__(self, node: Node, lister: Lister, remote: RemoteBuckets, inventories: Inventories) -> None:
        self._node = node
        self._lister = lister
        self._remote = remote
        self._inventories = inventories

    async def page(self, bucket: Bucket, message: LsoMsg, inventory: str | None = None) -> Page:
        """The page that `message` asks for, of the bucket or of an inventory of it (empty: the one there is).

        Raise `BadRequest`, and why the backend or a target gives none.
        """
        request = listing.normalise(message, is_ais=False)
        if request.has(Flag.ARCHIVE_DIRS):
            raise Unsupported("the inside of shards is listed of what is in the cluster: add the flag cached")
        if request.target:
            raise BadRequest("a target lists what it has of a remote bucket: add the flag cached")
        found = await self._found(bucket, request, inventory)
        needs_local = request.has(Flag.CACHED) or not request.flags & (Flag.NAME_ONLY | Flag.NAME_SIZE)
        local = await self._local(bucket, request, found.last if found.has_more else "") if needs_local else {}
        describe = _Describer(request)
        entries = {one.name: describe(one, local.get(one.name)) for one in found.objects if not one.is_folder}
        entries |= {
            name: Entry(name, f=int(EntryFlag.IS_DIR)) for name in found.prefixes if not request.has(Flag.NO_DIRS)
        }
        if request.has(Flag.DIFF):
            entries |= {name: describe.removed(entry) for name, entry in local.items() if name not in entries}
        kept = [entries[name] for name in sorted(entries)]
        if request.has(Flag.NOT_CACHED):
            kept = [entry for entry in kept if not entry.f & EntryFlag.PRESENT]
        if request.has(Flag.CACHED):
            kept = [entry for entry in kept if entry.is_dir or entry.f & EntryFlag.PRESENT]
        uuid = request.uuid or new_id(self._node.env.rng)
        return Page(uuid, found.last if found.has_more else "", kept)

    async def _found(self, bucket: Bucket, request: LsoMsg, inventory: str | None) -> RemotePage:
        where = request.prefix, request.after
        if inventory is not None:
            return await self._inventories.page(bucket, inventory, *where, request.pagesize, request.delimiter)
        return await self._remote.page(bucket, *where, min(request.pagesize, PAGE_MAX), request.delimiter)

    async def _local(self, bucket: Bucket, request: LsoMsg, end: str) -> dict[str, Entry]:
        """What the cluster has behind the token, up to and with `end` (empty: to the end)."""
        found: dict[str, Entry] = {}
        if request.has(Flag.DIFF) and not request.wants("size"):  # it is compared
            request = msgspec.structs.replace(request, props=f"{request.props},size")
        after, more = request.after, True
        while more and (not end or after < end):
            ask = msgspec.structs.replace(
                request, uuid="", start_after="", continuation_token=after, pagesize=listing.PAGE_SIZE_DEFAULT
            )
            entries, more = await self._lister.read(bucket, ask)
            more = more and bool(entries)
            after = entries[-1].n if entries else after
            found |= {entry.n: entry for entry in entries if not entry.is_dir and (not end or entry.n <= end)}
        return found


class _Describer:
    """Puts together what the backend and the cluster say of an object."""

    def __init__(self, request: LsoMsg) -> None:
        self._wants_size, self._wants_custom = request.wants("size"), request.wants("custom")
        self._compares = request.has(Flag.DIFF)

    def __call__(self, found: RemoteObject, local: Entry | None) -> Entry:
        entry = local or Entry(found.name)
        if self._compares and local is not None and (local.s != found.size or _etag_in(local.m) != found.etag):
            entry.f |= EntryFlag.VERSION_CHANGED
        entry.s = found.size if self._wants_size else 0
        if self._wants_custom:
            shown = found.custom("")
            entry.m = f"[ETag:{shown.get(ETAG, '')} LastModified:{shown.get(LAST_MODIFIED, '')}]"
        return entry

    def removed(self, entry: Entry) -> Entry:
        """Of what the cluster alone has."""
        entry.f |= EntryFlag.VERSION_REMOVED
        if not self._wants_size:
            entry.s = 0
        return entry


def _etag_in(custom: str) -> str:
    """The entity tag in an entry's custom metadata, `[key:value ...]`."""
    _, found, rest = custom.partition(f"{ETAG}:")
    return rest.partition(" ")[0].rstrip("]") if found else ""
