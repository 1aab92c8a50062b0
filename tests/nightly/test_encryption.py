"""Encryption at rest as a matrix: kinds x operations x ways to keep data x clients; and what lies on the disks.

One cluster whose key service is Vault's transit API (`harness.transit`): SSE-KMS without a key ID is the cluster's own.
"""

import hashlib
import json
import os
import random
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from botocore.exceptions import ClientError, HTTPClientError
from harness import transit
from harness.encrypting import (
    CLIENTS,
    CUSTOMER,
    ENCRYPTED,
    KEY,
    KINDS,
    MARK,
    NONE,
    PLAIN_MARK,
    VAULT,
    VAULT_KEY,
    Boto3,
    content,
    leaks,
    rewrap,
    spellings,
)
from harness.nodes import eventually
from harness.s3access import Access
from harness.transit import Transit
from harness.wire import Api, message

from ais.testing import Cluster

SMALL, LARGE = 200_001, 11 << 20
WITHIN_S = 180.0
EC = {"enabled": True, "data_slices": 1, "parity_slices": 1, "objsize_limit": 1000}
PLACES: dict[str, dict[str, Any]] = {
    "plain": {},
    "versioned": {},
    "mirrored": {"mirror": {"enabled": True, "copies": 2}},
    "coded": {"ec": EC},
    "slices": {"ec": EC, "protection": {"slices_only": True}},
}
"""Buckets, and how each keeps its data."""
FLIPS = (0, 5, 10, 20, 33, 40_000, 70_000, -1)
"""Bytes of a file: in the magic, the number, the size and the salt of a header, in segments, in the last tag."""


class Place(NamedTuple):
    """A cluster with a key service."""

    cluster: Cluster
    vault: Transit
    access: Access
    api: Api
    client: Boto3

    def is_idle(self) -> bool:
        """Whether all copies and slices are made."""
        found = [self.api.call("GET", "/v1/cluster?what=qryxstats", body=json.dumps({"kind": kind}).encode()) for kind
                 in ("put-copies", "ec-put")]  # fmt: skip
        snaps = [snap for one in found if one.status == 200 for snaps in one.json().values() for snap in snaps or ()]
        return all(snap["is_idle"] or not snap["end-time"].startswith("0001") for snap in snaps)

    def settle(self) -> None:
        """Wait until all copies and slices are made."""
        eventually(self.is_idle, within_s=WITHIN_S)

    def files(self, bucket: str, key: str) -> list[Path]:
        """Files of an object and of its copies and slices; not the empty one of an object that is kept as slices."""
        paths = [path for node in self.cluster.targets for one in node.mountpaths for path in one.rglob(f"{key}*")]
        return sorted(path for path in paths if f"/{bucket}/%" in str(path) and path.is_file() and path.stat().st_size)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    token = tmp_path_factory.mktemp("vault") / "token"
    token.write_text(Transit.token)
    with transit.running() as vault:
        vault.rotate(VAULT_KEY)
        settings = {"auth.vault.url": vault.url, "auth.vault.token_file": str(token)}
        with Cluster(1, 3, 2, config_overrides=settings) as cluster:
            access = Access(cluster.endpoint, "any", "anysecret")
            found = Place(cluster, vault, access, Api(cluster.endpoint), Boto3(access, Path()))
            for bucket, props in PLACES.items():
                found.client.s3.create_bucket(Bucket=bucket)
                if props:
                    body = message("set-bprops", value=props)
                    assert found.api.call("PATCH", f"/v1/buckets/{bucket}", body=body).status == 200
            versioning = {"Status": "Enabled"}
            found.client.s3.put_bucket_versioning(Bucket="versioned", VersioningConfiguration=versioning)
            yield found


def secret_words(vault: Transit) -> set[bytes]:
    """What may stand in no file: content, the client's key, what Vault gave out, its token."""
    keys = [KEY.encode(), *vault.given]
    return {MARK, Transit.token.encode()}.union(*map(spellings, keys))


@pytest.mark.parametrize("bucket", PLACES)
@pytest.mark.parametrize("name", CLIENTS)
def test_every_client_with_every_kind(place: Place, name: str, bucket: str, tmp_path: Path) -> None:
    """PUT, parts, ranges, copies from each kind to each: byte for byte, also when copies and slices are made."""
    client, rng = CLIENTS[name](place.access, tmp_path), random.Random(name + bucket)
    wanted: dict[str, tuple[str, bytes]] = {}

    def check(key: str) -> None:
        kind, data = wanted[key]
        assert client.get(bucket, key, kind) == data, (key, kind)
        start = rng.randrange(len(data) - 1)
        length = rng.randrange(1, min(len(data) - start, 300_000) + 1)
        assert client.range(bucket, key, kind, start, length) == data[start : start + length], (key, kind, start)

    for kind in KINDS:
        for size, in_parts in ((SMALL, False), (LARGE, True)):
            key = f"{name} {kind} {size}"
            wanted[key] = (kind, content(kind, size, name))
            client.put(bucket, key, *wanted[key], in_parts=in_parts)
            check(key)
    for kind in KINDS:
        source = f"{name} {kind} {SMALL}"
        for target in KINDS if bucket == "plain" or name == "boto3" else (kind,):
            key = f"{source} to {target}"
            if (NONE in (kind, target)) != (kind == target == NONE):  # what was encrypted stays so in this test
                continue
            wanted[key] = (target, wanted[source][1])
            client.copy(bucket, source, kind, key, target)
            check(key)
    if PLACES[bucket]:
        place.settle()
        for key in wanted:
            check(key)


def test_to_and_from_no_encryption(place: Place) -> None:
    """Copies from and to what is not encrypted are the copies they ask to be."""
    for kind in ENCRYPTED:
        data = content(NONE, SMALL, kind)
        place.client.put("plain", f"was {kind}", kind, data)
        place.client.copy("plain", f"was {kind}", kind, f"open {kind}", NONE)
        place.client.copy("plain", f"open {kind}", NONE, f"again {kind}", kind)
        assert place.client.get("plain", f"open {kind}", NONE) == data
        assert place.client.get("plain", f"again {kind}", kind) == data


def test_versions(place: Place) -> None:
    """Each version of a key keeps the kind it was written with, below others and below a delete marker."""
    s3, versions = place.client.s3, {}
    for kind in KINDS:
        data = content(kind, SMALL, "version")
        put = s3.put_object(Bucket="versioned", Key="v", Body=data, **Boto3.WRITES[kind])
        versions[kind] = (put["VersionId"], data)
    s3.delete_object(Bucket="versioned", Key="v")
    for kind, (version, data) in versions.items():
        assert place.client.get("versioned", "v", kind, VersionId=version) == data
        part = place.client.get("versioned", "v", kind, VersionId=version, Range="bytes=65530-65550")
        assert part == data[65_530:65_551]
    sizes = {
        one["VersionId"]: one["Size"] for one in s3.list_object_versions(Bucket="versioned", Prefix="v")["Versions"]
    }
    assert set(sizes.values()) == {SMALL}


def test_lifecycle(place: Place) -> None:
    """A rule removes what it names of every kind, by the size of the content, and nothing else."""
    s3 = place.client.s3
    for kind in KINDS:
        for size in (1000, 1001):
            place.client.put("plain", f"due/{kind} {size}", kind, content(kind, size))
        place.client.put("plain", f"stays/{kind}", kind, content(kind, 1000))
    rule = {
        "ID": "due",
        "Status": "Enabled",
        "Filter": {"And": {"Prefix": "due/", "ObjectSizeLessThan": 1001}},
        "Expiration": {"Date": "2020-01-01T00:00:00Z"},
    }
    s3.put_bucket_lifecycle_configuration(Bucket="plain", LifecycleConfiguration={"Rules": [rule]})
    body = message("start", value={"kind": "s3-lifecycle"})
    assert place.api.call("PUT", "/v1/cluster", body=body).status == 200

    def names(prefix: str) -> set[str]:
        return {one["Key"] for one in s3.list_objects_v2(Bucket="plain", Prefix=prefix).get("Contents", ())}

    eventually(lambda: names("due/") == {f"due/{kind} 1001" for kind in KINDS}, within_s=WITHIN_S)
    assert names("stays/") == {f"stays/{kind}" for kind in KINDS}
    for kind in KINDS:
        assert place.client.get("plain", f"due/{kind} 1001", kind) == content(kind, 1001)


@pytest.mark.parametrize("bucket", ["mirrored", "coded", "slices"])
def test_what_is_lost_comes_back(place: Place, bucket: str) -> None:
    """Without the file of the object, and without one of its slices, it is read byte for byte."""
    wanted = {f"lost {kind}": (kind, content(kind, LARGE, "lost")) for kind in KINDS}
    for key, (kind, data) in wanted.items():
        place.client.put(bucket, key, kind, data, in_parts=True)
    place.settle()
    for key, (kind, data) in wanted.items():
        content_kind = "%ec" if bucket == "slices" else "%ob"
        found = [path for path in place.files(bucket, key) if f"/{content_kind}/" in str(path)]
        assert found, key
        found[0].unlink()
        assert place.client.get(bucket, key, kind) == data
        assert place.client.range(bucket, key, kind, 6_000_000, 10) == data[6_000_000:6_000_010]


def test_nothing_is_readable(place: Place) -> None:
    """No file of the cluster has anything of encrypted content, of a client's key, of Vault's keys or its token."""
    upload = {"Bucket": "plain", "Key": "unfinished"}
    for kind in ENCRYPTED:
        begun = {
            **upload,
            "UploadId": place.client.s3.create_multipart_upload(**upload, **Boto3.WRITES[kind])["UploadId"],
        }
        own = Boto3.READS.get(kind, {})
        place.client.s3.upload_part(**begun, PartNumber=1, Body=content(kind, PART_BYTES), **own)
    place.settle()
    assert place.vault.given
    assert not list(leaks(place.cluster, secret_words(place.vault)))
    place.client.put("plain", "readable", NONE, content(NONE, SMALL))
    assert list(leaks(place.cluster, {PLAIN_MARK}))


PART_BYTES = 6 << 20


def outcome(place: Place, bucket: str, key: str, kind: str) -> bytes | None:
    """What a reader gets; None: an error, whatever bytes came before it."""
    try:
        return place.client.get(bucket, key, kind)
    except (ClientError, HTTPClientError):
        return None


@pytest.mark.parametrize("bucket", PLACES)
@pytest.mark.parametrize("kind", ENCRYPTED)
def test_a_flipped_bit(place: Place, bucket: str, kind: str) -> None:
    """One bit of one file: an error or what was put. The same bit of all files: an error. Never other bytes."""
    data = content(kind, SMALL, "flipped")
    for number, offset in enumerate(FLIPS):
        key = f"bits{number}{ENCRYPTED.index(kind)}"
        place.client.put(bucket, key, kind, data)
        place.settle()
        first, *others = place.files(bucket, key)
        flip(first, offset)
        assert outcome(place, bucket, key, kind) in (None, data), (key, offset)
        place.client.put(bucket, key, kind, data)
        place.settle()
        for path in place.files(bucket, key):
            flip(path, offset)
        found = outcome(place, bucket, key, kind)
        assert found is None or bucket in ("coded", "slices"), (key, offset, others)
        assert found in (None, data), (key, offset)


def flip(path: Path, offset: int) -> None:
    """One bit."""
    with path.open("r+b") as file:
        file.seek(offset, os.SEEK_END if offset < 0 else os.SEEK_SET)
        byte = file.read(1)
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte[0] ^ 1]))


@pytest.mark.parametrize("kind", ENCRYPTED)
def test_metadata_that_was_changed(place: Place, kind: str) -> None:
    """A bit of the attribute: an error or what was put. The content or the attribute of another object: an error."""
    keys = [f"meta{number}{ENCRYPTED.index(kind)}" for number in range(2)]
    for key in keys:
        place.client.put("plain", key, kind, content(kind, SMALL, key))
    (first,), (second,) = (place.files("plain", key) for key in keys)
    kept = os.getxattr(first, "user.ais.obj")
    for index in range(len(kept)):
        os.setxattr(first, "user.ais.obj", kept[:index] + bytes([kept[index] ^ 1]) + kept[index + 1 :])
        assert outcome(place, "plain", keys[0], kind) in (None, content(kind, SMALL, keys[0])), index
    os.setxattr(first, "user.ais.obj", kept)
    assert outcome(place, "plain", keys[0], kind) == content(kind, SMALL, keys[0])
    aside = first.with_name("aside")
    shutil.copyfile(first, aside)
    with first.open("r+b") as file:
        file.write(second.read_bytes())
    assert outcome(place, "plain", keys[0], kind) is None
    with first.open("r+b") as file:
        file.write(aside.read_bytes())
    aside.unlink()
    os.setxattr(first, "user.ais.obj", os.getxattr(second, "user.ais.obj"))
    assert outcome(place, "plain", keys[0], kind) is None


def files_and_bytes(place: Place) -> dict[str, bytes]:
    """Files of objects that are whole, with the hash of what they hold."""
    found = [path for node in place.cluster.targets for one in node.mountpaths for path in one.rglob("kept *")]
    return {str(path): hashlib.sha256(path.read_bytes()).digest() for path in found if "/%ob/" in str(path)}


def test_without_the_key_and_with_newer_ones(place: Place) -> None:
    """After a restart all is read as before, but nothing of Vault's while it refuses, nor without a client's key.

    When the cluster's secret and Vault's key were replaced and all data keys wrapped again, no byte of a file changed,
    and Vault's first version is needed no more.
    """
    wanted = {f"kept {kind}": (kind, content(kind, SMALL, "kept")) for kind in KINDS}
    for bucket in PLACES:
        for key, (kind, data) in wanted.items():
            place.client.put(bucket, key, kind, data)
    place.settle()
    place.vault.rotate(VAULT_KEY)
    for node in place.cluster.targets:
        place.cluster.restart(node)
    place.cluster.wait_ready()
    place.vault.status = 403
    for bucket in PLACES:
        assert outcome(place, bucket, f"kept {VAULT}", VAULT) is None
        assert outcome(place, bucket, f"kept {CUSTOMER}", NONE) is None
    place.vault.status = 0

    def check() -> None:
        for bucket in PLACES:
            for key, (kind, data) in wanted.items():
                assert place.client.get(bucket, key, kind) == data, (bucket, key)

    check()
    before = files_and_bytes(place)
    body = message("rotate-secrets", "cluster")
    assert place.api.call("PUT", "/v1/cluster", body=body).status == 200
    assert rewrap(place.cluster) > 0
    place.settle()
    assert rewrap(place.cluster) == 0
    assert files_and_bytes(place) == before
    place.vault.oldest[VAULT_KEY] = 2
    for node in place.cluster.targets:
        place.cluster.restart(node)
    place.cluster.wait_ready()
    check()
