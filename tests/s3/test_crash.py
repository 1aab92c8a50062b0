"""kill -9 of the owner amid 200 running S3 uploads: what was acknowledged is whole, the rest is whole or absent."""

import contextlib
import http.client
import itertools
import random
import threading
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import quote

import pytest
from harness.nodes import eventually, files_of
from harness.s3access import Access, boto, new_access
from harness.s3raw import call
from harness.wire import Answer

from ais.api import codec
from ais.meta.placement import Placement
from ais.meta.smap import Smap
from ais.playground import probe
from ais.testing import Cluster

BUCKET = "crash"
WRITERS = 200
WRITERS_IN_PARTS = 40
PUTS_MIN, COMPLETES_MIN = 300, 20
SIZES = (0, 100, 4096, 65_536, 300_000, 1_000_000)
PART = 5 << 20


@pytest.fixture(scope="module")
def doomed() -> Iterator[Cluster]:
    """One proxy and two targets, one of which will be killed."""
    with Cluster(proxies=1, targets=2, mountpaths=2, config_overrides={"auth.enabled": "true"}) as running:
        yield running


def content(key: str, turn: int) -> bytes:
    """The bytes of the `turn`-th single PUT of a key."""
    source = random.Random(f"{key}/{turn}")
    return source.randbytes(source.choice(SIZES))


def parts_of(key: str) -> list[bytes]:
    """The parts of an upload: one of 5 MiB and a small one."""
    source = random.Random(key)
    return [source.randbytes(4096) * (PART // 4096), source.randbytes(10_000)]


class Load:
    """200 writers that upload to keys of one owner until it dies, and remember what was acknowledged."""

    def __init__(self, access: Access, keys: Iterator[str]) -> None:
        self._access, self._keys, self._lock = access, keys, threading.Lock()
        self.puts: dict[str, int] = {}
        self.attempted: dict[str, list[int]] = defaultdict(list)
        self.parts: dict[str, dict[int, str]] = {}
        self.uploads: dict[str, str] = {}
        self.completing: set[str] = set()
        self.completed: set[str] = set()
        self.acknowledged = 0
        self.enough = threading.Event()

    def run(self, kill: Any) -> None:
        """Upload from all writers; call `kill()` when enough is acknowledged, and end when every writer met the end."""
        with ThreadPoolExecutor(WRITERS) as pool:
            writers = [
                pool.submit(self._in_parts if number < WRITERS_IN_PARTS else self._single) for number in range(WRITERS)
            ]
            while not self.enough.wait(0.1) and not any(writer.done() for writer in writers):
                pass
            kill()
            for writer in writers:
                writer.result()

    def _ask(self, method: str, key: str, query: str = "", body: bytes = b"") -> Answer | None:
        """The answer of success, or None: the end."""
        try:
            answer = call(self._access, method, f"/{BUCKET}/{quote(key)}", query, body=body)
        except (OSError, http.client.HTTPException):
            return None
        return answer if answer.status == 200 else None

    def _new_key(self) -> str:
        with self._lock:
            return next(self._keys)

    def _single(self) -> None:
        """Every third PUT of a writer replaces its object before."""
        key = ""
        for turn in itertools.count():
            if turn % 3 != 2:
                key = self._new_key()
            self.attempted[key].append(turn)
            if self._ask("PUT", key, body=content(key, turn)) is None:
                return
            self.puts[key] = turn
            self._count()

    def _in_parts(self) -> None:
        while True:
            key = self._new_key()
            created = self._ask("POST", key, "uploads=")
            if created is None:
                return
            upload = created.body.decode().partition("<UploadId>")[2].partition("<")[0]
            self.uploads[key], self.parts[key] = upload, {}
            for number, part in enumerate(parts_of(key), start=1):
                stored = self._ask("PUT", key, f"partNumber={number}&uploadId={quote(upload)}", part)
                if stored is None:
                    return
                self.parts[key][number] = stored.header("ETag") or ""
            self.completing.add(key)
            if self._ask("POST", key, f"uploadId={quote(upload)}", document(self.parts[key])) is None:
                return
            self.completed.add(key)
            self._count()

    def _count(self) -> None:
        with self._lock:
            self.acknowledged += 1
            if len(self.completed) >= COMPLETES_MIN and self.acknowledged >= PUTS_MIN:
                self.enough.set()


def document(parts: dict[int, str]) -> bytes:
    """The body that completes an upload."""
    listed = "".join(
        f"<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag></Part>" for number, etag in parts.items()
    )
    return f"<CompleteMultipartUpload>{listed}</CompleteMultipartUpload>".encode()


def keys_owned_by(cluster: Cluster, owner_id: str) -> Iterator[str]:
    """Fresh keys whose owner is that target."""
    found = probe.get_json(f"{cluster.endpoint}/v1/daemon?what=smap", None, cluster.proxies[0].plan.socket)
    placement = Placement(codec.from_json(codec.to_json(found), Smap))
    for number in itertools.count():
        key = f"dir-{number % 7}/o {number}"
        if placement.owner(f"ais/@#/{BUCKET}/{key}").id == owner_id:
            yield key


def read(client: Any, key: str) -> bytes | None:
    """An object's bytes, None when there is none."""
    try:
        return bytes(client.get_object(Bucket=BUCKET, Key=key)["Body"].read())
    except client.exceptions.NoSuchKey:
        return None


@pytest.mark.timeout(300)
def test_kill_the_owner_amid_200_uploads(doomed: Cluster) -> None:
    """After kill -9 and a restart: every acknowledged object is whole, nothing is there in part, no work file stays;
    uploads that were not completed have the parts acknowledged, and can be completed or aborted."""
    access = new_access(doomed, "alice")
    client, victim = boto(access), doomed.targets[0]
    client.create_bucket(Bucket=BUCKET)
    load = Load(access, keys_owned_by(doomed, victim.id))
    load.run(lambda: doomed.kill(victim))
    print(
        f"\n{load.acknowledged} uploads acknowledged, {len(load.completed)} of them in parts, {len(load.uploads)} begun"
    )
    assert load.enough.is_set()
    doomed.start()
    doomed.wait_ready(60)
    check_single_puts(client, load)
    pending = check_uploads(client, load)
    listed = {one["Key"] for page in pages(client) for one in page.get("Contents", ())}
    assert {*load.puts, *load.completed} <= listed <= {*load.attempted, *load.completing}
    finish(client, load, pending)
    mountpaths = [path for node in doomed.targets for path in node.mountpaths]
    eventually(lambda: not [*files_of(mountpaths, "wk"), *files_of(mountpaths, "mp")], within_s=60)


def pages(client: Any) -> Iterator[dict[str, Any]]:
    """Pages of the bucket's listing."""
    yield from client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET)


def check_single_puts(client: Any, load: Load) -> None:
    """A key has the bytes of its last acknowledged PUT or of a later one; without any acknowledged it may be absent."""
    for key, turns in load.attempted.items():
        last, found = load.puts.get(key), read(client, key)
        if found is None:
            assert last is None, key
            continue
        assert found in [content(key, turn) for turn in turns if last is None or turn >= last], (key, len(found))


def check_uploads(client: Any, load: Load) -> dict[str, str]:
    """What was completed is whole; what was not is no object, but has every part acknowledged. The pending uploads."""
    pending = {}
    for key, upload in load.uploads.items():
        found = read(client, key)
        assert found == b"".join(parts_of(key)) or (found is None and key not in load.completed), key
        if found is not None:
            assert key in load.completing
            continue
        parts = client.list_parts(Bucket=BUCKET, Key=key, UploadId=upload).get("Parts", ())
        assert load.parts[key].items() <= {part["PartNumber"]: part["ETag"] for part in parts}.items(), key
        pending[key] = upload
    return pending


def finish(client: Any, load: Load, pending: dict[str, str]) -> None:
    """Complete the uploads that have all parts, and abort every other one that is listed.

    One whose object was made, but whose answer was lost, is kept for a day so that it can be completed again.
    """
    for key in load.completing - load.completed - pending.keys():
        with contextlib.suppress(client.exceptions.NoSuchUpload):
            complete(client, load, key)
    for key in pending:
        if len(load.parts[key]) == 2:
            complete(client, load, key)
    for page in client.get_paginator("list_multipart_uploads").paginate(Bucket=BUCKET):
        for one in page.get("Uploads", ()):
            assert one["Key"] not in load.completed
            client.abort_multipart_upload(Bucket=BUCKET, Key=one["Key"], UploadId=one["UploadId"])


def complete(client: Any, load: Load, key: str) -> None:
    """Complete the upload of a key of the parts that were acknowledged."""
    parts = [{"PartNumber": number, "ETag": etag} for number, etag in load.parts[key].items()]
    where = {"Bucket": BUCKET, "Key": key, "UploadId": load.uploads[key]}
    client.complete_multipart_upload(**where, MultipartUpload={"Parts": parts})
    assert read(client, key) == b"".join(parts_of(key))
