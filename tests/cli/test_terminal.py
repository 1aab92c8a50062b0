"""How the command behaves on a terminal: colours, progress, questions. A pseudo-terminal plays the person."""

import os
import pty
import re
import select
import sys
import time
from typing import Any

from ais.testing import Cluster

TIMEOUT_S = 30.0


def on_terminal(cluster: Cluster, *words: str, answer: str = "") -> tuple[int, str]:
    """Run `ais` on a pseudo-terminal, type `answer` when it asks; the exit code and all that appeared."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.environ.update(AIS_ENDPOINT=cluster.endpoint, TERM="xterm-256color", COLUMNS="120")
        os.execv(sys.executable, [sys.executable, "-c", "from ais_cli.main import main; main()", *words])
    shown, deadline = b"", time.monotonic() + TIMEOUT_S
    while time.monotonic() < deadline:
        if not select.select([terminal], [], [], 1.0)[0]:
            continue
        try:
            piece = os.read(terminal, 65536)
        except OSError:  # the other end is closed
            break
        shown += piece
        if answer and b"[y/N]" in shown:
            os.write(terminal, answer.encode())
            answer = ""
    os.close(terminal)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), shown.decode()


def test_colours_only_on_a_terminal(ais: Any, uri: str, cluster: Cluster) -> None:
    """Headers are bold on a terminal; piped output has no escape sequence."""
    ais("put", "-", f"{uri}/o", stdin=b"x")
    code, shown = on_terminal(cluster, "ls", uri)
    assert code == 0
    assert "\x1b[1mNAME" in shown
    assert "\x1b" not in ais("ls", uri).output


def test_progress_on_a_terminal(uri: str, cluster: Cluster, tmp_path: Any) -> None:
    """A transfer shows objects, bytes in IEC units and speed while it runs."""
    for number in range(3):
        (tmp_path / f"{number}").write_bytes(bytes(4 << 20))
    code, shown = on_terminal(cluster, "put", str(tmp_path), uri)
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown)
    assert code == 0
    assert "3/3" in plain
    assert "12.0/12.0 MiB" in plain
    assert "iB/s" in plain
    assert plain.rstrip().endswith(f"PUT 3 files => {uri} (12.00MiB)")


def test_questions(ais: Any, uri: str, cluster: Cluster) -> None:
    """A destructive command asks; "no" changes nothing and is no success, "yes" goes on."""
    ais("put", "-", f"{uri}/o", stdin=b"x")
    code, shown = on_terminal(cluster, "rmb", uri, answer="n\n")
    assert (code, "Nothing was changed" in shown) == (1, True)
    ais("bucket", "show", uri)
    code, shown = on_terminal(cluster, "rmb", uri, answer="y\n")
    assert (code, f'"{uri}" removed' in shown) == (0, True)
    ais("bucket", "show", uri, code=3)
