"""Users, groups, roles and policies of accounts: plain values, part of the replicated access keys (`ais.auth.keys`).

An *account* is a user to whom the administrator gave an access key, `ais auth key create ann`: the root of the account
`ann`, which owns buckets. What an account makes by the IAM API belongs to it: its users and roles own nothing and may
do what policies give them. The name of a user is unique in the cluster, names of other things within their account.
"""

import hashlib
from collections.abc import Iterator, Mapping
from typing import TypeVar

import msgspec

from ais.api import codec
from ais.api.codec import U64

NOBODY = "ais"
"""The account of callers while nobody has to authenticate."""
AWS = "aws"
"""In place of an account's ID: policies that every account has."""


class Entity(msgspec.Struct, frozen=True, kw_only=True):
    """What all have in common. `created`: Unix nanoseconds; `inline`: policies by name, as they were put."""

    name: str
    account: str
    id: str
    path: str = "/"
    created: U64 = U64(0)
    inline: dict[str, str] = {}
    attached: tuple[str, ...] = ()
    """ARNs of managed policies."""
    tags: dict[str, str] = {}

    @property
    def kind(self) -> str:
        """As ARNs name it: `user`."""
        return type(self).__name__.lower()

    @property
    def arn(self) -> str:
        """Its full name."""
        return f"arn:aws:iam::{account_id(self.account)}:{self.kind}{self.path}{self.name}"

    def has_policies(self) -> bool:
        """Whether any policy is its."""
        return bool(self.inline or self.attached)


class User(Entity, frozen=True, kw_only=True):
    """Who signs with access keys of the same user name."""


class Group(Entity, frozen=True, kw_only=True):
    """Users of one account that share policies."""

    members: tuple[str, ...] = ()


class Role(Entity, frozen=True, kw_only=True):
    """What callers become for a while; `trust` is the policy that says who may."""

    trust: str
    description: str = ""
    max_session_s: int = 3600


class PolicyVersion(msgspec.Struct, frozen=True):
    """One text of a managed policy."""

    text: str
    created: U64 = U64(0)


class Policy(Entity, frozen=True, kw_only=True):
    """A managed policy; `default` is the version that counts."""

    description: str = ""
    versions: dict[str, PolicyVersion] = {}
    default: str = "v1"
    next_version: int = 2
    updated: U64 = U64(0)

    @property
    def text(self) -> str:
        """What counts."""
        return self.versions[self.default].text


E = TypeVar("E", bound=Entity)


class Iam(msgspec.Struct, frozen=True):
    """Everything at one moment; treat the dictionaries as immutable. Keys: `User.name`, else `account/name`."""

    users: dict[str, User] = {}
    groups: dict[str, Group] = {}
    roles: dict[str, Role] = {}
    policies: dict[str, Policy] = {}

    def table(self, kind: type[E]) -> Mapping[str, E]:
        """All of a kind."""
        found: Mapping[str, E] = getattr(self, _FIELD[kind])
        return found

    def get(self, kind: type[E], account: str, name: str) -> E | None:
        """One of an account."""
        found = self.table(kind).get(name if kind is User else f"{account}/{name}")
        return found if found is not None and found.account == account else None

    def of_account(self, kind: type[E], account: str) -> list[E]:
        """All of a kind that an account has, by name."""
        return sorted((one for one in self.table(kind).values() if one.account == account), key=lambda one: one.name)

    def size_of(self, account: str) -> int:
        """Bytes of all that an account has."""
        tables: tuple[Mapping[str, Entity], ...] = (self.users, self.groups, self.roles, self.policies)
        return sum(len(codec.to_json(one)) for table in tables for one in table.values() if one.account == account)

    def with_entity(self, entity: Entity) -> "Iam":
        """With one added or replaced."""
        table = self.table(type(entity))
        return msgspec.structs.replace(self, **{_FIELD[type(entity)]: {**table, _key(entity): entity}})

    def without(self, entity: Entity) -> "Iam":
        """Without one."""
        table = {key: one for key, one in self.table(type(entity)).items() if key != _key(entity)}
        return msgspec.structs.replace(self, **{_FIELD[type(entity)]: table})

    def groups_of(self, user: User) -> list[Group]:
        """The groups that a user is in."""
        return [one for one in self.of_account(Group, user.account) if user.name in one.members]

    def policy(self, arn: str) -> str | None:
        """The text of a managed policy, also of those that every account has."""
        if arn in MANAGED:
            return MANAGED[arn]
        found = self.policy_of(arn)
        return found.text if found is not None else None

    def policy_of(self, arn: str) -> Policy | None:
        """A managed policy that an account made."""
        return next((one for one in self.policies.values() if one.arn == arn), None)

    def texts_of(self, entity: Entity) -> Iterator[str]:
        """The policies of one, those of its groups included."""
        owners = [entity, *(self.groups_of(entity) if isinstance(entity, User) else ())]
        for owner in owners:
            yield from owner.inline.values()
            for arn in owner.attached:
                if (text := self.policy(arn)) is not None:
                    yield text


_FIELD: Mapping[type[Entity], str] = {User: "users", Group: "groups", Role: "roles", Policy: "policies"}


def _key(entity: Entity) -> str:
    return entity.name if isinstance(entity, User) else f"{entity.account}/{entity.name}"


def account_id(account: str) -> str:
    """The twelve digits by which Amazon's tools know an account."""
    digest = hashlib.sha256(b"ais account " + account.encode()).digest()
    return f"{int.from_bytes(digest[:8], 'big') % 10**12:012}"


def _managed(actions: str) -> str:
    return f'{{"Version":"2012-10-17","Statement":[{{"Effect":"Allow","Action":[{actions}],"Resource":"*"}}]}}'


MANAGED: Mapping[str, str] = {
    f"arn:aws:iam::{AWS}:policy/{name}": _managed(actions)
    for name, actions in {
        "AdministratorAccess": '"*"',
        "AmazonS3FullAccess": '"s3:*"',
        "AmazonS3ReadOnlyAccess": '"s3:Get*","s3:List*"',
        "IAMFullAccess": '"iam:*"',
        "IAMReadOnlyAccess": '"iam:Get*","iam:List*"',
    }.items()
}
"""Policies that every account has, by ARN: those of Amazon's that are about what there is here."""
