"""Kafka, one server of it: https://kafka.apache.org/protocol. aiokafka reads and writes its messages."""

import asyncio
import io
import struct
from typing import Any

from aiokafka.protocol.admin import (
    ApiVersionRequest_v0,
    SaslAuthenticateRequest_v0,
    SaslHandShakeRequest_v1,
)
from aiokafka.protocol.api import RequestStruct
from aiokafka.protocol.metadata import MetadataRequest_v4
from aiokafka.protocol.produce import ProduceRequest_v7
from aiokafka.protocol.types import Int16, Int32, String
from aiokafka.record import MemoryRecords

from harness.brokers.server import Refused, Server

TOPIC = "s3"
PARTITIONS = 3
_SERVED = {
    (one.API_KEY, one.API_VERSION): one
    for one in (
        *(ApiVersionRequest_v0, MetadataRequest_v4, ProduceRequest_v7, SaslHandShakeRequest_v1),
        SaslAuthenticateRequest_v0,
    )
}
_UNKNOWN_TOPIC, _NOT_PERMITTED, _WRONG_PASSWORD = 3, 29, 58


class Kafka(Server):
    """`partitions`: the number of the partition of each message, by the message's key."""

    kind = "kafka"

    def __init__(self, **more: Any) -> None:
        super().__init__(**more)
        self.partitions: dict[str, set[int]] = {}

    @property
    def url(self) -> str:  # type: ignore[override]
        return f"kafka://127.0.0.1:{self.port}/{TOPIC}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        is_known = not self.user
        while True:
            (size,) = struct.unpack(">i", await reader.readexactly(4))
            frame = io.BytesIO(await reader.readexactly(size))
            key, version, number = Int16.decode(frame), Int16.decode(frame), Int32.decode(frame)
            String("utf-8").decode(frame)
            asked = _SERVED[key, version]
            request = asked.decode(frame)
            fields = self._answer(request, is_known=is_known)
            if asked is SaslAuthenticateRequest_v0:
                is_known = fields[0] == 0
            answer = Int32.encode(number) + asked.RESPONSE_TYPE(*fields).encode()
            writer.write(struct.pack(">i", len(answer)) + answer)

    def _answer(self, request: RequestStruct, *, is_known: bool) -> tuple[Any, ...]:
        if isinstance(request, ApiVersionRequest_v0):
            return 0, [(key, version, version) for key, version in _SERVED]
        if isinstance(request, SaslHandShakeRequest_v1):
            return 0, ["PLAIN"]
        if isinstance(request, SaslAuthenticateRequest_v0):
            _, user, password = request.get_item("sasl_auth_bytes").decode().split("\0")
            return (0, "", b"") if self.is_known(user, password) else (_WRONG_PASSWORD, "wrong password", b"")
        if not is_known:
            raise Refused
        if isinstance(request, MetadataRequest_v4):
            return self._metadata(request.get_item("topics"))
        return [(topic, [self._keep(*one) for one in found]) for topic, found in request.get_item("topics")], 0

    def _metadata(self, topics: list[str] | None) -> tuple[Any, ...]:
        partitions = [(0, number, 1, [1], [1]) for number in range(PARTITIONS)]
        found = [
            (0, topic, False, partitions) if topic == TOPIC else (_UNKNOWN_TOPIC, topic, False, [])
            for topic in ([TOPIC] if topics is None else topics)
        ]
        return 0, [(1, "127.0.0.1", self.port, None)], "test", 1, found

    def _keep(self, partition: int, records: bytes) -> tuple[int, int, int, int, int]:
        batches, code = MemoryRecords(records), 0
        while (batch := batches.next_batch()) is not None:
            assert batch.validate_crc()
            for record in batch:
                self.partitions.setdefault(record.key.decode(), set()).add(partition)
                if not self.keep(record.value):
                    code = _NOT_PERMITTED
        return partition, code, len(self.records), -1, 0
