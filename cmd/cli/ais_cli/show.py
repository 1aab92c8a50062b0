"""`ais show`: everything that can be shown, under one word; `ais X show` is the same as `ais show X`."""

import click

from ais_cli import authn_show, bucket, cluster, config, job, log, protection, replication, scrub, storage, tls
from ais_cli import object as objects
from ais_cli.dashboard import dashboard
from ais_cli.performance import performance


@click.group()
def show() -> None:
    """Show the cluster, buckets, objects, storage, settings and jobs."""


show.add_command(cluster.show, "cluster")
show.add_command(bucket.show, "bucket")
show.add_command(objects.show, "object")
show.add_command(storage.show)
show.add_command(config.show, "config")
show.add_command(job.show, "job")
show.add_command(performance)
show.add_command(dashboard)
show.add_command(log.show, "log")
show.add_command(tls.show, "tls")
show.add_command(authn_show.show, "auth")
show.add_command(protection.show)
show.add_command(replication.show)
show.add_command(scrub.show)
