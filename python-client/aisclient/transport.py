"""A request's way to the node that can answer it: the owner by the cluster map, a gateway otherwise, and again after
redirects and failures.
"""

import contextlib
import threading
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from functools import partial
from typing import TypeVar
from urllib.parse import urlsplit

from aisclient import errors
from aisclient.body import Body
from aisclient.clustermap import ClusterMap, Owners
from aisclient.connection import Answer
from aisclient.driver import Buffer, Driver
from aisclient.errors import AISError, NotFound, OutcomeUnknown, Unavailable, Unreachable
from aisclient.pool import Pool
from aisclient.settings import Settings

T = TypeVar("T")
REDIRECTS_MAX = 5
REFRESH_S_MIN = 0.1
ERROR_BYTES_MAX = 64 << 10
_REDIRECTS = frozenset({301, 302, 307, 308})
_SMAP = "/v1/daemon?what=smap"


class Transport:
    """May be shared by threads (blocking driver) or tasks (asyncio)."""

    def __init__(self, driver: Driver, settings: Settings) -> None:
        self.driver, self.settings = driver, settings
        self.pool = Pool(driver, settings)
        self._owners: Owners | None = None
        self._gateways = settings.endpoints
        self._refreshed = 0.0
        self._lock = threading.Lock()
        self._fixed = b"User-Agent: aisclient\r\n"
        self._token = f"Authorization: Bearer {settings.token}\r\n".encode() if settings.token else b""
        self._trusted: frozenset[str] = frozenset(settings.endpoints)

    async def cluster_map(self, *, is_fresh: bool = False) -> ClusterMap:
        """The map as it was read last, or is now. Raise `Unreachable`, `Unavailable`."""
        if self._owners is None or is_fresh:
            await self._refresh()
        assert self._owners is not None
        return self._owners.smap

    async def read(self, method: str, target: str, uname: str, *, headers: bytes = b"") -> Answer:
        """GET or HEAD of an object, asked of its owner. Raise as `send` does, and `NotFound`."""
        if self._owners is None:
            await self._refresh()
        assert self._owners is not None
        direct = self._owners.url(uname)
        if direct:
            try:
                answer = await self._exchange(direct, method, target, headers, None)
            except OSError:
                answer = None
            if answer is not None and answer.status < 300:
                return answer
            if answer is not None:
                if answer.status == 404 and not await self._has_other_owner(direct, method, target, headers):
                    raise await self._error(answer, method, direct + target)
                if answer.status != 404 and (answer.status not in errors.RETRIED | _REDIRECTS):
                    raise await self._error(answer, method, direct + target)
                await answer.drain()
            await self._try_refresh()
        return await self.send(method, target, headers=headers, is_repeatable=True)

    async def send(
        self,
        method: str,
        target: str,
        *,
        headers: bytes = b"",
        body: Body | None = None,
        is_repeatable: bool,
        is_stored: bool = False,
    ) -> Answer:
        """A request to a gateway and to where that sends it. `is_stored`: a target will keep the body, so the gateway
        is asked first without it.

        Raise `AISError` by class, `Unavailable` and `Unreachable` after all attempts, `OutcomeUnknown`.
        """
        retry, failed, began = self.settings.retry, 0, time.monotonic()
        while True:
            gateway = self._gateways[0]
            try:
                answer = await self._follow(gateway, method, target, headers, body, is_repeatable, is_stored)
                if answer.status < 300:
                    return answer
                error = await self._error(answer, method, gateway + target)
                if failed and method == "DELETE" and isinstance(error, NotFound):
                    answer.status = 200  # an earlier attempt has done it
                    return answer
                if answer.status not in errors.RETRIED or not is_repeatable:
                    raise error
            except Unreachable as lost:
                if isinstance(lost, OutcomeUnknown):
                    raise
                error = lost
            failed += 1
            if (
                failed >= retry.attempts
                or time.monotonic() - began > retry.total_s
                or (body is not None and not body.can_open)
            ):
                raise error
            await self.driver.sleep(retry.delay_s(failed))
            await self._try_refresh()

    async def call(
        self, method: str, target: str, *, message: bytes = b"", headers: bytes = b"", is_repeatable: bool
    ) -> bytes:
        """A request with a short body and a short answer. Raise as `send` does."""
        body = Body.of(message) if message else None

        async def attempt() -> bytes:
            answer = await self.send(method, target, headers=headers, body=body, is_repeatable=is_repeatable)
            try:
                with answer:
                    return await answer.read_all()
            except OSError:
                if is_repeatable:
                    raise
                return b""  # it was done: the answer had begun

        return await self.persist(attempt, f"lost the answer to {method} {target}")

    async def persist(self, attempt: Callable[[], Awaitable[T]], what: str) -> T:
        """The result of `attempt`, made again when the answer breaks off. Raise `Unreachable`, and what it raises."""
        retry, failed = self.settings.retry, 0
        while True:
            try:
                return await attempt()
            except AISError:
                raise
            except OSError as error:
                failed += 1
                if failed >= retry.attempts:
                    raise Unreachable(f"{what}: {error}") from error
                await self.driver.sleep(retry.delay_s(failed))

    async def _follow(
        self,
        origin: str,
        method: str,
        target: str,
        headers: bytes,
        body: Body | None,
        is_repeatable: bool,
        is_stored: bool,
    ) -> Answer:
        """Through redirects. Raise `Unreachable` when it was not done or may be repeated, else `OutcomeUnknown`."""
        sent = None if is_stored else body
        for _ in range(REDIRECTS_MAX):
            is_asked = is_stored and sent is None
            try:
                answer = await self._exchange(
                    origin, method, target, headers, sent, is_empty=is_asked, is_repeatable=is_repeatable
                )
            except OSError as error:
                self._pass_over(origin)
                where = f"{origin} ({error or type(error).__name__})"
                if is_repeatable or is_asked or isinstance(error, _NotSent):
                    raise Unreachable(f"no answer from {where}") from error
                raise OutcomeUnknown(f"{method} {target}: no answer from {where}: it may have been done") from error
            if answer.status in _REDIRECTS and (location := answer.headers.get("location")):
                await answer.drain()
                parts = urlsplit(location)
                if parts.netloc:
                    origin = f"{parts.scheme}://{parts.netloc}"
                target = parts.path + (f"?{parts.query}" if parts.query else "")
                sent = body
                continue
            if is_stored and sent is None and answer.status < 300:
                await answer.drain()
                sent = body  # whoever answers keeps objects itself
                continue
            return answer
        raise Unreachable(f"{method} {target}: redirected more than {REDIRECTS_MAX} times")

    async def _exchange(
        self,
        origin: str,
        method: str,
        target: str,
        headers: bytes,
        body: Body | None,
        *,
        is_empty: bool = False,
        is_repeatable: bool = True,
    ) -> Answer:
        """One request to one node. An idle connection that turns out to be closed is replaced. Raise `OSError`."""
        head = self._head(origin, method, target, headers, body, is_empty)
        try:
            connection, was_used = await self.pool.take(origin, checked=not is_repeatable)
        except OSError as error:
            raise _NotSent(str(error) or type(error).__name__) from error
        while True:
            try:
                pieces: AsyncGenerator[Buffer] | None = body.pieces(self.driver) if body is not None else None
                answer = await connection.exchange(head, pieces, has_body=method != "HEAD")
            except (ConnectionError, TimeoutError) as error:
                connection.wire.close()
                is_over = isinstance(error, TimeoutError) or not was_used or not is_repeatable
                if is_over or (body is not None and not body.can_open):
                    raise
                connection, was_used = await self.pool.take(origin, is_fresh=True)
                continue
            except BaseException:
                connection.wire.close()
                raise
            answer.on_end(partial(self.pool.give_back, origin))
            return answer

    def _head(self, origin: str, method: str, target: str, headers: bytes, body: Body | None, is_empty: bool) -> bytes:
        if body is None:
            length = b"Content-Length: 0\r\n" if is_empty or method in ("PUT", "POST", "PATCH") else b""
        elif body.size is None:
            length = b"Transfer-Encoding: chunked\r\n"
        else:
            length = b"Content-Length: %d\r\n" % body.size
        token = self._token if origin in self._trusted else b""
        line = f"{method} {target} HTTP/1.1\r\nHost: {origin.partition('://')[2]}\r\n".encode()
        return b"%b%b%b%b%b\r\n" % (line, self._fixed, token, headers, length)

    async def _has_other_owner(self, asked: str, method: str, target: str, headers: bytes) -> bool:
        """Whether a gateway sends the request to another target than the one that does not have the object."""
        try:
            answer = await self._exchange(self._gateways[0], method, target, headers, None)
        except OSError:
            return True  # ask all of them
        location = answer.headers.get("location", "")
        await answer.drain()
        return answer.status not in _REDIRECTS or not location.startswith(asked + "/")

    async def _error(self, answer: Answer, method: str, where: str) -> AISError:
        """The error that an answer stands for; its connection is free afterwards."""
        try:
            if method == "HEAD":
                text = answer.headers.get("hdr-error", "").encode("latin-1")
                await answer.drain()
            elif (answer.length or 0) > ERROR_BYTES_MAX:
                text = b""
                answer.close()
            else:
                text = await answer.read_all()
        except OSError:
            text = b""
            answer.close()
        return errors.of_answer(answer.status, text, f"{method} {where}")

    def _pass_over(self, origin: str) -> None:
        """Ask another gateway first, from now on."""
        with self._lock:
            if len(self._gateways) > 1 and self._gateways[0] == origin:
                self._gateways = [*self._gateways[1:], origin]

    async def _try_refresh(self) -> None:
        """Read the cluster map again, unless that was a moment ago; what is known stays if nobody tells."""
        if time.monotonic() - self._refreshed < REFRESH_S_MIN:
            return
        with contextlib.suppress(AISError):
            await self._refresh(attempts=1)

    async def _refresh(self, attempts: int = 0) -> None:
        retry, failed = self.settings.retry, 0
        while True:
            error: AISError = Unreachable("no gateway")
            for gateway in list(self._gateways):
                try:
                    answer = await self._exchange(gateway, "GET", _SMAP, b"", None)
                    if answer.status < 300:
                        self._learn(ClusterMap.parse(await answer.read_all()))
                        return
                    error = await self._error(answer, "GET", gateway + _SMAP)
                except Unavailable as not_yet:
                    error = not_yet
                except OSError as lost:
                    error = Unreachable(f"no answer from {gateway}: {lost or type(lost).__name__}")
                if isinstance(error, errors.Unauthenticated | errors.AccessDenied):
                    raise error
            failed += 1
            if failed >= (attempts or retry.attempts):
                raise error
            await self.driver.sleep(retry.delay_s(failed))

    def _learn(self, smap: ClusterMap) -> None:
        with self._lock:
            self._refreshed = time.monotonic()
            known = self._owners
            if known is None or known.smap.uuid != smap.uuid or int(known.smap.version) < int(smap.version):
                self._owners = Owners(smap)
                mine = self.settings.endpoints
                self._gateways = mine + [url for url in smap.gateways if url not in mine]
                nodes = [*smap.proxies.values(), *smap.targets.values()]
                secure = all(url.startswith("https") for url in mine)
                self._trusted = frozenset(mine).union(
                    node.url for node in nodes if node.url.startswith("https") or not secure
                )


class _NotSent(ConnectionError):
    """There was no connection to send the request on."""


def header_lines(headers: Mapping[str, str]) -> bytes:
    """Lines of a head. Raise `ValueError` for a value that would end its line."""
    text = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    if text.count("\n") != len(headers) or text.count("\r") != len(headers):
        raise ValueError("a header with a line break in it")
    return text.encode()
