"""Documents of requests and answers."""

import pytest

from ais.s3 import acl, documents, xml
from ais.s3.documents import Deleted, KeyToDelete, ListedBucket
from ais.s3.errors import S3Error

NS = 'xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'


def test_delete() -> None:
    """Keys, versions and Quiet."""
    objects = "<Object><Key>a&amp;b</Key></Object><Object><Key>c</Key><VersionId>v</VersionId></Object>"
    body = f"<Delete {NS}>{objects}<Quiet>true</Quiet></Delete>"
    assert documents.parse_delete(body.encode()) == ([KeyToDelete("a&b"), KeyToDelete("c", "v")], True)


def test_delete_result() -> None:
    """Quiet reports only what failed."""
    outcomes = [Deleted("a"), Deleted("b", code="AccessDenied", message="no"), Deleted("c", "", True, "m1")]
    loud, quiet = (xml.parse(documents.delete_result(outcomes, one), "DeleteResult") for one in (False, True))
    assert [one.tag for one in loud] == ["Deleted", "Error", "Deleted"]
    assert [one.tag for one in quiet] == ["Error"]
    assert xml.text(loud[2], "DeleteMarkerVersionId") == "m1"


@pytest.mark.parametrize(
    ("parts", "code"),
    [
        ("", "MalformedXML"),
        ("<Part><PartNumber>0</PartNumber><ETag>x</ETag></Part>", "InvalidArgument"),
        ("<Part><PartNumber>10001</PartNumber><ETag>x</ETag></Part>", "InvalidArgument"),
        ("<Part><PartNumber>1</PartNumber></Part>", "MalformedXML"),
        (
            "<Part><PartNumber>2</PartNumber><ETag>x</ETag></Part><Part><PartNumber>1</PartNumber><ETag>x</ETag></Part>",
            "InvalidPartOrder",
        ),
        ("<Part><PartNumber>1</PartNumber><ETag>x</ETag><ChecksumCRC32>bad</ChecksumCRC32></Part>", "InvalidRequest"),
        ("<Part><PartNumber>1</PartNumber><ETag>x</ETag><Other/></Part>", "MalformedXML"),
    ],
)
def test_bad_complete(parts: str, code: str) -> None:
    """Each wrong list of parts has its code."""
    with pytest.raises(S3Error) as caught:
        documents.parse_complete(f"<CompleteMultipartUpload>{parts}</CompleteMultipartUpload>".encode())
    assert caught.value.code == code


def test_complete() -> None:
    """Entity tags come unquoted, a checksum with its algorithm."""
    part_body = '<ETag>"ab"</ETag><PartNumber>3</PartNumber><ChecksumCRC32>AAAAAA==</ChecksumCRC32>'
    body = f"<CompleteMultipartUpload><Part>{part_body}</Part></CompleteMultipartUpload>"
    [part] = documents.parse_complete(body.encode())
    assert (part.number, part.etag, part.checksum) == (3, "ab", "AAAAAA==")
    assert part.algorithm is not None
    assert part.algorithm.name == "CRC32"


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ("<Status>On</Status>", "MalformedXML"),
        ("", "MalformedXML"),
        ("<Status>Enabled</Status><MfaDelete>Enabled</MfaDelete>", "NotImplemented"),
    ],
)
def test_bad_versioning(body: str, code: str) -> None:
    """Only Enabled and Suspended, no MFA."""
    with pytest.raises(S3Error) as caught:
        documents.parse_versioning(f"<VersioningConfiguration>{body}</VersioningConfiguration>".encode())
    assert caught.value.code == code


def test_small_documents() -> None:
    """Location, versioning, access block and ownership survive or are refused."""
    assert documents.parse_create(b"") == ("", {})
    location = (
        b"<CreateBucketConfiguration><LocationConstraint>eu-west-1</LocationConstraint></CreateBucketConfiguration>"
    )
    assert documents.parse_create(location) == ("eu-west-1", {})
    assert b">eu-west-1</LocationConstraint>" in documents.location("eu-west-1")
    assert (
        documents.parse_versioning(b"<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>")
        == "Enabled"
    )
    switches = {
        "BlockPublicAcls": True,
        "IgnorePublicAcls": False,
        "BlockPublicPolicy": True,
        "RestrictPublicBuckets": False,
    }
    assert documents.parse_public_access_block(documents.public_access_block(switches)) == switches
    assert documents.parse_ownership(documents.ownership("BucketOwnerEnforced")) == "BucketOwnerEnforced"
    with pytest.raises(S3Error, match="Unknown ObjectOwnership"):
        documents.parse_ownership(documents.ownership("Nobody"))


def test_access_control_parses() -> None:
    """The canned ACL is well-formed and names the owner."""
    root = xml.parse(acl.read("ann", "").document(), "AccessControlPolicy")
    assert root.findtext("Owner/ID") == root.findtext("AccessControlList/Grant/Grantee/ID") == "ann"
    listed = xml.parse(documents.buckets([ListedBucket("b", 0, "")], "ann", "", ""), "ListAllMyBucketsResult")
    assert listed.findtext("Buckets/Bucket/Name") == "b"
    assert listed.findtext("Buckets/Bucket/BucketRegion") == "us-east-1"
