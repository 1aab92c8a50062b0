"""After a power loss: objects whose content did not reach the disk are removed, as if they had never been written.

Only new names can be torn (`ais.core.publish` sees to it that the content of whatever replaces something is on the disk
before the rename), and only in buckets that do not sync. Until a mountpath was looked through, reads tell torn objects
by themselves (`ais.core.spots.is_torn`).
"""

from ais.core import tree
from ais.core.store import Store
from ais.core.walk import Walk
from ais.env.disk import Disk
from ais.fs import layout, names
from ais.fs.failures import disk_failures


def remove_torn(store: Store, disk: Disk) -> list[str]:
    """Look through the mountpaths that may have lost something; return the names of what is gone. Blocks.

    Raise `DiskFailure`.
    """
    gone: list[str] = []
    for mountpath in store.volume.available:
        if mountpath.loss is None:
            continue
        with disk_failures(mountpath.path):
            for bck, directory in list(layout.scan_buckets(disk, mountpath.path)):
                root = f"{directory}/{layout.OBJECTS}"
                for name, _, _ in Walk(disk, root):
                    found = tree.find(disk, f"{root}/{names.to_path(name)}")
                    if found is None or not mountpath.may_be_torn(found[1].st_ctime_ns):
                        continue
                    if store.remove_torn(bck, name, mountpath):
                        gone.append(bck.cname(name))
            mountpath.settle_loss()
    return gone
