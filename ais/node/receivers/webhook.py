"""A receiver that gets messages by POST."""

from collections.abc import Sequence

import aiohttp

from ais.node.receivers.receiver import Message, NotTaken

_ANSWER_BYTES_MAX = 64 << 10


class Webhook:
    """See `Receiver`."""

    records_max = 100

    def __init__(self, url: str, timeout_s: float) -> None:
        self._url = url
        self._timeout_s = timeout_s
        self._session: aiohttp.ClientSession | None = None

    async def send(self, messages: Sequence[Message]) -> None:
        """See `Receiver`."""
        for message in messages:
            await self._post(message.body)

    async def close(self) -> None:
        """See `Receiver`."""
        if self._session is not None:
            await self._session.close()

    async def _post(self, body: bytes) -> None:
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=self._timeout_s))
        try:
            async with self._session.post(
                self._url, data=body, headers={"Content-Type": "application/json"}, allow_redirects=False
            ) as response:
                await _pass_over(response.content)
                if not 200 <= response.status < 300:
                    raise NotTaken(f"it answered {response.status}")
        except TimeoutError:
            raise NotTaken(f"it did not answer within {self._timeout_s:.0f} s") from None
        except (aiohttp.ClientError, OSError) as error:
            is_about_url = isinstance(error, aiohttp.InvalidURL)  # all of it, and it may hold a password
            raise NotTaken(type(error).__name__ if is_about_url else str(error) or type(error).__name__) from None


async def _pass_over(answer: aiohttp.StreamReader) -> None:
    """Read a short answer to its end, so that the connection can be used again; what is longer closes it."""
    left = _ANSWER_BYTES_MAX
    while left > 0 and (chunk := await answer.readany()):
        left -= len(chunk)
