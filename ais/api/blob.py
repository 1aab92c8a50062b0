"""Blob download: a large object of a remote bucket fetched in parts, several at a time (`wire.md` §10.9)."""

import msgspec

from ais.api.bucket import Bck
from ais.base.errors import BadRequest
from ais.base.units import Size

KIND = "blob-download"
BLOBS = "/v1/blobs"
"""Between nodes: start the job on the target that owns the object. Answers the job's ID, or nothing: it is here."""
PARTS_MAX = 10_000
"""Of an upload in parts, as S3 has it."""
CHUNK_BYTES = 4 << 20
CHUNK_BYTES_MIN, CHUNK_BYTES_MAX = 32 << 10, 1 << 30
WORKERS, WORKERS_MAX = 4, 128


class BlobMsg(msgspec.Struct, frozen=True):
    """The value of `blob-download`. 0: the default. `full_size` is looked at no more: the backend tells."""

    chunk_size: int = msgspec.field(name="chunk-size", default=0)
    full_size: int = msgspec.field(name="full-size", default=0)
    chunk_read_timeout: str = msgspec.field(name="chunk-read-timeout", default="")
    workers: int = msgspec.field(name="num-workers", default=0)
    latest: bool = msgspec.field(name="latest-ver", default=False)


class Parts(msgspec.Struct, frozen=True):
    """How an object is fetched: in parts of so many bytes, so many at a time."""

    chunk_bytes: int = CHUNK_BYTES
    workers: int = WORKERS

    @classmethod
    def of(cls, chunk_bytes: int, workers: int) -> "Parts":
        """From what a client says: 0 for the default, -1 for one worker. Raise `BadRequest`."""
        if chunk_bytes and not CHUNK_BYTES_MIN <= chunk_bytes <= CHUNK_BYTES_MAX:
            least, most = Size(CHUNK_BYTES_MIN), Size(CHUNK_BYTES_MAX)
            raise BadRequest(f"invalid chunk size {chunk_bytes}: expected {least} to {most}")
        if not -1 <= workers <= WORKERS_MAX:
            raise BadRequest(f"invalid number of workers {workers}: expected -1 to {WORKERS_MAX}")
        return cls(chunk_bytes or CHUNK_BYTES, 1 if workers < 0 else workers or WORKERS)


class BlobTask(msgspec.Struct, frozen=True):
    """What the target is told, and keeps: it goes on with the same upload after a restart."""

    uuid: str
    bck: Bck
    name: str
    parts: Parts = Parts()
    latest: bool = False
    upload_id: str = ""
