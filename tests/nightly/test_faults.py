"""Schedules of faults too long for CI, and what shows that they find something: bugs that are put in on purpose."""

import os
from pathlib import Path

import pytest
from harness.faults import batch, planted


def test_nothing_acknowledged_is_lost_in_fifty_schedules(tmp_path: Path):
    """Fifty schedules of two minutes of kills, freezes, cuts and lost mountpaths: no answer contradicts another."""
    parallel = int(os.environ.get("PARALLEL", str(os.cpu_count() or 1)))
    failed = [one for one in batch.run_all(range(1, 51), 120, parallel, parent=tmp_path) if not one.passed]
    assert not failed, "\n\n".join(one.output for one in failed)


@pytest.mark.parametrize("name", planted.PLANTS)
def test_a_planted_bug_is_found(name: str, tmp_path: Path):
    """Each bug that is put into the nodes is reported as a violation within a few schedules."""
    found = planted.find(name, tmp_path)
    assert found is not None, f"{name} was not found"
    print(f"\n{name}: seed {found.seed}, {found.reason}")
