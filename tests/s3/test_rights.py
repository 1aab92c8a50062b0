"""Who may do what: every operation on a bucket x all that can allow or deny it x everybody who could ask.

What is expected comes from `harness.s3rights`. A request is one that changes nothing that counts when it is allowed: a
document that is none, an upload that does not exist. So "allowed" is any answer but AccessDenied. By day every twelfth
cell is asked, every fifth of what lists can allow; `S3_FULL=1` for all.
"""

import gzip
import json
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import boto3
import botocore
import pytest
from harness.s3access import REGION, Access, boto, new_access, remove_bucket
from harness.s3raw import Request, code, md5_of, send, sign
from harness.s3rights import ANY_USER, EVERYBODY, OF_BUCKETS, OF_OBJECTS, Grants, Place, Statements, Who, may
from harness.wire import fresh_name

from ais.s3.operations import Op
from ais.testing import Cluster

STEP = 1 if os.environ.get("S3_FULL") else 12
_FOLDER = max((Path(botocore.__file__).parent / "data" / "s3").iterdir())
OPERATIONS = json.loads(gzip.decompress((_FOLDER / "service-2.json.gz").read_bytes()))["operations"]
NOT_OF_A_BUCKET = {"ListBuckets", "CreateBucket", "ListDirectoryBuckets", "WriteGetObjectResponse"}
TWO_RIGHTS = {"CopyObject", "UploadPartCopy"}
"""Reading the source too: `test_access`."""
NEEDED = {
    **{f"{verb}ObjectLockConfiguration": f"{verb}BucketObjectLockConfiguration" for verb in ("Get", "Put")},
    **{f"{verb}PublicAccessBlock": f"{'Get' if verb == 'Get' else 'Put'}BucketPublicAccessBlock"
       for verb in ("Get", "Put", "Delete")},
    **dict.fromkeys(("HeadBucket", "ListObjects", "ListObjectsV2"), "ListBucket"),
    **{f"{verb}BucketCors": f"{'Get' if verb == 'Get' else 'Put'}BucketCORS" for verb in ("Get", "Put", "Delete")},
    "ListObjectVersions": "ListBucketVersions",
    "ListMultipartUploads": "ListBucketMultipartUploads",
    "ListParts": "ListMultipartUploadParts",
    "GetBucketLifecycleConfiguration": "GetLifecycleConfiguration",
    "PutBucketLifecycleConfiguration": "PutLifecycleConfiguration",
    "DeleteBucketLifecycle": "PutLifecycleConfiguration",
    "GetBucketNotificationConfiguration": "GetBucketNotification",
    "PutBucketNotificationConfiguration": "PutBucketNotification",
    "DeleteBucketTagging": "PutBucketTagging",
    "DeleteBucketOwnershipControls": "PutBucketOwnershipControls",
    **dict.fromkeys(("CreateMultipartUpload", "UploadPart", "CompleteMultipartUpload"), "PutObject"),
    "HeadObject": "GetObject",
    "DeleteObjects": "DeleteObject",
    "GetBucketMetadataConfiguration": "GetBucketMetadataTableConfiguration",
}  # fmt: skip
"""Where an operation needs another right than one of its own name (Service Authorization Reference, "Amazon S3")."""
for _short, _long in (
    ("Accelerate", "Accelerate"), ("Analytics", "Analytics"), ("Encryption", "Encryption"),
    ("IntelligentTiering", "IntelligentTiering"), ("Inventory", "Inventory"), ("Metrics", "Metrics"),
    ("Replication", "Replication"),
):  # fmt: skip
    for _verb in ("Get", "Put", "Delete", "List"):
        for _name in (f"{_verb}Bucket{_short}", f"{_verb}Bucket{_short}Configuration",
                      f"{_verb}Bucket{_short}Configurations"):  # fmt: skip
            NEEDED[_name] = f"{'Get' if _verb in ('Get', 'List') else 'Put'}{_long}Configuration"
OF_ABSENT = {"PutObject", "DeleteObject", "DeleteObjects", "CreateMultipartUpload", "UploadPart",
             "CompleteMultipartUpload", "AbortMultipartUpload", "ListParts"}  # fmt: skip
"""Asked of a key that nothing is at."""


class Case(NamedTuple):
    """One operation, and what its right is called."""

    operation: str
    action: str
    request: Request
    is_of_object: bool

    def resource(self, bucket: str) -> str:
        """As policies name it."""
        arn = f"arn:aws:s3:::{bucket}"
        return f"{arn}/{'new' if self.operation in OF_ABSENT else 'k'}" if self.is_of_object else arn


def cases() -> list[Case]:
    """Every operation of the model that we serve and that is about one bucket."""
    found = []
    served = {op.value for op in Op}
    for name, operation in sorted(OPERATIONS.items()):
        if name not in served or name in NOT_OF_A_BUCKET | TWO_RIGHTS:
            continue
        path, _, query = operation["http"]["requestUri"].partition("?")
        key = "new" if name in OF_ABSENT else "k"
        request = Request(operation["http"]["method"], path.replace("{Key+}", key), query)
        if name in ("UploadPart", "CompleteMultipartUpload", "AbortMultipartUpload", "ListParts"):
            request.query = "uploadId=none" + "&partNumber=1" * (name == "UploadPart")
        elif "Id" in operation["input"]["shape"] or name.endswith(("AnalyticsConfiguration", "InventoryConfiguration",
                                         "MetricsConfiguration", "TieringConfiguration")):  # fmt: skip
            request.query = f"{query}&id=x"
        if name == "GetObjectAttributes":
            request.headers["x-amz-object-attributes"] = "ETag"
        if request.method in ("PUT", "POST"):
            request.body = b"not a document"
        if name == "DeleteObjects":  # rights are asked for each key
            request.body = b"<Delete><Object><Key>new</Key></Object></Delete>"
            request.headers |= md5_of(request.body)
        action = f"s3:{NEEDED.get(name, name)}"
        of_object = "{Key+}" in path or name == "DeleteObjects"
        found.append(Case(name, action, request, of_object))
    return found


class Caller(NamedTuple):
    """Somebody, with what to sign with: None for an anonymous caller."""

    who: Who
    access: Access | None
    token: str = ""


class Grant(NamedTuple):
    """One way in which something can be allowed or denied: who has which statement, and what stands in the lists."""

    name: str
    policy: tuple[tuple[str, str], ...] = ()
    """Effect and principal, of the bucket's policy."""
    own: tuple[tuple[str, str], ...] = ()
    """Effect and whose: `amy`, `eve` or `job`."""
    lists: Grants = ()


class World:
    """A bucket of alice's with an object, and everybody."""

    def __init__(self, s3: Access, cluster: Cluster) -> None:
        self.bucket = fresh_name("rights")
        bob = new_access(cluster, "bob")
        self.alice = boto(s3)
        self._iam = {"amy": _service("iam", s3), "job": _service("iam", s3), "eve": _service("iam", bob)}
        digits = {"alice": self._digits(s3), "bob": self._digits(bob)}
        self.arns = {f"{name}'s": f"arn:aws:iam::{of}:root" for name, of in digits.items()}
        self.arns |= {"all": "*"}
        self.callers: dict[str, Caller] = {"nobody": Caller(Who(), None)}
        for name, account, access in (("amy", "alice", s3), ("eve", "bob", bob)):
            self._iam[name].create_user(UserName=name)
            key = self._iam[name].create_access_key(UserName=name)["AccessKey"]
            arn = self.arns[name] = f"arn:aws:iam::{digits[account]}:user/{name}"
            who = Who(account, self.arns[f"{account}'s"], frozenset([arn]), ())
            self.callers[name] = Caller(who, Access(access.url, key["AccessKeyId"], key["SecretAccessKey"]))
        self._add_sessions(s3, digits["alice"])
        for name, access in (("bob", bob), ("alice", s3)):
            self.callers[name] = Caller(Who(name, self.arns[f"{name}'s"], frozenset()), access)
        self.alice.create_bucket(Bucket=self.bucket, ObjectOwnership="ObjectWriter")
        self.alice.delete_public_access_block(Bucket=self.bucket)
        self.alice.put_object(Bucket=self.bucket, Key="k", Body=b"x")

    def _add_sessions(self, s3: Access, digits: str) -> None:
        trust = [{"Effect": "Allow", "Principal": {"AWS": digits}, "Action": "sts:AssumeRole"}]
        self._iam["job"].create_role(RoleName="job", AssumeRolePolicyDocument=_document(trust))
        arn = self.arns["job"] = f"arn:aws:iam::{digits}:role/job"
        limits = [{"Effect": "Allow", "Action": ["s3:Get*", "s3:List*"], "Resource": ["*"]}]
        for name, given in (("job", None), ("narrowed", limits)):
            more = {"Policy": _document(given)} if given else {}
            made = _service("sts", s3).assume_role(RoleArn=arn, RoleSessionName=name, **more)["Credentials"]
            session = f"arn:aws:sts::{digits}:assumed-role/job/{name}"
            who = Who("alice", self.arns["alice's"], frozenset([arn, session]), (), given)
            access = Access(s3.url, made["AccessKeyId"], made["SecretAccessKey"])
            self.callers[name] = Caller(who, access, made["SessionToken"])

    @staticmethod
    def _digits(access: Access) -> str:
        return str(_service("sts", access).get_caller_identity()["Account"])

    def statements(self, given: tuple[tuple[str, str], ...], case: Case) -> list[dict[str, Any]]:
        """Of the bucket's policy."""
        named = [(effect, {"Principal": {"AWS": [self.arns[principal]]}}) for effect, principal in given]
        return [{"Effect": effect, **principal, **self._about(case)} for effect, principal in named]

    def _about(self, case: Case) -> dict[str, Any]:
        return {"Action": [case.action], "Resource": [case.resource(self.bucket)]}

    def own(self, grant: Grant, case: Case, holder: str) -> list[dict[str, Any]]:
        """Of a user or a role."""
        return [{"Effect": effect, **self._about(case)} for effect, whose in grant.own if whose == holder]

    def set(self, grant: Grant, case: Case) -> None:
        """Make it so."""
        if statements := self.statements(grant.policy, case):
            self.alice.put_bucket_policy(Bucket=self.bucket, Policy=_document(statements))
        for holder in {whose for _, whose in grant.own}:
            kind = "role" if holder == "job" else "user"
            put = getattr(self._iam[holder], f"put_{kind}_policy")
            given = _document(self.own(grant, case, holder))
            put(**{f"{kind.capitalize()}Name": holder}, PolicyName="own", PolicyDocument=given)

    def reset(self, grant: Grant) -> None:
        """Take it back."""
        if grant.policy:
            self.alice.delete_bucket_policy(Bucket=self.bucket)
        for holder in {whose for _, whose in grant.own}:
            kind = "role" if holder == "job" else "user"
            delete = getattr(self._iam[holder], f"delete_{kind}_policy")
            delete(**{f"{kind.capitalize()}Name": holder}, PolicyName="own")

    def set_lists(self, grants: Grants) -> None:
        """The lists of the bucket and of the object: what its owner has, and these."""
        uris = {EVERYBODY: "http://acs.amazonaws.com/groups/global/AllUsers",
                ANY_USER: "http://acs.amazonaws.com/groups/global/AuthenticatedUsers"}  # fmt: skip
        given: dict[str, list[str]] = {"FULL_CONTROL": ["id=alice"]}
        for permission, grantee in grants:
            text = f"uri={uris[grantee]}" if grantee in uris else f"id={grantee}"
            given.setdefault(permission, []).append(text)
        named = {"FULL_CONTROL": "GrantFullControl", "READ": "GrantRead", "WRITE": "GrantWrite",
                 "READ_ACP": "GrantReadACP", "WRITE_ACP": "GrantWriteACP"}  # fmt: skip
        headers = {named[permission]: ",".join(who) for permission, who in given.items()}
        self.alice.put_bucket_acl(Bucket=self.bucket, **headers)
        headers.pop("GrantWrite", None)
        self.alice.put_object_acl(Bucket=self.bucket, Key="k", **headers)

    def ask(self, caller: Caller, case: Case) -> str:
        """The code of the answer, or its status."""
        one = case.request
        request = Request(one.method, one.path.replace("{Bucket}", self.bucket), one.query, dict(one.headers), one.body)
        if caller.token:
            request.headers["x-amz-security-token"] = caller.token
        if caller.access is not None:
            sign(request, caller.access)
        answer = send(caller.access or self.callers["alice"].access, request)  # type: ignore[arg-type]
        if answer.status == 403 and one.method == "HEAD":
            return "AccessDenied"
        return code(answer) or str(answer.status)

    def expected(self, name: str, caller: Caller, grant: Grant, case: Case) -> bool:
        """By the reference."""
        holder = "job" if name == "narrowed" else name
        own = self.own(grant, case, holder) if caller.who.own is not None else None
        lists = (("FULL_CONTROL", "alice"), *grant.lists)
        is_there = case.is_of_object and case.operation not in OF_ABSENT
        place = Place("alice", self.statements(grant.policy, case), lists, lists if is_there else None)
        return may(caller.who._replace(own=own), place, case.action, case.resource(self.bucket))

    def close(self) -> None:
        """Remove all of it."""
        remove_bucket(self.alice, self.bucket)
        for name in ("amy", "eve"):
            key = self.callers[name].access
            assert key is not None
            self._iam[name].delete_access_key(UserName=name, AccessKeyId=key.key_id)
            self._iam[name].delete_user(UserName=name)
        self._iam["job"].delete_role(RoleName="job")


def _service(name: str, access: Access) -> Any:
    return boto3.client(name, endpoint_url=access.url, region_name=REGION, aws_access_key_id=access.key_id,
                        aws_secret_access_key=access.secret)  # fmt: skip


def _document(statements: Statements) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


@pytest.fixture(scope="module")
def world(s3: Access, s3_cluster: Cluster) -> Iterator[World]:
    made = World(s3, s3_cluster)
    yield made
    made.close()


BY_POLICY = [
    Grant("nothing"),
    Grant("the bucket allows everybody", policy=(("Allow", "all"),)),
    Grant("the bucket allows bob's account", policy=(("Allow", "bob's"),)),
    Grant("the bucket allows amy", policy=(("Allow", "amy"),)),
    Grant("the bucket allows the role", policy=(("Allow", "job"),)),
    Grant("the bucket denies all, allows all", policy=(("Allow", "all"), ("Deny", "all"))),
    Grant("amy's own policy", own=(("Allow", "amy"),)),
    Grant("amy's own against the bucket's", policy=(("Deny", "amy"),), own=(("Allow", "amy"),)),
    Grant("amy's own denies", policy=(("Allow", "all"),), own=(("Deny", "amy"), ("Allow", "amy"))),
    Grant("eve's own policy alone", own=(("Allow", "eve"),)),
    Grant("eve's own, and her account in the bucket's", policy=(("Allow", "bob's"),), own=(("Allow", "eve"),)),
    Grant("the role's own policy", own=(("Allow", "job"),)),
    Grant("the role's own denies", policy=(("Allow", "job"),), own=(("Deny", "job"),)),
]
BY_LISTS = [
    Grant(f"{permission} of {grantee}", lists=((permission, grantee),))
    for permission in ("READ", "WRITE", "READ_ACP", "WRITE_ACP", "FULL_CONTROL")
    for grantee in ("bob", EVERYBODY, ANY_USER)
]


def wrong(world: World, grant: Grant, case: Case, count: Counter[bool]) -> list[str]:
    """What is not as the reference says."""
    found = []
    for name, caller in world.callers.items():  # alice, who may take the policy away, is the last
        answer, expected = world.ask(caller, case), world.expected(name, caller, grant, case)
        count[expected] += 1
        if (answer != "AccessDenied") is not expected:
            found.append(f"{case.operation} ({case.action}), {grant.name}, {name}: {answer}, expected {expected}")
        if expected and case.operation == "DeleteBucketPolicy":
            world.set(grant, case)
    return found


def test_by_policies(world: World) -> None:
    """Policies of the bucket, of users, of a role and of a narrowed session."""
    found, count = [], Counter[bool]()
    asked = [(case, grant) for case in cases() for grant in BY_POLICY][::STEP]
    for case, grant in asked:
        world.set(grant, case)
        found += wrong(world, grant, case, count)
        world.reset(grant)
    print(f"\n{len(asked)} cells of {len(cases())} operations, {count[True]} requests allowed, {count[False]} refused")
    assert not found, "\n".join(found)


def test_by_lists(world: World) -> None:
    """Grants of the bucket and the object to an account, to everybody and to everybody known; operations that no list
    allows are asked too."""
    found, count, listed = [], Counter[bool](), set().union(*OF_BUCKETS.values(), *OF_OBJECTS.values())
    for turn, grant in enumerate(BY_LISTS):
        world.set_lists(grant.lists)
        for place, case in enumerate(cases()):
            if (turn + place) % (min(STEP, 5) if case.action in listed else STEP) == 0:
                found += wrong(world, grant, case, count)
    world.set_lists(())
    print(f"\n{len(BY_LISTS)} lists, {count[True]} requests allowed, {count[False]} refused")
    assert not found, "\n".join(found)
