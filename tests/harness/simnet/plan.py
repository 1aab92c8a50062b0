"""Random requests: their bytes, and what may be answered. Sizes lie around the limits in `LIMITS`."""

import random
import zlib
from dataclasses import dataclass, field

from ais.net.hub import Limits

READ_FIRST_BYTES = 1 << 10
"""What the tests make of `ais.net.leftover.READ_FIRST_BYTES_MAX`."""
LIMITS = Limits(
    head_bytes_max=2 << 10,
    buffer_bytes=2 << 10,
    buffers_max=3,
    turn_bytes=1 << 10,
    drain_bytes_max=4 << 10,
    linger_bytes_max=1 << 20,
)
SIZES = (0, 1, 17, 200, 1023, 1024, 1025, 2047, 2048, 2049, 4095, 4096, 4097, 6000, 12_000)
FILE_BYTES = 1 << 16
HOT = ("reply", "raise", "repeat", "file", "stream", "broken", "upload", "upload", "upload")
APP = ("app-echo", "app-ignore", "app-peek", "app-stream", "app-duplex", "app-raise", "app-broken")
LEAVES_BODY = frozenset(("reply", "raise", "repeat", "file", "stream", "broken", "app-ignore", "app-peek", "app-raise"))
LEAVES_BODY |= {"app-stream", "app-duplex", "app-broken"}


def pattern(number: int, size: int) -> bytes:
    """Bytes of one request or answer, which are in no other."""
    unit = b"<%d>" % number
    return (unit * (size // len(unit) + 1))[:size]


@dataclass(slots=True)
class Plan:
    """One request and how it is answered."""

    number: int
    kind: str
    method: str
    is_relayed: bool
    is_http10: bool
    connection: str
    """The request's Connection header; empty: none."""
    framing: str
    """`none`, `length` or `chunked`."""
    body: bytes = field(repr=False)
    expects: bool
    waits: bool
    """The client sends the body after `100 Continue` only."""
    status: int
    answer_bytes: int
    delay: int
    """Turns the route thinks; 0: it answers at once."""
    how: str
    """Of the sink, stream or handler: see `world`."""
    fail_at: int | None
    """The sink refuses after so many bytes."""
    raw_body: bytes = field(default=b"", repr=False)
    head: bytes = b""

    @property
    def target(self) -> str:
        """Its path says what kind it is, and its number."""
        via = "/via" if self.is_relayed else ""
        # All requests of a kind of repeat have the same bytes.
        return f"{via}/{self.kind}/{self.number if self.kind != 'repeat' else self.answer_bytes}"

    @property
    def keeps_alive(self) -> bool:
        """Whether the client wants the connection to go on."""
        return self.connection == "keep-alive" if self.is_http10 else self.connection != "close"

    @property
    def content(self) -> bytes:
        """The body of the answer; for `raise` and refused uploads only what it must contain."""
        size = len(self.body)
        if self.kind in ("upload", "app-echo"):
            return b"%d %08x %d" % (size, zlib.crc32(self.body), self.number)
        if self.kind == "repeat":
            return pattern(self.answer_bytes, self.answer_bytes)
        if self.kind == "file":
            return file_content(self.number, self.answer_bytes)
        return pattern(self.number, self.answer_bytes)

    @property
    def is_broken(self) -> bool:
        """Whether the answer must not look complete."""
        return self.kind in ("broken", "app-broken")

    @property
    def is_refused(self) -> bool:
        """Whether the answer is an error."""
        return self.kind in ("raise", "app-raise") or self.fails

    @property
    def fails(self) -> bool:
        """Whether the sink refuses."""
        if self.kind != "upload" or self.fail_at is None:
            return False
        return self.fail_at == -1 or self.fail_at < len(self.body)

    @property
    def must_wait(self) -> bool:
        """Whether the answer must not come before the end of the body."""
        if not self.keeps_alive or self.expects or self.kind in ("app-stream", "app-duplex", "app-broken"):
            return False
        return len(self.raw_body) <= READ_FIRST_BYTES

    @property
    def must_keep(self) -> bool:
        """Whether nothing excuses the server from keeping the connection."""
        if not self.keeps_alive or self.is_broken:
            return False
        if self.is_http10 and self.kind in ("stream", "app-stream", "app-duplex") and self.how != "length":
            return False
        if self.kind not in LEAVES_BODY and not self.fails:
            return True
        if self.expects:
            return not self.raw_body
        if self.kind in ("app-stream", "app-duplex"):  # the head goes out while the body comes
            return self.framing == "none" or (self.framing == "length" and len(self.body) <= LIMITS.drain_bytes_max)
        if self.framing == "chunked":
            return len(self.raw_body) <= READ_FIRST_BYTES
        return len(self.body) <= LIMITS.drain_bytes_max


def file_content(number: int, size: int) -> bytes:
    """What lies in the file at a place that depends on the number."""
    start = number * 7919 % (FILE_BYTES - 32_000)
    return pattern(1, FILE_BYTES)[start : start + size]


def random_plan(rng: random.Random, number: int, *, is_tiny: bool = False) -> Plan:
    """One request. `is_tiny`: what many clients send in one turn."""
    kind = (
        rng.choice(("reply", "upload", "repeat", "raise"))
        if is_tiny
        else rng.choice(HOT if rng.random() < 0.7 else APP)
    )
    method = {"upload": "PUT", "repeat": "GET"}.get(kind) or rng.choice(("GET", "PUT", "POST", "HEAD"))
    has_body = kind != "repeat" and rng.random() < (0.2 if method in ("GET", "HEAD") else 0.9)
    framing = rng.choice(("length", "length", "chunked")) if has_body else rng.choice(("none", "none", "length"))
    # What breaks off has no other mark in HTTP/1.0 than a reset, which a pair of sockets does not have.
    is_http10 = not is_tiny and framing != "chunked" and "broken" not in kind and rng.random() < 0.1
    expects = framing != "none" and not is_http10 and not is_tiny and rng.random() < 0.15
    size = rng.choice(SIZES[:4] if is_tiny else SIZES) if has_body else 0
    answer = rng.choice(SIZES[:3] if is_tiny or kind == "repeat" else SIZES)
    plan = Plan(
        number,
        kind,
        method,
        is_relayed=rng.random() < 0.25,
        is_http10=is_http10,
        connection=rng.choice(("keep-alive", "")) if is_http10 else rng.choice(("",) * 12 + ("keep-alive", "close")),
        framing="none" if kind == "repeat" else framing,
        body=pattern(number, size),
        expects=expects and kind != "repeat",
        waits=rng.random() < 0.7,
        status=rng.choice((400, 404, 507)) if "raise" in kind else rng.choice((200, 200, 200, 201, 206, 307, 404)),
        answer_bytes=answer,
        delay=rng.choice((0, 0, 0, 1, 3)),
        how=rng.choice(("inline", "now", "later", "mixed")) if kind == "upload" else rng.choice(("length", "open")),
        fail_at=rng.choice((-1, 0, 100, 2048)) if kind == "upload" and rng.random() < 0.2 else None,
    )
    if plan.kind in ("reply", "app-ignore") and rng.random() < 0.15:
        plan.status, plan.answer_bytes = rng.choice((204, 304)), 0
    if plan.kind in ("broken", "app-broken", "app-stream", "app-duplex") and plan.method == "HEAD":
        plan.method = "GET"
    if plan.is_broken:
        plan.answer_bytes = max(plan.answer_bytes, 200)
    plan.raw_body = _frame(rng, plan)
    plan.head = _head(rng, plan)
    return plan


def _frame(rng: random.Random, plan: Plan) -> bytes:
    if plan.framing != "chunked":
        return plan.body
    raw, at = [], 0
    while at < len(plan.body):
        size = min(rng.choice((1, 10, 500, 3000, 20_000)), len(plan.body) - at)
        extension = rng.choice((b"", b"", b";x=y", b" ;name"))
        raw.append(b"%x%b\r\n%b\r\n" % (size, extension, plan.body[at : at + size]))
        at += size
    trailer = rng.choice((b"", b"", b"", b"X-Trailer: yes\r\n"))
    return b"".join((*raw, rng.choice((b"0", b"000")), b"\r\n", trailer, b"\r\n"))


def _head(rng: random.Random, plan: Plan) -> bytes:
    lines = [rng.choice(("Host: here", "host:here", "HOST: here "))]
    if plan.framing == "length":
        lines.append(f"{rng.choice(('Content-Length', 'content-length'))}: {len(plan.body)}")
    elif plan.framing == "chunked":
        lines.append(rng.choice(("Transfer-Encoding: chunked", "transfer-encoding: Chunked")))
    if plan.connection:
        lines.append(f"Connection: {rng.choice((plan.connection, plan.connection.title()))}")
    if plan.expects:
        lines.append("Expect: 100-continue")
    if plan.kind != "repeat":
        lines += [f"X-{number}: {'x' * rng.choice((1, 30))}" for number in range(rng.choice((0, 0, 1, 5)))]
        rng.shuffle(lines)
    version = "1.0" if plan.is_http10 else "1.1"
    return "\r\n".join([f"{plan.method} {plan.target} HTTP/{version}", *lines, "", ""]).encode()


BAD_ENDS = (
    b"GET  /two-spaces HTTP/1.1\r\nHost: here\r\n\r\n",
    b"GET /no-host HTTP/1.1\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    b"PUT /both HTTP/1.1\r\nHost: here\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
    b"PUT /lengths HTTP/1.1\r\nHost: here\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabc",
    b"GET /name HTTP/1.1\r\nHost: here\r\nna me: x\r\n\r\n",
    b"GET /long HTTP/1.1\r\nHost: here\r\nX: " + b"x" * 4000 + b"\r\n\r\n",
)
"""What is not a request: refused, and the connection ends."""
