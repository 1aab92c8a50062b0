"""Which files of a shard a command is about."""

from collections.abc import Callable

import click

from ais.api import query

ARCHIVE_MODES = ("regexp", "prefix", "suffix", "substr", "wdskey")


def inside_options(command: Callable[..., None]) -> Callable[..., None]:
    """`--archpath` and the like: what to take of a shard."""
    options = (
        click.option("--archpath", default="", help="Of a shard: this file."),
        click.option("--archregx", default="", help="Of a shard: the files that --archmode and this choose, as TAR."),
        click.option("--archmode", type=click.Choice(ARCHIVE_MODES), default="regexp", help="How --archregx matches."),
        click.option("--archmime", default="", help="The shard's format, when its name does not tell: .tar, .zip."),
    )
    for option in reversed(options):
        command = option(command)
    return command


def inside_of(archpath: str, archregx: str = "", archmode: str = "", archmime: str = "") -> dict[str, str]:
    """The query that says what to take of a shard. Raise `UsageError` for contradictions."""
    if archpath and archregx:
        raise click.UsageError("--archpath and --archregx exclude each other")
    if archmime and not (archpath or archregx):
        raise click.UsageError("--archmime goes with --archpath or --archregx")
    found = {query.ARCHPATH: archpath, query.ARCHREGX: archregx, query.ARCHMIME: archmime}
    if archregx:
        found[query.ARCHMODE] = archmode
    return {name: value for name, value in found.items() if value}
