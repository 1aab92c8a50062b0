"""Many objects in order."""

import asyncio
import io
import tarfile

import pytest
from aisclient import AsyncClient, Bucket, ErrBckNotFound, ErrObjNotFound
from aisclient.batch import _read_tar, _Torn


def test_order_and_content(bck: Bucket):
    """Thousands of objects of all sizes, some twice, come in the order asked for, each with its content."""
    names = [f"dir/{'n' * (i % 130)}{i}" for i in range(300)]
    for i, name in enumerate(names):
        bck.object(name).put(name.encode() * (i % 90))
    asked = names[::-1] + names * 5
    assert list(bck.get_many(iter(asked))) == [(name, name.encode() * (names.index(name) % 90)) for name in asked]
    assert list(bck.get_many([])) == []


def test_missing_objects(cluster, bck: Bucket):
    """A missing object is an error of its name, or None for who wants to go on; what came before it was given."""
    bck.object("a").put(b"a")
    assert list(bck.get_many(["a", "no", "a"], missing_ok=True)) == [("a", b"a"), ("no", None), ("a", b"a")]
    found = bck.get_many(["a", "no", "a"])
    assert next(found) == ("a", b"a")
    with pytest.raises(ErrObjNotFound, match="no does not exist"):
        next(found)
    with pytest.raises(ErrBckNotFound):
        list(bck.client.bucket("nosuchbucket").get_many(["a"]))


def test_asynchronously(cluster, bck: Bucket):
    """The asynchronous client does the same, and can stop early."""

    async def run() -> None:
        async with AsyncClient(cluster.endpoint) as client:
            bucket = client.bucket(bck.name)
            await asyncio.gather(*(bucket.object(f"o{i}").put(b"%d" % i) for i in range(200)))
            names = [f"o{i}" for i in range(200)]
            assert [data async for _, data in bucket.get_many(names)] == [b"%d" % i for i in range(200)]
            many = bucket.get_many(names)
            assert await anext(many) == ("o0", b"0")
            await many.aclose()
            assert await bucket.object("o7").get() == b"7"
            assert [entry.name async for entry in bucket.list_objects_iter("o1")] == sorted(
                name for name in names if name.startswith("o1")
            )

    asyncio.run(run())


@pytest.mark.parametrize("kind", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT, tarfile.USTAR_FORMAT])
def test_every_kind_of_tar(kind: int):
    """Long names, names of other alphabets and all kinds of headers are read as `tarfile` writes them."""
    names = ["a", "dir/" + "x" * 80, "d" * 90 + "/" + "y" * 99] + (
        ["z" * 600, "日本" * 60] if kind != tarfile.USTAR_FORMAT else []
    )
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=kind) as tar:
        for name in names:
            info = tarfile.TarInfo(name)
            info.size = len(name)
            tar.addfile(info, io.BytesIO(b"c" * len(name)))

    async def read(data: bytes) -> list[tuple[str, bytes | None]]:
        return await _read_tar(_Pieces(data), names, "there")  # type: ignore[arg-type]

    assert asyncio.run(read(file.getvalue())) == [(name, b"c" * len(name)) for name in names]
    with pytest.raises(_Torn):
        asyncio.run(read(file.getvalue()[: file.getvalue().rindex(b"c") - 1]))


class _Pieces:
    def __init__(self, data: bytes) -> None:
        self._file = io.BytesIO(data)

    async def read(self, size: int) -> bytes:
        return self._file.read(min(size, 777))
