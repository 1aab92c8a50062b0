"""Versions that must stay: retention until a moment, and legal hold. What removes a version asks here first.

Both are facts of a version (`ObjectMeta.facts`), set over S3. Pure.
"""

from typing import NamedTuple

from ais.base.errors import AccessDenied
from ais.core.meta import ObjectMeta

MODE, UNTIL, LEGAL_HOLD = "lock-mode", "lock-until", "legal-hold"
"""Facts. `UNTIL`: Unix seconds; `LEGAL_HOLD`: ON or OFF."""
GOVERNANCE, COMPLIANCE = "GOVERNANCE", "COMPLIANCE"
MODES = (GOVERNANCE, COMPLIANCE)
ON, OFF = "ON", "OFF"


class Retention(NamedTuple):
    """What a bucket asks for its new versions: a mode, and how many seconds."""

    mode: str
    seconds: int

    def facts(self, now_s: float) -> dict[str, str]:
        """Of a version that is made now."""
        return {MODE: self.mode, UNTIL: str(int(now_s) + self.seconds)}


def is_retained(facts: dict[str, str], now_s: float) -> bool:
    """Whether a retention has not ended yet."""
    return UNTIL in facts and now_s < int(facts[UNTIL])


def check(meta: ObjectMeta | None, now_s: float, *, bypass: bool = False) -> None:
    """Raise `AccessDenied` when a version must stay. `bypass` is the right to end a retention of governance mode."""
    facts = meta.facts if meta is not None else {}
    if facts.get(LEGAL_HOLD) == ON:
        raise AccessDenied("Access Denied because object protected by object lock: it is under legal hold")
    if is_retained(facts, now_s) and not (bypass and facts.get(MODE) == GOVERNANCE):
        raise AccessDenied("Access Denied because object protected by object lock: its retention has not ended")


def without(facts: dict[str, str]) -> dict[str, str]:
    """The facts of a copy, which nothing holds."""
    return {name: value for name, value in facts.items() if name not in (MODE, UNTIL, LEGAL_HOLD)}
