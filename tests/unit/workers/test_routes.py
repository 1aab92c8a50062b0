"""What a worker does with requests: it answers, or passes on and leaves no trace."""

import asyncio
import os

import pytest

from ais.base.errors import AisError, ObjectNotFound
from ais.env.clock import SystemClock
from ais.net.http import Forward, Headers, Network, Peer, Reply, Request
from ais.net.passing import believe, pass_on
from ais.stats import names as metrics
from ais.stats.tracker import Tracker
from ais.workers import routes
from ais.workers.shared import Shared

CLIENT = Peer("192.0.2.7:1234", Network.PUBLIC, "https")


class Standing:
    """Whether the worker serves."""

    may_serve = True


class Counting:
    """What a worker answers itself: counts, and then replies or raises."""

    def __init__(self, stats: Tracker, outcome: Reply | AisError | None) -> None:
        self._stats, self._outcome = stats, outcome

    def __call__(self, _request: Request) -> Reply | None:
        self._stats.inc(metrics.GET_REDIR_N)
        if isinstance(self._outcome, AisError):
            raise self._outcome
        return self._outcome


@pytest.fixture
def counters():
    """The counters of the second worker of a node."""
    fd = Shared.create()
    yield Shared(fd).counters(1)
    os.close(fd)


def routed(counters, outcome):
    """The reply to a GET, and the counters' tracker."""
    stats = Tracker("target", SystemClock())
    stats.values = counters
    route = routes.route(Standing(), Counting(stats, outcome), stats, counters, 3)
    return route(Request("GET", "/v1/objects/b/o", Headers(), CLIENT)), stats


def test_what_is_answered_is_counted(counters):
    """A reply of the worker goes out as it is."""
    reply, stats = routed(counters, Reply(200))
    assert isinstance(reply, Reply)
    assert stats.values[metrics.GET_REDIR_N] == 1


def test_what_went_wrong_is_passed_on_and_not_counted(counters):
    """The control process answers and counts: nothing of the attempt is left in the node's numbers."""
    reply, stats = routed(counters, ObjectNotFound("ais://b/o"))
    assert isinstance(reply, Forward)
    assert reply.url == "control://3"
    assert stats.values[metrics.GET_REDIR_N] == 0


def test_who_sent_a_request_that_is_passed_on_is_known(counters):
    """The control process sees the client's address and scheme, and that it closes its connection."""
    reply, _ = routed(counters, ObjectNotFound("ais://b/o"))
    name, _, value = reply.headers.decode().removesuffix("\r\n").partition(": ")
    seen = []
    passed_on = Request("GET", "/", Headers(((name.lower(), value),)), Peer("", Network.PUBLIC, "http"))
    believe(lambda request: seen.append(request.peer) or Reply(200))(passed_on)
    assert (seen[0].remote, seen[0].scheme, seen[0].networks) == (CLIENT.remote, "https", Network.PUBLIC)


@pytest.mark.parametrize("is_known", [False, True])
def test_what_was_found_to_be_new_is_not_asked_again(is_known):
    """What a worker has taken once is known where it passes it on to, and nothing else is."""
    request = Request("PUT", "/s3/b/o", Headers(), CLIENT)
    request.is_known = is_known
    name, _, value = pass_on(request, "control://0").headers.decode().splitlines()[0].partition(": ")
    seen = []
    passed_on = Request("PUT", "/s3/b/o", Headers(((name.lower(), value),)), Peer("", Network.PUBLIC, "http"))
    believe(lambda one: seen.append((one.is_known, one.remote)) or Reply(200))(passed_on)
    assert seen == [(is_known, CLIENT.remote)]


def test_what_was_left_out_of_a_request_is_passed_on():
    """A gateway's mark that a worker has taken off is still there for the control process, which asks for it too."""
    request = Request("GET", "/v1/objects/b/o?pid=p&sig=mark&utm=1", Headers(), CLIENT)
    request.requery("/v1/objects/b/o?pid=p")
    assert "mark" not in request.target
    pass_on(request, "control://0")
    assert request.target == "/v1/objects/b/o?pid=p&sig=mark&utm=1"


async def _fails() -> Reply:
    raise ObjectNotFound("ais://b/o")


def test_what_goes_wrong_later_is_passed_on_too(counters):
    """The same for an answer that had to be waited for."""
    stats = Tracker("target", SystemClock())
    stats.values = counters
    route = routes.route(Standing(), lambda _: _fails(), stats, counters, 0)
    reply = asyncio.run(route(Request("GET", "/v1/objects/b/o", Headers(), CLIENT)))
    assert isinstance(reply, Forward)
