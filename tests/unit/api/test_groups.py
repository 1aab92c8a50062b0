"""What copies of objects are called."""

import pytest

from ais.api.bucket import Bck
from ais.api.groups import WORKERS_DEFAULT, WORKERS_MAX, GroupTask


@pytest.mark.parametrize(
    ("name", "copy"),
    [
        ("a.jpg", "new/a.png"),
        ("d/a.b.jpg", "new/d/a.b.png"),
        ("a.txt", "new/a.txt"),
        ("jpg", "new/jpg"),
        ("d.jpg/a", "new/d.jpg/a"),
    ],
)
def test_new_names(name: str, copy: str) -> None:
    """The last extension of the last element changes, if it is one of those named; the prefix goes in front."""
    task = GroupTask("id", "copy-bck", Bck("b"), prepend="new/", extensions={"jpg": "png"})
    assert task.new_name(name) == copy


@pytest.mark.parametrize(("asked", "given"), [(0, WORKERS_DEFAULT), (-1, 1), (3, 3), (10_000, WORKERS_MAX)])
def test_workers(asked: int, given: int) -> None:
    """0 is the default, less is one at a time, more than the limit is the limit."""
    assert GroupTask("id", "copy-bck", Bck("b"), workers=asked).workers_count == given
