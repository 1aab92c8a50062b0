"""Requests that need nothing but the disk and what the cluster has agreed on: another process may serve them as well.

Those are GET, HEAD and PUT of objects, native and S3, in buckets without copies, slices, kept versions, verified reads
or objects on the move, from clients; everything that is unusual about one makes it the control process's.
"""

from collections.abc import Awaitable

from ais.api import query
from ais.api.bucket import Bck
from ais.auth import nodes
from ais.core.workfile import Keeping
from ais.net.http import AnyReply, Request
from ais.node.s3 import Gate
from ais.target import address
from ais.target.address import PREFIX
from ais.target.front import Front
from ais.target.objects import Objects
from ais.target.view import BucketView

_METHODS = ("GET", "HEAD", "PUT")
_PARAMS = frozenset({query.PROVIDER, query.NAMESPACE, query.PROXY_ID, query.REDIRECT_TIME, query.PROPS, "sig"})
_S3_PARAMS = frozenset({"x-id", "AWSAccessKeyId", "Signature", "Expires"})
_S3_PARAMS_BEGIN = ("X-Amz-", "response-")
_ASKS_FIRST = frozenset(("if-match", "if-none-match", "x-amz-copy-source"))
"""What makes a PUT look at another object, or at the one it replaces: then it may have to say that there is none."""


def takes_plain_puts(view: BucketView) -> bool:
    """Whether objects of a bucket may be written by any process of the target; they may be read if it `is_plain`."""
    return (
        view.is_plain
        and view.takes_puts
        and view.rules.keeping is Keeping.NONE
        and view.rules.event is None
        and not view.rules.indexes_shards
    )


def _admits(view: BucketView | None, method: str) -> bool:
    return view is not None and (takes_plain_puts(view) if method == "PUT" else view.is_plain)


class Plain:
    """Tells these requests from others, and serves them."""

    def __init__(self, front: Front, gate: Gate, objects: Objects) -> None:
        self._front = front
        self._gate = gate
        self._objects = objects

    def admits(self, request: Request) -> bool:
        """Whether a request is one of them. Raise `AisError` for what is none at all."""
        if request.method not in _METHODS or request.headers.has_any(nodes.OF_NODES):
            return False
        if self._gate.is_never_native(request) or not request.path.startswith(PREFIX):
            return self._gate.is_s3(request) and self._admits_s3(request)
        usual = self._front.usual(request)
        return _admits(usual[0] if usual is not None else self._view_of(request), request.method)

    def route(self, request: Request) -> AnyReply | Awaitable[AnyReply] | None:
        """Answer a request that is admitted. Raise `AisError`: then nothing has happened, and nothing was counted."""
        objects = self._objects
        return objects.native(request) if self._gate.is_admitted(request) else objects.route(request)

    def _view_of(self, request: Request) -> BucketView | None:
        params = request.params
        if not _PARAMS.issuperset(params):
            return None
        name, _ = address.split_path(request.path)
        return self._front.views.get(Bck.parse(name, params.get(query.PROVIDER, ""), params.get(query.NAMESPACE, "")))

    def _admits_s3(self, request: Request) -> bool:
        bucket_name, key = self._gate.address(request)
        bucket = self._gate.buckets.get(bucket_name) if key else None
        view = self._front.views.get(bucket.bck) if bucket is not None else None
        if not _admits(view, request.method):
            return False
        if request.method == "PUT" and request.headers.has_any(_ASKS_FIRST):
            return False
        return all(name in _S3_PARAMS or name.startswith(_S3_PARAMS_BEGIN) for name in request.params)
