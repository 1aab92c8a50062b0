"""Errors on the wire (`wire.md` §2): class to HTTP status and `tcode`, and back for the client."""

import msgspec

from ais.api import codec
from ais.base import errors
from ais.base.errors import AisError, BadRequest

STATUS_OF: dict[type[AisError], int] = {
    errors.BadRequest: 400,
    errors.Unauthenticated: 401,
    errors.AccessDenied: 403,
    errors.NotFound: 404,
    errors.TooSlow: 408,
    errors.Conflict: 409,
    errors.Gone: 410,
    errors.TooLarge: 413,
    errors.RateLimited: 429,
    errors.HeadTooLarge: 431,
    errors.RangeNotSatisfiable: 416,
    errors.UnsupportedExpectation: 417,
    errors.ChecksumMismatch: 500,
    errors.CorruptMetadata: 500,
    errors.DiskFailure: 500,
    errors.Unsupported: 501,
    errors.NotForRemote: 405,
    errors.NotYetImplemented: 501,
    errors.Unreachable: 502,
    errors.NotReady: 503,
    errors.OutOfSpace: 507,
    errors.IntegrityError: 409,
}
"""The nearest class in an error's ancestry decides; `tests/unit/test_api_errors.py` fails on a class without one."""

TCODE_OF: dict[type[AisError], str] = {
    errors.RemoteBucketNotFound: "ErrRemoteBckNotFound",
    errors.InvalidProvider: "ErrInvalidBackendProvider",
    errors.InvalidTemplate: "errTemplateInvalid",
    errors.MissingBackend: "ErrMissingBackend",
    errors.NotRemoteBucket: "ErrNotRemoteBck",
    errors.InvalidObjectName: "errInvalidPath",
    errors.BucketNotFound: "ErrBckNotFound",
    errors.NotEnoughTargets: "ErrNotEnoughTargets",
    errors.DestinationExists: "ErrBucketAlreadyExists",  # in this order: who reads the tcode gets `BucketExists`
    errors.BucketExists: "ErrBucketAlreadyExists",
    errors.UnknownExtension: "errUnknownFileExt",
    errors.UnknownMime: "errUnknownMime",
    errors.MemberNotFound: "ErrNotFound",
    errors.DownloadNotFound: "ErrNotFound",
    errors.SourceNotFound: "PathError",
    errors.InvalidSource: "errInvalidPromoteSource",
    errors.HandleNotFound: "ErrNotFound",
    errors.ObjectNotFound: "ErrNotFound",
    errors.NodeNotFound: "errNodeNotFound",
    errors.MountpathNotFound: "ErrMpathNotFound",
    errors.XactionNotFound: "ErrXactNotFound",
    errors.AlreadyExists: "ErrAlreadyExists",
    errors.Busy: "ErrBusy",
    errors.RangeNotSatisfiable: "ErrRangeNotSatisfiable",
    errors.NoMemberRange: "ErrUnsupp",
    errors.Unsupported: "ErrUnsupp",
    errors.NotYetImplemented: "ErrNotImpl",
    errors.OutOfSpace: "ErrCapExceeded",
    errors.RateLimited: "ErrRateLimitFrontend",
    errors.ChecksumMismatch: "ErrBadCksum",
    errors.CorruptMetadata: "ErrLmetaCorrupted",
    errors.AccessDenied: "ErrBucketAccessDenied",
    errors.IntegrityError: "ErrClusterIntegrity",
}


class ErrorBody(msgspec.Struct, omit_defaults=False):
    """The JSON body of every non-2xx answer of the native API; for HEAD it travels in the `Hdr-Error` header."""

    tcode: str = ""
    message: str = ""
    method: str = ""
    url_path: str = ""
    remote_addr: str = ""
    caller: str = ""
    node: str = ""
    status: int = 0


def status_of(error: AisError) -> int:
    """HTTP status of an error."""
    if isinstance(error, RemoteError):
        return error.status
    return next(STATUS_OF[kind] for kind in type(error).__mro__ if kind in STATUS_OF)


def tcode_of(error: AisError) -> str:
    """AIStore's type name of an error, or the empty string when upstream has none."""
    if isinstance(error, RemoteError):
        return error.tcode
    return next((TCODE_OF[kind] for kind in type(error).__mro__ if kind in TCODE_OF), "")


def encode_error(
    error: AisError, *, method: str, url_path: str, remote_addr: str, node: str, caller: str = ""
) -> bytes:
    """The `ErrorBody` JSON of an error, `tcode` left out when empty."""
    body = codec.to_builtins(
        ErrorBody(tcode_of(error), str(error), method, url_path, remote_addr, caller, node, status_of(error))
    )
    if not body["tcode"]:
        del body["tcode"]
    return codec.to_json(body)


class RemoteError(AisError):
    """An error answered by a node whose class has no counterpart here; carries status and tcode as received."""

    def __init__(self, message: str, status: int, tcode: str = "") -> None:
        self.status, self.tcode = status, tcode
        super().__init__(message)


_BY_TCODE = {tcode: kind for kind, tcode in TCODE_OF.items()}
_BY_STATUS = {status: kind for kind, status in reversed(STATUS_OF.items())}


def decode_error(status: int, body: bytes, url: str) -> AisError:
    """Rebuild the error a node answered: the class by tcode, else by status.

    It carries the message as the node wrote it, and none of the class's other fields: those do not travel.
    """
    try:
        answer = codec.from_json(body, ErrorBody)
    except BadRequest:
        text = body[:200].decode("utf-8", "replace").strip() or "no details given"
        answer = ErrorBody(message=f"{url} answered {status}: {text}", status=status)
    kind = _BY_TCODE.get(answer.tcode) or _BY_STATUS.get(status)
    if kind is None:
        return RemoteError(answer.message, status, answer.tcode)
    error = kind.__new__(kind, answer.message)
    AisError.__init__(error, answer.message)
    return error
