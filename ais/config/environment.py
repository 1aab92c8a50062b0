"""The only place that reads environment variables.

`AIS_CONFIG__SECTION__FIELD=value` overrides any setting, e.g. `AIS_CONFIG__NET__HTTP__USE_HTTPS=true` or
`AIS_CONFIG__HOST_NET__PORT=8080`; AIStore's own variables are honoured beside it. A variable wins over the
configuration files and over changes made at run time, on this node only.
"""

import ipaddress
import os
from collections.abc import Mapping

import msgspec

from ais.base.errors import BadRequest
from ais.base.ids import is_valid_node_id
from ais.base.units import Duration, parse_bool
from ais.config.local import LocalConfig

PREFIX = "AIS_CONFIG__"
ALIASES = {
    "AIS_PRIMARY_EP": "proxy.primary_url",
    "AIS_USE_HTTPS": "net.http.use_https",
    "AIS_SERVER_CRT": "net.http.server_crt",
    "AIS_SERVER_KEY": "net.http.server_key",
    "AIS_CLIENT_CA": "net.http.client_ca_tls",
    "AIS_SKIP_VERIFY_CRT": "net.http.skip_verify",
    "AIS_USE_IPV6": "net.use_ipv6",
    "AIS_HOST_IP": "host_net.hostname",
    "AIS_PORT": "host_net.port",
    "AIS_HOST_PORT": "host_net.port",
}
"""AIStore's variables that stand for a setting; of two for one setting the later wins."""

_LOCAL = frozenset(field.name for field in msgspec.structs.fields(LocalConfig))


class NodeEnvironment(msgspec.Struct, frozen=True):
    """What the environment says to a node."""

    cluster: dict[str, str] = {}
    """Overrides of cluster settings by dotted name."""
    local: dict[str, str] = {}
    """Overrides of local settings by dotted name."""
    daemon_id: str = ""
    """Identity demanded by `AIS_DAEMON_ID`; empty: persisted or new."""
    header_timeout_s: float | None = None
    """`AIS_READ_HEADER_TIMEOUT`; None: the built-in limit."""
    cluster_cidr: str = ""
    """`AIS_CLUSTER_CIDR`: clients of this network are redirected to intra-cluster addresses."""
    deployment: str = "dev"
    pod_name: str = ""
    join_secret: str = ""
    """`AIS_INIT_TOKEN`: the join secret itself, for machines without a file for it."""


class ClientEnvironment(msgspec.Struct, frozen=True):
    """What the environment says to a client (the variables of the Go and Python clients)."""

    endpoint: str = ""
    token: str = ""
    token_file: str = ""
    authn_url: str = ""
    certificate: str = ""
    certificate_key: str = ""
    ca: str = ""
    skip_verify: bool = False
    key_id: str = ""
    """An administrator's access key, which requests are signed with while there is no token."""
    key_secret: str = ""


def for_node(environ: Mapping[str, str] = os.environ) -> NodeEnvironment:
    """Read the variables of a node. Raise `BadRequest` naming the variable that makes no sense."""
    values = {setting: environ[name] for name, setting in ALIASES.items() if environ.get(name)}
    values |= {name[len(PREFIX) :].replace("__", ".").lower(): text for name, text in _overrides(environ)}
    daemon_id = environ.get("AIS_DAEMON_ID", "")
    if daemon_id:
        check_node_id("AIS_DAEMON_ID", daemon_id)
    pod = environ.get("MY_POD", "")
    return NodeEnvironment(
        cluster={name: text for name, text in values.items() if name.partition(".")[0] not in _LOCAL},
        local={name: text for name, text in values.items() if name.partition(".")[0] in _LOCAL},
        daemon_id=daemon_id,
        header_timeout_s=_duration(environ, "AIS_READ_HEADER_TIMEOUT"),
        cluster_cidr=_cidr(environ, "AIS_CLUSTER_CIDR"),
        deployment="K8s" if pod else "dev",
        pod_name=pod,
        join_secret=environ.get("AIS_INIT_TOKEN", ""),
    )


class TestEnvironment(msgspec.Struct, frozen=True):
    """What the environment says to `ais.testing`."""

    __test__ = False

    workers: str = ""
    """`AIS_TEST_WORKERS`: the setting `workers` of nodes; empty: its default."""


def for_tests(environ: Mapping[str, str] = os.environ) -> TestEnvironment:
    """Read the variables of test clusters."""
    return TestEnvironment(environ.get("AIS_TEST_WORKERS", ""))


def check_node_id(source: str, daemon_id: str) -> None:
    """Raise `BadRequest` naming the `source` unless it is an ID that a node may have."""
    if not is_valid_node_id(daemon_id):
        raise BadRequest(
            f'{source}="{daemon_id}" is no node ID: use 8 to 32 letters, digits, "-" and "_", a letter first'
        )


def for_client(environ: Mapping[str, str] = os.environ) -> ClientEnvironment:
    """Read the variables of a client."""
    get = environ.get
    return ClientEnvironment(
        endpoint=get("AIS_ENDPOINT", ""),
        token=get("AIS_AUTHN_TOKEN", ""),
        token_file=get("AIS_AUTHN_TOKEN_FILE", ""),
        authn_url=get("AIS_AUTHN_URL", ""),
        certificate=get("AIS_CRT", ""),
        certificate_key=get("AIS_CRT_KEY", ""),
        ca=get("AIS_CLIENT_CA", ""),
        skip_verify=parse_bool(get("AIS_SKIP_VERIFY_CRT", "")),
        key_id=get("AIS_ACCESS_KEY_ID", ""),
        key_secret=get("AIS_SECRET_ACCESS_KEY", ""),
    )


def without_node_variables(environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The environment for a process that must not inherit what is meant for another node."""
    meant = {*ALIASES, "AIS_DAEMON_ID", "AIS_CLUSTER_CIDR", "AIS_INIT_TOKEN"}
    return {name: text for name, text in environ.items() if name not in meant and not name.startswith(PREFIX)}


def _overrides(environ: Mapping[str, str]) -> list[tuple[str, str]]:
    return sorted((name, text) for name, text in environ.items() if name.startswith(PREFIX))


def _cidr(environ: Mapping[str, str], name: str) -> str:
    text = environ.get(name, "")
    try:
        return str(ipaddress.ip_network(text, strict=False)) if text else ""
    except ValueError as error:
        raise BadRequest(f"{name}: {error}") from None


def _duration(environ: Mapping[str, str], name: str) -> float | None:
    if not (text := environ.get(name)):
        return None
    try:
        return float(Duration.parse(text))
    except BadRequest as error:
        raise BadRequest(f"{name}: {error}") from None
