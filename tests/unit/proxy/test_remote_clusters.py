"""Another cluster of ours, attached: its buckets are read and written through here as `ais://@alias/bucket`."""

import io
import json
from collections.abc import Callable
from typing import Any

import aiohttp
from harness.backends import conform
from harness.remote import CALM, Remote

from ais.api.bucket import Bck, Namespace
from ais.backend.ais import RemoteAis
from ais.backend.interface import Place

Run = Callable[[Any], Any]
LARGE = bytes(range(251)) * 10_000
AT = "?provider=ais&namespace=%40rem%23"


def _url(cluster: Any) -> str:
    return str(cluster.primary.url)


async def _attach(http: aiohttp.ClientSession, cluster: Any, alias: str, url: str, action: str = "attach") -> Any:
    headers = {"Ais-Remote-Ais-Alias": alias, "Ais-Remote-Ais-Url": url}
    async with http.put(f"{_url(cluster)}/v1/cluster/{action}?what=remote", headers=headers) as answer:
        return answer.status, await answer.text()


def test_a_cluster_is_a_backend(serve: Any, run: Run) -> None:
    """Over AIStore's API, a cluster of ours passes what every backend has to do."""

    async def scenario() -> None:
        async with serve(targets=2, storage=True, **CALM) as cluster:
            await cluster.create("mine")
            backend = RemoteAis("rem", _url(cluster))
            try:
                here = Namespace("rem")
                place, missing = Place(Bck("mine", "ais", here)), Place(Bck("none", "ais", here))
                await conform(backend, place, missing, large=LARGE)
            finally:
                await backend.close()

    run(scenario())


def test_attach_use_detach(serve: Any, run: Run) -> None:
    """Buckets of an attached cluster are created, listed, written, read and destroyed; detached, nothing is left."""

    async def scenario() -> None:
        async with (
            serve(targets=1, storage=True, prefix="far", **CALM) as far,
            serve(targets=2, storage=True, **CALM) as near,
            aiohttp.ClientSession() as http,
        ):
            primary = near.primary
            assert (await primary.act("POST", f"/v1/buckets/rb{AT}", "create-bck")).status == 404
            assert (await _attach(http, near, "", ""))[0] == 400
            assert (await _attach(http, near, "self", _url(near)))[0] == 409
            assert await _attach(http, near, "bad", "http://127.0.0.1:1") == (200, "")
            assert await _attach(http, near, "rem", _url(far)) == (200, "")
            assert (await _attach(http, near, "rem2", _url(far)))[0] == 409
            found = (await primary.ask("GET", "/v1/cluster?what=remote")).json["a"]
            uuid = far.primary.node.smap.uuid
            assert {one["alias"]: one["uuid"] for one in found} == {"bad": "defunct", "rem": uuid}
            for patch, status in (({"ht": {}}, 200), ({"ais": {}}, 409), ({"ais": {"rem": [_url(near)]}}, 409)):
                changed = await primary.act("PUT", "/v1/cluster", "set-config", {"backend": patch})
                assert changed.status == status, changed.body
            assert sorted(primary.node.config.cluster.backend) == ["ais", "ht"]
            assert (await primary.act("PUT", "/v1/cluster", "reset-config")).status == 200
            assert sorted(primary.node.config.cluster.backend) == ["ais"]

            assert (await primary.act("POST", f"/v1/buckets/rb{AT}", "create-bck")).status == 200
            assert (await primary.act("POST", f"/v1/buckets/rb{AT}", "create-bck")).status == 409
            bucket, there = (Remote(cluster, "rb", None, http) for cluster in (near, far))
            bucket.query, there.query = AT, "?provider=ais"
            assert (await there.ask("PUT", "d/o1", data=b"from there"))[0] == 200
            assert (await bucket.ask("PUT", "d/o2", data=b"from here"))[0] == 200
            assert (await bucket.ask("PUT", "large", data=io.BytesIO(LARGE)))[0] == 200
            assert await there.get("d/o2") == b"from here"
            assert await there.get("large") == LARGE
            assert await bucket.cached() == ["d/o2", "large"]
            assert await bucket.get("d/o1") == b"from there"
            assert sorted(await bucket.listed()) == ["d/o1", "d/o2", "large"]
            assert [one["name"] for one in (await primary.act("GET", f"/v1/buckets{AT}", "list")).json] == ["rb"]
            assert (await bucket.ask("DELETE", "d/o1"))[0] == 200
            assert (await there.ask("GET", "d/o1"))[0] == 404
            status, body, _ = await bucket.ask("GET", "none")
            assert (status, json.loads(body)["tcode"]) == (404, "ErrNotFound")

            assert (await primary.act("POST", f"/v1/buckets/rb2{AT}", "create-bck")).status == 200
            assert (await primary.act("DELETE", f"/v1/buckets/rb2{AT}", "destroy-bck")).status == 200
            assert far.primary.node.bmd.get(Bck("rb2")) is None
            assert (await _attach(http, near, "rem", "", "detach"))[0] == 200
            assert (await _attach(http, near, "rem", "", "detach"))[0] == 404
            assert [one.bck for one in primary.node.bmd] == []
            assert (await bucket.ask("GET", "d/o2"))[0] == 404
            assert await there.get("d/o2") == b"from here"

    run(scenario())
