"""What users may do to their account: rights by names and paths, and the root, which no policy binds."""

import json
from types import SimpleNamespace
from typing import Any

import pytest

from ais.auth import sessions
from ais.auth.iam import Group, Iam, Policy, PolicyVersion, Role, User, account_id
from ais.auth.keys import AccessKeys, KeyRing, new_key
from ais.auth.sessions import Session
from ais.auth.tokens import Claims
from ais.iam import access_keys, service
from ais.iam.errors import IamError
from ais.s3.identity import Identity
from ais.s3.principals import Principals

SECRET = bytes(32)
OF_ANN = f"arn:aws:iam::{account_id('ann')}"
TRUST = json.dumps({"Statement": {"Effect": "Deny", "Principal": "*", "Action": "sts:AssumeRole"}})


def _verify(_token: str) -> Claims:
    raise AssertionError


def _statement(effect: str, resource: str) -> dict[str, str]:
    return {"Effect": effect, "Action": "iam:*", "Resource": resource}


def _account(*statements: dict[str, str]) -> AccessKeys:
    """Ann's: amy with a policy, and a user, a group, a role and a policy below `/boss/`."""
    text = json.dumps({"Version": "2012-10-17", "Statement": list(statements)})
    iam = Iam().with_entity(User(name="amy", account="ann", id="AIDA", inline={"p": text}))
    for kind, more in (
        (User, {}),
        (Group, {}),
        (Role, {"trust": TRUST}),
        (Policy, {"versions": {"v1": PolicyVersion(text)}}),
    ):
        iam = iam.with_entity(kind(name="top", account="ann", id="A", path="/boss/", **more))
    return AccessKeys(iam=iam).with_key(new_key("ann", SECRET, 0)[0])


def _ask(keys: AccessKeys, user: str, **given: str) -> Any:
    """What a user gets. Raise `IamError`."""
    caller = Identity().as_user(user, Principals(keys.iam))
    return service.admit(given, caller, {}, 0, SECRET, _verify, keys.iam).run(keys)[1]


@pytest.mark.parametrize(
    "given",
    [
        {"Action": "GetUser", "UserName": "top"},
        {"Action": "CreateAccessKey", "UserName": "top"},
        {"Action": "PutUserPolicy", "UserName": "top", "PolicyName": "p", "PolicyDocument": "{}"},
        {"Action": "GetGroup", "GroupName": "top"},
        {"Action": "AddUserToGroup", "GroupName": "top", "UserName": "amy"},
        {"Action": "GetRole", "RoleName": "top"},
        {"Action": "UpdateAssumeRolePolicy", "RoleName": "top", "PolicyDocument": TRUST},
        {"Action": "CreateUser", "UserName": "top", "Path": "/"},
        {"Action": "CreatePolicyVersion", "PolicyArn": f"{OF_ANN}:policy/boss/top", "PolicyDocument": "{}"},
    ],
)
def test_what_lies_below_a_path(given: dict[str, str]) -> None:
    """A Deny of a path holds for all that is there, though requests say the name alone."""
    denied = [_statement("Deny", f"{OF_ANN}:{kind}/boss/*") for kind in ("user", "group", "role", "policy")]
    with pytest.raises(IamError, match="not authorized to perform") as caught:
        _ask(_account(_statement("Allow", "*"), *denied), "amy", **given)
    assert caught.value.code == "AccessDenied"


def test_a_path_that_is_permitted() -> None:
    """An Allow of a path is for what is there, and for nothing else."""
    keys = _account(_statement("Allow", f"{OF_ANN}:user/boss/*"))
    assert _ask(keys, "amy", Action="GetUser", UserName="top")
    for name in ("amy", "nobody"):
        with pytest.raises(IamError, match="not authorized to perform"):
            _ask(keys, "amy", Action="GetUser", UserName=name)


@pytest.mark.parametrize("action", ["CreateAccessKey", "ListAccessKeys", "UpdateAccessKey", "DeleteAccessKey"])
def test_keys_of_the_root(action: str) -> None:
    """A user who may do everything with IAM makes no key that no policy binds, nor takes the root's away."""
    keys = _account(_statement("Allow", "*"))
    (key,) = keys.of_user("ann")
    more = {"AccessKeyId": key.id} if action in ("UpdateAccessKey", "DeleteAccessKey") else {}
    given = {"Action": action, "UserName": "ann", **more} | (
        {"Status": "Active"} if action == "UpdateAccessKey" else {}
    )
    with pytest.raises(IamError, match="for the root of the account alone") as caught:
        _ask(keys, "amy", **given)
    assert caught.value.code == "AccessDenied"
    _ask(keys, "ann", **given)


def test_what_an_account_may_take() -> None:
    """More than the limit is refused, what makes it less is not; another account has its own."""
    keys = _account()
    size = keys.iam.size_of("ann")

    def ask(size_max: int, account: str = "ann", **given: str) -> AccessKeys:
        caller = Identity().as_user(account, Principals(keys.iam))
        return service.admit(given, caller, {}, 0, SECRET, _verify, keys.iam).run(keys, size_max)[0]

    more = {"Action": "CreateGroup", "GroupName": "g"}
    with pytest.raises(IamError, match=r"limits\.account_metadata permits") as caught:
        ask(size, **more)
    assert caught.value.code == "LimitExceeded"
    assert ask(size + 1000, **more).iam.get(Group, "ann", "g")
    assert ask(size, "bob", **more).iam.get(Group, "bob", "g")
    shorter = ask(1, Action="DeleteRole", RoleName="top")
    assert shorter.iam.get(Role, "ann", "top") is None


def test_access_keys_of_an_account(monkeypatch: pytest.MonkeyPatch) -> None:
    """No account takes all that the cluster can have."""
    monkeypatch.setattr(access_keys, "ACCOUNT_KEYS_MAX", 2)
    keys = _account().with_key(new_key("top", SECRET, 0)[0]).with_key(new_key("bob", SECRET, 0)[0])
    with pytest.raises(IamError, match="access keys per account: 2") as caught:
        _ask(keys, "ann", Action="CreateAccessKey", UserName="amy")
    assert caught.value.code == "LimitExceeded"
    _ask(keys, "bob", Action="CreateAccessKey")


@pytest.mark.parametrize("through", ["", "GetSessionToken", "AssumeRole"])
def test_sessions_end_with_the_key_that_asked(through: str) -> None:
    """Whoever has a stolen key has nothing left of it once it is disabled, in no role either, however he got there."""
    keys = _account(_statement("Allow", "*"), {"Effect": "Allow", "Action": "sts:AssumeRole", "Resource": "*"})
    key, _ = new_key("amy", SECRET, 0)
    trust = json.dumps({"Statement": {"Effect": "Allow", "Principal": "*", "Action": "sts:AssumeRole"}})
    for name in ("top", "next"):
        role = Role(name=name, account="ann", id=name, trust=trust, inline=keys.iam.users["amy"].inline)
        keys = keys.with_iam(keys.iam.with_entity(role))
    ring = KeyRing(keys.with_key(key), [SECRET])
    principals = Principals(keys.iam)

    def session(caller: Identity, action: str, role: str) -> Session:
        given = {"Action": action} | (
            {"RoleArn": f"{OF_ANN}:role/{role}", "RoleSessionName": "job"} if action == "AssumeRole" else {}
        )
        nodes: Any = service.admit(given, caller, {}, 0, SECRET, _verify, keys.iam).run(keys)[1]
        found = ring.session(dict(dict(nodes)["Credentials"])["SessionToken"])
        assert found is not None
        return found

    signature: Any = SimpleNamespace(access_key=key.id)
    caller = Identity(signature=signature).as_user("amy", principals)
    if through:
        held = session(caller, through, "next")
        caller = Identity(signature=SimpleNamespace(access_key=held.key)).as_holder(held, "", principals)  # type: ignore[arg-type]
    token = sessions.seal(session(caller, "AssumeRole", "top"), SECRET)
    assert KeyRing(keys.with_key(key), [SECRET]).session(token) is not None
    assert KeyRing(keys.with_key(key).with_disabled(key.id, True), [SECRET]).session(token) is None
    assert KeyRing(keys, [SECRET]).session(token) is None
