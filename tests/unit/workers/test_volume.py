"""Which buckets a worker writes to: those of which it knows that nothing but a file is to be made."""

from pathlib import Path

import pytest
from harness.at_once import put_at_once

from ais.api.bucket import Bck
from ais.base.errors import NotReady, ObjectNotFound
from ais.core.store import Store
from ais.core.workfile import WriteRules
from ais.env import Env
from ais.fs.volume import Volume, VolumeLimits
from ais.workers.node import WorkerVolume

BCK = Bck("b")


def test_a_write_ends_when_its_bucket_is_not_plain_any_more(tmp_path: Path):
    """It was begun when it was: by now there may be copies, slices or versions that a worker does not look after."""
    env, path = Env(), tmp_path / "mp"
    path.mkdir()
    first = Volume.load_or_create(env, [str(path)])
    first.create_bucket(BCK, 1)
    volume = WorkerVolume(env, first.record, VolumeLimits())
    volume.plain = frozenset((BCK,))
    store = Store(volume, env)
    put_at_once(store, BCK, "before", WriteRules(), b"content")
    writer = store.writer(BCK, "o", WriteRules())
    writer.write(b"content")
    volume.plain = frozenset()
    with pytest.raises(NotReady, match="was changed while the object was written"):
        writer.commit()
    with pytest.raises(NotReady, match="was changed while the object was written"):
        put_at_once(store, BCK, "o", WriteRules(), b"content")
    with pytest.raises(ObjectNotFound):
        store.head(BCK, "o")
