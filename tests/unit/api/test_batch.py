"""Of which buckets the entries of a batch are."""

import pytest

from ais.api import batch
from ais.api.batch import Entry
from ais.api.bucket import Bck
from ais.base.errors import BadRequest


def test_each_entry_has_its_own_bucket_or_that_of_the_request() -> None:
    """In the order of the entries; which ones they are, once each, however they are spelled."""
    entries = [Entry("o"), Entry("o", "other"), Entry("o", "b", "ais"), Entry("o", "cloud", "s3"), Entry("p", "other")]
    bcks, distinct = batch.buckets_of(entries, Bck("b"))
    assert bcks == [Bck("b"), Bck("other"), Bck("b"), Bck("cloud", "aws"), Bck("other")]
    assert distinct == {Bck("b"), Bck("other"), Bck("cloud", "aws")}
    with pytest.raises(BadRequest, match="missing bucket"):
        batch.buckets_of(entries, None)


def test_a_batch_is_of_so_many_buckets_at_most() -> None:
    """All of them are looked up while nobody else is served."""
    entries = [Entry("o", f"b{number}") for number in range(batch.BUCKETS_MAX)] * 2
    assert len(batch.buckets_of(entries, None)[1]) == batch.BUCKETS_MAX
    with pytest.raises(BadRequest, match="more than 10000 buckets"):
        batch.buckets_of([*entries, Entry("o", "one-more")], None)
