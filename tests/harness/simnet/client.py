"""A client that sends random pieces at random turns, and the model: what the bytes that come back must be.

h11 says where requests end (as a server would read them) and where answers end, whether a connection goes on after one,
and whether all of it is HTTP.
"""

import random
import socket
from itertools import accumulate

import h11

from harness.simnet.plan import Plan

NEVER = -1


class WrongAnswer(AssertionError):
    """What came is not what had to come."""


class Client:
    """One connection. `step` does something or nothing; `is_done` when all that had to come has come."""

    def __init__(
        self, rng: random.Random, sock: socket.socket, plans: list[Plan], *, is_tls: bool, bad_end: bytes, leaves: str
    ) -> None:
        self._rng, self._sock, self._plans, self._is_tls = rng, sock, plans, is_tls
        self._bad_end = bad_end
        self._leaves = leaves
        """`no`; `half`: shuts down its sending side at the end; `cut`: somewhere; `reset`: goes away somewhere."""
        self._segments: list[tuple[bytes, int]] = []
        """Bytes to send, once the answer or the `100 Continue` of a request is here (`NEVER`: at once)."""
        for index, plan in enumerate(plans):
            self._segments.append((plan.head, NEVER))
            waits = plan.expects and plan.waits and bool(plan.raw_body)
            self._segments.append((plan.raw_body, index if waits else NEVER))
        self._segments.append((bad_end, NEVER))
        self._ends = list(accumulate(len(plan.head) + len(plan.raw_body) for plan in plans))
        """How many bytes are sent with the end of each request."""
        total = sum(len(data) for data, _ in self._segments)
        self._sent_bytes = 0
        self._left = rng.randint(0, total) if leaves in ("cut", "reset") else total
        self._sleep = 0
        self._pace = rng.choice((1, 20, 1000, 100_000))
        self._is_slow_reader = rng.random() < 0.15
        self._has_shut_down = False
        self._has_left = False
        self._sent: list[bytes] = []
        self._is_over = False
        """The server ended its side, or the connection."""
        self._answered = 0
        self._continued: set[int] = set()
        self._parser: h11.Connection | None = None
        self._answer: h11.Response | None = None
        self._body: list[bytes] = []
        self._rest = b""
        self._must_end = ""
        """Why the server must close now, if it must."""

    @property
    def is_done(self) -> bool:
        """Whether nothing is left to do or to wait for."""
        if self._has_left or self._is_over or (self._must_end and self._is_tls):
            return True  # a server cannot end one direction of TLS: the client has to
        return self._leaves == "no" and not self._bad_end and self._answered == len(self._plans) and not self._must_end

    @property
    def waits_for(self) -> str:
        """What has not come."""
        plan = self._plans[self._answered] if self._answered < len(self._plans) else None
        return f"answers {self._answered} of {len(self._plans)}, must end: {self._must_end!r}, next: {plan}"

    def step(self) -> bool:
        """Send or read something, perhaps. Whether something happened."""
        if self._sleep:
            self._sleep -= 1
            return False
        if self._rng.random() < 0.05:
            self._sleep = self._rng.choice((1, 2, 5, 30))
        return self._send() | self._read()

    def close(self) -> None:
        """End the connection."""
        self._sock.close()

    # Sending.

    def _send(self) -> bool:
        if self._has_shut_down or self._is_over:
            return False
        piece = self._next_piece()
        if piece:
            try:
                count = self._sock.send(piece)
            except BlockingIOError:
                return False
            except (BrokenPipeError, ConnectionResetError):
                self._segments.clear()
                self._has_shut_down = True
                return True
            self._sent.append(piece[:count])
            self._sent_bytes += count
            if len(self._sent) % 12 == 0:
                self._pace *= 8
            self._left -= count
            data, after = self._segments[0]
            self._segments[0] = (data[count:], after)
            return True
        if self._left and self._segments:
            return False
        if self._leaves == "reset":
            self._has_left = True
            return True
        if self._leaves in ("half", "cut"):
            self._has_shut_down = True
            self._sock.shutdown(socket.SHUT_WR)
            return True
        return False

    def _next_piece(self) -> bytes:
        while self._segments and not self._segments[0][0]:
            self._segments.pop(0)
        if not self._segments:
            return b""
        data, after = self._segments[0]
        if after != NEVER and after not in self._continued and self._answered <= after:
            return b""
        # Pieces go over the ends of requests: what may go out at once is one stream.
        at = 1
        size = min(1 + int(self._rng.random() * self._pace), self._left)
        while len(data) < size and at < len(self._segments) and self._segments[at][1] == NEVER:
            data += self._segments[at][0]
            self._segments[:2] = [(data, after)]
        return data[:size]

    # Reading.

    def _read(self) -> bool:
        if self._is_over or (self._is_slow_reader and self._rng.random() < 0.8):
            return False
        try:
            data = self._sock.recv(self._rng.choice((1, 500, 5000, 100_000, 100_000)))
        except BlockingIOError:
            return False
        except ConnectionResetError:
            data = b""
        self._take(data)
        return True

    def _take(self, data: bytes) -> None:
        if data and self._must_end:
            raise WrongAnswer(f"{data[:100]!r} after the end of the connection was announced ({self._must_end})")
        if not data:
            self._is_over = True
        self._rest += data
        while self._answered < len(self._plans) or self._bad_end:
            if self._parser is None:
                if not self._rest and not self._is_over:
                    return
                if not self._rest:
                    self._ended()
                    return
                self._parser, self._rest = self._begin(), self._feed(self._rest)
            elif self._rest or self._is_over:
                self._rest = self._feed(self._rest)
            if not self._next_events():
                return
        if self._rest:
            raise WrongAnswer(f"{self._rest[:100]!r} after the last answer")
        if self._is_over:
            self._ended()

    def _begin(self) -> h11.Connection:
        plan = self._plans[self._answered] if self._answered < len(self._plans) else None
        parser = h11.Connection(h11.CLIENT, max_incomplete_event_size=100_000)
        headers = [("Host", "here")]
        if plan is not None and not plan.keeps_alive:
            headers.append(("Connection", "close"))
        parser.send(h11.Request(method=plan.method if plan else "GET", target="/", headers=headers))
        parser.send(h11.EndOfMessage())
        self._parser, self._answer, self._body = parser, None, []
        return parser

    def _feed(self, data: bytes) -> bytes:
        parser = self._parser
        assert parser is not None
        if data:
            parser.receive_data(data)
        if self._is_over:
            parser.receive_data(b"")
        return b""

    def _next_events(self) -> bool:
        """Take what the parser has; whether an answer was completed."""
        parser = self._parser
        assert parser is not None
        try:
            while True:
                event = parser.next_event()
                if event is h11.NEED_DATA:
                    return False
                if isinstance(event, h11.InformationalResponse):
                    self._continue(event)
                elif isinstance(event, h11.Response):
                    self._begin_answer(event)
                elif isinstance(event, h11.Data):
                    self._body.append(bytes(event.data))
                elif isinstance(event, h11.EndOfMessage):
                    self._complete(parser)
                    return True
                elif isinstance(event, h11.ConnectionClosed):
                    self._ended()
                    return False
        except h11.RemoteProtocolError as error:
            if not self._is_over:
                raise WrongAnswer(f"not HTTP: {error}") from error
            self._ended()
            return False

    def _continue(self, event: h11.InformationalResponse) -> None:
        plan = self._plans[self._answered]
        if event.status_code != 100 or not plan.expects or self._answered in self._continued:
            raise WrongAnswer(f"unasked for: {event}")
        self._continued.add(self._answered)

    def _begin_answer(self, event: h11.Response) -> None:
        self._answer = event
        if self._answered < len(self._plans) and self._sent_bytes < self._ends[self._answered]:
            plan = self._plans[self._answered]
            if plan.must_wait and not self._has_shut_down:
                raise WrongAnswer(f"answered before the end of its small body: {plan}")

    def _complete(self, parser: h11.Connection) -> None:
        answer, body = self._answer, b"".join(self._body)
        assert answer is not None
        is_kept = parser.their_state is h11.DONE or (b"connection", b"keep-alive") in answer.headers  # HTTP/1.0
        self._rest = parser.trailing_data[0]
        self._parser = None
        if self._answered >= len(self._plans):
            if not 400 <= answer.status_code < 500 or is_kept:
                raise WrongAnswer(f"bad request answered {answer}")
            self._bad_end = b""
            self._must_end = "bad request"
        else:
            self._check(self._plans[self._answered], answer, body, is_kept=is_kept)
            self._answered += 1
        if self._must_end and self._rest:
            raise WrongAnswer(f"{self._rest[:100]!r} after the end of the connection was announced ({self._must_end})")

    def _check(self, plan: Plan, answer: h11.Response, body: bytes, *, is_kept: bool) -> None:
        names = {bytes(name) for name, _ in answer.headers}
        if plan.is_broken:
            raise WrongAnswer(f"complete answer to {plan}: {body[:100]!r}")
        if plan.is_http10 and b"transfer-encoding" in names:
            raise WrongAnswer(f"chunks for HTTP/1.0: {answer}")
        expected = plan.content if plan.method != "HEAD" and plan.status not in (204, 304) else b""
        if plan.is_refused:
            status = 507 if plan.fails else plan.status
            is_right = answer.status_code == status and (plan.method == "HEAD" or str(plan.number).encode() in body)
        else:
            status = 200 if plan.kind == "repeat" else plan.status
            is_right = answer.status_code == status and (body == expected or self._may_be_short(plan, body))
        if not is_right:
            raise WrongAnswer(f"{answer} {body[:200]!r} to {plan}, expected {status} {expected[:200]!r}")
        if is_kept and not plan.keeps_alive:
            raise WrongAnswer(f"kept after {plan}")
        if not is_kept and plan.must_keep and not self._has_shut_down and not self._left_early:
            raise WrongAnswer(f"not kept after {plan}: {answer}")
        if not is_kept:
            self._must_end = f"after {plan.number}"

    def _may_be_short(self, plan: Plan, body: bytes) -> bool:
        """Whether it is the beginning of an answer that ends with the connection (HTTP/1.0), to a request that was cut:
        the server resets the connection, which a pair of sockets does not have."""
        is_cut = self._leaves == "cut" and self._sent_bytes < self._ends[self._answered]
        return plan.is_http10 and is_cut and plan.content.startswith(body)

    @property
    def _left_early(self) -> bool:
        return self._leaves in ("cut", "reset")

    def _ended(self) -> None:
        """The connection is over: was that announced, or asked for?"""
        self._is_over = True
        if self._must_end or self._has_left:
            return
        answered, total = self._answered, len(self._plans)
        if answered < total and self._plans[answered].is_broken and self._answer is not None:
            return
        if self._leaves == "cut" and answered >= self._complete_requests():
            return
        if self._leaves == "half" and answered == total and not self._bad_end:
            return
        raise WrongAnswer(f"closed without a word; {self.waits_for}")

    def _complete_requests(self) -> int:
        """How many requests a server would see in what was sent."""
        parser = h11.Connection(h11.SERVER, max_incomplete_event_size=100_000)
        count, rest = 0, b"".join(self._sent)
        while rest:
            parser = h11.Connection(h11.SERVER, max_incomplete_event_size=100_000)
            parser.receive_data(rest)
            try:
                while not isinstance(event := parser.next_event(), h11.EndOfMessage):
                    if event is h11.NEED_DATA or event is h11.PAUSED:
                        return count
            except h11.RemoteProtocolError:
                return count
            count, rest = count + 1, parser.trailing_data[0]
        return count
