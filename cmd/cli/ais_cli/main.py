"""The `ais` command."""

import sys

import click
from click.shell_completion import add_completion_class

from ais_cli import auth, bucket, cluster, config, job, storage
from ais_cli import object as objects
from ais_cli.app import App, RootGroup
from ais_cli.completion import AisBashComplete, completion
from ais_cli.get import get
from ais_cli.listing import ls
from ais_cli.params import examples
from ais_cli.playground import playground
from ais_cli.put import put
from ais_cli.show import show

_ALIASES: dict[str, tuple[click.Command, str]] = {
    "ls": (ls, "bucket ls"),
    "create": (bucket.create, "bucket create"),
    "rmb": (bucket.rm, "bucket rm"),
    "put": (put, "object put"),
    "get": (get, "object get"),
    "cp": (objects.cp, "object cp"),
    "rmo": (objects.rm, "object rm"),
    "stop": (job.stop, "job stop"),
    "wait": (job.wait, "job wait"),
}


class _Root(RootGroup):
    """Commands and aliases apart in `--help`."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            rows = [(name, one.get_short_help_str(90)) for name, one in self.commands.items() if name not in _ALIASES]
            formatter.write_dl(rows)
        with formatter.section("Shorter names"):
            formatter.write_dl([(name, f"ais {long}") for name, (_, long) in _ALIASES.items()])


@click.group(
    cls=_Root,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    epilog=examples(
        "ais playground start --wait      a cluster on this machine",
        "ais create ais://photos          a bucket",
        "ais put ./photos ais://photos -r a directory into it",
        "ais ls ais://photos",
        "ais get ais://photos/cat.jpg",
        "ais show cluster",
        'eval "$(ais completion bash)"    Tab completes commands, buckets, objects and nodes',
    )
    + "\n\n\b\nExit codes: 0 done, 1 failed, 2 wrong command or input, 3 does not exist, 4 no cluster answers.",
)
@click.option(
    "--endpoint", metavar="URL",
    help="A gateway of the cluster.  [env: AIS_ENDPOINT; default: http://127.0.0.1:8080]",
)  # fmt: skip
@click.version_option(None, "--version", "-V", package_name="ais", prog_name="ais")
@click.pass_context
def cli(ctx: click.Context, endpoint: str | None) -> None:
    """Store and fetch objects, and look after the cluster that keeps them.

    BUCKET is written ais://NAME, or just NAME; an object is BUCKET/NAME. Each command has its own --help with examples.
    """
    ctx.obj = App(endpoint or "")


for _command in (
    bucket.bucket,
    objects.objects,
    cluster.cluster,
    show,
    config.config,
    storage.storage,
    job.job,
    auth.auth,
):
    cli.add_command(_command)
cli.add_command(playground)
cli.add_command(completion)
for _name, (_aliased, _) in _ALIASES.items():
    cli.add_command(_aliased, _name)
add_completion_class(AisBashComplete)


def main() -> None:
    """The console script."""
    sys.exit(cli(prog_name="ais"))
