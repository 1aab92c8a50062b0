"""Amazon's evaluation of all that can allow or deny, against a reference of a few lines, on random cases."""

import json
import random
from collections import Counter
from typing import Any

from ais.auth.iam import Iam, Role, User, account_id
from ais.auth.sessions import Session
from ais.s3 import policy
from ais.s3.acl import ANY_USER, EVERYBODY, FULL, READ, Acl, Grant
from ais.s3.errors import S3Error
from ais.s3.identity import Identity, Rights, authorize
from ais.s3.principals import Principals

ACCOUNTS = ("ann", "bob")
ACTIONS = ("s3:GetObject", "s3:PutObject", "s3:ListBucket", "s3:GetBucketTagging")
_GRANTED = {"s3:GetObject": READ, "s3:PutObject": "WRITE", "s3:ListBucket": READ}
Policies = list[dict[str, Any]]


def _statements(rng: random.Random, principals: list[str] | None = None) -> Policies:
    made: Policies = []
    for _ in range(rng.choice((0, 1, 1, 2))):
        one: dict[str, Any] = {"Effect": rng.choice(("Allow", "Allow", "Deny"))}
        one["Action"] = rng.sample((*ACTIONS, "s3:Get*", "s3:*"), rng.choice((1, 2)))
        one["Resource"] = rng.choice(("arn:aws:s3:::b", "arn:aws:s3:::b/*", "arn:aws:s3:::b/k*", "arn:aws:s3:::*"))
        if principals is not None:
            one["Principal"] = {"AWS": rng.sample(principals, rng.choice((1, 2)))}
        made.append(one)
    return made


def _says(statements: Policies, action: str, resource: str, names: set[str] | None = None) -> str:
    """`Deny`, `Allow` or nothing."""
    found = set()
    for one in statements:
        actions = any(action == a or (a.endswith("*") and action.startswith(a[:-1])) for a in one["Action"])
        pattern = one["Resource"]
        is_resource = resource == pattern or (pattern.endswith("*") and resource.startswith(pattern[:-1]))
        if actions and is_resource and (names is None or names & set(one["Principal"]["AWS"])):
            found.add(one["Effect"])
    return "Deny" if "Deny" in found else "Allow" if found else ""


def _reference(case: dict[str, Any]) -> bool:
    """May they? Amazon's user guide, "Policy evaluation logic", within and across accounts."""
    asked = case["action"], case["resource"]
    names, account = {"*", *case["names"]}, case["account"]
    by_bucket = _says(case["bucket"], *asked, names | {account_id(account)} if account else names)
    by_self = "Allow" if case["kind"] in ("root", "nobody") else _says(case["own"], *asked)
    if case["limits"] is not None:
        limit = _says(case["limits"], *asked)
        by_self = "Deny" if "Deny" in (by_self, limit) else "Allow" if by_self == limit == "Allow" else ""
    if "Deny" in (by_bucket, by_self):
        return False
    if account == case["owner"]:
        within = case["limits"] is None or _says(case["limits"], *asked) == "Allow"
        return by_self == "Allow" or (_says(case["bucket"], *asked, names) == "Allow" and within)
    if by_self != "Allow":
        return False
    if by_bucket == "Allow":
        return True
    wanted, grants = _GRANTED.get(case["action"]), case["acl"].grants if case["acl"] else ()
    if case["action"] == "s3:GetObject":
        grants = case["object"].grants if case["object"] else grants
    who = {account, EVERYBODY, ANY_USER} if account else {EVERYBODY}
    return wanted is not None and any(one.permission in (wanted, FULL) and one.grantee in who for one in grants)


def _acl(rng: random.Random, owner: str) -> Acl:
    grants = [Grant(FULL, owner)]
    if rng.random() < 0.5:
        grants.append(Grant(rng.choice((READ, "WRITE", FULL)), rng.choice((*ACCOUNTS, EVERYBODY, ANY_USER))))
    return Acl(owner, tuple(grants))


def _case(rng: random.Random) -> tuple[dict[str, Any], Identity, Rights]:
    kind, account = rng.choice(("root", "user", "role", "narrowed", "nobody")), rng.choice(ACCOUNTS)
    digits, own = account_id(account), _statements(rng)
    limits = _statements(rng) or None if kind == "narrowed" else None
    text = json.dumps({"Version": "2012-10-17", "Statement": own}) if own else ""
    inline = {"p": text} if text else {}
    user = User(name="eve", account=account, id="AIDA", inline=inline)
    role = Role(name="job", account=account, id="AROA", inline=inline, trust="{}")
    principals = Principals(Iam().with_entity(user).with_entity(role))
    names: list[str] = []
    identity = Identity()
    if kind == "root":
        names, identity = [account], identity.as_user(account, principals)
    elif kind == "user":
        names, identity = [f"arn:aws:iam::{digits}:user/eve"], identity.as_user("eve", principals)
    elif kind in ("role", "narrowed"):
        names = [f"arn:aws:iam::{digits}:role/job", f"arn:aws:sts::{digits}:assumed-role/job/s"]
        narrowed = json.dumps({"Version": "2012-10-17", "Statement": limits}) if limits else ""
        session = Session("K", "x", account, 0, 9, role="job", role_id="AROA", name="s", policy=narrowed)
        identity = identity.as_holder(session, "t", principals)
    account = "" if kind == "nobody" else account
    everyone = ["*", *ACCOUNTS, *map(account_id, ACCOUNTS), *names, "arn:aws:iam::123456789012:user/eve"]
    bucket, owner = _statements(rng, everyone), rng.choice(ACCOUNTS)
    action = rng.choice(ACTIONS)
    key = "" if action in ("s3:ListBucket", "s3:GetBucketTagging") else rng.choice(("k", "other"))
    lists = _acl(rng, owner) if rng.random() < 0.5 else None
    existing = _acl(rng, owner) if lists is not None and key else None
    parsed = policy.parse(json.dumps({"Version": "2012-10-17", "Statement": bucket}).encode(), "b") if bucket else ()
    case = {
        "kind": kind, "account": account, "names": names, "own": own, "limits": limits, "bucket": bucket,
        "owner": owner, "action": action, "resource": policy.arn_of("b", key), "acl": lists, "object": existing,
        "key": key,
    }  # fmt: skip
    return case, identity, Rights(owner, parsed, acl=lists)


def test_random_cases() -> None:
    """10,000 random buckets and callers: owner, user, role, narrowed session or nobody, of this account or another."""
    rng, count = random.Random(14), Counter[tuple[str, bool]]()
    for _ in range(10_000):
        case, identity, rights = _case(rng)
        try:
            authorize(identity, rights, case["action"], "b", case["key"], {}, case["object"])
            found = True
        except S3Error:
            found = False
        assert found is _reference(case), case
        count[case["kind"], found] += 1
    print(f"\n{dict(count)}")
    assert all(
        count[kind, allowed] > 100 for kind in ("root", "user", "role", "narrowed", "nobody") for allowed in (0, 1)
    )
