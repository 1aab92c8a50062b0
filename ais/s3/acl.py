"""Access control lists of buckets and objects: canned ones, grant headers, the document, and whom they let in.

Source: Amazon S3 user guide, "Access control list (ACL) overview". A list is kept as text, `READ=*all&WRITE=ann`, and
as nothing when the owner alone has full control. Pure.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple
from urllib.parse import parse_qsl, urlencode
from xml.etree.ElementTree import Element

from ais.s3 import schema, xml
from ais.s3.errors import S3Error

ENFORCED, PREFERRED, WRITER = "BucketOwnerEnforced", "BucketOwnerPreferred", "ObjectWriter"
OWNERSHIPS = (ENFORCED, PREFERRED, WRITER)
NO_CONTROLS = "none"
"""Ownership controls that were removed: as `ObjectWriter`."""
OWNER_ID = "ais"
"""How clients see nobody in particular: the owner of buckets made natively or without authentication."""
EVERYBODY, ANY_USER, LOG_DELIVERY = "*all", "*auth", "*log"
GROUPS = {
    EVERYBODY: "http://acs.amazonaws.com/groups/global/AllUsers",
    ANY_USER: "http://acs.amazonaws.com/groups/global/AuthenticatedUsers",
    LOG_DELIVERY: "http://acs.amazonaws.com/groups/s3/LogDelivery",
}
_GROUP_OF = {uri: name for name, uri in GROUPS.items()}
FULL, READ, WRITE, READ_ACP, WRITE_ACP = "FULL_CONTROL", "READ", "WRITE", "READ_ACP", "WRITE_ACP"
PERMISSIONS = (FULL, READ, WRITE, READ_ACP, WRITE_ACP)
GRANTS_MAX = 100
_HEADERS = {
    "x-amz-grant-full-control": FULL,
    "x-amz-grant-read": READ,
    "x-amz-grant-write": WRITE,
    "x-amz-grant-read-acp": READ_ACP,
    "x-amz-grant-write-acp": WRITE_ACP,
}
_OF_OBJECTS = ("private", "public-read", "public-read-write", "authenticated-read", "bucket-owner-read",
               "bucket-owner-full-control")  # fmt: skip
_OF_BUCKETS = ("private", "public-read", "public-read-write", "authenticated-read", "log-delivery-write")
_GRANTEES = ("id", "uri", "emailaddress")


class Grant(NamedTuple):
    """One permission of one user or group."""

    permission: str
    grantee: str


class Acl(NamedTuple):
    """Who may do what with a bucket or an object. `owner` is a user, or empty: nobody in particular."""

    owner: str
    grants: tuple[Grant, ...]

    @property
    def is_public(self) -> bool:
        """Whether it lets in who is not named."""
        return any(grant.grantee in (EVERYBODY, ANY_USER) for grant in self.grants)

    @property
    def is_private(self) -> bool:
        """Whether the owner alone has a right, and every one."""
        return self.grants == (Grant(FULL, self.owner),)

    def allows(self, user: str | None, permission: str, *, ignore_public: bool = False) -> bool:
        """Whether a user (None: anonymous) has a permission by a grant."""
        who = {user} if user else set()
        if not ignore_public:
            who |= {EVERYBODY, ANY_USER} if user else {EVERYBODY}
        return any(grant.permission in (permission, FULL) and grant.grantee in who for grant in self.grants)

    def text(self) -> str:
        """As it is kept; empty: private."""
        return "" if self.is_private else urlencode(self.grants, safe="*") or "-"

    def document(self) -> bytes:
        """The `AccessControlPolicy`."""
        grants: list[xml.Node] = [
            ("Grant", [(_typed(grant.grantee), _grantee(grant.grantee)), ("Permission", grant.permission)])
            for grant in self.grants
        ]
        return xml.document("AccessControlPolicy", [("Owner", _user(self.owner)), ("AccessControlList", grants)])


def read(owner: str, text: str) -> Acl:
    """The list that `Acl.text` wrote."""
    if not text:
        return Acl(owner, (Grant(FULL, owner),))
    return Acl(owner, tuple(Grant(*pair) for pair in parse_qsl(text, keep_blank_values=True)))


def _typed(grantee: str) -> str:
    kind = "Group" if grantee in GROUPS else "CanonicalUser"
    return f'Grantee xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:type="{kind}"'


def _grantee(grantee: str) -> list[xml.Node]:
    return [("URI", GROUPS[grantee])] if grantee in GROUPS else _user(grantee)


def _user(name: str) -> list[xml.Node]:
    return [("ID", name or OWNER_ID), ("DisplayName", name or OWNER_ID)]


class Asked(NamedTuple):
    """What lists are made of: whose the object or bucket is, whose the bucket is, and which users there are."""

    owner: str
    bucket_owner: str
    is_user: Callable[[str], bool]


def is_asked(headers: Mapping[str, Sequence[str]]) -> bool:
    """Whether headers ask for a list at all."""
    return "x-amz-acl" in headers or any(name in headers for name in _HEADERS)


def of_headers(headers: Mapping[str, Sequence[str]], asked: Asked, *, of_bucket: bool = False) -> Acl:
    """The list that the headers of a request ask for; private when they ask for none. Raise `S3Error`."""
    granted = [(_HEADERS[name], value) for name, values in headers.items() if name in _HEADERS for value in values]
    if not granted:
        canned = headers.get("x-amz-acl", ("private",))[0]
        return _canned(canned, asked, _OF_BUCKETS if of_bucket else _OF_OBJECTS)
    if "x-amz-acl" in headers:
        raise S3Error("InvalidRequest", "Specifying both Canned ACLs and Header Grants is not allowed")
    return _checked(asked.owner, [Grant(right, who) for right, value in granted for who in _named(value, asked)])


def _canned(name: str, asked: Asked, known: Sequence[str]) -> Acl:
    if name not in known:
        raise S3Error("InvalidArgument", "", ArgumentName="x-amz-acl", ArgumentValue=name[:100])
    grants = [Grant(FULL, asked.owner)]
    if name in ("public-read", "public-read-write"):
        grants.append(Grant(READ, EVERYBODY))
    if name == "public-read-write":
        grants.append(Grant(WRITE, EVERYBODY))
    if name == "authenticated-read":
        grants.append(Grant(READ, ANY_USER))
    if name == "log-delivery-write":
        grants += [Grant(WRITE, LOG_DELIVERY), Grant(READ_ACP, LOG_DELIVERY)]
    if asked.owner != asked.bucket_owner and name.startswith("bucket-owner-"):
        grants.append(Grant(READ if name == "bucket-owner-read" else FULL, asked.bucket_owner))
    return Acl(asked.owner, tuple(grants))


def _named(value: str, asked: Asked) -> Iterable[str]:
    """The users and groups of a grant header: `id="ann", uri="http://..."`."""
    for one in value.split(","):
        kind, is_given, who = (piece.strip() for piece in one.partition("="))
        kind, who = kind.lower(), who.removeprefix('"').removesuffix('"')
        if kind not in _GRANTEES or not is_given or '"' in who:
            raise S3Error("InvalidArgument", "Argument format not recognized", ArgumentValue=one[:100])
        if kind == "uri":
            yield _group(who)
        elif kind == "id":
            yield _known(who, asked)
        else:
            raise _unresolvable(who)


def of_document(body: bytes, asked: Asked) -> Acl:
    """The list of an `AccessControlPolicy`. Raise `S3Error` MalformedACLError, AccessDenied for another owner."""
    try:
        root = xml.parse(body, "AccessControlPolicy")
        _SCHEMA.check(root)
    except S3Error:
        raise S3Error("MalformedACLError") from None
    owner_id = root.findtext("Owner/ID")
    if owner_id not in (None, asked.owner or OWNER_ID):
        raise S3Error("AccessDenied", "An access control list does not give a bucket or an object to somebody else")
    return _checked(asked.owner, [_read_grant(one, asked) for one in root.iter("Grant")])


def _read_grant(element: Element, asked: Asked) -> Grant:
    grantee = element.find("Grantee")
    assert grantee is not None  # the schema needs it
    right = xml.text(element, "Permission")
    uri, user, mail = (grantee.findtext(name) for name in ("URI", "ID", "EmailAddress"))
    if right not in PERMISSIONS or sum(one is not None for one in (uri, user, mail)) != 1:
        raise S3Error("MalformedACLError")
    if mail is not None:
        raise _unresolvable(mail)
    return Grant(right, _group(uri) if uri is not None else _known(user or "", asked))


def _checked(owner: str, grants: Iterable[Grant]) -> Acl:
    kept = tuple(dict.fromkeys(grants))
    if len(kept) > GRANTS_MAX:
        raise S3Error("MalformedACLError", f"A list has at most {GRANTS_MAX} grants")
    return Acl(owner, kept)


def _group(uri: str) -> str:
    if uri not in _GROUP_OF:
        raise S3Error("InvalidArgument", "Invalid group uri", ArgumentName="uri", ArgumentValue=uri[:100])
    return _GROUP_OF[uri]


def _known(user: str, asked: Asked) -> str:
    name = "" if user == OWNER_ID else user
    if name not in (asked.owner, asked.bucket_owner) and not asked.is_user(name):
        raise S3Error("InvalidArgument", "Invalid id", ArgumentName="CanonicalUser/ID", ArgumentValue=user[:100])
    return name


def _unresolvable(address: str) -> S3Error:
    return S3Error("UnresolvableGrantByEmailAddress", "", AWSEmailAddress=address[:100])


_TEXT = schema.text(r"[^\0]{0,1024}")
_SCHEMA = schema.group(
    Owner=schema.group(ID=schema.text(), DisplayName=_TEXT),
    AccessControlList=schema.group(
        Grant=schema.group(
            Grantee=schema.group(ID=_TEXT, URI=_TEXT, DisplayName=_TEXT, EmailAddress=_TEXT).needed(),
            Permission=schema.text().needed(),
        ).many()
    ).needed(),
)

_BUCKET_RIGHTS = {
    **dict.fromkeys(("s3:ListBucket", "s3:ListBucketVersions", "s3:ListBucketMultipartUploads"), READ),
    **dict.fromkeys(("s3:PutObject", "s3:DeleteObject", "s3:DeleteObjectVersion"), WRITE),
    "s3:GetBucketAcl": READ_ACP,
    "s3:PutBucketAcl": WRITE_ACP,
}
_OBJECT_RIGHTS = {
    **dict.fromkeys(("s3:GetObject", "s3:GetObjectVersion", "s3:GetObjectAttributes"), READ),
    **dict.fromkeys(("s3:GetObjectVersionAttributes",), READ),
    **dict.fromkeys(("s3:GetObjectAcl", "s3:GetObjectVersionAcl"), READ_ACP),
    **dict.fromkeys(("s3:PutObjectAcl", "s3:PutObjectVersionAcl"), WRITE_ACP),
}
_OF_THE_WRITER = frozenset(
    f"s3:{verb}Object{version}Tagging" for verb in ("Get", "Put", "Delete") for version in ("", "Version")
)


def is_about_object(action: str) -> bool:
    """Whether the object's own list and owner decide, not the bucket's."""
    return action in _OBJECT_RIGHTS or action in _OF_THE_WRITER


def permission_of(action: str) -> str | None:
    """What a list must grant for an action; None: no list grants it."""
    return _OBJECT_RIGHTS.get(action) or _BUCKET_RIGHTS.get(action)
