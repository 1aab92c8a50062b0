"""The body of an S3 request: decoded, counted, hashed as it comes, and compared with everything that was claimed.

Pure but for the hashing. Whoever stores the content must not make it visible before `finish` returned.
"""

import hashlib
from collections.abc import Iterable
from typing import NamedTuple

from ais.s3 import checksums
from ais.s3.aws_chunked import ChunkDecoder
from ais.s3.checksums import ALGORITHMS, Algorithm, Hasher
from ais.s3.errors import S3Error
from ais.s3.front import S3Request
from ais.s3.identity import Identity
from ais.s3.operations import Op

BYTES_MAX = 5 << 30
"""Of one PUT or part."""
_STREAMING = "STREAMING-"
_NEEDS_LENGTH = (Op.PUT_OBJECT, Op.PUT_REPLICA, Op.UPLOAD_PART)


class Content(NamedTuple):
    """What arrived: size in bytes, MD5 (empty unless asked for), and the checksum under its algorithm."""

    size: int
    md5: bytes
    algorithm: Algorithm | None
    checksum: bytes


class Payload:
    """One body. `length` is the announced number of content bytes; of a file that comes in a form, the most."""

    def __init__(
        self, request: S3Request, caller: Identity, *, with_md5: bool = True, algorithm: Algorithm | None = None
    ) -> None:
        """`algorithm` is computed when the client claims none. Raise `S3Error` for claims that cannot be right."""
        self.length = content_length(request)
        self._is_at_most = _is_of_form(request)
        self._claimed_md5 = checksums.read_content_md5(request.headers)
        self._claim = checksums.read_claim(request.headers)
        self._decoder = _decoder(request, caller, self.length)
        hashed = request.header("x-amz-content-sha256")
        self._claimed_sha256 = hashed if len(hashed) == 64 else ""
        self._sha256 = hashlib.sha256() if self._claimed_sha256 else None
        self._md5 = hashlib.md5(usedforsecurity=False) if with_md5 or self._claimed_md5 else None
        self._algorithm = self._claim.algorithm if self._claim else algorithm
        self._checksum: Hasher | None = self._new_hasher()
        self._size = 0

    @property
    def exact_length(self) -> int | None:
        """`length`, unless that is only the most there can be."""
        return None if self._is_at_most else self.length

    @property
    def claims(self) -> bool:
        """Whether the client claims a checksum of one of S3's algorithms."""
        return self._claim is not None

    @property
    def algorithm(self) -> Algorithm | None:
        """The checksum that is computed."""
        return self._algorithm

    def feed(self, data: memoryview) -> Iterable[memoryview]:
        """The content in `data`, hashed when it has been taken. Raise `S3Error` at the first byte that is wrong."""
        if self._decoder is None:
            self._hash(data)
            return (data,)
        return self._decode(self._decoder, data)

    def finish(self) -> Content:
        """The body is complete. Raise `S3Error` when it is not what was claimed."""
        trailers = self._decoder.finish() if self._decoder is not None else {}
        if self._size > self.length or (self._size < self.length and not self._is_at_most):
            raise S3Error("IncompleteBody", f"{self._size} bytes arrived, {self.length} were announced")
        if self._sha256 is not None and self._sha256.hexdigest() != self._claimed_sha256:
            raise S3Error("XAmzContentSHA256Mismatch")
        md5 = self._md5.digest() if self._md5 is not None else b""
        if self._claimed_md5 is not None and md5 != self._claimed_md5:
            raise S3Error("BadDigest", "The Content-MD5 you specified did not match what we received.")
        digest = self._checksum.digest() if self._checksum is not None else b""
        if self._claim is not None:
            self._verify(self._claim, trailers, checksums.encode(digest))
        return Content(self._size, md5, self._algorithm, digest)

    def _decode(self, decoder: ChunkDecoder, data: memoryview) -> Iterable[memoryview]:
        for piece in decoder.feed(data):
            self._hash(piece)
            yield piece

    def _hash(self, piece: memoryview) -> None:
        self._size += len(piece)
        for hasher in (self._md5, self._sha256, self._checksum):
            if hasher is not None:
                hasher.update(piece)

    def _new_hasher(self) -> Hasher | None:
        return self._algorithm.new() if self._algorithm is not None else None

    @staticmethod
    def _verify(claim: checksums.Claim, trailers: dict[str, str], computed: str) -> None:
        claimed = claim.value if claim.value is not None else trailers.get(claim.algorithm.header)
        if claimed is None:
            return
        checksums.check_value(claim.algorithm, claimed)
        if claimed != computed:
            raise S3Error(
                "BadDigest", f"The {claim.algorithm.name} you specified did not match the calculated checksum."
            )


DEFAULT = ALGORITHMS["CRC64NVME"]
"""Computed for objects whose client claims nothing, as S3 does."""


def content_length(request: S3Request) -> int:
    """Announced content bytes. Raise `S3Error` MissingContentLength, InvalidArgument or EntityTooLarge."""
    if request.header("x-amz-content-sha256").startswith(_STREAMING) or _is_of_form(request):
        text = request.header("x-amz-decoded-content-length")
        if not text:
            raise S3Error("MissingContentLength", "x-amz-decoded-content-length is missing")
        if not (text.isascii() and text.isdigit() and len(text) < 19):
            raise S3Error("InvalidArgument", "x-amz-decoded-content-length must be a number of bytes")
        length: int | None = int(text)
    else:
        length = request.http.content_length
        if length is None and (request.http.headers.is_chunked or request.op in _NEEDS_LENGTH):
            raise S3Error("MissingContentLength")
    if length is not None and length > BYTES_MAX and request.op is not Op.PUT_REPLICA:
        raise S3Error("EntityTooLarge", ProposedSize=str(length), MaxSizeAllowed=str(BYTES_MAX))
    return length or 0


def _is_of_form(request: S3Request) -> bool:
    """Whether a gateway takes it out of a form as it comes: where it ends is not known before."""
    return request.via is not None and request.via.user is not None and request.http.headers.is_chunked


def _decoder(request: S3Request, caller: Identity, length: int) -> ChunkDecoder | None:
    if not request.header("x-amz-content-sha256").startswith(_STREAMING):
        return None
    trailers = checksums.announced_trailers(request.headers)
    unsupported = trailers - {one.header for one in ALGORITHMS.values()}
    if unsupported:
        raise S3Error("InvalidRequest", f"The trailer {min(unsupported)} is not one of S3's checksums")
    return ChunkDecoder(length, caller.signed, trailers)
