"""An S3 operation on a bucket as its handler gets it: authenticated, authorized, the body complete and verified."""

from collections.abc import Awaitable, Callable
from typing import NamedTuple

from ais.base.errors import TooLarge
from ais.config.limits import Limits
from ais.meta.bmd import BMD, Bucket
from ais.net.http import Reply, StreamReply
from ais.node.node import Node
from ais.s3.buckets import S3Bucket
from ais.s3.errors import S3Error
from ais.s3.front import S3Request
from ais.s3.identity import Identity


class Call(NamedTuple):
    """One request. `body` is empty for operations that take none."""

    request: S3Request
    caller: Identity
    bucket: S3Bucket
    body: bytes = b""


Handler = Callable[[Call], Awaitable[Reply | StreamReply]]


class Operation(NamedTuple):
    """How an operation is served.

    `size` is the most that its body may have; None: it takes none. `is_change`: it changes bucket metadata, on the
    primary. `admits_keys`: each key is authorized by the handler, the bucket as a whole is not. `needs_checksum`: its
    body has to be claimed.
    """

    handler: Handler
    size: "Callable[[Limits], int] | None" = None
    is_change: bool = False
    admits_keys: bool = False
    needs_checksum: bool = False


def document_size(limits: Limits) -> int:
    """The most bytes of a document whose size S3 does not state."""
    return int(limits.document_size)


def require_same(bmd: BMD, bucket: S3Bucket) -> Bucket:
    """The bucket as `bmd` has it. Raise `S3Error` NoSuchBucket when it is not there any more, or another."""
    found = bmd.get(bucket.bck)
    if found is None or found.bid != bucket.bucket.bid or found.props.renamed:
        raise S3Error("NoSuchBucket", BucketName=bucket.name)
    return found


async def change_of(node: Node, owner: str, change: Callable[[BMD], BMD]) -> None:
    """Change what an account has. Raise `S3Error` when it then has too much, and what `Node.change_bmd` raises."""

    def checked(bmd: BMD) -> BMD:
        new = change(bmd)
        if new is not bmd:
            new.check_size_of(owner, bmd, int(node.config.cluster.limits.account_metadata))
        return new

    try:
        await node.change_bmd(checked)
    except TooLarge as error:
        raise S3Error("TooManyBuckets", str(error)) from None
