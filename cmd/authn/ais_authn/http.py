"""The endpoints of AuthN. Who may call what stands in the table of `Routes.all`; every refusal of a right is 401."""

from collections.abc import Awaitable, Callable
from typing import Any

import structlog
from aiohttp import hdrs, web

from ais.api import codec
from ais.api.errors import RemoteError, encode_error, status_of
from ais.auth.tokens import ClusterAcl, Method
from ais.base.errors import AisError, NotReady
from ais_authn import model, settings
from ais_authn.clusters import ClusterClient
from ais_authn.model import Login, Role, TokenMsg, User
from ais_authn.service import Service

BODY_BYTES_MAX = 1 << 20
_HIDDEN = "**********"
_JSON = {"Content-Type": "application/json", "X-Content-Type-Options": "nosniff"}
_log = structlog.get_logger()

Handler = Callable[[web.Request], Awaitable[web.Response]]


def make_app(service: Service, clusters: ClusterClient) -> web.Application:
    """The application."""
    app = web.Application(middlewares=[_answer_errors], client_max_size=BODY_BYTES_MAX)
    for method, path, handler in Routes(service, clusters).all():
        app.router.add_route(method, path, handler)
    return app


class Routes:
    """Handlers."""

    def __init__(self, service: Service, clusters: ClusterClient) -> None:
        self._service = service
        self._clusters = clusters

    def all(self) -> list[tuple[str, str, Handler]]:
        """Method, path, handler; `_for_admins` wraps those that need an administrator's token."""
        admin = self._for_admins
        return [
            ("POST", "/v1/users/{id}", self._login),
            ("GET", "/v1/users", admin(self._users)),
            ("GET", "/v1/users/{id}", self._user),
            ("POST", "/v1/users", admin(self._add_user)),
            ("PUT", "/v1/users/{id}", self._update_user),
            ("DELETE", "/v1/users/{id}", admin(self._remove_user)),
            ("GET", "/v1/roles", self._roles),
            ("GET", "/v1/roles/{name}", self._role),
            ("POST", "/v1/roles", admin(self._add_role)),
            ("PUT", "/v1/roles/{name}", admin(self._update_role)),
            ("DELETE", "/v1/roles/{name}", admin(self._remove_role)),
            ("GET", "/v1/clusters", self._list_clusters),
            ("GET", "/v1/clusters/{id}", self._list_clusters),
            ("POST", "/v1/clusters", admin(self._add_cluster)),
            ("PUT", "/v1/clusters/{id}", admin(self._update_cluster)),
            ("DELETE", "/v1/clusters/{id}", admin(self._remove_cluster)),
            ("DELETE", "/v1/tokens", self._revoke),
            ("GET", "/v1/daemon", admin(self._config)),
            ("PUT", "/v1/daemon", admin(self._set_config)),
            ("GET", "/v1/public-key", self._public_key),
            ("POST", "/v1/rotate-key", admin(self._rotate)),
            ("GET", "/.well-known/openid-configuration", self._openid),
            ("GET", "/.well-known/jwks.json", self._jwks),
        ]

    def _for_admins(self, handler: Handler) -> Handler:
        async def handle(request: web.Request) -> web.Response:
            self._service.require_admin(request.headers.get(hdrs.AUTHORIZATION))
            return await handler(request)

        return handle

    # -- users and tokens

    async def _login(self, request: web.Request) -> web.Response:
        message = model.parse(await request.read(), Login, request.path)
        token = await self._service.login(request.match_info["id"], message)
        return web.Response(body=b'{"token": "%b"}' % token.encode(), content_type="application/json")

    async def _users(self, _: web.Request) -> web.Response:
        return _json(self._service.users())

    async def _user(self, request: web.Request) -> web.Response:
        user_id = request.match_info["id"]
        caller = self._service.caller(request.headers.get(hdrs.AUTHORIZATION))
        if caller.sub != user_id:
            self._service.require_admin(request.headers.get(hdrs.AUTHORIZATION))
        return _json(self._service.user(user_id))

    async def _add_user(self, request: web.Request) -> web.Response:
        user = model.parse(await request.read(), User, request.path)
        await self._service.add_user(user)
        return web.Response()

    async def _update_user(self, request: web.Request) -> web.Response:
        user_id = request.match_info["id"]
        change = model.parse(await request.read(), User, request.path)
        caller = self._service.caller(request.headers.get(hdrs.AUTHORIZATION))
        if caller.sub != user_id or change.roles:
            self._service.require_admin(request.headers.get(hdrs.AUTHORIZATION))
        await self._service.update_user(user_id, change)
        return web.Response()

    async def _remove_user(self, request: web.Request) -> web.Response:
        self._service.remove_user(request.match_info["id"])
        return web.Response()

    async def _revoke(self, request: web.Request) -> web.Response:
        message = model.parse(await request.read(), TokenMsg, request.path)
        self._service.revoke(message.token, request.headers.get(hdrs.AUTHORIZATION))
        await self._push_revoked(message.token)
        return web.Response()

    # -- roles

    async def _roles(self, _: web.Request) -> web.Response:
        return _json(self._service.roles())

    async def _role(self, request: web.Request) -> web.Response:
        return _json(self._service.role(request.match_info["name"]))

    async def _add_role(self, request: web.Request) -> web.Response:
        self._service.add_role(await _role_of(request))
        return web.Response()

    async def _update_role(self, request: web.Request) -> web.Response:
        self._service.update_role(request.match_info["name"], await _role_of(request))
        return web.Response()

    async def _remove_role(self, request: web.Request) -> web.Response:
        self._service.remove_role(request.match_info["name"])
        return web.Response()

    # -- clusters

    async def _list_clusters(self, request: web.Request) -> web.Response:
        return _json(self._service.clusters(request.match_info.get("id", "")))

    async def _add_cluster(self, request: web.Request) -> web.Response:
        cluster = model.parse(await request.read(), ClusterAcl, request.path)
        self._service.check_new_cluster(cluster)
        await self._clusters.introduce(cluster, self._service.cluster_token(cluster.id), self._service.revoked())
        self._service.check_new_cluster(cluster)
        self._service.add_cluster(cluster)
        return web.Response()

    async def _update_cluster(self, request: web.Request) -> web.Response:
        change = model.parse(await request.read(), ClusterAcl, request.path)
        self._service.update_cluster(request.match_info["id"], change)
        return web.Response()

    async def _remove_cluster(self, request: web.Request) -> web.Response:
        self._service.remove_cluster(request.match_info["id"])
        return web.Response()

    async def _push_revoked(self, newest: str) -> None:
        for cluster in self._service.clusters().clusters.values():
            token = self._service.cluster_token(cluster.id)
            if fault := await self._clusters.push(cluster, token, newest, self._service.revoked):
                _log.warning("cluster does not know of revoked tokens yet", cluster=cluster.id, reason=fault)

    # -- the server itself

    async def _config(self, _: web.Request) -> web.Response:
        return _json(_shown_config(self._service))

    async def _set_config(self, request: web.Request) -> web.Response:
        change = codec.parse_json(await request.read() or b"{}")
        known = {"auth": {"expiration_time", "secret"}, "log": {"level"}}
        if not isinstance(change, dict) or any(
            section not in known or not isinstance(values, dict) or set(values) - known[section]
            for section, values in change.items()
        ):
            raise RemoteError("Invalid request: expected auth.expiration_time or log.level", 400)
        if "secret" in change.get("auth", {}):
            raise RemoteError("Invalid request: the secret is set by AIS_AUTHN_SECRET_KEY, at the start", 400)
        try:
            if life := change.get("auth", {}).get("expiration_time"):
                self._service.settings.token_life_s = settings.token_life(str(life))
        except AisError as error:
            raise RemoteError(f"Invalid request: {error}", 400) from None
        if level := change.get("log", {}).get("level"):
            self._service.settings.log_level = str(level)
        return web.Response()

    async def _public_key(self, _: web.Request) -> web.Response:
        return _json({"public_key": self._service.signer.public_key()})

    async def _rotate(self, _: web.Request) -> web.Response:
        self._service.signer.rotate()
        return web.Response()

    async def _openid(self, _: web.Request) -> web.Response:
        issuer = self._service.settings.issuer
        return _json(
            {
                "issuer": issuer,
                "token_endpoint": f"{issuer}/v1/tokens",
                "userinfo_endpoint": f"{issuer}/v1/users",
                "jwks_uri": f"{issuer}/.well-known/jwks.json",
                "id_token_signing_alg_values_supported": ["HS256", "RS256"],
            }
        )

    async def _jwks(self, _: web.Request) -> web.Response:
        return _json(self._service.signer.jwks())


async def _role_of(request: web.Request) -> Role:
    body = await request.read()
    model.strict_permissions(body)
    found: Role = model.parse(body, Role, request.path)
    return found


def _shown_config(service: Service) -> dict[str, Any]:
    found, is_hmac = service.settings, service.signer.method is Method.HMAC
    return {
        "auth": {
            "secret": _HIDDEN if is_hmac else "",
            "expiration_time": _shown_life(found.token_life_s),
            "max_token_age": _shown_life(settings.TOKEN_LIFE_S_MAX),
            "public_key": None if is_hmac else service.signer.public_key(),
            "signing_key": {"bits": 2048},
            "db": {"type": "sqlite", "filepath": found.directory},
        },
        "log": {"dir": "", "level": found.log_level, "max_size": "4MiB", "max_total": "64MiB", "flush_interval": "30s"},
        "net": {
            "external_url": found.external_url,
            "http": {
                "server_crt": found.certificate,
                "server_key": found.certificate_key,
                "port": found.port,
                "use_https": found.use_https,
            },
        },
        "timeout": {"default_timeout": "30s"},
    }


def _shown_life(seconds: int) -> str:
    return f"{seconds // 3600}h{seconds % 3600 // 60}m"


def _json(value: object) -> web.Response:
    return web.Response(body=codec.to_json(value), content_type="application/json")


@web.middleware
async def _answer_errors(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    try:
        return await handler(request)
    except web.HTTPNotFound:
        return web.Response(status=404, text="404 page not found\n", headers={"X-Content-Type-Options": "nosniff"})
    except web.HTTPMethodNotAllowed as error:
        allowed = {"Allow": ", ".join(sorted(error.allowed_methods)), "X-Content-Type-Options": "nosniff"}
        return web.Response(status=405, text="Method Not Allowed\n", headers=allowed)
    except web.HTTPException as error:
        known: AisError = RemoteError(f"{error.status} {error.reason}", error.status)
    except AisError as error:
        known = error
    except Exception as error:  # noqa: BLE001 - ours: logged, and the client is told no more than that
        _log.error("request failed", method=request.method, path=request.path, exc_info=error)
        known = NotReady("authn failed to answer; its log says why")
    peer = request.transport.get_extra_info("peername") if request.transport else None
    remote = f"{peer[0]}:{peer[1]}" if peer else ""
    body = encode_error(known, method=request.method, url_path=request.path, remote_addr=remote, node="")
    return web.Response(status=status_of(known), body=body + b"\n", headers=_JSON)
