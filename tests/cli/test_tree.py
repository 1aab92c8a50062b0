"""The commands and options of AIStore's `ais` (aistore_commands.txt: facts read from its help) that ours has."""

from pathlib import Path

import click
import pytest
from ais_cli.groups import DefaultGroup
from ais_cli.main import cli

THEIRS = {
    path: options.split()
    for path, _, options in (
        line.partition(":") for line in (Path(__file__).parent / "aistore_commands.txt").read_text().splitlines()
    )
}

WITH_THEIR_FEATURE = {
    "backends": (
        "cluster reload-backend-creds",
    ),
    "jobs that copy buckets": ("job start copy-bck", "job start move-bck"),
    "ETL": (
        "etl", "bucket etl", "object etl", "job start etl", "show etl",
    ),
    "audio cuts": ("ml lhotse-get-batch",),
    "metadata cache": ("cluster drop-lcache",),
    "membership": (
        "cluster add-remove-nodes join", "cluster decommission",
    ),
    "remote clusters": (
        "remote-cluster show config", "remote-cluster show dashboard", "show remote config", "show remote dashboard",
    ),
    "resilvering": ("job start resilver", "storage resilver", "advanced resilver"),
    "disk checks on demand": ("storage mountpath rescan-disks", "storage mountpath fshc"),
}  # fmt: skip
"""Commands that come with a feature that the cluster does not have yet; with all below them."""

OPTIONS_WITH_THEIR_FEATURE = {
    "add": "backends",
    "archive": "machine-made shards are got with --archregx",
    "blob-download": "backends",
    "blob-threshold": "backends",
    "diff": "backends",
    "force": "membership",
    "dont-add": "backends",
    "inv-name": "inventories",
    "inventory": "inventories",
    "latest": "backends",
    "not-cached": "backends",
    "sync": "backends",
}
"""Options about such a feature."""

MEANINGLESS = {
    "append": "an object is put whole; 'object concat' makes one of several files",
    "cluster": "a token is for all clusters that its user may use",
    "chunk-size": "parts are of use when they are uploaded, not when they are read",
    "chunked": "an object is one file, however it was uploaded",
    "dont-wait": "a summary is quick: it counts what is known of the disks",
    "extract": "tar and unzip do that",
    "filter": "jobs are chosen by name, ID, node, bucket and --regex",
    "log": "output is redirected by the shell",
    "mpd": "a GET is bound by the network, not by one connection",
    "no-resilver": "nothing moves by itself when a mountpath goes",
    "show-unmatched": "a listing of what one asked not to see",
    "cleanup": "a rebalance removes what it has moved",
    "keep-initial-config": "a node that left keeps its files",
    "prefix": "a rebalance moves all data",
    "rm-user-data": "a node that left keeps its files",
    "timeout": "what is driven from here has no job to wait for",
}
"""Options that would have nothing to do here, and why."""


def ours(path: str) -> click.Command | None:
    """Our command of that path."""
    command: click.Command = cli
    for word in path.split():
        if not isinstance(command, click.Group) or word not in command.commands:
            return None
        command = command.commands[word]
    return command


def options_of(command: click.Command) -> set[str]:
    """Its options without dashes, those of a group's default command included."""
    found = {name.lstrip("-") for one in command.params for name in (*one.opts, *one.secondary_opts)}
    return found | options_of(command.default_command()) if isinstance(command, DefaultGroup) else found


def comes_later(path: str) -> bool:
    """Whether a command belongs to a feature that the cluster does not have yet."""
    roots = [one for paths in WITH_THEIR_FEATURE.values() for one in paths]
    return any(path == one or path.startswith(one + " ") for one in roots)


@pytest.mark.parametrize("path", THEIRS)
def test_command(path: str) -> None:
    """A command of theirs is one of ours with its options, or is listed with the feature that it needs."""
    command = ours(path)
    if command is None:
        assert comes_later(path), "no such command"
        return
    known = options_of(command)
    excused = OPTIONS_WITH_THEIR_FEATURE | MEANINGLESS
    missing = [
        name
        for names in THEIRS[path]
        for name in names.split("/")
        if name not in known and names.split("/")[0] not in excused
    ]
    assert not missing


def test_lists_are_of_theirs() -> None:
    """What is listed as missing is something that theirs has, and that not every command of ours has by now."""
    listed = {one for paths in WITH_THEIR_FEATURE.values() for one in paths}
    assert listed <= set(THEIRS)
    lacking = {
        names.split("/")[0]
        for path, options in THEIRS.items()
        if (command := ours(path)) is not None
        for names in options
        if not set(names.split("/")) <= options_of(command)
    }
    assert lacking <= set(OPTIONS_WITH_THEIR_FEATURE | MEANINGLESS)
