"""NATS with JetStream: https://docs.nats.io/reference/reference-protocols/nats-protocol."""

import asyncio
import json
import ssl
from typing import Any

from harness.brokers.server import Refused, Server

STREAM = "s3.events"
"""The subject that the one stream takes."""


class Nats(Server):
    """`said`: what clients said of themselves."""

    kind = "nats"

    def __init__(self, **more: Any) -> None:
        super().__init__(**more)
        self.said: list[dict[str, Any]] = []
        self.asks_for_tls = self.tls is not None

    @property
    def url(self) -> str:  # type: ignore[override]
        return f"nats://127.0.0.1:{self.port}/{STREAM}"

    @property
    def context(self) -> ssl.SSLContext | None:
        return None  # it begins in plain, and asks for TLS

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        info = {
            "server_id": "test", "version": "2.10.0", "headers": True, "max_payload": 1 << 20, "jetstream": True,
            "tls_required": self.asks_for_tls, "auth_required": bool(self.user),
        }  # fmt: skip
        writer.write(b"INFO %b\r\n" % json.dumps(info).encode())
        if self.asks_for_tls and self.tls is not None:
            await writer.start_tls(self.tls)
        subscriptions: dict[bytes, bytes] = {}
        while line := await reader.readline():
            verb, *words = line.split()
            if verb == b"CONNECT":
                self._connect(json.loads(line.partition(b" ")[2]), writer)
            elif verb == b"PING":
                writer.write(b"PONG\r\n")
            elif verb == b"SUB":
                subscriptions[words[0].rstrip(b"*")] = words[-1]
            elif verb == b"PUB":
                subject, reply, size = words
                body = (await reader.readexactly(int(size) + 2))[:-2]
                sid = next(sid for prefix, sid in subscriptions.items() if reply.startswith(prefix))
                writer.write(self._answer(subject.decode(), body, reply, sid))
            elif verb not in (b"PONG", b"UNSUB"):
                raise Refused

    def _connect(self, said: dict[str, Any], writer: asyncio.StreamWriter) -> None:
        self.said.append(said)
        if self.user and not self.is_known(said.get("user", ""), said.get("pass", "")):
            writer.write(b"-ERR 'Authorization Violation'\r\n")
            raise Refused

    def _answer(self, subject: str, body: bytes, reply: bytes, sid: bytes) -> bytes:
        if subject != STREAM:
            head = b"NATS/1.0 503\r\n\r\n"
            return b"HMSG %b %b %d %d\r\n%b\r\n" % (reply, sid, len(head), len(head), head)
        answer: dict[str, Any] = {"stream": "S3", "seq": len(self.records) + 1}
        if not self.keep(body):
            answer = {"error": {"code": 503, "err_code": 10077, "description": "maximum messages exceeded"}}
        text = json.dumps(answer).encode()
        return b"MSG %b %b %d\r\n%b\r\n" % (reply, sid, len(text), text)
