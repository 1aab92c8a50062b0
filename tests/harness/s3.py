"""S3 clients: boto3, unmodified, and raw requests signed by botocore for everything that boto3 would not send."""

import asyncio
import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from xml.etree import ElementTree

import aiohttp
import boto3
from botocore import UNSIGNED
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials
from botocore.exceptions import ClientError
from yarl import URL


@dataclass
class RawAnswer:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def code(self) -> str:
        """The code of an S3 error; empty when it is none."""
        if not self.body.startswith(b"<?xml"):
            return ""
        return ElementTree.fromstring(self.body).findtext("Code", "")


class S3:
    """A user of the S3 API at `url`; without a key nothing is signed."""

    def __init__(self, url: str, key_id: str = "", secret: str = "", region: str = "us-east-1") -> None:
        self.url, self.key_id, self.region = url, key_id, region
        self._credentials = Credentials(key_id, secret) if key_id else None
        self.boto3 = boto3.client(
            "s3",
            endpoint_url=url,
            region_name=region,
            aws_access_key_id=key_id or "none",
            aws_secret_access_key=secret or "none",
            config=Config(
                signature_version="s3v4" if key_id else UNSIGNED,
                s3={"addressing_style": "path"},
                retries={"total_max_attempts": 1},
            ),
        )

    async def __call__(self, operation: str, **arguments: Any) -> dict[str, Any]:
        """Call a method of the boto3 client. Raise `ClientError`."""
        return dict(await asyncio.to_thread(getattr(self.boto3, operation), **arguments))

    async def refused(self, operation: str, **arguments: Any) -> tuple[int, str]:
        """Status and code of an error that the call must give."""
        try:
            answer = await self(operation, **arguments)
        except ClientError as error:
            return error.response["ResponseMetadata"]["HTTPStatusCode"], error.response["Error"]["Code"]
        raise AssertionError(f"{operation} succeeded: {answer}")

    async def send(
        self,
        method: str,
        target: str,
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
        *,
        forged: bytes | None = None,
    ) -> RawAnswer:
        """One request; `target` is sent as it is, `forged` instead of the body that was signed."""
        request = AWSRequest(method, self.url + target, headers=dict(headers or {}), data=body)
        if self._credentials is not None:
            S3SigV4Auth(self._credentials, "s3", self.region).add_auth(request)
        async with (
            aiohttp.ClientSession(skip_auto_headers=("Content-Type",)) as http,
            http.request(
                method,
                URL(self.url + target, encoded=True),
                headers=dict(request.headers.items()),
                data=io.BytesIO(body if forged is None else forged) if body else None,
                allow_redirects=False,
            ) as answer,
        ):
            return RawAnswer(answer.status, answer.headers, await answer.read())
