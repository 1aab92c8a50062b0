"""Replication configurations as they are read: which buckets they may name."""

import pytest

from ais.s3.replication import Destination, destination_of


def test_destinations() -> None:
    """Buckets of this cluster and of others, by what may be the name of one."""
    assert destination_of("arn:aws:s3:::a.b-c") == Destination("", "a.b-c")
    assert destination_of("arn:ais:s3::backup:A_b") == Destination("backup", "A_b")


@pytest.mark.parametrize("name", ["", "a/b", "a:b", "a?versioning&x-a=", "a#", "a%2Fb", "a\r\nX: y", "a b", "\u00e4"])
@pytest.mark.parametrize("prefix", ["arn:aws:s3:::", "arn:ais:s3::backup:"])
def test_what_is_no_name_makes_no_request(prefix: str, name: str) -> None:
    """It would be another one than was meant, signed with the key of this cluster."""
    assert destination_of(prefix + name) is None
