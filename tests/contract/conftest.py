"""The published `aistore` SDK, unmodified, with its default retries: a 5xx where none belongs costs it 93 seconds."""

import contextlib
from collections.abc import Callable, Iterator

import pytest
from aistore.sdk import Bucket, Client
from harness.relay import in_front_of
from harness.wire import fresh_name


@pytest.fixture(scope="session")
def client(cluster) -> Client:
    """The SDK's client on the first proxy of the shared cluster."""
    return Client(cluster.endpoint)


@pytest.fixture
def bck(client: Client) -> Iterator[Bucket]:
    """A fresh bucket made by the SDK."""
    bucket = client.bucket(fresh_name("sdk")).create()
    yield bucket
    bucket.delete(missing_ok=True)


@pytest.fixture
def breaking_relay(cluster) -> Callable[..., contextlib.AbstractContextManager[Client]]:
    """A client that reaches the targets through relays; the first long answer breaks after `after_bytes`."""

    @contextlib.contextmanager
    def relay(after_bytes: int) -> Iterator[Client]:
        with in_front_of(cluster.endpoint, after_bytes) as (endpoint, relays):
            yield Client(endpoint)
            assert any(one.broke for one in relays), "the answer was never cut: the test proved nothing"

    return relay
