"""S3 errors: one class, a table of codes with their status, and the map from our own errors to codes.

Source: Amazon S3 API reference, "Error responses".
"""

from collections.abc import Mapping
from xml.etree.ElementTree import ParseError
from xml.sax.saxutils import escape

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring

from ais.base import errors
from ais.base.errors import AisError

CODES: dict[str, tuple[int, str]] = {
    "AccessForbidden": (403, "CORSResponse: This CORS request is not allowed."),
    "AccessControlListNotSupported": (400, "The bucket does not allow ACLs"),
    "AccessDenied": (403, "Access Denied"),
    "AuthorizationHeaderMalformed": (400, "The authorization header that you provided is not valid"),
    "AuthorizationQueryParametersError": (400, "The presigned query parameters are not valid"),
    "BadDigest": (400, "The Content-MD5 or checksum value that you specified did not match what the server received"),
    "BadRequest": (400, "Bad Request"),
    "BucketAlreadyExists": (409, "The requested bucket name is not available"),
    "BucketAlreadyOwnedByYou": (409, "The bucket that you tried to create already exists, and you own it"),
    "BucketNotEmpty": (409, "The bucket that you tried to delete is not empty"),
    "ConditionalRequestConflict": (409, "A conflicting operation occurred while this request was processed; try again"),
    "EntityTooLarge": (400, "Your proposed upload exceeds the maximum allowed object size"),
    "EntityTooSmall": (400, "Your proposed upload is smaller than the minimum allowed object size"),
    "ExpiredToken": (400, "The provided token has expired"),
    "IllegalLocationConstraintException": (400, "The location constraint does not match this region"),
    "IncompleteBody": (400, "You did not provide the number of bytes specified by the Content-Length header"),
    "InternalError": (500, "We encountered an internal error; please try again"),
    "InvalidAccessKeyId": (403, "The access key ID that you provided does not exist in our records"),
    "InvalidArgument": (400, "Invalid argument"),
    "InvalidBucketAclWithObjectOwnership": (400, "Bucket cannot have ACLs set: object ownership is enforced"),
    "InvalidBucketName": (400, "The specified bucket is not valid"),
    "InvalidBucketState": (409, "The request is not valid for the current state of the bucket"),
    "InvalidChunkSizeError": (400, "A chunk has another size than its header announced"),
    "InvalidEncryptionAlgorithmError": (
        400,
        "The encryption request that you specified is not valid. The valid value is AES256.",
    ),
    "InvalidDigest": (400, "The Content-MD5 or checksum value that you specified is not valid"),
    "InvalidLocationConstraint": (400, "The specified location constraint is not valid"),
    "InvalidPart": (400, "One or more of the specified parts could not be found, or has another entity tag"),
    "InvalidPartNumber": (416, "The requested partnumber is not satisfiable"),
    "InvalidPartOrder": (400, "The list of parts was not in ascending order"),
    "InvalidPolicyDocument": (400, "The content of the form does not meet the conditions of the policy document"),
    "InvalidRange": (416, "The requested range is not satisfiable"),
    "InvalidRequest": (400, "Invalid request"),
    "InvalidRedirectLocation": (
        400,
        "The website redirect location must have a prefix of 'http://' or 'https://' or '/'.",
    ),
    "InvalidStorageClass": (400, "The storage class you specified is not valid: there is only STANDARD"),
    "InvalidToken": (400, "The provided token is malformed or otherwise not valid"),
    "InvalidTag": (400, "The tag provided was not a valid tag"),
    "InvalidURI": (400, "Could not parse the specified URI"),
    "KeyTooLongError": (400, "Your key is too long"),
    "MalformedACLError": (400, "The XML that you provided was not well formed or did not validate"),
    "MalformedPOSTRequest": (400, "The body of your POST request is not well-formed multipart/form-data"),
    "MalformedPolicy": (400, "The policy is not in the valid JSON format"),
    "MalformedTrailerError": (400, "The request contained trailing data that was not well-formed"),
    "MalformedXML": (400, "The XML that you provided was not well formed or did not validate"),
    "MaxMessageLengthExceeded": (400, "Your request was too large"),
    "MaxPostPreDataLengthExceeded": (400, "Your POST request fields preceding the upload file were too large"),
    "MetadataConfigurationNotFound": (404, "The metadata table configuration does not exist."),
    "MetadataTooLarge": (400, "Your metadata headers exceed the maximum allowed metadata size"),
    "MethodNotAllowed": (405, "The specified method is not allowed against this resource"),
    "MissingContentLength": (411, "You must provide the Content-Length HTTP header"),
    "MissingRequestBodyError": (400, "Request body is empty"),
    "MissingSecurityHeader": (400, "Your request is missing a required header"),
    "NoSuchBucket": (404, "The specified bucket does not exist"),
    "InvalidConfigurationId": (400, "The specified configuration id is invalid."),
    "TooManyConfigurations": (400, "You have too many configurations of this kind in this bucket"),
    "NoSuchConfiguration": (404, "The specified configuration does not exist."),
    "NoSuchWebsiteConfiguration": (404, "The specified bucket does not have a website configuration"),
    "ObjectLockConfigurationNotFoundError": (404, "Object Lock configuration does not exist for this bucket"),
    "ReplicationConfigurationNotFoundError": (404, "The replication configuration was not found"),
    "ServerSideEncryptionConfigurationNotFoundError": (
        404,
        "The server side encryption configuration was not found",
    ),
    "NoSuchBucketPolicy": (404, "The specified bucket does not have a bucket policy"),
    "NoSuchCORSConfiguration": (404, "The CORS configuration does not exist"),
    "NoSuchKey": (404, "The specified key does not exist"),
    "NoSuchLifecycleConfiguration": (404, "The lifecycle configuration does not exist"),
    "NoSuchPublicAccessBlockConfiguration": (404, "The public access block configuration was not found"),
    "InvalidRetentionPeriod": (400, "Default retention period must be a positive number of at most 100 years"),
    "NoSuchObjectLockConfiguration": (404, "The specified object does not have a ObjectLock configuration"),
    "NoSuchTagSet": (404, "There is no tag set associated with the bucket"),
    "NoSuchUpload": (404, "The specified multipart upload does not exist"),
    "NoSuchVersion": (404, "The specified version does not exist"),
    "NotImplemented": (501, "A header or query you provided asks for functionality that is not implemented"),
    "NotModified": (304, "Not Modified"),
    "OperationAborted": (409, "A conflicting conditional operation is in progress against this resource; try again"),
    "OwnershipControlsNotFoundError": (404, "The bucket ownership controls were not found"),
    "PreconditionFailed": (412, "At least one of the preconditions that you specified did not hold"),
    "RequestTimeTooSkewed": (403, "The difference between the request time and the server's time is too large"),
    "RequestTimeout": (400, "Your socket connection to the server was not read from or written to in time"),
    "SignatureDoesNotMatch": (403, "The request signature we calculated does not match the signature you provided"),
    "KMS.DisabledException": (400, "The key does not open what it sealed"),
    "KMS.NotFoundException": (400, "The key does not exist"),
    "SlowDown": (503, "Please reduce your request rate"),
    "ServiceUnavailable": (503, "Service is unable to handle the request"),
    "TooManyBuckets": (400, "You have attempted to create more buckets than are allowed"),
    "UnresolvableGrantByEmailAddress": (400, "The e-mail address you provided does not match any account on record."),
    "UnexpectedContent": (400, "This request contains unsupported content"),
    "XAmzContentChecksumMismatch": (400, "The provided checksum does not match what was computed"),
    "XAmzContentSHA256Mismatch": (400, "The provided x-amz-content-sha256 header does not match what was computed"),
}
"""Code to HTTP status and the sentence used when the raiser gives none."""

_CODE_OF: dict[type[AisError], str] = {
    errors.AccessDenied: "AccessDenied",
    errors.BadRequest: "InvalidRequest",
    errors.BucketExists: "BucketAlreadyExists",
    errors.BucketNotFound: "NoSuchBucket",
    errors.Busy: "OperationAborted",
    errors.ChecksumMismatch: "BadDigest",
    errors.Conflict: "OperationAborted",
    errors.ContentDamaged: "InternalError",
    errors.CorruptMetadata: "InternalError",
    errors.DiskFailure: "InternalError",
    errors.HandleNotFound: "NoSuchUpload",
    errors.IntegrityError: "InternalError",
    errors.InvalidName: "InvalidArgument",
    errors.MetadataTooLarge: "MetadataTooLarge",
    errors.NotFound: "NoSuchKey",
    errors.NotReady: "ServiceUnavailable",
    errors.NotYetImplemented: "NotImplemented",
    errors.OutOfSpace: "ServiceUnavailable",
    errors.PartDamaged: "InvalidPart",
    errors.RangeNotSatisfiable: "InvalidRange",
    errors.RateLimited: "SlowDown",
    errors.TooLarge: "MaxMessageLengthExceeded",
    errors.TooSlow: "RequestTimeout",
    errors.Unauthenticated: "AccessDenied",
    errors.Unreachable: "ServiceUnavailable",
    errors.VersionNotFound: "NoSuchVersion",
    errors.Unsupported: "NotImplemented",
}


_NAMELESS = frozenset(("NoSuchBucket", "NoSuchKey", "NoSuchUpload", "NoSuchVersion"))
"""The resource names what it is about, Amazon's sentence says the rest."""


class S3Error(AisError):
    """An answer with an exact S3 code. `details` become extra elements of the XML body, `headers` header lines."""

    def __init__(
        self, code: str, message: str = "", headers: Mapping[str, str] | None = None, /, **details: str
    ) -> None:
        self.code = code
        self.status, default = CODES[code]
        self.details = details
        self.headers = dict(headers or {})
        super().__init__(message or default)


def as_s3(error: AisError) -> S3Error:
    """The S3 answer to one of our own errors: its code by the nearest class, its own sentence as message."""
    if isinstance(error, S3Error):
        return error
    code = next((_CODE_OF[kind] for kind in type(error).__mro__ if kind in _CODE_OF), "InternalError")
    return S3Error(code, "" if code in _NAMELESS else str(error))


def decode(status: int, body: bytes) -> S3Error:
    """The error that another node answered with."""
    try:
        root = fromstring(body)
        code, message = root.findtext("Code", ""), root.findtext("Message", "")
    except (ParseError, DefusedXmlException):
        code = message = ""
    if code not in CODES:
        code = next((one for one, (known, _) in CODES.items() if known == status and status != 400), "InternalError")
    return S3Error(code, message)


def encode(error: S3Error, resource: str, request_id: str) -> bytes:
    """The XML body of an error."""
    extra = "".join(f"<{name}>{escape(value)}</{name}>" for name, value in error.details.items())
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f"<Error><Code>{error.code}</Code><Message>{escape(str(error))}</Message>{extra}"
        f"<Resource>{escape(resource)}</Resource><RequestId>{request_id}</RequestId></Error>"
    ).encode("utf-8", "xmlcharrefreplace")
