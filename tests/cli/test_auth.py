"""`ais auth key` on a real cluster."""

import json
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from ais.testing import Cluster


@pytest.fixture
def ais(ais: Any) -> Iterator[Any]:
    """`ais`, and no key left behind."""
    yield ais
    for key in json.loads(ais("auth", "key", "ls", "--json").stdout):
        ais("auth", "key", "rm", key["id"], "--yes")


def test_what_create_prints_is_for_a_shell(ais: Any, cluster: Cluster) -> None:
    """The shell that evaluates it has both values, unharmed, and the endpoint; people are told to keep the secret."""
    secret = "it's+$HOME/`x`"
    result = ais("auth", "key", "create", "ann", "--id", "my-key", "--secret", secret)
    script = result.stdout + 'echo "$AWS_ACCESS_KEY_ID" "$AWS_SECRET_ACCESS_KEY" "$AWS_ENDPOINT_URL"'
    shell = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True)
    assert shell.stdout.split() == ["my-key", secret, cluster.endpoint]
    assert "it is not shown again" in result.stderr


def test_life_of_a_key(ais: Any) -> None:
    """Keys are listed with user and state, disabled, enabled and removed; the list never shows a secret."""
    made = json.loads(ais("auth", "key", "create", "ann", "--json").stdout)
    other = json.loads(ais("auth", "key", "create", "bob", "-j").stdout)
    assert [line.split()[:2] for line in ais("auth", "key", "ls", "-H").stdout.splitlines()] == [
        [made["id"], "ann"],
        [other["id"], "bob"],
    ]
    assert other["id"] not in ais("auth", "key", "ls", "--user", "ann").stdout
    assert "is disabled" in ais("auth", "key", "disable", made["id"]).stdout
    shown = ais("auth", "key", "ls", "--user", "ann")
    assert shown.stdout.splitlines()[0].split() == ["ACCESS", "KEY", "ID", "USER", "CREATED", "STATUS"]
    assert shown.stdout.splitlines()[1].split()[-1] == "disabled"
    assert made["secret"] not in shown.stdout + ais("auth", "key", "ls", "--json").stdout
    assert "is enabled" in ais("auth", "key", "enable", made["id"]).stdout
    assert json.loads(ais("auth", "key", "ls", "--user", "ann", "--json").stdout)[0]["disabled"] is False
    assert "confirm with --yes" in ais("auth", "key", "rm", made["id"], code=2).stderr
    assert "removed" in ais("auth", "key", "rm", made["id"], "--yes").stdout
    assert made["id"] not in ais("auth", "key", "ls").stdout


def test_refusals(ais: Any) -> None:
    """Unknown keys, taken IDs and half a pair have their exit codes and sentences."""
    for command in ("disable", "enable", "rm"):
        assert 'see "ais auth key ls"' in ais("auth", "key", command, "no-such-key", code=3).stderr
    assert "both --id and --secret" in ais("auth", "key", "create", "ann", "--id", "my-key", code=2).stderr
    assert "invalid user name" in ais("auth", "key", "create", "a b", code=2).stderr
    pair = ("--id", "my-key", "--secret", "12345678")
    ais("auth", "key", "create", "ann", *pair)
    assert "already exists" in ais("auth", "key", "create", "bob", *pair, code=1).stderr
