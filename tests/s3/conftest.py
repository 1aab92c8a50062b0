"""Buckets of the S3 tests. The clusters, and the keys for them, are in `tests/conftest.py`."""

import dataclasses
from collections.abc import Iterator

import pytest
from harness.s3access import Access, boto, new_access, remove_bucket
from harness.wire import Api, fresh_name

from ais.testing import Cluster


@pytest.fixture
def s3_bucket(s3: Access) -> Iterator[str]:
    """A fresh bucket made over S3, removed afterwards with all in it."""
    name = fresh_name("s3")
    client = boto(s3)
    client.create_bucket(Bucket=name)
    yield name
    remove_bucket(client, name)


@pytest.fixture(scope="session")
def native_api(s3_cluster: Cluster) -> Api:
    """The same cluster natively, with an administrator's key."""
    root = new_access(s3_cluster, "root", admin=True)
    return Api(root.url, (root.key_id, root.secret))


@pytest.fixture(scope="session")
def every_node(s3: Access, s3_cluster: Cluster) -> list[Access]:
    """The same endpoint through every proxy and every target."""
    return [dataclasses.replace(s3, url=node.url) for node in s3_cluster.nodes]
