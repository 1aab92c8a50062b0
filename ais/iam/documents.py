"""Policy documents as IAM takes them: size, what they may say, before they are kept as they were put."""

from ais.iam.errors import IamError
from ais.s3 import policy
from ais.s3.errors import S3Error

INLINE_MAX = {"User": 2048, "Group": 5120, "Role": 10_240}
"""Characters of all inline policies of one together, blanks left out, as at Amazon."""
MANAGED_MAX = 6144
TRUST_MAX = 2048


def identity(text: str, size_max: int, name: str = "PolicyDocument") -> str:
    """A policy of a user, group or role, or of a session. Raise `IamError`."""
    if size_of(text) > size_max:
        raise IamError("LimitExceeded", f"{name} is limited to {size_max} characters besides blanks")
    try:
        policy.check_new(policy.parse_identity(text))
    except S3Error as error:
        raise IamError("MalformedPolicyDocument", str(error)) from None
    return text


def trust(text: str) -> str:
    """Who may assume a role. Raise `IamError`."""
    if size_of(text) > TRUST_MAX:
        raise IamError("LimitExceeded", f"ACLSizePerRole: a trust policy is limited to {TRUST_MAX} characters")
    try:
        policy.check_new(policy.parse_trust(text))
    except S3Error as error:
        raise IamError("MalformedPolicyDocument", str(error)) from None
    return text


def size_of(text: str) -> int:
    """Characters that count."""
    return len("".join(text.split()))
