"""A small body taken whole: the XML and JSON documents that bucket operations come with."""

from collections.abc import Awaitable, Callable

from ais.net.http import Reply, StreamReply, Upload
from ais.s3.errors import S3Error
from ais.s3.payload import Payload

Then = Callable[[bytes], Reply | Awaitable[Reply | StreamReply]]


def upload(payload: Payload, bytes_max: int, then: Then) -> Upload:
    """Take a document and give it to `then`, whose reply is the answer. Raise as `DocumentSink`."""
    return Upload(DocumentSink(payload, bytes_max, then), kept=payload.length)


class DocumentSink:
    """Collects a body of at most `bytes_max`, verifies it, and gives it to `then`, whose reply is the answer."""

    def __init__(self, payload: Payload, bytes_max: int, then: Then) -> None:
        """Raise `S3Error` MaxMessageLengthExceeded when more is announced."""
        if payload.length > bytes_max:
            raise S3Error("MaxMessageLengthExceeded", MaxMessageLengthBytes=str(bytes_max))
        self._payload = payload
        self._then = then
        self._body = bytearray()

    def write(self, data: memoryview) -> None:
        """Keep the next bytes."""
        for piece in self._payload.feed(data):
            if len(self._body) + len(piece) > self._payload.length:
                raise S3Error("IncompleteBody", f"More bytes arrive than the {self._payload.length} announced")
            self._body += piece

    def finish(self) -> Reply | Awaitable[Reply | StreamReply]:
        """The document is complete."""
        self._payload.finish()
        return self._then(bytes(self._body))

    def abort(self) -> None:
        """Nothing was done yet."""
