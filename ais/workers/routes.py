"""What a worker does with a request: answers it, or passes it on to the control process."""

from collections.abc import Awaitable, Callable
from types import CoroutineType
from typing import Protocol

from ais.auth import nodes
from ais.base.errors import AisError
from ais.net.http import AnyReply, Forward, Request, Route
from ais.net.passing import pass_on
from ais.proxy.proxy import Proxy
from ais.stats.tracker import Tracker
from ais.target.counts import count_error
from ais.target.plain import Plain

SCHEME = "control"


class Standing(Protocol):
    """Whether this worker may answer now."""

    @property
    def may_serve(self) -> bool: ...


Own = Callable[[Request], AnyReply | Awaitable[AnyReply] | None]
"""Answers what a worker can answer; None for everything else."""


def of_target(plain: Plain) -> Own:
    """Plain requests on objects."""

    def answer(request: Request) -> AnyReply | Awaitable[AnyReply] | None:
        return plain.route(request) if plain.admits(request) else None

    return answer


def of_proxy(proxy: Proxy) -> Own:
    """Redirects, and S3 requests that go to an owner."""

    def answer(request: Request) -> AnyReply | Awaitable[AnyReply] | None:
        if request.headers.has_any(nodes.OF_NODES):
            return None
        return proxy.pass_to_owner(request)

    return answer


def route(standing: Standing, own: Own, stats: Tracker, counters: "memoryview[int]", listener: int) -> Route:
    """The route of a worker's listener. Whatever goes wrong before a body was read the control process answers.

    So it alone says that something is not there, and it alone counts what failed. `counters` are those of `stats`.
    """
    url = f"{SCHEME}://{listener}"

    def answer(request: Request) -> AnyReply | Awaitable[AnyReply] | None:
        if not standing.may_serve:
            return pass_on(request, url)
        before = counters.tobytes()
        try:
            reply = own(request)
        except AisError:
            counters[:] = memoryview(before).cast("q")
            return pass_on(request, url)
        if reply is None:
            return pass_on(request, url)
        return _answered(request, reply) if type(reply) is CoroutineType else reply

    async def _answered(request: Request, reply: Awaitable[AnyReply]) -> AnyReply | Forward:
        try:
            return await reply
        except AisError as error:
            count_error(stats, request.method, error, -1)
            return pass_on(request, url)

    return answer
