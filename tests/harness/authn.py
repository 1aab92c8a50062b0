"""A real `authn` process on a free port."""

import contextlib
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

PASSWORD = "admin-password"
SECRET = "a-secret-of-more-than-thirty-two-bytes"


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


@contextlib.contextmanager
def running(directory: Path, **variables: str) -> Iterator[str]:
    """The URL of an AuthN that keeps its state in `directory`."""
    port = free_port()
    env = {**os.environ, "AIS_AUTHN_PORT": str(port), "AIS_AUTHN_CONF_DIR": str(directory), **variables}
    process = subprocess.Popen([sys.executable, "-m", "ais_authn.main"], env=env)
    try:
        url, deadline = f"http://127.0.0.1:{port}", time.monotonic() + 60
        while True:
            try:
                urllib.request.urlopen(f"{url}/v1/roles").close()
                break
            except OSError:
                assert process.poll() is None, "authn ended"
                assert time.monotonic() < deadline, "authn does not answer"
                time.sleep(0.05)
        yield url
    finally:
        process.terminate()
        process.wait(20)
