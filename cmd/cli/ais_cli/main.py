"""The `ais` command."""

import sys

import click
from click.shell_completion import add_completion_class

from ais_cli import alias, attached, auth, blob, bucket, cluster, config, job, log, membership, settings, storage, tls
from ais_cli import object as objects
from ais_cli.advanced import advanced
from ais_cli.app import App
from ais_cli.archive import archive, archive_bucket
from ais_cli.completion import AisBashComplete, completion
from ais_cli.inventory import nbi
from ais_cli.inventory import show as show_inventories
from ais_cli.ml import ml
from ais_cli.params import examples
from ais_cli.performance import performance
from ais_cli.playground import playground
from ais_cli.root import RootGroup
from ais_cli.rotation import rotate
from ais_cli.scrub import scrub
from ais_cli.search import search, show_help
from ais_cli.show import show
from ais_cli.validate import validate
from ais_cli.weights import weights


class _Root(RootGroup):
    """Knows the aliases, those that were made included; `--help` shows them apart."""

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name in alias.BUILT_IN or cmd_name not in self.commands:
            words = alias.known().get(cmd_name)
            return alias.find(self, words) if words else None
        return super().get_command(ctx, cmd_name)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            shown = [(name, one) for name, one in self.commands.items() if name not in alias.BUILT_IN]
            formatter.write_dl([(name, one.get_short_help_str(90)) for name, one in shown if not one.hidden])
        with formatter.section("Shorter names"):
            formatter.write_dl([(name, f"ais {words}") for name, words in alias.known().items()])


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
    if not settings.wants_colour():
        ctx.color = False


for _command in (
    bucket.bucket,
    objects.objects,
    cluster.cluster,
    show,
    config.config,
    storage.storage,
    job.job,
    auth.auth,
    archive,
    ml,
    log.log,
    performance,
    tls.tls,
    advanced,
    alias.alias,
    search,
    show_help,
):
    cli.add_command(_command)
for _group in (bucket.bucket, objects.objects):
    _group.add_command(archive_bucket, "archive")
bucket.bucket.add_command(validate)
cluster.cluster.add_command(membership.nodes_group)
cluster.cluster.add_command(membership.rebalance)
cluster.cluster.add_command(rotate)
cluster.cluster.add_command(weights)
cluster.cluster.add_command(attached.attach)
cluster.cluster.add_command(attached.detach)
show.add_command(attached.show)
show.add_command(attached.show_remote)
cli.add_command(attached.remote_cluster)
show.add_command(membership.show_rebalance)
job.start.add_command(membership.start_rebalance)
advanced.add_command(membership.remove_from_smap)
advanced.add_command(blob.enable)
advanced.add_command(blob.disable)
cli.add_command(nbi)
show.add_command(show_inventories, "nbi")
cli.add_command(scrub)
cli.add_command(playground)
cli.add_command(completion)
for _name, _words in alias.BUILT_IN.items():
    _aliased = alias.find(cli, _words)
    assert _aliased is not None, _words
    cli.add_command(_aliased, _name)
add_completion_class(AisBashComplete)


def main() -> None:
    """The console script."""
    sys.exit(cli(prog_name="ais"))
