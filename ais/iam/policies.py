"""Policies: inline ones of users, groups and roles; managed ones with their versions, and to whom they are attached."""

from msgspec.structs import replace

from ais.api.codec import U64
from ais.auth.iam import MANAGED, Entity, Group, Policy, PolicyVersion, Role, User
from ais.auth.keys import AccessKeys
from ais.iam import documents
from ais.iam.ask import Answer, Ask, Handler, Nodes, encoded, page, shown, time_of, under
from ais.iam.errors import IamError

VERSIONS_MAX = 5
ATTACHED_MAX = 10
HOLDERS = (User, Group, Role)


def put_inline(kind: type[Entity]) -> Handler:
    """`PutUserPolicy` and the like."""

    def handler(ask: Ask, keys: AccessKeys) -> Answer:
        found: Entity = ask.find(keys, kind)
        name, text = ask.params.named("PolicyName"), ask.params.require("PolicyDocument")
        others = {other: kept for other, kept in found.inline.items() if other != name}
        most = documents.INLINE_MAX[kind.__name__]
        documents.identity(text, most - sum(map(documents.size_of, others.values())))
        return keys.with_iam(keys.iam.with_entity(replace(found, inline={**others, name: text}))), []

    return handler


def get_inline(kind: type[Entity]) -> Handler:
    """`GetUserPolicy` and the like."""

    def handler(ask: Ask, keys: AccessKeys) -> Answer:
        found: Entity = ask.find(keys, kind)
        name = ask.params.named("PolicyName")
        _require_inline(found, name)
        of: Nodes = [(f"{kind.__name__}Name", found.name), ("PolicyName", name)]
        return keys, [*of, ("PolicyDocument", encoded(found.inline[name]))]

    return handler


def delete_inline(kind: type[Entity]) -> Handler:
    """`DeleteUserPolicy` and the like."""

    def handler(ask: Ask, keys: AccessKeys) -> Answer:
        found: Entity = ask.find(keys, kind)
        name = ask.params.named("PolicyName")
        _require_inline(found, name)
        rest = {other: text for other, text in found.inline.items() if other != name}
        return keys.with_iam(keys.iam.with_entity(replace(found, inline=rest))), []

    return handler


def _require_inline(entity: Entity, name: str) -> None:
    if name not in entity.inline:
        raise IamError("NoSuchEntity", f"The {entity.kind} policy with name {name} cannot be found.")


def list_inline(kind: type[Entity]) -> Handler:
    """`ListUserPolicies` and the like."""

    def handler(ask: Ask, keys: AccessKeys) -> Answer:
        found: Entity = ask.find(keys, kind)
        return keys, page(ask, "PolicyNames", sorted(found.inline), str)

    return handler


def create(ask: Ask, keys: AccessKeys) -> Answer:
    """`CreatePolicy`."""
    name = ask.params.named("PolicyName")
    ask.check_new(keys, Policy, name)
    text = documents.identity(ask.params.require("PolicyDocument"), documents.MANAGED_MAX)
    now = U64(ask.now_ns)
    made = Policy(
        name=name, account=ask.account, id=ask.new_id(Policy), path=ask.params.path(), created=now, updated=now,
        description=ask.params.text("Description", 1000), versions={"v1": PolicyVersion(text, now)},
        tags=ask.params.tags(),
    )  # fmt: skip
    return keys.with_iam(keys.iam.with_entity(made)), [("Policy", _shown(keys, made))]


def get(ask: Ask, keys: AccessKeys) -> Answer:
    """`GetPolicy`."""
    return keys, [("Policy", _shown(keys, _find(ask, keys)))]


def list_policies(ask: Ask, keys: AccessKeys) -> Answer:
    """`ListPolicies`."""
    scope = ask.params.get("Scope") or "All"
    if scope not in ("All", "AWS", "Local"):
        raise IamError("ValidationError", "Scope is All, AWS or Local")
    if (ask.params.get("PolicyUsageFilter") or "PermissionsPolicy") != "PermissionsPolicy":
        raise IamError("NotImplemented", "PolicyUsageFilter: there are no permissions boundaries")
    found = keys.iam.of_account(Policy, ask.account) if scope != "AWS" else []
    found += map(_built_in, MANAGED) if scope != "Local" else ()
    if ask.params.flag("OnlyAttached"):
        found = [one for one in found if _holders(ask, keys, one.arn)]
    return keys, page(ask, "Policies", under(ask, found), lambda one: _shown(keys, one))


def delete(ask: Ask, keys: AccessKeys) -> Answer:
    """`DeletePolicy`."""
    found = _own(ask, keys)
    if _holders(ask, keys, found.arn):
        raise IamError("DeleteConflict", "Cannot delete a policy attached to entities.")
    if len(found.versions) > 1:
        raise IamError("DeleteConflict", "This policy has more than one version: delete its other versions first.")
    return keys.with_iam(keys.iam.without(found)), []


def create_version(ask: Ask, keys: AccessKeys) -> Answer:
    """`CreatePolicyVersion`."""
    found = _own(ask, keys)
    if len(found.versions) >= VERSIONS_MAX:
        raise IamError("LimitExceeded", f"A managed policy can have up to {VERSIONS_MAX} versions: delete one first.")
    text = documents.identity(ask.params.require("PolicyDocument"), documents.MANAGED_MAX)
    name, made = f"v{found.next_version}", PolicyVersion(text, U64(ask.now_ns))
    default = name if ask.params.flag("SetAsDefault") else found.default
    changed = replace(
        found, versions={**found.versions, name: made}, default=default, next_version=found.next_version + 1,
        updated=U64(ask.now_ns),
    )  # fmt: skip
    return keys.with_iam(keys.iam.with_entity(changed)), [("PolicyVersion", _version(changed, name))]


def get_version(ask: Ask, keys: AccessKeys) -> Answer:
    """`GetPolicyVersion`."""
    found = _find(ask, keys)
    name = _version_name(ask, found)
    text: Nodes = [("Document", encoded(found.versions[name].text))]
    return keys, [("PolicyVersion", text + _version(found, name))]


def list_versions(ask: Ask, keys: AccessKeys) -> Answer:
    """`ListPolicyVersions`."""
    found = _find(ask, keys)
    return keys, page(ask, "Versions", list(found.versions)[::-1], lambda name: _version(found, name))


def set_default_version(ask: Ask, keys: AccessKeys) -> Answer:
    """`SetDefaultPolicyVersion`."""
    found = _own(ask, keys)
    return keys.with_iam(keys.iam.with_entity(replace(found, default=_version_name(ask, found)))), []


def delete_version(ask: Ask, keys: AccessKeys) -> Answer:
    """`DeletePolicyVersion`."""
    found = _own(ask, keys)
    gone = _version_name(ask, found)
    if gone == found.default:
        raise IamError("DeleteConflict", "Cannot delete the default version of a policy.")
    rest = {name: version for name, version in found.versions.items() if name != gone}
    return keys.with_iam(keys.iam.with_entity(replace(found, versions=rest))), []


def attach(kind: type[Entity]) -> Handler:
    """`AttachUserPolicy` and the like."""

    def handler(ask: Ask, keys: AccessKeys) -> Answer:
        found: Entity = ask.find(keys, kind)
        arn = _find(ask, keys).arn
        if arn in found.attached:
            return keys, []
        if len(found.attached) >= ATTACHED_MAX:
            raise IamError("LimitExceeded", f"Cannot exceed quota for PoliciesPer{kind.__name__}: {ATTACHED_MAX}")
        return keys.with_iam(keys.iam.with_entity(replace(found, attached=(*found.attached, arn)))), []

    return handler


def detach(kind: type[Entity]) -> Handler:
    """`DetachUserPolicy` and the like."""

    def handler(ask: Ask, keys: AccessKeys) -> Answer:
        found: Entity = ask.find(keys, kind)
        gone = ask.params.require("PolicyArn")
        if gone not in found.attached:
            raise IamError("NoSuchEntity", f"Policy {gone[:200]} was not found.")
        rest = tuple(arn for arn in found.attached if arn != gone)
        return keys.with_iam(keys.iam.with_entity(replace(found, attached=rest))), []

    return handler


def list_attached(kind: type[Entity]) -> Handler:
    """`ListAttachedUserPolicies` and the like."""

    def handler(ask: Ask, keys: AccessKeys) -> Answer:
        found: Entity = ask.find(keys, kind)
        return keys, page(ask, "AttachedPolicies", found.attached, _reference)

    return handler


def list_holders(ask: Ask, keys: AccessKeys) -> Answer:
    """`ListEntitiesForPolicy`."""
    wanted = ask.params.get("EntityFilter")
    if wanted not in (None, "User", "Group", "Role", "LocalManagedPolicy", "AWSManagedPolicy"):
        raise IamError("ValidationError", "EntityFilter is User, Role, Group, LocalManagedPolicy or AWSManagedPolicy")
    found = under(ask, _holders(ask, keys, _find(ask, keys).arn))
    nodes: Nodes = []
    for kind in HOLDERS:
        name = kind.__name__
        some = [one for one in found if isinstance(one, kind) and wanted in (None, name)]
        nodes.append(
            (f"Policy{name}s", [("member", [(f"{name}Name", one.name), (f"{name}Id", one.id)]) for one in some])
        )
    return keys, [*nodes, ("IsTruncated", False)]


def _find(ask: Ask, keys: AccessKeys) -> Policy:
    """The policy that `PolicyArn` names: the account's, or one that every account has. Raise `IamError`."""
    arn = ask.params.require("PolicyArn")
    if arn in MANAGED:
        return _built_in(arn)
    found = keys.iam.policy_of(arn)
    if found is None or found.account != ask.account:
        raise IamError("NoSuchEntity", f"Policy {arn[:200]} was not found.")
    return found


def _own(ask: Ask, keys: AccessKeys) -> Policy:
    found = _find(ask, keys)
    if found.arn in MANAGED:
        raise IamError("AccessDenied", f"{found.arn} is every account's and cannot be changed")
    return found


def _built_in(arn: str) -> "BuiltIn":
    return BuiltIn(
        name=arn.rpartition("/")[2], account="", id="ANPA" + "AIS", versions={"v1": PolicyVersion(MANAGED[arn])}
    )


class BuiltIn(Policy, frozen=True, kw_only=True):
    """A policy that every account has."""

    @property
    def arn(self) -> str:
        """Its full name."""
        return f"arn:aws:iam::aws:policy/{self.name}"


def _holders(ask: Ask, keys: AccessKeys, arn: str) -> list[Entity]:
    return [one for kind in HOLDERS for one in keys.iam.of_account(kind, ask.account) if arn in one.attached]


def _shown(keys: AccessKeys, found: Policy) -> Nodes:
    tables = (keys.iam.table(kind) for kind in HOLDERS)
    count = sum(found.arn in one.attached for table in tables for one in table.values())
    return [*shown(found, is_whole=True), ("AttachmentCount", count), ("PermissionsBoundaryUsageCount", 0)]


def _version_name(ask: Ask, found: Policy) -> str:
    name = ask.params.require("VersionId")
    if name not in found.versions:
        raise IamError("NoSuchEntity", f"Policy {found.arn} version {name[:20]} does not exist or is not attachable.")
    return name


def _version(found: Policy, name: str) -> Nodes:
    nodes: Nodes = [("VersionId", name), ("IsDefaultVersion", name == found.default)]
    return [*nodes, ("CreateDate", time_of(found.versions[name].created))]


def _reference(arn: str) -> Nodes:
    return [("PolicyName", arn.rpartition("/")[2]), ("PolicyArn", arn)]
