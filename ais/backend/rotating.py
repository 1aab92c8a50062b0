"""Credentials of AWS that are read anew when the user's files change: what was rotated signs the next request.

The library reads `~/.aws/credentials` and `~/.aws/config` once. What it finds elsewhere (environment, roles, programs
that say how long theirs are good) it renews by itself, or it cannot change.
"""

import asyncio
import importlib
import os
from collections.abc import Callable
from typing import Any

from ais.base.files import Stamp, stamp

AGAIN_S = 10.0
"""Who found none looks again after that: a role of the machine may come later than the node."""
_FILES = ("credentials_file", "config_file")


def new_session(profile: str) -> Any:
    """One that has read nothing yet."""
    session = importlib.import_module("aiobotocore.session").get_session()
    if profile:
        session.set_config_variable("profile", profile)
    return session


class Rotating:
    """In the place of what finds a session's credentials (`credential_provider`), and of these."""

    method = "rotating"

    def __init__(self, profile: str) -> None:
        variable = new_session(profile).get_config_variable
        self._profile = profile
        self._paths = [os.path.expanduser(variable(name)) for name in _FILES]
        self._reading = asyncio.Lock()
        self._stamps: list[Stamp] | None = None
        self._found: Any = None
        self._looked_s = 0.0

    async def load_credentials(self) -> "Rotating":
        """As a provider: nothing is looked for before a request is signed."""
        return self

    async def get_frozen_credentials(self) -> Any:
        """Those that sign a request now; None when there are none. Raise what the library raises for bad files."""
        stamps = [stamp(path) for path in self._paths]
        if self._is_outdated(stamps):
            async with self._reading:
                if self._is_outdated(stamps):
                    self._found = await new_session(self._profile).get_credentials()
                    self._stamps, self._looked_s = stamps, asyncio.get_running_loop().time()
        return None if self._found is None else await self._found.get_frozen_credentials()

    async def get_account_id(self) -> str | None:
        """Of what `get_frozen_credentials` gives."""
        found = await self.get_frozen_credentials()
        return None if found is None else found.account_id

    def get_deferred_property(self, property_name: str) -> Callable[[], object]:
        """The library's way to ask for one thing, which is `account_id`, later."""
        assert property_name == "account_id"
        return self.get_account_id

    def _is_outdated(self, stamps: list[Stamp]) -> bool:
        is_late = self._found is None and asyncio.get_running_loop().time() - self._looked_s >= AGAIN_S
        return is_late or stamps != self._stamps
