"""`--refresh` and `--count`: show again and again."""

import functools
import time
from collections.abc import Callable
from typing import Any

import click

from ais_cli.params import DURATION, CountType

REFRESH_S = 5.0


def refreshing(show: Callable[..., None]) -> Callable[..., None]:
    """Add the options to what shows something once."""

    @click.option("--refresh", type=DURATION, help="Show again after this time, such as 5s, until interrupted.")
    @click.option("--count", type=CountType(1), help="How many times to show, every 5s or as --refresh says.")
    @functools.wraps(show)
    def repeat(*args: Any, refresh: float | None, count: int | None, **options: Any) -> None:
        rounds = count or (None if refresh else 1)
        done = 0
        while True:
            show(*args, **options)
            done += 1
            if done == rounds:
                return
            time.sleep(refresh or REFRESH_S)
            click.echo()

    return repeat
