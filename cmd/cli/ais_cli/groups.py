"""A group of commands one of which need not be named."""

from typing import Any

import click
from click.shell_completion import CompletionItem

from ais_cli import complete


class DefaultGroup(click.Group):
    """`GROUP WORD` for `GROUP DEFAULT WORD`: what is no command of the group belongs to its default command."""

    def __init__(self, *args: Any, default: str, with_nodes: bool = False, **options: Any) -> None:
        """`default` names the command; `with_nodes`: nodes complete the group's name too."""
        super().__init__(*args, **options)
        self.default = default
        self._with_nodes = with_nodes
        self.no_args_is_help = False

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if not args or (args[0] not in self.commands and args[0] not in ctx.help_option_names):
            args = [self.default, *args]
        return super().parse_args(ctx, args)

    def default_command(self) -> click.Command:
        """What a bare group stands for."""
        return self.commands[self.default]

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        shown = [one for one in self.default_command().params if isinstance(one, click.Option)]
        records = [parameter.get_help_record(ctx) for parameter in [*shown, *self.get_params(ctx)]]
        with formatter.section("Options"):
            formatter.write_dl([record for record in records if record is not None])
        self.format_commands(ctx, formatter)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        nodes = complete.nodes(ctx, incomplete) if self._with_nodes else []
        return super().shell_complete(ctx, incomplete) + nodes
