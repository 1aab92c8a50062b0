"""A bucket: made, described, listed, removed. Written once for both drivers."""

from collections.abc import AsyncGenerator, Iterable
from typing import Any

import msgspec

from aisclient import batch
from aisclient.attributes import Entry, Page, decode_page, message
from aisclient.driver import Driver
from aisclient.errors import AISError, ErrBckAlreadyExists, ErrBckNotFound
from aisclient.names import Bck
from aisclient.objects import AsyncObject
from aisclient.transport import Transport

NO_RECURSION = 1 << 11
_MSGPACK = b"Accept: application/msgpack\r\n"


class AsyncBucket:
    """Made by `AsyncClient.bucket`."""

    def __init__(self, transport: Transport, bck: Bck) -> None:
        self.transport, self.bck = transport, bck

    @property
    def driver(self) -> Driver:
        """How it waits."""
        return self.transport.driver

    @property
    def name(self) -> str:
        return self.bck.name

    def object(self, name: str) -> AsyncObject:
        """An object of it, there or not. Raise `ValueError` for an empty name."""
        if not name:
            raise ValueError("the name of an object is empty")
        return AsyncObject(self.transport, self.bck, name)

    async def create(self, *, exist_ok: bool = False, props: dict[str, Any] | None = None) -> None:
        """Make it; `props` are properties such as `{"mirror": {"enabled": True}}`. Raise `ErrBckAlreadyExists`."""
        body = message("create-bck", "", props)
        try:
            await self.transport.call("POST", self._target, message=body, is_repeatable=False)
        except ErrBckAlreadyExists:
            if not exist_ok:
                raise

    async def delete(self, *, missing_ok: bool = False) -> None:
        """Remove it with all its objects. Raise `ErrBckNotFound` unless `missing_ok`."""
        try:
            await self.transport.call("DELETE", self._target, message=message("destroy-bck"), is_repeatable=True)
        except ErrBckNotFound:
            if not missing_ok:
                raise

    async def head(self) -> dict[str, Any]:
        """Its properties. Raise `ErrBckNotFound`."""
        answer = await self.transport.send("HEAD", self._target, is_repeatable=True)
        found: dict[str, Any] = msgspec.json.decode(answer.headers.get("ais-bucket-props", "{}"))
        return found

    async def exists(self) -> bool:
        """Whether it is there."""
        try:
            await self.head()
        except ErrBckNotFound:
            return False
        return True

    async def list_objects(
        self,
        prefix: str = "",
        props: str = "",
        page_size: int = 0,
        *,
        uuid: str = "",
        continuation_token: str = "",
        start_after: str = "",
        flags: int = 0,
    ) -> Page:
        """One page. `props`: comma-separated, of `name size checksum atime version location copies custom`."""
        value: dict[str, Any] = {
            "prefix": prefix, "props": props, "pagesize": page_size, "uuid": uuid, "flags": str(flags),
            "continuation_token": continuation_token, "start_after": start_after,
        }  # fmt: skip
        answer = await self.transport.call(
            "GET", self._target, message=message("list", "", value), headers=_MSGPACK, is_repeatable=True
        )
        try:
            return decode_page(answer)
        except msgspec.DecodeError as error:
            raise AISError(f"{self.bck.url}: the listing cannot be read: {error}") from None

    async def list_objects_iter(
        self, prefix: str = "", props: str = "", page_size: int = 0, *, start_after: str = "", flags: int = 0
    ) -> AsyncGenerator[Entry]:
        """All entries, page by page."""
        page = await self.list_objects(prefix, props, page_size, start_after=start_after, flags=flags)
        while True:
            for entry in page.entries:
                yield entry
            if not page.token:
                return
            page = await self.list_objects(
                prefix, props, page_size, uuid=page.uuid, continuation_token=page.token, flags=flags
            )

    def get_many(
        self, names: Iterable[str], *, missing_ok: bool = False, ahead: int = 3
    ) -> AsyncGenerator[tuple[str, bytes | None]]:
        """Name and content of many objects, in the order of `names`, which are taken as they are needed. `ahead`: how
        many batches, of some 16 MiB each, are on their way; content of a missing object is None if `missing_ok`.

        Batches carry no checksums of single objects; `get` verifies. Raise `ErrObjNotFound`, `ErrBckNotFound`.
        """
        return batch.get_many(self, names, ahead, missing_ok=missing_ok)

    @property
    def _target(self) -> str:
        return f"{self.bck.path}?{self.bck.query}"
