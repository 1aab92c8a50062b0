"""`ais storage`: capacity, mountpaths and disks of the targets."""

import click

from ais_cli import bucket, capacity, cleanup, mountpath, quarantine, validate
from ais_cli.groups import DefaultGroup


@click.group()
def storage() -> None:
    """Show capacity and disks; attach, detach, enable and disable mountpaths."""


@click.group("storage", cls=DefaultGroup, default="disk", with_nodes=True)
def show() -> None:
    """Show capacity, mountpaths and disks."""


show.add_command(capacity.capacity)
show.add_command(mountpath.show_mountpaths, "mountpath")
show.add_command(capacity.disk)
show.add_command(bucket.summary)

storage.add_command(show, "show")
storage.add_command(validate.validate)
storage.add_command(cleanup.cleanup)
storage.add_command(quarantine.quarantine)
storage.add_command(bucket.summary)
storage.add_command(capacity.capacity)
storage.add_command(capacity.disk)
storage.add_command(mountpath.mountpath)
