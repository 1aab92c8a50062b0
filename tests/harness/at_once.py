"""Objects stored in one go, by a store that refuses that for a second after a disk made it wait."""

import time

from ais.api.bucket import Bck
from ais.core.meta import ObjectMeta
from ais.core.store import Store
from ais.core.workfile import WriteRules
from ais.fs.mountpath import MountpathStalled


def put_at_once(store: Store, bck: Bck, name: str, rules: WriteRules, content: bytes) -> ObjectMeta:
    """As `Store.put`, as soon as it may: a machine that is busy with other things makes a disk look slow."""
    while True:
        try:
            return store.put(bck, name, rules, content)
        except MountpathStalled:
            time.sleep(0.05)
