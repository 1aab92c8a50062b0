"""A bucket that is getting another name, as the bucket metadata has it. Pure.

Both buckets exist while objects move from the old to the new one. The old one carries a mark in its property `Renamed`:
the xaction's ID, the new bucket's uname, and the targets that held the bucket when it began. The old bucket is removed
when all of those have nothing left; a target that is away must come back before, or its objects would be lost.
"""

from collections.abc import Iterator
from typing import NamedTuple

import msgspec

from ais.api.bucket import AIS, Bck
from ais.api.codec import U64
from ais.base.errors import BadRequest, Busy, DestinationExists, Unsupported
from ais.meta.bmd import BMD, new_bid


class Rename(NamedTuple):
    """An unfinished rename."""

    uuid: str
    src: Bck
    dst: Bck
    target_ids: frozenset[str]


def pending(bmd: BMD) -> Iterator[Rename]:
    """All unfinished renames."""
    for bucket in bmd:
        if bucket.props.renamed:
            uuid, uname, target_ids = bucket.props.renamed.split(" ")
            yield Rename(uuid, bucket.bck, Bck.parse_uname(uname)[0], frozenset(target_ids.split(",")))


def begin(bmd: BMD, rename: Rename, *, term: int, now_ns: int) -> BMD:
    """The next version, in which the rename is under way.

    Raise `BucketNotFound`, `BadRequest`, `Unsupported`, `DestinationExists`, or `Busy` while another rename goes on.
    """
    src, dst = rename.src, rename.dst
    source = bmd.require(src)
    if src == dst:
        raise BadRequest(f'cannot move-bck bucket "{src.cname()}" onto itself')
    if src.provider != AIS or dst.provider != AIS or src.namespace.uuid or dst.namespace.uuid:
        raise Unsupported(f'cannot move-bck bucket "{src.cname()}" to "{dst.cname()}" - operation not supported')
    if source.props.of_s3.versioning:
        raise Unsupported(f'cannot rename bucket "{src.cname()}": it keeps versions, and only latest ones can be moved')
    check_settled(bmd, src)
    check_settled(bmd, dst)
    if bmd.get(dst) is not None:
        raise DestinationExists(dst.cname())
    bid = new_bid(dst.provider, term, bmd.version + 1)
    props = msgspec.structs.replace(source.props, bid=bid, created=U64(now_ns))
    mark = f"{rename.uuid} {dst.uname} {','.join(sorted(rename.target_ids))}"
    return bmd.with_bucket(dst, props).with_props(src, msgspec.structs.replace(source.props, renamed=mark))


def finish(bmd: BMD, rename: Rename) -> BMD:
    """The next version, without the old bucket; the same version when that is done already."""
    return bmd.without_bucket(rename.src) if rename in pending(bmd) else bmd


def check_settled(bmd: BMD, bck: Bck) -> None:
    """Raise `Busy` while a bucket is the source or the destination of a rename, or being deleted over S3."""
    bucket = bmd.get(bck)
    if bucket is not None and bucket.props.of_s3.deleting:
        raise Busy(f'bucket "{bck.cname()}" is being deleted')
    for rename in pending(bmd):
        if bck in (rename.src, rename.dst):
            raise Busy(
                f'bucket "{rename.src.cname()}" is being renamed to "{rename.dst.cname()}": wait for job {rename.uuid}'
            )
