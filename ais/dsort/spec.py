"""From a request to a task: everything that can be wrong with it is found before anything starts."""

from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

import msgspec

from ais.api import codec
from ais.api.bucket import Bck
from ais.api.dsort import Algorithm, SortSpec, SortTask
from ais.base import names, templates
from ais.base.errors import BadRequest
from ais.base.units import Duration, Size
from ais.config.sections import DistributedSort
from ais.dsort.names import ShardNames
from ais.shard import formats
from ais.shard.formats import Format

ALGORITHMS = ("", "alphanumeric", "md5", "shuffle", "content", "none")
CONTENT_KEY_TYPES = ("int", "float", "string")
_REACTIONS = ("ignore", "warn", "abort")
_SORTERS = ("", "dsort_general", "dsort_mem")
"""AIStore has two; here both names mean the one there is."""
_UNUSED = ("compression", "bundle_multiplier", "burst_buffer", "dsorter_mem_threshold")
_BUCKETS = ("input_bck", "output_bck")


def check(value: Any, uuid: str, targets: Sequence[str], config: DistributedSort, total_memory_bytes: int) -> SortTask:
    """The task for a request. Raise `BadRequest` naming what is wrong."""
    if isinstance(value, dict):  # a bucket without a name is none
        value = {key: item for key, item in value.items() if not (key in _BUCKETS and _is_nameless(item))}
    spec = codec.convert_strictly(value, SortSpec)
    if spec.input_bck is None or not spec.input_bck.name:
        raise BadRequest('[dsort] parse-spec: "input_bck" missing source bucket')
    source = _bck(spec.input_bck)
    to = _bck(spec.output_bck) if spec.output_bck is not None and spec.output_bck.name else source
    template = _check_input(spec)
    size = _size(spec.output_shard_size)
    input_extension = _extension("input", spec.input_extension or spec.extension, template)
    if spec.ekm_file:
        _check_url(spec.ekm_file)
        if spec.output_format.strip():
            raise BadRequest("[dsort] parse-spec: either output_format or ekm_file names the output shards, not both")
        if not size:
            raise BadRequest(_NO_SIZE)
    elif ShardNames(spec.output_format).count is None and not size:
        raise BadRequest(_NO_SIZE)
    output_extension = _extension("output", spec.output_extension or spec.extension, spec.output_format)
    _check_rest(spec)
    return SortTask(
        uuid=uuid,
        source=source,
        to=to,
        targets=list(targets),
        names=spec.input_format.names or None,
        template=template,
        input_extension=input_extension,
        output_format=spec.output_format.strip(),
        output_extension=output_extension or input_extension or Format.TAR.value,
        output_size=size,
        algorithm=_algorithm(spec.algorithm),
        description=spec.description,
        ekm_file=spec.ekm_file,
        ekm_separator=spec.ekm_file_sep or "\t",
        memory_bytes=_memory(
            spec.max_mem_usage or spec.config.default_max_mem_usage or config.default_max_mem_usage, total_memory_bytes
        ),
        extract_limit=spec.extract_limit,
        create_limit=spec.create_limit,
        dry_run=spec.dry_run,
        timeout_s=float(Duration.parse(spec.config.call_timeout or 0) or config.call_timeout),
        duplicated_records=_reaction("duplicated_records", spec, config),
        missing_shards=_reaction("missing_shards", spec, config),
        ekm_malformed_line=_reaction("ekm_malformed_line", spec, config),
        ekm_missing_key=_reaction("ekm_missing_key", spec, config),
    )


_NO_SIZE = "[dsort] parse-spec: output shard size must be set (cannot be 0 and cannot be omitted)"


def _is_nameless(value: object) -> bool:
    return isinstance(value, dict) and not value.get("name")


def _bck(given: Bck) -> Bck:
    return Bck.parse(given.name, given.provider, given.namespace.uname)


def _check_input(spec: SortSpec) -> str:
    """The template of the shards to read."""
    wanted = spec.input_format
    if wanted.names and wanted.template:
        raise BadRequest("[dsort] parse-spec: input_format is either a list or a template, not both")
    for name in wanted.names or ():
        names.check_object_name(name)
    names.check_object_prefix(templates.parse(wanted.template).prefix)
    return wanted.template


def _size(text: str) -> int:
    size = Size.parse(text) if text else 0
    return int(size)


def _extension(side: str, given: str, template: str) -> str:
    """The extension of shards, from what is given and what the template ends with; empty: not known."""
    by_name = formats.by_name(template)
    found = formats.by_mime(given) if given else None
    if found and by_name and found is not by_name:
        raise BadRequest(f'[dsort] parse-spec: {side}_extension: "{given}" vs "{by_name.value}" of the template')
    chosen = found or by_name
    if chosen is Format.TGZ and (given or template).lower().endswith(".tar.gz"):
        return ".tar.gz"
    return chosen.value if chosen else ""


def _algorithm(given: Algorithm) -> Algorithm:
    if given.kind not in ALGORITHMS:
        raise BadRequest(f"[dsort] parse-spec: invalid sorting algorithm (expecting one of: {list(ALGORITHMS)})")
    if given.seed and not (given.seed.isascii() and given.seed.isdigit() and len(given.seed) <= 19):
        raise BadRequest(f'[dsort] parse-spec: invalid seed "{given.seed[:40]}" (expecting integer value)')
    if given.kind != "content":
        return msgspec.structs.replace(given, kind=given.kind or "alphanumeric", content_key_type="string")
    extension = given.extension.strip()
    if not extension.startswith("."):
        raise BadRequest(f'[dsort] parse-spec: algorithm: invalid extension "{extension[:100]}"')
    if given.content_key_type not in CONTENT_KEY_TYPES:
        raise BadRequest(
            f'[dsort] parse-spec: invalid content sorting key "{given.content_key_type[:40]}", expecting one of:'
            " 'int', 'float', 'string'"
        )
    return msgspec.structs.replace(given, extension=extension)


def _check_url(url: str) -> None:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https", "ais") or not parts.netloc:
        raise BadRequest(
            f"[dsort] parse-spec: failed to parse ekm file ('ekm_file') URL \"{url[:200]}\": expected http://, https://"
            " or ais://bucket/object"
        )


def _reaction(name: str, spec: SortSpec, config: DistributedSort) -> str:
    found: str = getattr(spec.config, name) or getattr(config, name)
    if found not in _REACTIONS:
        raise BadRequest(f'[dsort] parse-spec: invalid {name} "{found[:40]}": expected one of {list(_REACTIONS)}')
    return found


def _memory(text: str, total_bytes: int) -> int:
    """Bytes, of a size or a share of the machine's memory."""
    if not text.strip().endswith("%"):
        return int(Size.parse(text))
    share = text.strip()[:-1]
    if not (share.isascii() and share.isdigit() and 0 < int(share[:4]) <= 100):
        raise BadRequest(f'[dsort] parse-spec: invalid max_mem_usage "{text[:40]}": write it like 60% or 10GB')
    return total_bytes * int(share) // 100


def _check_rest(spec: SortSpec) -> None:
    for what, limit in (("extract", spec.extract_limit), ("create", spec.create_limit)):
        if limit < 0:
            raise BadRequest(f"[dsort] parse-spec: negative concurrency limit ('{what}', {limit})")
    if spec.dsorter_type not in _SORTERS:
        raise BadRequest(
            f'[dsort] parse-spec: unknown dsorter_type "{spec.dsorter_type[:40]}": expected {_SORTERS[1:]}'
        )
    for name in _UNUSED:
        if getattr(spec.config, name):
            raise BadRequest(f"[dsort] parse-spec: {name} has no meaning here: leave it out")
