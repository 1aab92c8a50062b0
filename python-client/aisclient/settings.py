"""How a client reaches its cluster. Everything has a default, most of them from AIStore's environment variables."""

import os
import ssl
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from aisclient.errors import AISError, Unauthenticated

DEFAULT_ENDPOINT = "http://127.0.0.1:8080"


@dataclass(frozen=True)
class Retry:
    """How long to go on when nobody answers, or the answer is "not now" (429, 502, 503).

    Only what may safely be sent again is: reads, whole objects and parts, deletions, and whatever surely was not done.
    """

    attempts: int = 8
    first_s: float = 0.1
    factor: float = 2.0
    max_s: float = 5.0
    total_s: float = 60.0
    """No attempt begins later than this after the first."""

    def delay_s(self, failed: int) -> float:
        """How long to wait after this many failures (1 and more)."""
        return min(self.first_s * self.factor ** (failed - 1), self.max_s)


@dataclass(frozen=True)
class Settings:
    """Can be pickled: a client that is sent to another process connects anew."""

    endpoint: str
    """URL of a gateway; several, separated by commas, when the first may be down at the start."""
    token: str = field(default="", repr=False)
    ca_file: str = ""
    cert_file: str = ""
    key_file: str = ""
    verify: bool = True
    retry: Retry = Retry()
    timeout_s: float = 30.0
    """For a connection to open, and for each piece of an answer to come."""
    connections: int = 64
    """Idle ones kept for each node."""

    @classmethod
    def of(
        cls,
        endpoint: str = "",
        *,
        token: str = "",
        ca_file: str = "",
        cert_file: str = "",
        key_file: str = "",
        verify: bool | None = None,
        retry: Retry | None = None,
        timeout_s: float = 30.0,
        connections: int = 64,
    ) -> "Settings":
        """With what is not given taken from AIS_ENDPOINT, AIS_AUTHN_TOKEN, AIS_AUTHN_TOKEN_FILE, AIS_CLIENT_CA,
        AIS_CRT, AIS_CRT_KEY, AIS_SKIP_VERIFY_CRT. Raise `ValueError` for an endpoint that is none, `Unauthenticated`
        for a token file that cannot be read.
        """
        environment = os.environ
        skip = environment.get("AIS_SKIP_VERIFY_CRT", "").lower() in ("true", "yes", "y", "on", "1")
        given = endpoint or environment.get("AIS_ENDPOINT", "") or DEFAULT_ENDPOINT
        return cls(
            endpoint=",".join(_checked(one) for one in given.split(",")),
            token=token or _token(),
            ca_file=ca_file or environment.get("AIS_CLIENT_CA", ""),
            cert_file=cert_file or environment.get("AIS_CRT", ""),
            key_file=key_file or environment.get("AIS_CRT_KEY", ""),
            verify=not skip if verify is None else verify,
            retry=retry or Retry(),
            timeout_s=timeout_s,
            connections=connections,
        )

    @property
    def endpoints(self) -> list[str]:
        """Each of them."""
        return self.endpoint.split(",")

    def tls(self) -> ssl.SSLContext:
        """For nodes that listen with https. Raise `AISError` for certificates that cannot be loaded."""
        try:
            context = ssl.create_default_context(cafile=self.ca_file or None)
            if self.cert_file:
                context.load_cert_chain(self.cert_file, self.key_file or None)
        except OSError as error:
            raise AISError(f"cannot load the TLS certificates {self.ca_file} {self.cert_file}: {error}") from None
        if not self.verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return context


def _checked(endpoint: str) -> str:
    url = endpoint.strip()
    url = url if "://" in url else f"http://{url}"
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.path not in ("", "/") or parts.query:
        raise ValueError(f'invalid endpoint "{endpoint}": write it like {DEFAULT_ENDPOINT}')
    return url.rstrip("/")


def _token() -> str:
    if token := os.environ.get("AIS_AUTHN_TOKEN", ""):
        return token
    path = os.environ.get("AIS_AUTHN_TOKEN_FILE", "")
    if not path:
        return ""
    try:
        text = Path(path).read_text().strip()
    except OSError as error:
        raise Unauthenticated(f"cannot read AIS_AUTHN_TOKEN_FILE {path}: {error.strerror}") from None
    if text.startswith("{"):  # as `ais auth login` writes it
        import json

        return str(json.loads(text).get("token", ""))
    return text
