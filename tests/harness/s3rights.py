"""Amazon's evaluation of all that can allow or deny a request to S3, in a few lines and none of `ais`.

Source: IAM user guide, "Policy evaluation logic", within one account and across accounts; S3 user guide, "Mapping of
ACL permissions and access policy permissions".
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

EVERYBODY, ANY_USER = "*all", "*auth"
"""Grantees of lists: anonymous callers too, and everybody who is known."""
POLICY_ACTIONS = {"s3:GetBucketPolicy", "s3:PutBucketPolicy", "s3:DeleteBucketPolicy"}
"""The root of the bucket's account cannot shut itself out of these."""
OF_BUCKETS = {
    "READ": {"s3:ListBucket", "s3:ListBucketVersions", "s3:ListBucketMultipartUploads"},
    "WRITE": {"s3:PutObject", "s3:DeleteObject", "s3:DeleteObjectVersion"},
    "READ_ACP": {"s3:GetBucketAcl"},
    "WRITE_ACP": {"s3:PutBucketAcl"},
}
OF_OBJECTS = {
    "READ": {"s3:GetObject", "s3:GetObjectVersion", "s3:GetObjectAttributes", "s3:GetObjectVersionAttributes"},
    "READ_ACP": {"s3:GetObjectAcl", "s3:GetObjectVersionAcl"},
    "WRITE_ACP": {"s3:PutObjectAcl", "s3:PutObjectVersionAcl"},
}
Statements = Sequence[dict[str, Any]]
Grants = Sequence[tuple[str, str]]
"""Permissions and who has them."""


class Who(NamedTuple):
    """Who asks. `account`: empty for nobody; `as_account`: how a bucket's policy means all of it.

    `names`: those by which a policy may mean the caller alone. `own`: the statements of a user or a role, None for the
    root of an account. `limits`: those of a narrowed session.
    """

    account: str = ""
    as_account: str = ""
    names: frozenset[str] = frozenset()
    own: Statements | None = None
    limits: Statements | None = None


class Place(NamedTuple):
    """What a bucket says of access. `owner`: an account. Lists: None where they mean nothing, or nothing is there."""

    owner: str
    policy: Statements = ()
    bucket_list: Grants | None = None
    object_list: Grants | None = None


def says(statements: Statements, action: str, resource: str, names: set[str] | None = None) -> str:
    """`Deny`, `Allow` or nothing."""
    found = set()
    for one in statements:
        actions = any(_matches(action, pattern) for pattern in one["Action"])
        is_meant = names is None or names & set(one["Principal"]["AWS"])
        if actions and is_meant and any(_matches(resource, pattern) for pattern in one["Resource"]):
            found.add(one["Effect"])
    return "Deny" if "Deny" in found else "Allow" if found else ""


def _matches(text: str, pattern: str) -> bool:
    return text == pattern or (pattern.endswith("*") and text.startswith(pattern[:-1]))


def may(who: Who, place: Place, action: str, resource: str) -> bool:
    """Whether a request is allowed. The owner of the bucket owns its objects."""
    asked = action, resource
    is_owner = who.account == place.owner
    if is_owner and who.own is None and action in POLICY_ACTIONS:
        return True
    names = {"*", *who.names}
    by_bucket = says(place.policy, *asked, names | {who.as_account} if who.account else names)
    by_self = "Allow" if who.own is None else says(who.own, *asked)
    if who.limits is not None:
        limit = says(who.limits, *asked)
        by_self = "Deny" if "Deny" in (by_self, limit) else "Allow" if by_self == limit == "Allow" else ""
    if "Deny" in (by_bucket, by_self):
        return False
    if is_owner:
        within = who.limits is None or says(who.limits, *asked) == "Allow"
        return by_self == "Allow" or (says(place.policy, *asked, names) == "Allow" and within)
    if by_self != "Allow":
        return False
    return by_bucket == "Allow" or _is_granted(who.account, place, action)


def _is_granted(account: str, place: Place, action: str) -> bool:
    grants, rights = place.bucket_list, OF_BUCKETS
    if any(action in actions for actions in OF_OBJECTS.values()):
        if place.object_list is not None:
            grants, rights = place.object_list, OF_OBJECTS
        else:  # of an object that is not there: whoever may list the bucket may know
            rights = {"READ": {name for actions in OF_OBJECTS.values() for name in actions}}
    grantees = {account, EVERYBODY, ANY_USER} if account else {EVERYBODY}
    known = any(action in actions for actions in rights.values())
    return any(
        grantee in grantees and (action in rights.get(permission, ()) or (permission == "FULL_CONTROL" and known))
        for permission, grantee in grants or ()
    )
