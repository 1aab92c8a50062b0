"""Fetching the external key map of a sort: an object of this cluster, or a file on a server that we may reach."""

from urllib.parse import parse_qs, quote, unquote, urlsplit

from ais.api import headers, query
from ais.api.bucket import Bck
from ais.api.dsort import SortTask
from ais.api.errors import decode_error
from ais.base.errors import BadRequest, TooLarge
from ais.dsort import keymap
from ais.dsort.keymap import KeyMap, React
from ais.target.going_out import egress_of
from ais.target.parts import Parts

BYTES_MAX = 256 << 20
TIMEOUT_S = 60.0
_OBJECTS = "/v1/objects/"


async def read_key_file(parts: Parts, task: SortTask, react: React) -> KeyMap:
    """Fetch and read it. Raise `BadRequest`, `AccessDenied`, `Unreachable`, what `react` raises."""
    url = task.ekm_file
    named = _object_of(parts, url)
    content = await (_read_object(parts, *named) if named is not None else _download(parts, url))
    return keymap.parse(content, task.ekm_separator, react, is_json=urlsplit(url).path.endswith(".json"))


def _object_of(parts: Parts, url: str) -> tuple[Bck, str] | None:
    """Bucket and name, when the URL is that of an object of this cluster."""
    split = urlsplit(url)
    if split.scheme == "ais":
        return Bck.parse_uri(url)
    smap = parts.host.smap
    own = {urlsplit(node.public.url).netloc for node in (*smap.tmap.values(), *smap.pmap.values())}
    if split.netloc not in own or not split.path.startswith(_OBJECTS):
        return None
    bucket, _, name = split.path[len(_OBJECTS) :].partition("/")
    params = {key: values[0] for key, values in parse_qs(split.query).items()}
    bck = Bck.parse(unquote(bucket), params.get(query.PROVIDER, ""), params.get(query.NAMESPACE, ""))
    return bck, unquote(name)


async def _read_object(parts: Parts, bck: Bck, name: str) -> bytes:
    host = parts.host
    url = f"{host.placement.owner(bck.uname + name).data.url}{_OBJECTS}{quote(bck.name)}/{quote(name)}"
    async with parts.peers.open_stream(
        "GET",
        url,
        query={query.PROVIDER: bck.provider, query.NAMESPACE: bck.namespace.uname},
        headers={headers.CALLER_ID: host.snode.id},
        timeout_s=TIMEOUT_S,
    ) as incoming:
        content = bytearray()
        async for chunk in incoming.chunks:
            _add(content, chunk, url)
        if incoming.status != 200:
            raise decode_error(incoming.status, bytes(content), url)
        return bytes(content)


async def _download(parts: Parts, url: str) -> bytes:
    egress = egress_of(parts.host)
    try:
        async with egress.get(url, {}, TIMEOUT_S) as response:
            if response.status != 200:
                raise BadRequest(f"{url[:200]} answered {response.status} when asked for the external key map")
            content = bytearray()
            async for chunk in response.content.iter_any():
                _add(content, chunk, url)
            return bytes(content)
    finally:
        await egress.close()


def _add(content: bytearray, chunk: bytes, url: str) -> None:
    content += chunk
    if len(content) > BYTES_MAX:
        raise TooLarge(f"{url[:200]} is larger than an external key map may be ({BYTES_MAX} bytes)")
