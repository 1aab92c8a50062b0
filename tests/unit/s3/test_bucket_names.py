"""Names of buckets made over S3."""

import pytest

from ais.s3 import bucket_names
from ais.s3.errors import S3Error


@pytest.mark.parametrize("name", ["abc", "a" * 63, "my.bucket-1", "1a1", "0.0.0.0.0", "192.168.1"])
def test_good_names(name: str) -> None:
    """Lower-case letters, digits, dots and hyphens, 3 to 63 of them."""
    bucket_names.check_new(name)


@pytest.mark.parametrize(
    "name",
    [
        *("ab", "a" * 64, "Abc", "a_b", "a b", ".abc", "abc.", "-abc", "abc-", "a..b", "192.168.1.1"),
        *(
            "xn--abc",
            "sthree-abc",
            "amzn-s3-demo-abc",
            "abc-s3alias",
            "abc--ol-s3",
            "abc.mrap",
            "abc--x-s3",
            "\u00e4bc",
        ),
    ],
)
def test_bad_names(name: str) -> None:
    """Too short, too long, other characters, an address, reserved beginnings and endings."""
    with pytest.raises(S3Error) as caught:
        bucket_names.check_new(name)
    assert caught.value.code == "InvalidBucketName"
