"""`aisclient` against the shared cluster."""

from collections.abc import Iterator

import pytest
from aisclient import Bucket, Client


@pytest.fixture(scope="session")
def client(cluster) -> Iterator[Client]:
    """A blocking client at the first proxy."""
    with Client(cluster.endpoint) as client:
        yield client


@pytest.fixture
def bck(client: Client, bucket: str) -> Bucket:
    """A fresh bucket."""
    return client.bucket(bucket)
