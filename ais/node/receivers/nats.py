"""A stream of NATS' JetStream, which takes messages of a subject and says so."""

import asyncio
import contextlib
import ssl
from typing import Any

from nats.aio.client import Client
from nats.errors import Error, NoServersError
from nats.js.errors import NoStreamResponseError

from ais.config.receivers import Address, Host
from ais.node.receivers.broker import Connection, first_of, secret, tls_context
from ais.node.receivers.receiver import Message, NotTaken

ERRORS = (Error, OSError, ValueError)
_ABANDON_S = 0.5
_NOT_PERMITTED = "permissions violation"
"""What a server says of a subject, without an answer to the message."""


class Nats:
    """See `Connection`."""

    def __init__(self, client: Client, closed: asyncio.Future[str], address: Address, timeout_s: float) -> None:
        """`closed`: why nothing is answered any more, once that is so."""
        self._client = client
        self._closed = closed
        self._stream = client.jetstream(timeout=timeout_s)
        self._subject = address.path

    @property
    def is_closed(self) -> bool:
        """See `Connection`."""
        return self._closed.done() or self._client.is_closed

    async def publish(self, message: Message) -> None:
        """See `Connection`."""
        sent = asyncio.ensure_future(self._stream.publish(self._subject, message.body))
        either: set[asyncio.Future[Any]] = {sent, self._closed}
        try:
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            if not sent.done():
                raise ConnectionError(self._closed.result())
            sent.result()
        except NoStreamResponseError:
            raise NotTaken(
                f'no stream of JetStream takes the subject "{self._subject}": '
                f"nats stream add --subjects={self._subject}"
            ) from None
        finally:
            sent.cancel()

    async def close(self) -> None:
        """See `Connection`."""
        await self._client.close()


async def connect(address: Address, timeout_s: float) -> Connection:
    """See `Transport`."""
    return await first_of(address.hosts, lambda host: _open(host, address, timeout_s), ERRORS)


async def _open(host: Host, address: Address, timeout_s: float) -> Connection:
    closed: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    failure: Exception = OSError("it does not answer")

    async def note_closed() -> None:
        if not closed.done():
            closed.set_result("the connection was closed")

    async def note_error(error: Exception) -> None:
        nonlocal failure
        failure = error
        if _NOT_PERMITTED in str(error).lower() and not closed.done():
            closed.set_result(str(error))

    context = await tls_context(address)
    credentials = await _credentials(address, context)
    client = Client()
    try:
        await client.connect(
            f"{'nats' if context is None else 'tls'}://{host.name}:{host.port}",
            name="ais",
            allow_reconnect=False,  # whoever sends opens another one, and sends again what was lost with it
            max_reconnect_attempts=1,
            reconnect_time_wait=0,
            connect_timeout=max(1, int(timeout_s / 4)),
            error_cb=note_error,
            closed_cb=note_closed,
            **credentials,
        )
        _require_tls(context)
    except NoServersError:
        raise failure from None
    except BaseException:
        await _abandon(client)
        raise
    return Nats(client, closed, address, timeout_s)


async def _abandon(client: Client) -> None:
    """Close a connection that was not made."""
    with contextlib.suppress(TimeoutError):  # after a failed handshake it waits for ever, the socket is closed then
        async with asyncio.timeout(_ABANDON_S):
            await client.close()


async def _credentials(address: Address, context: ssl.SSLContext | None) -> dict[str, Any]:
    """They are asked for when the connection is there: nothing is said to a server that has not shown who it is."""
    given: dict[str, Any] = {} if context is None else {"tls": context}

    def once_safe(value: str) -> Any:
        def value_of() -> str:
            _require_tls(context)
            return value

        return value_of

    if address.user:
        given |= {"user": once_safe(address.user), "password": once_safe(await secret(address, "password_file"))}
    if token := await secret(address, "token_file"):
        given["token"] = once_safe(token)
    if await secret(address, "creds_file"):
        given["user_credentials"] = address.option("creds_file")
    return given


def _require_tls(context: ssl.SSLContext | None) -> None:
    """Raise `ConnectionError` where TLS is wanted and the server did not begin it: the client goes on without."""
    if context is not None and not context.session_stats()["connect_good"]:
        raise ConnectionError("the server does not ask for TLS: configure it there, or write nats://")
