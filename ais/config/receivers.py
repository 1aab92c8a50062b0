"""Where receivers of bucket notifications are: the URLs of `net.s3_events`.

Passwords, tokens and keys of brokers stand in files that a URL names, never in the URL. What is secret in that of a
webhook is not shown. Several hosts are parted by `;`.
"""

import re
from typing import NamedTuple
from urllib.parse import parse_qsl, unquote, urlsplit

WEBHOOK, NATS, KAFKA, AMQP = "webhook", "nats", "kafka", "amqp"
KINDS = (WEBHOOK, NATS, KAFKA, AMQP)
_SCHEMES = {
    "http": (WEBHOOK, False, 80),
    "https": (WEBHOOK, True, 443),
    "nats": (NATS, False, 4222),
    "nats+tls": (NATS, True, 4222),
    "kafka": (KAFKA, False, 9092),
    "kafka+tls": (KAFKA, True, 9092),
    "amqp": (AMQP, False, 5672),
    "amqps": (AMQP, True, 5671),
}
"""Kind, whether it is TLS, port."""
_NONE = ("", False, 0)
_TLS = frozenset({"ca_file", "cert_file", "key_file"})
_OPTIONS = {
    NATS: frozenset({"password_file", "token_file", "creds_file"}),
    KAFKA: frozenset({"password_file", "sasl"}),
    AMQP: frozenset({"password_file", "exchange", "routing_key"}),
}
_PATHS = {
    NATS: (re.compile(r"[^\s*>.]+(\.[^\s*>.]+)*"), "a subject without wildcards"),
    KAFKA: (re.compile(r"[A-Za-z0-9._-]{1,249}"), "a topic"),
    AMQP: (re.compile(r".*"), "a virtual host"),
}
_HOST = re.compile(r"([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?")
SASL = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")
CENSORED = "**********"
"""In the place of what is secret where settings are shown."""
_EXAMPLES = "http://host/path, nats://host/subject, kafka://host/topic or amqp://host/vhost?routing_key=queue"


class Host(NamedTuple):
    """One server."""

    name: str
    port: int


class Address(NamedTuple):
    """A URL, taken apart. `path`: subject, topic or virtual host. Of a webhook there is nothing but the URL."""

    kind: str
    url: str
    is_tls: bool
    hosts: tuple[Host, ...] = ()
    user: str = ""
    path: str = ""
    options: dict[str, str] = {}  # noqa: RUF012, it is never changed

    def option(self, name: str) -> str:
        """What the query says; empty when it says nothing."""
        return self.options.get(name, "")


def shown(url: str) -> str:
    """A URL as it may be seen: of a webhook without password and query."""
    scheme, mark, rest = url.partition("://")
    if not mark or _SCHEMES.get(scheme, _NONE)[0] != WEBHOOK:
        return url
    path, query, _ = rest.partition("?")
    authority, slash, path = path.partition("/")
    user, at, host = authority.rpartition("@")
    user, colon, _ = user.partition(":")
    hidden = CENSORED if colon else ""
    return f"{scheme}://{user}{colon}{hidden}{at}{host}{slash}{path}{query}{CENSORED if query else ''}"


def kind_of(url: str) -> str:
    """`webhook`, `nats`, `kafka`, `amqp`; empty: none of them."""
    return _SCHEMES.get(url.partition("://")[0], _NONE)[0]


def parse(url: str) -> Address:
    """Take a URL apart. Raise `ValueError` that says what to write."""
    scheme = url.partition("://")[0]
    kind, is_tls, port = _SCHEMES.get(scheme, _NONE)
    if not kind or not url.isprintable():
        raise ValueError(f"write {_EXAMPLES}")
    if kind == WEBHOOK and CENSORED in url:
        raise ValueError(f"{CENSORED} stands for what is not shown: write the URL as it was")
    if kind == WEBHOOK:
        return Address(kind, url, is_tls)
    if " " in url:
        raise ValueError("a URL has no spaces: write %20")
    parts = urlsplit(url)
    user, _, servers = parts.netloc.rpartition("@")
    if ":" in user:
        raise ValueError(f"no password in it: write {scheme}://USER@host/...?password_file=/path")
    path, options = unquote(parts.path[1:]), dict(parse_qsl(parts.query, keep_blank_values=True))
    pattern, what = _PATHS[kind]
    if not pattern.fullmatch(path) or parts.fragment:
        raise ValueError(f"write {what} behind the host, and nothing but options behind that")
    hosts = tuple(_host(one, port) for one in servers.split(";"))
    address = Address(kind, url, is_tls, hosts, unquote(user), path, options)
    _check(address, scheme)
    return address


def _host(text: str, port: int) -> Host:
    if not _HOST.fullmatch(text):
        raise ValueError(f'"{text}" is no host:port; several are parted by ";"')
    name, _, given = text.rpartition(":") if not text.endswith("]") and ":" in text else (text, "", "")
    return Host(name, int(given or port))


def _check(address: Address, scheme: str) -> None:
    known = _OPTIONS[address.kind] | (_TLS if address.is_tls else frozenset())
    for name, value in address.options.items():
        if name not in known:
            hint = f" without TLS ({_with_tls(scheme)}://)" if name in _TLS else ""
            raise ValueError(f'"{name}" is no option of {scheme}://{hint}: there are {", ".join(sorted(known))}')
        if name.endswith("_file") and not value.startswith("/"):
            raise ValueError(f"{name} is the absolute path of a file on each node")
    if bool(address.user) != bool(address.option("password_file")):
        raise ValueError(f"a user and a password_file belong together: {scheme}://USER@host/...?password_file=/path")
    if bool(address.option("cert_file")) != bool(address.option("key_file")):
        raise ValueError("cert_file and key_file belong together")
    if len({"password_file", "token_file", "creds_file"} & address.options.keys()) > 1:
        raise ValueError("one of password_file, token_file and creds_file is enough")
    if address.option("sasl") and (address.option("sasl") not in SASL or not address.user):
        raise ValueError(f"sasl is one of {', '.join(SASL)}, with a user and a password_file")
    if address.kind == AMQP and not (address.option("routing_key") or address.option("exchange")):
        raise ValueError("write ?routing_key=QUEUE, or ?exchange=NAME and the routing_key that its bindings want")


def _with_tls(scheme: str) -> str:
    return "amqps" if scheme == "amqp" else f"{scheme}+tls"
