"""Buckets of Google Cloud Storage and of Azure through a whole cluster in this process."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from harness.backends import Content, read
from harness.clouds import make_gcs_bucket
from harness.remote import CALM, Remote

from ais.api.bucket import Bck
from ais.backend.azure import Azure
from ais.backend.gcs import GCS
from ais.backend.interface import Backend, Place
from ais.base.errors import ObjectNotFound

Run = Callable[[Any], Any]
LARGE = bytes(range(251)) * 10_000


@asynccontextmanager
async def _origin(provider: str, name: str, url: str) -> AsyncIterator[Backend]:
    """An empty bucket, and the way to it behind our back."""
    backend = GCS() if provider == "gcp" else Azure()
    try:
        if isinstance(backend, Azure):
            await (await backend._opened()).create_container(name)
        else:
            await asyncio.to_thread(make_gcs_bucket, url, name)
        yield backend
    finally:
        await backend.close()


@pytest.mark.parametrize("provider", ["gcp", "azure"])
def test_a_bucket_of_a_cloud_is_a_bucket(provider: str, serve: Any, run: Run, request: pytest.FixtureRequest) -> None:
    """Read, written, listed, deleted and evicted as one of S3: natively and over S3, with what the cloud says of it."""
    url = request.getfixturevalue("gcs" if provider == "gcp" else "azurite")

    async def scenario() -> None:
        place = Place(Bck("photos", provider))
        async with (
            _origin(provider, "photos", url) as origin,
            serve(targets=2, storage=True, backend={provider: {}}, **CALM) as cluster,
            aiohttp.ClientSession() as http,
        ):
            primary = cluster.primary
            bucket = Remote(cluster, "photos", None, http)
            bucket.query = f"?provider={provider}"
            for name, body in (("d/small", b"small"), ("d/large", LARGE)):
                await origin.put(place, name, Content(body), {"x-amz-meta-k": "v"})
            assert (await primary.ask("GET", "/v1/cluster?what=backends")).json == [provider]
            listed = (await primary.act("GET", f"/v1/buckets{bucket.query}", "list")).json
            assert {"name": "photos", "provider": provider} in [
                {key: one[key] for key in ("name", "provider")} for one in listed
            ]
            assert set(await asyncio.gather(*(bucket.get("d/large") for _ in range(8)))) == {LARGE}
            await bucket.settled()
            assert bucket.cold_gets == 1
            assert await bucket.get("d/small") == b"small"
            found = await origin.head(place, "d/large")
            _, _, headers = await bucket.ask("HEAD", "d/large")
            assert headers["Ais-Version"] == found.version
            assert set(headers.getall("Ais-Custom-Md")) == {
                f"{key}={value}" for key, value in found.custom(provider).items()
            }
            assert (await bucket.ask("PUT", "new", data=b"written"))[0] == 200
            assert await read(origin, place, "new") == b"written"
            entries = await bucket.listed()
            assert {name: one["size"] for name, one in entries.items()} == {
                "d/large": str(len(LARGE)),
                "d/small": "5",
                "new": "7",
            }
            await bucket.job("DELETE", "evict-listrange", {"objnames": ["d/small", "d/large"]})
            assert await bucket.cached() == ["new"]
            assert await bucket.get("d/large", Range="bytes=7-9") == LARGE[7:10]
            assert await bucket.cached() == ["new"]
            async with http.get(f"{primary.url}/photos/d/small") as over_s3:
                assert (await over_s3.read(), over_s3.headers["x-amz-meta-k"]) == (b"small", "v")
            await origin.put(place, "new", Content(b"changed"), {})
            bucket.query += "&latest-ver=true"
            assert await bucket.get("new") == b"changed"
            bucket.query = f"?provider={provider}"
            assert (await bucket.ask("DELETE", "new"))[0] == 200
            with pytest.raises(ObjectNotFound):
                await origin.head(place, "new")
            assert (await bucket.ask("GET", "none"))[0] == 404
            assert (await primary.ask("HEAD", f"/v1/buckets/nowhere{bucket.query}")).status == 404
            assert (await primary.ask("PUT", f"/v1/cluster/disable-bend/{provider}")).status == 200
            assert (await bucket.ask("GET", "d/none"))[0] == 400
            assert await bucket.get("d/small") == b"small"

    run(scenario())


def test_properties_of_a_bucket_at_google(gcs: str, serve: Any, run: Run) -> None:
    """The file with its credentials has an absolute path; an `ais://` bucket is linked to one."""

    async def scenario() -> None:
        async with (
            _origin("gcp", "linked", gcs) as origin,
            serve(targets=1, storage=True, backend={"gcp": {}}, **CALM) as cluster,
        ):
            primary, path = cluster.primary, "/v1/buckets/linked?provider=gcp"
            assert (await primary.ask("HEAD", path)).status == 200
            for asked, status in (("etc/key", 400), ("/etc/../key", 400), ("/etc/key", 200)):
                value = {"extra": {"gcp": {"application_creds": asked}}}
                answer = await primary.act("PATCH", path, "set-bprops", value)
                assert answer.status == status, answer.body
            assert (await primary.act("POST", "/v1/buckets/own", "create-bck")).status == 200
            value = {"backend_bck": {"name": "linked", "provider": "gcp"}}
            assert (await primary.act("PATCH", "/v1/buckets/own", "set-bprops", value)).status == 200
            async with aiohttp.ClientSession() as http:
                own = Remote(cluster, "own", None, http)
                own.query = ""
                assert (await own.ask("PUT", "o", data=b"through"))[0] == 200
            assert await read(origin, Place(Bck("linked", "gcp")), "o") == b"through"

    run(scenario())
