"""A request that was given up acts on nothing else: not on another bucket that has the name later."""

import http.client
import time
import urllib.parse
from signal import SIGCONT, SIGSTOP

import pytest
from harness.wire import Api, fresh_name, message, request

from ais.testing import Cluster

FAST = {"keepalivetracker.proxy.interval": "10s", "keepalivetracker.target.interval": "10s"}
"""Slow on purpose: a primary that is frozen for some seconds stays primary."""


@pytest.mark.parametrize("how", ["native destroy", "native props", "S3 delete"])
def test_a_change_that_waits_at_a_gateway_does_not_hit_a_later_bucket(pair: Cluster, how: str) -> None:
    """Sent through a gateway while the primary is frozen, given up; the bucket made later is not touched."""
    smap = Api(pair.endpoint).smap()
    primary = next(one for one in pair.proxies if one.id == smap["proxy_si"]["daemon_id"])
    other = next(one for one in pair.proxies if one.id != primary.id)
    bucket = fresh_name()
    assert Api(primary.url).create(bucket).status == 200
    pair.signal(primary, SIGSTOP)
    split = urllib.parse.urlsplit(other.url)
    connections = []
    for _ in range(5):
        connection = http.client.HTTPConnection(split.hostname or "", split.port, timeout=20)
        if how == "S3 delete":
            connection.request("DELETE", f"/s3/{bucket}")
        elif how == "native destroy":
            connection.request("DELETE", f"/v1/buckets/{bucket}?provider=ais", message("destroy-bck"))
        else:
            props = message("set-bprops", value={"versioning": {"enabled": False}})
            connection.request("PATCH", f"/v1/buckets/{bucket}?provider=ais", props)
        connections.append(connection)
    time.sleep(1)
    for connection in connections:
        connection.close()
    time.sleep(0.5)
    pair.signal(primary, SIGCONT)
    api = Api(primary.url)
    for number in range(3):
        while (status := api.destroy(bucket).status) == 409:  # the first one may still be on its way to the end
            time.sleep(0.05)
        assert status in (200, 404)
        assert api.create(bucket).status == 200
        for _ in range(10):
            answer = api.call("HEAD", f"/v1/buckets/{bucket}")
            assert (number, answer.status) == (number, 200)
            assert '"versioning":{"enabled":true' in (answer.header("Ais-Bucket-Props") or "")
            time.sleep(0.05)


def test_a_passed_on_change_names_the_bucket_it_means(pair: Cluster) -> None:
    """The ID of another bucket than the one that has the name now makes a change find nothing."""
    smap = Api(pair.endpoint).smap()
    primary = next(one for one in pair.proxies if one.id == smap["proxy_si"]["daemon_id"])
    bucket = fresh_name()
    assert Api(primary.url).create(bucket).status == 200
    answer = request(
        primary.url,
        "DELETE",
        f"/v1/buckets/{bucket}?provider=ais",
        body=message("destroy-bck"),
        headers={"Ais-Bucket-Id": "12345"},
    )
    assert answer.status == 404
    assert Api(primary.url).call("HEAD", f"/v1/buckets/{bucket}").status == 200


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> object:
    """Two proxies, one target."""
    directory = tmp_path_factory.mktemp("pair")
    with Cluster(proxies=2, targets=1, mountpaths=1, dir=directory, config_overrides=FAST) as running:
        yield running
