"""`/v1/cluster` of the proxy (wire contract §12.6-12.8): questions about the whole cluster and changes of it.

Any proxy answers questions. Changes are the primary's: another proxy passes the request on to it.
"""

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from aiohttp import web

from ais.api import actions, codec, groups, query, xact
from ais.api.bucket import AIS, BACKENDS, parse_provider
from ais.api.messages import ActMsg
from ais.api.replication import REPLICAS, Behind, ClusterReplication, together
from ais.api.xact import ArgsMsg, QueryMsg
from ais.backend import clusters, providers
from ais.base.errors import AisError, BadRequest, Conflict, InvalidAction, NotYetImplemented, Unsupported
from ais.base.units import parse_bool
from ais.config import change
from ais.config.cluster import ClusterConfig
from ais.env.network import Answer
from ais.meta.bmd import BMD
from ais.meta.smap import Snode
from ais.net.app import params_of
from ais.node import service
from ais.node.admin import OF_CLUSTER
from ais.node.farewell import Farewell
from ais.node.node import DAEMON, Node
from ais.node.peers import Peers
from ais.proxy import membership, rotation
from ais.proxy.attachments import ATTACH, DETACH, Attachments
from ais.proxy.groups import Groups
from ais.proxy.jobs import Jobs
from ais.proxy.protection import Protection
from ais.proxy.rebalance import Rebalancer
from ais.proxy.redirect import require_bucket
from ais.proxy.relay import Relay
from ais.proxy.remote import RemoteBuckets
from ais.proxy.requests import json_bytes_reply, json_reply, json_text_reply, route, text_reply
from ais.proxy.targets import Targets, require_all
from ais.s3 import lock

CLUSTER = "/v1/cluster"
LOAD_X509 = "load-x509"
_OF_THIS_NODE = ("smap", "bmd", "snode", "cluster_config")
_PATHS = (actions.SET_CONFIG, ATTACH, DETACH)
_BACKENDS = {"enable-bend": False, "disable-bend": True}
"""Whether the backend is disabled afterwards."""
_LATER = ("reload-creds", "clear-lcache", "primary-force", "bump-metasync")
SERVED = (
    actions.SET_CONFIG,
    actions.RESET_CONFIG,
    actions.RESET_STATS,
    actions.ROTATE_LOGS,
    actions.SHUTDOWN_CLUSTER,
    actions.DECOMMISSION_CLUSTER,
    actions.ROTATE_SECRETS,
    actions.SET_WEIGHTS,
    *membership.ACTIONS,
    actions.START,
    actions.STOP,
)

Answerer = Callable[[web.Request], Awaitable[web.Response]]


class Cluster:
    """The endpoint. One per proxy."""

    def __init__(
        self,
        node: Node,
        targets: Targets,
        jobs: Jobs,
        relay: Relay,
        rebalancer: Rebalancer,
        protection: Protection,
        remote: RemoteBuckets,
        group_jobs: Groups,
    ) -> None:
        self._groups = group_jobs
        self._node = node
        self._remote_buckets = remote
        self._attachments = Attachments(node, remote)
        self._rebalancer = rebalancer
        self._targets = targets
        self._peers = Peers(node.peers, node.snode)
        self._jobs = jobs
        self._relay = relay
        self._protection = protection
        self._answers: dict[str, Answerer] = {
            "node_stats": self._node_stats,
            "sysinfo": self._sysinfo,
            "mountpaths": self._mountpaths,
            "backends": self._backends,
            "remote": self._remote,
            "target_ips": self._target_ips,
            "status": self._status,
            "status_all": self._status_all,
            "qryxstats": self._snaps,
            "running_all": self._running,
            "protection": self._protected,
            "replication": self._replicated,
            "statements": self._statements,
            "quarantine": self._quarantine,
        }

    def routes(self) -> list[web.RouteDef]:
        """Questions and changes; how nodes join and leave is `ais.node`'s."""
        return [
            route("GET", CLUSTER, self.get),
            web.put(CLUSTER, self.put),
            web.put(CLUSTER + "/{tail:.+}", self.put_path),
            web.post(CLUSTER + "/join-by-admin", self.join_by_admin),
        ]

    # -- questions

    async def get(self, request: web.Request) -> web.Response:
        """Answer `what=`. Raise `BadRequest` for an unknown one."""
        what = params_of(request).get(query.WHAT, "")
        if what in _OF_THIS_NODE:
            return json_bytes_reply(request, await self._own(what))
        if what not in self._answers:
            raise BadRequest(f"invalid '{CLUSTER}' request: unrecognized 'what={what}' query")
        return await self._answers[what](request)

    async def _own(self, what: str) -> bytes:
        """This node's own answer to `GET /v1/daemon?what=`."""
        answer = await service.dispatch(self._node, "GET", DAEMON, {query.WHAT: what}, b"")
        return answer.body.rstrip(b"\n")

    async def _of_targets(self, what: str) -> dict[str, msgspec.Raw]:
        """Every present target's answer to `GET /v1/daemon?what=`, JSON as it came."""
        answers = await self._targets.ask_all("GET", DAEMON, query={query.WHAT: what}, only=self._targets.present)
        return {target_id: msgspec.Raw(answer.body.rstrip(b"\n")) for target_id, answer in answers.items()}

    async def _replicated(self, request: web.Request) -> web.Response:
        targets = {one.id: one for one in self._node.smap.tmap.values()}
        present = [one for one in targets.values() if not one.is_away]
        outcomes = await self._targets.outcomes("GET", REPLICAS, only=present)
        said = {one: answer for one, answer in outcomes.items() if isinstance(answer, Answer)}
        behind = [one for answer in said.values() for one in codec.from_json(answer.body, list[Behind])]
        missing = sorted(targets[one].name for one in targets.keys() - said.keys())
        return json_reply(request, codec.to_builtins(ClusterReplication(together(behind), missing)))

    async def _node_stats(self, request: web.Request) -> web.Response:
        own = msgspec.Raw(await self._own("node_stats"))
        return json_reply(request, {"proxy": own, "target": await self._of_targets("node_stats")})

    async def _sysinfo(self, request: web.Request) -> web.Response:
        others = [proxy for proxy in self._node.smap.pmap.values() if proxy.id != self._node.snode.id]
        outcomes = await self._tell(others, "GET", {query.WHAT: "sysinfo"}, b"")
        found = {one: msgspec.Raw(answer.body.rstrip(b"\n")) for one, answer in require_all(outcomes).items()}
        return json_reply(request, {"proxy": found, "target": await self._of_targets("sysinfo")})

    async def _mountpaths(self, request: web.Request) -> web.Response:
        return json_reply(request, {"targets": await self._of_targets("mountpaths")})

    async def _backends(self, request: web.Request) -> web.Response:
        return json_reply(request, providers.served(self._node.config.cluster.backend))

    async def _remote(self, request: web.Request) -> web.Response:
        return json_reply(request, await self._remote_buckets.clusters())

    async def _target_ips(self, _request: web.Request) -> web.Response:
        nets = [(one.public, one.control, one.data) for one in self._node.smap.tmap.values()]
        return text_reply(",".join(net.host for target in nets for net in target))

    async def _status(self, request: web.Request) -> web.Response:
        return json_text_reply(await self._jobs.status(await _query_of(request)))

    async def _status_all(self, request: web.Request) -> web.Response:
        return json_text_reply(await self._jobs.all_statuses(await _query_of(request)))

    async def _snaps(self, request: web.Request) -> web.Response:
        return json_reply(request, await self._jobs.snaps(await _query_of(request)))

    async def _running(self, request: web.Request) -> web.Response:
        return json_reply(request, await self._jobs.running(await _query_of(request)))

    async def _protected(self, request: web.Request) -> web.Response:
        return json_reply(request, await self._protection.answer())

    async def _statements(self, request: web.Request) -> web.Response:
        return json_reply(request, await self._raw_of_targets("/v1/statements"))

    async def _quarantine(self, request: web.Request) -> web.Response:
        return json_reply(request, await self._raw_of_targets("/v1/quarantine"))

    async def _raw_of_targets(self, path: str) -> dict[str, msgspec.Raw]:
        """What every present target answers on the control network, JSON as it came."""
        answers = await self._targets.ask_all("GET", path, only=self._targets.present)
        return {target_id: msgspec.Raw(answer.body) for target_id, answer in answers.items()}

    # -- changes

    async def put(self, request: web.Request) -> web.Response:
        """An action in the body. Raise `InvalidAction`, `NotYetImplemented`, or what the action raises."""
        message = ActMsg.parse(await request.read())
        if message.action in _LATER:
            raise NotYetImplemented(f"cannot {message.action} - not implemented yet")
        if message.action not in SERVED:
            raise InvalidAction(message.action, SERVED)
        if (answer := await self._relay.to_primary(request)) is not None:
            return answer
        match message.action:
            case action if action in membership.ACTIONS:
                return text_reply(await membership.change(self._node, self._rebalancer, message))
            case actions.SET_WEIGHTS:
                return text_reply(await membership.set_weights(self._node, self._rebalancer, message))
            case actions.START if is_rebalance(message):
                return text_reply(await self._rebalancer.again())
            case actions.START:
                return text_reply(await self._start(codec.convert_strictly(message.value or {}, ArgsMsg)))
            case actions.STOP:
                await self._jobs.stop(message.value_as(ArgsMsg))
            case actions.ROTATE_SECRETS:
                return json_reply(request, await rotation.rotate(self._node, message))
            case actions.SHUTDOWN_CLUSTER:
                await self._node.shutdown_cluster()
            case actions.DECOMMISSION_CLUSTER:
                asked = message.value_as(membership.NodesMsg)
                if asked.rm_user_data:
                    _require_no_locks(self._node.bmd)
                await self._node.decommission_cluster(Farewell(asked.rm_user_data, is_last=True))
            case actions.SET_CONFIG:
                await self._set_config(message.value, is_transient=_is_transient(params_of(request)))
            case actions.RESET_CONFIG:
                await self._node.reset_cluster_config()
                await self._tell_all(message)
            case actions.RESET_STATS | actions.ROTATE_LOGS:
                await self._tell_all(message)
        return web.Response()

    async def _start(self, args: ArgsMsg) -> str:
        """Start a job that needs no other request; its ID."""
        if xact.parse_kind(args.kind) != groups.RECHUNK:
            return await self._jobs.start(args)
        if args.bck is None or not args.bck.name:
            raise BadRequest(f'xaction "{groups.RECHUNK}" requires a bucket to start')
        return await self._groups.rechunk(require_bucket(self._node.bmd, args.bck))

    async def put_path(self, request: web.Request) -> web.Response:
        """An action in the path: another primary, or settings by name."""
        path = request.match_info["tail"]
        action, _, rest = path.partition("/")
        if action == LOAD_X509:
            await self._load_certificates(rest)
            return web.Response()
        if not (action in ("proxy", *_BACKENDS) and rest and "/" not in rest) and path not in _PATHS:
            raise BadRequest(f'invalid path "{CLUSTER}/{path[:80]}"')
        if (answer := await self._relay.to_primary(request)) is not None:
            return answer
        params = params_of(request)
        if action == "proxy":
            await self._node.set_primary(rest, force=parse_bool(params.get(query.FORCE, "")))
        elif path in (ATTACH, DETACH):
            await self._attachments.change(action, request.headers)
        elif action in _BACKENDS:
            await self._node.change_config(
                lambda config: _with_backend(config, parse_provider(rest), disabled=_BACKENDS[action])
            )
        else:
            values = {name: value for name, value in params.items() if name != query.TRANSIENT}
            await self._set_values(values, is_transient=_is_transient(params))
        return web.Response()

    async def _load_certificates(self, node_id: str) -> None:
        """Have all nodes, or one, use the files of their TLS certificates as they are now. Raise `BadRequest`."""
        path, mine = f"{DAEMON}/{LOAD_X509}", self._node.snode.id
        if node_id:
            self._node.smap.require(node_id)
        if node_id in ("", mine):
            await service.dispatch(self._node, "PUT", path, {}, b"")
        others = [one for one in self._others if node_id in ("", one.id)]
        timeout_s = self._targets.call_timeout_s
        require_all(await self._peers.call_all(others, "PUT", path, timeout_s=timeout_s))

    async def join_by_admin(self, request: web.Request) -> web.Response:
        """Take in a node that was decommissioned and left running; its ID, and that of the rebalance this began."""
        if (answer := await self._relay.to_primary(request)) is not None:
            return answer
        before = self._rebalancer.id
        node_id = await membership.join(self._node, await request.read())
        moving = self._rebalancer.id
        return json_reply(request, {"daemon_id": node_id, "rebalance_id": moving if moving != before else ""})

    async def _set_config(self, patch: Any, *, is_transient: bool) -> None:
        """Change settings by a JSON object. Raise `BadRequest` naming the setting, `Unsupported` if it must last."""
        if is_transient:
            await self._tell_all(ActMsg(actions.SET_CONFIG, OF_CLUSTER, patch))
        else:
            await self._node.change_config(lambda config: _checked(config, change.apply_patch(config, patch)))

    async def _set_values(self, values: dict[str, str], *, is_transient: bool) -> None:
        """Change settings by name. Raise as `_set_config`."""
        if is_transient:
            old = self._node.config.cluster
            await self._set_config(_difference(old, change.set_values(old, values)), is_transient=True)
        else:
            await self._node.change_config(lambda config: _checked(config, change.set_values(config, values)))

    async def _tell_all(self, message: ActMsg) -> None:
        """Have every node do a node's action, this one first."""
        body = codec.to_json(message)
        await service.dispatch(self._node, "PUT", DAEMON, {}, body)
        require_all(await self._tell(self._others, "PUT", {}, body))

    async def _tell(
        self, nodes: list[Snode], method: str, params: dict[str, str], body: bytes
    ) -> dict[str, Answer | AisError]:
        return await self._peers.call_all(
            nodes, method, DAEMON, query=params, body=body, timeout_s=self._targets.call_timeout_s
        )

    @property
    def _others(self) -> list[Snode]:
        return [node for node in self._node.smap.present.values() if node.id != self._node.snode.id]


def _checked(old: ClusterConfig, new: ClusterConfig) -> ClusterConfig:
    """The new configuration; clusters stay attached. Raise `NotYetImplemented` for a backend that we do not have,
    `Conflict` for one that lets go of a cluster: what is cached of that would stay.
    """
    clusters.check(new.backend.get(AIS, {}))
    attached, named = clusters.attached(old.backend), clusters.attached(new.backend)
    if attached and AIS not in new.backend:
        new = msgspec.structs.replace(new, backend=clusters.with_attached(new.backend, attached))
    elif lost := [alias for alias, urls in attached.items() if not set(urls) & set(named.get(alias, ()))]:
        raise Conflict(f'"{lost[0]}" is attached: detach it first (ais cluster remote-detach {lost[0]})')
    for provider in new.backend.keys() - old.backend.keys() - {AIS}:
        if provider not in BACKENDS:
            raise NotYetImplemented(f'backend "{provider}" is not there yet: expected one of {list(BACKENDS)}')
    return new


def _require_no_locks(bmd: BMD) -> None:
    """Raise `Unsupported` when data shall be removed that nobody may remove."""
    locked = [bucket.bck.cname() for bucket in bmd if lock.DOCUMENT in bucket.props.of_s3.documents]
    if locked:
        raise Unsupported(
            f"cannot remove the data of the cluster: {', '.join(locked[:3])}: object"
            " lock forbids it; delete these buckets once nothing in them is held, or leave rm_user_data out"
        )


def _with_backend(config: ClusterConfig, provider: str, *, disabled: bool) -> ClusterConfig:
    """The configuration with a backend enabled or disabled. Raise `BadRequest` when it is not configured."""
    said = config.backend.get(provider)
    if said is None:
        verb = "disable" if disabled else "enable"
        raise BadRequest(f'backend "{provider}" is not configured, cannot {verb}: add it to the section backend')
    kept = {key: value for key, value in dict(said).items() if key != providers.DISABLED}
    changed = kept | ({providers.DISABLED: True} if disabled else {})
    return msgspec.structs.replace(config, backend=config.backend | {provider: changed})


def is_rebalance(message: ActMsg) -> bool:
    """Whether the action is about a rebalance, which is the map's to begin."""
    return xact.parse_kind(message.value_as(ArgsMsg).kind) == xact.REBALANCE


async def _query_of(request: web.Request) -> QueryMsg:
    """The query in the body. Raise `BadRequest`."""
    body = await request.read()
    if not body.strip():
        raise BadRequest('a question about jobs needs a JSON body, such as {"kind": "copy-bck"} or {}')
    return codec.from_json(body, QueryMsg)


def _is_transient(params: dict[str, str]) -> bool:
    return parse_bool(params.get(query.TRANSIENT, ""))


def _difference(old: ClusterConfig, new: ClusterConfig) -> dict[str, Any]:
    """The JSON patch that makes `new` of `old`."""

    def of(before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
        return {
            name: of(before[name], value) if isinstance(value, dict) and isinstance(before.get(name), dict) else value
            for name, value in after.items()
            if value != before.get(name)
        }

    return of(codec.to_builtins(old), codec.to_builtins(new))
