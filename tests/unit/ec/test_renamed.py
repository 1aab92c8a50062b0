"""An erasure-coded bucket gets another name while some of its objects are lost or damaged."""

import asyncio
import os
from pathlib import Path

import pytest
from harness.coded import BODIES, EC, Group, fill, run

from ais.api.bucket import Bck
from ais.api.xact import ArgsMsg
from ais.meta import rename

BCK, OTHER = Bck("b"), Bck("other")


@pytest.mark.parametrize("protection", [{}, {"protection": {"slices_only": True}}], ids=["replica", "alone"])
def test_what_slices_can_restore_gets_the_new_name(tmp_path: Path, protection: dict[str, object]) -> None:
    """Objects whose file is gone or damaged, and which nobody asked for, are restored and moved before the old bucket
    goes with their slices."""

    async def scenario(group: Group) -> None:
        await group.create(EC | protection)
        await fill(group)
        for name in ("large", "small"):
            os.unlink(group.files(name)[0])
        path = Path(group.files("dir/two")[0])
        path.write_bytes(b"!" + path.read_bytes()[1:])
        ids = frozenset(one.node.snode.id for one in group.targets)
        move = rename.Rename("renRENren1", BCK, OTHER, ids)
        await group.take(rename.begin(group.targets[0].node.bmd, move, term=1, now_ns=1))
        args = ArgsMsg(id=move.uuid, kind="move-bck", bck=BCK, bck_to=OTHER.uname)
        jobs = [one.target._jobs.start(args) for one in group.targets]
        await asyncio.gather(*(job.wait() for job in jobs))
        assert [job.error for job in jobs] == [""] * len(jobs)
        await group.take(rename.finish(group.targets[0].node.bmd, move))
        for name, body in BODIES.items():
            owner = next(one for one in group.targets if one.target._ec._peers.is_owner(OTHER.uname + name))
            answer = await owner.ask("GET", name, bucket="other")
            assert (answer.status, answer.body == body) == (200, True), (name, answer.message)

    run(tmp_path, 4, scenario)
