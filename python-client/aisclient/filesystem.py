"""`ais://bucket/name` for fsspec, and so for pandas, pyarrow, dask, DuckDB, zarr, xarray, Ray Data, Hugging Face.

    fsspec.open("ais://data/a.csv", endpoint="http://127.0.0.1:8080")

Without `endpoint` (and `token`, `ca_file`, ...) the environment tells: see `Settings.of`. Directories are what names
have in common up to a slash; an empty one does not exist. Nothing is remembered of listings.
"""

import email.utils
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Any

from fsspec.spec import AbstractBufferedFile, AbstractFileSystem

from aisclient.attributes import Entry, ObjectAttributes
from aisclient.buckets import NO_RECURSION
from aisclient.client import Client, Object
from aisclient.errors import ErrObjNotFound

BLOCK_BYTES = 8 << 20
AT_ONCE = 8
_PROPS = "name,size,checksum,version"


class AISFileSystem(AbstractFileSystem):
    """Paths are `bucket/name`. The options are those of `Client`."""

    protocol = "ais"
    root_marker = ""
    cachable = True
    sep = "/"

    def __init__(self, endpoint: str = "", **options: Any) -> None:
        settings = {key: options.pop(key) for key in list(options) if key in _SETTINGS}
        super().__init__(endpoint=endpoint, **settings, **options)
        self.client = Client(endpoint, **settings)

    @classmethod
    def _strip_protocol(cls, path: str | list[str]) -> str | list[str]:
        if isinstance(path, list):
            return [str(cls._strip_protocol(one)) for one in path]
        return str(path).removeprefix("ais://").strip("/") if path else ""

    def object(self, path: str) -> Object:
        """The object of a path. Raise `IsADirectoryError` for a bucket."""
        bucket, name = self._split(path)
        if not name:
            raise IsADirectoryError(path)
        return self.client.bucket(bucket).object(name)

    def ls(self, path: str, detail: bool = True, **options: Any) -> list[Any]:
        """What is directly below a path; of a file itself."""
        bucket, name = self._split(path)
        if not bucket:
            found = [_directory(bck.name) for bck in self.client.list_buckets()]
        else:
            below = self.client.bucket(bucket).list_objects_iter(f"{name}/" if name else "", _PROPS, flags=NO_RECURSION)
            found = [_info(bucket, entry) for entry in below if entry.name.rstrip("/") != name]
            if not found and name:
                found = [self.info(path)]
                if found[0]["type"] == "directory":
                    found = []
        return found if detail else [one["name"] for one in found]

    def info(self, path: str, **options: Any) -> dict[str, Any]:
        """Of a file or directory. Raise `FileNotFoundError`."""
        bucket, name = self._split(path)
        if not bucket:
            return _directory("")
        one = self.client.bucket(bucket)
        if not name:
            one.head()
            return _directory(bucket)
        try:
            attributes = one.object(name).head()
        except ErrObjNotFound:
            if one.list_objects(f"{name}/", "name", 1).entries:
                return _directory(f"{bucket}/{name}")
            raise
        return _info_of(f"{bucket}/{name}", attributes)

    def exists(self, path: str, **options: Any) -> bool:
        """Whether there is a file or directory."""
        try:
            self.info(path)
        except FileNotFoundError:
            return False
        return True

    def find(
        self, path: str, maxdepth: int | None = None, withdirs: bool = False, detail: bool = False, **options: Any
    ) -> Any:
        """All files below a path, by one listing."""
        bucket, name = self._split(path)
        prefix = options.pop("prefix", "")
        if not bucket or maxdepth is not None or withdirs or "*" in name:
            return super().find(path, maxdepth=maxdepth, withdirs=withdirs, detail=detail, **options)
        below = f"{name}/{prefix}" if name else prefix
        try:
            entries = self.client.bucket(bucket).list_objects_iter(below, _PROPS)
            found = {f"{bucket}/{entry.name}": _info(bucket, entry) for entry in entries if not entry.is_dir}
            if not found and name and not prefix:
                one = self.info(path)
                found = {one["name"]: one} if one["type"] == "file" else {}
        except FileNotFoundError:
            found = {}
        return found if detail else list(found)

    def mkdir(self, path: str, create_parents: bool = True, **options: Any) -> None:
        """Make the bucket. Directories need not be made. Raise `FileExistsError`."""
        bucket, name = self._split(path)
        if not name:
            self.client.bucket(bucket).create()
        elif create_parents:
            self.client.bucket(bucket).create(exist_ok=True)

    def makedirs(self, path: str, exist_ok: bool = False) -> None:
        """Make the bucket."""
        bucket, name = self._split(path)
        self.client.bucket(bucket).create(exist_ok=exist_ok or bool(name))

    def rmdir(self, path: str) -> None:
        """Remove an empty bucket. Raise `OSError` when there is something in it."""
        bucket, name = self._split(path)
        if name:
            return
        one = self.client.bucket(bucket)
        if one.list_objects(page_size=1, props="name").entries:
            raise OSError(f"bucket {bucket} is not empty")
        one.delete()

    def rm_file(self, path: str) -> None:
        """Delete an object."""
        self.object(path).delete()

    def _rm(self, path: str) -> None:
        self.rm_file(path)

    def rm(self, path: str | list[str], recursive: bool = False, maxdepth: int | None = None) -> None:
        """Delete objects, with `recursive` all below; buckets stay. Raise `FileNotFoundError`."""
        given = self.expand_path(path, recursive=recursive, maxdepth=maxdepth)
        files = [one for one in given if self._split(one)[1]]
        with ThreadPoolExecutor(AT_ONCE) as executor:
            for _ in executor.map(lambda one: self.object(one).delete(missing_ok=recursive), files):
                pass

    def cp_file(self, path1: str, path2: str, **options: Any) -> None:
        """Copy inside the cluster."""
        if self.isdir(path1):
            return
        self.object(path1).copy(self.object(path2))

    def cat_file(self, path: str, start: int | None = None, end: int | None = None, **options: Any) -> bytes:
        """The content or a part of it; negative numbers count from the end."""
        obj = self.object(path)
        if not start and end is None:
            return obj.get()
        if (start or 0) < 0 or (end or 0) < 0:
            size = obj.head("size").size
            start = max(0, size + start) if start is not None and start < 0 else start
            end = size + end if end is not None and end < 0 else end
        if end is not None and end <= (start or 0):
            return b""
        return obj.get(f"bytes={start or 0}-{'' if end is None else end - 1}")

    def cat_ranges(
        self,
        paths: list[str],
        starts: int | Iterable[int | None],
        ends: int | Iterable[int | None],
        max_gap: int | None = None,
        on_error: str = "return",
        **options: Any,
    ) -> list[bytes | Exception]:
        """Parts of many files, several at a time."""
        count = len(paths)
        firsts = [starts] * count if isinstance(starts, int) or starts is None else list(starts)
        lasts = [ends] * count if isinstance(ends, int) or ends is None else list(ends)

        def fetch(one: tuple[str, int | None, int | None]) -> bytes | Exception:
            try:
                return self.cat_file(*one)
            except Exception as error:
                if on_error == "return":
                    return error
                raise

        with ThreadPoolExecutor(AT_ONCE) as executor:
            return list(executor.map(fetch, zip(paths, firsts, lasts, strict=True)))

    def pipe_file(self, path: str, value: bytes, mode: str = "overwrite", **options: Any) -> None:
        """Store bytes."""
        obj = self.object(path)
        if mode == "create" and obj.exists():
            raise FileExistsError(path)
        obj.put(value)

    def put_file(self, lpath: str, rpath: str, callback: Any = None, mode: str = "overwrite", **options: Any) -> None:
        """Store a local file, in parts when it is large."""
        import os

        if os.path.isdir(lpath):
            return
        if mode == "create" and self.exists(rpath):
            raise FileExistsError(rpath)
        told = (lambda done, _: callback.absolute_update(done)) if callback is not None else None
        if callback is not None:
            callback.set_size(os.path.getsize(lpath))
        self.object(rpath).put_file(lpath, on_progress=told)

    def modified(self, path: str) -> datetime:
        """When it was written."""
        return email.utils.parsedate_to_datetime(self.object(path).head("last-modified").last_modified)

    def checksum(self, path: str) -> str:
        """Of an object: kind and value."""
        found = self.object(path).head("checksum")
        return f"{found.checksum_type}:{found.checksum_value}"

    ukey = checksum

    def _split(self, path: str) -> tuple[str, str]:
        bucket, _, name = str(self._strip_protocol(path)).partition("/")
        return bucket, name

    def _open(
        self,
        path: str,
        mode: str = "rb",
        block_size: int | None = None,
        autocommit: bool = True,
        cache_options: dict[str, Any] | None = None,
        **options: Any,
    ) -> "AISFile":
        if mode == "xb" and self.exists(path):
            raise FileExistsError(path)
        return AISFile(
            self, path, mode.replace("x", "w"), block_size or BLOCK_BYTES, autocommit, cache_options=cache_options,
            **options,
        )  # fmt: skip


class AISFile(AbstractBufferedFile):
    """A file that is read by ranges, or written in parts."""

    def __init__(self, fs: AISFileSystem, path: str, mode: str, *rest: Any, **options: Any) -> None:
        self._object = fs.object(path)
        self._upload: Any = None
        self._content: bytes | None = None
        self._part, self._handle = 0, ""
        super().__init__(fs, path, mode, *rest, **options)
        if mode == "ab":
            self.loc = self._object.head("size").size if self._object.exists() else 0

    def _fetch_range(self, start: int, end: int) -> bytes:
        return self._object.get(f"bytes={start}-{end - 1}") if end > start else b""

    def _initiate_upload(self) -> None:
        pass

    def _upload_chunk(self, final: bool = False) -> bool:
        data = self.buffer.getvalue()
        if self.mode == "ab":
            self._handle = self._object.get_writer().append_content(data, self._handle)
            if final:
                self._object.get_writer().append_content(b"", self._handle, flush=True)
            return True
        if final and self._upload is None:
            self._content = data
        else:
            if self._upload is None:
                self._upload = self._object.multipart_upload().create()
            if data or not self._part:
                self._part += 1
                self._upload.put(self._part, data)
        if final and self.autocommit:
            self.commit()
        return True

    def commit(self) -> None:
        """Make what was written the object."""
        if self._content is not None:
            self._object.put(self._content)
        elif self._upload is not None:
            self._upload.complete()
        self._content = self._upload = None

    def discard(self) -> None:
        """Forget what was written."""
        if self._upload is not None:
            self._upload.abort()
        self._content = self._upload = None


_SETTINGS = ("token", "ca_file", "cert_file", "key_file", "verify", "retry", "timeout_s", "connections")


def _directory(name: str) -> dict[str, Any]:
    return {"name": name, "size": 0, "type": "directory"}


def _info(bucket: str, entry: Entry) -> dict[str, Any]:
    name = f"{bucket}/{entry.name.rstrip('/')}"
    if entry.is_dir:
        return _directory(name)
    return {"name": name, "size": entry.size, "type": "file", "checksum": entry.checksum, "version": entry.version}


def _info_of(name: str, found: ObjectAttributes) -> dict[str, Any]:
    return {
        "name": name, "size": found.size, "type": "file", "checksum": found.checksum_value,
        "version": found.obj_version, "last_modified": found.last_modified,
    }  # fmt: skip
