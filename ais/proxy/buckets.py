"""`/v1/buckets` of the proxy (wire contract §9): list buckets and objects, summaries, properties, changes.

Reading is served by any proxy. Changes are the primary's: another proxy passes the request on to it.
"""

import msgspec
from aiohttp import web

from ais.api import access, actions, codec, groups, headers, inventory, listing, query, xact
from ais.api.access import Access
from ais.api.archive import ArchiveMsg
from ais.api.bucket import AIS, Bck, Namespace, parse_provider
from ais.api.codec import U64
from ais.api.groups import CopyMsg, DeleteMsg, IndexMsg, PrefetchMsg, RechunkMsg
from ais.api.listing import Flag
from ais.api.messages import ActMsg
from ais.api.shard_summary import ShardSummary, ShardSummaryMsg
from ais.api.summary import BsummResult, SummaryMsg
from ais.api.xact import ArgsMsg
from ais.auth.keys import is_user_name
from ais.backend import providers
from ais.base.errors import (
    AisError,
    BadRequest,
    InvalidAction,
    NotRemoteBucket,
    NotYetImplemented,
)
from ais.base.names import SYSTEM_BUCKET_PREFIX
from ais.base.units import is_whole, parse_bool
from ais.meta.bmd import Bprops, Bucket, apply_props, inherited_props
from ais.node import author
from ais.node.long import decoded
from ais.node.node import Node
from ais.proxy.archive import Archiver
from ais.proxy.changes import BucketChanges
from ais.proxy.groups import Groups
from ais.proxy.inventories import Inventories, asked
from ais.proxy.jobs import Jobs
from ais.proxy.listing import Gaps, Lister, bucket_query
from ais.proxy.redirect import require_bucket, require_own
from ais.proxy.relay import Relay
from ais.proxy.remote import RemoteBuckets
from ais.proxy.remote_listing import RemoteLister
from ais.proxy.rename import Renamer
from ais.proxy.requests import BUCKETS, BucketAddress, json_bytes_reply, json_reply, json_text_reply, route, text_reply
from ais.proxy.summary import DONE, PARTIAL, PENDING, Summaries
from ais.stats import names as metrics

MSGPACK = "application/msgpack"
PRESENCE_MAX = 5
COPIES_MAX = 32
LATER = {"GET": (), "POST": ("etl-bck", "etl-listrange"), "PUT": (), "DELETE": (), "PATCH": ()}
"""Actions of AIStore that we do not serve yet, by verb."""
_ANY_NAMESPACE = "@"
"""Namespace that means: buckets of every namespace."""
_COPIES = (groups.COPY_BUCKET, groups.COPY)
_ONLY_REMOTE = (groups.PREFETCH, groups.EVICT, actions.EVICT_REMOTE_BUCKET)
_BID_DIGITS_MAX = len(str((1 << 64) - 1))
_ONLY_OUTSIDE, _ONLY_HERE = "5", ("2", "3", "4")
"""Values of `presence`: buckets that backends have and the cluster does not know; those that it knows."""


class Buckets:
    """The endpoint. One per proxy."""

    def __init__(
        self,
        node: Node,
        lister: Lister,
        summaries: Summaries[BsummResult],
        shard_summaries: Summaries[ShardSummary],
        renamer: Renamer,
        relay: Relay,
        archiver: Archiver,
        jobs: Jobs,
        group_jobs: Groups,
        remote: RemoteBuckets,
        inventories: Inventories,
    ) -> None:
        self._remote = remote
        self._inventories = inventories
        self._remote_lister = RemoteLister(node, lister, remote, inventories)
        self._node = node
        self._lister = lister
        self._summaries = summaries
        self._shard_summaries = shard_summaries
        self._renamer = renamer
        self._relay = relay
        self._archiver = archiver
        self._jobs = jobs
        self._groups = group_jobs
        self._changes = BucketChanges(node)

    def routes(self) -> list[web.RouteDef]:
        """Every verb, with and without a bucket."""
        verbs = {
            "GET": self.get,
            "HEAD": self.head,
            "POST": self.post,
            "PUT": self.put,
            "DELETE": self.delete,
            "PATCH": self.patch,
        }
        paths = (BUCKETS, BUCKETS + "/", BUCKETS + "/{tail:.+}")
        return [route(verb, path, verbs[verb]) for path in paths for verb in verbs]

    # -- reading

    async def get(self, request: web.Request) -> web.Response:
        """List buckets, list objects or summarize, as the action says; without a body, list."""
        address = BucketAddress.of(request)
        body = await request.read()
        message = await decoded(body, ActMsg.parse) if body.strip() else ActMsg(actions.LIST, value={})
        if message.action == actions.LIST:
            if address.bucket:
                bck = address.only_bucket()
                if not _is_local(bck) and not _lists_only_known(message):
                    await self._remote.ensure(bck)
                return await self.list_objects(request, self.require(bck), message)
            return json_reply(request, await self.list_buckets(address.params, message.name))
        if message.action == actions.SUMMARY_BUCKET:
            return await self._summarize(request, address, message.value_as(SummaryMsg))
        if message.action == actions.SUMMARY_SHARD:
            return await self._summarize_shards(address, message.value_as(ShardSummaryMsg))
        if message.action == inventory.SHOW:
            return await self._show_inventories(request, address, message.name)
        served = (actions.LIST, actions.SUMMARY_BUCKET, actions.SUMMARY_SHARD, inventory.SHOW)
        raise _unserved("GET", message, address, served)

    async def list_buckets(self, params: dict[str, str], name: str = "") -> list[Bck]:
        """Buckets that match the query, sorted, also those that only backends know unless `presence` says otherwise.

        Raise `BadRequest`, what a backend that was named raises, or `NotReady` when this proxy cannot know.
        """
        self._node.require_settled()
        _check_presence(params)
        provider = params.get(query.PROVIDER, "")
        wanted = parse_provider(provider) if provider else ""
        uname = params.get(query.NAMESPACE, "")
        namespace = Namespace.parse(uname) if uname not in ("", _ANY_NAMESPACE) else None
        if wanted not in ("", AIS):
            providers.require(self._node.config.cluster.backend, Bck("", wanted))
        with_system = parse_bool(params.get(query.SYSTEM_BUCKETS, ""))
        found = [
            bucket.bck
            for bucket in self._node.bmd
            if not bucket.props.renamed
            and (not wanted or bucket.bck.provider == wanted)
            and (namespace is None or bucket.bck.namespace == namespace)
            and (not name or bucket.bck.name == name)
            and (with_system or not bucket.bck.name.startswith(SYSTEM_BUCKET_PREFIX))
        ]
        is_here = wanted == AIS and not (namespace and namespace.uuid) and uname != _ANY_NAMESPACE
        if not is_here and (namespace is None or namespace.uuid) and params.get(query.PRESENCE, "") not in _ONLY_HERE:
            outside = await self._outside(wanted, namespace, is_any_cluster=uname == _ANY_NAMESPACE)
            outside = [bck for bck in outside if not name or bck.name == name]
            is_only = params.get(query.PRESENCE) == _ONLY_OUTSIDE
            known = {bck for bck in found if _is_local(bck)} if is_only else set(found)
            found = list(known | (set(outside) - set(found)))
        return sorted(found, key=lambda bck: (bck.provider, bck.namespace.uuid, bck.namespace.name, bck.name))

    async def _outside(self, provider: str, namespace: Namespace | None, *, is_any_cluster: bool) -> list[Bck]:
        """What backends have: the one named, or as many as give an answer."""
        if namespace is not None:
            found = await self._remote.buckets(AIS, namespace.uuid)
            return [bck for bck in found if not namespace.name or bck.namespace.name == namespace.name]
        if provider not in ("", AIS):
            return await self._remote.buckets(provider)
        asked = [] if is_any_cluster else [(one, "") for one in self._remote.providers]
        asked += [(AIS, alias) for alias in self._remote.aliases] if is_any_cluster else []
        found = []
        for one, alias in asked:
            try:
                found += await self._remote.buckets(one, alias)
            except AisError as error:
                self._node.log.warning("a backend does not list", provider=one, alias=alias, error=str(error))
        return found

    async def list_objects(self, request: web.Request, bucket: Bucket, message: ActMsg) -> web.Response:
        """One page, as msgpack when the client accepts that, else as JSON."""
        stats, clock = self._node.stats, self._node.env.clock
        started_ns = clock.now_ns()
        gaps: Gaps | None = set() if parse_bool(request.headers.get(headers.LIST_PARTIAL, "")) else None
        try:
            wanted = listing.parse(message.value)
            if (inventory_name := asked(request.headers, wanted)) is not None:
                wanted = msgspec.structs.replace(wanted, flags=U64(wanted.flags | Flag.INVENTORY))
            if bucket.has_backend and (inventory_name is not None or not wanted.has(Flag.CACHED)):
                page = await self._remote_lister.page(bucket, wanted, inventory_name)
            else:
                page = await self._lister.page(bucket, wanted, gaps)
        except AisError:
            stats.inc(metrics.ERR_LST_N)
            raise
        stats.observe(metrics.LST_N, metrics.LST_NS, clock.now_ns() - started_ns)
        if MSGPACK in request.headers.get("Accept", ""):
            answer = web.Response(body=listing.encode_page(page), content_type=MSGPACK)
        else:
            answer = json_bytes_reply(request, listing.page_to_json(page))
        if gaps:
            answer.headers[headers.LIST_MISSING] = ",".join(sorted(gaps))
        return answer

    async def _show_inventories(self, request: web.Request, address: BucketAddress, name: str) -> web.Response:
        """Of one bucket, or of all that the query names, by the names of their objects."""
        if name:
            inventory.check_name(name)
        if address.bucket:
            bck = address.only_bucket()
            await self._remote.ensure(bck)
            buckets = [self.require(bck).bck]
            shown = await self._inventories.show(inventory.object_name(bck, ""), name)
        else:
            known = await self.list_buckets(address.params | {query.PRESENCE: _ONLY_HERE[0]})
            buckets = [bck for bck in known if self._may_look(request, bck)]
            shown = await self._inventories.show("", name)
        prefixes = tuple(inventory.object_name(bck, "") for bck in buckets)
        return json_reply(request, {one.obj_name: one for one in shown if one.obj_name.startswith(prefixes)})

    async def _summarize(self, request: web.Request, address: BucketAddress, message: SummaryMsg) -> web.Response:
        path = BUCKETS
        if address.bucket:
            bck = address.only_bucket()
            if not message.present:
                await self._remote.ensure(bck)
            path += "/" + self.require(bck).bck.name
        if not message.uuid:
            return text_reply(await self._summaries.start(path, address.params, message), PENDING)
        progress = await self._summaries.poll(path, address.params, message)
        if progress.status == PENDING:
            return web.Response(status=PENDING)
        found = [one for one in progress.results if self._may_look(request, one.bck)]
        return json_text_reply(found, progress.status, end="\n")

    def _may_look(self, request: web.Request, bck: Bck) -> bool:
        """Whether a right to all buckets is one to this, too: a token may say less of one bucket."""
        return author.may(request, Access.HEAD_BUCKET | Access.LIST_OBJECTS, self._node.smap.uuid, bck)

    async def _summarize_shards(self, address: BucketAddress, message: ShardSummaryMsg) -> web.Response:
        if not address.bucket:
            raise NotYetImplemented("cannot shard-summary bucket queries - not implemented yet")
        bucket = self.require(address.only_bucket())
        access.require(bucket.props.access, Access.LIST_OBJECTS, bucket.bck.cname())
        path, params = f"{BUCKETS}/{bucket.bck.name}", bucket_query(bucket)
        if not message.uuid:
            return text_reply(await self._shard_summaries.start(path, params, message), PENDING)
        progress = await self._shard_summaries.poll(path, params, message)
        if progress.status == PENDING:
            return web.Response(status=PENDING)
        return json_text_reply(progress.results[0], progress.status, end="\n")

    async def head(self, request: web.Request) -> web.Response:
        """Properties in a header; with `bsumm_remote`, also a summary, once it is there.

        Raise `NotReady` when this proxy cannot know: the bucket may have been destroyed, or made anew, meanwhile.
        """
        self._node.require_contact()
        address = BucketAddress.of(request)
        _check_presence(address.params)
        if address.params.get(query.PRESENCE) not in _ONLY_HERE:
            if parse_bool(address.params.get(query.DONT_ADD_REMOTE, "")):
                return web.Response(headers={headers.BUCKET_PROPS: (await self._look_at(address.bck)).raw.decode()})
            await self._remote.ensure(address.bck)
        bucket = self.require(address.bck)
        found = {headers.BUCKET_PROPS: bucket.raw.decode()}
        if not address.params.get(query.BSUMM_REMOTE):
            if address.rest:
                raise BadRequest(f'invalid path "{address.path[:200]}": a prefix needs {query.BSUMM_REMOTE}=true')
            return web.Response(headers=found)
        status, summary = await self._summary_in_headers(bucket, address)
        return web.Response(status=status, headers=found | summary)

    async def _look_at(self, bck: Bck) -> Bucket:
        """The bucket; one that only its backend has does not become known by this."""
        if self._is_own(bck) or self._node.bmd.get(bck) is not None:
            return self.require(bck)
        props = inherited_props(bck, self._node.config.cluster)
        return Bucket(bck, msgspec.structs.replace(props, extra=await self._remote.head(bck)))

    async def _summary_in_headers(self, bucket: Bucket, address: BucketAddress) -> tuple[int, dict[str, str]]:
        path = f"{BUCKETS}/{bucket.bck.name}"
        bucket_params = bucket_query(bucket)
        uuid = address.params.get(query.UUID, "")
        with_remote = parse_bool(address.params[query.BSUMM_REMOTE])
        message = SummaryMsg(uuid, address.rest, cached=not with_remote, present=True)
        if not uuid:
            return PENDING, {headers.XACTION_ID: await self._summaries.start(path, bucket_params, message)}
        progress = await self._summaries.poll(path, bucket_params, message)
        found = {headers.XACTION_ID: uuid}
        if progress.status in (PARTIAL, DONE):
            empty = BsummResult(bucket.bck.name, bucket.bck.provider, bucket.bck.namespace)
            result = progress.results[0] if progress.results else empty
            found[headers.BUCKET_SUMMARY] = codec.to_json(result).decode()
        return progress.status, found

    # -- changing

    async def post(self, request: web.Request) -> web.Response:
        """Create or rename a bucket."""
        address = BucketAddress.of(request)
        bck = address.only_bucket()
        message = await decoded(await request.read(), ActMsg.parse)
        served = (
            actions.CREATE_BUCKET,
            actions.MOVE_BUCKET,
            xact.MAKE_COPIES,
            xact.EC_ENCODE,
            *_COPIES,
            groups.INDEX,
            groups.RECHUNK,
            inventory.CREATE,
            *(() if self._is_own(bck) else (groups.PREFETCH,)),
        )
        if message.action not in served:
            raise _unserved("POST", message, address, served)
        if message.action != actions.CREATE_BUCKET:
            await self._remote.ensure(bck)
        if (to := _destination(message, address)) is not None:
            await self._remote.ensure(to)
        bid = 0 if message.action == actions.CREATE_BUCKET else self._id_of(bck, request)
        if (answer := await self._relay.to_primary(request, bid)) is not None:
            return answer
        if message.action == actions.CREATE_BUCKET:
            await self._create(bck, message.value, address.params, author.of(request))
            return web.Response()
        if message.action == inventory.CREATE:
            return text_reply(await self._inventories.create(self.require(bck), message.value))
        if message.action == groups.PREFETCH:
            return text_reply(await self._groups.prefetch(self.require(bck), message.value_as(PrefetchMsg)))
        if message.action == groups.RECHUNK:
            chunks = message.value_as(RechunkMsg) if message.value is not None else None
            return text_reply(await self._groups.rechunk(self.require(bck), chunks))
        if message.action == groups.INDEX:
            return text_reply(await self._groups.index(self.require(bck), message.value_as(IndexMsg)))
        if message.action == xact.EC_ENCODE:
            return text_reply(await self._ec_encode(bck, bid, message.value))
        if message.action == xact.MAKE_COPIES:
            return text_reply(await self._make_copies(bck, bid, message.value))
        destination = address.params.get(query.BUCKET_TO, "")
        if message.action in _COPIES:
            return text_reply(await self._copy(self.require(bck), destination, message, address.params))
        if not destination:
            raise BadRequest(f"renaming a bucket needs {query.BUCKET_TO}=<provider>/@#/<new name>/")
        source = require_own(self.require(bck), "rename")
        access.require(source.props.access, Access.MOVE_BUCKET, bck.cname())
        return text_reply(await self._renamer.begin(bck, bid, Bck.parse_uname(destination)[0]))

    async def _copy(self, source: Bucket, to: str, message: ActMsg, params: dict[str, str]) -> str:
        _check_presence(params)
        if (presence := params.get(query.PRESENCE)) == _ONLY_OUTSIDE:
            raise BadRequest(f"{query.PRESENCE}={presence}: cannot copy only what is not in the cluster")
        only_here = presence in _ONLY_HERE
        if message.action == groups.COPY_BUCKET:
            return await self._groups.copy_bucket(source, to, message.value, only_here=only_here)
        return await self._groups.copy_objects(source, message.value_as(CopyMsg), only_here=only_here)

    async def put(self, request: web.Request) -> web.Response:
        """Make a shard of objects."""
        address = BucketAddress.of(request)
        await self._remote.ensure(address.only_bucket())
        source = self.require(address.only_bucket())
        message = await decoded(await request.read(), ActMsg.parse)
        if message.action != actions.ARCHIVE:
            raise _unserved("PUT", message, address, (actions.ARCHIVE,))
        return text_reply(await self._archiver.start(source, message.value_as(ArchiveMsg)))

    async def delete(self, request: web.Request) -> web.Response:
        """Destroy a bucket; evict a remote one."""
        address = BucketAddress.of(request)
        bck = address.only_bucket()
        message = await decoded(await request.read(), ActMsg.parse)
        if message.action == actions.EVICT_REMOTE_BUCKET and self._node.bmd.get(bck) is None and not _is_local(bck):
            return web.Response()
        if message.action != actions.EVICT_REMOTE_BUCKET:
            await self._remote.ensure(bck)
        if message.action == groups.EVICT and not self._is_own(bck):
            return text_reply(await self._groups.evict(self.require(bck), message.value_as(DeleteMsg)))
        if message.action == inventory.DESTROY:
            await self._inventories.destroy(self.require(bck).bck, message.name)
            return web.Response()
        if message.action == groups.DELETE:
            return text_reply(await self._groups.delete(self.require(bck), message.value_as(DeleteMsg)))
        is_evict = message.action == actions.EVICT_REMOTE_BUCKET and not self._is_own(bck)
        if is_evict and _is_local(bck):  # linked: what is nowhere else stays
            return text_reply(await self._groups.evict(self.require(bck), DeleteMsg()))
        if message.action != actions.DESTROY_BUCKET and not is_evict:
            served = (actions.DESTROY_BUCKET, groups.DELETE, actions.EVICT_REMOTE_BUCKET, inventory.DESTROY)
            raise _unserved("DELETE", message, address, served)
        bid = self._id_of(bck, request)
        if (answer := await self._relay.to_primary(request, bid)) is not None:
            return answer
        if is_evict:
            keep = parse_bool(address.params.get(query.KEEP_BUCKET, ""))
            await self._changes.evict(bck, bid, keep=keep)
            if not keep:
                await self._inventories.destroy(bck)
        elif bck.namespace.uuid:
            await self._changes.evict(bck, bid, keep=False)
            await self._inventories.destroy(bck)
            await self._remote.destroy(bck)
        else:
            await self._changes.destroy(bck, bid)
        return web.Response()

    async def patch(self, request: web.Request) -> web.Response:
        """Set or reset properties. The reply is the ID of the job that this starts, if any."""
        address = BucketAddress.of(request)
        bck = address.only_bucket()
        message = await decoded(await request.read(), ActMsg.parse)
        served = (actions.SET_BUCKET_PROPS, actions.RESET_BUCKET_PROPS, actions.GIVE_BUCKET)
        if message.action not in served:
            raise _unserved("PATCH", message, address, served)
        await self._remote.ensure(bck)
        bid = self._id_of(bck, request)
        if (answer := await self._relay.to_primary(request, bid)) is not None:
            return answer
        before = self.require(bck).props
        if message.action == actions.SET_BUCKET_PROPS:
            await self._check_backend(before, message.value)
        if message.action == actions.SET_BUCKET_PROPS:
            await self._changes.set_props(bck, bid, message.value)
        elif message.action == actions.GIVE_BUCKET:
            await self._changes.give(bck, bid, _new_owner(message))
        else:
            await self._changes.reset_props(bck, bid)
        return await self._follow_up(bck, before)

    async def _create(self, bck: Bck, props_patch: object, params: dict[str, str], owner: str) -> None:
        if _is_local(bck):
            await self._check_backend(inherited_props(bck, self._node.config.cluster), props_patch)
            await self._changes.create(bck, props_patch, owner)
        else:
            is_unasked = parse_bool(params.get(query.DONT_HEAD_REMOTE, ""))
            await self._remote.create(bck, props_patch, must_exist=not is_unasked)

    async def _check_backend(self, before: Bprops, props_patch: object) -> None:
        """Raise `RemoteBucketNotFound`, or what the backend answers, unless what a bucket gets linked to is there."""
        after = apply_props(before, props_patch, self._changes.targets_count)
        linked = after.backend_bck
        if linked.name and linked != before.backend_bck:
            await self._remote.head(linked, after.extra)

    def _is_own(self, bck: Bck) -> bool:
        """Whether a bucket has no backend."""
        bucket = self._node.bmd.get(bck)
        return _is_local(bck) if bucket is None else not bucket.has_backend

    def _id_of(self, bck: Bck, request: web.Request) -> int:
        """ID of the bucket that is meant, as of when the first gateway got the request. Raise `BucketNotFound`.

        Raise `NotReady` when this gateway cannot know: for the primary the old ID would be that of a destroyed bucket.
        """
        told = request.headers.get(headers.BUCKET_ID)
        if told is None:
            self._node.require_contact()
            return self.require(bck).bid
        if len(told) > _BID_DIGITS_MAX or not (told.isascii() and told.isdigit()):
            raise BadRequest(f'invalid {headers.BUCKET_ID} "{told[:40]}": expected the number of a bucket')
        return int(told)

    async def _follow_up(self, bck: Bck, before: Bprops) -> web.Response:
        """Start the job that brings the objects of a bucket to its new properties, if these ask for one."""
        after = self.require(bck).props
        if after.is_coded and after.coding != before.coding:
            return text_reply(await self._jobs.run(ArgsMsg(kind=xact.EC_ENCODE, bck=bck)))
        if after.copies != before.copies:
            return text_reply(await self._jobs.run(ArgsMsg(kind=xact.MAKE_COPIES, bck=bck)))
        return web.Response()

    async def _ec_encode(self, bck: Bck, bid: int, value: object) -> str:
        """Code all objects of a bucket, after changing its `ec` properties to `value` (JSON as text); the job's ID.

        Raise `BadRequest`, `NotEnoughTargets`.
        """
        if not isinstance(value, str | None):
            raise BadRequest("invalid ec-encode request")
        patch = codec.parse_json(value) if value else {}
        if not isinstance(patch, dict):
            raise BadRequest("invalid ec-encode request")
        if not (self.require(bck).props.ec.enabled or patch.get("enabled")):
            probe = apply_props(self.require(bck).props, {"ec": patch | {"enabled": True}}, self._changes.targets_count)
            raise BadRequest(f"EC is disabled for {bck.cname()}" if probe.ec.enabled else "invalid ec-encode request")
        if patch:
            await self._changes.set_props(bck, bid, {"ec": patch})
        return await self._jobs.run(ArgsMsg(kind=xact.EC_ENCODE, bck=bck))

    async def _make_copies(self, bck: Bck, bid: int, value: object) -> str:
        """Mirror a bucket with this many copies, or no more with 1; the ID of the job. Raise `BadRequest`."""
        text = value if isinstance(value, str) else str(value) if type(value) in (int, float) else ""
        try:
            copies = int(float(text))
        except ValueError:
            raise BadRequest(f"failed to parse 'copies' ({value!r:.80}) - unexpected type") from None
        if not 1 <= copies <= COPIES_MAX:
            raise BadRequest(f"invalid number of copies ({copies}): expected 1 to {COPIES_MAX}")
        await self._changes.set_props(bck, bid, {"mirror": {"enabled": copies > 1, "copies": copies}})
        return await self._jobs.run(ArgsMsg(kind=xact.MAKE_COPIES, bck=bck))

    def require(self, bck: Bck) -> Bucket:
        """The bucket for a request of a client. Raise `BucketNotFound`."""
        return require_bucket(self._node.bmd, bck)


def _new_owner(message: ActMsg) -> str:
    """Raise `BadRequest`."""
    owner = message.value
    if not isinstance(owner, str) or not (owner == "" or is_user_name(owner)):
        raise BadRequest(f'the value of {message.action} is the name of a user, or "": the bucket is nobody\'s then')
    return owner


def _is_local(bck: Bck) -> bool:
    return bck.provider == AIS and not bck.namespace.uuid


def _destination(message: ActMsg, address: BucketAddress) -> Bck | None:
    """The bucket at a backend that a copy goes to; None: none, or one of ours, which is made when there is none."""
    to = None
    if message.action == groups.COPY_BUCKET and (uname := address.params.get(query.BUCKET_TO)):
        to = Bck.parse_uname(uname)[0]
    elif message.action == groups.COPY and (named := message.value_as(CopyMsg).to) is not None and named.name:
        to = Bck.parse(named.name, named.provider, named.namespace.uname)
    return None if to is None or _is_local(to) else to


def _unserved(verb: str, message: ActMsg, address: BucketAddress, served: tuple[str, ...]) -> AisError:
    """Why an action is not served: wrong for this bucket, not written yet, or no action at all."""
    action = message.action
    if not action:
        return BadRequest(f"the request body names no action (expected one of {list(served)})")
    if address.bucket and action in _ONLY_REMOTE and _is_local(address.bck):
        return NotRemoteBucket(action, address.bck.cname())
    if action in LATER[verb] or action in _ONLY_REMOTE:
        what = f" of bucket {address.bck.cname()}" if address.bucket else ""
        return NotYetImplemented(f"cannot {action}{what} - not implemented yet")
    return InvalidAction(action, served)


def _lists_only_known(message: ActMsg) -> bool:
    """Whether a listing is not to make a bucket known."""
    return listing.parse(message.value).has(Flag.BUCKET_PRESENT)


def _check_presence(params: dict[str, str]) -> None:
    presence = params.get(query.PRESENCE, "")
    if presence and not (is_whole(presence) and int(presence) <= PRESENCE_MAX):
        raise BadRequest(f'invalid {query.PRESENCE}="{presence[:40]}": expected a number from 0 to {PRESENCE_MAX}')
