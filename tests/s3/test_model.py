"""Nothing that Amazon documents is passed over: every operation and member of botocore's own model of S3.

A member of a request is honoured or refused. It cannot be seen from outside that something is honoured; but what is
honoured is read, and what is read is refused when it is nonsense. So each member is sent as nonsense, one at a time,
and must be refused. What may hold any text at all stands in a list here, with the test that shows its effect.
"""

import collections
import gzip
import hashlib
import json
import re
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import botocore
import pytest
from harness.s3access import Access, boto, remove_bucket
from harness.s3raw import Request, code, send, sign
from harness.wire import Answer

from ais.s3 import members
from ais.s3.operations import Op

BUCKET, KEY = "model", "k"
NONSENSE = "nonsense"
_FOLDER = max((Path(botocore.__file__).parent / "data" / "s3").iterdir())
MODEL = json.loads(gzip.decompress((_FOLDER / "service-2.json.gz").read_bytes()))
SERVED = {op.value for op in Op}
ALIASES = {"GetBucketLifecycle", "PutBucketLifecycle", "GetBucketNotification", "PutBucketNotification"}
"""Old names of what is served under a new one."""
FREE_TEXT = {
    "Cache-Control": "test_matrix",
    "Content-Disposition": "test_matrix",
    "Content-Encoding": "test_matrix",
    "Content-Language": "test_matrix",
    "Content-Type": "test_matrix",
    "Expires": "test_matrix",
    "If-None-Match": "test_conditional: any other entity tag than the object's lets the request through",
    "x-amz-copy-source-if-none-match": "test_conditional",
    "bucket-region": "tests/unit/proxy/test_s3_service.py",
    "delimiter": "test_listing",
    "key-marker": "test_listing",
    "marker": "test_listing",
    "prefix": "test_listing",
    "start-after": "test_listing",
    "upload-id-marker": "test_listing",
    **dict.fromkeys(
        [f"response-{name}" for name in ("cache-control", "content-disposition", "content-encoding")]
        + [f"response-{name}" for name in ("content-language", "content-type", "expires")],
        "test_surface",
    ),
}
UNREADABLE_IS_NONE = {"If-Modified-Since", "If-Unmodified-Since", "Range"}
"""Of a read: RFC 9110 has a server pass over what it cannot read of these."""
BODIES: dict[str, str] = {
    "CompleteMultipartUpload": "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>x</ETag></Part>"
    "</CompleteMultipartUpload>",
    "CreateBucket": "<CreateBucketConfiguration><LocationConstraint>eu-west-1</LocationConstraint><Tags><Tag><Key>k"
    "</Key>"
    "<Value>v</Value></Tag></Tags></CreateBucketConfiguration>",
    "DeleteObjects": "<Delete><Object><Key>absent</Key></Object></Delete>",
    "PutBucketAbac": "<AbacStatus><Status>Disabled</Status></AbacStatus>",
    "PutBucketAccelerateConfiguration": "<AccelerateConfiguration><Status>Suspended</Status></AccelerateConfiguration>",
    "PutBucketAcl": "<AccessControlPolicy><Owner><ID>alice</ID></Owner><AccessControlList><Grant>"
    '<Grantee xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:type="CanonicalUser"><ID>alice</ID></Grantee>'
    "<Permission>FULL_CONTROL</Permission></Grant></AccessControlList></AccessControlPolicy>",
    "PutBucketAnalyticsConfiguration": "<AnalyticsConfiguration><Id>x</Id><Filter><And><Prefix>p</Prefix><Tag><Key>k"
    "</Key>"
    "<Value>v</Value></Tag></And></Filter><StorageClassAnalysis/></AnalyticsConfiguration>",
    "PutBucketCors": "<CORSConfiguration><CORSRule><AllowedMethod>GET</AllowedMethod><AllowedOrigin>*</AllowedOrigin>"
    "</CORSRule></CORSConfiguration>",
    "PutBucketEncryption": "<ServerSideEncryptionConfiguration><Rule><ApplyServerSideEncryptionByDefault><SSEAlgorithm>"
    "AES256</SSEAlgorithm></ApplyServerSideEncryptionByDefault></Rule></ServerSideEncryptionConfiguration>",
    "PutBucketIntelligentTieringConfiguration": "<IntelligentTieringConfiguration><Id>x</Id><Status>Enabled</Status>"
    "<Tiering><Days>90</Days><AccessTier>ARCHIVE_ACCESS</AccessTier></Tiering></IntelligentTieringConfiguration>",
    "PutBucketInventoryConfiguration": "<InventoryConfiguration><Id>x</Id><Destination><S3BucketDestination><Bucket>"
    "arn:aws:s3:::b</Bucket><Format>CSV</Format></S3BucketDestination></Destination><IsEnabled>true</IsEnabled>"
    "<IncludedObjectVersions>All</IncludedObjectVersions><Schedule><Frequency>Daily</Frequency></Schedule>"
    "</InventoryConfiguration>",
    "PutBucketLifecycleConfiguration": "<LifecycleConfiguration><Rule><ID>r</ID><Filter><Prefix>p</Prefix></Filter>"
    "<Status>Enabled</Status><Expiration><Days>1</Days></Expiration></Rule></LifecycleConfiguration>",
    "PutBucketLogging": "<BucketLoggingStatus><LoggingEnabled><TargetBucket>b</TargetBucket><TargetPrefix>p"
    "</TargetPrefix>"
    "</LoggingEnabled></BucketLoggingStatus>",
    "PutBucketMetricsConfiguration": "<MetricsConfiguration><Id>x</Id></MetricsConfiguration>",
    "PutBucketNotificationConfiguration": "<NotificationConfiguration/>",
    "PutBucketOwnershipControls": "<OwnershipControls><Rule><ObjectOwnership>BucketOwnerEnforced</ObjectOwnership>"
    "</Rule>"
    "</OwnershipControls>",
    "PutBucketReplication": "<ReplicationConfiguration><Role>r</Role><Rule><Status>Disabled</Status><Destination>"
    "<Bucket>"
    "arn:aws:s3:::b</Bucket></Destination></Rule></ReplicationConfiguration>",
    "PutBucketRequestPayment": "<RequestPaymentConfiguration><Payer>BucketOwner</Payer></RequestPaymentConfiguration>",
    "PutBucketTagging": "<Tagging><TagSet><Tag><Key>k</Key><Value>v</Value></Tag></TagSet></Tagging>",
    "PutBucketVersioning": "<VersioningConfiguration><Status>Suspended</Status></VersioningConfiguration>",
    "PutBucketWebsite": "<WebsiteConfiguration><IndexDocument><Suffix>i.html</Suffix></IndexDocument>"
    "</WebsiteConfiguration>",
    "PutObjectTagging": "<Tagging><TagSet><Tag><Key>k</Key><Value>v</Value></Tag></TagSet></Tagging>",
    "PutPublicAccessBlock": "<PublicAccessBlockConfiguration><BlockPublicAcls>false</BlockPublicAcls>"
    "</PublicAccessBlockConfiguration>",
}
BODIES["PutObjectLegalHold"] = "<LegalHold><Status>ON</Status></LegalHold>"
BODIES["PutObjectRetention"] = (
    "<Retention><Mode>GOVERNANCE</Mode><RetainUntilDate>2099-01-01T00:00:00Z</RetainUntilDate></Retention>"
)
BODIES["PutObjectLockConfiguration"] = (
    "<ObjectLockConfiguration><ObjectLockEnabled>Enabled</ObjectLockEnabled><Rule><DefaultRetention><Mode>GOVERNANCE"
    "</Mode><Days>1</Days></DefaultRetention></Rule></ObjectLockConfiguration>"
)
BODIES["PutObjectAcl"] = BODIES["PutBucketAcl"]


class Member(NamedTuple):
    """One member of an operation's input that is not part of the address: where it stands, and its name there."""

    where: str
    name: str


def members_of(operation: str) -> Iterator[Member]:
    """Headers and query parameters of an operation."""
    shape = MODEL["shapes"][MODEL["operations"][operation]["input"]["shape"]] if has_input(operation) else {}
    for member in shape.get("members", {}).values():
        if member.get("location") in ("header", "querystring"):
            yield Member(member["location"], member["locationName"])


def has_input(operation: str) -> bool:
    return "input" in MODEL["operations"][operation]


def served() -> list[str]:
    """Operations of the model that are served."""
    return sorted(name for name in MODEL["operations"] if name in SERVED)


class Asking(NamedTuple):
    """What requests of this module are about."""

    access: Access
    upload_id: str

    def request(self, operation: str) -> Request:
        """A sensible request of an operation."""
        http = MODEL["operations"][operation]["http"]
        path, _, query = http["requestUri"].partition("?")
        bucket = "model-new" if operation == "CreateBucket" else BUCKET
        request = Request(http["method"], path.replace("{Bucket}", bucket).replace("{Key+}", KEY), query)
        names = {member.name for member in members_of(operation)}
        extra = {"uploadId": self.upload_id, "partNumber": "1", "id": "x"}
        request.query = "&".join(
            filter(None, [query, *(f"{name}={value}" for name, value in extra.items() if name in names
                                   and (name != "partNumber" or "uploadId" in names))])
        )  # fmt: skip
        request.body = BODIES.get(operation, "").encode()
        if operation in ("PutObject", "UploadPart"):
            request.body = b"data"
        if operation == "PutBucketPolicy":
            resource = f"arn:aws:s3:::{BUCKET}/*"
            statement = {
                "Effect": "Allow",
                "Principal": {"AWS": "alice"},
                "Action": "s3:GetObject",
                "Resource": resource,
            }
            request.body = json.dumps({"Version": "2012-10-17", "Statement": [statement]}).encode()
        if operation in ("CopyObject", "UploadPartCopy"):
            request.headers["x-amz-copy-source"] = f"/{BUCKET}/{KEY}"
        if operation == "CopyObject":
            request.headers["x-amz-metadata-directive"] = "REPLACE"
        if operation == "GetObjectAttributes":
            request.headers["x-amz-object-attributes"] = "ETag"
        if operation == "DeleteObjects":
            request.headers["Content-MD5"] = b64encode(hashlib.md5(request.body).digest()).decode()
        return request

    def send(self, request: Request) -> Answer:
        """The answer to a signed request."""
        sign(request, self.access)
        return send(self.access, request)

    def with_nonsense(self, operation: str, member: Member) -> Answer:
        """The answer to a request one member of which makes no sense."""
        request = self.request(operation)
        if member.where == "header":
            request.headers = {n: v for n, v in request.headers.items() if n.lower() != member.name.lower()}
            request.headers[member.name] = NONSENSE
        else:
            pairs = [pair for pair in request.query.split("&") if pair and pair.partition("=")[0] != member.name]
            request.query = "&".join([*pairs, f"{member.name}={NONSENSE}"])
        return self.send(request)


@pytest.fixture
def asking(s3: Access) -> Iterator[Asking]:
    """A bucket with one object and one unfinished upload of the same key."""
    client = boto(s3)
    client.create_bucket(Bucket=BUCKET)
    client.put_object(Bucket=BUCKET, Key=KEY, Body=b"data")
    yield Asking(s3, client.create_multipart_upload(Bucket=BUCKET, Key=KEY)["UploadId"])
    client.delete_bucket_policy(Bucket=BUCKET)
    for name in ("model-new", BUCKET):
        if name in [one["Name"] for one in client.list_buckets()["Buckets"]]:
            remove_bucket(client, name)


def test_every_header_is_in_the_table() -> None:
    """A header that the model documents for an operation we serve is honoured by it, or refused whatever it says."""
    for operation in served():
        for member in members_of(operation):
            name = member.name.lower()
            if member.where == "header" and name.startswith("x-amz-"):
                honoured = members.HONOURED.get(Op(operation), frozenset())
                is_known = name in honoured or name in members.EVERYWHERE or members.is_refused(Op(operation), name)
                assert is_known, f"{operation}: {name}"


def test_every_operation_is_served_or_refused(asking: Asking) -> None:
    """What is not served is 501, or 405, before anything happens; the object stays."""
    count: collections.Counter[str] = collections.Counter()
    for operation in sorted(MODEL["operations"].keys() - SERVED - ALIASES):
        request = asking.request(operation)
        if "/{Bucket}" not in MODEL["operations"][operation]["http"]["requestUri"]:
            continue  # ListDirectoryBuckets is ListBuckets elsewhere, WriteGetObjectResponse has its own host
        answer = asking.send(request)
        assert (answer.status, code(answer)) in ((501, "NotImplemented"), (405, "MethodNotAllowed")), operation
        count[code(answer)] += 1
    assert boto(asking.access).get_object(Bucket=BUCKET, Key=KEY)["Body"].read() == b"data"
    print(f"\n{len(served())} of {len(MODEL['operations'])} operations served, refused: {dict(count)}")


def test_no_member_is_passed_over(asking: Asking) -> None:
    """Each header and parameter of each operation is refused when it is nonsense, unless any text makes sense."""
    passed_over, count = [], collections.Counter[str]()
    for operation in served():
        reads = operation in ("GetObject", "HeadObject")
        for member in members_of(operation):
            if member.name in FREE_TEXT or member.name == "Content-Length":
                count["any text"] += 1
                continue
            if reads and member.name in UNREADABLE_IS_NONE:
                count["passed over as RFC 9110 says"] += 1
                continue
            answer = asking.with_nonsense(operation, member)
            count[str(answer.status)] += 1
            if not 400 <= answer.status < 500 and answer.status != 501:
                passed_over.append(f"{operation} {member.where} {member.name}: {answer.status}")
    print(f"\n{len(served())} operations, {sum(count.values())} members: {dict(count)}")
    assert not passed_over, "\n".join(passed_over)
    assert boto(asking.access).get_object(Bucket=BUCKET, Key=KEY)["Body"].read() == b"data"


def test_no_element_is_passed_over(asking: Asking) -> None:
    """An element that a document does not have is refused wherever it stands; the document without it is taken."""
    count = 0
    for operation, body in sorted(BODIES.items()):
        for place in re.finditer(r"<([A-Za-z]+)[^>/]*>(?=<)", body):
            request = asking.request(operation)
            request.body = (body[: place.end()] + f"<Nonsense>{NONSENSE}</Nonsense>" + body[place.end() :]).encode()
            request.headers["Content-MD5"] = b64encode(hashlib.md5(request.body).digest()).decode()
            answer = asking.send(request)
            assert code(answer) in ("MalformedXML", "MalformedACLError", "NotImplemented", "InvalidRequest"), (
                f"{operation}: {place[0]}"
            )
            count += 1
    print(f"\n{count} places in {len(BODIES)} documents")


def test_unknown_members(asking: Asking) -> None:
    """A header in Amazon's name space that nobody knows is refused; a parameter that begins with x- is the client's."""
    request = asking.request("DeleteObject")
    request.headers["x-amz-if-match-moon"] = "full"
    assert code(asking.send(request)) == "NotImplemented"
    request = asking.request("GetObject")
    request.query = "x-trace=1&x-id=GetObject"
    assert asking.send(request).status == 200


def test_headers_in_a_signed_url_count(asking: Asking) -> None:
    """A URL may carry headers as parameters: what they ask for is done or refused as if they were headers."""
    request = asking.request("DeleteObject")
    request.query = "x-amz-if-match-size=1"
    assert code(asking.send(request)) == "PreconditionFailed"
    request = asking.request("PutObject")
    request.query = "x-amz-meta-color=red&x-amz-tagging=a%3D1"
    assert asking.send(request).status == 200
    client: Any = boto(asking.access)
    assert client.head_object(Bucket=BUCKET, Key=KEY)["Metadata"] == {"color": "red"}
    assert client.get_object_tagging(Bucket=BUCKET, Key=KEY)["TagSet"] == [{"Key": "a", "Value": "1"}]
