"""The aiohttp application of a listener, and how errors become answers, here and on the hot path (wire contract §2).

Handlers raise `AisError`; here it becomes the JSON body (for HEAD the header `Hdr-Error`) with its status. Requests
that no handler takes get 400, 405 with `Allow`, or, for OPTIONS, 200 with `Allow`.
"""

from collections.abc import Awaitable, Callable, Iterable

import structlog
from aiohttp import hdrs, web
from aiohttp.typedefs import Handler

from ais.api import headers
from ais.api.errors import encode_error, status_of
from ais.base.errors import AisError, BadRequest, NoContact, NotReady, Overloaded, RangeNotSatisfiable
from ais.net import passing
from ais.net.http import QUERY_PARAMS_MAX, Reply, Request, header_lines, parse_query

RETRY_AFTER_S = 1
"""What a client is told that met a limit of the node."""
HOT_METHODS = {"/v1/objects/": frozenset(("DELETE", "GET", "HEAD", "PATCH", "POST", "PUT"))}
"""What is served without asking the application, by the beginning of the path: only `Allow` needs to know."""
HSTS = "max-age=31536000; includeSubDomains"
_BROWSER = "Mozilla/5.0"
_JSON = (("Content-Type", "application/json"), ("X-Content-Type-Options", "nosniff"))

SAFE_METHODS = frozenset(("GET", "HEAD"))
"""What may be asked again: it changes nothing."""

Honest = Callable[[BaseException], BaseException]
Regain = Callable[[], Awaitable[None]]
Note = Callable[[BaseException, str, str, str], None]
"""Told of each error that is answered: it, the method, the path, and the client."""

_log = structlog.get_logger()


def as_it_is(error: BaseException) -> BaseException:
    """The error itself."""
    return error


def params_of(request: web.Request) -> dict[str, str]:
    """Decoded query parameters, of equal ones the last: gate and handlers must read the same. Raise `BadRequest`."""
    query_string = request.raw_path.partition("?")[2]
    return parse_query(query_string) if query_string else {}


async def at_once() -> None:
    """Contact that is lost is not waited for."""


def note_nothing(_error: BaseException, _method: str, _path: str, _client: str) -> None:
    """See `Note`."""


def make_app(
    routes: Iterable[web.RouteDef],
    node_name: str,
    honest: Honest = as_it_is,
    regain: Regain = at_once,
    note: Note = note_nothing,
) -> web.Application:
    """An application of these routes whose errors carry `node_name` (`p[ID]`, `t[ID]`).

    `honest` gives the error to answer with in place of the one that was raised; `note` is told of that. When it is
    `NoContact` a handler that changes nothing is asked again after `regain`.
    """

    async def ask(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.query_string.count("&") >= QUERY_PARAMS_MAX:
            raise BadRequest(f"too many query parameters (at most {QUERY_PARAMS_MAX})")
        try:
            return await handler(request)
        except AisError as error:
            is_unsent = request.method in SAFE_METHODS and not request.writer.output_size
            if not is_unsent or not isinstance(honest(error), NoContact):
                raise
        await regain()
        return await handler(request)

    @web.middleware
    async def answer_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            response = await ask(request, handler)
        except Exception as error:
            if isinstance(error, ConnectionError) or request.writer.output_size:
                # The client is gone, or has half an answer: only a broken connection tells the truth.
                raise
            known = honest(error)
            note(known, request.method, request.path, _remote(request))
            response = _answer(request, known, node_name)
        if request.headers.get(hdrs.USER_AGENT, "").startswith(_BROWSER) and not response.prepared:
            response.headers.setdefault(hdrs.STRICT_TRANSPORT_SECURITY, HSTS)
        return response

    app = web.Application(middlewares=[answer_errors], client_max_size=0)  # the server counts (`Limits`)
    for route in routes:
        # `add_routes` would add HEAD to every GET, also where HEAD has a handler of its own.
        app.router.add_route(route.method, route.path, route.handler)
    return app


def error_reply(request: Request, error: BaseException, node_name: str) -> Reply:
    """The answer to what a hot route or sink raised; what is not an `AisError` is our fault: logged here, and a 503."""
    known = _known(error, request.method, request.path, node_name)
    body = encode_error(
        known,
        method=request.method,
        url_path=request.path,
        remote_addr=request.remote,
        node=node_name,
        caller=request.headers.get(headers.CALLER_NAME.lower()) or "",
    )
    if request.method == "HEAD":
        return Reply(status_of(known), header_lines(*_JSON, (headers.ERROR, _in_a_line(body))))
    lines = header_lines(*_JSON)
    if isinstance(error, RangeNotSatisfiable):
        lines += header_lines(("Content-Range", f"bytes */{error.size_bytes}"))
    if isinstance(error, Overloaded):
        lines += header_lines(("Retry-After", str(RETRY_AFTER_S)))
    return Reply(status_of(known), lines, body + b"\n")


def _answer(request: web.Request, error: BaseException, node_name: str) -> web.Response:
    """The response for what a handler, or aiohttp on its way to one, raised."""
    if isinstance(error, web.HTTPException):
        if error.status < 400:
            raise error
        if allowed := _allowed_methods(request.path, error):
            return _wrong_verb(request.method, allowed)
        if request.path == "/favicon.ico":
            return web.Response()
        error = _refusal(request.path, error)
    known = _known(error, request.method, request.path, node_name)
    body = encode_error(
        known,
        method=request.method,
        url_path=request.path,
        remote_addr=_remote(request),
        node=node_name,
        caller=request.headers.get(headers.CALLER_NAME, ""),
    )
    if request.method == hdrs.METH_HEAD:
        return web.Response(status=status_of(known), headers={**dict(_JSON), headers.ERROR: _in_a_line(body)})
    return web.Response(status=status_of(known), headers=dict(_JSON), body=body + b"\n")


def _in_a_line(body: bytes) -> str:
    """JSON as the value of a header, which has no control characters: of these JSON escapes all but one."""
    return body.replace(b"\x7f", rb"\u007f").decode()


def _known(error: BaseException, method: str, path: str, node_name: str) -> AisError:
    if isinstance(error, AisError):
        return error
    _log.error("request failed", method=method, path=path, exc_info=error)
    return NotReady(f"{node_name} failed to answer; its log says why")


def _allowed_methods(path: str, error: web.HTTPException) -> set[str]:
    """Verbs that would be served, when the error is about the verb; empty when nobody serves the path."""
    if not isinstance(error, web.HTTPMethodNotAllowed | web.HTTPNotFound):
        return set()
    allowed = set(error.allowed_methods) if isinstance(error, web.HTTPMethodNotAllowed) else set()
    for beginning, methods in HOT_METHODS.items():
        if path.startswith(beginning):
            allowed |= methods
    return allowed


def _refusal(path: str, error: web.HTTPException) -> AisError:
    if isinstance(error, web.HTTPNotFound):
        return BadRequest(f'invalid request URI "{path[:200]}"')
    return BadRequest(f"{error.status} {error.reason}")


def _wrong_verb(method: str, allowed: set[str]) -> web.Response:
    lines = {hdrs.ALLOW: ", ".join(sorted({*allowed, hdrs.METH_OPTIONS}))}
    if method == hdrs.METH_OPTIONS:
        return web.Response(headers=lines)
    return web.Response(status=405, headers=lines | {"X-Content-Type-Options": "nosniff"}, text="Method Not Allowed\n")


def _remote(request: web.Request) -> str:
    peer = request.transport.get_extra_info("peername") if request.transport else None
    return f"{peer[0]}:{peer[1]}" if peer else request.headers.get(passing.HEADER, "").partition(" ")[2]
