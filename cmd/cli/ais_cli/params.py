"""Options and argument types that several commands share."""

import os
import re
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

import click
from click.shell_completion import CompletionItem

from ais.api.bucket import Bck
from ais.base import names
from ais.base.errors import BadRequest
from ais.base.units import Duration, Size
from ais_cli import complete, text

F = TypeVar("F", bound=Callable[..., Any])

WORKERS = min(16, 4 + (os.cpu_count() or 1) * 2)
"""Concurrent transfers when not told otherwise."""


class Ref(NamedTuple):
    """A bucket, and what follows it: an object's name, a prefix, or nothing."""

    bck: Bck
    name: str

    def __str__(self) -> str:
        return self.bck.cname(self.name)


class RefType(click.ParamType[Ref]):
    """`[ais://]BUCKET[/OBJECT]`."""

    def __init__(self, metavar: str, *, needs_object: bool = False, takes_object: bool = True) -> None:
        self.name = metavar
        self._needs_object = needs_object
        self._takes_object = takes_object

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Ref:
        if isinstance(value, Ref):
            return value
        try:
            bck, name = Bck.parse_uri(value)
            names.check_object_prefix(name)
        except BadRequest as error:
            self.fail(str(error), param, ctx)
        if self._needs_object and not name:
            self.fail(f'"{value}" names a bucket; an object is BUCKET/OBJECT, such as {bck.cname("name")}', param, ctx)
        if not self._takes_object and name.strip("/"):
            self.fail(f'"{value}" names an object; a bucket is expected, such as {bck.cname()}', param, ctx)
        return Ref(bck, name if self._takes_object else "")

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        return complete.references(ctx, incomplete, objects=self._takes_object)


class SourceType(click.ParamType[str]):
    """A local source, or (any but the first) the destination: completed as both."""

    name = "SOURCE"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        return str(value)

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        files = [CompletionItem(incomplete, type="file")]
        is_first = not ctx.params.get(param.name or "")
        return files if is_first else complete.references(ctx, incomplete, objects=True) + files


class SizeType(click.ParamType[int]):
    """Bytes with an optional unit."""

    name = "SIZE"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        try:
            return int(Size.parse(value))
        except BadRequest as error:
            self.fail(str(error), param, ctx)


class CountType(click.ParamType[int]):
    """A whole number within bounds."""

    name = "N"

    def __init__(self, low: int = 0, high: int | None = None) -> None:
        self._range = click.IntRange(low, high)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        return int(self._range.convert(value, param, ctx))


class DurationType(click.ParamType[float]):
    """Seconds, from `30s`, `2m`, or a bare number of seconds."""

    name = "DURATION"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        if isinstance(value, float):
            return value
        text = value + "s" if value.replace(".", "", 1).isdigit() else value
        try:
            return float(Duration.parse(text))
        except BadRequest as error:
            self.fail(str(error), param, ctx)


class NodeType(click.ParamType[str]):
    """A node's ID, also as `p[ID]` or `t[ID]`."""

    name = "NODE_ID"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        return node_id(value)

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        return complete.nodes(ctx, incomplete)


class SettingType(click.ParamType[str]):
    """A setting's name, its section, or `NAME=VALUE`."""

    name = "SETTING"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        return str(value)

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        return [CompletionItem(name) for name in complete.settings(incomplete)]


BUCKET = RefType("BUCKET", takes_object=False)
OBJECT = RefType("BUCKET/OBJECT", needs_object=True)
BUCKET_OR_OBJECT = RefType("BUCKET[/OBJECT]")
SIZE = SizeType()
COUNT = CountType()
DURATION = DurationType()
SOURCE = SourceType()
SETTING = SettingType()
NODE = NodeType()


def node_id(text: str) -> str:
    """`ID` of `p[ID]`, `t[ID]`, `t[ID][P]` or `ID`."""
    return text.removesuffix("[P]")[2:-1] if text[:2] in ("p[", "t[") and "]" in text else text


def json_option(command: F) -> F:
    """`--json`: print JSON instead of a table."""
    return click.option("--json", "-j", "as_json", is_flag=True, help="Print JSON.")(command)


def table_options(command: F) -> F:
    """`--json` and `--no-headers`."""
    no_headers = click.option("--no-headers", "-H", is_flag=True, help="Print the table without its header.")
    return json_option(no_headers(command))


def yes_option(command: F) -> F:
    """`--yes`: do not ask."""
    return click.option("--yes", "-y", is_flag=True, help="Do not ask for confirmation.")(command)


def quiet_option(command: F) -> F:
    """`--quiet`: only errors."""
    names = ("--quiet", "-q", "--non-verbose", "--nv")
    return click.option(*names, is_flag=True, help="Print errors only: no results, no progress.")(command)


def refresh_option(command: F) -> F:
    """`--refresh` of what shows progress: bars move as things happen, at least as often as asked."""
    return click.option("--refresh", type=DURATION, expose_value=False, hidden=True)(command)


def recursion_option(command: F) -> F:
    """`--non-recursive`: of a prefix, nothing in virtual directories further below."""
    names = ("--non-recursive", "--nr")
    return click.option(*names, is_flag=True, help="With a prefix: nothing from virtual directories below.")(command)


def transfer_options(command: F) -> F:
    """`--progress`, `--quiet`, `--num-workers`."""
    progress = click.option(
        "--progress/--no-progress", default=None, help="Show a progress bar. [default: when stderr is a terminal]"
    )
    workers = click.option(
        "--num-workers", "-n", "workers", type=CountType(1, 256), default=WORKERS, show_default=True,
        help="How many objects to transfer at the same time.",
    )  # fmt: skip
    return quiet_option(progress(workers(command)))


def units_option(command: F) -> F:
    """`--units`: how sizes are written."""

    def use(ctx: click.Context, param: click.Parameter, value: str) -> None:
        text.use_units(value)

    return click.option(
        "--units", type=click.Choice(text.UNITS), default="iec", callback=use, expose_value=False,
        help="Sizes in KiB, MiB (iec, the default), in KB, MB (si), or as plain numbers (raw).",
    )(command)  # fmt: skip


def already_so(*options: str) -> Callable[[F], F]:
    """Switches of AIStore's command that ask for what happens here anyway: taken, and left out of `--help`."""

    def add(command: F) -> F:
        return click.option(
            *options, options[0].lstrip("-").replace("-", "_"), is_flag=True, expose_value=False, hidden=True
        )(command)

    return add


def selection_options(command: F) -> F:
    """`--prefix`, `--template`, `--list`: which of many objects."""
    prefix = click.option("--prefix", help='Objects whose names begin with this; "" for all.')
    template = click.option("--template", help="Objects named by a range, such as 'shard-{000..099}.tar'.")
    names_list = click.option("--list", "names", help="Objects in a comma-separated list.")
    return prefix(template(names_list(command)))


def matches(regex: str | None, name: str) -> bool:
    """Whether a name matches the pattern of `--regex`, if there is one. Raise `BadParameter` for a wrong pattern."""
    try:
        return regex is None or re.search(regex, name) is not None
    except re.error as error:
        raise click.BadParameter(f"not a regular expression: {error}", param_hint="--regex") from None


def examples(*lines: str) -> str:
    """Text for the end of a command's `--help`: one example per line."""
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for line in lines)
