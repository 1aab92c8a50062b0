"""URL paths and queries of buckets and objects (wire contract §6, §25)."""

from urllib.parse import quote

from ais.api import codec, query
from ais.api.bucket import GLOBAL, Bck

BUCKETS = "/v1/buckets"
OBJECTS = "/v1/objects"
CLUSTER = "/v1/cluster"
DAEMON = "/v1/daemon"
REVERSE = "/v1/reverse/daemon"
HEALTH = "/v1/health"


def of_bucket(bck: Bck, prefix: str = "") -> str:
    """Path of a bucket, or of the objects in it that begin with `prefix`."""
    return f"{BUCKETS}/{quote(bck.name)}" + (f"/{quote(prefix)}" if prefix else "")


def of_object(bck: Bck, name: str) -> str:
    """Path of an object."""
    return f"{OBJECTS}/{quote(bck.name)}/{quote(name)}"


def query_of(bck: Bck, **more: str) -> dict[str, str]:
    """The query that completes a bucket's name, with more parameters (underscores as they are)."""
    found = {query.PROVIDER: bck.provider}
    if bck.namespace != GLOBAL:
        found[query.NAMESPACE] = bck.namespace.uname
    return found | more


def action(verb: str, name: str = "", value: object = None) -> bytes:
    """The JSON body of a control request."""
    return codec.to_json({"action": verb, "name": name, "value": value})
