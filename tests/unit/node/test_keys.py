"""Access keys and the cluster secret as metadata: who has them, where they lie, and what they survive."""

import base64
import shutil
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ais.api.codec import U64
from ais.auth import keys
from ais.base.errors import AlreadyExists, NotReady
from ais.env.disk import Disk
from ais.meta import store
from ais.node.node import Node

Simulate = Callable[..., Any]


async def create(node: Node, user: str = "ann") -> tuple[str, str]:
    """A new key's ID and secret."""
    key, secret = keys.new_key(user, node.cluster_secret, 0)
    await node.change_keys(lambda old: old.with_key(key))
    return key.id, secret


def files_with(directory: Path, *needles: bytes) -> set[str]:
    """Names of the files below a directory that contain one of the needles."""
    files = (path for path in directory.rglob("*") if path.is_file())
    return {path.name for path in files if any(needle in path.read_bytes() for needle in needles)}


def test_every_node_can_open_every_key(simulate: Simulate) -> None:
    """After the answer all nodes have the key with its secret; disabling and removing reach them as well."""

    async def scenario(world: Any) -> None:
        world.cluster(2, 2)
        await world.settled()
        primary = world.primary()
        key_id, secret = await create(primary)
        assert {node.keyring.lookup(key_id) for node in world.running} == {("ann", secret, False, False)}
        await primary.change_keys(lambda old: old.with_disabled(key_id, True))
        assert {node.keyring.lookup(key_id) for node in world.running} == {("ann", secret, True, False)}
        await primary.change_keys(lambda old: old.without_key(key_id))
        assert {node.keyring.lookup(key_id) for node in world.running} == {None}
        assert world.converged()

    simulate(scenario)


def test_a_refused_change_changes_nothing(simulate: Simulate) -> None:
    """What the change raises comes back; only a primary with authority changes keys."""

    async def scenario(world: Any) -> None:
        world.cluster(2, 1)
        await world.settled()
        key, _ = keys.new_key("ann", world.primary().cluster_secret, 0)
        await world.primary().change_keys(lambda old: old.with_key(key))
        before = world.primary().state.current.stamps
        with pytest.raises(AlreadyExists):
            await world.primary().change_keys(lambda old: old.with_key(key))
        with pytest.raises(NotReady, match="is not the primary"):
            await world["p2"].alive.change_keys(lambda old: old.without_key(key.id))
        assert {node.state.current.stamps for node in world.running} == {before}

    simulate(scenario)


def test_secrets_lie_in_confdirs_only(simulate: Simulate) -> None:
    """The cluster secret is in one file per node that only its owner may read, and on no mountpath, also when those
    change; a key's own secret is nowhere in clear."""

    async def scenario(world: Any) -> None:
        world.cluster(2, 2)
        await world.settled()
        _, secret = await create(world.primary())
        mountpath = world.root / "new-disk"
        mountpath.mkdir()
        target = world["t1"]
        await target.alive.set_directories((str(target.directory), str(mountpath)))
        shared = world.primary().cluster_secret
        needles = (shared, base64.b64encode(shared), shared.hex().encode())
        for machine in world.nodes.values():
            assert files_with(machine.confdir, *needles) == {".ais.secret"}
            assert stat.S_IMODE((machine.confdir / ".ais.secret").stat().st_mode) == 0o600
        for directory in (mountpath, target.directory, world["t2"].directory):
            assert (directory / ".ais.keys").exists()
            assert files_with(directory, *needles) == set()
        assert files_with(world.root, secret.encode()) == set()

    simulate(scenario)


def test_the_secret_is_made_once(simulate: Simulate) -> None:
    """Elections and restarts of everything keep the cluster's secret, and with it the keys."""

    async def scenario(world: Any) -> None:
        world.cluster(2, 2)
        await world.settled()
        first = world.primary().cluster_secret
        key_id, secret = await create(world.primary())
        world["p1"].kill()
        await world.until(lambda: world["p2"].alive.has_authority, 30, "election")
        world["p1"].boot()
        await world.settled()
        assert world.primary().snode.id == "p2aaaaaa"
        for machine in world.nodes.values():
            machine.kill()
        for machine in world.nodes.values():
            machine.boot()
        await world.settled()
        assert {node.cluster_secret for node in world.running} == {first}
        assert {node.keyring.lookup(key_id) for node in world.running} == {("ann", secret, False, False)}

    simulate(scenario)


def test_a_target_that_lost_its_confdir_gets_the_secret_again(simulate: Simulate) -> None:
    """Its mountpaths have the keys; the next heartbeats bring what opens them."""

    async def scenario(world: Any) -> None:
        world.cluster(1, 2)
        await world.settled()
        key_id, secret = await create(world.primary())
        target = world["t1"]
        target.kill()
        shutil.rmtree(target.confdir)
        target.confdir.mkdir()
        target.boot()
        await world.settled()
        assert target.alive.keyring.lookup(key_id) == ("ann", secret, False, False)
        assert (target.confdir / ".ais.secret").exists()

    simulate(scenario)


@pytest.mark.parametrize("keeps_map", [True, False])
def test_a_secret_of_another_cluster_is_ignored(simulate: Simulate, keeps_map: bool) -> None:
    """Mountpaths in another machine's place, or a fresh target there: its old secret, though newer, reaches nobody."""

    async def scenario(world: Any) -> None:
        world.cluster(1, 2)
        await world.settled()
        key_id, secret = await create(world.primary())
        target = world["t1"]
        target.kill()
        foreign = keys.ClusterSecret("another-cluster", U64(99), keys.new_secret())
        store.save(Disk(), (str(target.confdir),), store.SECRET, store.Record(99, foreign.encode()))
        if not keeps_map:
            shutil.rmtree(target.directory)
            target.directory.mkdir()
        target.boot()
        await world.settled()
        assert foreign.secret not in {node.cluster_secret for node in world.running}
        assert {node.keyring.lookup(key_id) for node in world.running} == {("ann", secret, False, False)}

    simulate(scenario)
