"""Filling output shards with sorted records."""

from collections.abc import Iterable, Iterator

from ais.api.dsort import Placed, Record
from ais.base.errors import BadRequest
from ais.dsort.keymap import KeyMap, React
from ais.dsort.names import ShardNames
from ais.shard import formats

HEADER_BYTES = 512
"""Of a file in a shard."""


def in_order(
    records: Iterable[Record], template: str, extension: str, size_bytes: int, total_bytes: int
) -> Iterator[Placed]:
    """Shards one after the other, each as soon as it holds `size_bytes` (0: so that all names are used).

    Raise `BadRequest` when there are more shards than names.
    """
    names = ShardNames(template)
    if not size_bytes:
        size_bytes = max(1, -(-total_bytes // (names.count or 1)))
    found = iter(names)
    name, number, place, size = "", -1, 0, 0
    for record in records:
        if not name:
            name, number, place, size = _next(found, template, names.count, extension), number + 1, 0, 0
        yield Placed(number, place, name, record)
        place, size = place + 1, size + record.size
        if size >= size_bytes:
            name = ""


def by_key_map(
    records: Iterable[Record], keys: KeyMap, extension: str, size_bytes: int, react: React
) -> Iterator[Placed]:
    """Shards of each template one after the other. Raise `BadRequest`, and what `react` raises."""
    names = [ShardNames(template) for template in keys.templates]
    found = [iter(one) for one in names]
    open_shards: dict[int, tuple[str, int, int, int]] = {}
    count = 0
    for record in records:
        try:
            which = keys.find(record.name, [record.name + part.extension for part in record.parts])
        except BadRequest as error:
            react("ekm_missing_key", str(error))
            continue
        if which not in open_shards:
            name = _next(found[which], keys.templates[which], names[which].count, extension)
            open_shards[which] = (name, count, 0, 0)
            count += 1
        name, number, place, size = open_shards[which]
        yield Placed(number, place, name, record)
        size += record.size + HEADER_BYTES * len(record.parts)
        if size > size_bytes:
            del open_shards[which]
        else:
            open_shards[which] = (name, number, place + 1, size)


def _next(found: Iterator[str], template: str, count: int | None, extension: str) -> str:
    name = next(found, None)
    if name is None:
        raise BadRequest(
            f'"{template[:200]}" names {count} shards, and more are needed: set a larger output_shard_size'
        )
    return name if formats.by_name(name) else name + extension
