"""What a target has of a bucket as S3 listings show it, for the proxy that merges (`ais.api.listing`)."""

from collections.abc import Iterable

from ais.api.bucket import Bck
from ais.api.listing import Entry, EntryFlag, EntryStatus, LsoMsg, Page
from ais.core import listing as core
from ais.core import sealing
from ais.core.meta import ObjectMeta
from ais.core.multipart import UploadInfo, Uploads
from ais.core.version_listing import VersionEntry, VersionLister
from ais.core.versions import NULL
from ais.core.walk import common_prefix
from ais.s3.facts import etag_of
from ais.s3.new_object import OWNER


def object_entry(found: core.Entry) -> Entry:
    """An object or a common prefix."""
    if found.is_dir:
        return Entry(found.name, f=int(EntryFlag.IS_DIR))
    status = EntryStatus.MISPLACED_MOUNTPATH if found.is_misplaced else EntryStatus.OK
    return _describe(Entry(found.name, s=found.size, i=found.mtime_ns, f=int(status)), found.meta)


def version_page(lister: VersionLister, bck: Bck, message: LsoMsg) -> Page:
    """One page of versions and delete markers, by key, the newest first. Raise `DiskFailure`."""
    key, _, order = message.after.partition("\0")
    page = lister.page(
        bck,
        message.prefix,
        (key, order),
        message.pagesize,
        delimiter=message.delimiter,
        session=message.uuid,
    )
    entries = [_version_entry(found) for found in page.entries]
    return Page(message.uuid, entries[-1].n if page.has_more and entries else "", entries)


def _version_entry(found: VersionEntry) -> Entry:
    if found.is_prefix:
        return Entry(found.name, f=int(EntryFlag.IS_DIR))
    entry = Entry(f"{found.name}\0{found.order}", s=found.size, i=found.mtime_ns)
    if found.version_id != NULL:
        entry.v = found.version_id
    if found.is_latest:
        entry.f |= EntryFlag.LATEST
    if found.is_marker:
        entry.f |= EntryFlag.DELETE_MARKER
        return entry
    return _describe(entry, found.meta)


def _describe(entry: Entry, meta: ObjectMeta | None) -> Entry:
    """With entity tag and checksum; a damaged object has an entity tag that no client knows."""
    facts = meta.facts if meta else {}
    kind, checksum = (meta.checksum_kind, meta.checksum) if meta else ("", "")
    entry.e = etag_of(facts, kind, checksum, entry.i, entry.s)
    if meta is not None:
        entry.s = sealing.size_of(meta)
    entry.u = facts.get(OWNER, "")
    entry.k, entry.y = facts.get("checksum-algorithm", ""), facts.get("checksum-type", "")
    return entry


def upload_page(uploads: Uploads, bck: Bck, message: LsoMsg) -> Page:
    """One page of unfinished uploads, by key and then by start. Reads the records of all; holds at most two pages.

    Raise `DiskFailure`, `CorruptMetadata`.
    """
    found: dict[str, Entry] = {}
    after, limit = message.after, message.pagesize
    for upload_id, info in uploads.list(bck):
        if info.name.startswith(message.prefix):
            entry = _upload_entry(upload_id, info, message)
            if entry.n > after:
                found[entry.n] = entry
        if len(found) > 2 * limit:
            found = _first(found, limit + 1)
    entries = list(_first(found, limit + 1).values())
    token = entries[limit - 1].n if len(entries) > limit else ""
    return Page(message.uuid, token, entries[:limit])


def _first(found: dict[str, Entry], count: int) -> dict[str, Entry]:
    """The `count` smallest, in order."""
    names: Iterable[str] = sorted(found)[:count]
    return {name: found[name] for name in names}


def _upload_entry(upload_id: str, info: UploadInfo, message: LsoMsg) -> Entry:
    shared = common_prefix(info.name, message.prefix, message.delimiter)
    if shared:
        return Entry(shared, f=int(EntryFlag.IS_DIR))
    return Entry(
        f"{info.name}\0{upload_id}",
        v=upload_id,
        i=info.created_ns,
        k=info.details.get("checksum-algorithm", ""),
        y=info.details.get("checksum-type", ""),
        u=info.details.get("initiator", ""),
    )
