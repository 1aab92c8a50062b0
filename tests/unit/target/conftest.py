"""Targets for tests."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from harness import loop
from harness.target import serving


@pytest.fixture
def serve(tmp_path: Path) -> Callable[..., Any]:
    """`async with serve(2) as targets:` - so many targets in one cluster, each with two mountpaths."""
    return functools.partial(serving, tmp_path)


@pytest.fixture
def run() -> Callable[[Any], Any]:
    """Run a scenario to its end."""
    return loop.run
