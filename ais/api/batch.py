"""Get-batch on the wire (`wire.md` §13.6): what a client asks for, what the metadata part of an answer says."""

from collections.abc import Iterable
from hashlib import blake2b
from typing import Any

import msgspec

from ais.api import codec, pieces
from ais.api.bucket import Bck
from ais.base import names
from ais.base.errors import BadRequest

PATH = "/v1/ml/moss"
PART = "/v1/ml/moss-part"
"""Between targets: the entries that one of them owns (`Part`), as a stream (`ais.target.batch.frames`)."""
COLOCATION = "coloc"
"""Query parameter, and key of the body."""
ENTRIES_MAX = 1_000_000
BUCKETS_MAX = 10_000
TO_THE_END = -1
BUCKETS = "bcks"
"""Query parameter of a redirect, ours: `digest_of` the buckets that the client may read."""
MISSING = "__404__"
"""The directory, in an answer, of entries that could not be read."""


class Entry(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """One object, range of one, or file in a shard. `length` 0 with `start` 0: all of it; -1: up to the end."""

    name: str = msgspec.field(name="objname", default="")
    bucket: str = ""
    provider: str = ""
    uname: str = ""
    archpath: str = ""
    opaque: str = ""
    start: int = 0
    length: int = 0

    @property
    def full_name(self) -> str:
        """The object's name, with that of the file in it."""
        return f"{self.name}/{self.archpath}" if self.archpath else self.name

    def bck(self, default: Bck | None) -> Bck:
        """The bucket: the entry's own or that of the request. Raise `BadRequest` when there is none."""
        if self.bucket:
            return Bck.parse(self.bucket, self.provider, "")
        if default is None:
            raise BadRequest(f'missing bucket specification for object "{self.name[:200]}"')
        return default


class BatchMsg(msgspec.Struct, frozen=True):
    """The body of a request."""

    entries: list[Entry] = msgspec.field(name="in", default=[])
    mime: str = ".tar"
    continue_on_error: bool = msgspec.field(name="coer", default=False)
    only_names: bool = msgspec.field(name="onob", default=False)
    is_streaming: bool = msgspec.field(name="strm", default=False)
    colocation: int = msgspec.field(name="coloc", default=0)

    @classmethod
    def parse(cls, body: bytes) -> "BatchMsg":
        """Read and check a request. Raise `BadRequest`, `InvalidName`."""
        if not body.strip():
            raise BadRequest("get-batch: the request has no body, expected a JSON object with a list `in`")
        try:
            found = _decoded(body)  # as clients write it: three times as fast as matching keys in any case
        except (msgspec.DecodeError, msgspec.ValidationError, UnicodeDecodeError):
            found = codec.from_json(body, cls)
        if not found.entries:
            raise BadRequest("get-batch: empty input, name at least one object")
        if len(found.entries) > ENTRIES_MAX:
            raise BadRequest(f"get-batch: {len(found.entries)} entries, at most {ENTRIES_MAX}")
        for entry in found.entries:
            names.check_object_name(entry.name)
            _check_range(entry)
        return found


def buckets_of(entries: Iterable[Entry], default: Bck | None) -> tuple[list[Bck], frozenset[Bck]]:
    """The bucket of each entry, and which ones those are. Raise `BadRequest`: see `Entry.bck`; for too many."""
    known: dict[tuple[str, str], Bck] = {}
    found: list[Bck] = []
    for entry in entries:
        said = entry.bucket, entry.provider
        bck = known.get(said)
        if bck is None:
            if len(known) >= BUCKETS_MAX:
                raise BadRequest(f"get-batch: objects of more than {BUCKETS_MAX} buckets")
            bck = known[said] = entry.bck(default)
        found.append(bck)
    return found, frozenset(known.values())


def digest_of(bcks: Iterable[Bck]) -> str:
    """Names a set of buckets. The body that names them is not part of what a redirect's mark covers."""
    return blake2b("\n".join(sorted(bck.uname for bck in bcks)).encode(), digest_size=16).hexdigest()


class Out(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the metadata part says of one entry."""

    name: str = msgspec.field(name="objname")
    archpath: str = ""
    bucket: str = ""
    provider: str = ""
    error: str = msgspec.field(name="err_msg", default="")
    opaque: str = ""
    size: Any = None


class Result(msgspec.Struct, frozen=True):
    """The metadata part."""

    uuid: str
    out: list[Out]


class Part(msgspec.Struct, frozen=True, array_like=True):
    """Between targets: what to send. `buckets`: those that entries refer to by number."""

    buckets: list[tuple[str, str, str]]
    entries: list[tuple[int, str, str, int, int]]
    """Bucket, object, file in it, start, length."""
    only_sizes: bool = False


_decoder, _entries = msgspec.json.Decoder(BatchMsg), msgspec.json.Decoder(list[Entry])


def _decoded(body: bytes) -> BatchMsg:
    taken = pieces.take_apart(body, _entries)
    if taken is None or not isinstance(taken[0], dict) or taken[0].get("in") is not taken[1]:
        return _decoder.decode(body)
    around, entries = taken
    return msgspec.structs.replace(msgspec.convert({**around, "in": []}, BatchMsg), entries=entries)


def _check_range(entry: Entry) -> None:
    start, length = entry.start, entry.length
    if start < 0 or length < TO_THE_END or (start and not length):
        raise BadRequest(
            f'not satisfiable range [start={start},length={length} (oname: "{entry.name[:200]}")]: a start needs a'
            " length, -1 for all that follows"
        )
