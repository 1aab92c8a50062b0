"""Fixtures of every test that needs a live cluster. Tests that kill nodes bring up clusters of their own."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from harness import certificates
from harness.s3access import Access, new_access
from harness.wire import Api, fresh_name

if TYPE_CHECKING:
    from ais.testing import Cluster

pytest_plugins = ["ais.testing", "harness.clouds", "harness.moto"]

NIGHTLY = Path(__file__).parent / "nightly"
UNIT = Path(__file__).parent / "unit"


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """`pytest tests` leaves the hours-long tests alone; name their folder to run them (`make nightly`)."""
    if collection_path == NIGHTLY and not any("nightly" in argument for argument in config.invocation_params.args):
        return True
    return None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """In several processes, files of tests that compute take turns with files of those that wait for nodes."""
    if not hasattr(config, "workerinput"):
        return
    turns: dict[bool, dict[Path, int]] = {True: {}, False: {}}
    for item in items:
        files = turns[UNIT in item.path.parents]
        files.setdefault(item.path, len(files))
    items.sort(key=lambda item: turns[UNIT in item.path.parents][item.path])


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


@pytest.fixture(scope="session")
def s3_cluster() -> Iterator["Cluster"]:
    """Two proxies and two targets that demand signatures, shared by all tests that leave them running."""
    from ais.testing import Cluster

    with Cluster(proxies=2, targets=2, mountpaths=2, config_overrides={"auth.enabled": "true"}) as running:
        yield running


@pytest.fixture(scope="session")
def s3(s3_cluster: "Cluster") -> Access:
    """That cluster through its first proxy, with a key of the user alice."""
    return new_access(s3_cluster, "alice")


@pytest.fixture(scope="session")
def s3_secure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Access]:
    """The same over TLS, in a cluster of its own."""
    from ais.testing import Cluster

    pem = certificates.make(tmp_path_factory.mktemp("s3-pem"))
    with Cluster(proxies=1, targets=2, mountpaths=1, tls=pem, config_overrides={"auth.enabled": "true"}) as running:
        yield new_access(running, "alice", pem.ca)
