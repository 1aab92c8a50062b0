"""Bucket policies: what is allowed, denied, left open, and which documents are refused."""

import json
import random
from fnmatch import fnmatchcase
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ais.s3 import actions, globs, policy
from ais.s3.errors import S3Error
from ais.s3.operations import Op
from ais.s3.policy import Caller, Verdict


def _statement(**changed: Any) -> dict[str, Any]:
    base = {"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::b/*"}
    return {name: value for name, value in {**base, **changed}.items() if value is not None}


def _parse(*statements: dict[str, Any]) -> tuple[policy.Statement, ...]:
    return policy.parse(json.dumps({"Version": "2012-10-17", "Statement": list(statements)}).encode(), "b")


def _verdict(*statements: dict[str, Any], **asked: Any) -> Verdict:
    given = {"user": None, "action": "s3:GetObject", "bucket": "b", "key": "k", "context": {}, **asked}
    return policy.evaluate(_parse(*statements), caller=Caller(given.pop("user")), **given)


@pytest.mark.parametrize(
    ("statements", "asked", "verdict"),
    [
        ([_statement()], {}, Verdict.ALLOW),
        ([_statement()], {"action": "s3:PutObject"}, Verdict.SILENT),
        ([_statement(Action="s3:Get*")], {"action": "s3:GetObjectTagging"}, Verdict.ALLOW),
        ([_statement(Action=["s3:PutObject", "s3:getobject"])], {}, Verdict.ALLOW),
        ([_statement(), _statement(Effect="Deny")], {}, Verdict.DENY),
        (
            [_statement(Effect="Deny", Resource="arn:aws:s3:::b/secret/*"), _statement()],
            {"key": "secret/x"},
            Verdict.DENY,
        ),
        ([_statement(Effect="Deny", Resource="arn:aws:s3:::b/secret/*"), _statement()], {"key": "open"}, Verdict.ALLOW),
        ([_statement(Principal={"AWS": "arn:aws:iam::1:user/ann"})], {"user": "ann"}, Verdict.ALLOW),
        ([_statement(Principal={"AWS": ["ann"]})], {"user": "bob"}, Verdict.SILENT),
        ([_statement(Principal={"AWS": "ann"})], {}, Verdict.SILENT),
        ([_statement(Principal=None, NotPrincipal={"AWS": "ann"}, Effect="Deny")], {"user": "bob"}, Verdict.DENY),
        ([_statement(Principal=None, NotPrincipal={"AWS": "ann"}, Effect="Deny")], {"user": "ann"}, Verdict.SILENT),
        ([_statement(Action=None, NotAction="s3:Delete*")], {}, Verdict.ALLOW),
        ([_statement(Action=None, NotAction="s3:Get*")], {}, Verdict.SILENT),
        ([_statement(Resource="arn:aws:s3:::b")], {"key": ""}, Verdict.ALLOW),
        ([_statement(Resource="arn:aws:s3:::b/a?c")], {"key": "abc"}, Verdict.ALLOW),
    ],
)
def test_statements(statements: list[dict[str, Any]], asked: dict[str, Any], verdict: Verdict) -> None:
    """Effects, principals, actions and resources."""
    assert _verdict(*statements, **asked) is verdict


@pytest.mark.parametrize(
    ("condition", "context", "holds"),
    [
        ({"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}}, {"aws:sourceip": "10.1.2.3"}, True),
        ({"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}}, {"aws:sourceip": "11.1.2.3"}, False),
        ({"NotIpAddress": {"aws:SourceIp": ["10.0.0.0/8", "11.0.0.0/8"]}}, {"aws:sourceip": "11.1.2.3"}, False),
        ({"Bool": {"aws:SecureTransport": True}}, {"aws:securetransport": "true"}, True),
        ({"StringEquals": {"s3:prefix": ["a/", "b/"]}}, {"s3:prefix": "b/"}, True),
        ({"StringEquals": {"s3:prefix": "a/"}}, {}, False),
        ({"StringEqualsIfExists": {"s3:prefix": "a/"}}, {}, True),
        ({"StringNotEquals": {"s3:x-amz-acl": "private"}}, {}, True),
        ({"StringLike": {"s3:prefix": "home/*"}}, {"s3:prefix": "home/ann"}, True),
        ({"NumericLessThanEquals": {"s3:max-keys": 10}}, {"s3:max-keys": "10"}, True),
        ({"NumericLessThan": {"s3:max-keys": 10}}, {"s3:max-keys": "x"}, False),
        (
            {"DateLessThan": {"aws:CurrentTime": "2026-01-01T00:00:00Z"}},
            {"aws:currenttime": "2025-06-01T00:00:00Z"},
            True,
        ),
        ({"Null": {"s3:VersionId": "true"}}, {}, True),
        ({"Null": {"s3:VersionId": "true"}}, {"s3:versionid": "1"}, False),
        (
            {"ForAllValues:StringEquals": {"aws:PrincipalArn": ["a", "b"]}},
            {"aws:principalarn": ["a"]},
            True,
        ),
        (
            {"ForAllValues:StringEquals": {"aws:PrincipalArn": ["a"]}},
            {"aws:principalarn": ["a", "c"]},
            False,
        ),
        (
            {"ForAnyValue:StringEquals": {"aws:PrincipalArn": ["a"]}},
            {"aws:principalarn": ["a", "c"]},
            True,
        ),
        ({"StringEquals": {"s3:ExistingObjectTag/team": "x"}}, {"s3:existingobjecttag/team": "x"}, True),
    ],
)
def test_conditions(condition: dict[str, Any], context: dict[str, Any], holds: bool) -> None:
    """Operators, their negations, missing keys and sets."""
    expected = Verdict.ALLOW if holds else Verdict.SILENT
    assert _verdict(_statement(Condition=condition), context=context) is expected


@pytest.mark.parametrize(
    "changed",
    [
        {"Effect": "Maybe"},
        {"Principal": None},
        {"Principal": {"Machine": "x"}},
        {"Principal": {}},
        {"Principal": []},
        {"Principal": {"AWS": []}},
        {"Principal": "ann"},
        {"Principal": {"AWS": "arn:aws:iam::1:root"}},
        {"Principal": {"AWS": "arn:aws:iam::1:role/r"}},
        {"Action": []},
        {"Action": "s3:NoSuchAction"},
        {"Resource": []},
        {"Action": "ec2:Run"},
        {"Resource": "arn:aws:s3:::other/*"},
        {"Resource": "b/*"},
        {"Unknown": 1},
        {"Condition": {"StringEquals": {"aws:NoSuchKey": "x"}}},
        {"Condition": {"Sounds": {"s3:prefix": "x"}}},
        {"Condition": []},
        {"Action": 7},
    ],
)
def test_refused_documents(changed: dict[str, Any]) -> None:
    """What we would not evaluate is refused when it is set."""
    with pytest.raises(S3Error) as caught:
        _parse(_statement(**changed))
    assert caught.value.code == "MalformedPolicy"


@pytest.mark.parametrize(
    "condition",
    [
        {"DateGreaterThan": {"aws:CurrentTime": "the day after"}},
        {"NumericLessThan": {"s3:max-keys": "many"}},
        {"IpAddress": {"aws:SourceIp": "10.0.0.0/33"}},
        {"Bool": {"aws:SecureTransport": "yes"}},
        {"Null": {"s3:prefix": "maybe"}},
        {"NullIfExists": {"s3:prefix": "true"}},
        {"Foo:StringEquals": {"s3:prefix": "x"}},
        {"StringEquals": {"s3:prefix": []}},
        {"NumericGreaterThan": {"s3:TlsVersion": "1.1"}},
        {"StringEquals": {"s3:LocationConstraint": "x"}},
        {"StringEquals": {"s3:RequestObjectTag/class": "x"}},
        {"ForAnyValue:StringEquals": {"s3:RequestObjectTagKeys": "x"}},
        {"StringEquals": {"s3:ObjectCreationOperation": "x"}},
    ],
    ids=str,
)
def test_what_cannot_be_decided(condition: dict[str, Any]) -> None:
    """Refused when it is set; of a policy that was set before, a Deny applies and an Allow does not."""
    denies, allows = (_statement(Effect=effect, Condition=condition) for effect in ("Deny", "Allow"))
    for one in (denies, allows):
        with pytest.raises(S3Error) as caught:
            policy.check_new(_parse(one))
        assert caught.value.code == "MalformedPolicy"
    assert _verdict(_statement(), denies) is Verdict.DENY
    assert _verdict(allows) is Verdict.SILENT


@pytest.mark.parametrize(
    ("wanted", "holds"),
    [("2030-03-01", True), ("2030-03-17T00:00:00Z", True), ("2031-01-01T00:00:00", False), ("1900000000", True)],
)
def test_dates(wanted: str, holds: bool) -> None:
    """A day, a moment, one without a zone, and seconds since 1970 are dates."""
    condition = {"DateGreaterThan": {"aws:CurrentTime": wanted}}
    found = _verdict(_statement(Condition=condition), context={"aws:currenttime": "2030-03-18T00:00:00+00:00"})
    assert found is (Verdict.ALLOW if holds else Verdict.SILENT)


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"Version":"1999"}', b'{"Statement":[]}', b"x" * 30000])
def test_refused_bodies(body: bytes) -> None:
    """Neither JSON nor a policy."""
    with pytest.raises(S3Error) as caught:
        policy.parse(body, "b")
    assert caught.value.code == "MalformedPolicy"


def test_actions_of_operations() -> None:
    """Operations map to the actions AWS documents."""
    assert actions.action_of(Op.LIST_OBJECTS_V2) == "s3:ListBucket"
    assert actions.action_of(Op.HEAD_OBJECT, versioned=True) == "s3:GetObjectVersion"
    assert actions.action_of(Op.UPLOAD_PART) == "s3:PutObject"


def test_public() -> None:
    """Everybody without narrowing is public; a fixed source address is not."""
    assert policy.is_public(_parse(_statement()))
    assert not policy.is_public(_parse(_statement(Condition={"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}})))
    assert not policy.is_public(_parse(_statement(Principal={"AWS": "ann"})))


@pytest.mark.parametrize(
    ("condition", "public"),
    [
        ({"IpAddress": {"aws:SourceIp": ["8.8.8.0/24", "2001:db8::/32"]}}, False),
        ({"IpAddress": {"aws:SourceIp": ["8.8.8.0/24", "0.0.0.0/0"]}}, True),
        ({"IpAddress": {"aws:SourceIp": "128.0.0.0/1"}}, True),
        ({"IpAddress": {"aws:SourceIp": "::/0"}}, True),
        ({"IpAddressIfExists": {"aws:SourceIp": "8.8.8.8"}}, True),
        ({"NotIpAddress": {"aws:SourceIp": "8.8.8.8"}}, True),
        ({"Null": {"aws:username": "false"}}, True),
        ({"StringEquals": {"aws:username": "ann"}}, False),
        ({"StringNotEquals": {"aws:username": "ann"}}, True),
        ({"StringEqualsIfExists": {"aws:username": "ann"}}, True),
        ({"StringLike": {"aws:username": "*"}}, True),
        ({"StringLike": {"aws:userid": "AROA1:*"}}, False),
        ({"ForAllValues:StringEquals": {"aws:PrincipalAccount": "123456789012"}}, True),
        ({"StringEquals": {"aws:PrincipalAccount": "123456789012"}}, False),
        ({"ArnLike": {"aws:PrincipalArn": "arn:aws:iam::*:user/ann"}}, True),
        ({"StringEquals": {"s3:prefix": "ann"}}, True),
    ],
)
def test_what_narrows_a_public_policy(condition: dict[str, Any], public: bool) -> None:
    """Only who is named: to leave some out, or the question open, or to name half the internet keeps it public."""
    assert policy.is_public(_parse(_statement(Condition=condition))) is public


@pytest.mark.parametrize(
    ("value", "pattern", "matches"),
    [
        ("abc", "abc", True),
        ("abc", "a?c", True),
        ("abc", "a*", True),
        ("abc", "*", True),
        ("abc", "*b*", True),
        ("abc", "*b", False),
        ("a.c", "a.c", True),
        ("abc", "a.c", False),
        ("ab", "ab*ab", False),
        ("a\nb", "a*b", True),
        ("a" * 1000, "*a" * 64 + "b", False),
    ],
)
def test_wildcards(value: str, pattern: str, matches: bool) -> None:
    """`*` and `?` as in AWS; 64 stars are tried once each, where a naive expression would take years."""
    assert globs.like(value, pattern) is matches


@given(st.text("ab*\ue000?", max_size=8), st.text("ab*?", max_size=8))
def test_wildcards_by_their_meaning(pattern: str, value: str) -> None:
    """Every pattern is what it says, sign by sign."""

    def meant(pattern: str, value: str) -> bool:
        if not pattern:
            return not value
        first, rest = pattern[0], pattern[1:]
        if first == "*":
            return any(meant(rest, value[at:]) for at in range(len(value) + 1))
        return (
            bool(value) and (first == "?" or {"\ue000": "*"}.get(first, first) == value[0]) and meant(rest, value[1:])
        )

    assert globs.like(value, pattern) is meant(pattern, value)


def test_a_policy_of_thousands_of_patterns() -> None:
    """No request has expressions made of what a user wrote into a policy; of those with `?` there are some only."""
    agents = [f"*{number:x}*" for number in range(2000)]
    statement = _statement(Effect="Deny", Condition={"StringLike": {"aws:UserAgent": agents}})
    before = globs._glob.cache_info().misses
    assert _verdict(statement, context={"aws:useragent": "z"}) is Verdict.SILENT
    assert _verdict(statement, context={"aws:useragent": "z1f"}) is Verdict.DENY
    assert globs._glob.cache_info().misses == before
    odd = [f"?{number:x}" for number in range(policy.ODD_PATTERNS_MAX + 1)]
    policy.check_new(_parse(_statement(Condition={"StringEquals": {"aws:Referer": odd}})))
    policy.check_new(_parse(_statement(Condition={"StringLike": {"aws:Referer": odd[1:]}})))
    with pytest.raises(S3Error, match=r"at most 32 patterns with \?: write \* in others"):
        policy.check_new(_parse(_statement(Condition={"StringLike": {"aws:Referer": odd}})))


@given(st.text(alphabet="q/ab*?", max_size=8), st.text(alphabet="ab/", max_size=3), st.text(alphabet="ab/", max_size=3))
def test_what_is_denied_below_a_prefix(pattern: str, prefix: str, rest: str) -> None:
    """If a Deny is about any key with a prefix, it is about one of those that are looked at; all have the prefix."""
    resource = f"arn:aws:s3:::{pattern}"
    statement = {"Effect": "Deny", "Action": "s3:GetObject", "Resource": resource}
    statements = policy.parse_identity(json.dumps({"Version": "2012-10-17", "Statement": statement}))
    found = list(policy.below(statements, "q", prefix))
    assert all(key.startswith(prefix) for key in found)
    if globs.like(f"arn:aws:s3:::q/{prefix}{rest}", resource):
        assert any(globs.like(f"arn:aws:s3:::q/{key}", resource) for key in (f"{prefix}*", *found))


def test_too_many_wildcards() -> None:
    """A pattern of more than 64 stars is refused when the policy is set."""
    resource = "arn:aws:s3:::" + "*a" * 65
    statement = {"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": resource}
    with pytest.raises(S3Error, match="more than 64 wildcards"):
        policy.parse(json.dumps({"Version": "2012-10-17", "Statement": [statement]}).encode(), "a" * 65)


USERS: tuple[str | None, ...] = ("ann", "bob", None)
ACTIONS = ("s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:ListBucket")
PRINCIPALS: tuple[Any, ...] = (
    "*",
    {"AWS": "ann"},
    {"AWS": ["arn:aws:iam::1:user/bob", "ann"]},
    {"AWS": "*"},
    {"Service": "logging.s3.amazonaws.com"},
    {"Service": "x.amazonaws.com", "AWS": "bob"},
)
PATTERNS = ("s3:*", "s3:GetObject", "s3:*Object", "s3:Put*", "*", "s3:G?tObject")
RESOURCES = ("arn:aws:s3:::b", "arn:aws:s3:::b/*", "arn:aws:s3:::b/k1", "arn:aws:s3:::b/?2", "arn:aws:s3:::*")


def _reference(policy: dict[str, Any], user: str | None, action: str, resource: str, prefix: str) -> Verdict:
    """What Amazon's evaluation logic says, written down without the code under test."""

    def named(principal: Any) -> bool:
        if principal == "*":
            return True
        listed = principal.get("AWS", [])
        listed = [listed] if isinstance(listed, str) else listed
        return any(one == "*" or (user and one.split("/")[-1] == user) for one in listed)

    def listed(value: Any, text: str, lower: bool) -> bool:
        patterns = [value] if isinstance(value, str) else value
        return any(fnmatchcase(text.lower(), one.lower()) if lower else fnmatchcase(text, one) for one in patterns)

    effects = set()
    for one in policy["Statement"]:
        who = named(one["Principal"]) if "Principal" in one else not named(one["NotPrincipal"])
        what = listed(one["Action"], action, True) if "Action" in one else not listed(one["NotAction"], action, True)
        where = listed(one["Resource"], resource, False)
        when = "Condition" not in one or one["Condition"]["StringEquals"]["s3:prefix"] == prefix
        if who and what and where and when:
            effects.add(one["Effect"])
    return Verdict.DENY if "Deny" in effects else Verdict.ALLOW if effects else Verdict.SILENT


def test_random_policies() -> None:
    """10,000 random policies are evaluated as a reference evaluator of a few lines does, for a random caller each."""
    rng, seen = random.Random(1), set()
    for _ in range(10_000):
        statements = []
        for _ in range(rng.randrange(1, 4)):
            one: dict[str, Any] = {"Effect": rng.choice(["Allow", "Allow", "Deny"])}
            one[rng.choice(["Principal", "Principal", "NotPrincipal"])] = rng.choice(PRINCIPALS)
            one[rng.choice(["Action", "Action", "NotAction"])] = rng.sample(PATTERNS, rng.randrange(1, 3))
            one["Resource"] = rng.sample(RESOURCES, rng.randrange(1, 3))
            if rng.random() < 0.3:
                one["Condition"] = {"StringEquals": {"s3:prefix": rng.choice("xy")}}
            statements.append(one)
        document = {"Version": "2012-10-17", "Statement": statements}
        user, action, key, prefix = (
            rng.choice(USERS),
            rng.choice(ACTIONS),
            rng.choice(["", "k1", "k2"]),
            rng.choice("xy"),
        )
        resource = "arn:aws:s3:::b" + (f"/{key}" if key else "")
        parsed = policy.parse(json.dumps(document).encode(), "b")
        found = policy.evaluate(
            parsed, caller=Caller(user), action=action, bucket="b", key=key, context={"s3:prefix": prefix}
        )
        assert found is _reference(document, user, action, resource, prefix), (document, user, action, key)
        seen.add(found)
    assert seen == set(Verdict)
