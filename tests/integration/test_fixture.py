"""`ais_cluster`, the pytest fixture that other projects use."""

import subprocess
import sys
from pathlib import Path

TESTS = """
def test_it(ais_cluster):
    assert len(ais_cluster.targets) == 3
    assert all(node.alive for node in ais_cluster.nodes)

def test_failing(ais_cluster):
    assert not ais_cluster.endpoint
"""


def test_the_fixture_and_its_failure_report(tmp_path: Path) -> None:
    """One line in `conftest.py` gives a live cluster; a failing test shows the nodes' logs."""
    (tmp_path / "conftest.py").write_text('pytest_plugins = ["ais.testing"]\n')
    (tmp_path / "test_it.py").write_text(TESTS)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(tmp_path)]
    ended = subprocess.run([*command, str(tmp_path)], cwd=tmp_path, capture_output=True, text=True, timeout=100)
    assert "1 failed, 1 passed" in ended.stdout, ended.stdout + ended.stderr
    assert "logs of the cluster" in ended.stdout
    assert '"event": "new cluster"' in ended.stdout
