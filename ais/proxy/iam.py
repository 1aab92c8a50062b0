"""IAM and STS on the port of S3: any node takes a request, the primary answers it.

The signature covers the whole body, so that is read first; no answer is given, and nothing done, before it is verified.
"""

import hashlib
from collections.abc import Awaitable, Mapping

from ais.auth.keys import AccessKeys
from ais.base.errors import AisError
from ais.iam import answers, params, service
from ais.iam.ask import Nodes
from ais.iam.errors import IamError
from ais.net.http import Reply, Request, Upload
from ais.node.node import Node
from ais.node.s3 import Gate
from ais.s3 import identity, sigv4
from ais.s3.identity import Identity


class QueryApi:
    """One per proxy."""

    def __init__(self, node: Node, gate: Gate) -> None:
        self._node = node
        self._gate = gate

    def take(self, request: Request) -> Upload:
        """Answer a request when its body is here. Raise `S3Error` for one that another node did not pass on so."""
        received, _ = self._gate.received(request)
        size_max = 4 * int(self._gate.limits.document_size)
        size = min(request.headers.content_length or size_max, size_max)
        return Upload(_FormSink(self, received, size_max), kept=size)

    async def answer(self, request: Request, body: bytes) -> Reply:
        """The answer, errors included."""
        request_id, given = self._gate.new_id(), dict[str, str]()
        try:
            given = self._parameters(request, body)
            context = identity.request_context(request, self._gate.now_s)
            caller = self._identify(request, body, given)
            now_ns, secret = self._node.env.clock.now_ns(), self._node.cluster_secret
            verify, iam = self._gate.clients.of_issuer, self._node.keys.iam
            asked = service.admit(given, caller, context, now_ns, secret, verify, iam)
            nodes = await self._run(asked)
        except AisError as error:
            self._node.refusals.note(error, request.method, request.path, request.remote)
            return answers.error_reply(request, error, request_id, given)
        return answers.reply(request_id, asked.document(nodes, request_id))

    @staticmethod
    def _parameters(request: Request, body: bytes) -> dict[str, str]:
        if request.method == "GET":
            return {name: value for name, value in request.params.items() if not name.startswith("X-Amz-")}
        return params.parse(body)

    async def _run(self, asked: service.Request) -> Nodes:
        if not asked.action.is_change:
            return asked.run(self._node.keys)[1]
        answer: list[Nodes] = []
        most = int(self._gate.limits.account_metadata)

        def change(keys: AccessKeys) -> AccessKeys:
            changed, nodes = asked.run(keys, most)
            answer[:] = [nodes]
            return changed

        await self._node.change_keys(change)
        return answer[0]

    def _identify(self, request: Request, body: bytes, given: Mapping[str, str]) -> Identity:
        headers: dict[str, list[str]] = {}
        for name, value in request.headers.items():
            headers.setdefault(name, []).append(value)
        _, action = service.action_of(given)
        is_closed = self._gate.is_closed
        signature = sigv4.read_signature(headers, request.params, (action.service,) if is_closed else sigv4.SERVICES)
        if not is_closed:
            return Identity(signature.access_key if signature else None, signature, trusted=True)
        if signature is None:
            return Identity()
        token = (headers.get("x-amz-security-token") or [request.params.get("X-Amz-Security-Token", "")])[0]
        secret, caller = self._gate.credential(signature.access_key, token)
        sigv4.check_time(signature, self._gate.now_s)
        sigv4.check_headers(signature, headers)
        sigv4.verify(
            signature,
            secret,
            method=request.method,
            path=request.path,
            query=request.query,
            headers=headers,
            payload_hash=_payload_hash(headers, body),
        )
        return caller._replace(signature=signature)


def _payload_hash(headers: Mapping[str, list[str]], body: bytes) -> str:
    computed = hashlib.sha256(body).hexdigest()
    claimed = headers.get("x-amz-content-sha256", [computed])[0]
    if claimed not in (computed, sigv4.UNSIGNED):
        raise IamError("SignatureDoesNotMatch", "The body is not the one that x-amz-content-sha256 names")
    return claimed


class _FormSink:
    """Collects a body."""

    def __init__(self, api: QueryApi, request: Request, size_max: int) -> None:
        self._api = api
        self._request = request
        self._size_max = size_max
        self._body = bytearray()

    def write(self, data: memoryview) -> None:
        """Keep the next bytes. Raise `IamError` for too many."""
        if len(self._body) + len(data) > self._size_max:
            raise IamError("ValidationError", f"A request has at most {self._size_max} bytes")
        self._body += data

    def finish(self) -> Awaitable[Reply]:
        """The form is complete."""
        return self._api.answer(self._request, bytes(self._body))

    def abort(self) -> None:
        """Nothing was done yet."""
