"""Which bucket and object a request names, and which query parameters it may have (wire contract §6, §10)."""

from collections.abc import Mapping
from urllib.parse import unquote

from ais.api import ack, query
from ais.base import names
from ais.base.errors import BadRequest, NotYetImplemented

PREFIX = "/v1/objects/"

_BUCKET = frozenset({query.PROVIDER, query.NAMESPACE})
_FROM_PROXY = frozenset({query.PROXY_ID, query.REDIRECT_TIME, "vpams", "x", "u"})
_ANYWHERE = _BUCKET | _FROM_PROXY | {query.SILENT, "dont_add_remote_bck_md", "dont_head_remote_bck", query.UUID}
_ETL = {query.ETL_NAME: "transform objects", "etl_args": "transform objects", "etl_pipeline": "transform objects"}
_LATER = _ETL
_SHARD = frozenset({query.ARCHPATH, query.ARCHMIME})

_KNOWN = {
    "GET": _ANYWHERE | {query.LATEST_VERSION, query.PROPS, query.PRESENCE, query.ARCHREGX, query.ARCHMODE} | _SHARD,
    "HEAD": _ANYWHERE | {query.PROPS, query.PRESENCE, query.LATEST_VERSION, "validate-checksum"},
    "PUT": _ANYWHERE
    | {query.SKIP_VC, query.APPEND_TYPE, query.APPEND_HANDLE, query.OBJECT_TO, query.LATEST_VERSION, "synchronize"}
    | {query.UPLOAD_ID, query.PART_NUMBER, ack.QUERY}
    | _SHARD,
    "DELETE": _ANYWHERE | {query.LATEST_VERSION, query.UPLOAD_ID, ack.QUERY},
    "POST": _ANYWHERE | {query.UPLOAD_ID, ack.QUERY},
    "PATCH": _ANYWHERE | {query.SET_NEW_CUSTOM, ack.QUERY},
}


def check_purpose(params: dict[str, str]) -> None:
    """Raise `BadRequest` for a PUT that asks for two things at once, of which one would be dropped."""
    purposes = [
        name for name in (query.OBJECT_TO, query.UPLOAD_ID, query.ARCHPATH, query.APPEND_TYPE) if name in params
    ]
    if len(purposes) > 1 and purposes != [query.UPLOAD_ID, query.APPEND_TYPE]:
        raise BadRequest(f"{purposes[0]} and {purposes[1]} cannot be combined")


def split_path(path: str) -> tuple[str, str]:
    """Bucket and object name (decoded, not yet checked) of a raw `/v1/objects/...` path; the object may be empty."""
    bucket, _, name = path[len(PREFIX) :].partition("/")
    if "%" in path:
        try:
            return unquote(bucket, errors="strict"), unquote(name, errors="strict")
        except UnicodeDecodeError:
            raise BadRequest("the path is not valid UTF-8 after percent-decoding") from None
    return bucket, name


def check_query(method: str, params: Mapping[str, str]) -> None:
    """Refuse what we do not serve, before a body is read: a parameter we ignored could mean "do not store this as is".

    Raise `NotYetImplemented` for features to come and `BadRequest` for names that mean nothing here.
    """
    unknown = params.keys() - _KNOWN[method]
    for name in sorted(unknown):
        if name in _LATER:
            raise NotYetImplemented(f"cannot {_LATER[name]} ({name}=) - not implemented yet")
    if unknown:
        raise BadRequest(f'unknown query parameter "{min(unknown)}" of {method} {PREFIX}<bucket>/<object>')


def is_redirected(params: Mapping[str, str]) -> bool:
    """Whether a proxy sent the client here."""
    return query.PROXY_ID in params and query.REDIRECT_TIME in params


def check_name(name: str, *, is_probe: bool = False) -> None:
    """Raise `InvalidName` unless `name` may name an object; a HEAD may also probe a name that ends with `/`."""
    (names.check_object_prefix if is_probe and name else names.check_object_name)(name)
