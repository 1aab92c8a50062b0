"""The aiohttp application of a listener, and how errors become answers, here and on the hot path (wire contract §2)."""

import structlog
from aiohttp import hdrs, web
from aiohttp.typedefs import Handler

from ais.api import headers
from ais.api.errors import encode_error, status_of
from ais.base.errors import AisError, BadRequest, NotReady, RangeNotSatisfiable
from ais.net.http import Reply, Request, header_lines

BODY_BYTES_MAX = 64 << 20
"""Control messages are small; the largest are cluster metadata and lists of object names."""
_JSON = (("Content-Type", "application/json"), ("X-Content-Type-Options", "nosniff"))

_log = structlog.get_logger()


def make_app(routes: list[web.RouteDef], node_name: str) -> web.Application:
    """An application of these routes whose errors carry `node_name`; unknown paths and verbs are refused in JSON."""

    @web.middleware
    async def answer_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            return await handler(request)
        except web.HTTPMethodNotAllowed as refused:
            return _wrong_verb(request, refused)
        except web.HTTPNotFound:
            return _error_response(request, BadRequest(f'invalid request URI "{request.path}"'), node_name)
        except web.HTTPException as error:
            return _error_response(request, BadRequest(f"{error.status} {error.reason}"), node_name)
        except AisError as error:
            return _error_response(request, error, node_name)
        except Exception:  # noqa: BLE001 - a request ends here
            _log.exception("request failed", method=request.method, path=request.path)
            return _error_response(request, _unexpected(node_name), node_name)

    app = web.Application(middlewares=[answer_errors], client_max_size=BODY_BYTES_MAX)
    for route in routes:
        app.router.add_route(route.method, route.path, route.handler)
    return app


def error_reply(request: Request, error: BaseException, node_name: str) -> Reply:
    """The answer to what a hot route or sink raised; what is not an `AisError` is logged here, and a 503."""
    if not isinstance(error, AisError):
        _log.error("request failed", method=request.method, path=request.path, exc_info=error)
        error = _unexpected(node_name)
    body = encode_error(
        error,
        method=request.method,
        url_path=request.path,
        remote_addr=request.remote,
        node=node_name,
        caller=request.headers.get(headers.CALLER_NAME.lower()) or "",
    )
    if request.method == "HEAD":
        return Reply(status_of(error), header_lines((headers.ERROR, body.decode())))
    block = header_lines(*_JSON)
    if isinstance(error, RangeNotSatisfiable):
        block += header_lines(("Content-Range", f"bytes */{error.size_bytes}"))
    return Reply(status_of(error), block, body + b"\n")


def _error_response(request: web.Request, error: AisError, node_name: str) -> web.Response:
    body = encode_error(
        error,
        method=request.method,
        url_path=request.path,
        remote_addr=_remote(request),
        node=node_name,
        caller=request.headers.get(headers.CALLER_NAME, ""),
    )
    if request.method == hdrs.METH_HEAD:
        return web.Response(status=status_of(error), headers={headers.ERROR: body.decode()})
    return web.Response(status=status_of(error), headers=dict(_JSON), body=body + b"\n")


def _wrong_verb(request: web.Request, refused: web.HTTPMethodNotAllowed) -> web.Response:
    allowed = {"Allow": ", ".join(sorted({*refused.allowed_methods, hdrs.METH_OPTIONS}))}
    if request.method == hdrs.METH_OPTIONS:
        return web.Response(headers=allowed)
    return web.Response(status=405, headers=allowed, text="Method Not Allowed\n")


def _remote(request: web.Request) -> str:
    peer = request.transport.get_extra_info("peername") if request.transport else None
    return f"{peer[0]}:{peer[1]}" if peer else ""


def _unexpected(node_name: str) -> AisError:
    return NotReady(f"{node_name} failed to answer; its log says why")
