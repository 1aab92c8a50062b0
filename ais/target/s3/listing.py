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
from ais.target.remote.parallel import is_fetch

_MISPLACED, _LATEST, _DELETE_MARKER = (
    int(flag) for flag in (EntryStatus.MISPLACED_MOUNTPATH, EntryFlag.LATEST, EntryFlag.DELETE_MARKER)
)


def object_entry(found: core.Entry) -> Entry:
    """An object or a common prefix."""
    if found.is_dir:
        return Entry(found.name, f=int(EntryFlag.IS_DIR))
    flags = _MISPLACED if found.is_misplaced else 0
    return _described(found.name, found.size, found.mtime_ns, flags, "", found.meta)


def version_page(lister: VersionLister, bck: Bck, message: LsoMsg) -> Page:
    """One page of versions and delete markers, by key, the newest first. Raise `DiskFailure`."""
    key, _, order = message.after.partition("\0")
    entries, has_more = lister.shown(
        bck,
        message.prefix,
        (key, order),
        message.pagesize,
        _version_entry,
        delimiter=message.delimiter,
        session=message.uuid,
    )
    return Page(message.uuid, entries[-1].n if has_more and entries else "", entries)


def _version_entry(found: VersionEntry) -> Entry:
    if found.is_prefix:
        return Entry(found.name, f=int(EntryFlag.IS_DIR))
    name, version_id = f"{found.name}\0{found.order}", found.version_id if found.version_id != NULL else ""
    flags = _LATEST if found.is_latest else 0
    if found.is_marker:
        return Entry(name, s=found.size, i=found.mtime_ns, v=version_id, f=flags | _DELETE_MARKER)
    return _described(name, found.size, found.mtime_ns, flags, version_id, found.meta)


def _described(name: str, size: int, mtime_ns: int, flags: int, version_id: str, meta: ObjectMeta | None) -> Entry:
    """With entity tag and checksum; a damaged object has an entity tag that no client knows."""
    if meta is None:
        return Entry(name, s=size, i=mtime_ns, f=flags, v=version_id, e=etag_of({}, "", "", mtime_ns, size))
    fact, seen = meta.facts.get, sealing.plain(meta)
    return Entry(
        name,
        "",
        "",
        version_id,
        "",
        "",
        seen.size,
        0,
        flags,
        fact("etag") or etag_of(meta.facts, seen.checksum_kind, seen.checksum, mtime_ns, seen.size),
        mtime_ns,
        fact("checksum-algorithm", ""),
        fact("checksum-type", ""),
        fact(OWNER, ""),
    )


def upload_page(uploads: Uploads, bck: Bck, message: LsoMsg) -> Page:
    """One page of unfinished uploads, by key and then by start. Reads the records of all; holds at most two pages.

    Raise `DiskFailure`, `CorruptMetadata`.
    """
    found: dict[str, Entry] = {}
    after, limit = message.after, message.pagesize
    for upload_id, info in uploads.list(bck):
        if info.name.startswith(message.prefix) and not is_fetch(info):
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
