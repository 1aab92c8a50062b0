"""Messages to receivers of events by POST."""

import aiohttp

TIMEOUT_S = 30.0


class Webhooks:
    """The client of all receivers, opened when it is first needed."""

    def __init__(self, timeout_s: float = TIMEOUT_S) -> None:
        self._timeout_s = timeout_s
        self._session: aiohttp.ClientSession | None = None

    async def post(self, url: str, body: bytes) -> str:
        """Deliver a message; why it was not taken, empty when it was."""
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=self._timeout_s))
        try:
            async with self._session.post(
                url, data=body, headers={"Content-Type": "application/json"}, allow_redirects=False
            ) as response:
                await response.read()
                return "" if 200 <= response.status < 300 else f"it answered {response.status}"
        except TimeoutError:
            return f"it did not answer within {self._timeout_s:.0f} s"
        except (aiohttp.ClientError, OSError) as error:
            return str(error) or type(error).__name__

    async def close(self) -> None:
        """Close all connections."""
        if self._session is not None:
            await self._session.close()
