"""Rules for the names of buckets, namespaces and objects (`wire.md` §3.1).

Owns validation only. How a name becomes a path on disk is `ais.fs.names`.
"""

import re
from collections.abc import Iterable

from ais.base.errors import InvalidName, InvalidObjectName

BUCKET_NAME_LEN_MAX = 64
NAMESPACE_LEN_MAX = 32
OBJECT_NAME_BYTES_MAX = 1024
_PLAIN_CHARS_MAX = OBJECT_NAME_BYTES_MAX // 4

_BUCKET = re.compile(r"[A-Za-z0-9._-]+")
_NAMESPACE_UUID = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_-]*[A-Za-z0-9])?")
SYSTEM_BUCKET_PREFIX = ".sys-"


def check_bucket_name(name: str) -> None:
    """Raise `InvalidName` unless `name` may name a bucket."""
    if not name:
        raise InvalidName("bucket name is empty")
    if len(name) > BUCKET_NAME_LEN_MAX:
        raise InvalidName(f'bucket name "{name[:80]}" is longer than {BUCKET_NAME_LEN_MAX} characters')
    if not _BUCKET.fullmatch(name) or ".." in name:
        raise InvalidName(f'bucket name "{name}" is invalid: use letters, digits, ".", "_" and "-", and no ".."')
    if name.startswith(".") and not name.startswith(SYSTEM_BUCKET_PREFIX):
        raise InvalidName(f'bucket name "{name}" is invalid: a leading "." is reserved for system buckets')


def check_namespace(uuid: str, name: str) -> None:
    """Raise `InvalidName` unless `(uuid, name)` may be a namespace; the empty pair is the global one."""
    if uuid and (len(uuid) > NAMESPACE_LEN_MAX or not _NAMESPACE_UUID.fullmatch(uuid)):
        raise InvalidName(f'namespace uuid "{uuid}" is invalid: use up to {NAMESPACE_LEN_MAX} letters and digits')
    if name and (len(name) > NAMESPACE_LEN_MAX or not _BUCKET.fullmatch(name) or ".." in name):
        raise InvalidName(
            f'namespace name "{name}" is invalid: use up to {NAMESPACE_LEN_MAX} of letters, digits, ".", "_" and "-"'
        )


def check_object_name(name: str) -> None:
    """Raise `InvalidObjectName` unless `name` may name an object over the native API."""
    if (
        0 < len(name) <= _PLAIN_CHARS_MAX
        and name.isprintable()
        and "/." not in name
        and "~/" not in name
        and name[0] not in "./"
        and name[-1] != "/"
    ):
        return  # nearly every name: what follows finds out what is wrong
    check_object_prefix(name)
    if not name:
        raise InvalidObjectName("object name is empty")
    if name.endswith("/"):
        raise InvalidObjectName(f'object name "{name}" is invalid: it ends with "/"')


def check_object_names(names: Iterable[str]) -> None:
    """Raise `InvalidObjectName` for the first that is none."""
    for name in names:
        check_object_name(name)


def check_object_prefix(prefix: str) -> None:
    """Raise `InvalidObjectName` unless `prefix` may begin an object name (it may be empty or end with `/`)."""
    if len(prefix) > OBJECT_NAME_BYTES_MAX or len(prefix.encode("utf-8", "replace")) > OBJECT_NAME_BYTES_MAX:
        raise InvalidObjectName(f'object name "{prefix[:80]}..." is longer than {OBJECT_NAME_BYTES_MAX} bytes')
    if "\0" in prefix:
        raise InvalidObjectName("object name contains a NUL character")
    if prefix.startswith("/"):
        raise InvalidObjectName(f'object name "{prefix}" is invalid: it starts with "/"')
    if "~/" in prefix or ("." in prefix and any(part in (".", "..") for part in prefix.split("/"))):
        raise InvalidObjectName(f'object name "{prefix}" is invalid: it contains a ".", ".." or "~/" path element')
    if not prefix.isprintable() and any("\ud800" <= char <= "\udfff" for char in prefix):
        raise InvalidObjectName("object name is not valid UTF-8")
