"""The owner of an object that is kept as slices alone dies in the middle of a change."""

import io
import os
from pathlib import Path
from typing import Any

import pytest
from harness.coded import BCK, EC, Group, run
from harness.dying import dying

ALONE: dict[str, Any] = {"ec": EC["ec"], "protection": {"slices_only": True}}
OLD, NEW, SMALL = os.urandom(3000), os.urandom(5000), b"small"
EVERY = 1 if os.environ.get("EVERY_STEP") else 4
"""CI dies at each fourth step, `make nightly` at each."""

CHANGES: list[tuple[bytes | None, bytes | None]] = [(OLD, NEW), (None, NEW), (SMALL, NEW), (OLD, SMALL), (OLD, None)]
"""What there was and what there shall be; None: nothing."""


async def change(group: Group, name: str, body: bytes | None) -> int:
    """Make the object this; the status."""
    owner = group.owner(name)
    if body is None:
        return (await owner.ask("DELETE", name)).status
    return (await owner.ask("PUT", name, data=io.BytesIO(body))).status


async def content(group: Group, name: str) -> bytes | None:
    """What its owner answers; None: there is no such object."""
    answer = await group.owner(name).ask("GET", name)
    if answer.status == 404:
        return None
    assert answer.status == 200, answer.message
    return answer.body


@pytest.mark.parametrize(("before", "after"), CHANGES)
def test_whenever_the_owner_dies_the_object_is_the_old_or_the_new_one(
    tmp_path: Path, before: bytes | None, after: bytes | None
) -> None:
    """Dead in the place of any change of a file or request to a peer: one of the two, exactly, and nothing is left."""

    async def scenario(group: Group) -> None:
        await group.create(ALONE)
        at, died = 1, True
        while died:
            name = f"o{at}"
            if before is not None:
                assert await change(group, name, before) == 200
            await group.settled()
            with dying(group.owner(name), at) as death:
                status = await change(group, name, after)
                died = death.is_dead
            await group.settled()
            allowed = [after] if status == 200 else [before, after]
            found = await content(group, name)
            assert found in allowed, (at, status, found and len(found))
            for one in group.targets:
                one.volume.sweep_workfiles()
                await one.target._ec.encode_bucket(BCK, f"{at}{one.node.snode.id}").wait()
            await group.settled()
            assert await content(group, name) == found, at
            group.away(group.owner(name))
            reader_id = group.targets[0].node.placement.reader(BCK.uname + name, is_coded=True).id
            reader = next(one for one in group.targets if one.node.snode.id == reader_id)
            answer = await reader.ask("GET", name)
            assert answer.status == 503 if found is None else (answer.status, answer.body) == (200, found), at
            group.away()
            roots = [f"{one.path}/@ais/b/%es" for target in group.targets for one in target.volume.available]
            assert [file for root in roots for _, _, files in os.walk(root) for file in files] == []
            at += EVERY
        assert at > 3 * EVERY

    run(tmp_path, 3, scenario)
