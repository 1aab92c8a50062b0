"""What is asked of a download job, checked: everything that cannot work is refused before anything starts."""

from urllib.parse import quote

import msgspec

from ais.api import codec, download
from ais.api.bucket import AIS, Bck
from ais.api.download import BACKEND, MULTI, RANGE, SINGLE, DownloadMsg, DownloadTask
from ais.base import names, templates
from ais.base.errors import BadRequest, InvalidName, NotYetImplemented
from ais.base.units import Duration
from ais.net.egress import check_link

CONNECTIONS_MAX = 64
FILES_MAX = 1_000_000
"""Of a list; templates may stand for more."""
_HEADERS_MAX, _HEADERS_BYTES_MAX = 64, 16 << 10
_OURS = frozenset(
    {
        *("accept-encoding", "connection", "content-length", "expect", "host", "te", "trailer", "transfer-encoding"),
        *("if-match", "if-modified-since", "if-none-match", "if-range", "if-unmodified-since", "range", "upgrade"),
    }
)
"""Headers that a request of ours has, or must not have."""
_SAFE = "!#$%&'()*+,/:;=?@[]~{}"
"""What stays as it is in a link; braces are of templates."""
_STARTING = "Error starting download: "


def read(body: bytes) -> DownloadMsg:
    """The request. Raise `BadRequest`."""
    message = codec.convert_strictly(codec.parse_json(body), DownloadMsg)
    if message.type not in download.TYPES:
        raise BadRequest(f"{_STARTING}input does not match any of the supported formats ({', '.join(download.TYPES)})")
    return message


def bucket_of(message: DownloadMsg) -> Bck:
    """Where it goes. Raise `BadRequest`, `NotYetImplemented`."""
    if message.bucket is None or not message.bucket.name:
        raise BadRequest(f"{_STARTING}missing 'bucket.name'")
    bck = Bck.parse(message.bucket.name, message.bucket.provider, message.bucket.namespace.uname)
    if bck.provider != AIS or bck.namespace.uuid:
        raise NotYetImplemented(f"cannot download to {bck.cname()} at a remote backend - not implemented yet")
    return bck


def check(message: DownloadMsg, uuid: str, timeout_s: float, targets_count: int) -> DownloadTask:
    """What targets are to do. Raise `BadRequest`, `NotYetImplemented`."""
    bck = bucket_of(message)
    if message.etl_name or message.etl_args:
        raise NotYetImplemented("cannot transform downloads (ETL) - not implemented yet")
    if message.type == BACKEND or message.from_remote:
        raise BadRequest(f"{_STARTING}bucket download requires a remote bucket")
    limits = message.limits
    if not 0 <= limits.connections <= CONNECTIONS_MAX:
        raise BadRequest(
            f"{_STARTING}'limit.connections' must be from 0 to {CONNECTIONS_MAX} (got: {limits.connections})"
        )
    if limits.bytes_per_hour < 0:
        raise BadRequest(f"{_STARTING}'limit.bytes_per_hour' must be non-negative (got: {limits.bytes_per_hour})")
    _check_duration(message.progress_interval, "progress_interval")
    task = DownloadTask(
        uuid=uuid,
        bck=bck,
        description=message.description,
        total=0,
        timeout_s=_check_duration(message.timeout, "timeout") or timeout_s,
        connections=limits.connections,
        bytes_per_s=limits.bytes_per_hour / 3600 / max(1, targets_count),
        headers=_headers(message.headers or {}),
    )
    match message.type:
        case "single":
            return _listed(task, _single(message), f"{download.shown(message.link)} -> {bck.cname()}")
        case "multi":
            return _listed(task, _multi(message), f"multi-download -> {bck.cname()}")
    return _templated(task, message)


def _single(message: DownloadMsg) -> list[tuple[str, str]]:
    _only(message, SINGLE, "object_name", "link")
    if not message.link:
        raise BadRequest(f"{_STARTING}missing 'link' in the request body")
    return [(message.object_name, message.link)]


def _multi(message: DownloadMsg) -> list[tuple[str, str]]:
    _only(message, MULTI, "objects")
    objects = message.objects
    if not objects:
        raise BadRequest(
            f"{_STARTING}missing 'objects' in the request body: a map of names to links, or a list of links"
        )
    if len(objects) > FILES_MAX:
        raise BadRequest(f"{_STARTING}{len(objects)} files, at most {FILES_MAX}: use several jobs, or a template")
    return [("", link) for link in objects] if isinstance(objects, list) else list(objects.items())


def _listed(task: DownloadTask, given: list[tuple[str, str]], description: str) -> DownloadTask:
    files = []
    by_name: dict[str, str] = {}
    for name, link in given:
        link = _link(link)
        name = name or download.base_name(link)
        _check_name(name, link)
        if (other := by_name.setdefault(name, link)) != link:
            raise BadRequest(f'{_STARTING}both "{other[:200]}" and "{link[:200]}" would become "{name}": name them')
        files.append((name, link))
    return msgspec.structs.replace(task, files=files, total=len(files), description=task.description or description)


def _templated(task: DownloadTask, message: DownloadMsg) -> DownloadTask:
    _only(message, RANGE, "template", "subdir")
    if not message.template:
        raise BadRequest(f"{_STARTING}missing 'template' in the request body")
    template = _link(message.template)
    parsed = templates.parse(template)
    if parsed.is_prefix:
        raise BadRequest(
            f'{_STARTING}template "{template[:200]}" has no range like {{0..9}}: it is one link (type single)'
        )
    subdir = message.subdir.strip("/")
    task = msgspec.structs.replace(
        task,
        template=template,
        subdir=f"{subdir}/" if subdir else "",
        total=len(parsed),
        description=task.description or f"{download.shown(template)} -> {task.bck.cname()}",
    )
    first, last = next(iter(task)), parsed.ranges[-1].gap.partition("?")[0].partition("#")[0]
    _check_name(first.name, first.link)
    check_link(first.link)
    if any(mark in part for part in (parsed.prefix, *(one.gap for one in parsed.ranges[:-1])) for mark in "?#"):
        raise BadRequest(f'{_STARTING}template "{template[:200]}" has a range behind its path, which names the files')
    if "/" in last or any("/" in one.gap for one in parsed.ranges[:-1]):
        raise BadRequest(
            f'{_STARTING}template "{template[:200]}" has a range in a directory: its files would get the same names;'
            " use several jobs with a subdir each, or type multi"
        )
    return task


def _only(message: DownloadMsg, kind: str, *allowed: str) -> None:
    """Raise `BadRequest` for what belongs to another type."""
    own = {"object_name": SINGLE, "link": SINGLE, "template": RANGE, "subdir": RANGE, "objects": MULTI}
    for name, other in (own | {"prefix": BACKEND, "suffix": BACKEND, "synchronize": BACKEND}).items():
        if name not in allowed and getattr(message, name):
            raise BadRequest(f"{_STARTING}'{name}' is of type {other}, this is {kind}")


def _link(text: str) -> str:
    """As it is asked for: HTTP when nothing is said, unusual characters as %XX. Raise `BadRequest`."""
    if any(ord(char) < 32 or ord(char) == 127 for char in text):
        raise BadRequest(f"{_STARTING}a link has a control character: {text[:200]!r}")
    link = quote(text if "://" in text or not text else f"http://{text}", safe=_SAFE)
    if not templates.has_range(text):
        check_link(link)
    return link


def _check_name(name: str, link: str) -> None:
    if not name:
        raise BadRequest(
            f"{_STARTING}can not extract a valid 'object_name' from the provided download 'link' \"{link[:200]}\""
        )
    try:
        names.check_object_name(name)
    except InvalidName as error:
        raise BadRequest(f"{_STARTING}{error}") from None


def _check_duration(text: str, what: str) -> float:
    """Seconds; 0: not given."""
    try:
        return float(Duration.parse(text)) if text else 0.0
    except BadRequest as error:
        raise BadRequest(f"{_STARTING}failed to parse {what} field: {error}") from None


def _headers(given: dict[str, str | list[str]]) -> dict[str, str]:
    found = {}
    for name, value in given.items():
        if name.lower() in _OURS:
            raise BadRequest(f'{_STARTING}header "{name[:80]}" cannot be set')
        found[name] = ", ".join(value) if isinstance(value, list) else value
        if not name.isascii() or not name.replace("-", "").replace("_", "").isalnum() or not found[name].isprintable():
            raise BadRequest(f'{_STARTING}invalid header "{name[:80]}"')
    if len(found) > _HEADERS_MAX or sum(len(name) + len(value) for name, value in found.items()) > _HEADERS_BYTES_MAX:
        raise BadRequest(f"{_STARTING}too many headers")
    return found
