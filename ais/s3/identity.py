"""Who sends an S3 request, and whether they may: signature, owner, policy, public access block. Pure decisions."""

import ipaddress
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from ais.auth import iam, sessions
from ais.auth.keys import KeyRing
from ais.auth.sessions import Session
from ais.net.http import Request
from ais.s3 import acl, actions, copy_source, members, operations, policy, sigv2, sigv4
from ais.s3.acl import Acl
from ais.s3.errors import S3Error
from ais.s3.front import S3Request
from ais.s3.policy import Caller, Statement, Verdict
from ais.s3.policy_conditions import Context
from ais.s3.principals import Principal, Principals

STREAMING_SIGNED = ("STREAMING-AWS4-HMAC-SHA256-PAYLOAD", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER")
STREAMING_UNSIGNED = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
_OF_THE_OWNER = ("s3:GetBucketPolicy", "s3:PutBucketPolicy", "s3:DeleteBucketPolicy")
_HEX = frozenset("0123456789abcdef")
_FORM_OF_LISTS = "list-type"
"""What it names lists the same bucket."""
_WRITES = frozenset(op for op in operations.Op if actions.action_of(op) == "s3:PutObject")
"""A policy that asks for a header of new objects asks for it beside their parts too, which heed none."""
_HEADER_KEYS = {
    "x-amz-object-lock-mode": "s3:object-lock-mode",
    "x-amz-object-lock-legal-hold": "s3:object-lock-legal-hold",
    "user-agent": "aws:useragent",
    "referer": "aws:referer",
    "if-match": "s3:if-match",
    "if-none-match": "s3:if-none-match",
}


class Identity(NamedTuple):
    """Who asks. `user` is the account, None for an anonymous request; `signed` what chunk signatures are verified with.

    `trusted`: authentication is off, everybody may do everything. `principal`: a user, role or session whose policies
    decide; None: the root of the account. `token`: of a session. `is_admin`: the account has an administrator's key.
    `is_bearer`: a token of AuthN says who it is, and permitted the request.
    """

    user: str | None = None
    signature: sigv4.Signature | sigv2.Signature | None = None
    signed: sigv4.Signed | None = None
    trusted: bool = False
    principal: Principal | None = None
    caller: Caller = Caller()
    session: Session | None = None
    token: str = ""
    is_admin: bool = False
    is_bearer: bool = False

    @property
    def described(self) -> str:
        """As refusals name the caller."""
        if self.principal is not None:
            return self.principal.arn
        return f"user {self.user}" if self.user else "an anonymous caller"

    def as_user(self, user: str, principals: Principals) -> "Identity":
        """The same signature, by the holder of a user's name."""
        principal = principals.of_user(user)
        if principal is not None:
            known = self._replace(user=principal.account, principal=principal, caller=principal.caller)
        else:
            known = self._replace(user=user, caller=principals.caller_of_root(user))
        return known._replace(is_admin=known.user in principals.admins)

    def as_holder(self, session: Session, token: str, principals: Principals) -> "Identity":
        """The same signature, by the holder of a session token. Raise `S3Error`."""
        principal = principals.of_session(session)
        caller = principal.caller if principal is not None else principals.caller_of_root(session.user)
        held = self._replace(session=session, token=token, principal=principal, caller=caller)
        return held._replace(user=session.account, is_admin=session.account in principals.admins)


def authenticate(
    request: S3Request, keys: KeyRing, principals: Principals, *, required: bool, now_s: float
) -> Identity:
    """Verify the signature of the head. Raise `S3Error`. With `required` False (auth off) any key is accepted."""
    old = sigv2.read_signature(request.headers, request.params)
    signature = old or sigv4.read_signature(request.headers, request.params)
    payload_hash = _payload_hash(request, signature)
    if not required:
        return Identity(signature.access_key if signature else None, signature, None, trusted=True)
    if signature is None:
        return Identity()
    token = request.header("x-amz-security-token") or request.params.get("X-Amz-Security-Token", "")
    secret, known = credential(keys, principals, signature.access_key, token, now_s)
    known = known._replace(signature=signature)
    if isinstance(signature, sigv2.Signature):
        _verify_old(request, signature, secret, now_s)
        return known
    sigv4.check_time(signature, now_s)
    sigv4.check_headers(signature, [name for name, _ in request.http.headers.items()])
    signed = sigv4.verify(
        signature,
        secret,
        method=request.http.method,
        path=request.http.path,
        query=request.http.query,
        headers=request.headers,
        payload_hash=payload_hash,
    )
    return known._replace(signed=signed) if payload_hash in STREAMING_SIGNED else known


def credential(keys: KeyRing, principals: Principals, key_id: str, token: str, now_s: float) -> tuple[str, Identity]:
    """The secret that a request must be signed with, and who it then is from. `token` is empty without a session.

    Raise `S3Error` InvalidAccessKeyId, InvalidToken, ExpiredToken.
    """
    if not token:
        found = keys.lookup(key_id)
        if found is None or found.disabled:
            raise S3Error("InvalidAccessKeyId", AWSAccessKeyId=key_id)
        return found.secret, Identity().as_user(found.user, principals)
    session = keys.session(token)
    if session is None or session.key != key_id:
        raise S3Error("InvalidToken")
    check_alive(session, now_s)
    return session.secret, Identity().as_holder(session, token, principals)


def check_alive(session: Session, now_s: float) -> None:
    """Raise `S3Error` ExpiredToken."""
    if session.expires <= now_s:
        raise S3Error("ExpiredToken")


def is_session_token(token: str) -> bool:
    """Whether a security token is one of a session, not one of AuthN."""
    return token.startswith(sessions.PREFIX)


def _verify_old(request: S3Request, signature: sigv2.Signature, secret: str, now_s: float) -> None:
    sigv2.check_time(signature, now_s)
    asked = operations.sub_resource_of(request.key, request.params)
    if signature.expires_at_s is not None and asked and asked not in (*sigv2.SIGNED_PARAMETERS, _FORM_OF_LISTS):
        raise S3Error("AccessDenied", f"Signature version 2 does not cover ?{asked}: presign the URL with version 4")
    resource = f"/{request.bucket}{request.http.path}" if request.is_virtual else request.http.path
    sigv2.verify(
        signature,
        secret,
        method=request.http.method,
        resource=resource,
        params=request.params,
        headers=request.headers,
    )


def _payload_hash(request: S3Request, signature: sigv4.Signature | sigv2.Signature | None) -> str:
    given = request.header("x-amz-content-sha256")
    if not given:
        if isinstance(signature, sigv4.Signature) and signature.expires_s is None:
            raise S3Error("MissingSecurityHeader", "Missing required header for this request: x-amz-content-sha256")
        return sigv4.UNSIGNED
    if given in (sigv4.UNSIGNED, STREAMING_UNSIGNED, *STREAMING_SIGNED):
        return given
    if given.startswith("STREAMING-"):
        raise S3Error("NotImplemented", f"x-amz-content-sha256 {given} is not supported")
    if len(given) != 64 or not set(given) <= _HEX:
        raise S3Error(
            "InvalidArgument",
            "x-amz-content-sha256 must be UNSIGNED-PAYLOAD, STREAMING-..., or a valid sha256 value.",
        )
    return given


class Rights(NamedTuple):
    """What a bucket says about access. `owner` is empty for buckets of nobody: they are the administrators'.

    `acl` is None where lists mean nothing: the bucket's owner owns every object.
    """

    owner: str
    statements: Sequence[Statement] = ()
    restrict_public: bool = False
    acl: Acl | None = None
    ignore_public_acls: bool = False

    def is_owned_by(self, caller: Identity) -> bool:
        """Whether a bucket is the caller's."""
        return owns(caller, self.owner)


def owns(caller: Identity, owner: str) -> bool:
    """Whether what belongs to `owner` (empty: to nobody) is the caller's: a user's own, or an administrator's."""
    if caller.user is None:
        return False
    return caller.user == owner if owner else caller.is_admin


def authorize(
    identity: Identity,
    rights: Rights,
    action: str,
    bucket: str,
    key: str,
    context: Context,
    existing: Acl | None = None,
) -> None:
    """Raise `S3Error` AccessDenied unless the caller may: a Deny wins, then ownership, then an Allow or a grant.

    `existing` is the list of the object there is, in a bucket whose objects have such: its owner owns it, and only of
    the objects of the bucket's owner can the policy give anything. No policy keeps the bucket's owner from the policy.
    """
    is_owner = rights.is_owned_by(identity)
    principal = identity.principal
    if identity.trusted or (is_owner and principal is None and action in _OF_THE_OWNER):
        return
    verdict = policy.evaluate(
        rights.statements, caller=identity.caller, action=action, bucket=bucket, key=key, context=context
    )
    if verdict is Verdict.DENY:
        raise S3Error("AccessDenied", f"{action} on {bucket} is denied by the bucket policy")
    own = Verdict.ALLOW if principal is None else principal.verdict(action, policy.arn_of(bucket, key), context)
    if own is Verdict.DENY:
        raise S3Error("AccessDenied", f"{action} on {bucket} is denied by a policy of {identity.described}")
    judged = existing if existing is not None and acl.is_about_object(action) else rights.acl
    is_foreign = judged is existing and existing is not None and existing.owner != rights.owner
    owns = judged.owner == identity.user if is_foreign and judged is not None else is_owner
    is_allowed = verdict is Verdict.ALLOW and not is_foreign
    if owns and (own is Verdict.ALLOW or (is_allowed and _is_direct(identity, rights, action, bucket, key, context))):
        return
    if own is Verdict.ALLOW and is_allowed and not (rights.restrict_public and policy.is_public(rights.statements)):
        return
    permission = acl.permission_of(action)
    if own is Verdict.ALLOW and judged is not None and permission is not None:
        if key and judged is rights.acl and acl.is_about_object(action):
            permission = acl.READ  # of an object that is not there: whoever may list the bucket may know
        if judged.allows(identity.user, permission, ignore_public=rights.ignore_public_acls):
            return
    raise S3Error("AccessDenied", f"{identity.described} is not allowed to perform {action} on {bucket}")


def _is_direct(identity: Identity, rights: Rights, action: str, bucket: str, key: str, context: Context) -> bool:
    """Whether the bucket's policy allows it to the caller, not only to their account: then it is enough by itself."""
    direct = identity.caller._replace(account="")
    verdict = policy.evaluate(rights.statements, caller=direct, action=action, bucket=bucket, key=key, context=context)
    principal, resource = identity.principal, policy.arn_of(bucket, key)
    return verdict is Verdict.ALLOW and (principal is None or principal.is_within_limits(action, resource, context))


def condition_context(
    request: S3Request, identity: Identity, existing_tags: Mapping[str, str], now_s: float
) -> dict[str, str | Sequence[str]]:
    """The condition keys of `ais.s3.policy` that this request gives values for: what it says and does not heed, it does
    not say, or any client would say what its rights ask for.
    """
    context: dict[str, str | Sequence[str]] = request_context(request.http, now_s) | {
        "s3:authtype": "REST-QUERY-STRING" if identity.signature and identity.signature.expires_s else "REST-HEADER",
        "s3:signatureversion": identity.signature.version if identity.signature else sigv4.ALGORITHM,
    }
    context |= caller_context(identity)
    if identity.signature and identity.signature.time_s:
        context["s3:signatureage"] = str(int((now_s - identity.signature.time_s) * 1000))
    for name, values in request.headers.items():
        if name.startswith("x-amz-") and request.op not in _WRITES and not members.is_heeded(request.op, name):
            continue
        if (key := _HEADER_KEYS.get(name)) is not None:
            context[key] = values[0]
        if name.startswith("x-amz-"):
            context[f"s3:{name}"] = copy_source.spelt(values[0]) if name == "x-amz-copy-source" else values[0]
    params = {
        "prefix": "s3:prefix",
        "delimiter": "s3:delimiter",
        "max-keys": "s3:max-keys",
        "versionId": "s3:versionid",
    }
    context |= {params[name]: value for name, value in request.params.items() if name in params}
    return context | {f"s3:existingobjecttag/{name.lower()}": value for name, value in existing_tags.items()}


def request_context(http: Request, now_s: float) -> dict[str, str | Sequence[str]]:
    """The condition keys that any request has a value for."""
    return {
        "aws:sourceip": _address(http.remote),
        "aws:securetransport": "true" if http.scheme == "https" else "false",
        "aws:currenttime": datetime.fromtimestamp(now_s, UTC).isoformat(),
        "aws:epochtime": str(int(now_s)),
    }


def caller_context(identity: Identity) -> dict[str, str | Sequence[str]]:
    """The condition keys that say who asks."""
    principal, session, user = identity.principal, identity.session, identity.user
    if not user:
        return {"aws:principaltype": "Anonymous"}
    context: dict[str, str | Sequence[str]] = {"aws:principalaccount": iam.account_id(user)}
    if principal is None:
        arn = f"arn:aws:iam::{iam.account_id(user)}:user/{user}"
        old = f"arn:aws:iam::000000000000:user/{user}"  # what policies of former versions compare with
        context |= {
            "aws:principaltype": "User",
            "aws:username": user,
            "aws:userid": user,
            "aws:principalarn": [arn, old],
        }
    elif principal.user:
        context |= {"aws:principaltype": "User", "aws:username": principal.user}
        context |= {"aws:userid": principal.id, "aws:principalarn": principal.arn}
    else:
        context |= {
            "aws:principaltype": "AssumedRole",
            "aws:userid": principal.id,
            "aws:principalarn": principal.role_arn,
        }
    if session is not None:
        issued = datetime.fromtimestamp(session.issued, UTC).isoformat()
        context |= {"aws:tokenissuetime": issued, "aws:multifactorauthpresent": "false"}
    return context


def _address(remote: str) -> str:
    host = remote.rpartition(":")[0].strip("[]")
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return str(mapped or address)
