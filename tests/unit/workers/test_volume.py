"""Which buckets a worker writes to: those of which it knows that nothing but a file is to be made."""

import os
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


def test_a_worker_does_not_say_that_a_bucket_is_gone_when_its_disk_is(tmp_path: Path):
    """It goes in the middle of a body: the bucket exists, as the worker was told; the write is to be tried again."""
    env, path = Env(), tmp_path / "mp"
    path.mkdir()
    first = Volume.load_or_create(env, [str(path)])
    first.create_bucket(BCK, 1)
    volume = WorkerVolume(env, first.record, VolumeLimits())
    volume.plain = frozenset((BCK,))
    writer = Store(volume, env).writer(BCK, "o", WriteRules())
    writer.write(b"content")
    path.rename(tmp_path / "away")
    path.mkdir()
    with pytest.raises(NotReady):
        writer.commit()
    assert os.listdir(path) == []


def test_a_worker_does_not_begin_on_a_bare_mount_point(tmp_path: Path):
    """Where a disk was mounted when the node started it uses nothing, and leaves nothing, while there is none."""
    env, path, away = Env(), tmp_path / "mp", tmp_path / "away"
    path.mkdir()
    record = Volume.load_or_create(env, [str(path)]).record
    path.rename(away)
    path.mkdir()
    with pytest.raises(NotReady, match="is not the directory that was taken into use"):
        WorkerVolume(env, record, VolumeLimits())
    assert os.listdir(path) == []
    assert os.listxattr(path) == []
    path.rmdir()
    away.rename(path)
    assert [str(one) for one in WorkerVolume(env, record, VolumeLimits()).available] == [f"mp[{path}]"]
