"""Every client stores and reads every byte: a choice of the combinations, all of them when S3_FULL=1 (`make nightly`).

Ids read client-scheme-way-checksum-size; `default` is the checksum of a client that has none to choose.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest
from harness.s3access import Access, boto, remove_bucket
from harness.s3matrix import Case, all_cases, exercise, some_cases
from harness.scale import FULL

CASES = all_cases() if FULL else some_cases()
BUCKET = "matrix"


@pytest.fixture(scope="module")
def http(s3: Access) -> Iterator[Access]:
    """The plain endpoint, with a bucket."""
    yield from with_bucket(s3)


@pytest.fixture(scope="module")
def https(s3_secure: Access) -> Iterator[Access]:
    """The TLS endpoint, with a bucket."""
    yield from with_bucket(s3_secure)


def with_bucket(access: Access) -> Iterator[Access]:
    """`access` while it has an empty bucket."""
    client = boto(access)
    client.create_bucket(Bucket=BUCKET)
    yield access
    remove_bucket(client, BUCKET)


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_stored_and_read_back(case: Case, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    """What a client stored comes back byte for byte, with the checksum it chose."""
    exercise(case, request.getfixturevalue(case.scheme), BUCKET, tmp_path)
