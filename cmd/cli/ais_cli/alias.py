"""`ais alias`: names of one's own for commands, at the top of the tree."""

import shlex

import click

from ais_cli import settings, text
from ais_cli.params import examples
from ais_cli.text import Column

BUILT_IN = {
    "ls": "bucket ls",
    "create": "bucket create",
    "rmb": "bucket rm",
    "put": "object put",
    "get": "object get",
    "cp": "bucket cp",
    "blob-download": "job start blob-download",
    "prefetch": "bucket prefetch",
    "evict": "bucket evict",
    "rmo": "object rm",
    "start": "job start",
    "download": "job start download",
    "dsort": "job start dsort",
    "mpu": "object multipart-upload",
    "stop": "job stop",
    "wait": "job wait",
    "space-cleanup": "storage cleanup",
}
"""Aliases that are there without having been made."""


def known() -> dict[str, str]:
    """All aliases and the commands they stand for."""
    return {name: command for name, command in (BUILT_IN | settings.aliases()).items() if command}


def find(root: click.Group, words: str) -> click.Command | None:
    """The command at the end of a path such as `bucket ls`; None when there is none."""
    command: click.Command = root
    for word in words.split():
        if not isinstance(command, click.Group) or word not in command.commands:
            return None
        command = command.commands[word]
    return command


@click.group()
def alias() -> None:
    """Show, set and remove shorter names of commands."""


@alias.command("show")
def show() -> None:
    """Show all aliases."""
    text.print_table([Column("ALIAS"), Column("COMMAND")], [list(pair) for pair in known().items()])


@alias.command("set", epilog=examples("ais alias set lsb bucket ls", "ais alias set props 'bucket props show'"))
@click.argument("name", metavar="ALIAS")
@click.argument("words", nargs=-1, required=True, metavar="COMMAND...")
@click.pass_context
def set_alias(ctx: click.Context, name: str, words: tuple[str, ...]) -> None:
    """Make an alias of a command, or change one."""
    root = ctx.find_root().command
    assert isinstance(root, click.Group)
    command = " ".join(shlex.split(" ".join(words)))
    if not name.replace("-", "").isalnum():
        raise click.UsageError(f'"{name}" is no name of a command: use letters, digits and dashes')
    if name in root.commands and name not in known():
        raise click.UsageError(f'"{name}" is a command already')
    if find(root, command) is None or command.split()[0] in known():
        raise click.UsageError(f"there is no command 'ais {command}': 'ais search {words[0]}' finds commands")
    settings.set_aliases(settings.aliases() | {name: command})
    click.echo(f'Aliased "{command}" = "{name}"')


@alias.command("rm", epilog=examples("ais alias rm lsb"))
@click.argument("name", metavar="ALIAS")
def rm(name: str) -> None:
    """Remove an alias."""
    if name not in known():
        raise click.UsageError(f"there is no alias \"{name}\": 'ais alias show' lists them")
    own = {one: command for one, command in settings.aliases().items() if one != name}
    settings.set_aliases(own | ({name: ""} if name in BUILT_IN else {}))
    click.echo(f'Alias "{name}" removed')


@alias.command("reset")
def reset() -> None:
    """Go back to the aliases that are there without having been made."""
    settings.set_aliases({})
    click.echo("Aliases are reset")
