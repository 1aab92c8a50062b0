"""Damaged objects over S3: not copied, not appended to, not taken for absent, and the client's fault is nobody's."""

import os
from collections.abc import Callable
from typing import Any
from xml.etree import ElementTree

import pytest
from harness.target import LiveTarget

Scenario = Callable[[Any], Any]
CONTENT = os.urandom(300_000)


def _code(answer: Any) -> str:
    return ElementTree.fromstring(answer.body).findtext("Code") or ""


def _file(targets: list[LiveTarget], name: str) -> str:
    (found,) = [path for live in targets for path in live.files() if path.endswith(f"/%ob/{name}")]
    return found


def _damage(path: str) -> None:
    with open(path, "r+b") as file:
        first = file.read(1)
        file.seek(0)
        file.write(bytes([first[0] ^ 1]))


def _owner(targets: list[LiveTarget], key: str) -> LiveTarget:
    node = targets[0].node.placement.owner(f"ais/@#/b/{key}")
    return next(one for one in targets if one.node.snode.id == node.id)


def _name(targets: list[LiveTarget], live: LiveTarget, *, is_here: bool) -> str:
    return next(name for name in map("s{}".format, range(100)) if (_owner(targets, name) is live) is is_here)


@pytest.mark.parametrize("patch", [None, {"checksum": {"type": "none"}}], ids=["xxhash2", "no checksum"])
@pytest.mark.parametrize("is_here", [True, False], ids=["here", "elsewhere"])
def test_damage_is_not_copied(serve: Any, run: Scenario, is_here: bool, patch: Any) -> None:
    """CopyObject of a damaged source, this target's or another's, is 500 and makes nothing, ETag by MD5 included."""

    async def scenario() -> None:
        async with serve(2) as targets:
            for live in targets:
                await live.create(patch=patch)
            live = _owner(targets, "o")
            name = _name(targets, live, is_here=is_here)
            assert (await _owner(targets, name).s3("PUT", f"b/{name}", data=CONTENT)).status == 200
            _damage(_file(targets, name))
            copied = await live.s3("PUT", "b/o", headers={"x-amz-copy-source": f"b/{name}"})
            assert (copied.status, _code(copied)) == (500, "InternalError")
            assert (await live.s3("HEAD", "b/o")).status == 404

    run(scenario())


@pytest.mark.parametrize("span", ["", "bytes=200000-299999"], ids=["whole", "a range that is intact"])
@pytest.mark.parametrize("is_here", [True, False], ids=["here", "elsewhere"])
def test_damage_is_not_copied_into_a_part(serve: Any, run: Scenario, is_here: bool, span: str) -> None:
    """UploadPartCopy compares the whole source: nobody can tell whether a range of a damaged object is intact."""

    async def scenario() -> None:
        async with serve(2) as targets:
            for live in targets:
                await live.create()
            live = _owner(targets, "o")
            name = _name(targets, live, is_here=is_here)
            assert (await _owner(targets, name).s3("PUT", f"b/{name}", data=CONTENT)).status == 200
            begun = ElementTree.fromstring((await live.s3("POST", "b/o?uploads")).body)
            upload_id = begun.findtext("{*}UploadId")
            headers = {"x-amz-copy-source": f"b/{name}"} | ({"x-amz-copy-source-range": span} if span else {})
            path = f"b/o?partNumber=1&uploadId={upload_id}"
            assert (await live.s3("PUT", path, headers=headers)).status == 200
            _damage(_file(targets, name))
            path = f"b/o?partNumber=2&uploadId={upload_id}"
            copied = await live.s3("PUT", path, headers=headers)
            assert (copied.status, _code(copied)) == (500, "InternalError")
            listed = ElementTree.fromstring((await live.s3("GET", f"b/o?uploadId={upload_id}")).body)
            assert [one.text for one in listed.findall("{*}Part/{*}PartNumber")] == ["1"]

    run(scenario())


def test_a_verified_read_of_a_damaged_object_is_our_fault(serve: Any, run: Scenario) -> None:
    """`validate_warm_get` over S3: 500, not 400, which clients take for theirs."""

    async def scenario() -> None:
        async with serve() as [live]:
            await live.create(patch={"checksum": {"validate_warm_get": True}})
            await live.s3("PUT", "b/o", data=CONTENT)
            assert (await live.s3("GET", "b/o")).body == CONTENT
            _damage(_file([live], "o"))
            got = await live.s3("GET", "b/o")
            assert (got.status, _code(got)) == (500, "InternalError")

    run(scenario())


@pytest.mark.parametrize("harm", ["lost", "damaged"])
def test_an_object_with_damaged_metadata_is_not_replaced_where_none_may_be(
    serve: Any, run: Scenario, harm: str
) -> None:
    """`If-None-Match: *` by PUT, copy and complete: refused, and the object is still there."""

    async def scenario() -> None:
        async with serve() as [live]:
            await live.create()
            for name in ("o", "source"):
                await live.s3("PUT", f"b/{name}", data=CONTENT)
            path = _file([live], "o")
            if harm == "lost":
                os.removexattr(path, "user.ais.obj")
            else:
                os.setxattr(path, "user.ais.obj", b"junk")
            ino = os.stat(path).st_ino
            begun = ElementTree.fromstring((await live.s3("POST", "b/o?uploads")).body)
            upload_id = begun.findtext("{*}UploadId")
            part = await live.s3("PUT", f"b/o?partNumber=1&uploadId={upload_id}", data=b"x")
            listed = f"<Part><PartNumber>1</PartNumber><ETag>{part.headers['ETag']}</ETag></Part>"
            document = f"<CompleteMultipartUpload>{listed}</CompleteMultipartUpload>"
            only_new = {"If-None-Match": "*"}
            for answer in (
                await live.s3("PUT", "b/o", data=b"new", headers=only_new),
                await live.s3("PUT", "b/o", headers={**only_new, "x-amz-copy-source": "b/source"}),
                await live.s3("POST", f"b/o?uploadId={upload_id}", data=document, headers=only_new),
            ):
                assert answer.status in (412, 500)
            assert os.stat(path).st_ino == ino
            assert (await live.s3("GET", "b/o")).status == 500
            assert (await live.s3("PUT", "b/o", data=b"mended")).status == 200
            assert (await live.s3("GET", "b/o")).body == b"mended"

    run(scenario())
