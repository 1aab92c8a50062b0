"""Which counters a failed object request goes to."""

from ais.base.errors import AisError, DiskFailure, NotFound
from ais.stats import names as metrics
from ais.stats.tracker import Tracker

_SLOTS = {
    "GET": (metrics.ERR_GET_N, metrics.ERR_IO_GET_N),
    "HEAD": (metrics.ERR_HEAD_N, metrics.ERR_IO_GET_N),
    "PUT": (metrics.ERR_PUT_N, metrics.ERR_IO_PUT_N),
    "DELETE": (metrics.ERR_DEL_N, metrics.ERR_IO_DEL_N),
    "POST": (metrics.ERR_REN_N, metrics.ERR_IO_PUT_N),
}


REDIRECT_NS_MAX = 60 * 10**9
"""A redirect older than this was not followed, it was kept; or the clocks differ."""


def count_redirect(values: list[int], count_slot: int, time_slot: int, elapsed_ns: int) -> None:
    """Count a request that came by redirect, and the time since a proxy sent it here."""
    if 0 <= elapsed_ns <= REDIRECT_NS_MAX:
        values[count_slot] += 1
        values[time_slot] += elapsed_ns


def count_error(stats: Tracker, method: str, error: AisError | None, amount: int = 1) -> None:
    """Count a request that failed (None: the client went away). What does not exist is no failure: clients probe.

    `amount` -1 takes back what was counted.
    """
    slots = _SLOTS.get(method)
    if slots is None or isinstance(error, NotFound):
        return
    stats.inc(slots[0], amount)
    if isinstance(error, DiskFailure):
        stats.inc(slots[1], amount)
