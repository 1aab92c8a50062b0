"""Users, groups and roles: create, show, list, delete, tag; who is in a group, who may assume a role."""

from collections.abc import Mapping
from typing import Any

from msgspec.structs import replace

from ais.api.codec import U64
from ais.auth.iam import E, Entity, Group, Role, User, account_id
from ais.auth.keys import AccessKeys
from ais.iam import documents
from ais.iam.ask import (
    Answer,
    Ask,
    Handler,
    Nodes,
    page,
    parameter_of,
    pattern_of,
    require,
    shown,
    time_of,
    under,
)
from ais.iam.errors import IamError

TAGS_MAX = 50
MEMBERSHIPS_MAX = 10
SESSION_S_MAX = 43_200


def create(kind: type[Entity]) -> Handler:
    """`CreateUser` and the like."""

    def handler(ask: Ask, keys: AccessKeys) -> Answer:
        name = ask.params.named(parameter_of(kind), pattern_of(kind))
        ask.check_new(keys, kind, name)
        more: dict[str, Any] = {}
        if kind is User:
            _check_user(keys, name)
        if kind is Role:
            more["trust"] = documents.trust(ask.params.require("AssumeRolePolicyDocument"))
            more["description"] = ask.params.text("Description", 1000)
            more["max_session_s"] = ask.params.number("MaxSessionDuration", 3600, SESSION_S_MAX, 3600)
        tags = _checked(ask.params.tags())
        made = kind(
            name=name, account=ask.account, id=ask.new_id(kind), path=ask.params.path(), created=U64(ask.now_ns),
            tags=tags, **more,
        )  # fmt: skip
        return keys.with_iam(keys.iam.with_entity(made)), [(kind.__name__, shown(made, is_whole=True))]

    return handler


def _check_user(keys: AccessKeys, name: str) -> None:
    """Raise `IamError`: a name means one user in the whole cluster, as policies and access keys name them."""
    if name in keys.iam.users or keys.of_user(name):
        raise IamError("EntityAlreadyExists", f"User with name {name} already exists in this cluster.")


def get_user(ask: Ask, keys: AccessKeys) -> Answer:
    """A user; without a name the caller, also when that is the root of the account."""
    principal = ask.caller.principal
    if ask.params.get("UserName") is None and (principal is None or principal.session is not None):
        digits = account_id(ask.account)
        root: Nodes = [("UserName", ask.account), ("UserId", digits), ("Path", "/")]
        root += [("Arn", f"arn:aws:iam::{digits}:root"), ("CreateDate", time_of(0))]
        return keys, [("User", root)]
    if ask.params.get("UserName") is None and principal is not None:
        return keys, [("User", shown(require(keys.iam, User, ask.account, principal.user), is_whole=True))]
    return keys, [("User", shown(ask.find(keys, User), is_whole=True))]


def get_group(ask: Ask, keys: AccessKeys) -> Answer:
    """A group with its users."""
    group = ask.find(keys, Group)
    members = [require(keys.iam, User, ask.account, name) for name in group.members]
    return keys, [("Group", shown(group)), *page(ask, "Users", members, shown)]


def get_role(ask: Ask, keys: AccessKeys) -> Answer:
    """A role."""
    return keys, [("Role", shown(ask.find(keys, Role), is_whole=True))]


def list_all(kind: type[Entity]) -> Handler:
    """`ListUsers` and the like."""

    def handler(ask: Ask, keys: AccessKeys) -> Answer:
        found = under(ask, keys.iam.of_account(kind, ask.account))
        return keys, page(ask, f"{kind.__name__}s", found, shown)

    return handler


def list_groups_of(ask: Ask, keys: AccessKeys) -> Answer:
    """The groups that a user is in."""
    return keys, page(ask, "Groups", keys.iam.groups_of(ask.find(keys, User)), shown)


def delete(kind: type[Entity]) -> Handler:
    """`DeleteUser` and the like. What would be lost with it must be taken away before."""

    def handler(ask: Ask, keys: AccessKeys) -> Answer:
        found: Entity = ask.find(keys, kind)
        if found.has_policies():
            raise IamError("DeleteConflict", "Cannot delete entity, must delete or detach all policies first.")
        if isinstance(found, User) and keys.of_user(found.name):
            raise IamError("DeleteConflict", "Cannot delete entity, must delete access keys first.")
        if isinstance(found, User) and keys.iam.groups_of(found):
            raise IamError("DeleteConflict", "Cannot delete entity, must remove users from group first.")
        if isinstance(found, Group) and found.members:
            raise IamError("DeleteConflict", "Cannot delete entity, must remove users from group first.")
        return keys.with_iam(keys.iam.without(found)), []

    return handler


def tag(kind: type[Entity]) -> Handler:
    """`TagUser` and the like."""

    def handler(ask: Ask, keys: AccessKeys) -> Answer:
        found: Entity = ask.find(keys, kind)
        return _changed(keys, found, tags=_checked({**found.tags, **ask.params.tags()}))

    return handler


def untag(kind: type[Entity]) -> Handler:
    """`UntagUser` and the like."""

    def handler(ask: Ask, keys: AccessKeys) -> Answer:
        found: Entity = ask.find(keys, kind)
        gone = ask.params.items("TagKeys")
        return _changed(keys, found, tags={key: value for key, value in found.tags.items() if key not in gone})

    return handler


def list_tags(kind: type[Entity]) -> Handler:
    """`ListUserTags` and the like."""

    def handler(ask: Ask, keys: AccessKeys) -> Answer:
        found: Entity = ask.find(keys, kind)
        pairs = list(found.tags.items())
        return keys, page(ask, "Tags", pairs, lambda pair: [("Key", pair[0]), ("Value", pair[1])])

    return handler


def add_to_group(ask: Ask, keys: AccessKeys) -> Answer:
    """A user into a group."""
    group, user = ask.find(keys, Group), ask.find(keys, User)
    if user.name in group.members:
        return keys, []
    if len(keys.iam.groups_of(user)) >= MEMBERSHIPS_MAX:
        raise IamError("LimitExceeded", f"Cannot exceed quota for GroupsPerUser: {MEMBERSHIPS_MAX}")
    return _changed(keys, group, members=(*group.members, user.name))


def remove_from_group(ask: Ask, keys: AccessKeys) -> Answer:
    """A user out of a group."""
    group, user = ask.find(keys, Group), ask.find(keys, User)
    if user.name not in group.members:
        raise IamError("NoSuchEntity", f"User {user.name} is not in group {group.name}.")
    return _changed(keys, group, members=tuple(name for name in group.members if name != user.name))


def update_trust(ask: Ask, keys: AccessKeys) -> Answer:
    """Who may assume a role from now on."""
    return _changed(keys, ask.find(keys, Role), trust=documents.trust(ask.params.require("PolicyDocument")))


def update_role(ask: Ask, keys: AccessKeys) -> Answer:
    """Description and longest session of a role."""
    role = ask.find(keys, Role)
    longest = ask.params.number("MaxSessionDuration", 3600, SESSION_S_MAX, role.max_session_s)
    said = ask.params.get("Description")
    description = role.description if said is None else ask.params.text("Description", 1000)
    return _changed(keys, role, description=description, max_session_s=longest)


def list_no_instance_profiles(ask: Ask, keys: AccessKeys) -> Answer:
    """No role is in one: there are none. Tools ask before they delete a role."""
    ask.find(keys, Role)
    return keys, [("InstanceProfiles", []), ("IsTruncated", False)]


def _changed(keys: AccessKeys, entity: E, **changes: Any) -> Answer:
    return keys.with_iam(keys.iam.with_entity(replace(entity, **changes))), []


def _checked(tags: Mapping[str, str]) -> dict[str, str]:
    if len(tags) > TAGS_MAX:
        raise IamError("LimitExceeded", f"An entity has at most {TAGS_MAX} tags")
    return dict(tags)
