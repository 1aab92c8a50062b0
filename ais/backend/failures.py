"""What a cloud answered, or did not answer, as errors of ours, which name the bucket or object."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import aiohttp

from ais.api.bucket import Bck
from ais.base.errors import (
    AccessDenied,
    AisError,
    BadRequest,
    Conflict,
    NotReady,
    ObjectNotFound,
    OutOfSpace,
    RangeNotSatisfiable,
    RemoteBucketNotFound,
    Unreachable,
    Unsupported,
)

_TIMED_OUT = 408


@contextmanager
def translated(meaning: Callable[[BaseException], AisError]) -> Iterator[None]:
    """What a library raises in a block as what it means; of several the first."""
    try:
        yield
    except (AisError, asyncio.CancelledError, GeneratorExit):
        raise
    except BaseExceptionGroup as group:
        first = group.exceptions[0]
        raise (first if isinstance(first, AisError) else meaning(first)) from None
    except Exception as error:  # noqa: BLE001 - whatever a server can make a library raise
        raise meaning(error) from None


def of_status(status: int, text: str, bck: Bck | None, name: str) -> AisError:
    """An answer with this HTTP status to a request on an object, or without `name` on a bucket.

    `Unreachable` only where the same request may be answered better: what is refused for good says nothing about how
    the backend is (`ais.backend.pacing.Breaker`).
    """
    if status == 404 and bck is not None:
        return ObjectNotFound(bck.cname(name)) if name else RemoteBucketNotFound(bck.provider, bck.cname())
    if status == 416:
        return RangeNotSatisfiable("", 0)
    if status in (401, 403):
        return AccessDenied(text)
    if status in (429, 503):
        return NotReady(f"{text}: try again later")
    if status in (409, 412):
        return Conflict(text)
    if status in (405, 501):
        return Unsupported(text)
    if status == 507:
        return OutOfSpace(text)
    return BadRequest(text) if 400 <= status < 500 and status != _TIMED_OUT else Unreachable(text)


def of_connection(error: BaseException, what: str) -> AisError:
    """No answer, or one that broke off."""
    if isinstance(error, TimeoutError):
        return Unreachable(f"{what}: its backend did not answer in time")
    if isinstance(error, aiohttp.ClientError):
        return Unreachable(f"{what}: the connection to its backend broke: {error}")
    return Unreachable(f"{what}: {type(error).__name__}: {error}")
