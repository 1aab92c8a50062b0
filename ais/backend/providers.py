"""The backends of a node: made when they are first needed, those that the configuration names."""

from collections.abc import Callable, Mapping
from typing import Any

from ais.api.bucket import AIS, Bck
from ais.backend import clusters
from ais.backend.ais import RemoteAis
from ais.backend.azure import PROVIDER as AZURE
from ais.backend.azure import Azure
from ais.backend.gcs import GCS
from ais.backend.gcs import PROVIDER as GCP
from ais.backend.guarded import Guarded
from ais.backend.interface import Backend, Place
from ais.backend.s3 import PROVIDER as AWS
from ais.backend.s3 import S3
from ais.backend.web import PROVIDER as HT
from ais.backend.web import Web
from ais.base.errors import MissingBackend
from ais.env import Env
from ais.net.egress import Egress

_CLOUDS: dict[str, Callable[[], Backend]] = {AWS: S3, GCP: GCS, AZURE: Azure}
CLOUDS = tuple(_CLOUDS)
_PROVIDERS = (*CLOUDS, HT)
DISABLED = "disabled"
"""Key in a provider's part of the configuration: its buckets are refused, and what is said of it is kept."""


def served(configured: Mapping[str, Any]) -> list[str]:
    """The providers that the section `backend` of a configuration names, and that we have."""
    return sorted(provider for provider in configured if provider in _PROVIDERS)


def require(configured: Mapping[str, Any], bck: Bck) -> None:
    """Raise `MissingBackend`, or `NotFound` for a cluster, unless buckets like this are served."""
    if bck.provider == AIS:
        clusters.url_of(configured, bck.namespace.uuid)
        return
    provider, said = bck.provider, configured.get(bck.provider)
    if provider not in _PROVIDERS or said is None:
        raise MissingBackend(f"{provider.upper()} backend is missing in the cluster configuration")
    if isinstance(said, dict) and said.get(DISABLED):
        raise MissingBackend(f"{provider.upper()} backend is disabled: enable it first")


class Backends:
    """One per node."""

    def __init__(
        self,
        configured: Callable[[], Mapping[str, Any]],
        make_egress: Callable[[], Egress],
        env: Env,
        share: Callable[[], float],
    ) -> None:
        """`configured` gives the present section `backend` of the configuration; `share`: as of `Guarded`."""
        self._env = env
        self._share = share
        self._configured = configured
        self._make_egress = make_egress
        self._made: dict[tuple[str, ...], Guarded] = {}

    def of(self, place: Place) -> Guarded:
        """The backend of a bucket. Raise as `require`."""
        bck = place.bck
        require(self._configured(), bck)
        if bck.provider == AIS:
            return self._cluster(bck.namespace.uuid)
        return self._one((bck.provider,), _CLOUDS.get(bck.provider) or (lambda: Web(self._make_egress)))

    def cluster(self, alias: str) -> RemoteAis:
        """An attached cluster. Raise `NotFound`."""
        found = self._cluster(alias).inner
        assert isinstance(found, RemoteAis)
        return found

    def clusters(self) -> list[RemoteAis]:
        """All that are attached."""
        return [self.cluster(alias) for alias in clusters.attached(self._configured())]

    def _cluster(self, alias: str) -> Guarded:
        url = clusters.url_of(self._configured(), alias)
        return self._one((AIS, alias, url), lambda: RemoteAis(alias, url))

    def _one(self, key: tuple[str, ...], make: Callable[[], Backend]) -> Guarded:
        found = self._made.get(key)
        if found is None:
            found = self._made[key] = Guarded(make(), self._env.clock, self._env.rng, self._share)
        return found

    async def close(self) -> None:
        """End all connections."""
        made, self._made = self._made, {}
        for backend in made.values():
            await backend.close()
