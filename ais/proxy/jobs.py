"""Questions about xactions, and starting and stopping them (wire contract §12.8).

No proxy keeps anything about a job: the targets remember theirs, and each answer is put together from theirs. A rename
is over only when the bucket metadata says so, because its last step is the primary's.
"""

import contextlib

import msgspec

from ais.api import actions, codec, xact
from ais.api.xact import ArgsMsg, QueryMsg, Snap, Status
from ais.base.errors import AisError, BadRequest, NotReady, Unreachable, Unsupported, XactionNotFound
from ais.base.ids import is_valid_uuid, new_id
from ais.meta import rename
from ais.node.node import Node
from ais.proxy.targets import Targets, decode_lists

XACTIONS = "/v1/xactions"
STARTABLE = frozenset(
    (
        "rebalance",
        "lru",
        "cleanup-store",
        "resilver",
        "blob-download",
        "prefetch-listrange",
        "ec-encode",
        "make-n-copies",
        xact.LOAD_METADATA,
        xact.LIFECYCLE,
        xact.SCRUB,
        xact.REWRAP,
        xact.REPLICATE,
    )
)
"""Kinds that clients may start as such; the others begin with a request of their own."""
_OF_BUCKETS = ("make-n-copies", "ec-encode", "prefetch-listrange", "blob-download", xact.LOAD_METADATA)


class Jobs:
    """The cluster's xactions as clients ask for them."""

    def __init__(self, node: Node, targets: Targets) -> None:
        self._node = node
        self._targets = targets

    async def status(self, query: QueryMsg) -> Status:
        """One xaction by ID, or the newest of a kind. Raise `BadRequest` or `XactionNotFound`."""
        if not query.id and not query.kind:
            raise BadRequest("the status of an xaction needs its ID or kind")
        found = await self._statuses(query)
        if not found:
            raise XactionNotFound(describe(query))
        return found[-1]

    async def all_statuses(self, query: QueryMsg) -> list[Status] | None:
        """Every xaction that matches, oldest first; None for none."""
        return await self._statuses(query) or None

    async def running(self, query: QueryMsg) -> list[str]:
        """`kind[ID]` of every xaction that runs and matches, those included of which there is no status."""
        found = await self._statuses(query, only_tracked=False)
        return [f"{one.kind}[{one.uuid}]" for one in found if not one.end_time]

    async def snaps(self, query: QueryMsg) -> dict[str, list[Snap]]:
        """What each target knows of the matching xactions. Raise `XactionNotFound` when nobody knows the IDs given.

        Of those that run, one that is asked for by its ID and has ended is one where it would idle at AIStore.
        """
        found = await self._ask(query)
        if query.id and query.show_active and not any(found.values()):
            ended = await self._ask(msgspec.structs.replace(query, show_active=None))
            found = {target: [one for one in snaps if one.kind in xact.IDLING] for target, snaps in ended.items()}
        if query.id and not any(found.values()):
            raise XactionNotFound(describe(query))
        return found

    async def start(self, args: ArgsMsg) -> str:
        """Start a kind on all targets or the one named; return its ID. Raise `BadRequest` or what a target says."""
        kind = xact.parse_kind(args.kind)
        if kind not in STARTABLE:
            raise BadRequest(f'xaction "{args.kind}" cannot be started as such (expected one of {sorted(STARTABLE)})')
        if kind == xact.RESILVER and not args.node:
            raise Unsupported("cannot run resilver on all targets in the cluster - operation not supported")
        if kind in _OF_BUCKETS and (args.bck is None or not args.bck.name):
            raise BadRequest(f'xaction "{kind}" requires a bucket to start')
        return await self.run(msgspec.structs.replace(args, kind=kind))

    async def run(self, args: ArgsMsg) -> str:
        """Start a kind under a new ID on all targets or the one named; return the ID.

        Raise what a target says; those that had started stop then.
        """
        uuid = new_id(self._node.env.rng)
        value = codec.to_builtins(args) | {"id": uuid}
        try:
            await self._tell(args.node, actions.START, value)
        except AisError:
            with contextlib.suppress(AisError):
                await self._tell(args.node, actions.STOP, value)
            raise
        return uuid

    async def stop(self, args: ArgsMsg) -> None:
        """Abort what matches on all targets; nothing to abort is fine. Raise `BadRequest` or `Unsupported`."""
        kind = xact.parse_kind(args.kind)
        if not args.id and not kind:
            raise BadRequest("stopping an xaction needs its ID or kind")
        if kind == xact.MOVE_BUCKET or any(move.uuid == args.id for move in rename.pending(self._node.bmd)):
            raise Unsupported("cannot stop the rename of a bucket: its objects would stay in two buckets")
        await self._tell(args.node, actions.STOP, codec.to_builtins(args) | {"kind": kind})

    async def _tell(self, node_id: str, action: str, value: dict[str, object]) -> None:
        body = codec.to_json({"action": action, "name": "", "value": value})
        if node_id:
            await self._targets.ask(self._targets.require(node_id), "PUT", XACTIONS, body=body)
        else:
            await self._targets.ask_all("PUT", XACTIONS, body=body, only=self._targets.present)

    async def _statuses(self, query: QueryMsg, *, only_tracked: bool = True) -> list[Status]:
        found = await self._ask(query)
        by_id: dict[str, list[Snap]] = {}
        for snap in (snap for snaps in found.values() for snap in snaps):
            if snap.kind in xact.TRACKED or not only_tracked:
                by_id.setdefault(snap.id, []).append(snap)
        statuses = {
            uuid: xact.status_of(by_id[uuid])
            for uuid in sorted(by_id, key=lambda uuid: min(snap.start_time for snap in by_id[uuid]))
        }
        moving = self._node.smap.moving
        if moving and xact.parse_kind(query.kind) in ("", xact.REBALANCE) and _ids(query) <= {moving.id}:
            statuses.pop(moving.id, None)
            statuses[moving.id] = Status(xact.REBALANCE, moving.id)  # only the map says when it is over
        for move in self._renames(query):
            statuses[move.uuid] = Status(xact.MOVE_BUCKET, move.uuid)
        return list(statuses.values())

    def _renames(self, query: QueryMsg) -> list[rename.Rename]:
        """Unfinished renames that match, whatever targets say about them."""
        if xact.parse_kind(query.kind) not in ("", xact.MOVE_BUCKET):
            return []
        ids = _ids(query)
        moves = rename.pending(self._node.bmd)
        if query.bck is not None and query.bck.name:
            moves = (move for move in moves if query.bck in (move.src, move.dst))
        return [move for move in moves if not ids or move.uuid in ids]

    async def _ask(self, query: QueryMsg) -> dict[str, list[Snap]]:
        """Matching snaps per target. Raise `NotReady` when a target does not answer: waiting clients ask again."""
        for uuid in _ids(query):
            if not is_valid_uuid(uuid):
                raise BadRequest(f'invalid xaction ID "{uuid[:40]}"')
        body = codec.to_json(msgspec.structs.replace(query, kind=xact.parse_kind(query.kind)))
        only = query.node or query.daemon_id
        try:
            if only:
                answers = {only: await self._targets.ask(self._targets.require(only), "GET", XACTIONS, body=body)}
            else:
                answers = await self._targets.ask_all("GET", XACTIONS, body=body, only=self._targets.present)
        except Unreachable as error:
            raise NotReady(f"cannot tell the state of jobs: {error}") from None
        return dict(zip(answers, decode_lists(answers.values(), Snap), strict=True))


def describe(query: QueryMsg) -> str:
    """How messages name what a query asked for: `x-kind[ID]`."""
    return f"x-{query.kind}[{query.id}]"


def _ids(query: QueryMsg) -> set[str]:
    return {part.strip() for part in query.id.split(",") if part.strip()}
