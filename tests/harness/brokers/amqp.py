"""AMQP 0-9-1 with confirms (https://www.rabbitmq.com/docs/confirms). pamqp reads and writes its frames."""

import asyncio
from typing import Any

from pamqp import commands, frame
from pamqp.base import Frame

from harness.brokers.server import Server

QUEUE = "s3"
EXCHANGE = "events"
"""It has the queue for this routing key."""
_OPEN = commands.Connection.Start(
    server_properties={"capabilities": {"publisher_confirms": True, "basic.nack": True}}, mechanisms="PLAIN"
)


class Amqp(Server):
    """Messages come to `QUEUE` by the exchange without a name, or by `EXCHANGE`."""

    kind = "amqp"

    def __init__(self, **more: Any) -> None:
        super().__init__(**{"user": "guest", "password": "guest", **more})
        self.durable: list[bool] = []

    @property
    def url(self) -> str:  # type: ignore[override]
        return f"amqp://127.0.0.1:{self.port}/?routing_key={QUEUE}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert await reader.readexactly(8) == b"AMQP\0\0\x09\x01"
        writer.write(frame.marshal(_OPEN, 0))
        published: list[Any] = []
        number = 0
        while True:
            head = await reader.readexactly(7)
            rest = await reader.readexactly(int.from_bytes(head[3:], "big") + 1)
            _, channel, came = frame.unmarshal(head + rest)
            if published or isinstance(came, commands.Basic.Publish):
                published.append(came)
                if len(published) == 3:
                    number += 1
                    for answer in self._take(published, number):
                        writer.write(answer if isinstance(answer, bytes) else frame.marshal(answer, channel))
                    published = []
            elif (reply := self._reply(came)) is not None:
                writer.write(frame.marshal(reply, channel))
                if isinstance(reply, commands.Connection.Close | commands.Connection.CloseOk):
                    return

    def _reply(self, came: Any) -> Frame | None:
        if isinstance(came, commands.Connection.StartOk):
            _, user, password = came.response.split("\0")
            if self.is_known(user, password):
                return commands.Connection.Tune(2047, 131072, 60)
            return commands.Connection.Close(403, "ACCESS_REFUSED - Login was refused", 0, 0)
        if isinstance(came, commands.Exchange.Declare) and came.exchange != EXCHANGE:
            return commands.Channel.Close(404, f"NOT_FOUND - no exchange '{came.exchange}'", 40, 10)
        done = {
            commands.Connection.Open: commands.Connection.OpenOk,
            commands.Connection.Close: commands.Connection.CloseOk,
            commands.Channel.Open: commands.Channel.OpenOk,
            commands.Channel.Close: commands.Channel.CloseOk,
            commands.Confirm.Select: commands.Confirm.SelectOk,
            commands.Exchange.Declare: commands.Exchange.DeclareOk,
        }.get(type(came))
        return None if done is None else done()

    def _take(self, published: list[Any], number: int) -> list[Any]:
        """Publish, header, body: what is answered."""
        asked, head, body = published
        if asked.exchange not in ("", EXCHANGE) or asked.routing_key != QUEUE:
            assert asked.mandatory
            returned = commands.Basic.Return(312, "NO_ROUTE", asked.exchange, asked.routing_key)
            return [returned, head, body, commands.Basic.Ack(number)]
        self.durable.append(head.properties.delivery_mode == 2)
        return [commands.Basic.Ack(number) if self.keep(body.value) else commands.Basic.Nack(number)]
