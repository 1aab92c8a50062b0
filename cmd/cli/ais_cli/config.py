"""`ais config`: show, set and reset settings of the cluster and of single nodes."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import CompletionItem

from ais.config import change
from ais.config.cluster import ClusterConfig
from ais.config.local import LocalConfig
from ais_cli import complete, config_cli, text
from ais_cli.app import App
from ais_cli.params import NODE, SETTING, examples, node_id, table_options
from ais_cli.text import Column

if TYPE_CHECKING:
    from ais.client.client import Client


class _WhichType(click.ParamType[str]):
    """`cluster` or a node's ID."""

    name = "WHICH"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        return node_id(value)

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        cluster = [CompletionItem("cluster")] if "cluster".startswith(incomplete) else []
        return cluster + complete.nodes(ctx, incomplete)


_WHICH = _WhichType()
_INHERITED = ("inherited", "cluster")
_LOCAL = "local"
_ALL = "all"
_transient = click.option("--transient", is_flag=True, help="Until the next restart only.")


@click.group()
def config() -> None:
    """Show, set and reset settings of the cluster and of single nodes."""


config.add_command(config_cli.cli)


@click.command("config", epilog=examples("ais show cluster config", "ais show cluster config checksum --json"))
@click.argument("section", type=SETTING, required=False, default="", metavar="[SECTION|PREFIX]")
@table_options
@click.pass_obj
def show_cluster(app: App, section: str, as_json: bool, no_headers: bool) -> None:
    """Show the cluster's settings."""
    _print_cluster(app, section, as_json=as_json, no_headers=no_headers)


@config.command(
    "show",
    epilog=examples(
        "ais show config                      the cluster's settings",
        "ais show config cluster checksum     one section",
        "ais show config t[NODE_ID]           a node's settings and where they differ",
        "ais show config t[NODE_ID] local     what only that node has",
    ),
)
@click.argument("which", type=_WHICH, default="cluster", metavar="[cluster|NODE_ID]")
@click.argument("rest", nargs=-1, type=SETTING, metavar="[inherited|local|all] [SECTION]")
@table_options
@click.pass_obj
def show(app: App, which: str, rest: tuple[str, ...], as_json: bool, no_headers: bool) -> None:
    """Show settings of the cluster or of a node."""
    scope = _ALL
    if which != "cluster" and rest and rest[0] in (*_INHERITED, _LOCAL, _ALL):
        scope, rest = rest[0], rest[1:]
    if len(rest) > 1:
        raise click.UsageError(f'too many arguments: "{rest[1]}"')
    section = rest[0] if rest else ""
    if which == "cluster":
        _print_cluster(app, section, as_json=as_json, no_headers=no_headers)
    else:
        _print_node(app, which, scope, section, as_json=as_json, no_headers=no_headers)


@config.command(
    "cluster",
    epilog=examples(
        "ais config cluster checksum                 show a section",
        "ais config cluster checksum.type=md5        set",
        "ais config cluster log.level 4 --transient  set until restart",
    ),
)
@click.argument("words", nargs=-1, type=SETTING, metavar="[SECTION] | NAME=VALUE...")
@_transient
@table_options
@click.pass_obj
def cluster(app: App, words: tuple[str, ...], transient: bool, as_json: bool, no_headers: bool) -> None:
    """Show or set the cluster's settings, which all nodes inherit."""
    if len(words) < 2 and not any("=" in word for word in words):
        _print_cluster(app, words[0] if words else "", as_json=as_json, no_headers=no_headers)
        return
    _set_cluster(app, words, transient=transient)


@config.command("set", epilog=examples("ais config set checksum.type=md5 versioning.enabled=false"))
@click.argument("words", nargs=-1, type=SETTING, required=True, metavar="NAME=VALUE...")
@_transient
@click.pass_obj
def set_values(app: App, words: tuple[str, ...], transient: bool) -> None:
    """Set settings of the cluster; the same as "ais config cluster NAME=VALUE"."""
    _set_cluster(app, words, transient=transient)


def _set_cluster(app: App, words: tuple[str, ...], *, transient: bool) -> None:
    values = _assignments(words)
    # Checked here as well: a misspelt name is answered at once, and with a suggestion.
    change.set_values(ClusterConfig(), values)

    async def work(client: "Client") -> tuple[dict[str, Any], dict[str, Any]]:
        before = await client.cluster.config()
        await client.cluster.set_config(values, transient=transient)
        return before, await client.cluster.config()

    before, after = (text.flatten(tree) for tree in app.run(work))
    _report(values, before, {} if transient else after)


@config.command(
    "node",
    epilog=examples(
        "ais config node t[NODE_ID]                          show",
        "ais config node t[NODE_ID] log.level=4              set for this node only",
        "ais config node t[NODE_ID] inherited log.level=4    the same, as AIStore writes it",
    ),
)
@click.argument("node", type=NODE, metavar="NODE_ID")
@click.argument("words", nargs=-1, type=SETTING, metavar="[inherited|local|all] [SECTION | NAME=VALUE...]")
@_transient
@table_options
@click.pass_obj
def node(app: App, node: str, words: tuple[str, ...], transient: bool, as_json: bool, no_headers: bool) -> None:
    """Show or set the settings of one node."""
    scope = _ALL
    if words and words[0] in (*_INHERITED, _LOCAL, _ALL):
        scope, words = words[0], words[1:]
    if len(words) < 2 and not any("=" in word for word in words):
        _print_node(app, node, scope, words[0] if words else "", as_json=as_json, no_headers=no_headers)
        return
    values = _assignments(words)
    if scope != _LOCAL:
        change.set_values(ClusterConfig(), values)
    app.run(lambda client: client.node(node).set_config(values, transient=transient))
    _report(values, {}, {})


@config.command("reset", epilog=examples("ais config reset", "ais config reset t[NODE_ID]"))
@click.argument("node", type=NODE, required=False, metavar="[NODE_ID]")
@click.pass_obj
def reset(app: App, node: str | None) -> None:
    """Undo all changes: of one node, or of the cluster and all its nodes."""
    if node:
        app.run(lambda client: client.node(node).reset_config())
        click.echo(f'Settings of node "{node}" are those of the cluster again')
        return
    app.run(lambda client: client.cluster.reset_config())
    click.echo("Settings of the cluster and of all nodes are reset")


def _assignments(words: tuple[str, ...]) -> dict[str, str]:
    """`NAME=VALUE ...`, or `NAME VALUE ...`."""
    if not any("=" in word for word in words):
        if len(words) % 2:
            raise click.UsageError(f'no value for "{words[-1]}": write NAME=VALUE')
        return dict(zip(words[::2], words[1::2], strict=True))
    if wrong := [word for word in words if "=" not in word]:
        raise click.UsageError(f'"{wrong[0]}" is not NAME=VALUE')
    return {name.strip(): value.strip() for name, _, value in (word.partition("=") for word in words)}


def _report(values: Mapping[str, str], before: Mapping[str, str], after: Mapping[str, str]) -> None:
    for name, value in values.items():
        was = f' (was: "{before[name]}")' if name in before else ""
        click.echo(f'"{name}" set to: "{after.get(name, value)}"{was}')


def _print_cluster(app: App, section: str, *, as_json: bool, no_headers: bool) -> None:
    tree = app.run(lambda client: client.cluster.config())
    if as_json:
        text.print_json(_section(tree, section))
        return
    text.print_properties(_selected(tree, section), headers=not no_headers)


def _print_node(app: App, node: str, scope: str, section: str, *, as_json: bool, no_headers: bool) -> None:
    async def work(client: "Client") -> tuple[dict[str, Any], dict[str, Any]]:
        return await client.node(node).config(), await client.cluster.config()

    own, shared = app.run(work)
    local_names = {name for name in own if name in LocalConfig.__struct_fields__}
    tree = {name: value for name, value in own.items() if scope == _ALL or (name in local_names) == (scope == _LOCAL)}
    if as_json:
        text.print_json(_section(tree, section))
        return
    of_cluster = text.flatten(shared)
    rows = []
    for name, value in _selected(tree, section).items():
        inherited = of_cluster.get(name, "N/A")
        rows.append([name, value, text.NONE if inherited == value else inherited])
    columns = [Column("PROPERTY"), Column("VALUE"), Column("CLUSTER")]
    text.print_table(columns, rows, headers=not no_headers)


def _section(tree: dict[str, Any], section: str) -> Any:
    if not section:
        return tree
    found = {name: value for name, value in tree.items() if name == section}
    return found or _selected(tree, section)


def _selected(tree: dict[str, Any], section: str) -> dict[str, str]:
    found = text.select(dict(sorted(text.flatten(tree).items())), section)
    if not found:
        raise click.UsageError(f'no setting begins with "{section}". Sections: {", ".join(sorted(tree))}')
    return found
