"""Object metadata as response headers, and request headers as object metadata (wire contract §7, §10.1, §10.2, §10.5).

Header blocks are bytes, each line ends with CRLF; text is UTF-8 with control characters percent-encoded.
"""

import re
from collections.abc import Iterable
from email.utils import formatdate
from typing import NamedTuple

from ais.api import checksum, headers
from ais.api.bucket import Bck
from ais.backend.interface import RemoteObject
from ais.base.errors import BadRequest
from ais.core import sealing
from ais.core.meta import ObjectMeta, check_custom
from ais.core.spots import Known
from ais.ec.slice import Coding
from ais.net.http import Headers

ETAG = "ETag"
PROPS = (
    "name", "size", "version", "checksum", "atime", "location",
    "copies", "ec", "custom", "chunked", "last-modified", "etag",
)  # fmt: skip
_UNSAFE = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")
_CONTROLS = {code: f"%{code:02X}" for code in (*range(32), 127)}
_AS_DATA = (("X-Content-Type-Options", "nosniff"), ("Content-Security-Policy", "sandbox"))
"""A stored page runs nothing on the origin of the admin API."""
_CONTENT_TYPE = "Content-Type: application/octet-stream\r\n"
_PLAIN = (
    f"{headers.CHECKSUM_TYPE}: %s\r\n{headers.CHECKSUM_VALUE}: %s\r\n{headers.ATIME}: %d\r\n{headers.VERSION}: %s\r\n"
)


class ObjectFacts(NamedTuple):
    """All that headers can tell about an object: its name, metadata, file times (ns) and where it lies."""

    bck: Bck
    name: str
    meta: ObjectMeta
    atime_ns: int
    mtime_ns: int
    location: str
    mountpaths: tuple[str, ...]
    """Its own, then those of its copies."""
    coding: Coding | None = None
    """How it is erasure-coded."""


def get_headers(meta: ObjectMeta, atime_ns: int) -> bytes:
    """The headers of a GET besides the length."""
    return headers_of(sealing.plain(meta), atime_ns)


def headers_of(seen: ObjectMeta, atime_ns: int) -> bytes:
    """The same of what clients see of an object."""
    return (_content_type(seen) + _attributes(seen, atime_ns)).encode()


def remembered_headers(known: Known, atime_ns: int) -> bytes:
    """The same for a file of which something is remembered: formatted once while it and its access time stay."""
    if known.annotation is None or known.annotation[0] != atime_ns:
        known.annotation = (atime_ns, get_headers(known.meta, atime_ns))
    block: bytes = known.annotation[1]
    return block


def put_headers(meta: ObjectMeta, atime_ns: int) -> bytes:
    """The headers of a successful PUT: what the object is now."""
    return _attributes(sealing.plain(meta), atime_ns).encode()


def head_headers_all(facts: ObjectFacts) -> bytes:
    """The headers of a HEAD that named no properties."""
    bck = facts.bck
    lines = [
        (headers.NAME, facts.name),
        (headers.BUCKET_NAME, bck.name),
        (headers.BUCKET_PROVIDER, bck.provider),
        (headers.LOCATION, facts.location),
        (headers.MIRROR_COPIES, str(len(facts.mountpaths))),
        (headers.MIRROR_PATHS, f"[{' '.join(facts.mountpaths)}]"),
        (headers.PRESENT, "true"),
    ]
    if bck.namespace.uuid:
        lines.append((headers.BUCKET_NAMESPACE_UUID, bck.namespace.uuid))
    if bck.namespace.name:
        lines.append((headers.BUCKET_NAMESPACE_NAME, bck.namespace.name))
    lines += _chunks(facts.meta)
    lines += _slices(facts)
    return (_content_type(facts.meta) + _attributes(facts.meta, facts.atime_ns) + _lines(lines)).encode()


def head_headers(facts: ObjectFacts, props: frozenset[str]) -> bytes:
    """The headers of a HEAD that asked for `props` (see `parse_props`)."""
    meta = facts.meta
    lines = [(headers.PRESENT, "true")]
    if "name" in props:
        lines += [
            (headers.NAME, facts.name),
            (headers.BUCKET_NAME, facts.bck.name),
            (headers.BUCKET_PROVIDER, facts.bck.provider),
        ]
    if "checksum" in props:
        lines += _checksum(meta)
    if "atime" in props:
        lines.append((headers.ATIME, str(facts.atime_ns)))
    if "version" in props and meta.version:
        lines.append((headers.VERSION, meta.version))
    if "custom" in props:
        lines += _custom(meta)
    if "last-modified" in props:
        lines.append(("Last-Modified", formatdate(facts.mtime_ns // 1_000_000_000, usegmt=True)))
    if "etag" in props:
        lines.append((ETAG, f'"{_etag(facts)}"'))
    if "location" in props:
        lines.append((headers.LOCATION, facts.location))
    if "copies" in props:
        paths = ",".join(sorted(facts.mountpaths))
        lines += [(headers.MIRROR_COPIES, str(len(facts.mountpaths))), (headers.MIRROR_PATHS, paths)]
    if "ec" in props:
        lines += _slices(facts)
    if "chunked" in props:
        lines += _chunks(meta)
    return _lines(lines).encode()


def absent_headers(found: RemoteObject, provider: str, wanted: frozenset[str]) -> bytes:
    """The headers of a HEAD of an object that its backend has and this cluster has not; no `wanted`: all."""
    lines = [(headers.PRESENT, "false")]
    if not wanted or "name" in wanted:
        lines.append((headers.NAME, found.name))
    if found.version and (not wanted or "version" in wanted):
        lines.append((headers.VERSION, found.version))
    if not wanted or "custom" in wanted:
        lines += [(headers.CUSTOM_MD, f"{key}={value}") for key, value in found.custom(provider).items()]
    if not wanted or "last-modified" in wanted:
        lines.append(("Last-Modified", found.http_date))
    if found.etag and (not wanted or "etag" in wanted):
        lines.append((ETAG, f'"{found.etag}"'))
    return _lines(lines).encode()


def custom_of(head: Headers) -> dict[str, str] | None:
    """The custom metadata that a request brings, None when it brings none. Raise `BadRequest`."""
    values = head.get_all(headers.CUSTOM_MD.lower())
    return parse_custom(values) if values else None


def claim_of(head: Headers) -> tuple[str, str] | None:
    """The checksum that a request claims for its body. Raise `BadRequest`."""
    return parse_claim(head.get("ais-checksum-type"), head.get("ais-checksum-value"))


def parse_props(text: str) -> frozenset[str]:
    """The properties of `props=a,b`. Raise `BadRequest` for an unknown one."""
    props = frozenset(part.strip() for part in text.split(",") if part.strip())
    for prop in sorted(props - frozenset(PROPS)):
        raise BadRequest(f'invalid property "{prop}" in props list (expected one of {list(PROPS)})')
    return props


def parse_claim(kind: str | None, value: str | None) -> tuple[str, str] | None:
    """The checksum a client says its content has. Raise `BadRequest` for an unknown kind or half a claim."""
    if not value or kind == checksum.NONE:
        return None
    if not kind:
        raise BadRequest(f"{headers.CHECKSUM_VALUE} needs {headers.CHECKSUM_TYPE} beside it")
    checksum.check_kind(kind)
    return kind, value.lower()


def parse_custom(values: Iterable[str]) -> dict[str, str]:
    """Custom metadata from repeated `key=value` headers. Raise `BadRequest`."""
    custom: dict[str, str] = {}
    for text in values:
        key, separator, value = text.partition("=")
        if not separator:
            raise BadRequest(f'invalid {headers.CUSTOM_MD} "{text[:80]}": expected key=value')
        custom[key.strip()] = value.strip()
    check_custom_text(custom)
    return custom


def check_custom_text(custom: dict[str, str]) -> None:
    """Raise `BadRequest` unless `custom` can travel in headers and be stored."""
    for key, value in custom.items():
        if "=" in key or not (key + value).isprintable():
            raise BadRequest(
                f'invalid custom metadata key or value "{key[:80]}": no "=" in keys, no control characters'
            )
    check_custom(custom)


def _attributes(meta: ObjectMeta, atime_ns: int) -> str:
    if not meta.custom and not meta.facts and meta.version and meta.checksum_kind != checksum.NONE:
        return _PLAIN % (meta.checksum_kind, meta.checksum, atime_ns, meta.version)
    lines = [*_checksum(meta), (headers.ATIME, str(atime_ns))]
    if meta.version:
        lines.append((headers.VERSION, meta.version))
    lines += _custom(meta)
    if tag := meta.custom.get(ETAG) or meta.facts.get("etag"):
        lines.append((ETAG, tag))
    return _lines(lines)


def _content_type(meta: ObjectMeta) -> str:
    """What the uploader said it is. No other content header is shown here: clients would decode what we must not."""
    given = meta.facts.get("content-type")
    return _lines([("Content-Type", given), *_AS_DATA]) if given else _CONTENT_TYPE


def _checksum(meta: ObjectMeta) -> list[tuple[str, str]]:
    if meta.checksum_kind == checksum.NONE:
        return []
    return [(headers.CHECKSUM_TYPE, meta.checksum_kind), (headers.CHECKSUM_VALUE, meta.checksum)]


def _slices(facts: ObjectFacts) -> list[tuple[str, str]]:
    if facts.coding is None:
        return []
    return [
        (headers.EC_DATA, str(facts.coding.data)),
        (headers.EC_GENERATION, str(facts.meta.stamp[1])),
        (headers.EC_PARITY, str(facts.coding.parity)),
        (headers.EC_REPLICATED, str(facts.coding.is_replicated).lower()),
    ]


def _chunks(meta: ObjectMeta) -> list[tuple[str, str]]:
    if not meta.runs:
        return []
    count, largest = sum(count for count, _ in meta.runs), max(size for _, size in meta.runs)
    return [(headers.CHUNKS_COUNT, str(count)), (headers.CHUNKS_MAX_CHUNK_SIZE, str(largest))]


def _custom(meta: ObjectMeta) -> list[tuple[str, str]]:
    return [(headers.CUSTOM_MD, f"{key}={value}") for key, value in meta.custom.items()]


def _etag(facts: ObjectFacts) -> str:
    """A tag that changes with the content: the one given, else the checksum, else time and size."""
    meta = facts.meta
    given = meta.custom.get(ETAG, "").strip('"') or meta.facts.get("etag")
    return given or meta.checksum or f"{facts.mtime_ns:x}-{meta.size:x}"


def _lines(pairs: list[tuple[str, str]]) -> str:
    return "".join(f"{name}: {value.translate(_CONTROLS)}\r\n" for name, value in pairs)
