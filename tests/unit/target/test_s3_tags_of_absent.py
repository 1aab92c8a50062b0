"""What a policy says of the tags of an object holds while the object is not here: with an earlier owner, or lost."""

import dataclasses
import json
from pathlib import Path

import pytest
from harness import loop
from harness.coded import EC, Group
from harness.moving import follow, owner_of
from harness.target import BCK, LiveTarget, serving
from harness.usual import OWNER

from ais.target.transfer import SMALL_BYTES_MAX


async def read_by_anybody(targets: list[LiveTarget], method: str, name: str) -> int:
    """The status, in a bucket where that is denied for what is tagged as secret."""
    secret = {"StringEquals": {"s3:ExistingObjectTag/class": "secret"}}
    said = {"Principal": "*", "Action": ["s3:GetObject", "s3:DeleteObject"], "Resource": "arn:aws:s3:::b/*"}
    statements = [{"Effect": "Allow", **said}, {"Effect": "Deny", "Condition": secret, **said}]
    policy = json.dumps({"Version": "2012-10-17", "Statement": statements})
    for one in targets:
        props = one.node.bmd.require(BCK).props.with_s3(policy=policy, owner=OWNER)
        await one.take(one.node.bmd.with_props(BCK, props))
        one.node.config = dataclasses.replace(one.node.config, transient={"auth.enabled": "true"})
    return (await targets[-1].s3(method, f"{BCK.name}/{name}")).status


async def tagged(target: LiveTarget, name: str, value: str, size: int) -> None:
    lines = {"x-amz-tagging": f"class={value}"}
    assert (await target.s3("PUT", f"{BCK.name}/{name}", data=bytes(size), headers=lines)).status == 200


@pytest.mark.parametrize("size", [9, SMALL_BYTES_MAX + 1], ids=["small", "large"])
@pytest.mark.parametrize("method", ["GET", "HEAD", "DELETE"])
def test_of_what_has_yet_to_come(tmp_path: Path, method: str, size: int) -> None:
    """They come with the object, which comes first; where there is none, they say nothing."""

    async def scenario() -> None:
        async with serving(tmp_path, 2) as targets:
            old, new = targets
            for one in targets:
                await one.create(BCK)
            names = [name for name in map(str, range(99)) if owner_of(targets, name) is new][:3]
            follow(targets, new)
            for name, value in zip(names, ("secret", "open"), strict=False):
                await tagged(old, name, value, size)
            follow(targets)
            found = [await read_by_anybody(targets, method, name) for name in names]
            assert found == [403, *((204, 204) if method == "DELETE" else (200, 403))]

    loop.run(scenario())


@pytest.mark.parametrize("size", [9, 9_000], ids=["replicated", "cut"])
@pytest.mark.parametrize("method", ["GET", "HEAD", "DELETE"])
def test_of_what_was_lost(tmp_path: Path, method: str, size: int) -> None:
    """Its slices have them."""

    async def scenario() -> None:
        async with serving(tmp_path, 4) as targets:
            group = Group(targets)
            await group.create(EC)
            name = next(name for name in map(str, range(99)) if group.owner(name) is targets[-1])
            await tagged(targets[-1], name, "secret", size)
            await group.settled()
            [path] = group.files(name)
            Path(path).unlink()
            assert await read_by_anybody(targets, method, name) == 403

    loop.run(scenario())


@pytest.mark.parametrize("size", [9, 9_000], ids=["replicated", "cut"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_of_what_another_target_stands_in_for(tmp_path: Path, method: str, size: int) -> None:
    """It keeps nothing of what it reads for a target that is away."""

    async def scenario() -> None:
        async with serving(tmp_path, 4) as targets:
            gone, stand_in = targets[0], targets[-1]
            group = Group(targets)
            await group.create(EC)
            group.away(gone)
            placement = stand_in.node.placement
            readers = {name: placement.reader(BCK.uname + name, is_coded=True).id for name in map(str, range(400))}
            group.away()
            names = [
                name
                for name, reader in readers.items()
                if group.owner(name) is gone and reader == stand_in.node.snode.id
            ][:2]
            for name, value in zip(names, ("secret", "open"), strict=True):
                await tagged(gone, name, value, size)
            await group.settled()
            group.away(gone)
            assert [await read_by_anybody(targets, method, name) for name in names] == [403, 200]

    loop.run(scenario())
