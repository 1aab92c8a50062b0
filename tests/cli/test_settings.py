"""The settings of the command line, aliases, search, and words that are wrong."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ais_cli import settings


def test_settings_are_stored(ais_offline: Any) -> None:
    """What is set is shown, stored in a file that says its version, used, and forgotten by a reset."""
    ais_offline("config", "cli", "set", "cluster.url=http://127.0.0.1:1", "timeout.tcp_timeout=2s")
    assert "http://127.0.0.1:1" in ais_offline("config", "cli", "show", "cluster.url").stdout
    assert settings.environment().endpoint == "http://127.0.0.1:1"
    assert settings.timeouts_s() == (60.0, 2.0)
    stored = Path(ais_offline("config", "cli", "--path").stdout.strip())
    assert '"version": 1' in stored.read_text()
    ais_offline("config", "cli", "reset")
    assert not stored.exists()


def test_environment_wins_over_settings(ais_offline: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable is stronger than what is stored."""
    ais_offline("config", "cli", "set", "cluster.url=http://127.0.0.1:1")
    monkeypatch.setenv("AIS_ENDPOINT", "http://127.0.0.1:2")
    assert settings.environment().endpoint == "http://127.0.0.1:2"


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("cluster.uri=x", "unknown setting"),
        ("no_color=perhaps", "write true or false"),
        ("timeout.tcp_timeout=soon", "write a duration"),
        ("no_color", "is not NAME=VALUE"),
    ],
)
def test_wrong_settings(word: str, message: str, ais_offline: Any) -> None:
    """A setting that does not exist or makes no sense is refused, and nothing is stored."""
    assert message in ais_offline("config", "cli", "set", word, code=2).stderr
    assert not settings.path().exists()


def test_unreadable_settings(ais_offline: Any) -> None:
    """A file of another version is not guessed at: every command says how to go on."""
    settings.path().parent.mkdir(parents=True)
    settings.path().write_text('{"version": 99}')
    assert "ais config cli reset" in ais_offline("alias", "show", code=1).stderr
    ais_offline("config", "cli", "reset")
    ais_offline("alias", "show")


def test_aliases(ais: Callable[..., Any], uri: str) -> None:
    """An alias is a command like any other, built-in ones can be removed, and a reset brings them back."""
    ais("alias", "set", "buckets", "bucket", "ls")
    assert uri in ais("buckets").stdout
    assert "buckets" in ais("alias", "show").stdout
    ais("alias", "rm", "rmb")
    assert "No such command 'rmb'" in ais("rmb", uri, code=2).stderr
    ais("alias", "reset")
    assert "No such command 'buckets'" in ais("buckets", code=2).stderr
    ais("rmb", uri)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("set", "bucket", "object", "ls"), "is a command already"),
        (("set", "x", "bucket", "lsx"), "there is no command"),
        (("set", "x/y", "bucket", "ls"), "is no name of a command"),
        (("rm", "x"), "there is no alias"),
    ],
)
def test_wrong_aliases(words: tuple[str, ...], message: str, ais_offline: Any) -> None:
    """An alias neither hides a command nor stands for none."""
    assert message in ais_offline("alias", *words, code=2).stderr


def test_search(ais_offline: Any) -> None:
    """Commands are found by their names and by what they do."""
    assert "ais bucket props set" in ais_offline("search", "props").stdout
    assert "ais job wait" in ais_offline("search", "--regex", "wait$").stdout
    assert "no command matches" in ais_offline("search", "qqqq", code=1).stderr


def test_one_dash(ais: Callable[..., Any], uri: str) -> None:
    """Long options may be written with one dash, as in AIStore's examples; clusters of short ones still work."""
    ais("put", "-", f"{uri}/o", stdin=b"x")
    assert "VERSION" in ais("ls", uri, "-props", "name,version").stdout
    assert ais("ls", uri, "-name-only", "-H").stdout == "o\n"
    assert ais("ls", uri, "-Hj").stdout.startswith("[")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("sumary",), "Did you mean 'ais bucket summary'"),
        (("creat", "ais://b"), "Did you mean 'create'?"),
        (("ls", "--prefx", "a"), "--prefix"),
        (("qqqq",), "Try 'ais search qqqq'."),
    ],
)
def test_wrong_words(words: tuple[str, ...], message: str, ais_offline: Any) -> None:
    """A word that is none suggests the right one, in one line."""
    stderr = ais_offline(*words, code=2).stderr
    assert message in stderr
    assert stderr.count("\n") == 1


def test_group_alone(ais_offline: Any) -> None:
    """A group without a command prints its help and is no error."""
    assert ais_offline("bucket").stdout.startswith("Usage: ais bucket")
