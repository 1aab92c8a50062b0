"""Fixtures of every test that needs a live cluster. Tests that kill nodes bring up clusters of their own."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from harness.wire import Api, fresh_name

if TYPE_CHECKING:
    from ais.testing import Cluster

pytest_plugins = ["ais.testing"]

NIGHTLY = Path(__file__).parent / "nightly"


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """`pytest tests` leaves the hours-long tests alone; name their folder to run them (`make nightly`)."""
    if collection_path == NIGHTLY and not any("nightly" in argument for argument in config.invocation_params.args):
        return True
    return None


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator["Cluster"]:
    """Two proxies and three targets of two mountpaths each, shared by all tests that leave them running."""
    from ais.testing import Cluster  # not above: pytest must load the plugin first

    with Cluster(proxies=2, targets=3, mountpaths=2, dir=tmp_path_factory.mktemp("cluster")) as running:
        yield running


@pytest.fixture(scope="session")
def api(cluster: "Cluster") -> Api:
    """The shared cluster through its first proxy."""
    return Api(cluster.endpoint)


@pytest.fixture
def bucket(api: Api) -> Iterator[str]:
    """A fresh bucket, destroyed afterwards (the test may have done it already)."""
    name = fresh_name()
    answer = api.create(name)
    assert answer.status == 200, answer
    yield name
    assert api.destroy(name).status in (200, 404)
