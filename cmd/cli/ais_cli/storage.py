"""`ais storage`: capacity, mountpaths and disks of the targets."""

import asyncio
from typing import TYPE_CHECKING, NamedTuple

import click
from click.shell_completion import CompletionItem

from ais.api.capacity import DiskReport, Mountpaths
from ais.base.errors import AisError
from ais.meta.smap import Snode
from ais_cli import complete, nodes, text
from ais_cli.app import App
from ais_cli.bucket import summary
from ais_cli.params import NODE, already_so, examples, node_id, table_options
from ais_cli.text import Column

if TYPE_CHECKING:
    from ais.client.client import Client

_CAPACITY = (
    Column("TARGET"),
    Column("MOUNTPATHS", is_number=True),
    Column("USED(min%, avg%, max%)"),
    Column("USED", is_number=True),
    Column("AVAIL", is_number=True),
    Column("CAP STATUS"),
)
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
_DISKS = (
    Column("TARGET"),
    Column("DISK"),
    Column("READ", is_number=True),
    Column("READ(avg size)", is_number=True),
    Column("WRITE", is_number=True),
    Column("WRITE(avg size)", is_number=True),
    Column("UTIL(%)", is_number=True),
)


class _Storage(NamedTuple):
    """What a target tells about its storage; None: it does not answer."""

    snode: Snode
    mountpaths: Mountpaths | None
    disks: DiskReport | None


@click.group()
def storage() -> None:
    """Show capacity and disks; attach, detach, enable and disable mountpaths."""


storage.add_command(summary, "summary")


async def _fetch(client: "Client", target: str | None) -> list[_Storage]:
    async def one(snode: Snode) -> _Storage:
        node = client.node(snode.id)
        try:
            return _Storage(snode, await node.mountpaths(), await node.disks())
        except AisError:
            if target is not None:
                raise
            return _Storage(snode, None, None)

    smap = await client.cluster.smap()
    if target is not None and smap.require(target).is_proxy:
        raise click.UsageError(f"{smap.require(target).name} is a proxy: it has no storage")
    wanted = [smap.require(target)] if target is not None else list(smap.tmap.values())
    return list(await asyncio.gather(*(one(snode) for snode in wanted)))


@storage.command("capacity", epilog=examples("ais storage capacity", "ais show storage capacity t[NODE_ID]"))
@click.argument("target", type=NODE, required=False, metavar="[TARGET_ID]")
@table_options
@click.pass_obj
def capacity(app: App, target: str | None, as_json: bool, no_headers: bool) -> None:
    """Show how full the targets are."""

    async def work(client: "Client") -> list[nodes.NodeRow]:
        smap = await client.cluster.smap()
        wanted = [smap.require(target)] if target else smap.tmap.values()
        return await nodes.fetch_rows(client, smap, wanted)

    rows = app.run(work)
    if as_json:
        text.print_json({row.snode.id: row.status.capacity if row.status else None for row in rows})
        return
    text.print_table(_CAPACITY, [_capacity_row(row) for row in rows], headers=not no_headers)


def _capacity_row(row: nodes.NodeRow) -> list[str]:
    if row.status is None:
        return [row.name, text.NONE, text.NONE, text.NONE, text.NONE, row.state]
    found = row.status.capacity
    return [
        row.name,
        str(len(found.mountpaths)),
        f"{found.pct_min}%, {found.pct_avg}%, {found.pct_max}%",
        text.size(found.total_used),
        text.size(found.total_avail),
        click.style(found.error, fg="red") if found.error else "good",
    ]


@storage.command("disk", epilog=examples("ais storage disk", "ais show storage disk t[NODE_ID]"))
@click.argument("target", type=NODE, required=False, metavar="[TARGET_ID]")
@table_options
@click.pass_obj
def disk(app: App, target: str | None, as_json: bool, no_headers: bool) -> None:
    """Show the load of the targets' disks."""
    found = app.run(lambda client: _fetch(client, target))
    if as_json:
        text.print_json({one.snode.id: one.disks.disks if one.disks else None for one in found})
        return
    rows = [
        [
            one.snode.name,
            name,
            text.rate(stat.read_bps),
            text.size(stat.read_avg),
            text.rate(stat.write_bps),
            text.size(stat.write_avg),
            f"{stat.util_pct}%",
        ]
        for one in found
        for name, stat in sorted((one.disks.disks if one.disks else {}).items())
    ]
    if rows:
        text.print_table(_DISKS, rows, headers=not no_headers)
    else:
        text.note("The targets know of no physical disks below their mountpaths (usual in containers).")


class _MountpathGroup(click.Group):
    """`storage mountpath [TARGET_ID]` shows, as `storage mountpath show [TARGET_ID]` does."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in self.commands:
            return "show", self.commands["show"], args
        return super().resolve_command(ctx, args)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        return super().shell_complete(ctx, incomplete) + complete.nodes(ctx, incomplete)


@storage.group(
    cls=_MountpathGroup,
    invoke_without_command=True,
    no_args_is_help=False,
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
)
@table_options
@click.pass_context
def mountpath(ctx: click.Context, as_json: bool, no_headers: bool) -> None:
    """Show, attach, detach, enable and disable mountpaths."""
    if ctx.invoked_subcommand is None:
        _show_mountpaths(ctx.obj, None, as_json=as_json, no_headers=no_headers)


@mountpath.command("show", epilog=examples("ais storage mountpath", "ais show storage mountpath t[NODE_ID]"))
@click.argument("target", type=NODE, required=False, metavar="[TARGET_ID]")
@table_options
@click.pass_obj
def show_mountpaths(app: App, target: str | None, as_json: bool, no_headers: bool) -> None:
    """Show the mountpaths of a target, or of all."""
    _show_mountpaths(app, target, as_json=as_json, no_headers=no_headers)


def _show_mountpaths(app: App, target: str | None, *, as_json: bool, no_headers: bool) -> None:
    found = app.run(lambda client: _fetch(client, target))
    if as_json:
        text.print_json({one.snode.id: one.mountpaths for one in found})
        return
    rows = [row for one in found for row in _mountpath_rows(one)]
    text.print_table(_MOUNTPATHS, rows, headers=not no_headers)


def _mountpath_rows(one: _Storage) -> list[list[str]]:
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


@mountpath.command("detach", epilog=examples("ais storage mountpath detach t[NODE_ID]=/data/mp3"))
@click.argument("words", nargs=-1, required=True, metavar="TARGET_ID=MOUNTPATH...")
@already_so("--yes", "-y")
@click.pass_obj
def detach(app: App, words: tuple[str, ...]) -> None:
    """Take mountpaths away from targets. What is stored there is no longer served."""
    pairs = _pairs(words)

    async def work(client: "Client") -> None:
        for target, path in pairs:
            await client.node(target).detach_mountpath(path)
            click.echo(f"{path} detached from t[{target}]")

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
@already_so("--yes", "-y")
@click.pass_obj
def disable(app: App, words: tuple[str, ...]) -> None:
    """Stop using mountpaths without forgetting them. What is stored there is not served until they are enabled."""
    pairs = _pairs(words)

    async def work(client: "Client") -> None:
        for target, path in pairs:
            changed = await client.node(target).disable_mountpath(path)
            click.echo(f"{path} of t[{target}] {'disabled' if changed else 'is disabled already'}")

    app.run(work)


def _pairs(words: tuple[str, ...]) -> list[tuple[str, str]]:
    """`TARGET=PATH ...`, or `TARGET PATH`."""
    if len(words) == 2 and "=" not in words[0]:
        return [(node_id(words[0]), words[1])]
    pairs = [word.partition("=") for word in words]
    if wrong := [word for word, (target, _, path) in zip(words, pairs, strict=True) if not target or not path]:
        raise click.UsageError(f'"{wrong[0]}" is not TARGET_ID=MOUNTPATH, such as t[NODE_ID]=/data/mp3')
    return [(node_id(target), path) for target, _, path in pairs]
