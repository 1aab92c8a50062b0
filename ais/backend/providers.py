"""The backends of a node: made when they are first needed, those that the configuration names."""

from collections.abc import Callable, Mapping
from typing import Any

from ais.backend.interface import Backend, Place
from ais.backend.s3 import PROVIDER as AWS
from ais.backend.s3 import S3
from ais.base.errors import MissingBackend

_MADE: dict[str, Callable[[], Backend]] = {AWS: S3}
DISABLED = "disabled"
"""Key in a provider's part of the configuration: its buckets are refused, and what is said of it is kept."""


def served(configured: Mapping[str, Any]) -> list[str]:
    """The providers that the section `backend` of a configuration names, and that we have."""
    return sorted(provider for provider in configured if provider in _MADE)


def require(configured: Mapping[str, Any], provider: str) -> None:
    """Raise `MissingBackend` unless buckets of a provider are served."""
    said = configured.get(provider)
    if provider not in _MADE or said is None:
        raise MissingBackend(f"{provider.upper()} backend is missing in the cluster configuration")
    if isinstance(said, dict) and said.get(DISABLED):
        raise MissingBackend(f"{provider.upper()} backend is disabled: enable it first")


class Backends:
    """One per node."""

    def __init__(self, configured: Callable[[], Mapping[str, Any]]) -> None:
        """`configured` gives the present section `backend` of the configuration."""
        self._configured = configured
        self._made: dict[str, Backend] = {}

    def of(self, place: Place) -> Backend:
        """The backend of a bucket. Raise `MissingBackend`."""
        return self.named(place.bck.provider)

    def named(self, provider: str) -> Backend:
        """The backend of a provider. Raise `MissingBackend`."""
        require(self._configured(), provider)
        found = self._made.get(provider)
        if found is None:
            found = self._made[provider] = _MADE[provider]()
        return found

    async def close(self) -> None:
        """End all connections."""
        made, self._made = self._made, {}
        for backend in made.values():
            await backend.close()
