"""A tiny in-memory cluster (one proxy, one target) that answers as the traces of the wire contract §20 do.

It is not our code: the client is tested against what the contract says, on real sockets.
"""

import json
import threading
from collections.abc import Awaitable, Callable, Iterator

import msgpack
import pytest
import uvloop
import xxhash
from aiohttp import web

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Reference:
    """The server's state and its thread. `log` has one `METHOD path` per request to the proxy."""

    def __init__(self) -> None:
        self.buckets: dict[str, dict[str, dict]] = {}
        self.log: list[str] = []
        self.received: dict[str, int] = {"proxy": 0, "target": 0}
        self.break_connections = 0
        self.corrupt_next_get = False
        self.cut_gets = 0
        self.page_max = 3
        self.polls = 0
        self._loop = uvloop.new_event_loop()
        self._runners: list[web.AppRunner] = []
        started = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(started,))
        self._thread.start()
        started.wait()

    def _run(self, started: threading.Event) -> None:
        self._loop.run_until_complete(self._start())
        started.set()
        self._loop.run_forever()
        for runner in self._runners:
            self._loop.run_until_complete(runner.cleanup())
        self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        self._loop.close()

    def close(self) -> None:
        """Stop serving and end the thread."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    async def _start(self) -> None:
        self.target = await self._listen(self._on_target)
        self.endpoint = await self._listen(self._on_proxy)

    async def _listen(self, handler: Handler) -> str:
        runner = web.AppRunner(_app(handler), access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        self._runners.append(runner)
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        return f"http://127.0.0.1:{runner.addresses[0][1]}"

    async def _on_proxy(self, request: web.Request) -> web.StreamResponse:
        self.log.append(f"{request.method} {request.path}")
        if self.break_connections:
            self.break_connections -= 1
            request.transport.abort()
            return web.Response()
        parts = request.path.split("/")[2:]
        if parts[0] == "objects":
            if parts[1] not in self.buckets:
                return _error(request, 404, "ErrBckNotFound", f'bucket "ais://{parts[1]}" does not exist')
            self.received["proxy"] += request.content_length or 0
            status = 301 if request.method == "GET" else 307
            location = f"{self.target}{request.rel_url.raw_path}?{request.rel_url.raw_query_string}&pid=p1&utm=1"
            return web.Response(status=status, headers={"Location": location})
        message = json.loads(await request.read() or b"{}")
        if parts[0] == "buckets":
            return self._on_bucket(request, parts[1] if len(parts) > 1 else "", message)
        return _json({"version": "3", "pmap": {}, "tmap": {}, "uuid": "u" * 10})

    def _on_bucket(self, request: web.Request, name: str, message: dict) -> web.StreamResponse:
        if request.method == "POST":
            if name in self.buckets:
                return _error(request, 409, "ErrBucketAlreadyExists", f'bucket "ais://{name}" already exists')
            self.buckets[name] = {}
            return web.Response()
        if name and name not in self.buckets:
            return _error(request, 404, "ErrBckNotFound", f'bucket "ais://{name}" does not exist')
        if request.method == "HEAD":
            return web.Response(headers={"Ais-Bucket-Props": '{"versioning":{"enabled":true}}'})
        if request.method == "DELETE":
            del self.buckets[name]
            return web.Response()
        if message["action"] == "summary-bck":
            return self._summary(name, message["value"])
        if not name:
            return _json([{"name": one, "provider": "ais"} for one in sorted(self.buckets)])
        return self._page(request, name, message["value"])

    def _summary(self, name: str, value: dict) -> web.StreamResponse:
        if not value["uuid"]:
            return web.Response(status=202, text="job123456")
        self.polls += 1
        if self.polls < 3:
            return web.Response(status=202 if self.polls == 1 else 206, text="[]")
        count = str(len(self.buckets[name]))
        return _json([{"name": name, "provider": "ais", "ObjCount": {"obj_count_present": count}}])

    def _page(self, request: web.Request, name: str, value: dict) -> web.StreamResponse:
        after = value["continuation_token"] or value["start_after"]
        matching = (one for one in sorted(self.buckets[name]) if one > after and one.startswith(value["prefix"]))
        names = list(matching)[: self.page_max]
        entries = [{"n": one, "s": len(self.buckets[name][one]["data"]), "f": 64} for one in names]
        token = names[-1] if len(names) == self.page_max else ""
        page = {"UUID": "list12345", "ContinuationToken": token, "Entries": entries or None, "Flags": 0}
        assert request.headers["Accept"] == "application/msgpack"
        return web.Response(body=msgpack.packb(page), content_type="application/msgpack")

    async def _on_target(self, request: web.Request) -> web.StreamResponse:
        assert "pid" in request.query
        _, _, _, bucket, name = request.path.split("/", 4)
        objects = self.buckets[bucket]
        if request.method == "PUT":
            return await self._put(request, objects, name)
        if name not in objects:
            return _error(request, 404, "ErrNotFound", f"t[t1]: ais://{bucket}/{name} does not exist")
        if request.method == "DELETE":
            del objects[name]
            return web.Response()
        if request.method == "PATCH":
            objects[name]["custom"] |= (await request.json())["value"]
            return web.Response()
        if request.method == "GET" and self.cut_gets:
            self.cut_gets -= 1
            return await self._cut_short(request, objects[name])
        return self._get(request, objects[name])

    async def _cut_short(self, request: web.Request, stored: dict) -> web.StreamResponse:
        reply = web.StreamResponse(headers=_attributes(stored) | {"Content-Length": str(len(stored["data"]))})
        await reply.prepare(request)
        await reply.write(stored["data"][:100_000])
        request.transport.abort()
        return reply

    async def _put(self, request: web.Request, objects: dict, name: str) -> web.StreamResponse:
        data = await request.read()
        self.received["target"] += len(data)
        claimed = request.headers.get("Ais-Checksum-Value")
        if claimed and claimed != xxhash.xxh64_hexdigest(data):
            return _error(request, 500, "ErrBadCksum", f"BAD DATA CHECKSUM: xxhash2({claimed} != ...)")
        custom = dict(line.split("=", 1) for line in request.headers.getall("Ais-Custom-Md", []))
        objects[name] = {"data": data, "custom": custom, "chunked": "Transfer-Encoding" in request.headers}
        return web.Response(headers=_attributes(objects[name]))

    def _get(self, request: web.Request, stored: dict) -> web.StreamResponse:
        data, headers = stored["data"], _attributes(stored)
        if request.method == "HEAD":
            return web.Response(headers=headers | {"Content-Length": str(len(data)), "Ais-Present": "true"})
        if self.corrupt_next_get:
            self.corrupt_next_get = False
            data = b"X" + data[1:]
        if wanted := request.headers.get("Range"):
            start, _, end = wanted.removeprefix("bytes=").partition("-")
            if int(start) >= len(data):
                return _error(request, 416, "ErrRangeNotSatisfiable", f'range "{wanted}" is not satisfiable')
            return web.Response(status=206, body=data[int(start) : int(end) + 1], headers=headers)
        return web.Response(body=data, headers=headers)


def _app(handler: Handler) -> web.Application:
    app = web.Application(client_max_size=1 << 30)
    app.router.add_route("*", "/{tail:.*}", handler)
    return app


def _attributes(stored: dict) -> dict[str, str]:
    found = {
        "Ais-Checksum-Type": "xxhash2",
        "Ais-Checksum-Value": xxhash.xxh64_hexdigest(stored["data"]),
        "Ais-Version": "1",
        "Ais-Atime": "1771000000000000000",
    }
    for key, value in stored["custom"].items():
        found["Ais-Custom-Md"] = f"{key}={value}"
    return found


def _json(value: object) -> web.Response:
    return web.Response(text=json.dumps(value) + "\n", content_type="application/json")


def _error(request: web.Request, status: int, tcode: str, message: str) -> web.Response:
    body = json.dumps({"tcode": tcode, "message": message, "status": status, "method": request.method})
    if request.method == "HEAD":
        return web.Response(status=status, headers={"Hdr-Error": body})
    return web.Response(status=status, text=body, content_type="application/json")


@pytest.fixture
def reference() -> Iterator[Reference]:
    """A fresh tiny cluster."""
    server = Reference()
    yield server
    server.close()
