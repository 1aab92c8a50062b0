"""Other clusters that are attached: the part `ais` of the section `backend`, `{"alias": ["http://gateway:8080"]}`.

Buckets of theirs have the alias as the UUID of their namespace: `ais://@alias/bucket`.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from ais.api.bucket import AIS
from ais.base import names
from ais.base.errors import BadRequest, NotFound
from ais.meta.smap import Smap

DEFUNCT = "defunct"
"""In the place of the UUID of a cluster that does not answer."""


class RemoteCluster(msgspec.Struct, frozen=True):
    """An attached cluster as `what=remote` shows it; without a map it does not answer."""

    smap: Smap | None
    url: str
    alias: str
    uuid: str


class RemoteClusters(msgspec.Struct, frozen=True):
    """All of them."""

    found: list[RemoteCluster] = msgspec.field(name="a", default_factory=list)
    ver: int = 0


def attached(configured: Mapping[str, Any]) -> dict[str, list[str]]:
    """URLs of gateways by alias, of the section `backend`."""
    said = configured.get(AIS)
    return {alias: list(urls) for alias, urls in said.items()} if isinstance(said, Mapping) else {}


def with_attached(configured: Mapping[str, Any], known: Mapping[str, list[str]]) -> dict[str, Any]:
    """The section with these clusters attached."""
    kept = {provider: said for provider, said in configured.items() if provider != AIS}
    return kept | ({AIS: dict(known)} if known else {})


def url_of(configured: Mapping[str, Any], alias: str) -> str:
    """A gateway of an attached cluster. Raise `NotFound`."""
    if not (urls := attached(configured).get(alias)):
        raise NotFound(f'remote cluster "{alias}" does not exist: none of that name is attached')
    return str(urls[0])


def check(configured: Any) -> None:
    """Raise `BadRequest` unless `configured` is what the part `ais` may be."""
    if not isinstance(configured, Mapping):
        raise BadRequest('backend.ais must be an object such as {"alias": ["http://gateway:8080"]}')
    for alias, urls in configured.items():
        names.check_namespace(alias, "")
        if not alias or not isinstance(urls, list | tuple) or not urls:
            raise BadRequest(f'backend.ais.{alias}: expected a list of URLs such as ["http://gateway:8080"]')
        for url in urls:
            if not isinstance(url, str) or not url.startswith(("http://", "https://")):
                raise BadRequest(f'backend.ais.{alias}: "{url}" is no URL such as http://gateway:8080')
