"""The backend of Azure against Azurite, and against servers that fail as clouds do."""

import asyncio
import gzip
import hashlib
import random
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from itertools import groupby
from pathlib import Path

import pytest
from aiohttp import web
from harness.answering import answering
from harness.backends import Content, conform, conform_to_placeholders, read
from harness.clouds import ACCOUNT, KEY
from harness.loop import run

from ais.api.bucket import Bck
from ais.backend import azure as module
from ais.backend.azure import Azure
from ais.backend.interface import Place
from ais.base.errors import AccessDenied, AisError, BadRequest, Conflict, MissingBackend, NotReady, Unreachable

MISSING = Place(Bck("missing-bucket", "azure"))
BODY = b"0123456789" * 100


@asynccontextmanager
async def container(name: str) -> AsyncIterator[tuple[Azure, Place]]:
    """One at Azurite, and a backend that sees it."""
    backend = Azure()
    try:
        await (await backend._opened()).create_container(name)
        yield backend, Place(Bck(name, "azure"))
    finally:
        await backend.close()


@pytest.mark.usefixtures("azurite")
def test_it_conforms() -> None:
    """All that a backend must do, Azurite confirms; parts of an upload arrive in order."""

    async def scenario() -> None:
        async with container("conforms") as (backend, place):
            await conform(backend, place, MISSING, large=bytes(range(256)) * 70_000)
        async with container("placeholders") as (backend, place):
            await conform_to_placeholders(backend, place)

    run(scenario())


@pytest.mark.usefixtures("azurite")
def test_what_azure_says_of_an_object_is_kept() -> None:
    """The tag, which is the version too, and the MD5; metadata by names that Azure takes, or refused."""

    async def scenario() -> None:
        async with container("says") as (backend, place):
            said = {"x-amz-meta-s3cmd-attrs": "v", "x-amz-meta-a_b": "w"}
            put = await backend.put(place, "o", Content(BODY), said)
            found = await backend.head(place, "o")
            assert found.version == found.etag == put.etag
            assert found.custom("azure") == {
                "source": "azure",
                "ETag": put.etag,
                "md5": hashlib.md5(BODY).hexdigest(),
                "LastModified": put.custom("azure")["LastModified"],
                **said,
            }
            blob = (await backend._opened()).get_blob_client("says", "o")
            assert (await blob.get_blob_properties()).metadata == {"s3cmd_attrs": "v", "a__b": "w"}
            for name, key, text in (
                ("o", "expires", "Expires"),
                ("o", "x-amz-meta-1.2", "letters"),
                ("a\\b", "x-amz-meta-k", "backslash"),
            ):
                with pytest.raises(BadRequest, match=text):
                    await backend.put(place, name, Content(b""), {key: "v"})

    run(scenario())


@pytest.mark.usefixtures("azurite")
def test_what_is_packed_comes_as_it_is_stored() -> None:
    """The library would unpack what says `Content-Encoding: gzip`, whole, from a range, or if it is none."""
    packed = gzip.compress(bytes(random.Random(7).randbytes(5 << 20)))

    async def scenario() -> None:
        async with container("packed") as (backend, place):
            for body in (gzip.compress(BODY), packed, BODY):
                await backend.put(place, "o", Content(body), {"content-encoding": "gzip"})
                assert await read(backend, place, "o") == body
                assert await read(backend, place, "o", 7, 20) == body[7:27]
                assert (await backend.head(place, "o")).content["content-encoding"] == "gzip"

    run(scenario())


class Slow(Content):
    """Whose last part is not read before something has happened."""

    def __init__(self, body: bytes, before_last: Callable[[], Awaitable[object]]) -> None:
        super().__init__(body)
        self._before_last = before_last

    async def read(self, offset: int, length: int) -> bytes:
        """See `Content`."""
        if offset + length == self.size:
            await self._before_last()
        return await super().read(offset, length)


@pytest.mark.usefixtures("azurite")
def test_uploads_of_one_name_are_not_mixed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of two at the same time, from two clusters say, the object is one, and the other is told."""
    monkeypatch.setattr(module, "PART_BYTES", 1 << 20)

    async def scenario() -> None:
        async with container("mixed") as (backend, place):
            one, other = (char * (3 << 20) for char in (b"1", b"2"))
            slow = Slow(one, lambda: backend.put(place, "o", Content(other), {}))
            with pytest.raises(Conflict):
                await backend.put(place, "o", slow, {})
            assert await read(backend, place, "o") == other

    run(scenario())


@pytest.mark.usefixtures("azurite")
def test_a_listing_goes_on_where_it_was_whoever_remembers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Azure's markers are of one listing: another target, which has none, finds the place by the name."""
    monkeypatch.setattr(module, "PAGE_MAX", 4)

    async def scenario() -> None:
        async with container("lists") as (backend, place):
            names = [f"n{number:02}" for number in range(11)]
            for name in names:
                await backend.put(place, name, Content(b""), {})
            found, after, more = [], "", True
            while more:
                page = await backend.page(place, "n", after, 3)
                found += [one.name for one in page.objects]
                after, more = page.last, page.has_more
                if len(found) != 6:
                    backend._marks.clear()
            assert found == names

    run(scenario())


def test_credentials_are_those_of_azures_programs(azurite: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection string, an account's key or a signature; a wrong one is refused, none says what is missing."""
    from azure.storage.blob import AccountSasPermissions, ResourceTypes, generate_account_sas

    async def sees() -> bool:
        backend = Azure()
        try:
            return Bck("seen", "azure") in await backend.buckets()
        finally:
            await backend.close()

    async def scenario() -> None:
        async with container("seen"):
            pass
        assert await sees()
        monkeypatch.setenv("AZURE_STORAGE_KEY", KEY[:10] + "A" + KEY[11:])
        with pytest.raises(AccessDenied) as failure:
            await sees()
        assert KEY[20:30] not in str(failure.value)
        monkeypatch.setenv("AZURE_STORAGE_KEY", "rubbish")
        with pytest.raises(AccessDenied, match="AZURE_STORAGE_KEY"):
            await sees()
        monkeypatch.delenv("AZURE_STORAGE_KEY")
        signature = generate_account_sas(
            ACCOUNT,
            KEY,
            ResourceTypes(service=True),
            AccountSasPermissions(list=True),
            datetime.now(UTC) + timedelta(hours=1),
        )
        monkeypatch.setenv("AZURE_STORAGE_SAS_TOKEN", signature)
        assert await sees()
        monkeypatch.setenv("AZURE_STORAGE_CONNECTION_STRING", "rubbish")
        with pytest.raises(AccessDenied, match="AZURE_STORAGE_CONNECTION_STRING"):
            await sees()
        monkeypatch.setenv(
            "AZURE_STORAGE_CONNECTION_STRING", f"AccountName={ACCOUNT};AccountKey={KEY};BlobEndpoint={azurite}"
        )
        assert await sees()
        for name in ("AZURE_STORAGE_CONNECTION_STRING", "AZURE_STORAGE_ACCOUNT"):
            monkeypatch.delenv(name)
        with pytest.raises(AccessDenied, match="AZURE_STORAGE_ACCOUNT"):
            await sees()

    run(scenario())


def test_settings_in_a_file_may_be_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """That of Azure's command line, where the environment names no account: each request is signed with what it has
    then, while one is read. Errors do not show what is in it."""
    for name in ("CONNECTION_STRING", "ACCOUNT", "KEY", "SAS_TOKEN"):
        monkeypatch.delenv(f"AZURE_STORAGE_{name}", raising=False)
    monkeypatch.setenv("AZURE_CONFIG_DIR", str(tmp_path))
    monkeypatch.setattr(module, "FIRST_BYTES", 4)
    monkeypatch.setattr(module, "READ_BYTES", 4)
    signed: list[str] = []

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        signed.append(request.headers.get("Authorization", "").partition(":")[0] or request.query.get("sig", ""))
        headers = {"Last-Modified": "Sat, 28 Nov 2026 11:13:30 GMT", "ETag": '"e"', "x-ms-blob-type": "BlockBlob"}
        if request.method == "HEAD":
            return web.Response(headers=headers, body=BODY[:8])
        first, _, last = request.headers.get("x-ms-range", "bytes=0-7").removeprefix("bytes=").partition("-")
        headers["Content-Range"] = f"bytes {first}-{last}/8"
        return web.Response(status=206, headers=headers, body=BODY[int(first) : int(last) + 1])

    async def scenario() -> None:
        async with answering(answer) as url:
            monkeypatch.setenv("AIS_AZURE_URL", url)
            backend, place = Azure(), Place(Bck("b", "azure"))

            async def told(text: str) -> None:
                (tmp_path / "config").write_text(text)
                await asyncio.gather(*(backend.head(place, "o") for _ in range(2)))

            try:
                for text in ("", "[core]\noutput = json\n", "[storage]\nkey = {KEY}\n", "rubbish secret"):
                    with pytest.raises(AccessDenied, match="AZURE_STORAGE_ACCOUNT") as failure:
                        await told(text)
                    assert "secret" not in str(failure.value)
                await told(f"[storage]\naccount = first\nkey = {KEY}\n")
                await told(f"[storage]\naccount = second\nkey = {KEY}\n")
                async with backend.get(place, "o") as download:
                    await told("[storage]\naccount = second\nsas_token = sv=2026&sig=third\n")
                    assert b"".join([chunk async for chunk in download.chunks]) == BODY[:8]
            finally:
                await backend.close()

    run(scenario())
    one, other = "SharedKey first", "SharedKey second"
    assert [key for key, _ in groupby(signed)] == [one, other, "third", other]  # the library may try again


@pytest.mark.parametrize(
    ("status", "kind", "text"),
    [
        (503, NotReady, "try again"),
        (403, AccessDenied, "az://b/o"),
        (500, Unreachable, "az://b/o"),
        (0, Unreachable, "az://b/o"),
    ],
    ids=["overloaded", "denied", "broken", "cut"],
)
def test_a_backend_that_fails_is_a_clear_error(
    status: int, kind: type[AisError], text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever a server does instead of sending the object: an error that names the object, never fewer bytes."""
    monkeypatch.setattr(module, "ATTEMPTS_MAX", 1)

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        if status:
            return web.Response(status=status)
        assert request.transport is not None
        request.transport.close()
        return web.Response()

    async def scenario() -> None:
        async with answering(answer) as url:
            monkeypatch.setenv(
                "AZURE_STORAGE_CONNECTION_STRING", f"AccountName=a;AccountKey={KEY};BlobEndpoint={url}/a"
            )
            backend = Azure()
            try:
                with pytest.raises(kind, match=text):
                    await read(backend, Place(Bck("b", "azure")), "o")
            finally:
                await backend.close()

    run(scenario())


def test_without_the_library_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is an extra of the package."""
    monkeypatch.setitem(sys.modules, "azure.storage.blob.aio", None)

    async def scenario() -> None:
        with pytest.raises(MissingBackend, match=r"pip install 'ais\[azure\]'"):
            await Azure().head(MISSING, "o")

    run(scenario())
