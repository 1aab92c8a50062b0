"""A cluster over TLS that asks for tokens."""

import asyncio
import gc
import json
import random
import ssl
import sys
import urllib.request
import warnings

import jwt
import pytest
from aisclient import AsyncClient, Client
from aisclient.errors import AccessDenied, AISError, Unauthenticated, Untrusted
from aisclient.filesystem import AISFileSystem
from harness import certificates
from harness.authn import SECRET

from ais.testing import Cluster

ADMIN = jwt.encode({"sub": "admin", "admin": True, "exp": 1 << 40}, SECRET, algorithm="HS256")
NOBODY = jwt.encode({"sub": "bob", "exp": 1 << 40}, SECRET, algorithm="HS256")


def test_tokens_and_tls(tmp_path, monkeypatch: pytest.MonkeyPatch):
    """With its CA and a token the client does what it does elsewhere; without, each says why not."""
    for name in ("AIS_AUTHN_TOKEN", "AIS_AUTHN_TOKEN_FILE", "AIS_CLIENT_CA", "AIS_SKIP_VERIFY_CRT"):
        monkeypatch.delenv(name, raising=False)
    pem = certificates.make(tmp_path)
    content = random.Random(3).randbytes(3_000_000)
    with Cluster(proxies=1, targets=2, mountpaths=1, tls=pem) as cluster:
        wanted = {"auth": {"client_auth_required": True, "signature": {"key": SECRET, "method": "HMAC"}}}
        body = json.dumps({"action": "set-config", "value": wanted}).encode()
        trusting = ssl.create_default_context(cafile=str(pem.ca))
        request = urllib.request.Request(f"{cluster.endpoint}/v1/cluster", body, method="PUT")
        urllib.request.urlopen(request, context=trusting).close()
        ca_file = str(pem.ca)
        with Client(cluster.endpoint, token=ADMIN, ca_file=ca_file) as client:
            bucket = client.bucket("b").create()
            bucket.object("a").put(content)
            (tmp_path / "large").write_bytes(content)
            bucket.object("c").put_file(tmp_path / "large", part_bytes=1_000_000)
            assert bucket.object("a").get() == bucket.object("c").get_reader(num_workers=2).read_all() == content
            bucket.object("missing").delete(missing_ok=True)
            assert dict(bucket.get_many(["a", "c"])) == {"a": content, "c": content}
        fs = AISFileSystem(cluster.endpoint, token=ADMIN, ca_file=ca_file)
        assert fs.ls("b", detail=False) == ["b/a", "b/c"]
        monkeypatch.setenv("AIS_CLIENT_CA", ca_file)
        (tmp_path / "token").write_text(json.dumps({"token": ADMIN}))
        monkeypatch.setenv("AIS_AUTHN_TOKEN_FILE", str(tmp_path / "token"))

        async def read() -> bytes:
            async with AsyncClient(cluster.endpoint) as client:
                return await client.bucket("b").object("a").get()

        async def write() -> None:
            async with AsyncClient(cluster.endpoint) as client:
                await client.bucket("b").object("d").put(b"x")
                assert await client.bucket("b").object("d").get() == b"x"

        assert asyncio.run(read()) == content
        left: list[object] = []
        with monkeypatch.context() as patched, warnings.catch_warnings():
            warnings.simplefilter("error")
            patched.setattr(sys, "unraisablehook", left.append)
            for _ in range(3):
                asyncio.run(write())
                gc.collect()
        assert not left, "connections were left open"
        monkeypatch.delenv("AIS_AUTHN_TOKEN_FILE")
        for token, refused in (("", Unauthenticated), ("nonsense", Unauthenticated), (NOBODY, AccessDenied)):
            with Client(cluster.endpoint, token=token) as client, pytest.raises(refused):
                client.bucket("b").object("a").get()
        monkeypatch.delenv("AIS_CLIENT_CA")
        with (
            Client(cluster.endpoint, token=ADMIN) as client,
            pytest.raises(Untrusted, match="AIS_CLIENT_CA"),
        ):
            client.bucket("b").object("a").get()
        with Client(cluster.endpoint, token=ADMIN, verify=False) as client:
            assert client.bucket("b").object("a").get("bytes=0-9") == content[:10]


def test_settings_that_are_wrong(tmp_path, monkeypatch: pytest.MonkeyPatch):
    """An endpoint that is none, a token file and certificates that are not there: each says what to mend, at once."""
    for endpoint in ("ftp://a", "http://a/path", "http://", "http://a?b"):
        with pytest.raises(ValueError, match="endpoint"):
            Client(endpoint)
    with pytest.raises(AISError, match="certificates"):
        Client("https://127.0.0.1:1", ca_file=str(tmp_path / "nosuch"))
    monkeypatch.setenv("AIS_AUTHN_TOKEN_FILE", str(tmp_path / "nosuch"))
    with pytest.raises(Unauthenticated, match="AIS_AUTHN_TOKEN_FILE"):
        Client()
