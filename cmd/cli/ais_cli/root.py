"""The top of the command tree: aliases, words that are wrong, and how an error ends the process."""

import difflib
import sys
from collections.abc import Iterator
from typing import IO, Any

import click
from click.exceptions import NoArgsIsHelpError, NoSuchCommand

from ais.base.errors import AisError
from ais_cli.app import USAGE, Failure

_SUGGESTIONS_MAX = 4


class Wrong(click.ClickException):
    """A wrong command line: one line that says what is wrong and what to do."""

    exit_code = USAGE

    def __init__(self, error: click.UsageError, suggestion: str = "") -> None:
        message = " ".join(error.format_message().split()).rstrip(".")
        command = error.ctx.command_path if error.ctx is not None else "ais"
        super().__init__(f"{message}. {suggestion or f'See {command!r} --help.'.replace(chr(39), '')}")

    def show(self, file: "IO[Any] | None" = None) -> None:
        click.echo(f"{click.style('Error:', fg='red', bold=True)} {self.message}", file=file or sys.stderr)


class RootGroup(click.Group):
    """The root command. Long options may be written with one dash, as Go's command lines allow."""

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        try:
            return super().make_context(info_name, with_two_dashes(self, args), parent, **extra)
        except NoArgsIsHelpError as error:
            raise _printed_help(error) from None
        except click.UsageError as error:
            raise Wrong(error) from None

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except AisError as error:
            raise Failure(error) from error
        except NoArgsIsHelpError as error:
            raise _printed_help(error) from None
        except NoSuchCommand as error:
            raise Wrong(error, "" if error.possibilities else self._elsewhere(error.command_name)) from None
        except click.UsageError as error:
            raise Wrong(error) from None

    def _elsewhere(self, word: str) -> str:
        """Where in the tree a command of that name is, or of one like it; the shortest ways first."""
        paths = [path for path, _ in walk(self)]
        names = {path.rpartition(" ")[2] for path in paths}
        close = [word] if word in names else difflib.get_close_matches(word, sorted(names), 1)
        alike = [path for path in paths if close and path.rpartition(" ")[2] == close[0]]
        found = [f"'ais {path}'" for path in sorted(alike, key=lambda path: path.count(" "))]
        if not found:
            return f"Try 'ais search {word}'."
        return f"Did you mean {' or '.join(found[:_SUGGESTIONS_MAX])}?"


def walk(group: click.Group, above: str = "") -> Iterator[tuple[str, click.Command]]:
    """Every visible command below `group` with its path: `bucket props set`."""
    for name, command in group.commands.items():
        if command.hidden:
            continue
        path = f"{above} {name}".strip()
        yield path, command
        if isinstance(command, click.Group):
            yield from walk(command, path)


def with_two_dashes(root: click.Group, args: list[str]) -> list[str]:
    """`-props all` as `--props all`, where the command has such an option and the word is no cluster of short ones."""
    found: list[str] = []
    command: click.Command = root
    for index, word in enumerate(args):
        if word == "--":
            return found + args[index:]
        if isinstance(command, click.Group) and not word.startswith("-"):
            command = command.get_command(click.Context(command), word) or command
        name = "-" + word.partition("=")[0]
        is_long = len(word) > 2 and word[0] == "-" and word[1].isalpha()
        is_known = is_long and any(name in parameter.opts for parameter in command.params)
        found.append("-" + word if is_known else word)
    return found


def _printed_help(error: NoArgsIsHelpError) -> click.exceptions.Exit:
    click.echo(error.ctx.get_help())
    return click.exceptions.Exit(0)
