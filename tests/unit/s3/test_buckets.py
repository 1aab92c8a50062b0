"""Which bucket S3 clients get by a name."""

import itertools

from ais.api.bucket import Bck, Namespace
from ais.meta.bmd import BMD, Bprops
from ais.s3.buckets import S3Buckets

IN_TURN = [
    Bck("b"),
    Bck("b", "aws"),
    Bck("b", "gcp"),
    Bck("b", "azure"),
    Bck("b", "ht"),
    Bck("b", "ais", Namespace("one")),
    Bck("b", "ais", Namespace("two")),
]


def test_several_of_one_name() -> None:
    """Our own goes first, then by provider, whichever became known first; of a namespace of ours there is none."""
    for first, second in itertools.combinations(IN_TURN, 2):
        for order in ((first, second), (second, first)):
            bmd = BMD("uuid", 1)
            for bck in (Bck("b", "ais", Namespace("", "ns")), *order):
                bmd = bmd.with_bucket(bck, Bprops(provider=bck.provider))
            found = S3Buckets(bmd).get("b")
            assert found is not None
            assert found.bck == first
    assert S3Buckets(BMD("uuid", 1).with_bucket(Bck("b", "ais", Namespace("", "ns")), Bprops())).get("b") is None
