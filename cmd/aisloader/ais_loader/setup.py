"""What goes before and after the load: the bucket, the names that are there already, the gateways."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

from ais.api.codec import U64
from ais.api.listing import Flag, LsoMsg
from ais.base.errors import BadRequest
from ais.client.client import Client
from ais_loader.arguments import Plan

NAMES_MAX = 50_000_000


class Ready(NamedTuple):
    """The gateways' URLs, and the names of objects that may be read."""

    proxies: list[str]
    names: list[str]


@asynccontextmanager
async def prepared(plan: Plan) -> AsyncIterator[Ready]:
    """Make the bucket when it is not there, list it; destroy it at the end when the plan says so.

    Raise `BadRequest` for a plan that cannot be carried out, and what the cluster answers.
    """
    if plan.is_s3:
        yield Ready([plan.endpoint], _listed_in_file(plan))
        return
    async with Client(plan.endpoint, timeout_s=plan.timeout_s) as client:
        exists = await client.buckets.exists(plan.bucket)
        if not exists:
            if not plan.put_pct:
                raise BadRequest(f"new bucket {plan.bucket.cname()}, expecting 100% PUT: there is nothing to read")
            await client.buckets.create(plan.bucket, json.loads(plan.bucket_props) if plan.bucket_props else None)
        elif plan.bucket_props:
            await client.buckets.set_props(plan.bucket, json.loads(plan.bucket_props))
        try:
            smap = await client.cluster.smap()
            proxies = [one.public.url for one in smap.pmap.values()] if plan.is_any_proxy else [plan.endpoint]
            yield Ready(proxies, await _existing(plan, client))
        finally:
            if plan.cleans_up:
                await client.buckets.destroy(plan.bucket)


async def _existing(plan: Plan, client: Client) -> list[str]:
    if plan.file_list:
        return _listed_in_file(plan)
    if plan.is_list_skipped or (plan.put_pct == 100 and not plan.update_pct):
        return []
    message = LsoMsg(prefix=plan.subdir, props="name", flags=U64(int(Flag.NAME_ONLY | Flag.NO_DIRS)))
    return [entry.n async for entry in client.buckets.objects(plan.bucket, message)]


def _listed_in_file(plan: Plan) -> list[str]:
    if not plan.file_list:
        return []
    try:
        found = [line.strip() for line in Path(plan.file_list).read_text().splitlines() if line.strip()]
    except OSError as error:
        raise BadRequest(f"cannot read -filelist {plan.file_list}: {error.strerror}") from None
    if len(found) > NAMES_MAX:
        raise BadRequest(f"-filelist {plan.file_list} has more than {NAMES_MAX} names")
    return found
