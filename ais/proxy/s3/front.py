"""The entrance of S3 requests on a gateway: objects go to their owners, changes of buckets to the primary."""

from collections.abc import Awaitable, Mapping

from ais.base.errors import NotReady
from ais.meta.smap import Snode
from ais.net.http import AnyReply, Forward, Reply, Request, StreamReply, Upload, header_lines
from ais.node.node import Node
from ais.node.s3 import Gate
from ais.proxy.iam import QueryApi
from ais.proxy.rates import Rates, is_limited
from ais.proxy.s3.call import Call, Operation, document_size
from ais.proxy.s3.forms import Forms
from ais.proxy.s3.service import Service
from ais.s3 import document_body
from ais.s3.buckets import S3Bucket
from ais.s3.errors import S3Error
from ais.s3.front import S3Request
from ais.s3.identity import Identity
from ais.s3.operations import Op
from ais.s3.payload import Payload

_REMOTE = frozenset(
    {
        Op.HEAD_BUCKET,
        Op.GET_BUCKET_LOCATION,
        Op.LIST_OBJECTS,
        Op.LIST_OBJECTS_V2,
        Op.LIST_MULTIPART_UPLOADS,
        Op.DELETE_OBJECTS,
        Op.GET_OBJECTS,
    }
)
"""What is served of a bucket that has a backend."""


class Front:
    """One per proxy."""

    def __init__(
        self,
        node: Node,
        gate: Gate,
        operations: Mapping[Op, Operation],
        service: Service,
        forms: Forms,
        queries: QueryApi,
        rates: Rates,
    ) -> None:
        self._node = node
        self._gate = gate
        self._operations = operations
        self._service = service
        self._forms = forms
        self._queries = queries
        self._rates = rates

    def forward(self, request: Request) -> Forward | None:
        """Send a request on an object to its owner, which authenticates it. None for any other: `answer` it.

        Raise `BadRequest`, `RateLimited`, or `NotReady` when there is no target.
        """
        gate = self._gate
        bucket_name, key = gate.address(request)
        bucket = gate.buckets.get(bucket_name) if key and request.method != "OPTIONS" else None
        if bucket is None:
            return None
        if is_limited(bucket.bucket) and not gate.is_passed_on(request):
            self._rates.take(bucket.bucket, request.method)
        return gate.pass_on(request, gate.reader(bucket.bucket, key, request.method), bucket.bucket.bid)

    def answer(self, request: Request) -> AnyReply | Awaitable[AnyReply]:
        """Serve what is about the service or a bucket. Raise an `AisError`, usually an `S3Error`."""
        gate = self._gate
        self._node.require_settled()
        if gate.is_query(request):
            is_primary = self._node.is_primary
            return self._queries.take(request) if is_primary else gate.pass_on(request, self._primary(), 0)
        if request.method == "OPTIONS":
            return gate.preflight(request)
        opened = gate.open(request)
        operation = self._operations.get(opened.op)
        is_change = opened.op is Op.CREATE_BUCKET or (operation is not None and operation.is_change)
        if is_change and not self._node.is_primary:
            return gate.forward(opened, self._primary())
        if opened.op is Op.POST_OBJECT:
            return self._forms.post(opened)
        caller = gate.identify(opened)
        if opened.op is Op.LIST_BUCKETS:
            return self._service.list_buckets(opened, caller)
        if opened.op is Op.CREATE_BUCKET:
            self._service.check_create(opened, caller)
            return self._create(opened, caller)
        if operation is None:  # about an object of a bucket that `forward` did not find
            bucket = gate.require_bucket(opened)
            return gate.forward(opened, gate.owner(bucket.bucket.uname, opened.key))
        return self._serve(operation, opened, caller)

    def _serve(
        self, operation: Operation, opened: S3Request, caller: Identity
    ) -> Upload | Awaitable[Reply | StreamReply]:
        call = Call(opened, caller, self._admit(operation, opened, caller))
        if operation.size is None:
            return self._finish(operation, call)
        payload = Payload(opened, caller, with_md5=False)
        if operation.needs_checksum and not payload.claims and "content-md5" not in opened.headers:
            raise S3Error("InvalidRequest", "Missing required header for this request: Content-MD5 or x-amz-checksum-*")
        size = operation.size(self._gate.limits)
        return document_body.upload(payload, size, lambda body: self._finish(operation, call._replace(body=body)))

    def _admit(self, operation: Operation, request: S3Request, caller: Identity) -> S3Bucket:
        bucket = self._may(operation, request, caller)
        if bucket.bucket.has_backend and request.op not in _REMOTE:
            raise S3Error("NotImplemented", f"Remote buckets do not support this over S3: {request.op.name}")
        return bucket

    def _may(self, operation: Operation, request: S3Request, caller: Identity) -> S3Bucket:
        if not operation.admits_keys:
            return self._gate.admit(request, caller)
        bucket = self._gate.require_bucket(request)
        rights = bucket.rights
        if caller.user is None and not caller.trusted and not rights.statements and rights.acl is None:
            raise S3Error("AccessDenied")  # before the body is read: no key can be admitted
        return bucket

    async def _finish(self, operation: Operation, call: Call) -> Reply | StreamReply:
        reply = await operation.handler(call)
        reply.headers += header_lines(*self._gate.cross_origin(call.request))
        return reply

    def _create(self, request: S3Request, caller: Identity) -> Upload:
        payload = Payload(request, caller, with_md5=False)
        size = document_size(self._gate.limits)
        return document_body.upload(payload, size, lambda body: self._service.create(request, caller, body))

    def _primary(self) -> Snode:
        primary = self._node.smap.primary
        if primary is None:
            raise NotReady("the cluster has no primary now: try again when it has elected one")
        return primary
