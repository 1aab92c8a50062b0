"""Browser forms: what botocore signs is accepted, what does not meet the policy is refused."""

import time
from typing import Any

import boto3
import pytest
from botocore.config import Config

from ais.s3 import post_form
from ais.s3.errors import S3Error

SECRET = "secret"


def _form(**options: Any) -> dict[str, str]:
    client = boto3.client(
        "s3",
        endpoint_url="http://h",
        region_name="us-east-1",
        aws_access_key_id="AKID",
        aws_secret_access_key=SECRET,
        config=Config(signature_version="s3v4"),
    )
    fields = client.generate_presigned_post("b", "up/${filename}", **options)["fields"]
    client.close()
    return {name.lower(): value for name, value in fields.items()} | {"key": "up/x"}


def test_signed_form() -> None:
    """Key prefix and size range are what the policy says."""
    form = _form(Conditions=[["content-length-range", 1, 10]])
    assert post_form.credential_of(form) == "AKID"
    post_form.verify(form, SECRET)
    assert post_form.check_policy(form, "b", time.time()) == post_form.SizeRange(1, 10)


@pytest.mark.parametrize(
    ("changed", "now_delta_s", "secret", "code"),
    [
        ({}, 0, "wrong", "SignatureDoesNotMatch"),
        ({}, 4000, SECRET, "AccessDenied"),
        ({"key": "elsewhere"}, 0, SECRET, "AccessDenied"),
        ({"acl": "public-read"}, 0, SECRET, "AccessDenied"),
        ({"x-amz-signature": "0" * 64}, 0, SECRET, "SignatureDoesNotMatch"),
        ({"x-amz-credential": "AKID"}, 0, SECRET, "InvalidArgument"),
        ({"policy": "e30="}, 0, SECRET, "SignatureDoesNotMatch"),
    ],
)
def test_refusals(changed: dict[str, str], now_delta_s: int, secret: str, code: str) -> None:
    """Signature, expiry, conditions and extra fields."""
    form = _form() | changed

    def check() -> None:
        post_form.verify(form, secret)
        post_form.check_policy(form, "b", time.time() + now_delta_s)

    with pytest.raises(S3Error) as caught:
        check()
    assert caught.value.code == code


def test_missing_field() -> None:
    """A form without a signature names the field."""
    form = _form()
    del form["x-amz-signature"]
    with pytest.raises(S3Error, match="x-amz-signature"):
        post_form.verify(form, SECRET)
