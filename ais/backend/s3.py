"""Amazon S3 and everything that speaks it, through aiobotocore.

Credentials, regions and endpoints are found as in every AWS program: environment, profile, files, instance role;
credentials in files that were changed are read again (`ais.backend.rotating`). A bucket's `extra.aws` goes before them.
One client per endpoint, region and profile, made when it is first needed; the library is imported then, too, in a
thread: it takes half a second.
"""

import asyncio
import base64
import hashlib
import importlib
from collections.abc import AsyncIterator
from contextlib import AbstractContextManager, AsyncExitStack, asynccontextmanager
from functools import partial
from typing import Any

from ais.api.blob import PARTS_MAX
from ais.api.bucket import Bck
from ais.backend import failures
from ais.backend.detached import Detached, detach
from ais.backend.interface import (
    CHUNK_BYTES,
    Download,
    Place,
    RemoteObject,
    RemotePage,
    Upload,
    is_common_prefix,
    require_span,
)
from ais.backend.rotating import Rotating, new_session
from ais.base.errors import (
    AccessDenied,
    AisError,
    BadRequest,
    NotReady,
    ObjectNotFound,
    RemoteBucketNotFound,
    Unreachable,
)
from ais.config.sections import Extra, ExtraAWS

PROVIDER = "aws"
PAGE_MAX = 1000
PART_BYTES = 16 << 20
"""Larger objects are sent in parts, `PARTS_AT_ONCE` at a time: that much memory an upload takes."""
PARTS_AT_ONCE = 2
MD5_BYTES_MAX = 256 << 10
"""Hashing more than that stops the event loop for too long."""
PART_BYTES_MIN = 5 << 20
"""S3's own limits."""
CONNECTIONS_MAX = 512
"""More than one bucket has turns for (`ais.target.remote.cold`): those of others must not wait for its answers."""
CONNECT_TIMEOUT_S, READ_TIMEOUT_S = 5, 30
ATTEMPTS_MAX = 3
"""Of a request whose answer has not begun, with a growing pause: connections that fail, 429, 5xx."""
_USER, _CHECKSUM = "x-amz-meta-", "x-amz-checksum-"
_OVERLOADED = frozenset(
    {"SlowDown", "Throttling", "ThrottlingException", "RequestLimitExceeded", "TooManyRequestsException", "429", "503"}
)
_REFUSED = frozenset({"ExpiredToken", "InvalidToken", "TokenRefreshRequired", "AuthorizationHeaderMalformed"})
"""400, and about the credentials."""
_PASSING = frozenset({"NoSuchUpload", "RequestTimeout", "IncompleteBody", "BadDigest", "XAmzContentSHA256Mismatch"})
"""400 or 404, and another attempt may mend it."""
_CONTENT = {
    "cache-control": "CacheControl",
    "content-disposition": "ContentDisposition",
    "content-encoding": "ContentEncoding",
    "content-language": "ContentLanguage",
    "content-type": "ContentType",
    "expires": "Expires",
}
"""Content headers, and what the library calls them."""
_READ_AS = {"Expires": "ExpiresString"}
"""As sent, whether it is a date or not."""
_NO_CREDENTIALS = frozenset({"NoCredentialsError", "PartialCredentialsError", "ProfileNotFound", "ConfigParseError"})
_AMAZON = ".amazonaws.com"
Client = Any
"""aiobotocore makes its classes at run time."""


class S3:
    """The backend `aws`."""

    is_read_only = False

    def __init__(self) -> None:
        self._clients: dict[tuple[str, str, str], Client] = {}
        self._open = AsyncExitStack()
        self._making = asyncio.Lock()

    async def buckets(self) -> list[Bck]:
        """See `Backend`."""
        client = await self._client(ExtraAWS())
        with _translated(None):
            answer = await client.list_buckets()
        return [Bck(one["Name"], PROVIDER) for one in answer.get("Buckets", ())]

    async def head_bucket(self, place: Place) -> Extra:
        """See `Backend`."""
        client = await self._client(place.extra.aws)
        with _translated(place.bck):
            answer = await client.head_bucket(Bucket=place.bck.name)
        headers = answer["ResponseMetadata"]["HTTPHeaders"]
        region = answer.get("BucketRegion") or headers.get("x-amz-bucket-region") or client.meta.region_name
        return Extra(aws=ExtraAWS(cloud_region=region or ""))

    async def page(self, place: Place, prefix: str, after: str, limit: int, delimiter: str = "") -> RemotePage:
        """See `Backend`."""
        client = await self._client(place.extra.aws)
        given = {"StartAfter": after} if after else {}
        if delimiter:
            given["Delimiter"] = delimiter
        if is_common_prefix(after, prefix, delimiter):
            given["StartAfter"] = after + "\U0010ffff"  # else it comes again
        limit = min(limit, place.extra.aws.max_pagesize or PAGE_MAX, PAGE_MAX)
        with _translated(place.bck):
            while True:
                answer = await client.list_objects_v2(Bucket=place.bck.name, Prefix=prefix, MaxKeys=limit, **given)
                if answer.get("Contents") or answer.get("CommonPrefixes") or not answer.get("IsTruncated"):
                    break
                given["ContinuationToken"] = answer["NextContinuationToken"]  # what comes is further on
        objects = [
            RemoteObject(
                one["Key"], one["Size"], one.get("ETag", "").strip('"'), modified_s=one["LastModified"].timestamp()
            )
            for one in answer.get("Contents", ())
        ]
        return RemotePage(
            objects, [one["Prefix"] for one in answer.get("CommonPrefixes", ())], bool(answer.get("IsTruncated"))
        )

    async def head(self, place: Place, name: str) -> RemoteObject:
        """See `Backend`."""
        client = await self._client(place.extra.aws)
        with _translated(place.bck, name):
            return _described(name, await client.head_object(Bucket=place.bck.name, Key=name))

    @asynccontextmanager
    async def get(self, place: Place, name: str, offset: int = 0, length: int | None = None) -> AsyncIterator[Download]:
        """See `Backend`. What S3 says of its checksum is compared while the bytes come, where it says anything."""
        client = await self._client(place.extra.aws)
        span = {}
        if offset or length is not None:
            span["Range"] = f"bytes={offset}-{'' if length is None else offset + length - 1}"
        with _translated(place.bck, name):
            answer = await client.get_object(Bucket=place.bck.name, Key=name, **span)
        try:
            if span:
                require_span(answer.get("ContentRange", ""), offset, length, place.bck.cname(name))
            yield Download(
                _described(name, answer),
                _chunks(answer["Body"], place.bck, name, answer["ContentLength"]),
                lambda: _detach(answer, place.bck.cname(name)),
            )
        finally:
            answer["Body"].close()

    async def put(self, place: Place, name: str, content: Upload, user: dict[str, str]) -> RemoteObject:
        """See `Backend`."""
        client = await self._client(place.extra.aws)
        target = {"Bucket": place.bck.name, "Key": name}
        part_bytes = max(int(place.extra.aws.multipart_size) or PART_BYTES, PART_BYTES_MIN)
        part_bytes = max(part_bytes, -(-content.size // PARTS_MAX))
        with _translated(place.bck, name):
            if content.size <= part_bytes:
                body = await content.read(0, content.size)
                answer = await client.put_object(**target, **_given(user), **await _sealed(body))
            else:
                answer = await self._put_in_parts(client, target, content, part_bytes, user)
        return RemoteObject(
            name,
            content.size,
            answer.get("ETag", "").strip('"'),
            _version(answer),
            content={key: user[key] for key in _CONTENT if key in user},
            user=_of_owner(user),
        )

    async def delete(self, place: Place, name: str) -> None:
        """See `Backend`."""
        client = await self._client(place.extra.aws)
        try:
            with _translated(place.bck, name):
                await client.delete_object(Bucket=place.bck.name, Key=name)
        except ObjectNotFound:
            pass

    async def close(self) -> None:
        """See `Backend`."""
        self._clients.clear()
        await self._open.aclose()

    async def _put_in_parts(
        self, client: Client, target: dict[str, str], content: Upload, part_bytes: int, user: dict[str, str]
    ) -> dict[str, Any]:
        upload = {**target, "UploadId": (await client.create_multipart_upload(**target, **_given(user)))["UploadId"]}
        numbers = iter(range(1, -(-content.size // part_bytes) + 1))
        etags: dict[int, str] = {}

        async def send() -> None:
            for number in numbers:
                offset = (number - 1) * part_bytes
                body = await content.read(offset, min(part_bytes, content.size - offset))
                etags[number] = (await client.upload_part(**upload, PartNumber=number, **await _sealed(body)))["ETag"]

        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(PARTS_AT_ONCE):
                    group.create_task(send())
            parts = [{"PartNumber": number, "ETag": etags[number]} for number in sorted(etags)]
            answer: dict[str, Any] = await client.complete_multipart_upload(**upload, MultipartUpload={"Parts": parts})
        except BaseException:
            await _give_up(client, upload)
            raise
        return answer

    async def _client(self, extra: ExtraAWS) -> Client:
        """The client for a bucket with these properties. Raise `AisError` when there can be none."""
        key = (extra.endpoint, extra.cloud_region, extra.profile)
        async with self._making:
            found = self._clients.get(key)
            if found is None:
                with _translated(None):
                    found = self._clients[key] = await self._make(*key)
        return found

    async def _make(self, endpoint: str, region: str, profile: str) -> Client:
        session = await asyncio.to_thread(_session, profile)
        client = await self._open.enter_async_context(_create(session, endpoint, region, by_path=bool(endpoint)))
        if endpoint or _AMAZON in client.meta.endpoint_url:
            return client
        # the environment or a file named another server: few of those have a name for each bucket
        return await self._open.enter_async_context(_create(session, endpoint, region, by_path=True))


def _session(profile: str) -> Any:
    """In a thread: reads some MB of definitions and the user's files."""
    session = new_session(profile)
    session.register_component("credential_provider", Rotating(profile))
    # "Expect: 100-continue" is waited for without end when a server does not know it
    session.unregister("before-call.s3", importlib.import_module("botocore.handlers").add_expect_header)
    loader = session.get_component("data_loader")
    for kind in ("service-2", "endpoint-rule-set-1"):
        loader.load_service_model("s3", kind)
    return session


def _create(session: Any, endpoint: str, region: str, *, by_path: bool) -> Any:
    config = importlib.import_module("aiobotocore.config").AioConfig(
        connect_timeout=CONNECT_TIMEOUT_S,
        read_timeout=READ_TIMEOUT_S,
        max_pool_connections=CONNECTIONS_MAX,
        retries={"mode": "standard", "total_max_attempts": ATTEMPTS_MAX},
        s3={"addressing_style": "path" if by_path else "auto"},
        request_checksum_calculation="when_required",  # others than Amazon refuse what is not
    )
    found = region or session.get_config_variable("region") or "us-east-1"
    return session.create_client("s3", region_name=found, endpoint_url=endpoint or None, config=config)


async def _chunks(body: Any, bck: Bck, name: str, length: int) -> AsyncIterator[bytes]:
    got = 0
    with _translated(bck, name):
        while chunk := await body.read(CHUNK_BYTES):
            got += len(chunk)
            yield chunk
    if got != length:
        raise Unreachable(f"{bck.cname(name)} broke off at its backend: {got} of {length} bytes")


def _detach(answer: dict[str, Any], cname: str) -> Detached | None:
    """Of answers with a checksum the library compares that while it reads them; those of parts it does not know."""
    headers = answer["ResponseMetadata"]["HTTPHeaders"]
    if any(name.startswith(_CHECKSUM) and "-" not in value for name, value in headers.items()):
        return None
    return detach(answer["Body"].raw_stream, cname, READ_TIMEOUT_S)


async def _sealed(body: bytes) -> dict[str, Any]:
    """A body with its MD5, which the server compares with what came."""
    md5 = partial(hashlib.md5, body, usedforsecurity=False)
    digest = (await asyncio.to_thread(md5) if len(body) > MD5_BYTES_MAX else md5()).digest()
    return {"Body": body, "ContentMD5": base64.b64encode(digest).decode()}


async def _give_up(client: Client, upload: dict[str, str]) -> None:
    """Whatever went wrong is told, and not that this went wrong, too."""
    try:
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            await client.abort_multipart_upload(**upload)
    except Exception:  # noqa: BLE001 - see above
        return


def _described(name: str, answer: dict[str, Any]) -> RemoteObject:
    _, _, whole = answer.get("ContentRange", "").rpartition("/")
    return RemoteObject(
        name,
        int(whole or answer["ContentLength"]),
        answer.get("ETag", "").strip('"'),
        _version(answer),
        answer["LastModified"].timestamp(),
        {key: text for key, name in _CONTENT.items() if (text := answer.get(_READ_AS.get(name, name)))},
        {_USER + key: value for key, value in answer.get("Metadata", {}).items()},
    )


def _version(answer: dict[str, Any]) -> str:
    version = answer.get("VersionId", "")
    return "" if version == "null" else version


def _of_owner(user: dict[str, str]) -> dict[str, str]:
    return {key: value for key, value in user.items() if key.startswith(_USER)}


def _given(user: dict[str, str]) -> dict[str, Any]:
    """Metadata as arguments of a call."""
    found: dict[str, Any] = {}
    if metadata := {key.removeprefix(_USER): value for key, value in _of_owner(user).items()}:
        found["Metadata"] = metadata
    return found | {name: user[key] for key, name in _CONTENT.items() if key in user}


def _translated(bck: Bck | None, name: str = "") -> AbstractContextManager[None]:
    """What the library raises as errors of ours, which name the bucket or object."""
    return failures.translated(lambda error: _meaning(error, bck, name))


def _meaning(error: BaseException, bck: Bck | None, name: str) -> AisError:
    what = "s3://" if bck is None else bck.cname(name)
    answer = getattr(error, "response", None)
    if isinstance(answer, dict) and "Error" in answer:
        return _refusal(answer, bck, name, what)
    if type(error).__name__ in _NO_CREDENTIALS:
        return AccessDenied(f"{what}: {error}; give the targets credentials of S3 (docs/backends.md)")
    if type(error).__name__ == "ParamValidationError":
        return BadRequest(f"{what}: {error}")
    return failures.of_connection(error, what)


def _refusal(answer: dict[str, Any], bck: Bck | None, name: str, what: str) -> AisError:
    code, status = answer["Error"].get("Code", ""), answer.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    text = f"aws-error[{code}: {answer['Error'].get('Message', '')}] ({what})"
    if bck is not None and code == "NoSuchBucket":
        return RemoteBucketNotFound(bck.provider, bck.cname())
    if code in _OVERLOADED:
        return NotReady(f"{text}: try again later")
    if code in _PASSING:
        return Unreachable(text)
    if code in _REFUSED:
        return AccessDenied(text)
    return failures.of_status(status, text, bck, name)
