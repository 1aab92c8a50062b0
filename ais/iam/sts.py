"""Sessions: credentials for a while, for a user or in a role; and who a caller is."""

import math
import re

from ais.auth import sessions
from ais.auth.iam import Iam, Role, account_id
from ais.auth.keys import AccessKeys
from ais.auth.sessions import Session
from ais.auth.tokens import BadToken, Claims
from ais.base.errors import NotReady
from ais.iam import documents
from ais.iam.ask import Answer, Ask, Nodes, at
from ais.iam.errors import IamError
from ais.s3 import identity, policy
from ais.s3.policy import Caller, Verdict

SESSION_POLICY_MAX = 2048
_SESSION_NAME = re.compile(r"[A-Za-z0-9+=,.@_-]{2,64}")
_EXTERNAL_ID = re.compile(r"[A-Za-z0-9+=,.@:/\\_-]{2,1224}")
_CHAINED_S_MAX = 3600
"""Of a role that is assumed from a role."""


def get_caller_identity(ask: Ask, keys: AccessKeys) -> Answer:
    """Who signs the request. Nobody needs a right to know."""
    principal, digits = ask.caller.principal, account_id(ask.account)
    who: Nodes = [("Arn", f"arn:aws:iam::{digits}:root"), ("UserId", digits)]
    if principal is not None:
        who = [("Arn", principal.arn), ("UserId", principal.id)]
    return keys, [*who, ("Account", digits)]


def get_session_token(ask: Ask, keys: AccessKeys) -> Answer:
    """The caller's own rights for a while; they end with the access key."""
    if ask.caller.session is not None:
        raise IamError("AccessDenied", "Cannot call GetSessionToken with session credentials")
    seconds = ask.params.number("DurationSeconds", 900, 129_600, 43_200)
    user, parent = _asker(ask)
    key, secret = sessions.new_credentials()
    now_s = ask.now_ns // 1_000_000_000
    session = Session(key, secret, ask.account, now_s, now_s + seconds, user=user, parent=parent)
    return keys, [_credentials(session, ask.secret)]


def assume_role(ask: Ask, keys: AccessKeys) -> Answer:
    """Become a role that lets the caller. Raise `IamError` AccessDenied."""
    arn = ask.params.require("RoleArn")
    name = ask.params.named("RoleSessionName", _SESSION_NAME)
    external_id = ask.params.get("ExternalId")
    if external_id is not None and not _EXTERNAL_ID.fullmatch(external_id):
        raise IamError("ValidationError", f"ExternalId must match {_EXTERNAL_ID.pattern}")
    role = next((one for one in keys.iam.roles.values() if one.arn == arn), None)
    if role is None or not _may_assume(ask, role, name, external_id):
        who = ask.caller.described
        raise IamError("AccessDenied", f"User: {who} is not authorized to perform: sts:AssumeRole on resource: {arn}")
    is_chained = ask.caller.session is not None and bool(ask.caller.session.role)
    longest = min(role.max_session_s, _CHAINED_S_MAX) if is_chained else role.max_session_s
    return keys, _begun(ask, keys, role, name, longest, _asker(ask))


def assume_role_with_web_identity(ask: Ask, keys: AccessKeys) -> Answer:
    """Become a role that trusts the issuer of a token. Raise `IamError`."""
    arn, token = ask.params.require("RoleArn"), ask.params.require("WebIdentityToken")
    name = ask.params.named("RoleSessionName", _SESSION_NAME)
    try:
        claims = ask.verify(token)
    except NotReady as error:
        raise IamError("IDPCommunicationError", str(error)) from None
    except BadToken as error:
        code = "ExpiredTokenException" if "expired" in str(error) else "InvalidIdentityToken"
        raise IamError(code, str(error)) from None
    role = next((one for one in keys.iam.roles.values() if one.arn == arn), None)
    if role is None or not _trusts(ask, role, name, claims):
        raise IamError("AccessDenied", "Not authorized to perform sts:AssumeRoleWithWebIdentity")
    who: Nodes = [("SubjectFromWebIdentityToken", claims.sub), ("Provider", claims.iss)]
    who += [("Audience", claims.aud[0])] if claims.aud else []
    return keys, [*_begun(ask, keys, role, name, role.max_session_s, ("", "")), *who]


def _trusts(ask: Ask, role: Role, name: str, claims: Claims) -> bool:
    issuer = claims.iss.partition("://")[2].rstrip("/")
    provider = f"Federated:arn:aws:iam::{account_id(role.account)}:oidc-provider/{issuer}"
    said = {f"{issuer}:sub".lower(): claims.sub, f"{issuer}:aud".lower(): list(claims.aud)}
    context = {**ask.context, "sts:rolesessionname": name, **said}
    caller = Caller(names=frozenset((provider,)))
    trust = policy.parse_trust(role.trust)
    return policy.judge(trust, caller, "sts:AssumeRoleWithWebIdentity", role.arn, context) is Verdict.ALLOW


def _asker(ask: Ask) -> tuple[str, str]:
    """Who asks, and the ID of their access key: what it was used for ends with it, at whatever remove."""
    if (session := ask.caller.session) is not None:
        return session.user, session.parent
    principal, signature = ask.caller.principal, ask.caller.signature
    user = principal.user if principal is not None else ask.account
    return user, signature.access_key if signature is not None else ""


def _begun(ask: Ask, keys: AccessKeys, role: Role, name: str, longest: int, asker: tuple[str, str]) -> Nodes:
    """A session in a role, as long and narrow as the request says. `asker`: the user, and the key it ends with."""
    seconds = ask.params.number("DurationSeconds", 900, longest, min(3600, longest))
    narrowed = ask.params.get("Policy") or ""
    if narrowed:
        documents.identity(narrowed, SESSION_POLICY_MAX, "Policy")
    policies = tuple(ask.params.policies())
    _check_policies(keys.iam, role, policies)
    key, secret = sessions.new_credentials()
    now_s = ask.now_ns // 1_000_000_000
    session = Session(
        key, secret, role.account, now_s, now_s + seconds, user=asker[0], parent=asker[1],
        role=role.name, role_id=role.id, name=name, policy=narrowed, policies=policies,
    )  # fmt: skip
    held = f"arn:aws:sts::{account_id(role.account)}:assumed-role/{role.name}/{name}"
    nodes: Nodes = [_credentials(session, ask.secret)]
    nodes.append(("AssumedRoleUser", [("AssumedRoleId", f"{role.id}:{name}"), ("Arn", held)]))
    if narrowed:
        nodes.append(("PackedPolicySize", math.ceil(100 * len(narrowed) / SESSION_POLICY_MAX)))
    return nodes


def _may_assume(ask: Ask, role: Role, name: str, external_id: str | None) -> bool:
    """Whether the role trusts the caller, and the caller's own policies let them."""
    if ask.caller.trusted:
        return True
    context = identity.caller_context(ask.caller) | {"sts:rolesessionname": name, **ask.context}
    if external_id is not None:
        context["sts:externalid"] = external_id
    trust, caller = policy.parse_trust(role.trust), ask.caller.caller
    verdict = policy.judge(trust, caller, "sts:AssumeRole", role.arn, context)
    principal = ask.caller.principal
    own = Verdict.ALLOW if principal is None else principal.verdict("sts:AssumeRole", role.arn, context)
    if verdict is not Verdict.ALLOW or own is Verdict.DENY:
        return False
    direct = policy.judge(trust, caller._replace(account=""), "sts:AssumeRole", role.arn, context)
    is_enough = direct is Verdict.ALLOW and role.account == ask.account
    return own is Verdict.ALLOW or (
        is_enough and principal is not None and principal.is_within_limits("sts:AssumeRole", role.arn, context)
    )


def _check_policies(iam: Iam, role: Role, arns: tuple[str, ...]) -> None:
    for arn in arns:
        found = iam.policy_of(arn)
        if iam.policy(arn) is None or (found is not None and found.account != role.account):
            raise IamError("NoSuchEntity", f"Policy {arn[:200]} was not found.")


def _credentials(session: Session, cluster_secret: bytes) -> tuple[str, Nodes]:
    token = sessions.seal(session, cluster_secret)
    shown: Nodes = [("AccessKeyId", session.key), ("SecretAccessKey", session.secret), ("SessionToken", token)]
    return "Credentials", [*shown, ("Expiration", at(session.expires))]
