"""`ais show`: everything that can be shown, under one word; `ais X show` is the same as `ais show X`."""

import click

from ais_cli import bucket, cluster, config, job, storage
from ais_cli import object as objects


@click.group()
def show() -> None:
    """Show the cluster, buckets, objects, storage, settings and jobs."""


@click.group("storage")
def show_storage() -> None:
    """Show capacity, mountpaths and disks."""


show_storage.add_command(storage.capacity)
show_storage.add_command(storage.show_mountpaths, "mountpath")
show_storage.add_command(storage.disk)
show_storage.add_command(bucket.summary)

show.add_command(cluster.show, "cluster")
show.add_command(bucket.show, "bucket")
show.add_command(objects.show, "object")
show.add_command(show_storage)
show.add_command(config.show, "config")
show.add_command(job.show, "job")
