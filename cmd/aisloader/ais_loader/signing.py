"""Signatures of version 4 for `-s3endpoint`, over the request without its body (`UNSIGNED-PAYLOAD`)."""

import configparser
import hashlib
import hmac
import os
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

from ais.auth.signing import signing_key
from ais.base.errors import BadRequest

_UNSIGNED = "UNSIGNED-PAYLOAD"
_REGION = "us-east-1"


class Signer:
    """Signs requests to one endpoint. The day's key is made once."""

    def __init__(self, endpoint: str, key: str, secret: str, session_token: str = "", region: str = _REGION) -> None:
        self._host = urlsplit(endpoint).netloc
        self._key, self._secret, self._session_token, self._region = key, secret, session_token, region
        self._day = ""
        self._day_key = b""

    def sign(self, method: str, path: str, query_string: str, lines: dict[str, str]) -> dict[str, str]:
        """The header lines of a request; `path` is encoded."""
        now = datetime.now(UTC)
        stamp, day = now.strftime("%Y%m%dT%H%M%SZ"), now.strftime("%Y%m%d")
        if day != self._day:
            self._day, self._day_key = day, signing_key(self._secret, day, self._region)
        signed = {"host": self._host, "x-amz-content-sha256": _UNSIGNED, "x-amz-date": stamp}
        if self._session_token:
            signed["x-amz-security-token"] = self._session_token
        names = ";".join(signed)
        canonical = "\n".join(
            (method, path, query_string, *(f"{name}:{value}" for name, value in signed.items()), "", names, _UNSIGNED)
        )
        scope = f"{day}/{self._region}/s3/aws4_request"
        text = f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
        signature = hmac.new(self._day_key, text.encode(), hashlib.sha256).hexdigest()
        del signed["host"]
        authorization = f"AWS4-HMAC-SHA256 Credential={self._key}/{scope}, SignedHeaders={names}, Signature={signature}"
        return {**lines, **signed, "Authorization": authorization}


def from_environment(endpoint: str, profile: str = "") -> Signer:
    """A signer with the credentials where AWS's tools look for them. Raise `BadRequest` when there are none."""
    env = os.environ
    region = env.get("AWS_REGION") or env.get("AWS_DEFAULT_REGION") or _REGION
    if not profile and env.get("AWS_ACCESS_KEY_ID"):
        key, secret = env["AWS_ACCESS_KEY_ID"], env.get("AWS_SECRET_ACCESS_KEY", "")
        return Signer(endpoint, key, secret, env.get("AWS_SESSION_TOKEN", ""), region)
    path = Path(env.get("AWS_SHARED_CREDENTIALS_FILE") or Path.home() / ".aws/credentials")
    found = configparser.ConfigParser()
    found.read(path)
    name = profile or env.get("AWS_PROFILE") or "default"
    if name not in found or "aws_access_key_id" not in found[name]:
        raise BadRequest(
            f"no S3 credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or profile {name} in {path}"
        )
    section = found[name]
    token = section.get("aws_session_token", "")
    return Signer(endpoint, section["aws_access_key_id"], section.get("aws_secret_access_key", ""), token, region)
