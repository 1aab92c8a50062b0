"""Client of `ais`, and of NVIDIA AIStore: see README.md."""

from aisclient.aio import AsyncBucket, AsyncClient, AsyncObject
from aisclient.attributes import Entry, ObjectAttributes
from aisclient.client import Bucket, Client, Object
from aisclient.errors import AISError, ErrBckAlreadyExists, ErrBckNotFound, ErrObjNotFound
from aisclient.settings import Retry

__all__ = [
    "AISError", "AsyncBucket", "AsyncClient", "AsyncObject", "Bucket", "Client", "Entry", "ErrBckAlreadyExists",
    "ErrBckNotFound", "ErrObjNotFound", "Object", "ObjectAttributes", "Retry",
]  # fmt: skip
