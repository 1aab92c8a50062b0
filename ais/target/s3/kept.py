"""What an object of a bucket with a backend can have over S3: its backend keeps content headers and metadata alone."""

from ais.backend.interface import CONTENT_HEADERS
from ais.s3.errors import S3Error
from ais.s3.facts import Facts


def require_kept(given: Facts, *, is_sealed: bool) -> None:
    """Raise `S3Error` for what is said of an object that would get lost at its backend."""
    lost = sorted(given.keys() - set(CONTENT_HEADERS)) + (["server-side encryption"] if is_sealed else [])
    if lost:
        raise S3Error("NotImplemented", f"Objects of remote buckets cannot have this over S3: {', '.join(lost)}")
