"""An S3 server that is not ours: moto, in a process of its own."""

import contextlib
import importlib
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator

import pytest

from ais.testing import free_ports

START_S_MAX = 120.0


@pytest.fixture(scope="session")
def moto_url() -> Iterator[str]:
    """Where it listens; it lives as long as the tests."""
    url = f"http://127.0.0.1:{(port := free_ports(1))}"
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            _wait(url, process)
            yield url
        finally:
            process.kill()


def _wait(url: str, process: "subprocess.Popen[bytes]") -> None:
    deadline_s = time.monotonic() + START_S_MAX
    while time.monotonic() < deadline_s and process.poll() is None:
        with contextlib.suppress(OSError), urllib.request.urlopen(f"{url}/moto-api/", timeout=START_S_MAX):
            return
        time.sleep(0.05)
    raise TimeoutError(f"moto does not listen at {url}")


@pytest.fixture
def aws(moto_url: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """Its URL, in the environment with credentials: what a node's own environment would say."""
    importlib.import_module("aiobotocore.session")  # before nodes run in this process, whose loop it would hold up
    set_environment(monkeypatch, moto_url)
    return moto_url


def set_environment(patch: pytest.MonkeyPatch, moto_url: str) -> None:
    """Where nodes find it, and with which credentials."""
    for name, value in {
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": moto_url,
        "AWS_CONFIG_FILE": "/nonexistent",
        "AWS_SHARED_CREDENTIALS_FILE": "/nonexistent",
    }.items():
        patch.setenv(name, value)
