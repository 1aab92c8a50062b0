"""Uploads in parts, native and S3, as a client makes them."""

import contextlib
import json
import random
import re

from harness.faults.family import ObjectFamily
from harness.faults.gateway import Refused, Unknown
from harness.faults.web import Answer


class Upload:
    """An upload in parts; a part that fails is sent again a few times."""

    is_s3 = False
    custom: tuple[tuple[str, str], ...] = ()

    def __init__(self, objects: ObjectFamily, source: random.Random, key: int) -> None:
        self._objects, self._source, self._key = objects, source, key
        self._upload_id = ""
        self._etags: dict[int, str] = {}

    async def start(self) -> bool:
        """Whether it began. Raise `Refused` or `Unknown`."""
        raise NotImplementedError

    async def part(self, number: int, data: bytes) -> bool:
        """Whether the part is there."""
        for _ in range(4):
            try:
                answer = await self._send_part(number, data)
            except (Refused, Unknown):
                continue
            if answer.status != 200:
                raise self._objects.book.violation(self._objects.names, f"part {number} of an open upload -> {answer}")
            self._etags[number] = answer.headers.get("etag", "")
            return True
        return False

    async def _send_part(self, number: int, data: bytes) -> Answer:
        raise NotImplementedError

    async def complete(self, is_conditional: bool) -> Answer:
        """Make the object of the parts, `is_conditional`: only if there is none. Raise `Refused` or `Unknown`."""
        raise NotImplementedError

    async def abort(self) -> None:
        """Forget the upload."""
        raise NotImplementedError


class NativeUpload(Upload):
    """mpt-upload and what follows."""

    async def start(self) -> bool:
        answer = await self._call("POST", {}, {"action": "mpt-upload"})
        self._upload_id = answer.body.decode()
        return answer.status == 200

    async def _send_part(self, number: int, data: bytes) -> Answer:
        objects = self._objects
        query = {"uploadId": self._upload_id, "partNumber": str(number)}
        return await objects.gateway.object(
            self._source, "PUT", objects.bucket, objects.keys[self._key], query, body=data
        )

    async def complete(self, is_conditional: bool) -> Answer:
        value = [{"part-number": number, "etag": etag} for number, etag in sorted(self._etags.items())]
        return await self._call("POST", {"uploadId": self._upload_id}, {"action": "mpt-complete", "value": value})

    async def abort(self) -> None:
        with contextlib.suppress(Refused, Unknown):
            await self._call("DELETE", {"uploadId": self._upload_id}, {"action": "mpt-abort"})

    async def _call(self, method: str, query: dict[str, str], message: object) -> Answer:
        objects, body = self._objects, json.dumps(message).encode()
        return await objects.gateway.object(
            self._source, method, objects.bucket, objects.keys[self._key], query, body=body
        )


class S3Upload(Upload):
    """CreateMultipartUpload and what follows."""

    is_s3 = True

    async def start(self) -> bool:
        answer = await self._call("POST", "uploads")
        found = re.search(rb"<UploadId>([^<]*)", answer.body)
        if answer.status != 200 or not found:
            return False
        self._upload_id = found[1].decode()
        return True

    async def _send_part(self, number: int, data: bytes) -> Answer:
        return await self._call("PUT", f"partNumber={number}&uploadId={self._upload_id}", data)

    async def complete(self, is_conditional: bool) -> Answer:
        parts = "".join(
            f"<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag></Part>"
            for number, etag in sorted(self._etags.items())
        )
        body = f"<CompleteMultipartUpload>{parts}</CompleteMultipartUpload>".encode()
        headers = {"If-None-Match": "*"} if is_conditional else {}
        answer = await self._call("POST", f"uploadId={self._upload_id}", body, headers)
        if answer.status == 200 and b"<Error>" in answer.body:
            raise Unknown(answer.body[:300].decode())
        return answer

    async def abort(self) -> None:
        with contextlib.suppress(Refused, Unknown):
            await self._call("DELETE", f"uploadId={self._upload_id}")

    async def _call(
        self, method: str, query: str, body: bytes | None = None, headers: dict[str, str] | None = None
    ) -> Answer:
        objects = self._objects
        return await objects.gateway.s3(
            self._source, method, objects.bucket, objects.keys[self._key], query, headers, body
        )
