"""A request as actions get it, and what several of them need: find, create, show, list by pages."""

import re
import secrets as randomness
import string
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import NamedTuple, TypeVar
from urllib.parse import quote

from ais.auth.iam import E, Entity, Group, Iam, Policy, Role, User
from ais.auth.keys import AccessKeys
from ais.auth.tokens import Claims
from ais.iam.errors import IamError
from ais.iam.params import NAME, USER, Params
from ais.s3.identity import Identity
from ais.s3.policy_conditions import Context
from ais.s3.xml import Node

Nodes = list[Node]
Answer = tuple[AccessKeys, Nodes]
MOST: Mapping[type[Entity], int] = {User: 5000, Group: 300, Role: 1000, Policy: 1500}
"""Of one account, as at Amazon."""
PAGE = 100
_ALPHABET = string.ascii_uppercase + string.digits
_PREFIX: Mapping[type[Entity], str] = {User: "AIDA", Group: "AGPA", Role: "AROA", Policy: "ANPA"}
_TYPE: Mapping[type[Entity], str] = {User: "user", Group: "group", Role: "role", Policy: "policy"}
T = TypeVar("T")


class Ask(NamedTuple):
    """Who asks for what, and when (Unix nanoseconds). `secret` is the cluster's."""

    account: str
    caller: Identity
    params: Params
    now_ns: int
    secret: bytes
    context: Context
    """What policies may ask of the request itself."""
    verify: Callable[[str], Claims]
    """What a token of an OpenID Connect issuer says. Raise `BadToken`, `NotReady` while its keys are fetched."""

    def find(self, keys: AccessKeys, kind: type[E]) -> E:
        """The user, group or role that the parameters name. Raise `IamError` NoSuchEntity."""
        return require(keys.iam, kind, self.account, self.params.named(parameter_of(kind), pattern_of(kind)))

    def new_id(self, kind: type[Entity]) -> str:
        """What tells an entity from a later one of the same name."""
        return _PREFIX[kind] + "".join(randomness.choice(_ALPHABET) for _ in range(16))

    def check_new(self, keys: AccessKeys, kind: type[Entity], name: str) -> None:
        """Raise `IamError` EntityAlreadyExists or LimitExceeded."""
        alike = (one for one in keys.iam.of_account(kind, self.account) if one.name.lower() == name.lower())
        if any(alike):
            raise IamError("EntityAlreadyExists", f"{kind.__name__} with name {name} already exists.")
        if len(keys.iam.of_account(kind, self.account)) >= MOST[kind]:
            raise IamError("LimitExceeded", f"Cannot exceed quota for {kind.__name__}s per account: {MOST[kind]}")


Handler = Callable[[Ask, AccessKeys], Answer]


def require(iam: Iam, kind: type[E], account: str, name: str) -> E:
    """One of an account. Raise `IamError` NoSuchEntity."""
    found = iam.get(kind, account, name)
    if found is None:
        raise IamError("NoSuchEntity", f"The {_TYPE[kind]} with name {name} cannot be found.")
    return found


def parameter_of(kind: type[Entity]) -> str:
    """By which parameter an entity is named."""
    return f"{kind.__name__}Name"


def pattern_of(kind: type[Entity]) -> re.Pattern[str]:
    """What its name may be."""
    return USER if kind is User else NAME


def shown(entity: Entity, *, is_whole: bool = False) -> Nodes:
    """An entity as answers show it; `is_whole`: with what lists leave out."""
    kind = type(entity).__name__
    nodes: Nodes = [(f"{kind}Name", entity.name), (f"{kind}Id", entity.id), ("Path", entity.path), ("Arn", entity.arn)]
    nodes.append(("CreateDate", time_of(entity.created)))
    if isinstance(entity, Role):
        nodes.append(("AssumeRolePolicyDocument", encoded(entity.trust)))
        nodes.append(("MaxSessionDuration", entity.max_session_s))
    if isinstance(entity, Role | Policy) and entity.description:
        nodes.append(("Description", entity.description))
    if isinstance(entity, Policy):
        nodes += [("DefaultVersionId", entity.default), ("IsAttachable", True)]
        nodes.append(("UpdateDate", time_of(entity.updated)))
    if is_whole and entity.tags:
        nodes.append(("Tags", tags_of(entity.tags)))
    return nodes


def tags_of(tags: Mapping[str, str]) -> Nodes:
    """Tags as a list."""
    return [("member", [("Key", key), ("Value", value)]) for key, value in tags.items()]


def encoded(document: str) -> str:
    """A policy as answers carry it."""
    return quote(document, safe="-_.~")


def time_of(ns: int) -> str:
    """A moment, by Unix nanoseconds."""
    return at(ns // 1_000_000_000)


def at(seconds: float) -> str:
    """A moment, by Unix seconds."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def page(ask: Ask, name: str, found: Sequence[T], show: Callable[[T], str | Nodes]) -> Nodes:
    """One page of a list, from where `Marker` says on. Raise `IamError`."""
    limit = ask.params.number("MaxItems", 1, 1000, PAGE)
    marker = ask.params.get("Marker")
    if marker is not None and not marker.isdigit():
        raise IamError("ValidationError", "Invalid Marker")
    first = int(marker or 0)
    shown_now: Iterable[T] = found[first : first + limit]
    nodes: Nodes = [(name, [("member", show(one)) for one in shown_now])]
    if first + limit < len(found):
        return [*nodes, ("IsTruncated", True), ("Marker", str(first + limit))]
    return [*nodes, ("IsTruncated", False)]


def under(ask: Ask, entities: Iterable[E]) -> list[E]:
    """Those whose path begins as the parameters say."""
    prefix = ask.params.get("PathPrefix") or "/"
    return [one for one in entities if one.path.startswith(prefix)]
