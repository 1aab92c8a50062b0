"""`ais config cli`: the settings of this command on this machine."""

import click

from ais_cli import settings, text
from ais_cli.groups import DefaultGroup
from ais_cli.params import examples, json_option

_path = click.option("--path", "with_path", is_flag=True, help="Print where the settings are stored.")


@click.group("cli", cls=DefaultGroup, default="show")
def cli() -> None:
    """Show, set and reset the settings of this command line."""


@cli.command("show", epilog=examples("ais config cli show", "ais config cli show timeout", "ais config cli --path"))
@click.argument("section", required=False, default="", metavar="[SETTING|PREFIX]")
@json_option
@_path
def show(section: str, as_json: bool, with_path: bool) -> None:
    """Show the settings of this command line."""
    if with_path:
        click.echo(settings.path())
        return
    found = text.select(settings.values(), section)
    if not found:
        raise click.UsageError(
            f'no setting of the command line begins with "{section}": use one of {", ".join(settings.KINDS)}'
        )
    if as_json:
        text.print_json(found)
    else:
        text.print_properties({name: value or text.NONE for name, value in found.items()})


@cli.command(
    "set",
    epilog=examples("ais config cli set cluster.url=http://gateway:8080", "ais config cli set timeout.tcp_timeout=10s"),
)
@click.argument("words", nargs=-1, required=True, metavar="NAME=VALUE...")
def set_values(words: tuple[str, ...]) -> None:
    """Set settings of this command line; environment variables win over them."""
    if wrong := [word for word in words if "=" not in word]:
        raise click.UsageError(f'"{wrong[0]}" is not NAME=VALUE')
    wanted = {name.strip(): value.strip() for name, _, value in (word.partition("=") for word in words)}
    before = settings.values()
    settings.change(wanted)
    for name, value in wanted.items():
        click.echo(f'"{name}" set to: "{value}" (was: "{before[name]}")')


@cli.command("reset")
def reset() -> None:
    """Forget all settings of this command line, aliases too."""
    settings.reset()
    click.echo("Settings of the command line are reset")
