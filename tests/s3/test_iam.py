"""IAM and STS on the port of S3, by boto3: users, groups, roles, policies, sessions, and what they may do."""

import json
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

import boto3
import pytest
import requests
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import ClientError
from harness import issuer as issuers
from harness.issuer import Issuer
from harness.nodes import eventually
from harness.replicating import local, replicate, rule
from harness.s3access import REGION, Access, boto, new_access, remove_bucket
from harness.wire import fresh_name, message

from ais.playground import probe
from ais.testing import Cluster

Client = Any


class Account(NamedTuple):
    """The root of an account, its clients, its ID, and a bucket of its."""

    access: Access
    iam: Client
    sts: Client
    s3: Client
    digits: str
    bucket: str

    def arn(self, name: str) -> str:
        """Of something of the account: `user/amy`."""
        return f"arn:aws:iam::{self.digits}:{name}"


def client(service: str, access: Access, credentials: dict[str, str] | None = None, **config: Any) -> Client:
    """A client of a service with an access key, or with the credentials that an answer gave."""
    given = credentials or {"AccessKeyId": access.key_id, "SecretAccessKey": access.secret}
    return boto3.client(
        service, endpoint_url=access.url, region_name=REGION, aws_access_key_id=given["AccessKeyId"],
        aws_secret_access_key=given["SecretAccessKey"], aws_session_token=given.get("SessionToken"), verify=access.ca,
        config=Config(retries={"total_max_attempts": 1}, **config),
    )  # fmt: skip


def allow(actions: str | list[str], resources: str | list[str], effect: str = "Allow", **more: Any) -> dict[str, Any]:
    return {"Effect": effect, "Action": actions, "Resource": resources, **more}


def document(*statements: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def outcome(call: Callable[[], Any]) -> str:
    """The code of an error; `ok` when there is none."""
    try:
        call()
    except ClientError as error:
        return str(error.response["Error"]["Code"])
    return "ok"


def sweep(iam: Client) -> None:
    """Remove everything that an account has made."""
    for user in iam.list_users()["Users"]:
        name = user["UserName"]
        for key in iam.list_access_keys(UserName=name)["AccessKeyMetadata"]:
            iam.delete_access_key(UserName=name, AccessKeyId=key["AccessKeyId"])
        for group in iam.list_groups_for_user(UserName=name)["Groups"]:
            iam.remove_user_from_group(GroupName=group["GroupName"], UserName=name)
    for kind in ("User", "Group", "Role"):
        for one in getattr(iam, f"list_{kind.lower()}s")()[f"{kind}s"]:
            named = {f"{kind}Name": one[f"{kind}Name"]}
            lower = kind.lower()
            for policy in getattr(iam, f"list_{lower}_policies")(**named)["PolicyNames"]:
                getattr(iam, f"delete_{lower}_policy")(**named, PolicyName=policy)
            for policy in getattr(iam, f"list_attached_{lower}_policies")(**named)["AttachedPolicies"]:
                getattr(iam, f"detach_{lower}_policy")(**named, PolicyArn=policy["PolicyArn"])
            getattr(iam, f"delete_{lower}")(**named)
    for policy in iam.list_policies(Scope="Local")["Policies"]:
        iam.delete_policy(PolicyArn=policy["Arn"])


@pytest.fixture
def account(s3: Access) -> Iterator[Account]:
    """Alice's, with a bucket that holds `k`."""
    sts, s3_client, bucket = client("sts", s3), boto(s3), fresh_name("iam")
    s3_client.create_bucket(Bucket=bucket)
    s3_client.put_object(Bucket=bucket, Key="k", Body=b"content")
    made = Account(s3, client("iam", s3), sts, s3_client, sts.get_caller_identity()["Account"], bucket)
    yield made
    s3_client.delete_bucket_policy(Bucket=bucket)
    remove_bucket(s3_client, bucket)
    sweep(made.iam)


def user(account: Account, name: str, *statements: dict[str, Any]) -> Access:
    """An access key of a new user with an inline policy."""
    account.iam.create_user(UserName=name)
    if statements:
        account.iam.put_user_policy(UserName=name, PolicyName="own", PolicyDocument=document(*statements))
    key = account.iam.create_access_key(UserName=name)["AccessKey"]
    return Access(account.access.url, key["AccessKeyId"], key["SecretAccessKey"], account.access.ca)


def assume(account: Account, sts: Client, role: str, **more: Any) -> dict[str, str]:
    """Credentials of a session in a role."""
    found = sts.assume_role(RoleArn=account.arn(f"role/{role}"), RoleSessionName="job", **more)
    credentials: dict[str, str] = found["Credentials"]
    return credentials


def test_who_am_i(account: Account) -> None:
    """Roots, users and sessions of roles learn who they are, also from a presigned URL, without any right."""
    assert account.sts.get_caller_identity()["Arn"] == account.arn("root")
    amy = user(account, "amy")
    assert client("sts", amy).get_caller_identity()["Arn"] == account.arn("user/amy")
    url = client("sts", amy).generate_presigned_url("get_caller_identity", HttpMethod="GET")
    assert account.arn("user/amy") in requests.get(url, timeout=10, verify=amy.ca or True).text
    trust = {"Effect": "Allow", "Principal": {"AWS": account.arn("user/amy")}, "Action": "sts:AssumeRole"}
    account.iam.create_role(RoleName="reader", AssumeRolePolicyDocument=document(trust))
    held = client("sts", amy, assume(account, client("sts", amy), "reader")).get_caller_identity()
    assert held["Arn"] == f"arn:aws:sts::{account.digits}:assumed-role/reader/job"
    assert held["Account"] == account.digits


def test_users_do_what_policies_say(account: Account) -> None:
    """Inline, managed and group policies add up, a Deny wins, and what nobody allows is refused; lists too."""
    everything = f"arn:aws:s3:::{account.bucket}/*"
    amy = user(account, "amy", allow("s3:GetObject", everything))
    s3 = boto(amy)
    get = partial(s3.get_object, Bucket=account.bucket, Key="k")
    put = partial(s3.put_object, Bucket=account.bucket, Key="new", Body=b"x")
    assert (outcome(get), outcome(put), outcome(s3.list_buckets)) == ("ok", "AccessDenied", "AccessDenied")
    assert outcome(partial(s3.create_bucket, Bucket=fresh_name("iam"))) == "AccessDenied"
    assert outcome(partial(s3.delete_bucket_policy, Bucket=account.bucket)) == "AccessDenied"
    arn = account.iam.create_policy(PolicyName="writer", PolicyDocument=document(allow("s3:Put*", everything)))[
        "Policy"
    ]["Arn"]
    account.iam.attach_user_policy(UserName="amy", PolicyArn=arn)
    assert outcome(put) == "ok"
    account.iam.create_group(GroupName="staff")
    account.iam.add_user_to_group(GroupName="staff", UserName="amy")
    account.iam.put_group_policy(
        GroupName="staff", PolicyName="p", PolicyDocument=document(allow("s3:ListAllMyBuckets", "*"))
    )
    assert account.bucket in [one["Name"] for one in s3.list_buckets()["Buckets"]]
    account.iam.put_group_policy(
        GroupName="staff", PolicyName="d", PolicyDocument=document(allow("s3:PutObject", "*", "Deny"))
    )
    assert outcome(put) == "AccessDenied"
    account.iam.delete_group_policy(GroupName="staff", PolicyName="d")
    account.iam.create_policy_version(
        PolicyArn=arn, PolicyDocument=document(allow("s3:GetObjectAcl", everything)), SetAsDefault=True
    )
    assert outcome(put) == "AccessDenied"
    account.iam.set_default_policy_version(PolicyArn=arn, VersionId="v1")
    account.iam.delete_policy_version(PolicyArn=arn, VersionId="v2")
    assert outcome(put) == "ok"


def test_what_users_make_is_the_accounts(account: Account) -> None:
    """A bucket and objects that a user makes belong to the account; the root reads and removes them."""
    amy = user(account, "amy", allow("s3:*", "*"))
    name = fresh_name("iam")
    boto(amy).create_bucket(Bucket=name)
    boto(amy).put_object(Bucket=name, Key="a", Body=b"1")
    assert account.s3.get_object(Bucket=name, Key="a")["Body"].read() == b"1"
    assert name in [one["Name"] for one in account.s3.list_buckets()["Buckets"]]
    boto(amy).delete_object(Bucket=name, Key="a")
    account.s3.delete_bucket(Bucket=name)


def test_bucket_policies_and_users(account: Account) -> None:
    """A bucket's policy gives to a user by name, not by naming their account; its Deny binds them."""
    amy = user(account, "amy")
    get = partial(boto(amy).get_object, Bucket=account.bucket, Key="k")
    said = {"Effect": "Allow", "Action": "s3:GetObject", "Resource": f"arn:aws:s3:::{account.bucket}/*"}
    for principal, expected in (
        (account.digits, "AccessDenied"),
        (account.arn("root"), "AccessDenied"),
        ("arn:aws:iam::123456789012:user/amy", "AccessDenied"),
        (account.arn("user/amy"), "ok"),
    ):
        policy = document({**said, "Principal": {"AWS": principal}})
        account.s3.put_bucket_policy(Bucket=account.bucket, Policy=policy)
        assert outcome(get) == expected, principal
    account.iam.put_user_policy(UserName="amy", PolicyName="all", PolicyDocument=document(allow("s3:*", "*")))
    account.s3.put_bucket_policy(
        Bucket=account.bucket, Policy=document({**said, "Effect": "Deny", "Principal": {"AWS": account.digits}})
    )
    assert outcome(get) == "AccessDenied"


def test_other_accounts(account: Account, s3_cluster: Cluster) -> None:
    """Of another account's bucket a user needs both: its policy, and one of their own."""
    carol = new_access(s3_cluster, "carol")
    theirs = fresh_name("iam")
    boto(carol).create_bucket(Bucket=theirs)
    boto(carol).put_object(Bucket=theirs, Key="k", Body=b"carol's")
    amy = user(account, "amy")
    get = partial(boto(amy).get_object, Bucket=theirs, Key="k")
    statement = {"Effect": "Allow", "Action": "s3:GetObject", "Resource": f"arn:aws:s3:::{theirs}/*"}
    given = document({**statement, "Principal": {"AWS": account.digits}})
    assert outcome(get) == "AccessDenied"
    account.iam.put_user_policy(UserName="amy", PolicyName="p", PolicyDocument=document(allow("s3:*", "*")))
    assert outcome(get) == "AccessDenied"
    boto(carol).put_bucket_policy(Bucket=theirs, Policy=given)
    assert outcome(get) == "ok"
    account.iam.delete_user_policy(UserName="amy", PolicyName="p")
    assert outcome(get) == "AccessDenied"
    assert outcome(partial(account.s3.get_object, Bucket=theirs, Key="k")) == "ok"
    assert outcome(partial(client("iam", carol).get_user, UserName="amy")) == "NoSuchEntity"
    remove_bucket(boto(carol), theirs)


def test_variables_and_conditions(account: Account) -> None:
    """A policy for everybody gives each user a folder of their own."""
    home = allow("s3:*", f"arn:aws:s3:::{account.bucket}/home/${{aws:username}}/*")
    listing = allow(
        "s3:ListBucket",
        f"arn:aws:s3:::{account.bucket}",
        Condition={"StringLike": {"s3:prefix": "home/${aws:username}/*"}},
    )
    amy = boto(user(account, "amy", home, listing))
    put = partial(amy.put_object, Bucket=account.bucket, Body=b"x")
    assert (outcome(partial(put, Key="home/amy/a")), outcome(partial(put, Key="home/eve/a"))) == ("ok", "AccessDenied")
    assert outcome(partial(amy.list_objects_v2, Bucket=account.bucket, Prefix="home/amy/x")) == "ok"
    assert outcome(partial(amy.list_objects_v2, Bucket=account.bucket)) == "AccessDenied"
    wrong = document(allow("s3:*", "arn:aws:s3:::b/${aws:PrincipalTag/team}/*"))
    put_policy = partial(account.iam.put_user_policy, UserName="amy", PolicyName="x")
    assert outcome(partial(put_policy, PolicyDocument=wrong)) == "MalformedPolicyDocument"


def test_conditions_on_what_documents_say(account: Account) -> None:
    """Modes of retention, holds, versions to delete or to copy are those of the request, whatever headers claim."""
    locked, s3 = fresh_name("iam"), account.s3
    s3.create_bucket(Bucket=locked, ObjectLockEnabledForBucket=True)
    place = {"Bucket": locked, "Key": "k"}
    version = {**place, "VersionId": s3.put_object(**place, Body=b"x")["VersionId"]}
    everything = [f"arn:aws:s3:::{locked}", f"arn:aws:s3:::{locked}/*"]
    equals = {"Condition": {"StringEquals": {"s3:object-lock-mode": "GOVERNANCE"}}}
    off = {"Condition": {"StringEquals": {"s3:object-lock-legal-hold": "OFF"}}}
    of_version = {"Condition": {"StringEquals": {"s3:VersionId": version["VersionId"]}}}
    of_source = {"Condition": {"StringLike": {"s3:x-amz-copy-source": f"{locked}/secret/*"}}}
    amy = boto(
        user(
            account, "amy",
            allow("s3:PutObjectRetention", everything, **equals),
            allow(["s3:PutObjectLegalHold", "s3:*Object", "s3:*Version", "s3:ListBucket"], everything),
            allow("s3:PutObjectLegalHold", everything, "Deny", **off),
            allow(["s3:DeleteObjectVersion", "s3:GetObjectVersion"], everything, "Deny", **of_version),
            allow("s3:PutObject", everything, "Deny", **of_source),
        )
    )  # fmt: skip

    def claim(request: Any, **_: Any) -> None:
        request.headers["x-amz-object-lock-mode"] = "GOVERNANCE"
        request.headers["x-amz-object-lock-legal-hold"] = "ON"

    for operation in ("PutObjectRetention", "PutObjectLegalHold"):
        amy.meta.events.register(f"before-sign.s3.{operation}", claim)
    until = "2099-01-01T00:00:00Z"
    for mode, expected in (("COMPLIANCE", "AccessDenied"), ("GOVERNANCE", "ok")):
        retention = {"Mode": mode, "RetainUntilDate": until}
        assert outcome(partial(amy.put_object_retention, **place, Retention=retention)) == expected
    for status, expected in (("ON", "ok"), ("OFF", "AccessDenied")):
        assert outcome(partial(amy.put_object_legal_hold, **place, LegalHold={"Status": status})) == expected
    held = {name: version[name] for name in ("Key", "VersionId")}
    answer = amy.delete_objects(Bucket=locked, Delete={"Objects": [held]})
    assert "denied by a policy of" in answer["Errors"][0]["Message"]
    for key in ("a", "b", "c", "d"):  # some are on the source's target, some on another
        copy = partial(amy.copy_object, Bucket=locked, Key=key)
        assert outcome(partial(copy, CopySource=version)) == "AccessDenied"
        assert outcome(partial(copy, CopySource=place)) == "ok"
    s3.put_object(Bucket=locked, Key="secret/k", Body=b"x")
    for source in ("secret/k", "%73ecret/k", "secret%2Fk"):

        def name(request: Any, *, source: str = source, **_: Any) -> None:
            del request.headers["x-amz-copy-source"]
            request.headers["x-amz-copy-source"] = f"{locked}/{source}"

        amy.meta.events.register("before-sign.s3.CopyObject", name)
        assert outcome(partial(amy.copy_object, Bucket=locked, Key="e", CopySource=place)) == "AccessDenied", source


def test_roles(account: Account) -> None:
    """A role is assumed by whom it trusts, does what its policies say, and less when the session is narrowed."""
    amy = user(account, "amy")
    trust = {"Effect": "Allow", "Principal": {"AWS": account.digits}, "Action": "sts:AssumeRole"}
    condition = {"StringEquals": {"sts:ExternalId": "42"}}
    account.iam.create_role(RoleName="reader", AssumeRolePolicyDocument=document({**trust, "Condition": condition}))
    account.iam.put_role_policy(
        RoleName="reader", PolicyName="p", PolicyDocument=document(allow(["s3:GetObject", "s3:PutObject"], "*"))
    )
    become = partial(assume, account, client("sts", amy), "reader", ExternalId="42")
    assert outcome(become) == "AccessDenied"  # the account is trusted, and nobody in it gave amy the right
    account.iam.put_user_policy(
        UserName="amy", PolicyName="p", PolicyDocument=document(allow("sts:AssumeRole", account.arn("role/reader")))
    )
    assert outcome(partial(assume, account, client("sts", amy), "reader")) == "AccessDenied"
    s3 = client("s3", amy, become())
    get, put = (partial(call, Bucket=account.bucket, Key="k") for call in (s3.get_object, s3.put_object))
    assert (outcome(get), outcome(put), outcome(s3.list_buckets)) == ("ok", "ok", "AccessDenied")
    narrowed = client("s3", amy, become(Policy=document(allow("s3:Get*", "*"))))
    assert outcome(partial(narrowed.get_object, Bucket=account.bucket, Key="k")) == "ok"
    assert outcome(partial(narrowed.put_object, Bucket=account.bucket, Key="k")) == "AccessDenied"
    arn = {"arn": "arn:aws:iam::aws:policy/AmazonS3ReadOnlyAccess"}
    narrowed = client("s3", amy, become(PolicyArns=[arn]))
    assert outcome(partial(narrowed.put_object, Bucket=account.bucket, Key="k")) == "AccessDenied"
    account.iam.delete_role_policy(RoleName="reader", PolicyName="p")
    assert outcome(get) == "AccessDenied"
    account.iam.delete_role(RoleName="reader")
    assert outcome(get) == "InvalidToken"


def test_sessions_everywhere(account: Account) -> None:
    """Session credentials sign headers, URLs of both versions, forms, copies, deletes of many and uploads in parts."""
    amy = user(account, "amy", allow("s3:*", "*"))
    credentials = client("sts", amy).get_session_token(DurationSeconds=900)["Credentials"]
    s3 = client("s3", amy, credentials)
    bucket, verify = account.bucket, amy.ca or True
    s3.copy_object(Bucket=bucket, Key="copy", CopySource=f"{bucket}/k")
    assert s3.get_object(Bucket=bucket, Key="copy")["Body"].read() == b"content"
    upload = s3.create_multipart_upload(Bucket=bucket, Key="parts")["UploadId"]
    part = s3.upload_part(Bucket=bucket, Key="parts", UploadId=upload, PartNumber=1, Body=b"part")["ETag"]
    s3.complete_multipart_upload(
        Bucket=bucket, Key="parts", UploadId=upload, MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": part}]}
    )
    for version in ("s3v4", "s3"):
        signer = client("s3", amy, credentials, signature_version=version)
        url = signer.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": "parts"})
        assert requests.get(url, timeout=10, verify=verify).content == b"part", version
        form = signer.generate_presigned_post(bucket, f"form-{version}")
        assert requests.post(form["url"], form["fields"], files={"file": b"f"}, timeout=10, verify=verify).ok, version
    keys = [one["Key"] for one in s3.list_objects_v2(Bucket=bucket)["Contents"]]
    assert {"copy", "parts", "form-s3", "form-s3v4"} < set(keys)
    found = s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": key} for key in keys if key != "k"]})
    assert not found.get("Errors")
    assert outcome(client("iam", amy, credentials).list_users) == "AccessDenied"
    account.iam.update_access_key(UserName="amy", AccessKeyId=amy.key_id, Status="Inactive")
    assert outcome(partial(s3.get_object, Bucket=bucket, Key="k")) == "InvalidToken"


@pytest.mark.parametrize("change", ["token of another", "no token", "changed token", "another secret"])
def test_sessions_forged(account: Account, change: str) -> None:
    """A session is its key, secret and token together."""
    credentials, other = (account.sts.get_session_token()["Credentials"] for _ in range(2))
    token = credentials["SessionToken"]
    changed = {
        "token of another": {"SessionToken": other["SessionToken"]},
        "no token": {"SessionToken": None},
        "changed token": {"SessionToken": token[:-8] + ("A" if token[-8] != "A" else "B") + token[-7:]},
        "another secret": {"SecretAccessKey": other["SecretAccessKey"]},
    }[change]
    s3 = client("s3", account.access, {**credentials, **changed})
    expected = {"no token": "InvalidAccessKeyId", "another secret": "SignatureDoesNotMatch"}.get(change, "InvalidToken")
    assert outcome(s3.list_buckets) == expected


def test_administration_by_users(account: Account) -> None:
    """Who may call IAM is said by policies too; what belongs to another account is not there for it."""
    amy = client("iam", user(account, "amy", allow("iam:GetUser", account.arn("user/amy"))))
    assert amy.get_user()["User"]["UserName"] == "amy"
    assert outcome(partial(amy.create_user, UserName="eve")) == "AccessDenied"
    assert outcome(partial(amy.get_user, UserName="eve")) == "AccessDenied"
    account.iam.attach_user_policy(UserName="amy", PolicyArn="arn:aws:iam::aws:policy/IAMFullAccess")
    assert outcome(partial(amy.create_user, UserName="eve")) == "ok"
    assert [one["UserName"] for one in account.iam.list_users()["Users"]] == ["amy", "eve"]


def test_refusals(account: Account) -> None:
    """What cannot be is refused with Amazon's code, and nothing has changed."""
    iam = account.iam
    user(account, "amy")
    assert outcome(partial(iam.create_user, UserName="Amy")) == "EntityAlreadyExists"
    assert outcome(partial(iam.create_user, UserName="alice")) == "EntityAlreadyExists"
    assert (
        outcome(partial(iam.create_user, UserName="a", PermissionsBoundary=account.arn("policy/p"))) == "NotImplemented"
    )
    assert outcome(partial(iam.delete_user, UserName="amy")) == "DeleteConflict"
    assert outcome(partial(iam.get_user, UserName="eve")) == "NoSuchEntity"
    put = partial(iam.put_user_policy, UserName="amy", PolicyName="p")
    assert outcome(partial(put, PolicyDocument="{}")) == "MalformedPolicyDocument"
    assert outcome(partial(put, PolicyDocument=document(allow("s3:Nothing", "*")))) == "MalformedPolicyDocument"
    assert outcome(partial(put, PolicyDocument=document(allow("s3:*", ["arn:x"] * 500)))) == "LimitExceeded"
    iam.create_access_key(UserName="amy")
    assert outcome(partial(iam.create_access_key, UserName="amy")) == "LimitExceeded"
    assert outcome(partial(iam.list_virtual_mfa_devices)) == "InvalidAction"
    trust = {"Effect": "Allow", "Principal": {"AWS": account.digits}, "Action": "sts:AssumeRole"}
    iam.create_role(RoleName="r", AssumeRolePolicyDocument=document(trust))
    assert outcome(partial(assume, account, account.sts, "r", DurationSeconds=7200)) == "ValidationError"
    assert outcome(partial(assume, account, account.sts, "r", SourceIdentity="me")) == "NotImplemented"
    assert outcome(partial(assume, account, account.sts, "s")) == "AccessDenied"
    unsigned = requests.post(
        account.access.url,
        {"Action": "ListUsers", "Version": "2010-05-08"},
        timeout=10,
        verify=account.access.ca or True,
    )
    assert unsigned.status_code == 403
    assert "<Code>MissingAuthenticationToken</Code>" in unsigned.text
    unknown = requests.post(account.access.url, {"Action": "Fly"}, timeout=10, verify=account.access.ca or True)
    assert (unknown.status_code, "<Code>InvalidAction</Code>" in unknown.text) == (400, True)


def test_pages_tags_and_texts(account: Account) -> None:
    """Lists come in pages, tags and documents as they were put, on whichever node they are asked for."""
    for name in ("ann1", "ann2", "ann3"):
        account.iam.create_user(UserName=name, Path="/team/", Tags=[{"Key": "t", "Value": name}])
    pages = account.iam.get_paginator("list_users").paginate(PaginationConfig={"PageSize": 2})
    assert [[one["UserName"] for one in page["Users"]] for page in pages] == [["ann1", "ann2"], ["ann3"]]
    account.iam.tag_user(UserName="ann1", Tags=[{"Key": "more", "Value": "é"}])
    account.iam.untag_user(UserName="ann1", TagKeys=["t"])
    assert account.iam.list_user_tags(UserName="ann1")["Tags"] == [{"Key": "more", "Value": "é"}]
    policy = {"Version": "2012-10-17", "Statement": [allow("s3:GetObject", "*")]}
    account.iam.put_user_policy(UserName="ann1", PolicyName="p", PolicyDocument=json.dumps(policy))
    assert account.iam.get_user_policy(UserName="ann1", PolicyName="p")["PolicyDocument"] == policy
    assert account.iam.get_user(UserName="ann1")["User"]["Arn"] == account.arn("user/team/ann1")


def test_every_node_knows(account: Account, every_node: list[Access]) -> None:
    """A user, a policy and a session count on every node from the next request on; any node takes the changes."""
    amy = user(account, "amy", allow("s3:GetObject", "*"))
    credentials = client("sts", amy).get_session_token()["Credentials"]
    for node in every_node:
        for given in (None, credentials):
            s3 = client("s3", Access(node.url, amy.key_id, amy.secret, node.ca), given)
            assert s3.get_object(Bucket=account.bucket, Key="k")["Body"].read() == b"content"
        client("iam", node).tag_user(UserName="amy", Tags=[{"Key": "node", "Value": node.host}])
    account.iam.delete_user_policy(UserName="amy", PolicyName="own")
    for node in every_node:
        s3 = client("s3", Access(node.url, amy.key_id, amy.secret, node.ca))
        assert outcome(partial(s3.get_object, Bucket=account.bucket, Key="k")) == "AccessDenied"
    assert time.time() < credentials["Expiration"].timestamp()


@pytest.fixture(scope="module")
def issuer() -> Iterator[Issuer]:
    """Whose tokens the cluster takes."""
    with issuers.running() as running:
        running.add_key("first")
        yield running


def test_roles_for_tokens_of_an_issuer(account: Account, issuer: Issuer, s3_cluster: Cluster) -> None:
    """Unsigned, with a token of an issuer that the role trusts for that subject and audience, and no other."""
    host = issuer.url.partition("://")[2]
    provider = {"Federated": account.arn(f"oidc-provider/{host}")}
    tests = {"StringEquals": {f"{host}:aud": "jobs"}, "StringLike": {f"{host}:sub": "train-*"}}
    trust = {"Effect": "Allow", "Principal": provider, "Action": "sts:AssumeRoleWithWebIdentity", "Condition": tests}
    account.iam.create_role(RoleName="trainer", AssumeRolePolicyDocument=document(trust))
    reading = document(allow("s3:GetObject", f"arn:aws:s3:::{account.bucket}/*"))
    account.iam.put_role_policy(RoleName="trainer", PolicyName="p", PolicyDocument=reading)
    other = {"AWS": account.digits}
    wrong = document({**trust, "Condition": {"StringEquals": {f"{host}:email": "a@b"}}})
    make = partial(account.iam.create_role, RoleName="wrong", AssumeRolePolicyDocument=wrong)
    assert outcome(make) == "MalformedPolicyDocument"
    account.iam.create_role(
        RoleName="users", AssumeRolePolicyDocument=document({**trust, "Principal": other, "Condition": {}})
    )
    sts = boto3.client(
        "sts", endpoint_url=account.access.url, region_name=REGION, verify=account.access.ca,
        config=Config(signature_version=UNSIGNED, retries={"total_max_attempts": 1}),
    )  # fmt: skip

    def become(token: str, role: str = "trainer", **more: Any) -> dict[str, Any]:
        found: dict[str, Any] = sts.assume_role_with_web_identity(
            RoleArn=account.arn(f"role/{role}"), RoleSessionName="job", WebIdentityToken=token, **more
        )
        return found

    good = issuer.token(sub="train-7", aud="jobs")
    assert outcome(partial(become, good)) == "InvalidIdentityToken"  # the cluster trusts no issuer
    set_issuers(s3_cluster, [issuer.url])
    try:
        eventually(lambda: outcome(partial(become, good)) == "ok", within_s=60)
        found = become(good, DurationSeconds=900)
        assert (found["SubjectFromWebIdentityToken"], found["Provider"], found["Audience"]) == (
            "train-7",
            issuer.url,
            "jobs",
        )
        s3_client = client("s3", account.access, found["Credentials"])
        assert s3_client.get_object(Bucket=account.bucket, Key="k")["Body"].read() == b"content"
        assert outcome(partial(s3_client.put_object, Bucket=account.bucket, Key="k")) == "AccessDenied"
        for token, role, code in (
            (issuer.token(sub="train-7", aud="other"), "trainer", "AccessDenied"),
            (issuer.token(sub="serve-7", aud="jobs"), "trainer", "AccessDenied"),
            (good, "users", "AccessDenied"),
            (good, "absent", "AccessDenied"),
            (issuer.token(sub="train-7", aud="jobs", exp=1), "trainer", "ExpiredTokenException"),
            (issuer.token(sub="train-7", aud="jobs", iss="https://other.example"), "trainer", "InvalidIdentityToken"),
            (good[:-4] + "AAAA", "trainer", "InvalidIdentityToken"),
        ):
            assert outcome(partial(become, token, role)) == code, (role, code)
    finally:
        set_issuers(s3_cluster, [])


def set_issuers(cluster: Cluster, urls: list[str]) -> None:
    """Whose tokens are taken; nobody has to have one."""
    value = {"auth": {"oidc": {"allowed_iss": urls}}}
    body = message("set-config", value=value)
    gateway = cluster.proxies[0].plan.socket
    assert probe.call("PUT", f"{cluster.endpoint}/v1/cluster", None, body, gateway)[0] == 200


def test_who_configures_replication_may_bring_replicas(account: Account) -> None:
    """A user who may configure a bucket has nothing written as its owner where they may not write themselves."""
    there, s3 = fresh_name("there"), account.s3
    s3.create_bucket(Bucket=there)
    for name in (account.bucket, there):
        s3.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
    here = [f"arn:aws:s3:::{account.bucket}", f"arn:aws:s3:::{account.bucket}/*"]
    amy = boto(user(account, "amy", allow("s3:*", here)))
    put = partial(replicate, amy, account.bucket, rule(local(there)))
    actions = [f"s3:Replicate{name}" for name in ("Object", "Tags", "Delete")]
    for granted, expected in (([], "AccessDenied"), (actions[:2], "AccessDenied"), (actions, "ok")):
        more = [allow(granted, f"arn:aws:s3:::{there}/*")] if granted else []
        policy = document(allow("s3:*", here), *more)
        account.iam.put_user_policy(UserName="amy", PolicyName="own", PolicyDocument=policy)
        assert outcome(put) == expected
    amy.delete_bucket_replication(Bucket=account.bucket)
    blind = allow(["s3:PutReplicationConfiguration"], here[0])
    account.iam.put_user_policy(
        UserName="amy", PolicyName="own", PolicyDocument=document(blind, allow(actions, f"arn:aws:s3:::{there}/*"))
    )
    assert outcome(put) == "AccessDenied"  # what she may not read would lie where she may
    secret = f"arn:aws:s3:::{account.bucket}/secret/*"
    readable = allow(["s3:PutReplicationConfiguration", "s3:GetObjectVersionForReplication"], here)
    written = allow(actions, f"arn:aws:s3:::{there}/*")
    denied = allow("s3:GetObject*", secret, "Deny")
    for narrowed, expected in (((), "ok"), ((denied,), "AccessDenied")):
        policy = document(readable, written, *narrowed)
        account.iam.put_user_policy(UserName="amy", PolicyName="own", PolicyDocument=policy)
        assert outcome(put) == expected
    only = partial(replicate, amy, account.bucket, rule(local(there), Filter={"Prefix": "open/"}))
    assert outcome(only) == "ok"
    remove_bucket(s3, there)
