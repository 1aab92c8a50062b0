"""Answers of the query API: documents, and errors as answers."""

from collections.abc import Mapping

import structlog

from ais.base.errors import AisError
from ais.iam import service
from ais.iam.errors import IamError, as_iam, encode
from ais.net.http import Reply, Request, header_lines

_log = structlog.get_logger()


def reply(request_id: str, body: bytes, status: int = 200) -> Reply:
    """An answer with a document."""
    return Reply(status, header_lines(("Content-Type", "text/xml"), ("x-amzn-RequestId", request_id)), body)


def error_reply(
    request: Request, error: BaseException, request_id: str, given: Mapping[str, str] | None = None
) -> Reply:
    """The answer to what was raised; `given` are the parameters, as far as they are known."""
    if isinstance(error, AisError):
        known = as_iam(error)
    else:
        _log.error("request failed", method=request.method, path=request.path, exc_info=error)
        known = IamError("ServiceFailure", "this node failed to answer; its log says why")
    namespace = service.namespace_of(request.params if given is None else given)
    return reply(request_id, encode(known, request_id, namespace), known.status)
