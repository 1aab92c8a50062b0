"""What requests to the proxy's own endpoints say, and the replies they get: the little that all of them share."""

from dataclasses import dataclass

import msgspec
from aiohttp import web
from aiohttp.typedefs import Handler

from ais.api import codec, query
from ais.api.bucket import Bck
from ais.base.errors import BadRequest
from ais.net.http import decode_component, parse_query

BUCKETS = "/v1/buckets"
_BROWSER = "Mozilla/5.0"


@dataclass(frozen=True, slots=True)
class BucketAddress:
    """What the path and query of a bucket request name; `bucket` and `rest` may be empty."""

    bucket: str
    rest: str
    params: dict[str, str]

    @classmethod
    def of(cls, request: web.Request) -> "BucketAddress":
        """Read `/v1/buckets[/<bucket>[/<rest>]]?...`. Raise `BadRequest`."""
        path, _, query_string = request.raw_path.partition("?")
        return cls.parse(path[len(BUCKETS) + 1 :], query_string)

    @classmethod
    def parse(cls, path: str, query_string: str) -> "BucketAddress":
        """Read `<bucket>[/<rest>]` and a query. Raise `BadRequest`."""
        bucket, _, rest = path.partition("/")
        return cls(decode_component(bucket), decode_component(rest), parse_query(query_string) if query_string else {})

    @property
    def path(self) -> str:
        """The path, decoded, for messages."""
        return "/".join(part for part in (BUCKETS, self.bucket, self.rest) if part)

    @property
    def bck(self) -> Bck:
        """The bucket named. Raise `InvalidName` or `BadRequest`."""
        return Bck.parse(self.bucket, self.params.get(query.PROVIDER, ""), self.params.get(query.NAMESPACE, ""))

    def only_bucket(self) -> Bck:
        """The bucket, when the path names nothing else. Raise `BadRequest`."""
        if self.rest:
            raise BadRequest(f'invalid path "{self.path[:200]}": expected {BUCKETS}/<bucket>')
        return self.bck


def route(verb: str, path: str, handler: Handler) -> web.RouteDef:
    """A route for exactly this verb: aiohttp would let a GET answer HEAD too."""
    return web.get(path, handler, allow_head=False) if verb == "GET" else web.route(verb, path, handler)


def json_reply(request: web.Request, value: object, status: int = 200) -> web.Response:
    """`value` as JSON; indented for browsers."""
    return json_bytes_reply(request, codec.to_json(value), status)


def json_bytes_reply(request: web.Request, body: bytes, status: int = 200) -> web.Response:
    """Encoded JSON; indented for browsers."""
    if request.headers.get("User-Agent", "").startswith(_BROWSER):
        body = msgspec.json.format(body, indent=4)
    return web.Response(status=status, body=body + b"\n", content_type="application/json", charset="utf-8")


def json_text_reply(value: object, status: int = 200, end: str = "") -> web.Response:
    """`value` as JSON that says it is text, as AIStore answers about jobs: with a newline only in summaries."""
    body = codec.to_json(value) + end.encode()
    return web.Response(status=status, body=body, content_type="text/plain", charset="utf-8")


def text_reply(text: str, status: int = 200) -> web.Response:
    """Bare text, such as a job's ID: no quotes, no newline."""
    return web.Response(status=status, text=text)
