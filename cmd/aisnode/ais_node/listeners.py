"""The listeners of a node: which of the three networks share a port, and one HTTP server for each port."""

import errno
import socket
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

from aiohttp import web

from ais.api import headers
from ais.base.errors import AccessDenied, AisError, BadRequest, Busy, NoContact
from ais.config.node import NodeConfig
from ais.meta.smap import NetInfo
from ais.net.app import SAFE_METHODS, Honest, Regain, error_reply, make_app
from ais.net.http import AnyReply, Network, OnError, Reply, Request, Retry, Route
from ais.net.memory import Memory
from ais.net.server import HttpServer, Limits, listening
from ais.node.membership import JOIN
from ais.node.node import Node
from ais.node.trust import Trust

_NETWORKS = (Network.PUBLIC, Network.CONTROL, Network.DATA)
_ANY = ("0.0.0.0", "::")  # noqa: S104 - a name for it
_LOOPBACK = ("127.", "localhost", "::1")


@dataclass(frozen=True, slots=True)
class Listener:
    """A port, the address it is opened on, and the networks it carries."""

    bind_host: str
    port: int
    networks: Network


@dataclass(frozen=True, slots=True)
class Layout:
    """Where a node listens, and how others reach it."""

    listeners: tuple[Listener, ...]
    public: NetInfo
    control: NetInfo
    data: NetInfo


class Serving(Protocol):
    """The data path of a role."""

    @property
    def route(self) -> Route: ...
    @property
    def error_reply(self) -> Callable[[Request, BaseException], Reply | None]: ...


def lay_out(config: NodeConfig, own_host: Callable[[], str]) -> Layout:
    """Decide on hosts and ports. Networks of one port share a listener; port 0 becomes a free one.

    `own_host` finds out the address where the configuration names none. Each network listens on the address that the
    configuration names for it; one for which none is named, or not one of this machine, on all interfaces.
    """
    scheme = "https" if config.cluster.net.http.use_https else "http"
    public_host, control_host, data_host = (host.partition(",")[0].strip() for host in config.local.hosts)
    public_host = public_host or own_host()
    hosts = (public_host, control_host or public_host, data_host or control_host or public_host)
    chosen: dict[int, int] = {}
    ports = [chosen.setdefault(port, port or _free_port()) for port in config.local.ports]
    binds = [_bind_host(host, is_named=bool(named)) for host, named in zip(hosts, config.local.hosts, strict=True)]
    carried: dict[tuple[str, int], Network] = {}
    for bind, port, network in zip(binds, ports, _NETWORKS, strict=True):
        everywhere = next((one for one, other in zip(binds, ports, strict=True) if other == port and one in _ANY), bind)
        carried[everywhere, port] = carried.get((everywhere, port), Network(0)) | network
    nets = [NetInfo.make(scheme, host, port) for host, port in zip(hosts, ports, strict=True)]
    listeners = tuple(Listener(host, port, networks) for (host, port), networks in carried.items())
    return Layout(listeners, *nets)


class Servers:
    """Makes the HTTP servers of a node: what they serve is the same for all, but for the networks."""

    def __init__(
        self,
        role: Serving,
        routes_of: Callable[[Network], list[web.RouteDef]],
        trust: Trust,
        node: Node,
        limits: Limits,
        upstream_tls: ssl.SSLContext | None,
        memory: Memory,
    ) -> None:
        self._role, self._routes_of, self._trust = role, routes_of, trust
        self._node, self._limits, self._upstream_tls, self._memory = node, limits, upstream_tls, memory

    def make(self, networks: Network, via: Callable[[Route], Route] = lambda route: route) -> HttpServer:
        """One that carries these networks. `via` is what requests go through first."""
        node, answer_error = self._node, answer_errors(self._role, self._node)
        return HttpServer(
            via(self._trust.guard(_guarded(self._role.route, networks))),
            make_app(self._routes_of(networks), node.snode.name, node.honest, node.regain_contact, node.refusals.note),
            answer_error,
            self._limits,
            networks,
            self._upstream_tls,
            memory=self._memory,
            retry=ask_again(self._role.route, node.honest, node.regain_contact, answer_error),
        )


def ask_again(route: Route, honest: Honest, regain: Regain, answer_error: OnError) -> Retry:
    """What would be answered with `NoContact`, and changes nothing, is asked again when there is contact.

    `route` without what is in front of it: a node's signature is good once, and was found good.
    """

    async def again(request: Request, raised: BaseException) -> AnyReply:
        await regain()
        request.as_sent()
        try:
            reply = route(request)
            if isinstance(reply, Awaitable):
                reply = await reply
        except Exception as error:  # noqa: BLE001 - a request ends here
            return answer_error(request, error)
        return reply or answer_error(request, raised)

    def retry(request: Request, raised: BaseException) -> Awaitable[AnyReply] | None:
        is_safe = request.method in SAFE_METHODS and not request.headers.has_body
        return again(request, raised) if is_safe and isinstance(honest(raised), NoContact) else None

    return retry


def answer_errors(role: Serving, node: Node) -> OnError:
    """Make a reply of what a route or a sink raised, and log refusals."""

    def answer_error(request: Request, raised: BaseException) -> Reply:
        error = node.honest(raised)
        node.refusals.note_hot(error, request, node.wire_keys, node.snode.id, node.env.clock.now_ns() / 1e9)
        return role.error_reply(request, error) or error_reply(request, error, node.snode.name)

    return answer_error


async def open_all(layout: Layout, servers: Servers, tls: ssl.SSLContext | None) -> list[HttpServer]:
    """Start a server for each listener. Raise `Busy` when a port is taken; nothing stays open then."""
    opened: list[HttpServer] = []
    try:
        for listener in layout.listeners:
            server = servers.make(listener.networks)
            opened.append(server)
            await _start(server, listener, tls)
    except BaseException:
        for server in opened:
            await server.close()
        raise
    return opened


def bind(listener: Listener) -> list[socket.socket]:
    """Sockets that listen on the addresses of a listener, for who accepts itself. Raise as `open_all`."""
    try:
        return listening(listener.bind_host, listener.port)
    except OSError as error:
        raise _cannot_listen(listener, error) from None


def _guarded(route: Route, networks: Network) -> Route:
    """Where only clients come, nobody may pretend to be a node (wire contract §1); a joining node is no member yet."""
    if networks & (Network.CONTROL | Network.DATA):
        return route
    caller_id = headers.CALLER_ID.lower()

    def answer(request: Request) -> AnyReply | Awaitable[AnyReply] | None:
        if request.headers.is_internal and caller_id in request.headers and request.path != JOIN:
            raise AccessDenied(f"{headers.CALLER_ID} is for nodes, and nodes do not come over the public network")
        return route(request)

    return answer


async def _start(server: HttpServer, listener: Listener, tls: ssl.SSLContext | None) -> None:
    try:
        await server.start(listener.bind_host, listener.port, tls)
    except OSError as error:
        raise _cannot_listen(listener, error) from None


def _cannot_listen(listener: Listener, error: OSError) -> AisError:
    if error.errno == errno.EADDRINUSE:
        return Busy(
            f"port {listener.port} is in use by another program: stop it, or set another host_net.port in the local"
            " configuration (AIS_PORT in the environment)"
        )
    return BadRequest(f"cannot listen on {listener.bind_host}:{listener.port}: {error.strerror}")


def _bind_host(host: str, *, is_named: bool) -> str:
    """Where to listen for requests to `host`: there alone when it is an address of this machine that somebody named.

    An address that was found out serves this machine's own programs too, and one that is not of this machine (a name
    of a service, the outer side of a container) says nothing about where its requests come in.
    """
    if host.startswith(_LOOPBACK) or (is_named and _is_here(host)):
        return host
    return "::" if ":" in host else "0.0.0.0"  # noqa: S104 - the host's firewall decides who


def _is_here(host: str) -> bool:
    try:
        family, _, _, _, address = socket.getaddrinfo(host, 0, type=socket.SOCK_STREAM)[0]
        with socket.socket(family) as probe:
            probe.bind(address)
    except OSError:
        return False
    return True


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("", 0))
        return int(probe.getsockname()[1])
