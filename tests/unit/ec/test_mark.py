"""The mark that says after a crash that objects may lack copies or slices."""

from pathlib import Path
from typing import Any

import pytest
from harness.coded import EC, Group, run
from harness.target import until

from ais.env.disk import Disk


@pytest.mark.parametrize("patch", [EC, {"mirror": {"enabled": True, "copies": 2}}])
def test_a_mark_is_there_before_an_object_is(tmp_path: Path, patch: dict[str, Any]) -> None:
    """Whenever a target is killed, the next process knows that an object may lack copies or slices."""
    seen: list[bool] = []
    roots: list[Path] = []
    really = Disk.rename

    def rename(*args: Any) -> None:
        if "/%ob/" in str(args[-1]):
            seen.append(any((root / mark).exists() for root in roots for mark in (".ais.uncoded", ".ais.uncopied")))
        really(*args)

    async def scenario(group: Group) -> None:
        await group.create(patch)
        owner = group.owner("o")
        roots.extend(Path(one.path) for one in owner.volume.available)
        for _ in range(2):
            assert (await owner.ask("PUT", "o", data=b"content")).status == 200
            await until(lambda: not any(list(root.glob(".ais.unco*")) for root in roots))
        assert seen
        assert all(seen)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Disk, "rename", rename)
        run(tmp_path, 4, scenario)
