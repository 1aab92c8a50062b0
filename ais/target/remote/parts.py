"""Uploads in parts to buckets that have a backend: the parts are kept here, completing them is one upload there.

The parts stay until the object is at the backend and here: completed again after a crash, all of it is sent once more.
"""

from collections.abc import Sequence
from contextlib import suppress

from ais.base.errors import HandleNotFound
from ais.core.meta import ObjectMeta, run_lengths
from ais.core.multipart import Part, Upload
from ais.core.store import Store
from ais.target.remote.through import Check, Through, content_of
from ais.target.uploads import in_pool_to_end
from ais.target.view import BucketView


async def complete(
    store: Store,
    through: Through,
    view: BucketView,
    upload: Upload,
    parts: Sequence[Part],
    facts: dict[str, str],
    check: Check | None = None,
) -> ObjectMeta:
    """Make the object of `parts`, in their order; forget the upload. Raise as `Uploads.read_parts`, `Through.store`."""
    custom, name, size = upload.info.custom, upload.info.name, sum(part.size for part in parts)
    runs = run_lengths([part.size for part in parts])
    writer = store.writer(view.bck, name, view.rules, custom=custom, facts=facts, size_hint=size, runs=runs)

    def fill() -> None:
        for chunk in store.uploads.read_parts(upload, parts):
            writer.write(chunk)

    def forget() -> None:
        with suppress(HandleNotFound):  # somebody else completed it meanwhile
            store.uploads.abort(upload, fsync=view.rules.fsync)

    try:
        await in_pool_to_end(writer.mountpath.pool, fill)
    except BaseException:
        writer.abort()
        raise
    meta = await through.store(view, name, writer, lambda: custom | content_of(facts), check)
    await in_pool_to_end(writer.mountpath.pool, forget)
    return meta
