"""Signature version 2: as old clients sign headers, as boto3 presigns by default, and as old forms are signed."""

from typing import Any

import pytest
from harness.s3access import Access, boto
from harness.s3raw import Request, code, send


@pytest.fixture
def old(s3: Access) -> Any:
    """A client that signs so."""
    return boto(s3, signature_version="s3")


KEYS = ["plain", "a b/c+d&e=f", "ü/€", "~x%20y"]


@pytest.mark.parametrize("key", KEYS)
def test_headers(old: Any, s3_bucket: str, key: str) -> None:
    """Everyday requests signed in a header: objects with metadata, sub-resources, uploads in parts, lists."""
    old.put_object(Bucket=s3_bucket, Key=key, Body=b"x" * 1000, Metadata={"color": "dark  red"}, Tagging="a=1")
    found = old.get_object(Bucket=s3_bucket, Key=key)
    assert (found["Body"].read(), found["Metadata"]) == (b"x" * 1000, {"color": "dark  red"})
    assert old.get_object_tagging(Bucket=s3_bucket, Key=key)["TagSet"] == [{"Key": "a", "Value": "1"}]
    upload = old.create_multipart_upload(Bucket=s3_bucket, Key=key)["UploadId"]
    place = {"Bucket": s3_bucket, "Key": key, "UploadId": upload}
    part = old.upload_part(**place, PartNumber=1, Body=b"part")
    old.complete_multipart_upload(**place, MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]})
    assert old.get_object(Bucket=s3_bucket, Key=key, Range="bytes=1-2")["Body"].read() == b"ar"
    assert [one["Key"] for one in old.list_objects_v2(Bucket=s3_bucket, Prefix=key)["Contents"]] == [key]
    old.delete_object(Bucket=s3_bucket, Key=key)


@pytest.mark.parametrize("key", KEYS)
def test_presigned(s3: Access, old: Any, s3_bucket: str, key: str) -> None:
    """URLs of boto3's default for us-east-1, with headers and parameters that they carry."""
    arguments = {"Bucket": s3_bucket, "Key": key, "ContentType": "text/plain", "Metadata": {"color": "red"}}
    url = old.generate_presigned_url("put_object", arguments)
    assert "AWSAccessKeyId=" in url
    put = Request("PUT", *split(s3, url), headers={"Content-Type": "text/plain"}, body=b"data")
    assert send(s3, put).status == 200
    url = old.generate_presigned_url("get_object", {"Bucket": s3_bucket, "Key": key, "ResponseContentType": "a/b"})
    answer = send(s3, Request("GET", *split(s3, url)))
    assert (answer.body, answer.header("Content-Type")) == (b"data", "a/b")
    assert answer.header("x-amz-meta-color") == "red"
    assert send(s3, Request("HEAD", *split(s3, url))).status == 403
    changed = Request("GET", *split(s3, url.replace("a%2Fb", "a%2Fc")))
    assert code(send(s3, changed)) == "SignatureDoesNotMatch"


def test_a_url_is_for_what_it_was_made_for(s3: Access, old: Any, s3_bucket: str) -> None:
    """Sub-resources that this signature does not cover are added to no URL: an upload would be a lock for ever."""
    put = old.generate_presigned_url("put_object", {"Bucket": s3_bucket, "Key": "k"})
    get = old.generate_presigned_url("get_object", {"Bucket": s3_bucket, "Key": "k"})
    lists = old.generate_presigned_url("list_objects", {"Bucket": s3_bucket})
    lock = b"<LegalHold><Status>ON</Status></LegalHold>"
    assert send(s3, Request("PUT", *split(s3, put), body=b"data")).status == 200
    for method, url, name, body in (
        ("PUT", put, "legal-hold", lock),
        ("PUT", put, "retention", b""),
        ("GET", get, "retention", b""),
    ):
        answer = send(s3, Request(method, *split(s3, f"{url}&{name}"), body=body))
        assert (answer.status, code(answer)) == (403, "AccessDenied"), (name, answer)
    assert send(s3, Request("GET", *split(s3, f"{lists}&list-type=2"))).status == 200
    assert old.get_object(Bucket=s3_bucket, Key="k")["Body"].read() == b"data"


def split(access: Access, url: str) -> tuple[str, str]:
    """Path and query."""
    path, _, query = url.removeprefix(access.url).partition("?")
    return path, query


def test_a_form(s3: Access, old: Any, s3_bucket: str) -> None:
    """A form whose policy boto3 signs so is taken; with another signature it is not."""
    form = old.generate_presigned_post(s3_bucket, "k", Fields={"acl": "private"}, Conditions=[{"acl": "private"}])
    assert "AWSAccessKeyId" in form["fields"]
    assert send(s3, posted(s3, form)).status == 204
    assert old.get_object(Bucket=s3_bucket, Key="k")["Body"].read() == b"content of the file"
    form["fields"]["signature"] = "AAAA"
    assert code(send(s3, posted(s3, form))) == "SignatureDoesNotMatch"


def posted(access: Access, form: dict[str, Any]) -> Request:
    """The request a browser makes of a form and a file."""
    parts = [f'--line\r\nContent-Disposition: form-data; name="{n}"\r\n\r\n{v}\r\n' for n, v in form["fields"].items()]
    file = (
        '--line\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\ncontent of the file\r\n--line--\r\n'
    )
    headers = {"Content-Type": "multipart/form-data; boundary=line"}
    return Request("POST", form["url"].removeprefix(access.url), headers=headers, body=("".join(parts) + file).encode())
