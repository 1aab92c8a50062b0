"""Send recorded exchanges to a cluster of ours, as the recording client did, and say how the answers differ.

A node of ours stands for each node of the recording. What the recorded cluster made up (IDs of jobs, of uploads,
handles) is learned from the two answers and put into later requests.
"""

import json
import re
import time
import urllib.parse
from collections.abc import Iterator, Mapping
from http import HTTPStatus
from typing import Any

from harness import shape
from harness.captures import Exchange
from harness.wire import Answer, follow, request

PATIENCE_S = 20.0
_UNFINISHED = re.compile(
    r"status 20[26] instead of 200|\.end_time: still 0|string \(zero time\) instead of string \(RFC 3339\)"
)
_ID = re.compile(r"[\w.+/=-]{8,}")
_ID_LEN_MIN = 8
_ID_KEYS = {"uuid", "id", "UploadId", "VersionId", "continuation_token", "ContinuationToken"}
_IGNORED = {"date", "server", "content-length", "transfer-encoding", "connection", "keep-alive"}
"""Headers of the HTTP library. A length is compared where it is the answer (HEAD)."""
_REDIRECTS = (301, 307)
_JSON_HEADERS = {"ais-bucket-props", "ais-bucket-summ", "hdr-error"}
_FORMAT_ONLY = {
    "ais-atime",
    "ais-version",
    "last-modified",
    "ais-node-uptime",
    "ais-cluster-uptime",
    "x-amz-request-id",
    "x-amz-id-2",
}
_APPEND_HANDLE = re.compile(r"append_handle=t[^&]+%7C[^&]+")
"""In the recording it holds a path of the recorded machine that was replaced in answers only."""
_PATH_HEADERS = {"ais-location", "ais-mirror-paths"}
_MOUNTPATH = re.compile(r"(?<=/ais/mp)\d")
"""Which mountpath an object is on depends on the mountpaths' names."""
_LEARNED_HEADERS = {"ais-append-handle", "ais-xaction-id", "etag", "x-amz-version-id"}


class NotServed(Exception):
    """We say that we do not have this yet, or the request is about something that such an answer would have begun."""


class Replay:
    """A conversation with one cluster.

    `nodes` maps the recorded ports to the URLs of our nodes; `paths` our directories to the recorded ones.
    """

    def __init__(self, nodes: Mapping[int, str], paths: Mapping[str, str]) -> None:
        self._nodes = nodes
        self._paths = paths
        self._ports = {urllib.parse.urlsplit(url).port: port for port, url in nodes.items()}
        self._learned: dict[str, str] = {}
        self._not_begun: dict[str, str] = {}
        self._append_handle = ""
        self._pending = Answer(0, "", (), b"", "")
        self._is_final = False

    def differences(self, exchange: Exchange) -> list[str]:
        """Send one exchange; what differs, one line each, empty when nothing does.

        A question about the end of something is asked until it has ended. Raise `NotServed`.
        """
        if what := next((what for theirs, what in self._not_begun.items() if _mentions(exchange, theirs)), ""):
            raise NotServed(what)
        deadline = time.monotonic() + PATIENCE_S
        while any(map(_UNFINISHED.search, found := self._once(exchange))) and time.monotonic() < deadline:
            time.sleep(0.05)
        return found

    def skip(self, exchange: Exchange, what: str = "") -> None:
        """Do not send this one, nor those about the job it began."""
        if exchange.status == HTTPStatus.OK and _ID.fullmatch(begun := exchange.body.decode("latin-1")):
            self._not_begun[begun] = what or "what an exchange that was not sent would have begun"

    def _once(self, exchange: Exchange) -> list[str]:
        answer = self._pending if exchange.hop == 2 and self._is_final else self._send(exchange)
        if exchange.hop == 1:
            self._pending, self._is_final = answer, answer.status not in _REDIRECTS
            if self._is_final:
                return []  # a client that follows redirects gets this one instead of the second
        elif exchange.status not in _REDIRECTS:
            answer = follow(answer, exchange.method, body=self._body_of(exchange), headers=self._headers_of(exchange))
        if answer.status == HTTPStatus.NOT_IMPLEMENTED != exchange.status and answer.error.get("tcode") == "ErrNotImpl":
            what = _feature(answer.error["message"])
            self.skip(exchange, what)
            raise NotServed(what)
        if answer.status != exchange.status:
            detail = answer.error.get("message", "") if answer.status >= 400 and _is_json(answer) else ""
            return [f"status {answer.status} instead of {exchange.status}" + (f" ({detail})" if detail else "")]
        return [*self._headers(exchange, answer), *self._body(exchange, answer)]

    def _send(self, exchange: Exchange) -> Answer:
        url, target = self._nodes[exchange.port], self._ours(exchange.target)
        if exchange.hop == 2:
            split = urllib.parse.urlsplit(self._pending.header("Location") or "")
            url, target = f"{split.scheme}://{split.netloc}", f"{split.path}?{split.query}"
        return request(url, exchange.method, target, body=self._body_of(exchange), headers=self._headers_of(exchange))

    def _headers_of(self, exchange: Exchange) -> dict[str, str]:
        return {name: self._ours(value) for name, value in exchange.request_headers}

    def _body_of(self, exchange: Exchange) -> bytes:
        body = exchange.request_body
        recorded = list(self._paths.values())
        unique = {theirs: ours for ours, theirs in self._paths.items() if recorded.count(theirs) == 1}
        for theirs, ours in (self._learned | unique).items():
            body = body.replace(theirs.encode(), ours.encode())
        return body

    def _ours(self, text: str) -> str:
        for theirs, ours in self._learned.items():
            text = text.replace(theirs, ours).replace(_quoted(theirs), _quoted(ours))
        return _APPEND_HANDLE.sub(f"append_handle={_quoted(self._append_handle)}", text)

    def _theirs(self, text: str) -> str:
        """An answer of ours with the recorded cluster's paths."""
        for ours, theirs in self._paths.items():
            text = text.replace(ours, theirs)
        return text

    def _learn(self, theirs: str, ours: str) -> None:
        if theirs != ours and ours and len(theirs) >= _ID_LEN_MIN:
            self._learned[theirs] = ours

    # -- comparing

    def _headers(self, exchange: Exchange, answer: Answer) -> Iterator[str]:
        theirs = {name.lower(): value for name, value in exchange.headers}
        ours = {name.lower(): value for name, value in answer.headers}
        for name in sorted({*theirs, *ours} - _IGNORED):
            if name not in ours:
                yield f"header {name}: missing"
            elif name not in theirs:
                yield f"header {name}: not in AIStore's"
            else:
                yield from self._header(name, theirs[name], ours[name])
        length = (theirs.get("content-length"), ours.get("content-length"))
        if exchange.method == "HEAD" and exchange.status == HTTPStatus.OK and length[0] != length[1]:
            yield f"header content-length: {length[1]} instead of {length[0]}"

    def _header(self, name: str, theirs: str, ours: str) -> Iterator[str]:
        if name == "ais-append-handle":
            self._append_handle = ours
        if name in _LEARNED_HEADERS:
            self._learn(theirs.strip('"'), ours.strip('"'))
        if name == "location":
            yield from self._location(theirs, ours)
        elif name in _JSON_HEADERS:
            yield from shape.differences(json.loads(theirs), json.loads(ours), name)
        elif name == "allow":
            if {part.strip() for part in theirs.split(",")} != {part.strip() for part in ours.split(",")}:
                yield f"header allow: {ours} instead of {theirs}"
        elif name in _FORMAT_ONLY:
            if shape.text_format(theirs) != shape.text_format(ours):
                yield f"header {name}: {ours} instead of {theirs}"
        elif name in _PATH_HEADERS:
            if _MOUNTPATH.sub("", theirs) != _MOUNTPATH.sub("", self._theirs(ours)):
                yield f"header {name}: {self._theirs(ours)} instead of {theirs}"
        elif theirs != self._theirs(ours) and name not in _LEARNED_HEADERS:
            yield f"header {name}: {ours} instead of {theirs}"

    def _location(self, theirs: str, ours: str) -> Iterator[str]:
        """The same node, path and names of parameters."""
        expected, found = urllib.parse.urlsplit(theirs), urllib.parse.urlsplit(ours)
        if expected.port != self._ports.get(found.port):
            yield f"header location: to {self._ports.get(found.port)} instead of {expected.port}"
        if urllib.parse.unquote(expected.path) != urllib.parse.unquote(found.path):
            yield f"header location: path {found.path} instead of {expected.path}"
        names = [sorted(urllib.parse.parse_qs(one.query, keep_blank_values=True)) for one in (expected, found)]
        if names[0] != names[1]:
            yield f"header location: parameters {names[1]} instead of {names[0]}"

    def _body(self, exchange: Exchange, answer: Answer) -> Iterator[str]:
        if exchange.body.startswith(b"<binary, ") or not (exchange.body or answer.body):
            return  # a body that was not recorded, or none
        kind = (exchange.header("Content-Type") or "").partition(";")[0]
        ours_kind = (answer.header("Content-Type") or "").partition(";")[0]
        if kind != ours_kind or bool(exchange.body) != bool(answer.body):
            if bool(exchange.body) != bool(answer.body):
                yield f"body: {len(answer.body)} bytes instead of {len(exchange.body)}"
        elif kind == "application/json":
            yield from self._structured(json.loads(exchange.body), json.loads(self._theirs(answer.body.decode())))
            if exchange.body.endswith(b"\n") != answer.body.endswith(b"\n"):
                yield "body: trailing newline"
        elif kind == "application/msgpack":
            yield from self._structured(shape.from_msgpack(exchange.body), shape.from_msgpack(answer.body))
        elif kind.endswith("/xml"):
            yield from self._structured(shape.xml_tree(exchange.body), shape.xml_tree(answer.body))
        elif kind == "text/plain" and exchange.status < 300:
            yield from self._text(exchange, answer)
        elif exchange.body != answer.body:
            yield f"body: {answer.body[:60]!r} instead of {exchange.body[:60]!r}"

    def _structured(self, theirs: Any, ours: Any) -> Iterator[str]:
        for key, one, other in shape.leaves(theirs, ours):
            if key in _ID_KEYS:
                self._learn(one, other)
        yield from shape.differences(theirs, ours)
        if isinstance(theirs, dict) and isinstance(ours, dict):
            if theirs.get("end_time") and not ours.get("end_time", 1):
                yield ".end_time: still 0"
            for name in ("tcode", "status"):
                if name in theirs and name in ours and theirs[name] != ours[name]:
                    yield f".{name}: {ours[name]} instead of {theirs[name]}"

    def _text(self, exchange: Exchange, answer: Answer) -> Iterator[str]:
        """Text, such as a job's ID: the same format, and a newline at the end or none."""
        theirs, ours = exchange.body.decode(), answer.body.decode()
        if _ID.fullmatch(theirs):
            self._learn(theirs, ours)
        if theirs.endswith("\n") != ours.endswith("\n"):
            yield "body: trailing newline"
        if bool(_ID.fullmatch(theirs)) != bool(_ID.fullmatch(ours)):
            yield f"body: {ours[:60]!r} instead of {theirs[:60]!r}"


def _mentions(exchange: Exchange, text: str) -> bool:
    return text in exchange.target or text.encode() in exchange.request_body


def _feature(message: str) -> str:
    """What an error says is missing, without the bucket it was asked of."""
    return re.sub(r" of bucket \S+| - not implemented yet", "", message)


def _quoted(text: str) -> str:
    return urllib.parse.quote(text, safe="")


def _is_json(answer: Answer) -> bool:
    return "json" in (answer.header("Content-Type") or "") and bool(answer.body)
