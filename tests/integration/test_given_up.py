"""A request that was given up acts on nothing else: not on another bucket that has the name later."""

import asyncio
import contextlib
import http.client
import os
import threading
import time
import urllib.parse
from collections.abc import Coroutine, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import uvloop
from harness import wire
from harness.faults.links import Cut
from harness.faults.schedule import Shape
from harness.faults.stage import Stage
from harness.nodes import eventually
from harness.wire import Api, fresh_name, message, request

BRISK = {"keepalivetracker.proxy.interval": "2s", "keepalivetracker.target.interval": "2s"}
LOOKS = 60
KINDS = ("native destroy", "native props", "S3 delete")


def test_a_change_that_waits_at_a_gateway_does_not_hit_a_later_bucket(
    parted: "Parted", monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sent through a gateway that does not reach the primary, given up; the bucket made meanwhile is not touched."""
    monkeypatch.setattr(wire, "TIMEOUT_S", 90.0)  # the primary waits until the gateway vouches for nothing any more
    api, buckets = Api(parted.primary), {how: fresh_name() for how in KINDS}
    for bucket in buckets.values():
        assert api.create(bucket).status == 200
        eventually(partial(is_there, parted.gateway, bucket), within_s=60)
    with parted.cut():
        connections = [ask(parted.gateway, bucket, how) for how, bucket in buckets.items() for _ in range(5)]
        time.sleep(1)
        for connection in connections:
            connection.close()
        for bucket in buckets.values():
            eventually(lambda bucket=bucket: api.destroy(bucket).status in (200, 404), within_s=90)
            eventually(lambda bucket=bucket: api.create(bucket).status in (200, 409), within_s=90)
    hit = set()
    for _ in range(LOOKS):
        for how, bucket in buckets.items():
            answer = api.call("HEAD", f"/v1/buckets/{bucket}")
            is_intact = '"versioning":{"enabled":true' in (answer.header("Ais-Bucket-Props") or "")
            if answer.status == 404 or (answer.status == 200 and not is_intact):
                hit.add(how)
        time.sleep(0.05)
    assert not hit


def is_there(url: str, bucket: str) -> bool:
    """Whether a gateway knows a bucket."""
    return Api(url).call("HEAD", f"/v1/buckets/{bucket}").status == 200


def ask(url: str, bucket: str, how: str) -> http.client.HTTPConnection:
    """Send the request; the connection on which the answer would come."""
    split = urllib.parse.urlsplit(url)
    connection = http.client.HTTPConnection(split.hostname or "", split.port, timeout=20)
    if how == "S3 delete":
        connection.request("DELETE", f"/s3/{bucket}")
    elif how == "native destroy":
        connection.request("DELETE", f"/v1/buckets/{bucket}?provider=ais", message("destroy-bck"))
    else:
        props = message("set-bprops", value={"versioning": {"enabled": False}})
        connection.request("PATCH", f"/v1/buckets/{bucket}?provider=ais", props)
    return connection


@pytest.mark.parametrize(("told", "status"), [(str((1 << 63) + 1), 404), ("1", 404), ("x", 400), ("9" * 30, 400)])
def test_a_passed_on_change_names_the_bucket_it_means(parted: "Parted", told: str, status: int) -> None:
    """The ID of another bucket than the one that has the name now makes a change find nothing; nonsense is refused."""
    bucket = fresh_name()
    assert Api(parted.primary).create(bucket).status == 200
    eventually(partial(is_there, parted.primary, bucket), within_s=60)
    answer = request(
        parted.primary,
        "DELETE",
        f"/v1/buckets/{bucket}?provider=ais",
        body=message("destroy-bck"),
        headers={"Ais-Bucket-Id": told},
    )
    assert answer.status == status
    assert is_there(parted.primary, bucket)


class Parted:
    """Two proxies, one target; the other proxy (`gateway`) can be cut off from the primary."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._loop = uvloop.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)

    def __enter__(self) -> "Parted":
        self._thread.start()
        self._stage = Stage(self._directory, Shape(proxies=2, targets=1, mountpaths=1), settings=BRISK)
        try:
            self._do(self._stage.open())
        except BaseException:
            self.__exit__()  # or the thread keeps pytest from its end
            raise
        smap = Api(self._stage.proxies[0]).smap()
        self.primary = smap["proxy_si"]["public_net"]["direct_url"]
        [self.gateway] = [url for url in self._stage.proxies if url != self.primary]
        names = {node.url: node.name for node in self._stage.nodes.values()}
        here, there = names[self.primary], names[self.gateway]
        self._links = {(here, there), (there, here)}
        return self

    def __exit__(self, *_: object) -> None:
        self._do(self._stage.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    @contextlib.contextmanager
    def cut(self) -> Iterator[None]:
        """For a block nothing passes between the two; what is sent on a new connection arrives at the end."""
        self._do(self._stage.links.cut(self._links, Cut.SWALLOW))
        yield
        self._do(self._stage.links.heal(self._links))

    def _do(self, coroutine: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(120)


@pytest.fixture(scope="module")
def parted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Parted]:
    """See `Parted`. What its nodes inherit is taken back from the environment."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("PYTHONPATH", "HARNESS_PLANT"):
            patch.setenv(name, os.environ.get(name, ""))
        with Parted(tmp_path_factory.mktemp("parted") / "cluster") as running:
            yield running
