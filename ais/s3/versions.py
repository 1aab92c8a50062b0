"""Version IDs as clients write them."""

from ais.core.versions import is_version_id
from ais.s3.errors import S3Error


def check(text: str) -> None:
    """Raise `S3Error` InvalidArgument for what cannot be the ID of any version, the empty one above all.

    Passed over, an empty ID would make a request about one version a request about the object.
    """
    if not text:
        raise S3Error("InvalidArgument", "Version id cannot be the empty string", ArgumentName="versionId")
    if not is_version_id(text):
        raise S3Error(
            "InvalidArgument", "Invalid version id specified", ArgumentName="versionId", ArgumentValue=text[:100]
        )
