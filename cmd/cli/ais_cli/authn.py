"""Commands for an AuthN server: `ais auth login`, `add`, `set`, `rm`. They join `ais auth` beside the access keys."""

import base64
import json
import os
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from ais.api import access, codec
from ais.base.errors import NotFound, Unreachable
from ais_cli import settings, text
from ais_cli.app import Missing, confirm
from ais_cli.params import BUCKET, DURATION, Ref, examples, yes_option

if TYPE_CHECKING:
    from ais.client.authn import AuthN

T = TypeVar("T")


def run(work: "Callable[[AuthN], Awaitable[T]]") -> T:
    """Do `work` with a client of the AuthN server, as whoever is logged in."""
    import uvloop

    from ais.client.authn import DEFAULT_URL, AuthN
    from ais.client.failures import NoConnection

    environment = settings.environment()

    async def main() -> T:
        async with AuthN(environment) as server:
            return await work(server)

    try:
        return uvloop.run(main())
    except NoConnection as error:
        raise Unreachable(
            f"no AuthN server answers at {environment.authn_url or DEFAULT_URL} ({error.reason})."
            " Start one with 'authn', or name another with AIS_AUTHN_URL or 'ais config cli set auth.url=URL'"
        ) from None
    except NotFound as error:
        raise Missing(f"{str(error).rstrip('.')}. 'ais auth show' shows users, roles and clusters.") from None


def token_of(file: str | None) -> tuple[str, Path]:
    """The token of whoever is logged in, and the file it is in. Raise `Missing` when nobody is."""
    path = Path(file) if file else settings.token_path()
    environment = settings.environment()
    if not file and environment.token:
        return environment.token, path
    try:
        return path.read_text("utf-8").strip(), path
    except (OSError, UnicodeDecodeError):
        raise Missing(f"nobody is logged in: there is no token in {path}. 'ais auth login USER' gets one.") from None


@click.command("login", epilog=examples("ais auth login ann", "ais auth login ann -p PASSWORD --expire 8h"))
@click.argument("user", metavar="USER_NAME")
@click.option("--password", "-p", help="The password.  [default: asked for on a terminal, else read from stdin]")
@click.option("--expire", "-e", type=DURATION, help="How long the token is good for.  [default: as the server says]")
@click.option("--file", "-f", metavar="FILE", help="Where to keep the token.  [default: with the settings of ais]")
def login(user: str, password: str | None, expire: float | None, file: str | None) -> None:
    """Log in: further commands are done as that user."""
    word = password if password is not None else _asked_password()
    expires_ns = None if expire is None else int(expire * 1e9)
    token = run(lambda server: server.log_in(user, word, expires_ns))
    path = Path(file) if file else settings.token_path()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(handle, "w") as stored:
            stored.write(token)
    except OSError as error:
        raise click.ClickException(f"cannot write {path}: {error.strerror}") from None
    click.echo(f'Logged in as "{user}" ({path})')


def _asked_password() -> str:
    if sys.stdin.isatty():
        return str(click.prompt("Password", hide_input=True, err=True))
    return sys.stdin.readline().rstrip("\n")


@click.command("logout", epilog=examples("ais auth logout"))
@click.option("--file", "-f", metavar="FILE", help="Where the token is.")
def logout(file: str | None) -> None:
    """Forget the token."""
    path = Path(file) if file else settings.token_path()
    try:
        path.unlink()
    except FileNotFoundError:
        raise Missing(f"nobody is logged in: there is no token in {path}.") from None
    click.echo("Logged out")


@click.command("whoami")
def whoami() -> None:
    """Tell who is logged in, and until when."""
    token, _ = token_of(None)
    claims = _claims(token)
    facts = {
        "user": str(claims.get("sub", text.NONE)),
        "administrator": str(bool(claims.get("admin"))).lower(),
        "expires": text.moment(int(claims.get("exp", 0)) * 10**9),
        "issuer": str(claims.get("iss", text.NONE)),
    }
    text.print_properties(facts)


def _claims(token: str) -> dict[str, Any]:
    try:
        payload = token.split(".")[1]
        found = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    except (IndexError, ValueError):
        raise click.ClickException("the token cannot be read: 'ais auth login USER' gets a new one") from None
    return found if isinstance(found, dict) else {}


@click.command("rotate-key")
def rotate_key() -> None:
    """Have the server sign with a new key; tokens of the old one stay good until they expire."""
    run(lambda server: server.rotate_key())
    click.echo("Tokens are signed with a new key")


@click.group("add")
def add() -> None:
    """Add users, roles and clusters."""


@click.group("set")
def change() -> None:
    """Change users, roles, clusters and the server's settings."""


@click.group("rm")
def remove() -> None:
    """Remove users, roles and clusters; revoke tokens."""


_password = click.option("--password", "-p", help="The password.  [default: asked for, or read from stdin]")
_role_options = (
    click.option("--cluster", default="", metavar="CLUSTER", help="The cluster's ID or alias that it is about."),
    click.option("--bucket", type=BUCKET, help="The bucket that it is about; else all of the cluster."),
    click.option("--description", "--desc", default="", help="What it is for."),
)


def _of_role(command: Any) -> Any:
    for option in reversed(_role_options):
        command = option(command)
    return command


def _bits(permissions: tuple[str, ...]) -> str:
    known = {bit.name.replace("_", "-"): int(bit) for bit in access.Access if bit.name} | access.NAMED
    total = 0
    for word in permissions:
        key = word if word in access.NAMED else word.upper()
        if key not in known:
            raise click.UsageError(f'unknown permission "{word}": use one of {", ".join(known)}')
        total |= known[key]
    return str(total)


async def _role(
    server: "AuthN", name: str, permissions: tuple[str, ...], cluster: str, bucket: Ref | None, description: str
) -> dict[str, Any]:
    role: dict[str, Any] = {"name": name, "desc": description}
    if not permissions:
        return role
    if not cluster:
        raise click.UsageError("permissions need --cluster: 'ais auth show cluster' lists them")
    bits = _bits(permissions)
    found = (await server.get("clusters", cluster))["clusters"]
    uuid = next(iter(found), cluster)
    if bucket is None:
        return role | {"clusters": [{"id": uuid, "perm": bits}]}
    bck = codec.to_builtins(bucket.bck)
    bck["namespace"] = {"uuid": uuid, "name": bucket.bck.namespace.name}
    return role | {"buckets": [{"bck": bck, "perm": bits}]}


@add.command("user", epilog=examples("ais auth add user ann Guest-main", "ais auth add user ann -p PASSWORD"))
@click.argument("name", metavar="USER_NAME")
@click.argument("roles", nargs=-1, metavar="[ROLE...]")
@_password
def add_user(name: str, roles: tuple[str, ...], password: str | None) -> None:
    """Add a user with roles."""
    word = password if password is not None else _asked_password()
    wanted = {"id": name, "pass": word, "roles": [{"name": role} for role in roles]}
    run(lambda server: server.add("users", wanted))
    click.echo(f'User "{name}" added')


@change.command("user", epilog=examples("ais auth set user ann reader writer", "ais auth set user ann -p PASSWORD"))
@click.argument("name", metavar="USER_NAME")
@click.argument("roles", nargs=-1, metavar="[ROLE...]")
@click.option("--password", "-p", help="A new password.")
def set_user(name: str, roles: tuple[str, ...], password: str | None) -> None:
    """Give a user other roles, or another password."""
    if not roles and password is None:
        raise click.UsageError("name the roles, or give --password")
    wanted: dict[str, Any] = {"id": name}
    if roles:
        wanted["roles"] = [{"name": role} for role in roles]
    if password is not None:
        wanted["pass"] = password
    run(lambda server: server.change(("users", name), wanted))
    click.echo(f'User "{name}" changed')


@add.command(
    "role",
    epilog=examples(
        "ais auth add role reader ro --cluster main --bucket ais://data", "ais auth add role ops su --cluster main"
    ),
)
@click.argument("name", metavar="ROLE")
@click.argument("permissions", nargs=-1, metavar="[PERMISSION...]")
@_of_role
def add_role(name: str, permissions: tuple[str, ...], cluster: str, bucket: Ref | None, description: str) -> None:
    """Add a role: permissions (ro, rw, su, or single ones) on a cluster or a bucket."""

    async def work(server: "AuthN") -> None:
        await server.add("roles", await _role(server, name, permissions, cluster, bucket, description))

    run(work)
    click.echo(f'Role "{name}" added')


@change.command("role", epilog=examples("ais auth set role reader rw --cluster main --bucket ais://data"))
@click.argument("name", metavar="ROLE")
@click.argument("permissions", nargs=-1, metavar="[PERMISSION...]")
@_of_role
def set_role(name: str, permissions: tuple[str, ...], cluster: str, bucket: Ref | None, description: str) -> None:
    """Change a role's permissions or description."""

    async def work(server: "AuthN") -> None:
        role = await _role(server, name, permissions, cluster, bucket, description)
        await server.change(("roles", name), {key: value for key, value in role.items() if value})

    run(work)
    click.echo(f'Role "{name}" changed')


def _cluster(words: tuple[str, ...]) -> dict[str, Any]:
    """`CLUSTER_ID [ALIAS] URL...`"""
    urls = [word for word in words[1:] if "://" in word]
    rest = [word for word in words[1:] if "://" not in word]
    if len(rest) > 1:
        raise click.UsageError(f'"{rest[1]}" is no URL: write http://HOST:PORT')
    if not urls:
        raise click.UsageError("name the cluster's URL, such as http://127.0.0.1:8080")
    return {"id": words[0], "alias": rest[0] if rest else "", "urls": urls}


@add.command("cluster", epilog=examples("ais auth add cluster CLUSTER_ID main http://127.0.0.1:8080"))
@click.argument("words", nargs=-1, required=True, metavar="CLUSTER_ID [ALIAS] URL...")
def add_cluster(words: tuple[str, ...]) -> None:
    """Make a cluster known to the server."""
    wanted = _cluster(words)
    run(lambda server: server.add("clusters", wanted))
    click.echo(f'Cluster "{words[0]}" added')


@change.command("cluster", epilog=examples("ais auth set cluster CLUSTER_ID main http://127.0.0.1:8080"))
@click.argument("words", nargs=-1, required=True, metavar="CLUSTER_ID [ALIAS] URL...")
def set_cluster(words: tuple[str, ...]) -> None:
    """Change a cluster's alias and addresses."""
    wanted = _cluster(words)
    run(lambda server: server.change(("clusters", words[0]), wanted))
    click.echo(f'Cluster "{words[0]}" changed')


@change.command(
    "config", epilog=examples("ais auth set config log.level=4", "ais auth set config auth.expiration_time=12h")
)
@click.argument("words", nargs=-1, required=True, metavar="NAME=VALUE...")
def set_config(words: tuple[str, ...]) -> None:
    """Change the server's settings."""
    tree: dict[str, Any] = {}
    for word in words:
        name, separator, value = word.partition("=")
        if not separator:
            raise click.UsageError(f'"{word}" is not NAME=VALUE')
        *path, last = name.split(".")
        here = tree
        for part in path:
            here = here.setdefault(part, {})
        here[last] = value
    run(lambda server: server.change(("daemon",), tree))
    click.echo("Settings of the AuthN server changed")


def _removal(kind: str, what: str) -> None:
    @remove.command(what, help=f"Remove a {what}.")
    @click.argument("name", metavar={"user": "USER_NAME", "role": "ROLE", "cluster": "CLUSTER_ID"}[what])
    def removed(name: str) -> None:
        run(lambda server: server.remove(kind, name))
        click.echo(f'{what.capitalize()} "{name}" removed')


for _kind, _what in (("users", "user"), ("roles", "role"), ("clusters", "cluster")):
    _removal(_kind, _what)


@remove.command("token", epilog=examples("ais auth rm token", "ais auth rm token -f token.txt --yes"))
@click.argument("token", required=False, default="", metavar="[TOKEN]")
@click.option("--file", "-f", metavar="FILE", help="The file the token is in.")
@yes_option
def rm_token(token: str, file: str | None, yes: bool) -> None:
    """Revoke a token: nobody is let in with it any more."""
    wanted = token or token_of(file)[0]
    confirm("Revoke this token?", yes=yes)
    run(lambda server: server.revoke(wanted))
    click.echo("Token revoked")
