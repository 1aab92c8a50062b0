"""Which operation a request is; what S3 knows and we do not is refused, never mistaken for the object."""

import pytest

from ais.s3 import members
from ais.s3.errors import S3Error
from ais.s3.operations import Op, classify


@pytest.mark.parametrize(
    ("method", "bucket", "key", "params", "headers", "op"),
    [
        ("GET", "", "", {}, {}, Op.LIST_BUCKETS),
        ("GET", "b", "", {"prefix": "x", "max-keys": "3"}, {}, Op.LIST_OBJECTS),
        ("GET", "b", "", {"list-type": "2", "x-id": "ListObjectsV2"}, {}, Op.LIST_OBJECTS_V2),
        ("POST", "b", "", {"delete": ""}, {}, Op.DELETE_OBJECTS),
        ("POST", "b", "", {}, {}, Op.POST_OBJECT),
        ("PUT", "b", "k", {}, {}, Op.PUT_OBJECT),
        ("PUT", "b", "k", {}, {"x-amz-copy-source": "b/o"}, Op.COPY_OBJECT),
        ("PUT", "b", "k", {"partNumber": "1", "uploadId": "u"}, {"x-amz-copy-source": "b/o"}, Op.UPLOAD_PART_COPY),
        ("GET", "b", "k", {"partNumber": "2"}, {}, Op.GET_OBJECT),
        ("GET", "b", "k", {"X-Amz-Signature": "s", "X-Amz-Algorithm": "a"}, {}, Op.GET_OBJECT),
        ("PUT", "b", "k", {"tagging": ""}, {}, Op.PUT_OBJECT_TAGGING),
        ("DELETE", "b", "k", {"uploadId": "u"}, {}, Op.ABORT_MULTIPART_UPLOAD),
    ],
)
def test_operation(method: str, bucket: str, key: str, params: dict[str, str], headers: dict[str, str], op: Op) -> None:
    """Method, sub-resource and headers decide."""
    assert classify(method, bucket, key, params, headers) == (op, bucket, key)


@pytest.mark.parametrize(
    "name", ["annotation", "encryption", "torrent", "restore", "select", "unknown", "Tagging", "acls"]
)
@pytest.mark.parametrize("method", ["PUT", "GET", "DELETE"])
def test_unknown_sub_resource_of_an_object(method: str, name: str) -> None:
    """`PUT key?something` never overwrites `key`."""
    with pytest.raises(S3Error) as caught:
        classify(method, "b", "k", {name: ""}, {})
    assert caught.value.code in ("NotImplemented", "MethodNotAllowed")


@pytest.mark.parametrize(
    ("method", "bucket", "key", "params", "headers", "code"),
    [
        ("PUT", "b", "k", {}, {"x-amz-write-offset-bytes": "1"}, "NotImplemented"),
        ("PUT", "b", "k", {}, {"x-amz-object-lock-event-hold": "ON"}, "NotImplemented"),
        ("PUT", "b", "", {"metadataTable": ""}, {}, "NotImplemented"),
        ("PUT", "b", "k", {"tagging": "", "acl": ""}, {}, "InvalidArgument"),
        ("PUT", "b", "k", {"partNumber": "1"}, {}, "InvalidArgument"),
        ("POST", "b", "k", {}, {}, "MethodNotAllowed"),
        ("PUT", "", "", {}, {}, "MethodNotAllowed"),
        ("GET", "b", "k", {"list-type": "2"}, {}, "NotImplemented"),
        ("GET", "b", "", {"tagging": ""}, {"x-amz-copy-source": "b/o"}, "InvalidArgument"),
    ],
)
def test_refusals(
    method: str, bucket: str, key: str, params: dict[str, str], headers: dict[str, str], code: str
) -> None:
    """Each refusal has its exact code."""

    def ask() -> None:
        op = classify(method, bucket, key, params, headers).op
        members.check(op, {name: [value] for name, value in headers.items()})

    with pytest.raises(S3Error) as caught:
        ask()
    assert caught.value.code == code
