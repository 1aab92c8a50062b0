"""`ais search`: commands by a word of their name or of what they do."""

import re

import click

from ais_cli.params import examples
from ais_cli.root import walk


@click.command("search", epilog=examples("ais search mountpath", "ais search --regex '^rm'"))
@click.argument("words", nargs=-1, metavar="[WORD...]")
@click.option("--regex", help="Commands whose path matches this regular expression.")
@click.pass_context
def search(ctx: click.Context, words: tuple[str, ...], regex: str | None) -> None:
    """Search for commands by name or purpose."""
    if bool(words) == bool(regex):
        raise click.UsageError("give a word to search for, or --regex")
    root = ctx.find_root().command
    assert isinstance(root, click.Group)
    try:
        pattern = re.compile(regex or "|".join(map(re.escape, words)), re.IGNORECASE)
    except re.error as error:
        raise click.BadParameter(f"not a regular expression: {error}", param_hint="--regex") from None
    found = [
        path
        for path, command in walk(root)
        if pattern.search(path) or (not regex and pattern.search(command.get_short_help_str(200)))
    ]
    if not found:
        raise click.ClickException("no command matches. 'ais --help' lists what there is.")
    for path in found:
        click.echo(f"ais {path}")


@click.command("help", hidden=True)
@click.argument("words", nargs=-1, metavar="[COMMAND...]")
@click.pass_context
def show_help(ctx: click.Context, words: tuple[str, ...]) -> None:
    """Show what a command does; the same as COMMAND --help."""
    root = ctx.find_root()
    assert isinstance(root.command, click.Group)
    root.command.main([*words, "--help"], prog_name="ais")
