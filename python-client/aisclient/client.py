"""The blocking client; its calls read as AIStore's SDK where the thing is the same. Threads may share one.

client = Client("http://127.0.0.1:8080")
bucket = client.bucket("data").create(exist_ok=True)
bucket.object("a").get_writer().put_content(b"content")
bucket.object("a").get_reader().read_all()
"""

import io
import os
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from types import TracebackType
from typing import Any, Self, TypeVar

from aisclient.aio import AsyncClient
from aisclient.attributes import Entry, ObjectAttributes, Page
from aisclient.body import Content, OnProgress
from aisclient.buckets import AsyncBucket
from aisclient.clustermap import ClusterMap
from aisclient.driver import BlockingDriver, run
from aisclient.names import Bck
from aisclient.objects import PROPS, AsyncObject
from aisclient.parallel import PART_BYTES, UPLOAD_PART_BYTES
from aisclient.settings import Settings
from aisclient.uploads import Upload

T = TypeVar("T")


class Client:
    """A cluster. The arguments are those of `Settings.of`. It can be pickled, and used after a fork."""

    def __init__(self, endpoint: str = "", **settings: Any) -> None:
        self._set_up(Settings.of(endpoint, **settings))

    def _set_up(self, settings: Settings) -> None:
        self.settings = settings
        self._client = AsyncClient.on(BlockingDriver(), settings)

    def __reduce__(self) -> tuple[Any, ...]:
        return _client_of, (self.settings,)

    def bucket(self, bck_name: str, provider: str = "ais", namespace: str = "") -> "Bucket":
        """A bucket, there or not. Raise `ValueError` for a name that none can have."""
        return Bucket(self, self._client.bucket(bck_name, provider, namespace))

    def get_object_from_url(self, url: str) -> "Object":
        """The object of `ais://bucket/name`. Raise `ValueError`."""
        return Object(self, self._client.get_object_from_url(url))

    def list_buckets(self, provider: str = "ais") -> list[Bck]:
        """All buckets of a provider; of every one when it is empty."""
        return run(self._client.list_buckets(provider))

    def cluster_map(self) -> ClusterMap:
        """The cluster map as it is now."""
        return run(self._client.cluster_map())

    def close(self) -> None:
        """Close idle connections."""
        run(self._client.aclose())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _client_of(settings: Settings) -> Client:
    client = Client.__new__(Client)
    client._set_up(settings)
    return client


class Bucket:
    """Made by `Client.bucket`."""

    def __init__(self, client: Client, bucket: AsyncBucket) -> None:
        self.client, self._bucket = client, bucket

    def __reduce__(self) -> tuple[Any, ...]:
        return Client.bucket, (self.client, self.name, self.bck.provider, self.bck.namespace)

    @property
    def bck(self) -> Bck:
        return self._bucket.bck

    @property
    def name(self) -> str:
        return self._bucket.name

    def object(self, name: str) -> "Object":
        """An object of it, there or not. Raise `ValueError` for an empty name."""
        return Object(self.client, self._bucket.object(name))

    def create(self, exist_ok: bool = False, *, props: dict[str, Any] | None = None) -> Self:
        """Make it; `props` are properties such as `{"mirror": {"enabled": True}}`. Raise `ErrBckAlreadyExists`."""
        run(self._bucket.create(exist_ok=exist_ok, props=props))
        return self

    def delete(self, missing_ok: bool = False) -> None:
        """Remove it with all its objects. Raise `ErrBckNotFound` unless `missing_ok`."""
        run(self._bucket.delete(missing_ok=missing_ok))

    def head(self) -> dict[str, Any]:
        """Its properties. Raise `ErrBckNotFound`."""
        return run(self._bucket.head())

    def exists(self) -> bool:
        """Whether it is there."""
        return run(self._bucket.exists())

    def list_objects(self, prefix: str = "", props: str = "", page_size: int = 0, **more: Any) -> Page:
        """One page; see `AsyncBucket.list_objects`."""
        return run(self._bucket.list_objects(prefix, props, page_size, **more))

    def list_objects_iter(
        self, prefix: str = "", props: str = "", page_size: int = 0, *, start_after: str = "", flags: int = 0
    ) -> Iterator[Entry]:
        """All entries, page by page."""
        return iterate(self._bucket.list_objects_iter(prefix, props, page_size, start_after=start_after, flags=flags))

    def list_all_objects(self, prefix: str = "", props: str = "", page_size: int = 0, **more: Any) -> list[Entry]:
        """All entries."""
        return list(self.list_objects_iter(prefix, props, page_size, **more))

    def get_many(
        self, names: Iterable[str], *, missing_ok: bool = False, ahead: int = 3
    ) -> Iterator[tuple[str, bytes | None]]:
        """Name and content of many objects, in the order of `names`; see `AsyncBucket.get_many`."""
        return iterate(self._bucket.get_many(names, missing_ok=missing_ok, ahead=ahead))


class Object:
    """Made by `Bucket.object`."""

    __slots__ = ("_object", "client")

    def __init__(self, client: Client, obj: AsyncObject) -> None:
        self.client, self._object = client, obj

    def __reduce__(self) -> tuple[Any, ...]:
        return _object_of, (self.client, self._object.bck, self.name)

    @property
    def name(self) -> str:
        return self._object.name

    @property
    def bck(self) -> Bck:
        return self._object.bck

    @property
    def url(self) -> str:
        """`ais://bucket/name`."""
        return self._object.url

    def get(self, byte_range: str = "", *, archpath: str = "", verify: bool = True) -> bytes:
        """The content; see `AsyncObject.get`."""
        return run(self._object.get(byte_range, archpath=archpath, verify=verify))

    def read_into(self, buffer: bytearray | memoryview, start: int = 0, *, verify: bool = True) -> int:
        """Fill `buffer` with what begins at byte `start`; how many bytes there were."""
        return run(self._object.read_into(buffer, start, verify=verify))

    def put(
        self,
        content: Content,
        *,
        size: int | None = None,
        custom_metadata: Mapping[str, str] | None = None,
        on_progress: OnProgress | None = None,
    ) -> ObjectAttributes:
        """Store it; see `AsyncObject.put`."""
        return run(
            self._object.put(content, size=size, custom_metadata=custom_metadata, on_progress=on_progress)
        )  # fmt: skip

    def put_file(self, path: str | os.PathLike[str], **options: Any) -> ObjectAttributes:
        """Store a file; see `AsyncObject.put_file`."""
        return run(self._object.put_file(path, **options))

    def download(self, path: str | os.PathLike[str], **options: Any) -> ObjectAttributes:
        """Write the content to a file; see `AsyncObject.download`."""
        return run(self._object.download(path, **options))

    def get_reader(
        self, *, byte_range: str = "", archpath: str = "", num_workers: int = 1, chunk_size: int = 1 << 20
    ) -> "Reader":
        """A way to read it: `read_all()`, iterate, or `as_file()`. With `num_workers`, by ranged reads at a time."""
        return Reader(self._object, byte_range, archpath, num_workers, chunk_size)

    def get_writer(self) -> "Writer":
        """A way to write it."""
        return Writer(self._object)

    def head(self, props: str = PROPS) -> ObjectAttributes:
        """Raise `ErrObjNotFound`, `ErrBckNotFound`."""
        return run(self._object.head(props))

    def exists(self) -> bool:
        """Raise `ErrBckNotFound`."""
        return run(self._object.exists())

    def delete(self, missing_ok: bool = False) -> None:
        """Raise `ErrObjNotFound` unless `missing_ok`, `ErrBckNotFound`."""
        run(self._object.delete(missing_ok=missing_ok))

    def copy(self, to: "Object") -> None:
        """Copy it inside the cluster."""
        run(self._object.copy(to._object))

    def rename(self, to: str) -> None:
        """Give it another name in its bucket."""
        run(self._object.rename(to))

    def multipart_upload(self) -> "MultipartUpload":
        """An upload in parts that is not under way yet."""
        return MultipartUpload(self._object.multipart_upload())


def _object_of(client: Client, bck: Bck, name: str) -> Object:
    return client.bucket(bck.name, bck.provider, bck.namespace).object(name)


class Reader:
    """Made by `Object.get_reader`."""

    def __init__(self, obj: AsyncObject, byte_range: str, archpath: str, num_workers: int, chunk_size: int) -> None:
        if num_workers > 1 and (byte_range or archpath):
            raise ValueError("num_workers reads whole objects: without byte_range and archpath")
        self._object, self._byte_range, self._archpath = obj, byte_range, archpath
        self._num_workers, self._chunk_size = num_workers, chunk_size

    def read_all(self) -> bytes | bytearray:
        """All of it, verified."""
        if self._num_workers > 1:
            return run(self._object.get_parallel(num_workers=self._num_workers))
        return run(self._object.get(self._byte_range, archpath=self._archpath))

    def __iter__(self) -> Iterator[bytes]:
        return iterate(
            self._object.stream(self._byte_range, archpath=self._archpath, piece_bytes=self._chunk_size)
        )  # fmt: skip

    def as_file(self) -> io.BufferedIOBase:
        """A file to read from beginning to end; it goes on after a broken connection."""
        return io.BufferedReader(_Stream(iter(self)), self._chunk_size)

    @property
    def attributes(self) -> ObjectAttributes:
        """What the cluster knows of the object now."""
        return run(self._object.head())


class _Stream(io.RawIOBase):
    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces, self._rest = pieces, memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if not self._rest:
            self._rest = memoryview(next(self._pieces, b""))
        count = min(len(buffer), len(self._rest))
        buffer[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        return count


class Writer:
    """Made by `Object.get_writer`."""

    def __init__(self, obj: AsyncObject) -> None:
        self._object = obj

    def put_content(self, content: Content) -> ObjectAttributes:
        """Store bytes, a binary file from where it stands, or pieces."""
        return run(self._object.put(content))

    def put_file(self, path: str | os.PathLike[str], **options: Any) -> ObjectAttributes:
        """Store a file; see `AsyncObject.put_file`."""
        return run(self._object.put_file(path, **options))

    def append_content(self, content: bytes, handle: str = "", flush: bool = False) -> str:
        """Add bytes to what will be the object, or with `flush` make it the object; the handle for the next call."""
        if flush:
            run(self._object.flush(handle))
            return ""
        return run(self._object.append(content, handle))

    def set_custom_props(self, custom_metadata: Mapping[str, str], replace_existing: bool = False) -> None:
        """Add custom metadata, or replace all there is."""
        run(self._object.set_custom_props(custom_metadata, replace_existing=replace_existing))


class MultipartUpload:
    """Made by `Object.multipart_upload`."""

    def __init__(self, upload: Upload) -> None:
        self._upload = upload

    def create(self) -> Self:
        """Begin."""
        run(self._upload.create())
        return self

    def put(self, part_number: int, content: bytes) -> None:
        """Send a part with its checksum, from 1 on; one that is there is replaced."""
        run(self._upload.put(part_number, content))

    def complete(self) -> None:
        """Make the object of the parts sent."""
        run(self._upload.complete())

    def abort(self) -> None:
        """Forget the upload and its parts."""
        run(self._upload.abort())


def iterate(source: AsyncIterator[T]) -> Iterator[T]:
    """What an asynchronous iterator of the blocking driver yields."""
    try:
        while True:
            try:
                yield run(_next(source))
            except StopAsyncIteration:
                return
    finally:
        close = getattr(source, "aclose", None)
        if close is not None:
            run(close())


async def _next(source: AsyncIterator[T]) -> T:
    return await anext(source)


__all__ = ["PART_BYTES", "UPLOAD_PART_BYTES", "Bucket", "Client", "MultipartUpload", "Object", "Reader", "Writer"]
