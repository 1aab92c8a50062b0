"""A request of the query API from its parameters to its document: the action, the right, the answer."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

from ais.auth.iam import NOBODY, Iam, Policy, account_id
from ais.auth.keys import AccessKeys
from ais.auth.tokens import Claims
from ais.iam.actions import ACTIONS, IAM, STS, VERSIONS, Action
from ais.iam.ask import Ask, Nodes, parameter_of
from ais.iam.errors import IAM_NAMESPACE, STS_NAMESPACE, IamError
from ais.iam.params import Params
from ais.s3 import identity, xml
from ais.s3.identity import Identity
from ais.s3.policy import Verdict
from ais.s3.policy_conditions import Context

NAMESPACES = {IAM: IAM_NAMESPACE, STS: STS_NAMESPACE}


class Request(NamedTuple):
    """An action that the caller may ask for."""

    name: str
    action: Action
    ask: Ask

    def run(self, keys: AccessKeys, size_max: int = 0) -> tuple[AccessKeys, Nodes]:
        """The keys afterwards, the same ones when nothing changed, and the answer. Raise `IamError`.

        `size_max`: what the account's users, groups, roles and policies may take, in bytes; 0: any.
        """
        changed, nodes = self.action.handler(self.ask, keys)
        account = self.ask.account
        if size_max and changed.iam is not keys.iam and not self.ask.caller.trusted:
            size = changed.iam.size_of(account)
            if size > size_max and size > keys.iam.size_of(account):
                raise IamError(
                    "LimitExceeded",
                    f"With this the users, groups, roles and policies of the account would take {size} bytes, and"
                    f" limits.account_metadata permits {size_max}: delete some first",
                )
        return changed, nodes

    def document(self, nodes: Nodes, request_id: str) -> bytes:
        """The answer."""
        body: Nodes = [(f"{self.name}Result", nodes)] if nodes else []
        body.append(("ResponseMetadata", [("RequestId", request_id)]))
        return xml.document(f"{self.name}Response", body, NAMESPACES[self.action.service])


def action_of(given: Mapping[str, str]) -> tuple[str, Action]:
    """What is asked for. Raise `IamError` MissingAction, InvalidAction."""
    name = given.get("Action")
    if not name:
        raise IamError("MissingAction", "The request lacks the parameter Action")
    action = ACTIONS.get(name)
    if action is None:
        raise IamError("InvalidAction", f"Could not find operation {name[:100]}: this cluster does not serve it")
    version = given.get("Version", VERSIONS[action.service])
    if version != VERSIONS[action.service]:
        raise IamError("InvalidAction", f"Could not find operation {name} for version {version[:20]}")
    return name, action


def namespace_of(given: Mapping[str, str]) -> str:
    """Of the answer, also of an error."""
    action = ACTIONS.get(given.get("Action", ""))
    is_sts = action.service == STS if action is not None else given.get("Version") == VERSIONS[STS]
    return STS_NAMESPACE if is_sts else IAM_NAMESPACE


def admit(
    given: Mapping[str, str],
    caller: Identity,
    context: Context,
    now_ns: int,
    secret: bytes,
    verify: Callable[[str], Claims],
    iam: Iam,
) -> Request:
    """The request, if the caller may. `context`: what is known besides who asks; `iam`: what there is.

    Raise `IamError`.
    """
    name, action = action_of(given)
    params = Params(given, action.parameters, action.refused)
    if caller.user is None and not caller.trusted and not action.is_open:
        raise IamError("MissingAuthenticationToken", "Request is missing Authentication Token")
    account = NOBODY if caller.trusted or caller.user is None else caller.user
    ask = Ask(account, caller, params, now_ns, secret, context, verify)
    if action.service == IAM and not caller.trusted:
        _authorize(ask, name, action, iam)
    return Request(name, action, ask)


def _authorize(ask: Ask, name: str, action: Action, iam: Iam) -> None:
    caller = ask.caller
    if caller.session is not None and not caller.session.role:
        raise IamError("AccessDenied", "Sessions of GetSessionToken cannot call IAM: sign with the access key itself")
    if caller.principal is None:
        return
    resource = _resource(ask, action, iam)
    context = {**identity.caller_context(caller), **ask.context}
    if caller.principal.verdict(f"iam:{name}", resource, context) is not Verdict.ALLOW:
        who = caller.described
        raise IamError("AccessDenied", f"User: {who} is not authorized to perform: iam:{name} on resource: {resource}")


def _resource(ask: Ask, action: Action, iam: Iam) -> str:
    """What an action is about, by its full name: only what there is says under which path it is."""
    if action.about is None:
        return "*"
    if action.about is Policy and (arn := ask.params.get("PolicyArn")) is not None:
        return arn
    principal = ask.caller.principal
    own = principal.user if principal is not None else ""
    name = ask.params.get(parameter_of(action.about)) or own
    if (found := iam.get(action.about, ask.account, name)) is not None:
        return found.arn
    path = ask.params.get("Path") or "/"
    return f"arn:aws:iam::{account_id(ask.account)}:{action.about.__name__.lower()}{path}{name}"
