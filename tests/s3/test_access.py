"""Who may do what by access control lists: canned ones and grants, of buckets and objects, for owner and others."""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import boto3
import pytest
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import ClientError
from harness.s3access import Access, boto, new_access, remove_bucket
from harness.s3raw import call, code
from harness.wire import fresh_name

from ais.testing import Cluster

ALL_USERS = "http://acs.amazonaws.com/groups/global/AllUsers"


class People(NamedTuple):
    """Clients of the owner of buckets, of another user, and of nobody."""

    alice: Any
    bob: Any
    nobody: Any


@pytest.fixture(scope="module")
def people(s3: Access, s3_cluster: Cluster) -> People:
    """Three who try."""
    client = boto(s3)
    nobody = client.meta.config.merge(Config(signature_version=UNSIGNED))
    anonymous = boto3.client("s3", endpoint_url=s3.url, region_name="us-east-1", config=nobody)
    return People(client, boto(new_access(s3_cluster, "bob")), anonymous)


@pytest.fixture
def bucket(people: People) -> Iterator[str]:
    """Alice's, in which objects belong to who writes them."""
    name = fresh_name("acl")
    people.alice.create_bucket(Bucket=name, ObjectOwnership="ObjectWriter")
    yield name
    for one in people.alice.list_objects_v2(Bucket=name).get("Contents", ()):
        people.alice.delete_object(Bucket=name, Key=one["Key"])
    remove_bucket(people.alice, name)


def may(operation: Callable[..., Any], **arguments: Any) -> bool:
    """Whether a request is allowed; any refusal must be AccessDenied."""
    try:
        operation(**arguments)
    except ClientError as error:
        if error.response["Error"]["Code"] in ("AccessDenied", "403"):
            return False
        raise
    return True


OF_BUCKET: dict[str, tuple[str, str]] = {
    "private": ("", ""),
    "public-read": ("list", "list"),
    "public-read-write": ("list write delete", "list write delete"),
    "authenticated-read": ("list", ""),
}
"""Canned list of a bucket: what another user and nobody may do by it."""
OF_OBJECT: dict[str, tuple[str, str]] = {
    "private": ("", ""),
    "public-read": ("read", "read"),
    "public-read-write": ("read", "read"),
    "authenticated-read": ("read", ""),
    "bucket-owner-read": ("", ""),
    "bucket-owner-full-control": ("", ""),
}


@pytest.mark.parametrize("canned", OF_BUCKET)
def test_canned_lists_of_buckets(people: People, bucket: str, canned: str) -> None:
    """Reading a bucket's list of keys and writing keys is what its list gives, and nothing of what is in them."""
    people.alice.put_bucket_acl(Bucket=bucket, ACL=canned)
    people.alice.put_object(Bucket=bucket, Key="k", Body=b"x")
    for who, wanted in zip(people[1:], OF_BUCKET[canned], strict=True):
        assert may(who.list_objects_v2, Bucket=bucket) == ("list" in wanted)
        assert may(who.put_object, Bucket=bucket, Key="new", Body=b"y") == ("write" in wanted)
        assert may(who.delete_object, Bucket=bucket, Key="new") == ("delete" in wanted)
        assert not may(who.get_object, Bucket=bucket, Key="k")
        assert not may(who.get_bucket_acl, Bucket=bucket)
        assert not may(who.put_bucket_acl, Bucket=bucket, ACL="private")
        assert not may(who.delete_bucket, Bucket=bucket)


@pytest.mark.parametrize("way", ["with the object", "afterwards"])
@pytest.mark.parametrize("canned", OF_OBJECT)
def test_canned_lists_of_objects(people: People, bucket: str, canned: str, way: str) -> None:
    """An object's content is what its list gives."""
    first = {"ACL": canned} if way == "with the object" else {}
    people.alice.put_object(Bucket=bucket, Key="k", Body=b"x", **first)
    if way == "afterwards":
        people.alice.put_object_acl(Bucket=bucket, Key="k", ACL=canned)
    for who, wanted in zip(people[1:], OF_OBJECT[canned], strict=True):
        assert may(who.get_object, Bucket=bucket, Key="k") == ("read" in wanted)
        assert may(who.head_object, Bucket=bucket, Key="k") == ("read" in wanted)
        assert not may(who.put_object, Bucket=bucket, Key="k", Body=b"y")
        assert not may(who.delete_object, Bucket=bucket, Key="k")
        assert not may(who.get_object_acl, Bucket=bucket, Key="k")
        assert not may(who.put_object_acl, Bucket=bucket, Key="k", ACL="private")


def test_grants_in_headers_and_documents(people: People, bucket: str) -> None:
    """Each permission can be given by itself, comes back in the document, and the document can be put again."""
    people.alice.put_object(Bucket=bucket, Key="k", Body=b"x", GrantReadACP='id="bob"', GrantRead=f'uri="{ALL_USERS}"')
    found = people.bob.get_object_acl(Bucket=bucket, Key="k")
    assert found["Owner"]["ID"] == "alice"
    assert {
        (grant["Permission"], grant["Grantee"].get("ID"), grant["Grantee"].get("URI")) for grant in found["Grants"]
    } == {
        ("READ_ACP", "bob", None),
        ("READ", None, ALL_USERS),
    }
    assert may(people.nobody.get_object, Bucket=bucket, Key="k")
    grants = [*found["Grants"], {"Grantee": {"ID": "bob", "Type": "CanonicalUser"}, "Permission": "WRITE_ACP"}]
    document = {"Owner": found["Owner"], "Grants": grants}
    people.alice.put_object_acl(Bucket=bucket, Key="k", AccessControlPolicy=document)
    people.bob.put_object_acl(Bucket=bucket, Key="k", ACL="private")
    assert not may(people.nobody.get_object, Bucket=bucket, Key="k")
    people.alice.put_bucket_acl(Bucket=bucket, GrantWrite='id="bob"', GrantFullControl='id="alice"')
    assert may(people.bob.put_object, Bucket=bucket, Key="new", Body=b"y")
    assert not may(people.bob.list_objects_v2, Bucket=bucket)


def test_an_object_belongs_to_who_wrote_it(people: People, bucket: str) -> None:
    """The bucket's owner may delete it and not read it, until its owner says so; a policy gives nothing of it."""
    people.alice.put_bucket_acl(Bucket=bucket, ACL="public-read-write")
    people.bob.put_object(Bucket=bucket, Key="bobs", Body=b"x")
    assert people.bob.get_object_acl(Bucket=bucket, Key="bobs")["Owner"]["ID"] == "bob"
    listed = people.alice.list_objects_v2(Bucket=bucket, FetchOwner=True)["Contents"]
    assert [one["Owner"]["ID"] for one in listed] == ["bob"]
    assert not may(people.alice.get_object, Bucket=bucket, Key="bobs")
    assert not may(people.alice.put_object_acl, Bucket=bucket, Key="bobs", ACL="public-read")
    people.bob.put_object_acl(Bucket=bucket, Key="bobs", ACL="bucket-owner-full-control")
    assert may(people.alice.get_object, Bucket=bucket, Key="bobs")
    people.bob.put_object(Bucket=bucket, Key="bobs", Body=b"x", ACL="bucket-owner-read")
    assert may(people.alice.get_object, Bucket=bucket, Key="bobs")
    people.bob.copy_object(Bucket=bucket, Key="bobs", CopySource=f"{bucket}/bobs", MetadataDirective="REPLACE")
    assert not may(people.alice.get_object, Bucket=bucket, Key="bobs")
    assert may(people.alice.delete_object, Bucket=bucket, Key="bobs")


def test_ownership_controls(people: People, bucket: str) -> None:
    """Preferred gives what is offered to the bucket's owner; enforced ends all lists; without controls writers own."""
    alice, bob = people.alice, people.bob
    controls = alice.get_bucket_ownership_controls(Bucket=bucket)["OwnershipControls"]
    assert controls == {"Rules": [{"ObjectOwnership": "ObjectWriter"}]}
    alice.put_bucket_acl(Bucket=bucket, ACL="public-read-write")
    preferred = {"Rules": [{"ObjectOwnership": "BucketOwnerPreferred"}]}
    alice.put_bucket_ownership_controls(Bucket=bucket, OwnershipControls=preferred)
    bob.put_object(Bucket=bucket, Key="given", Body=b"x", ACL="bucket-owner-full-control")
    assert may(alice.get_object, Bucket=bucket, Key="given")
    assert not may(bob.get_object, Bucket=bucket, Key="given")
    enforced = {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]}
    with pytest.raises(ClientError, match="InvalidBucketAclWithObjectOwnership"):
        alice.put_bucket_ownership_controls(Bucket=bucket, OwnershipControls=enforced)
    bob.put_object(Bucket=bucket, Key="bobs", Body=b"x", ACL="public-read")
    alice.put_bucket_acl(Bucket=bucket, ACL="private")
    alice.put_bucket_ownership_controls(Bucket=bucket, OwnershipControls=enforced)
    assert may(alice.get_object, Bucket=bucket, Key="bobs")
    assert not may(people.nobody.get_object, Bucket=bucket, Key="bobs")
    with pytest.raises(ClientError, match="AccessControlListNotSupported"):
        alice.put_object_acl(Bucket=bucket, Key="bobs", ACL="public-read")
    with pytest.raises(ClientError, match="AccessControlListNotSupported"):
        alice.put_bucket_acl(Bucket=bucket, ACL="public-read")
    alice.delete_bucket_ownership_controls(Bucket=bucket)
    with pytest.raises(ClientError, match="OwnershipControlsNotFoundError"):
        alice.get_bucket_ownership_controls(Bucket=bucket)
    assert may(people.nobody.get_object, Bucket=bucket, Key="bobs")


def test_public_lists_can_be_blocked_and_ignored(people: People, bucket: str) -> None:
    """BlockPublicAcls refuses new public lists, IgnorePublicAcls takes away what the old ones gave."""
    alice = people.alice
    alice.put_object(Bucket=bucket, Key="k", Body=b"x", ACL="public-read")
    alice.put_public_access_block(Bucket=bucket, PublicAccessBlockConfiguration={"BlockPublicAcls": True})
    assert not may(alice.put_object, Bucket=bucket, Key="other", Body=b"x", ACL="public-read")
    assert not may(alice.put_object_acl, Bucket=bucket, Key="k", ACL="authenticated-read")
    assert not may(alice.put_bucket_acl, Bucket=bucket, ACL="public-read")
    assert may(people.nobody.get_object, Bucket=bucket, Key="k")
    alice.put_public_access_block(Bucket=bucket, PublicAccessBlockConfiguration={"IgnorePublicAcls": True})
    assert not may(people.nobody.get_object, Bucket=bucket, Key="k")
    alice.delete_public_access_block(Bucket=bucket)
    assert may(people.nobody.get_object, Bucket=bucket, Key="k")


def test_what_is_not_there_is_a_secret(people: People, bucket: str) -> None:
    """Who may not list a bucket learns nothing of which keys there are: 403, not 404."""
    assert not may(people.nobody.get_object, Bucket=bucket, Key="absent")
    assert not may(people.bob.head_object, Bucket=bucket, Key="absent")
    people.alice.put_bucket_acl(Bucket=bucket, ACL="public-read")
    for who in people:
        with pytest.raises(ClientError, match="NoSuchKey"):
            who.get_object(Bucket=bucket, Key="absent")
    people.alice.put_bucket_acl(Bucket=bucket, ACL="private")
    policy = f'{{"Statement": {{"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", \
"Resource": "arn:aws:s3:::{bucket}/*"}}}}'
    people.alice.put_bucket_policy(Bucket=bucket, Policy=policy)
    assert not may(people.nobody.get_object, Bucket=bucket, Key="absent")


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"x-amz-acl": "public"}, "InvalidArgument"),
        ({"x-amz-grant-read": "bob"}, "InvalidArgument"),
        ({"x-amz-grant-read": 'id="nobody-knows"'}, "InvalidArgument"),
        ({"x-amz-grant-read": 'uri="http://example.com/everybody"'}, "InvalidArgument"),
        ({"x-amz-grant-read": 'emailAddress="bob@example.com"'}, "UnresolvableGrantByEmailAddress"),
        ({"x-amz-grant-read": 'id="bob"', "x-amz-acl": "private"}, "InvalidRequest"),
    ],
)
def test_lists_refused(s3: Access, people: People, bucket: str, headers: dict[str, str], expected: str) -> None:
    """A list that makes no sense is refused before anything is stored."""
    answer = call(s3, "PUT", f"/{bucket}/k", headers=headers, body=b"x")
    assert (answer.status, code(answer)) == (400, expected)
    assert "Contents" not in people.alice.list_objects_v2(Bucket=bucket)


def test_the_requester_pays(people: People, bucket: str) -> None:
    """Others than the owner must say that they know who pays, and nobody in particular cannot."""
    people.alice.put_object(Bucket=bucket, Key="k", Body=b"x", ACL="public-read")
    people.alice.put_bucket_request_payment(Bucket=bucket, RequestPaymentConfiguration={"Payer": "Requester"})
    assert may(people.alice.get_object, Bucket=bucket, Key="k")
    assert not may(people.bob.get_object, Bucket=bucket, Key="k")
    assert may(people.bob.get_object, Bucket=bucket, Key="k", RequestPayer="requester")
    assert not may(people.nobody.get_object, Bucket=bucket, Key="k", RequestPayer="requester")


def test_rights_to_tag_and_to_copy(people: People, bucket: str) -> None:
    """A policy that lets write does not let tag; a copy needs the right to read what it copies, and its tags."""

    def allow(*actions: str) -> None:
        body = '{"Statement": {"Effect": "Allow", "Principal": {"AWS": "bob"}, "Action": [%s], "Resource": "%s"}}'
        listed = ", ".join(f'"s3:{action}"' for action in actions)
        people.alice.put_bucket_policy(Bucket=bucket, Policy=body % (listed, f"arn:aws:s3:::{bucket}/*"))

    people.alice.put_object(Bucket=bucket, Key="source", Body=b"x", Tagging="a=1")
    copy: dict[str, Any] = {"Bucket": bucket, "Key": "copy", "CopySource": f"{bucket}/source"}
    allow("PutObject")
    assert may(people.bob.put_object, Bucket=bucket, Key="new", Body=b"x")
    assert not may(people.bob.put_object, Bucket=bucket, Key="new", Body=b"x", Tagging="a=1")
    assert not may(people.bob.copy_object, **copy)
    allow("PutObject", "GetObject")
    assert not may(people.bob.copy_object, **copy)
    assert may(people.bob.copy_object, **copy, TaggingDirective="REPLACE")
    allow("PutObject", "GetObject", "GetObjectTagging", "PutObjectTagging")
    assert may(people.bob.copy_object, **copy)
