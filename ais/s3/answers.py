"""Answers of the S3 API: the header lines that every answer has, XML bodies, and errors as answers.

Source: Amazon S3 API reference, "Common response headers" and "Error responses".
"""

import itertools
import random

import structlog

from ais.base.errors import AisError, NotReady, RangeNotSatisfiable
from ais.net.http import Reply, Request, header_lines
from ais.s3.errors import S3Error, as_s3, encode

XML = "application/xml"
_HOST_ID = "ais"
_log = structlog.get_logger()


class RequestIds:
    """Names requests, differently in each process."""

    def __init__(self, rng: random.Random) -> None:
        self._prefix = f"{rng.getrandbits(32):08X}"
        self._serial = itertools.count(rng.getrandbits(24))

    def new(self) -> str:
        """16 hexadecimal digits."""
        return f"{self._prefix}{next(self._serial) & 0xFFFFFFFF:08X}"


def stamp(request_id: str) -> bytes:
    """The header lines of every answer."""
    return f"x-amz-request-id: {request_id}\r\nx-amz-id-2: {_HOST_ID}\r\n".encode()


def reply(request_id: str, status: int = 200, *pairs: tuple[str, str]) -> Reply:
    """An answer without a body."""
    return Reply(status, stamp(request_id) + header_lines(*pairs))


def xml_reply(request_id: str, body: bytes, status: int = 200, *pairs: tuple[str, str]) -> Reply:
    """An answer with an XML document."""
    return Reply(status, stamp(request_id) + header_lines(("Content-Type", XML), *pairs), body)


def error_reply(request: Request, error: BaseException, request_id: str) -> Reply:
    """The answer to what a route or sink raised; what is not an `AisError` is our fault: logged, and InternalError."""
    known = _known(request, error)
    lines = stamp(request_id) + header_lines(*known.headers.items())
    if isinstance(error, RangeNotSatisfiable):
        lines += header_lines(("Content-Range", f"bytes */{error.size_bytes}"))
    if known.status == 503:
        lines += header_lines(("Retry-After", "1"))
    if request.method == "HEAD" or known.status == 304:
        return Reply(known.status, lines)
    resource = request.path.removeprefix("/s3") if f"{request.path}/".startswith("/s3/") else request.path
    return Reply(known.status, lines + header_lines(("Content-Type", XML)), encode(known, resource or "/", request_id))


def _known(request: Request, error: BaseException) -> S3Error:
    if isinstance(error, AisError):
        return as_s3(error)
    _log.error("request failed", method=request.method, path=request.path, exc_info=error)
    return as_s3(NotReady("this node failed to answer; its log says why"))
