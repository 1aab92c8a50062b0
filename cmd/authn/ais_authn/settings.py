"""Where AuthN's settings come from: environment variables, as AIStore names them; two that may change while it runs."""

import os
from dataclasses import dataclass
from pathlib import Path

from ais.base.errors import BadRequest
from ais.base.units import Duration

PORT = 52001
TOKEN_LIFE_S = 24 * 3600
TOKEN_LIFE_S_MAX = 90 * 24 * 3600
TOKEN_LIFE_S_MIN = 60
SU_NAME = "admin"
HOST = "127.0.0.1"


@dataclass
class Settings:
    """All settings. `token_life_s` and `log_level` may be changed over the API, until the next start."""

    directory: str
    port: int = PORT
    host: str = HOST
    """Where it listens: this machine only, unless told otherwise; passwords travel in clear without HTTPS."""
    secret: str = ""
    key_file: str = ""
    key_passphrase: str = ""
    external_url: str = ""
    certificate: str = ""
    certificate_key: str = ""
    use_https: bool = False
    skip_verify: bool = False
    token_life_s: int = TOKEN_LIFE_S
    log_level: str = "3"
    su_name: str = SU_NAME
    su_password: str = ""

    @property
    def issuer(self) -> str:
        """What tokens say of who made them."""
        return self.external_url or f"{'https' if self.use_https else 'http'}://localhost:{self.port}"


def read(directory: str = "", port: int | None = None) -> Settings:
    """The settings of this process's environment. Raise `BadRequest` naming the bad variable."""
    env = os.environ
    found = Settings(
        directory=directory or env.get("AIS_AUTHN_CONF_DIR") or str(Path.home() / ".config/ais/authn"),
        port=_port(env.get("AIS_AUTHN_PORT", "")) if port is None else port,
        host=env.get("AIS_AUTHN_HOST") or HOST,
        secret=env.get("AIS_AUTHN_SECRET_KEY", ""),
        key_file=env.get("AIS_AUTHN_PRIVATE_KEY_FILE", ""),
        key_passphrase=env.get("AIS_AUTHN_PRIVATE_KEY_PASS", ""),
        external_url=env.get("AIS_AUTHN_EXTERNAL_URL", "").rstrip("/"),
        certificate=env.get("AIS_SERVER_CRT", ""),
        certificate_key=env.get("AIS_SERVER_KEY", ""),
        use_https=_is_true("AIS_AUTHN_USE_HTTPS"),
        skip_verify=_is_true("AIS_AUTHN_SKIP_VERIFY_CRT"),
        log_level=env.get("AIS_AUTHN_LOG_LEVEL", "3"),
        su_name=env.get("AIS_AUTHN_SU_NAME") or SU_NAME,
        su_password=env.get("AIS_AUTHN_SU_PASS", ""),
    )
    if life := env.get("AIS_AUTHN_TTL", ""):
        found.token_life_s = token_life(life)
    if found.use_https and not (found.certificate and found.certificate_key):
        raise BadRequest("AIS_AUTHN_USE_HTTPS needs AIS_SERVER_CRT and AIS_SERVER_KEY")
    return found


def token_life(text: str) -> int:
    """A life of tokens in seconds. Raise `BadRequest`."""
    seconds = int(Duration.parse(text))
    if not TOKEN_LIFE_S_MIN <= seconds <= TOKEN_LIFE_S_MAX:
        raise BadRequest(f'invalid life of tokens "{text[:40]}": expected from 1m to 2160h')
    return seconds


def _port(text: str) -> int:
    if not text:
        return PORT
    if not (text.isascii() and text.isdigit() and int(text) < 65536):
        raise BadRequest(f'invalid AIS_AUTHN_PORT "{text[:20]}": expected a number below 65536')
    return int(text)


def _is_true(name: str) -> bool:
    return os.environ.get(name, "").lower() in ("1", "true", "yes", "y", "on")
