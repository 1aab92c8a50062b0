"""Errors of IAM and STS, with Amazon's codes, and their documents."""

from ais.base.errors import AisError
from ais.s3 import xml
from ais.s3.errors import as_s3

IAM_NAMESPACE = "https://iam.amazonaws.com/doc/2010-05-08/"
STS_NAMESPACE = "https://sts.amazonaws.com/doc/2011-06-15/"

STATUS = {
    "AccessDenied": 403,
    "DeleteConflict": 409,
    "EntityAlreadyExists": 409,
    "ExpiredTokenException": 403,
    "IDPCommunicationError": 400,
    "IncompleteSignature": 403,
    "InvalidAction": 400,
    "InvalidClientTokenId": 403,
    "InvalidIdentityToken": 400,
    "InvalidInput": 400,
    "InvalidParameterValue": 400,
    "LimitExceeded": 409,
    "MalformedPolicyDocument": 400,
    "MissingAction": 400,
    "MissingAuthenticationToken": 403,
    "NoSuchEntity": 404,
    "NotImplemented": 501,
    "RequestExpired": 400,
    "ServiceFailure": 500,
    "ServiceUnavailable": 503,
    "SignatureDoesNotMatch": 403,
    "UnmodifiableEntity": 400,
    "ValidationError": 400,
}
_OF_S3 = {
    "InvalidAccessKeyId": "InvalidClientTokenId",
    "InvalidToken": "InvalidClientTokenId",
    "ExpiredToken": "ExpiredTokenException",
    "RequestTimeTooSkewed": "SignatureDoesNotMatch",
    "AuthorizationHeaderMalformed": "IncompleteSignature",
    "AuthorizationQueryParametersError": "IncompleteSignature",
    "MalformedPolicy": "MalformedPolicyDocument",
}


class IamError(AisError):
    """An answer with an exact code."""

    def __init__(self, code: str, message: str) -> None:
        self.code = code
        self.status = STATUS[code]
        super().__init__(message)


def as_iam(error: AisError) -> IamError:
    """The answer to any error of ours."""
    if isinstance(error, IamError):
        return error
    error = as_s3(error)
    code = _OF_S3.get(error.code, error.code)
    return IamError(code if code in STATUS else "ValidationError", str(error))


def encode(error: IamError, request_id: str, namespace: str) -> bytes:
    """The document of an error."""
    kind = "Sender" if error.status < 500 else "Receiver"
    body: list[xml.Node] = [("Type", kind), ("Code", error.code), ("Message", str(error))]
    return xml.document("ErrorResponse", [("Error", body), ("RequestId", request_id)], namespace)
