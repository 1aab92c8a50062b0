"""What calls raise. Names are the SDK's where it has one; `str(error)` is a sentence for people.

AISError
├── NotFound                also a FileNotFoundError
│   ├── ErrBckNotFound
│   └── ErrObjNotFound
├── ErrBckAlreadyExists     also a FileExistsError
├── Unauthenticated         no token, or a bad one; also a PermissionError
├── AccessDenied            also a PermissionError
├── RangeNotSatisfiable
├── Unavailable             the cluster cannot answer now, and did not for as long as we tried
├── Untrusted               a node's TLS certificate cannot be verified
├── ChecksumMismatch        what arrived is not what was sent
└── Unreachable             no connection, or it broke; also a ConnectionError
    └── OutcomeUnknown      it broke after a change was sent that must not be sent twice
"""

import msgspec


class AISError(Exception):
    """An answer of 400 and above, or none. `status` is 0 and `tcode` empty where nothing was answered."""

    def __init__(self, message: str, status: int = 0, tcode: str = "") -> None:
        super().__init__(message)
        self.message, self.status, self.tcode = message, status, tcode

    def __str__(self) -> str:
        return self.message

    def __reduce__(self) -> tuple[type["AISError"], tuple[str, int, str]]:
        return type(self), (self.message, self.status, self.tcode)


class NotFound(AISError, FileNotFoundError):
    """The thing named does not exist."""


class ErrBckNotFound(NotFound):
    """No such bucket."""


class ErrObjNotFound(NotFound):
    """No such object, or no such file in a shard."""


class ErrBckAlreadyExists(AISError, FileExistsError):
    """The bucket is there already."""


class Unauthenticated(AISError, PermissionError):
    """The cluster wants a token: give `token=`, or set AIS_AUTHN_TOKEN or AIS_AUTHN_TOKEN_FILE."""


class AccessDenied(AISError, PermissionError):
    """The token or the bucket's `access` does not permit it."""


class RangeNotSatisfiable(AISError):
    """The object does not have these bytes."""


class Unavailable(AISError):
    """Still 429, 502 or 503 after all attempts."""


class Untrusted(AISError):
    """Trying again does not help: give the CA that signed it."""


class ChecksumMismatch(AISError):
    """Content does not have the checksum or the length that it should have."""


class Unreachable(AISError, ConnectionError):
    """Nobody answers, or the connection broke."""


class OutcomeUnknown(Unreachable):
    """A change was sent and no answer came: look whether it was done. It was not sent again."""


class _Answer(msgspec.Struct):
    tcode: str = ""
    message: str = ""


RETRIED = frozenset({429, 502, 503})
"""Statuses that say: not now."""
_BY_TCODE: dict[str, type[AISError]] = {
    "ErrBckNotFound": ErrBckNotFound,
    "ErrRemoteBckNotFound": ErrBckNotFound,
    "ErrNotFound": ErrObjNotFound,
    "ErrBucketAlreadyExists": ErrBckAlreadyExists,
    "ErrBadCksum": ChecksumMismatch,
    "ErrInvalidCksum": ChecksumMismatch,
}
_BY_STATUS: dict[int, type[AISError]] = {
    401: Unauthenticated,
    403: AccessDenied,
    404: NotFound,
    416: RangeNotSatisfiable,
    **dict.fromkeys(RETRIED, Unavailable),
}
_decoder = msgspec.json.Decoder(_Answer)


def of_answer(status: int, body: bytes, where: str) -> AISError:
    """The error that an answer stands for; `body` is its JSON, or for HEAD that of `Hdr-Error`."""
    try:
        answer = _decoder.decode(body)
    except msgspec.DecodeError:
        answer = _Answer(message=body[:200].decode("utf-8", "replace").strip())
    kind = _BY_TCODE.get(answer.tcode) or _BY_STATUS.get(status, AISError)
    return kind(answer.message or f"{where} answered {status}", status, answer.tcode)
