"""`ais auth show`, `ais show auth`: what an AuthN server knows."""

from typing import TYPE_CHECKING, Any

import click

from ais.api import access
from ais_cli import text
from ais_cli.authn import run
from ais_cli.params import already_so, examples, table_options
from ais_cli.text import Column

if TYPE_CHECKING:
    pass


@click.group("auth")
def show() -> None:
    """Show users, roles, clusters and settings of the AuthN server."""


def _permissions(perm: object) -> str:
    bits = int(str(perm))
    short = {value: name for name, value in access.NAMED.items()}
    return short.get(bits) or ",".join(access.describe(bits)) or "none"


def _list(value: Any) -> list[dict[str, Any]]:
    return list(value.values()) if isinstance(value, dict) else list(value or [])


@show.command("user", epilog=examples("ais auth show user", "ais auth show user ann"))
@click.argument("name", required=False, metavar="[USER_NAME]")
@already_so("--verbose", "-v", "--non-verbose", "--nv")
def user(name: str | None) -> None:
    """Show users with their roles."""
    found = run(lambda server: server.get("users", name) if name else server.get("users"))
    users = [found] if name else _list(found)
    rows = [[one["id"], ", ".join(role["name"] for role in one.get("roles") or []) or text.NONE] for one in users]
    text.print_table([Column("NAME"), Column("ROLES")], sorted(rows))


@show.command("role", epilog=examples("ais auth show role", "ais auth show role Guest-main"))
@click.argument("name", required=False, metavar="[ROLE]")
@click.option("--cluster", default="", metavar="CLUSTER", help="Only roles of this cluster, by its ID.")
@already_so("--verbose", "-v", "--non-verbose", "--nv")
def role(name: str | None, cluster: str) -> None:
    """Show roles and what they permit."""
    found = run(lambda server: server.get("roles", name) if name else server.get("roles"))
    rows = []
    for one in [found] if name else _list(found):
        grants = [(entry.get("alias") or entry["id"], entry) for entry in one.get("clusters") or []]
        for entry in one.get("buckets") or []:
            bck = entry["bck"]
            grants.append((f"{bck['namespace']['uuid']} {bck['provider']}://{bck['name']}", entry))
        if cluster and not any(cluster in where for where, _ in grants):
            continue
        permits = "; ".join(f"{where}: {_permissions(entry['perm'])}" for where, entry in grants)
        rows.append([one["name"], permits or ("everything" if one.get("admin") else text.NONE), one.get("desc") or ""])
    text.print_table([Column("ROLE"), Column("PERMITS"), Column("DESCRIPTION")], rows)


@show.command("cluster", epilog=examples("ais auth show cluster", "ais auth show cluster main"))
@click.argument("name", required=False, metavar="[CLUSTER_ID]")
def cluster(name: str | None) -> None:
    """Show the clusters that the server knows."""
    found = run(lambda server: server.get("clusters", name) if name else server.get("clusters"))
    clusters = _list(found.get("clusters"))
    rows = [[one["id"], one.get("alias") or text.NONE, ", ".join(one.get("urls") or [])] for one in clusters]
    text.print_table([Column("CLUSTER ID"), Column("ALIAS"), Column("URLS")], sorted(rows))


def _facts(found: Any, *, as_json: bool, no_headers: bool) -> None:
    if as_json:
        text.print_json(found)
    else:
        text.print_properties(text.flatten(found), headers=not no_headers)


@show.command("config")
@table_options
def config(as_json: bool, no_headers: bool) -> None:
    """Show the server's settings."""
    _facts(run(lambda server: server.get("daemon")), as_json=as_json, no_headers=no_headers)


@show.command("oidc")
@table_options
def oidc(as_json: bool, no_headers: bool) -> None:
    """Show what OpenID Connect clients are told."""
    found = run(lambda server: server.get_root("/.well-known/openid-configuration"))
    _facts(found, as_json=as_json, no_headers=no_headers)


@show.command("jwks")
def jwks() -> None:
    """Show the keys that check tokens, as JSON."""
    text.print_json(run(lambda server: server.get_root("/.well-known/jwks.json")))


@show.command("public-key")
def public_key() -> None:
    """Show the public key of the key that signs tokens."""
    found = run(lambda server: server.get("public-key"))
    if isinstance(found, str):
        click.echo(found)
    else:
        text.print_json(found)
