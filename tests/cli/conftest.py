"""Running `ais` commands against the shared cluster."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from ais_cli import settings
from ais_cli.main import cli
from click.testing import CliRunner, Result

if TYPE_CHECKING:
    from ais.testing import Cluster

Ais = Callable[..., Result]


def run_cli(*words: object, code: int = 0, stdin: bytes | None = None) -> Result:
    """Run a command in this process and check its exit code."""
    result = CliRunner().invoke(
        cli, [str(word) for word in words], input=stdin, prog_name="ais", catch_exceptions=False
    )
    assert result.exit_code == code, f"exit {result.exit_code}\n{result.stdout}\n{result.stderr}"
    return result


@pytest.fixture(autouse=True)
def _own_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No test reads or writes the settings of whoever runs it."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    settings.forget()
    yield
    settings.forget()


@pytest.fixture
def ais_offline() -> Ais:
    """`ais` without a cluster: for what is answered before one is asked."""
    return run_cli


@pytest.fixture
def ais_process() -> Callable[..., "subprocess.CompletedProcess[str]"]:
    """`ais` as a process of its own, for what has to outlive a command or belongs to a terminal."""

    def run(*words: object, code: int = 0, stdin: str = "") -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "-c", "from ais_cli.main import main; main()", *map(str, words)]
        result = subprocess.run(command, input=stdin, capture_output=True, text=True, check=False, timeout=90)
        assert result.returncode == code, f"exit {result.returncode}\n{result.stdout}\n{result.stderr}"
        return result

    return run


@pytest.fixture
def ais(cluster: "Cluster", monkeypatch: pytest.MonkeyPatch) -> Ais:
    """`ais` with the shared cluster as its endpoint."""
    monkeypatch.setenv("AIS_ENDPOINT", cluster.endpoint)
    return run_cli


@pytest.fixture
def uri(bucket: str) -> str:
    """A fresh bucket as `ais://NAME`."""
    return f"ais://{bucket}"
