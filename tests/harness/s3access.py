"""Where a cluster serves S3, with which key, and the clients that are tried on it."""

import dataclasses
import functools
import shutil
import ssl
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.config import Config

from ais.api import codec
from ais.playground import probe

if TYPE_CHECKING:
    from ais.testing import TLS, Cluster

REGION = "us-east-1"


@dataclasses.dataclass(frozen=True, slots=True)
class Access:
    """An endpoint and a key for it. `ca`: file of the certificate to trust, None without TLS. `own`: what to show."""

    url: str
    key_id: str
    secret: str
    ca: str | None = None
    own: "TLS | None" = None

    @property
    def scheme(self) -> str:
        """`http` or `https`."""
        return self.url.partition("://")[0]

    @property
    def host(self) -> str:
        """`address:port`."""
        return self.url.partition("://")[2]

    def tls(self) -> ssl.SSLContext | None:
        """What the endpoint's certificate is checked with."""
        if self.own is not None:
            return probe.tls_context(self.own)
        return ssl.create_default_context(cafile=self.ca) if self.ca else None

    def environment(self) -> dict[str, str]:
        """The variables AWS's tools and SDKs read; nothing of the user's own configuration is seen."""
        return {
            "AWS_ACCESS_KEY_ID": self.key_id,
            "AWS_SECRET_ACCESS_KEY": self.secret,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_ENDPOINT_URL": self.url,
            "AWS_CONFIG_FILE": "/dev/null",
            "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
            "AWS_EC2_METADATA_DISABLED": "true",
            **({"AWS_CA_BUNDLE": self.ca} if self.ca else {}),
        }


def new_access(cluster: "Cluster", user: str, ca: str | None = None, *, admin: bool = False) -> Access:
    """A fresh key of `user`, made over the Unix socket of a gateway that runs."""
    gateway = next(node for node in cluster.proxies if node.alive)
    endpoint = Access(gateway.url, "", "", ca)
    body = codec.to_json({"user": user, "admin": admin})
    status, answer = probe.call("POST", f"{endpoint.url}/v1/auth/keys", None, body, gateway.plan.socket)
    assert status == 200, answer
    key = codec.parse_json(answer)
    return dataclasses.replace(endpoint, key_id=key["id"], secret=key["secret"])


@functools.cache
def boto(access: Access, **config: Any) -> Any:
    """A boto3 client that tries each request once, made once for all callers; `config` goes to botocore's `Config`."""
    return boto3.client(
        "s3",
        endpoint_url=access.url,
        aws_access_key_id=access.key_id,
        aws_secret_access_key=access.secret,
        region_name=REGION,
        verify=access.ca,
        config=Config(**{"retries": {"total_max_attempts": 1}, "s3": {"addressing_style": "path"}, **config}),
    )


def tool(name: str) -> str:
    """Path of a command-line client: beside this Python, else on the PATH. Skips the test when there is none."""
    found = shutil.which(name, path=str(Path(sys.executable).parent)) or shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed")
    return found


def remove_bucket(client: Any, bucket: str) -> None:
    """Remove a bucket with its objects, their versions and unfinished uploads."""
    for upload in client.list_multipart_uploads(Bucket=bucket).get("Uploads", ()):
        client.abort_multipart_upload(Bucket=bucket, Key=upload["Key"], UploadId=upload["UploadId"])
    for page in client.get_paginator("list_objects_v2").paginate(Bucket=bucket):
        keys = [one["Key"] for one in page.get("Contents", ())]
        if objects := [{"Key": key} for key in keys if key.isprintable()]:
            client.delete_objects(Bucket=bucket, Delete={"Objects": objects, "Quiet": True})
        for key in keys:
            if not key.isprintable():  # XML has no way to write it
                client.delete_object(Bucket=bucket, Key=key)
    for page in client.get_paginator("list_object_versions").paginate(Bucket=bucket):
        for one in (*page.get("Versions", ()), *page.get("DeleteMarkers", ())):
            client.delete_object(Bucket=bucket, Key=one["Key"], VersionId=one["VersionId"])
    client.delete_bucket(Bucket=bucket)
