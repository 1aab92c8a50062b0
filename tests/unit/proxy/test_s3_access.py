"""A bucket's `access` property binds the S3 API as it binds the native one."""

from collections.abc import Callable
from typing import Any

import pytest

from ais.api.access import Access

Run = Callable[[Any], Any]


@pytest.mark.parametrize("signed", [False, True])
def test_access_binds_s3(serve: Any, run: Run, signed: bool) -> None:
    """With reading alone allowed, every S3 write is 403 and nothing is changed; reads go on."""

    async def scenario() -> None:
        async with serve(targets=2, storage=True) as cluster:
            await cluster.create("b")
            await cluster.create("c")
            s3 = await cluster.user("ann") if signed else cluster.s3()
            await s3("put_object", Bucket="b", Key="k", Body=b"content")
            upload = (await s3("create_multipart_upload", Bucket="b", Key="m"))["UploadId"]
            allowed = str(int(Access.GET | Access.HEAD_OBJECT | Access.LIST_OBJECTS | Access.HEAD_BUCKET))
            answer = await cluster.primary.act("PATCH", "/v1/buckets/b", "set-bprops", {"access": allowed})
            assert answer.status == 200, answer.body
            for operation, arguments in [
                ("put_object", {"Key": "k", "Body": b"x"}),
                ("delete_object", {"Key": "k"}),
                ("delete_objects", {"Delete": {"Objects": [{"Key": "k"}]}}),
                ("copy_object", {"Key": "n", "CopySource": "b/k"}),
                ("create_multipart_upload", {"Key": "n"}),
                ("upload_part", {"Key": "m", "UploadId": upload, "PartNumber": 1, "Body": b"x"}),
                ("put_object_tagging", {"Key": "k", "Tagging": {"TagSet": []}}),
                ("delete_bucket", {}),
            ]:
                assert await s3.refused(operation, Bucket="b", **arguments) == (403, "AccessDenied"), operation
            assert (await s3("get_object", Bucket="b", Key="k"))["Body"].read() == b"content"
            assert [one["Key"] for one in (await s3("list_objects_v2", Bucket="b"))["Contents"]] == ["k"]

    run(scenario())
