"""`ais auth key`: make, list, disable, enable and remove the access keys of S3 clients."""

import shlex
from typing import TYPE_CHECKING

import click
from click.shell_completion import CompletionItem

from ais_cli import authn, authn_show, complete, text
from ais_cli.app import App, Missing, confirm
from ais_cli.params import examples, json_option, table_options, yes_option
from ais_cli.text import Column

if TYPE_CHECKING:
    from ais.api.access_keys import CreatedKey, KeyInfo
    from ais.client.client import Client

_COLUMNS = (Column("ACCESS KEY ID"), Column("USER"), Column("CREATED"), Column("STATUS"))


class _KeyType(click.ParamType[str]):
    """An access key's ID."""

    name = "KEY_ID"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if not value:
            self.fail("the ID of a key is not empty", param, ctx)
        return str(value)

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        return complete.access_keys(ctx, incomplete)


_KEY_ID = _KeyType()


@click.group()
def auth() -> None:
    """Say who may use the cluster: users, roles and tokens of an AuthN server, and access keys of S3 clients."""


auth.add_command(authn_show.show, "show")
for _command in (authn.add, authn.change, authn.remove, authn.login, authn.logout, authn.whoami, authn.rotate_key):
    auth.add_command(_command)


@auth.group()
def key() -> None:
    """Make, list, disable and remove the access keys that S3 clients sign with.

    Keys are asked for once "ais config cluster auth.enabled=true" is set; each acts as its user.
    """


@key.command(
    epilog=examples(
        "ais auth key create ann                     a new key",
        "ais auth key create ann --json              for programs",
        "ais auth key create root --admin            an administrator's, for this command too",
        "ais auth key create ann --id AKIAIOSFODNN7EXAMPLE --secret SECRET   a key from another store",
    )
)
@click.argument("user", metavar="USER")
@click.option("--id", "key_id", default="", metavar="ID", help="Import a key: its ID, 3 to 128 letters and digits.")
@click.option("--secret", default="", metavar="SECRET", help="Import a key: its secret, 8 to 128 characters.")
@click.option("--admin", is_flag=True, help="It signs requests of administrators too, such as those of this command.")
@json_option
@click.pass_obj
def create(app: App, user: str, key_id: str, secret: str, admin: bool, as_json: bool) -> None:
    """Make an access key for USER. Its secret is shown this once only.

    What is printed can be given to a shell: eval "$(ais auth key create USER)".
    """
    if bool(key_id) != bool(secret):
        raise click.UsageError("a key is imported with both --id and --secret")

    async def work(client: "Client") -> "tuple[CreatedKey, str]":
        return await client.access_keys.create(user, key_id, secret, admin=admin), client.endpoint

    created, endpoint = app.run(work)
    if as_json:
        text.print_json(created)
        return
    click.echo(f"export AWS_ACCESS_KEY_ID={shlex.quote(created.id)}")
    click.echo(f"export AWS_SECRET_ACCESS_KEY={shlex.quote(created.secret)}")
    if not endpoint.startswith("unix:"):
        click.echo(f"export AWS_ENDPOINT_URL={shlex.quote(endpoint)}")
    if admin:
        click.echo(f"export AIS_ACCESS_KEY_ID={shlex.quote(created.id)}")
        click.echo(f"export AIS_SECRET_ACCESS_KEY={shlex.quote(created.secret)}")
    text.note(f'Access key of user "{user}" created. Keep its secret: it is not shown again.')


@key.command("ls", epilog=examples("ais auth key ls", "ais auth key ls --user ann"))
@click.option("--user", default="", help="Only the keys of this user.")
@table_options
@click.pass_obj
def list_keys(app: App, user: str, as_json: bool, no_headers: bool) -> None:
    """List access keys, without their secrets."""
    found = app.run(lambda client: client.access_keys.all(user))
    if as_json:
        text.print_json(found)
        return
    rows = [[one.id, one.user, text.moment(one.created), _status(one)] for one in found]
    text.print_table(_COLUMNS, rows, headers=not no_headers)


def _status(key: "KeyInfo") -> str:
    return ("disabled" if key.disabled else "enabled") + (", admin" if key.admin else "")


@key.command(epilog=examples("ais auth key disable AIS0123456789ABCDEFG"))
@click.argument("key_id", type=_KEY_ID)
@click.pass_obj
def disable(app: App, key_id: str) -> None:
    """Refuse requests signed with a key, until it is enabled again."""
    app.run(lambda client: client.access_keys.set_disabled(key_id, True))
    click.echo(f'Access key "{key_id}" is disabled')


@key.command(epilog=examples("ais auth key enable AIS0123456789ABCDEFG"))
@click.argument("key_id", type=_KEY_ID)
@click.pass_obj
def enable(app: App, key_id: str) -> None:
    """Accept requests signed with a disabled key again."""
    app.run(lambda client: client.access_keys.set_disabled(key_id, False))
    click.echo(f'Access key "{key_id}" is enabled')


@key.command(epilog=examples("ais auth key rm AIS0123456789ABCDEFG", "ais auth key rm AIS0123456789ABCDEFG --yes"))
@click.argument("key_id", type=_KEY_ID)
@yes_option
@click.pass_obj
def rm(app: App, key_id: str, yes: bool) -> None:
    """Remove a key for good."""

    async def work(client: "Client") -> None:
        # Nobody should be asked about a key that does not exist.
        users = {one.id: one.user for one in await client.access_keys.all()}
        if key_id not in users:
            raise Missing(f'access key "{key_id}" does not exist: see "ais auth key ls"')
        confirm(f'Remove access key "{key_id}" of user "{users[key_id]}"?', yes=yes)
        await client.access_keys.remove(key_id)
        click.echo(f'Access key "{key_id}" removed')

    app.run(work)
