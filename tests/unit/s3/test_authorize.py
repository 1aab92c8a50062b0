"""Amazon's evaluation of all that can allow or deny, against a reference of a few lines, on random cases."""

import json
import random
from collections import Counter
from typing import Any, NamedTuple

from harness.s3rights import Place, Who, may

from ais.auth.iam import Iam, Role, User, account_id
from ais.auth.sessions import Session
from ais.s3 import policy
from ais.s3.acl import ANY_USER, EVERYBODY, FULL, READ, Acl, Grant
from ais.s3.errors import S3Error
from ais.s3.identity import Identity, Rights, authorize
from ais.s3.principals import Principals

ACCOUNTS = ("ann", "bob")
ACTIONS = ("s3:GetObject", "s3:PutObject", "s3:ListBucket", "s3:GetBucketTagging")
Policies = list[dict[str, Any]]


def _statements(rng: random.Random, principals: list[str] | None = None) -> Policies:
    made: Policies = []
    for _ in range(rng.choice((0, 1, 1, 2))):
        one: dict[str, Any] = {"Effect": rng.choice(("Allow", "Allow", "Deny"))}
        one["Action"] = rng.sample((*ACTIONS, "s3:Get*", "s3:*"), rng.choice((1, 2)))
        one["Resource"] = [rng.choice(("arn:aws:s3:::b", "arn:aws:s3:::b/*", "arn:aws:s3:::b/k*", "arn:aws:s3:::*"))]
        if principals is not None:
            one["Principal"] = {"AWS": rng.sample(principals, rng.choice((1, 2)))}
        made.append(one)
    return made


def _acl(rng: random.Random, owner: str) -> Acl:
    grants = [Grant(FULL, owner)]
    if rng.random() < 0.5:
        grants.append(Grant(rng.choice((READ, "WRITE", FULL)), rng.choice((*ACCOUNTS, EVERYBODY, ANY_USER))))
    return Acl(owner, tuple(grants))


class Case(NamedTuple):
    """Who asks for what, as the reference takes it."""

    kind: str
    who: Who
    place: Place
    action: str
    key: str


def _case(rng: random.Random) -> tuple[Case, Identity, Rights, Acl | None]:
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
    is_root = kind in ("root", "nobody")
    who = Who(account, digits, frozenset(names), None if is_root else own, limits)
    grants = [one.grants if one is not None else None for one in (lists, existing)]
    case = Case(kind, who, Place(owner, bucket, *grants), action, key)
    return case, identity, Rights(owner, parsed, acl=lists), existing


def test_random_cases() -> None:
    """10,000 random buckets and callers: owner, user, role, narrowed session or nobody, of this account or another."""
    rng, count = random.Random(14), Counter[tuple[str, bool]]()
    for _ in range(10_000):
        case, identity, rights, existing = _case(rng)
        try:
            authorize(identity, rights, case.action, "b", case.key, {}, existing)
            found = True
        except S3Error:
            found = False
        assert found is may(case.who, case.place, case.action, policy.arn_of("b", case.key)), case
        count[case.kind, found] += 1
    print(f"\n{dict(count)}")
    assert all(
        count[kind, allowed] > 100 for kind in ("root", "user", "role", "narrowed", "nobody") for allowed in (0, 1)
    )
