"""Completion as a shell asks for it."""

import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ais.testing import Cluster

_ASK = """
compopt() { :; }
source "$1"
COMP_LINE="$2" COMP_POINT=${#2} COMPREPLY=()
_ais_completion ais
printf '%s\\n' "${COMPREPLY[@]}"
"""


@pytest.fixture
def complete(ais: Any, cluster: Cluster, tmp_path: Path) -> Any:
    """What bash would offer for a line."""
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("bash is not installed")
    command = tmp_path / "bin" / "ais"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -c "from ais_cli.main import main; main()" "$@"\n')
    command.chmod(command.stat().st_mode | stat.S_IXUSR)
    script = tmp_path / "completion.bash"
    script.write_text(ais("completion", "bash").stdout)
    environment = os.environ | {"PATH": f"{command.parent}:{os.environ['PATH']}", "AIS_ENDPOINT": cluster.endpoint}

    def ask(line: str) -> list[str]:
        words = [bash, "-c", _ASK, "bash", str(script), line]
        found = subprocess.run(words, env=environment, capture_output=True, text=True, check=True, timeout=30)
        assert found.stderr == ""
        return found.stdout.split()

    return ask


def test_bash(complete: Any, ais: Any, uri: str, cluster: Cluster) -> None:
    """Commands, options, settings, buckets, objects level by level, and nodes; a colon splits no word."""
    for name in ("dir/a", "dir/b", "other"):
        ais("put", "-", f"{uri}/{name}", stdin=b"x")
    after_colon = uri.removeprefix("ais:")
    assert complete("ais bu") == ["bucket"]
    assert complete("ais ls --pr") == ["--prefix", "--props"]
    assert complete(f"ais ls {uri[:-1]}") == [after_colon]
    assert complete(f"ais get {uri}/") == [f"{after_colon}/dir/", f"{after_colon}/other"]
    assert complete(f"ais get {uri}/dir/") == [f"{after_colon}/dir/a", f"{after_colon}/dir/b"]
    assert complete(f"ais rmb {uri[6:-1]}") == [uri[6:]]
    assert f"t[{cluster.targets[0].id}]" in complete("ais storage mountpath show ")
    assert complete("ais config set checksum.t") == ["checksum.type"]
    ais("auth", "key", "create", "ann", "--id", "my-key", "--secret", "12345678")
    assert complete("ais auth key disable my-") == ["my-key"]
    ais("auth", "key", "rm", "my-key", "--yes")
    assert complete("ais completion ") == ["bash", "zsh", "fish"]


def test_no_cluster_completes_nothing(complete: Any) -> None:
    """Without a cluster, completion of what it knows is silent and quick."""
    assert complete("ais --endpoint http://127.0.0.1:9 ls ais://") == []


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells(shell: str, ais_offline: Any) -> None:
    """Code for the other shells calls us back through the same variable."""
    assert f"_AIS_COMPLETE={shell}_complete" in ais_offline("completion", shell).stdout
