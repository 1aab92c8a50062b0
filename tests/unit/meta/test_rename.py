"""Renaming a bucket, as the bucket metadata has it."""

import pytest

from ais.api.bucket import Bck
from ais.base.errors import AisError, BadRequest, BucketNotFound, Busy, DestinationExists, Unsupported
from ais.meta import rename
from ais.meta.bmd import BMD, Bprops
from ais.meta.rename import Rename

OLD, NEW = Bck("old"), Bck("new")
MOVE = Rename("xid123456", OLD, NEW, frozenset({"t1", "t2"}))


def test_a_rename_survives_in_the_metadata_until_it_is_finished() -> None:
    """Begin, write, read, find it pending, finish: only the new bucket is left, with the old one's properties."""
    bmd = BMD("u", 3).with_bucket(OLD, Bprops())
    begun = BMD.decode(rename.begin(bmd, MOVE, term=1, now_ns=5).encode())
    assert list(rename.pending(begun)) == [MOVE]
    assert begun.version > bmd.version
    new = begun.require(NEW)
    assert new.bid != begun.require(OLD).bid
    assert not new.props.renamed
    done = rename.finish(begun, MOVE)
    assert [bucket.bck for bucket in done] == [NEW]
    assert rename.finish(done, MOVE) is done


@pytest.mark.parametrize(
    ("src", "dst", "error"),
    [
        (Bck("none"), NEW, BucketNotFound),
        (OLD, OLD, BadRequest),
        (OLD, Bck("taken"), DestinationExists),
        (OLD, Bck("new", "aws"), Unsupported),
    ],
)
def test_impossible_renames_change_nothing(src: Bck, dst: Bck, error: type[AisError]) -> None:
    """A missing source, a taken name, the same name, another provider: each has its error."""
    bmd = BMD("u", 3).with_bucket(OLD, Bprops()).with_bucket(Bck("taken"), Bprops())
    with pytest.raises(error):
        rename.begin(bmd, MOVE._replace(src=src, dst=dst), term=1, now_ns=5)


@pytest.mark.parametrize("state", ["Enabled", "Suspended"])
def test_a_bucket_that_keeps_versions_cannot_be_renamed(state: str) -> None:
    """A rename moves latest versions only: the others would be lost."""
    bmd = BMD("u", 3).with_bucket(OLD, Bprops().with_s3(versioning=state))
    with pytest.raises(Unsupported, match=r"ais://old.*keeps versions"):
        rename.begin(bmd, MOVE, term=1, now_ns=5)


def test_a_bucket_takes_part_in_one_rename_at_a_time() -> None:
    """Neither end of an unfinished rename can be renamed again or be a new destination."""
    begun = rename.begin(BMD("u", 3).with_bucket(OLD, Bprops()), MOVE, term=1, now_ns=5)
    for src, dst in ((OLD, Bck("c")), (NEW, Bck("c"))):
        with pytest.raises(Busy, match="xid123456"):
            rename.begin(begun, MOVE._replace(src=src, dst=dst), term=1, now_ns=5)
