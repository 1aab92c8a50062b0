"""What a token permits, on the cluster and on buckets."""

import pytest

from ais.api.access import Access
from ais.api.bucket import Bck, Namespace
from ais.api.codec import U64
from ais.auth.tokens import BucketAcl, Claims, ClusterAcl

HERE = "uuid-of-this-cluster"
OWN = BucketAcl(Bck("data", namespace=Namespace(HERE)), U64(Access.GET))
ELSEWHERE = BucketAcl(Bck("data", namespace=Namespace("backup")), U64(Access.GET))


@pytest.mark.parametrize(
    ("bck", "granted"),
    [
        (Bck("data"), Access.GET),
        (Bck("other"), Access.LIST_OBJECTS),
        (Bck("data", "aws"), Access.LIST_OBJECTS),
        (Bck("data", namespace=Namespace(name="ns")), Access.LIST_OBJECTS),
        (Bck("data", namespace=Namespace("backup")), Access.LIST_OBJECTS),
        (Bck("data", namespace=Namespace(HERE)), Access.LIST_OBJECTS),
    ],
)
def test_rights_to_a_bucket_are_to_no_other(bck: Bck, granted: Access) -> None:
    """Least of all to one of the same name at an attached cluster, which is asked with this cluster's rights."""
    claims = Claims(
        "ann", 1 << 40, clusters=(ClusterAcl(HERE, perm=U64(Access.LIST_OBJECTS)),), buckets=(OWN, ELSEWHERE)
    )
    assert claims.on_bucket(HERE, bck) == granted
    assert claims.permits(Access.GET, HERE, bck) is (granted is Access.GET)
