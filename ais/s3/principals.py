"""Users, roles and sessions as authorization sees them: what they are called, and what their policies let them do.

Policies are parsed once per version of the cluster's access keys, those of a session once per session.
"""

from collections.abc import Sequence
from typing import NamedTuple

from ais.auth.iam import Iam, Role, User, account_id
from ais.auth.sessions import Session
from ais.s3 import policy
from ais.s3.errors import S3Error
from ais.s3.policy import Caller, Statement, Verdict
from ais.s3.policy_conditions import Context

_SESSIONS_MAX = 4096


class Principal(NamedTuple):
    """Who acts by policies. `limits` of a session: what it was narrowed to, None: to nothing."""

    account: str
    caller: Caller
    arn: str
    id: str
    user: str
    """Empty for a role."""
    statements: Sequence[Statement]
    limits: Sequence[Statement] | None = None
    session: Session | None = None
    role_arn: str = ""
    """Of a session of a role: by which conditions know it."""

    @property
    def asks_for_tags(self) -> bool:
        """Whether a policy has conditions on the tags an object has."""
        return policy.asks_for_tags(self.statements) or policy.asks_for_tags(self.limits or ())

    def verdict(self, action: str, resource: str, context: Context) -> Verdict:
        """What the policies say, the session's limits included."""
        own = policy.judge(self.statements, self.caller, action, resource, context)
        if own is Verdict.DENY or self.limits is None:
            return own
        most = policy.judge(self.limits, self.caller, action, resource, context)
        if most is Verdict.DENY:
            return most
        return Verdict.ALLOW if own is most is Verdict.ALLOW else Verdict.SILENT

    def is_within_limits(self, action: str, resource: str, context: Context) -> bool:
        """Whether the session may do what others grant."""
        if self.limits is None:
            return True
        return policy.judge(self.limits, self.caller, action, resource, context) is Verdict.ALLOW


class Principals:
    """Those of one version of the access keys."""

    def __init__(self, iam: Iam, admins: frozenset[str] = frozenset()) -> None:
        """`admins`: accounts with an administrator's key."""
        self.iam = iam
        self.admins = admins
        self._users: dict[str, Principal] = {}
        self._sessions: dict[str, Principal] = {}

    def of_user(self, name: str) -> Principal | None:
        """The user of that name; None: it is the root of an account, which policies of its own do not bind."""
        user = self.iam.users.get(name)
        if user is None:
            return None
        if (known := self._users.get(name)) is None:
            digits = account_id(user.account)
            caller = Caller(None, frozenset((f"user/{digits}/{name}",)), digits)
            known = Principal(user.account, caller, user.arn, user.id, name, self._statements(user))
            self._users[name] = known
        return known

    def of_session(self, session: Session) -> Principal | None:
        """Who holds a session token; None: the root of an account. Raise `S3Error` when there is nobody any more."""
        if not session.role:
            found = self.of_user(session.user)
            return found._replace(session=session) if found is not None else None
        if (known := self._sessions.get(session.key)) is None:
            role = self.iam.get(Role, session.account, session.role)
            if role is None or role.id != session.role_id:
                raise S3Error("InvalidToken", "The role of this session does not exist any more")
            if len(self._sessions) >= _SESSIONS_MAX:
                self._sessions.clear()
            known = self._sessions[session.key] = self._of_role(role, session)
        return known

    def caller_of_root(self, user: str) -> Caller:
        """How the root of an account is called."""
        digits = account_id(user)
        return Caller(user, frozenset((f"user/{digits}/{user}",)), digits, user not in self.iam.users)

    def _of_role(self, role: Role, session: Session) -> Principal:
        digits = account_id(role.account)
        names = frozenset((f"role/{digits}/{role.name}", f"session/{digits}/{role.name}/{session.name}"))
        limits: Sequence[Statement] | None = None
        texts = [*((session.policy,) if session.policy else ()), *map(self._text, session.policies)]
        if texts:
            limits = [statement for text in texts for statement in policy.parse_identity(text)]
        arn = f"arn:aws:sts::{digits}:assumed-role/{role.name}/{session.name}"
        caller = Caller(None, names, digits)
        held = f"{role.id}:{session.name}"
        return Principal(role.account, caller, arn, held, "", self._statements(role), limits, session, role.arn)

    def _text(self, arn: str) -> str:
        if (text := self.iam.policy(arn)) is None:
            raise S3Error("InvalidToken", f"The policy {arn} that this session was narrowed to does not exist any more")
        return text

    def _statements(self, entity: User | Role) -> list[Statement]:
        return [one for text in self.iam.texts_of(entity) for one in policy.parse_identity(text)]
