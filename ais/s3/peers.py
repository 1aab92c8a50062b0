"""What gateways ask targets over the control network on behalf of S3 requests."""

import msgspec

from ais.api.bucket import Bck
from ais.s3.documents import KeyToDelete

EMPTY = "/v1/s3/empty"
"""`GET ?bucket=<name>&mark=<ID of the deletion>`: JSON, whether the target holds nothing of the bucket."""
DELETE = "/v1/s3/delete"
"""`POST` of a `DeleteKeys` (msgpack): a list of `ais.s3.documents.Deleted`, one for each key, in their order."""


class DeleteKeys(msgspec.Struct, frozen=True):
    """Keys of one bucket that this target owns. `bid` tells the bucket from a later one of the same name."""

    bucket: Bck
    bid: int
    keys: list[KeyToDelete]
    bypass: bool = False
    """Versions that are retained in governance mode go too: the caller has the right."""
