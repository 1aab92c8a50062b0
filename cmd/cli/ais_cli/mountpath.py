"""`ais storage mountpath`: show, attach, detach, enable and disable the mountpaths of targets."""

from typing import TYPE_CHECKING

import click

from ais_cli import text
from ais_cli.app import App
from ais_cli.groups import DefaultGroup
from ais_cli.params import NODE, already_so, examples, node_id, table_options
from ais_cli.repeat import refreshing
from ais_cli.targets import Storage, fetch
from ais_cli.text import Column

if TYPE_CHECKING:
    from ais.client.client import Client

_MOUNTPATHS = (
    Column("TARGET"),
    Column("MOUNTPATH"),
    Column("LABEL"),
    Column("USED(%)", is_number=True),
    Column("AVAIL", is_number=True),
    Column("DISK"),
    Column("FILE SYSTEM"),
    Column("STATUS"),
)


@click.group(cls=DefaultGroup, default="show", with_nodes=True)
def mountpath() -> None:
    """Show, attach, detach, enable and disable mountpaths."""


@mountpath.command("show", epilog=examples("ais storage mountpath", "ais show storage mountpath t[NODE_ID]"))
@click.argument("target", type=NODE, required=False, metavar="[TARGET_ID]")
@table_options
@refreshing
@click.pass_obj
def show_mountpaths(app: App, target: str | None, as_json: bool, no_headers: bool) -> None:
    """Show the mountpaths of a target, or of all."""
    found = app.run(lambda client: fetch(client, target))
    if as_json:
        text.print_json({one.snode.id: one.mountpaths for one in found})
        return
    rows = [row for one in found for row in _mountpath_rows(one)]
    text.print_table(_MOUNTPATHS, rows, headers=not no_headers)


def _mountpath_rows(one: Storage) -> list[list[str]]:
    if one.mountpaths is None or one.disks is None:
        state = click.style("unreachable", fg="red")
        return [[one.snode.name, *[text.NONE] * (len(_MOUNTPATHS) - 2), state]]
    rows = []
    for state, paths in (
        ("available", one.mountpaths.available),
        ("in transition", one.mountpaths.waiting_dd),
        (click.style("disabled", fg="yellow"), one.mountpaths.disabled),
    ):
        for path in sorted(paths):
            row = [one.snode.name, path, *[text.NONE] * 5, state]
            if known := one.disks.mountpaths.get(path):
                file_system = f"{known.fs.fs}({known.fs.fs_type})" if known.fs.fs else text.NONE
                row[2:7] = [
                    known.label or text.NONE,
                    f"{known.pct_used}%",
                    text.size(known.avail),
                    text.joined(known.disks),
                    file_system,
                ]
            rows.append(row)
    return rows


@mountpath.command("attach", epilog=examples("ais storage mountpath attach t[NODE_ID]=/data/mp3 --label nvme"))
@click.argument("words", nargs=-1, required=True, metavar="TARGET_ID=MOUNTPATH...")
@click.option("--label", default="", help="A name for the kind of storage.")
@click.pass_obj
def attach(app: App, words: tuple[str, ...], label: str) -> None:
    """Give targets another mountpath: an existing, empty directory on the target's machine."""

    async def work(client: "Client") -> None:
        for target, path in _pairs(words):
            await client.node(target).attach_mountpath(path, label)
            click.echo(f"{path} attached to t[{target}]")

    app.run(work)


_no_resilver = click.option(
    "--no-resilver", is_flag=True, help="At once, with what is stored there: that is no longer served."
)


@mountpath.command("detach", epilog=examples("ais storage mountpath detach t[NODE_ID]=/data/mp3"))
@click.argument("words", nargs=-1, required=True, metavar="TARGET_ID=MOUNTPATH...")
@_no_resilver
@already_so("--yes", "-y")
@click.pass_obj
def detach(app: App, words: tuple[str, ...], no_resilver: bool) -> None:
    """Take mountpaths away from targets, when what is stored there has moved to their other mountpaths."""
    pairs = _pairs(words)

    async def work(client: "Client") -> None:
        for target, path in pairs:
            await client.node(target).detach_mountpath(path, drain=not no_resilver)
            click.echo(f"{path} {'' if no_resilver else 'is being '}detached from t[{target}]")
        if not no_resilver:
            text.note(
                "'ais storage mountpath' lists them until all has left, 'ais show job resilver' tells how far it is."
            )

    app.run(work)


@mountpath.command("enable", epilog=examples("ais storage mountpath enable t[NODE_ID]=/data/mp3"))
@click.argument("words", nargs=-1, required=True, metavar="TARGET_ID=MOUNTPATH...")
@click.pass_obj
def enable(app: App, words: tuple[str, ...]) -> None:
    """Use disabled mountpaths again."""

    async def work(client: "Client") -> None:
        for target, path in _pairs(words):
            changed = await client.node(target).enable_mountpath(path)
            click.echo(f"{path} of t[{target}] {'enabled' if changed else 'is enabled already'}")

    app.run(work)


@mountpath.command("disable", epilog=examples("ais storage mountpath disable t[NODE_ID]=/data/mp3"))
@click.argument("words", nargs=-1, required=True, metavar="TARGET_ID=MOUNTPATH...")
@_no_resilver
@already_so("--yes", "-y")
@click.pass_obj
def disable(app: App, words: tuple[str, ...], no_resilver: bool) -> None:
    """Stop using mountpaths without forgetting them, when what is stored there has moved to the other ones."""
    pairs = _pairs(words)

    async def work(client: "Client") -> None:
        for target, path in pairs:
            changed = await client.node(target).disable_mountpath(path, drain=not no_resilver)
            done = "disabled" if no_resilver else "is being disabled"
            click.echo(f"{path} of t[{target}] {done if changed else 'is disabled already'}")

    app.run(work)


def _pairs(words: tuple[str, ...]) -> list[tuple[str, str]]:
    """`TARGET=PATH ...`, or `TARGET PATH`."""
    if len(words) == 2 and "=" not in words[0]:
        return [(node_id(words[0]), words[1])]
    pairs = [word.partition("=") for word in words]
    if wrong := [word for word, (target, _, path) in zip(words, pairs, strict=True) if not target or not path]:
        raise click.UsageError(f'"{wrong[0]}" is not TARGET_ID=MOUNTPATH, such as t[NODE_ID]=/data/mp3')
    return [(node_id(target), path) for target, _, path in pairs]
