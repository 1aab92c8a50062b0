"""How clients reach the cluster: any gateway, native requests redirected, S3 requests not; or a target at once.

`Refused` means that the request had no effect, `Unknown` that it may have.
"""

import json
import random
import urllib.parse
from collections.abc import Mapping
from typing import Any

from harness.faults.web import Answer, NoAnswer, NotSent, Web

TIMEOUT_S = 6.0
DIRECT = 0.125
PROVIDER = {"provider": "ais"}
_RETRYABLE = (408, 429)


class Refused(Exception):
    """No effect."""


class Unknown(Exception):
    """Perhaps an effect, perhaps later."""


class Gateway:
    """The endpoints of a cluster. `timeout_s` bounds each request."""

    def __init__(self, urls: list[str], targets: list[str], web: Web, timeout_s: float = TIMEOUT_S) -> None:
        self._urls = urls
        self._targets = targets
        self._web = web
        self._timeout_s = timeout_s

    async def object(
        self,
        source: random.Random,
        method: str,
        bucket: str,
        name: str,
        query: Mapping[str, str] = PROVIDER,
        headers: dict[str, str] | None = None,
        body: bytes | None = None,
    ) -> Answer:
        """A native request on an object. The proxy only redirects: what fails there has no effect.

        One GET in eight goes to a target at once, as of a client that has a cluster map, perhaps an old one: who is not
        the owner redirects too.
        """
        target = f"/v1/objects/{bucket}/{urllib.parse.quote(name)}?{urllib.parse.urlencode({**PROVIDER, **query})}"
        is_direct = method == "GET" and source.random() < DIRECT
        url = source.choice(self._targets if is_direct else self._urls)
        try:
            answer = await self._ask(url, method, target, headers, body)
        except (NoAnswer, NotSent) as error:
            raise Refused(str(error)) from None
        if answer.status >= 500 or answer.status in _RETRYABLE:
            raise Refused(str(answer))
        for _ in range(3):
            if answer.status not in (301, 307):
                break
            location = urllib.parse.urlsplit(answer.headers["location"])
            target = f"{location.path}?{location.query}"
            try:
                answer = await self._ask(f"http://{location.netloc}", method, target, headers, body)
            except NotSent as error:
                raise Refused(str(error)) from None
            except NoAnswer as error:
                raise Unknown(str(error)) from None
        return self._settled(answer)

    async def bucket(
        self, source: random.Random, method: str, path: str, query: Mapping[str, str], message: Any = None
    ) -> Answer:
        """A native request that the gateway answers itself; `message` goes as JSON."""
        target = f"{path}?{urllib.parse.urlencode({**PROVIDER, **query})}"
        body = None if message is None else json.dumps(message).encode()
        headers = {"Content-Type": "application/json"} if body else {}
        return await self._direct(source, method, target, headers, body)

    async def s3(
        self,
        source: random.Random,
        method: str,
        bucket: str,
        key: str = "",
        query: str = "",
        headers: dict[str, str] | None = None,
        body: bytes | None = None,
    ) -> Answer:
        """An S3 request."""
        path = f"/s3/{bucket}" + (f"/{urllib.parse.quote(key)}" if key else "")
        return await self._direct(source, method, path + (f"?{query}" if query else ""), headers, body)

    async def _direct(
        self, source: random.Random, method: str, target: str, headers: dict[str, str] | None, body: bytes | None
    ) -> Answer:
        try:
            answer = await self._ask(source.choice(self._urls), method, target, headers, body)
        except NotSent as error:
            raise Refused(str(error)) from None
        except NoAnswer as error:
            raise Unknown(str(error)) from None
        return self._settled(answer)

    async def _ask(
        self, url: str, method: str, target: str, headers: dict[str, str] | None, body: bytes | None
    ) -> Answer:
        return await self._web.ask(url, method, target, headers, body, timeout_s=self._timeout_s)

    def _settled(self, answer: Answer) -> Answer:
        if answer.status >= 500:
            raise Unknown(str(answer))
        if answer.status in _RETRYABLE:
            raise Refused(str(answer))
        return answer
