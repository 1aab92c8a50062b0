"""What is answered before a cluster is asked: help, versions, wrong usage, no cluster."""

import re
import socket
from collections.abc import Iterator
from typing import Any

import click
import pytest
from ais_cli.groups import DefaultGroup
from ais_cli.main import cli


def commands(command: click.Command, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Every command of the tree with its path."""
    yield path, command
    if isinstance(command, click.Group):
        for name, one in command.commands.items():
            yield from commands(one, (*path, name))


ALL = list(commands(cli))


@pytest.mark.parametrize("path", [path for path, _ in ALL], ids=" ".join)
def test_help(path: tuple[str, ...], ais_offline: Any) -> None:
    """Every command explains itself, and its examples are commands that exist with options that exist."""
    shown = ais_offline(*path, "--help").output
    assert shown.startswith("Usage: ais")
    by_path = dict(ALL)
    for example in re.findall(r"^ {2,4}ais (.+?)(?:  |$)", shown, re.MULTILINE):
        words = example.split()
        depth = max(n for n in range(len(words) + 1) if tuple(words[:n]) in by_path)
        assert depth, example
        command = by_path[tuple(words[:depth])]
        if isinstance(command, DefaultGroup):
            command = command.default_command()
        known = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
        used = {word for word in words[depth:] if word.startswith("--")}
        assert used <= known | {"--help"}, example


def test_version(ais_offline: Any) -> None:
    """`--version` prints the package's version."""
    assert re.fullmatch(r"ais, version \d+\.\d+\.\d+\n", ais_offline("--version").stdout)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("put", "x"), "both a source and a destination"),
        (("put", "-", "ais://b"), "needs an object name"),
        (("put", "/nonexistent", "ais://b"), "no such file or directory"),
        (("get", "ais://b"), "which objects"),
        (("get", "ais://b/x", "--prefix", "a", "--list", "b"), "exclude each other"),
        (("cat", "ais://b"), "No such command"),
        (("object", "cat", "ais://b"), "an object is BUCKET/OBJECT"),
        (("create", "ais://b/x"), "a bucket is expected"),
        (("create", "ais://a..b"), "is invalid"),
        (("create", "xyz://b"), "invalid backend provider"),
        (("create", "b", "--props", "versoning.enabled=true"), "did you mean"),
        (("rmo", "ais://b"), "is a bucket"),
        (("ls", "--prefix", "a"), "needs a bucket"),
        (("ls", "ais://b", "--props", "name,colour"), "unknown property"),
        (("ls", "ais://b", "--regex", "("), "not a regular expression"),
        (("ls", "ais://b", "--template", "{1..x}"), "invalid range"),
        (("object", "mv", "ais://a/x", "ais://b/y"), "mv works within a bucket"),
        (("object", "cp", "ais://a/x", "ais://a/x"), "the same object"),
        (("config", "set", "checksum.typ=md5"), "did you mean"),
        (("config", "set", "checksum.type"), "no value for"),
        (("wait", "nonsense!"), "neither a job ID"),
        (("storage", "mountpath", "attach", "abc"), "is not TARGET_ID=MOUNTPATH"),
        (("--endpoint", "ftp://x", "ls"), "invalid endpoint"),
        (("cluster", "shutdown", "extra"), "unexpected extra argument"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_wrong_usage(words: tuple[str, ...], message: str, ais_offline: Any) -> None:
    """Wrong usage is exit code 2 with a sentence that tells what is wrong; nothing is sent."""
    assert message in ais_offline(*words, code=2).stderr


def test_no_cluster(ais_offline: Any) -> None:
    """Without a cluster the exit code is 4, and the message says how to start one or name another."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        endpoint = f"http://127.0.0.1:{unused.getsockname()[1]}"
    stderr = ais_offline("--endpoint", endpoint, "ls", code=4).stderr
    assert f"no cluster answers at {endpoint} (connection refused)" in stderr
    assert "ais playground start" in stderr
    assert "AIS_ENDPOINT" in stderr
