"""Five short schedules of faults on a real cluster; `make nightly` runs fifty of two minutes."""

from pathlib import Path

import pytest
from harness.faults import batch

OPTIONS = ("--grace", "2", "--workers", "4", "--targets", "2")


@pytest.mark.timeout(400)
def test_nothing_acknowledged_is_lost_in_five_short_schedules(tmp_path: Path):
    """Under kills, freezes, cuts and lost mountpaths no answer contradicts another; then everything is served."""
    results = batch.run_all(range(1, 6), 10, parallel=3, options=OPTIONS, parent=tmp_path)
    failed = [one for one in results if not one.passed]
    assert not failed, "\n\n".join(f"{one.output}\nreplay: {one.seed}" for one in failed)
