"""Every action: who serves it, its parameters, and what it is about. A test compares it with Amazon's own model."""

from collections.abc import Mapping
from typing import NamedTuple

from ais.auth.iam import Entity, Group, Policy, Role, User
from ais.iam import access_keys, entities, policies, sts
from ais.iam.ask import Handler

IAM, STS = "iam", "sts"
VERSIONS = {IAM: "2010-05-08", STS: "2011-06-15"}
_BOUNDARY = "there are no permissions boundaries: write a Deny"
_MFA = "there are no MFA devices"
_TAGS = "sessions have no tags"
REFUSED: Mapping[str, str] = {
    "PermissionsBoundary": _BOUNDARY,
    "SerialNumber": _MFA,
    "TokenCode": _MFA,
    "TransitiveTagKeys": _TAGS,
    "SourceIdentity": "sessions have no source identity: their name is RoleSessionName",
    "MinimumSessionTokenSize": "tokens are as long as what they hold",
    "ProvidedContexts": "there are no trusted identity propagators",
}
"""Parameters that ask for what is not done, and why."""
OF_EVERY = frozenset(("Action", "Version"))


class Action(NamedTuple):
    """One. `about`: what the resource of its policy action is; None: everything.

    `is_open`: nobody has to sign it.
    """

    service: str
    handler: Handler
    parameters: frozenset[str]
    about: type[Entity] | None = None
    is_change: bool = False
    refused: Mapping[str, str] = REFUSED
    is_open: bool = False


def _iam(handler: Handler, parameters: str, about: type[Entity] | None, *, is_change: bool = False) -> Action:
    return Action(IAM, handler, OF_EVERY | frozenset(parameters.split()), about, is_change)


def _change(handler: Handler, parameters: str, about: type[Entity] | None) -> Action:
    return _iam(handler, parameters, about, is_change=True)


_PAGES = " Marker MaxItems"


def _of_holder(kind: type[Entity]) -> dict[str, Action]:
    """What users, groups and roles have in common."""
    name = kind.__name__
    named = f"{name}Name"
    return {
        f"Delete{name}": _change(entities.delete(kind), named, kind),
        f"List{name}s": _iam(entities.list_all(kind), "PathPrefix" + _PAGES, None),
        f"Put{name}Policy": _change(policies.put_inline(kind), f"{named} PolicyName PolicyDocument", kind),
        f"Get{name}Policy": _iam(policies.get_inline(kind), f"{named} PolicyName", kind),
        f"Delete{name}Policy": _change(policies.delete_inline(kind), f"{named} PolicyName", kind),
        f"List{name}Policies": _iam(policies.list_inline(kind), named + _PAGES, kind),
        f"Attach{name}Policy": _change(policies.attach(kind), f"{named} PolicyArn", kind),
        f"Detach{name}Policy": _change(policies.detach(kind), f"{named} PolicyArn", kind),
        f"ListAttached{name}Policies": _iam(policies.list_attached(kind), f"{named} PathPrefix{_PAGES}", kind),
    }


def _of_tagged(kind: type[Entity]) -> dict[str, Action]:
    name = kind.__name__
    return {
        f"Tag{name}": _change(entities.tag(kind), f"{name}Name Tags", kind),
        f"Untag{name}": _change(entities.untag(kind), f"{name}Name TagKeys", kind),
        f"List{name}Tags": _iam(entities.list_tags(kind), f"{name}Name{_PAGES}", kind),
    }


ACTIONS: Mapping[str, Action] = {
    **{name: action for kind in (User, Group, Role) for name, action in _of_holder(kind).items()},
    **{name: action for kind in (User, Role) for name, action in _of_tagged(kind).items()},
    "CreateUser": _change(entities.create(User), "UserName Path Tags", User),
    "GetUser": _iam(entities.get_user, "UserName", User),
    "CreateGroup": _change(entities.create(Group), "GroupName Path", Group),
    "GetGroup": _iam(entities.get_group, "GroupName" + _PAGES, Group),
    "AddUserToGroup": _change(entities.add_to_group, "GroupName UserName", Group),
    "RemoveUserFromGroup": _change(entities.remove_from_group, "GroupName UserName", Group),
    "ListGroupsForUser": _iam(entities.list_groups_of, "UserName" + _PAGES, User),
    "CreateRole": _change(
        entities.create(Role), "RoleName Path AssumeRolePolicyDocument Description MaxSessionDuration Tags", Role
    ),
    "GetRole": _iam(entities.get_role, "RoleName", Role),
    "UpdateRole": _change(entities.update_role, "RoleName Description MaxSessionDuration", Role),
    "UpdateAssumeRolePolicy": _change(entities.update_trust, "RoleName PolicyDocument", Role),
    "ListInstanceProfilesForRole": _iam(entities.list_no_instance_profiles, "RoleName" + _PAGES, Role),
    "CreatePolicy": _change(policies.create, "PolicyName Path PolicyDocument Description Tags", Policy),
    "GetPolicy": _iam(policies.get, "PolicyArn", Policy),
    "DeletePolicy": _change(policies.delete, "PolicyArn", Policy),
    "ListPolicies": _iam(policies.list_policies, "Scope OnlyAttached PathPrefix PolicyUsageFilter" + _PAGES, None),
    "CreatePolicyVersion": _change(policies.create_version, "PolicyArn PolicyDocument SetAsDefault", Policy),
    "GetPolicyVersion": _iam(policies.get_version, "PolicyArn VersionId", Policy),
    "ListPolicyVersions": _iam(policies.list_versions, "PolicyArn" + _PAGES, Policy),
    "SetDefaultPolicyVersion": _change(policies.set_default_version, "PolicyArn VersionId", Policy),
    "DeletePolicyVersion": _change(policies.delete_version, "PolicyArn VersionId", Policy),
    "ListEntitiesForPolicy": _iam(
        policies.list_holders, "PolicyArn EntityFilter PathPrefix PolicyUsageFilter" + _PAGES, Policy
    ),
    "CreateAccessKey": _change(access_keys.create, "UserName", User),
    "ListAccessKeys": _iam(access_keys.list_keys, "UserName" + _PAGES, User),
    "UpdateAccessKey": _change(access_keys.update, "UserName AccessKeyId Status", User),
    "DeleteAccessKey": _change(access_keys.delete, "UserName AccessKeyId", User),
    "GetCallerIdentity": Action(STS, sts.get_caller_identity, OF_EVERY),
    "GetSessionToken": Action(STS, sts.get_session_token, OF_EVERY | {"DurationSeconds"}),
    "AssumeRole": Action(
        STS,
        sts.assume_role,
        OF_EVERY | {"RoleArn", "RoleSessionName", "Policy", "PolicyArns", "DurationSeconds", "ExternalId"},
        refused={**REFUSED, "Tags": _TAGS},
    ),
    "AssumeRoleWithWebIdentity": Action(
        STS,
        sts.assume_role_with_web_identity,
        OF_EVERY | {"RoleArn", "RoleSessionName", "Policy", "PolicyArns", "DurationSeconds", "WebIdentityToken"},
        refused={**REFUSED, "ProviderId": "tokens are those of OpenID Connect issuers, which name themselves"},
        is_open=True,
    ),
}
