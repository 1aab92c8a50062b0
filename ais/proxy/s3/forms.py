"""PostObject: a browser's form with a file in it. The file is sent on to the owner of its key while it comes.

The owner gets a PUT with a note that names the user whose key signed the form's policy. It sees the end of the file
only when the form was complete and the file as large as the policy wants it: before that nothing becomes visible.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Mapping
from typing import NamedTuple
from urllib.parse import quote, urlencode, urlsplit

from ais.env.network import Answer
from ais.net.client import PeerClient
from ais.net.http import Reply, Upload
from ais.node.node import Node
from ais.node.s3 import Gate
from ais.s3 import answers, documents, errors, post_form
from ais.s3.buckets import S3Bucket
from ais.s3.errors import S3Error
from ais.s3.form_body import FormBody
from ais.s3.front import S3Request
from ais.s3.identity import Identity
from ais.s3.payload import BYTES_MAX
from ais.s3.post_form import SizeRange

_OVERHEAD_BYTES_MAX = 1 << 20
"""What may come in a body besides the file."""
_URL_SAFE = "%/:?#[]@!$&'()*+,;=~"


class _Form(NamedTuple):
    """What the fields ask for; `headers` are those of the PUT."""

    request: S3Request
    bucket: S3Bucket
    fields: Mapping[str, str]
    headers: Mapping[str, str]
    caller: Identity
    sizes: SizeRange

    @property
    def key(self) -> str:
        """The key to write."""
        return self.fields["key"]

    @property
    def most(self) -> int:
        """Bytes that the file may have."""
        return BYTES_MAX if self.sizes.most is None else min(self.sizes.most, BYTES_MAX)


class Forms:
    """One per proxy."""

    def __init__(self, node: Node, gate: Gate, peers: PeerClient) -> None:
        self._node = node
        self._gate = gate
        self._peers = peers

    def post(self, request: S3Request) -> Upload:
        """Take a form; it is authenticated when its fields are here. Raise `S3Error` for what cannot be one."""
        bucket = self._gate.require_bucket(request)
        size = request.http.content_length
        if size is None:
            raise S3Error("MissingContentLength")
        if size > BYTES_MAX + _OVERHEAD_BYTES_MAX:
            raise S3Error("EntityTooLarge", ProposedSize=str(size), MaxSizeAllowed=str(BYTES_MAX))
        return Upload(_FormSink(self, request, bucket))

    def read(self, request: S3Request, bucket: S3Bucket, fields: Mapping[str, str], filename: str) -> _Form:
        """What complete fields ask for, if that is allowed. Raise `S3Error`."""
        fields = {**fields, "key": post_form.key_of(fields, filename)}
        caller = self._identify(fields)
        sizes = post_form.check_policy(fields, bucket.name, self._gate.now_s) if "policy" in fields else SizeRange()
        self._gate.require(request, caller, bucket, "s3:PutObject", fields["key"])
        return _Form(request, bucket, fields, post_form.headers_of(fields), caller, sizes)

    async def put(self, form: _Form, chunks: AsyncIterator[bytes]) -> Answer:
        """Send the file to the owner of its key. Raise `Unreachable`, `NotReady`."""
        owner = self._gate.owner(form.bucket.bucket.uname, form.key)
        target = f"/s3/{quote(form.bucket.name, safe='')}/{quote(form.key, safe='')}"
        name, note = self._gate.vouch(form.request, form.caller, owner, "PUT", target)
        most = min(form.request.http.content_length or 0, BYTES_MAX)
        return await self._peers.send_stream(
            owner.data.url + target,
            headers={**form.headers, name: note, "x-amz-decoded-content-length": str(most)},
            chunks=chunks,
            timeout_s=float(self._node.config.cluster.client.client_long_timeout),
        )

    def success(self, form: _Form, answer: Answer) -> Reply:
        """The answer to a form whose file is stored: as its fields want it."""
        request, fields = form.request, form.fields
        etag = answer.headers.get("etag", "")
        path = f"{request.http.path.rstrip('/')}/{quote(form.key)}"
        location = f"{request.http.scheme}://{request.header('host')}{path}"
        pairs = [("ETag", etag), *self._gate.cross_origin(request)]
        pairs += [(name, answer.headers[name]) for name in ("x-amz-version-id",) if name in answer.headers]
        if redirect := _redirect(fields.get("success_action_redirect") or fields.get("redirect", ""), form, etag):
            return answers.reply(request.id, 303, ("Location", redirect), *pairs)
        pairs.append(("Location", location))
        status = fields.get("success_action_status", "")
        if status == "201":
            body = documents.post_response(location, form.bucket.name, form.key, etag)
            return answers.xml_reply(request.id, body, 201, *pairs)
        return answers.reply(request.id, 200 if status == "200" else 204, *pairs)

    def _identify(self, fields: Mapping[str, str]) -> Identity:
        if not self._node.config.cluster.auth.is_closed:
            return Identity(trusted=True)
        if "policy" not in fields:
            return Identity()
        token = fields.get("x-amz-security-token", "")
        secret, caller = self._gate.credential(post_form.credential_of(fields), token)
        post_form.verify(fields, secret)
        return caller


class _Sending(NamedTuple):
    """A file on its way, and the owner's answer to come."""

    form: _Form
    answer: asyncio.Task[Answer]


class _FormSink:
    """One body. The file is queued piece by piece for the request to the owner, which runs in a task of its own."""

    def __init__(self, forms: Forms, request: S3Request, bucket: S3Bucket) -> None:
        self._forms = forms
        self._request = request
        self._bucket = bucket
        self._body = FormBody(request.header("content-type"), self._begin)
        self._pieces: asyncio.Queue[bytes] = asyncio.Queue(1)
        self._size = 0
        self._sending: _Sending | None = None

    def write(self, data: memoryview) -> Awaitable[None] | None:
        """Take the next bytes. Raise `S3Error`."""
        pieces = self._body.feed(bytes(data))
        if self._sending is None or not pieces:
            return None
        self._size += sum(map(len, pieces))
        most = self._sending.form.most
        if self._size > most:
            raise S3Error("EntityTooLarge", ProposedSize=str(self._size), MaxSizeAllowed=str(most))
        return self._pass_on(pieces, self._sending.answer)

    def finish(self) -> Awaitable[Reply]:
        """The form is complete. Raise `S3Error`."""
        try:
            self._body.finish()
            assert self._sending is not None  # a complete form had a file
            least = self._sending.form.sizes.least
            if self._size < least:
                raise S3Error("EntityTooSmall", ProposedSize=str(self._size), MinSizeAllowed=str(least))
        except S3Error:
            self.abort()
            raise
        return self._complete(*self._sending)

    def abort(self) -> None:
        """Break off the request to the owner, which then keeps nothing."""
        if self._sending is not None:
            self._sending.answer.cancel()

    def _begin(self, fields: Mapping[str, str], filename: str) -> None:
        form = self._forms.read(self._request, self._bucket, fields, filename)
        answer = asyncio.create_task(self._forms.put(form, self._chunks()), name="put file of form")
        answer.add_done_callback(_retrieve)
        self._sending = _Sending(form, answer)

    async def _chunks(self) -> AsyncIterator[bytes]:
        while piece := await self._pieces.get():
            yield piece

    async def _pass_on(self, pieces: list[bytes], answer: asyncio.Task[Answer]) -> None:
        for piece in pieces:
            if not await self._queue(piece, answer):
                raise _error(answer.result())

    async def _complete(self, form: _Form, answer: asyncio.Task[Answer]) -> Reply:
        await self._queue(b"", answer)
        outcome = await answer
        if outcome.status != 200:
            raise _error(outcome)
        return self._forms.success(form, outcome)

    async def _queue(self, piece: bytes, answer: asyncio.Task[Answer]) -> bool:
        """Give the owner the next piece; False when it has answered already."""
        queueing = asyncio.ensure_future(self._pieces.put(piece))
        await asyncio.wait((queueing, answer), return_when=asyncio.FIRST_COMPLETED)
        if answer.done():
            queueing.cancel()
        return not answer.done()


def _error(answer: Answer) -> S3Error:
    return errors.decode(answer.status, answer.body)


def _retrieve(task: asyncio.Task[Answer]) -> None:
    """Whoever waits for the task gets its error; when nobody does any more, nobody needs it."""
    if not task.cancelled():
        task.exception()


def _redirect(url: str, form: _Form, etag: str) -> str:
    """Where the browser is to go, with what it uploaded; empty when the form names no such place."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return ""
    if parts.scheme not in ("http", "https") or not parts.netloc:
        return ""
    query = urlencode({"bucket": form.bucket.name, "key": form.key, "etag": etag})
    return f"{quote(url, safe=_URL_SAFE)}{'&' if parts.query else '?'}{query}"
