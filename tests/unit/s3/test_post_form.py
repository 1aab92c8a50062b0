"""Browser forms: what botocore signs is accepted, what does not meet the policy is refused."""

import base64
import json
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


def _policy(*conditions: object) -> dict[str, str]:
    document = {"expiration": "2100-01-01T00:00:00Z", "conditions": list(conditions)}
    return {"key": "k", "policy": base64.b64encode(json.dumps(document).encode()).decode()}


def test_a_policy_names_its_bucket() -> None:
    """One that does not would be good for every bucket of its signer."""
    with pytest.raises(S3Error, match="names the bucket") as caught:
        post_form.check_policy(_policy({"key": "k"}), "b", 0)
    assert caught.value.code == "AccessDenied"
    post_form.check_policy(_policy({"key": "k"}, {"bucket": "b"}), "b", 0)


def test_of_two_size_ranges_both_hold() -> None:
    """The last one does not undo the first."""
    ranges = (["content-length-range", 5, 10], ["content-length-range", 0, 100])
    form = _policy({"key": "k"}, {"bucket": "b"}, *ranges)
    assert post_form.check_policy(form, "b", 0) == post_form.SizeRange(5, 10)
