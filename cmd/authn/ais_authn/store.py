"""What AuthN remembers: one SQLite file in its configuration directory, readable by its owner only.

Synchronous; every change is one transaction that is on disk when the call returns. One thread at a time.
"""

import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import msgspec

from ais.api import codec
from ais.auth.tokens import ClusterAcl
from ais_authn.model import Role

FILE_NAME = "authn.db"
FORMAT = 1
_TABLES = """
create table users (id text primary key, password text not null, roles text not null);
create table roles (name text primary key, body text not null);
create table clusters (id text primary key, body text not null);
create table revoked (token text primary key, expires integer not null);
"""


class StoredUser(msgspec.Struct, frozen=True):
    """A user with the hash of the password and the names of the roles."""

    id: str
    password: str
    roles: tuple[str, ...]


class Store:
    """The database. `close` it at the end."""

    def __init__(self, directory: str) -> None:
        path = os.path.join(directory, FILE_NAME)
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
        self._lock = threading.Lock()
        self._db = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self._db.execute("pragma journal_mode = wal")
        self._db.execute("pragma synchronous = full")
        (found,) = self._db.execute("pragma user_version").fetchone()
        if found == 0:
            with self._change() as db:
                for statement in _TABLES.strip().split(";\n"):
                    db.execute(statement)
                db.execute(f"pragma user_version = {FORMAT}")
        elif found != FORMAT:
            raise ValueError(f"{path} was written by a newer version (format {found}, this one knows {FORMAT})")

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    # users

    def users(self) -> list[StoredUser]:
        """All users by ID."""
        rows = self._all("select id, password, roles from users order by id")
        return [StoredUser(user, password, tuple(codec.parse_json(roles))) for user, password, roles in rows]

    def user(self, user_id: str) -> StoredUser | None:
        """One user."""
        return next((user for user in self.users() if user.id == user_id), None)

    def put_user(self, user: StoredUser) -> None:
        """Add or replace one."""
        roles = codec.to_json(list(user.roles)).decode()
        with self._change() as db:
            db.execute("insert or replace into users values (?, ?, ?)", (user.id, user.password, roles))

    def remove_user(self, user_id: str) -> None:
        """Forget one."""
        with self._change() as db:
            db.execute("delete from users where id = ?", (user_id,))

    # roles

    def roles(self) -> list[Role]:
        """All roles by name, without the built-in one."""
        return [codec.from_json(body, Role) for (body,) in self._all("select body from roles order by name")]

    def role(self, name: str) -> Role | None:
        """One role."""
        return next((role for role in self.roles() if role.name == name), None)

    def put_roles(self, roles: list[Role]) -> None:
        """Add or replace some."""
        with self._change() as db:
            for role in roles:
                body = codec.to_json(role).decode()
                db.execute("insert or replace into roles values (?, ?)", (role.name, body))

    def remove_role(self, name: str) -> None:
        """Forget one; nobody has it any longer."""
        holders = [user for user in self.users() if name in user.roles]
        with self._change() as db:
            db.execute("delete from roles where name = ?", (name,))
            for user in holders:
                left = codec.to_json([one for one in user.roles if one != name]).decode()
                db.execute("update users set roles = ? where id = ?", (left, user.id))

    # clusters

    def clusters(self) -> dict[str, ClusterAcl]:
        """All registered clusters by ID."""
        rows = self._all("select id, body from clusters order by id")
        return {cluster_id: codec.from_json(body, ClusterAcl) for cluster_id, body in rows}

    def put_cluster(self, cluster: ClusterAcl, roles: list[Role]) -> None:
        """Add or replace one, with the roles that come with it; those that exist already stay as they are."""
        with self._change() as db:
            db.execute("insert or replace into clusters values (?, ?)", (cluster.id, codec.to_json(cluster).decode()))
            for role in roles:
                db.execute("insert or ignore into roles values (?, ?)", (role.name, codec.to_json(role).decode()))

    def remove_cluster(self, cluster_id: str) -> None:
        """Forget one; its roles stay."""
        with self._change() as db:
            db.execute("delete from clusters where id = ?", (cluster_id,))

    # revoked tokens

    def revoke(self, token: str, expires: int, now: int) -> None:
        """Remember a token until it expires by itself; those that have expired are forgotten."""
        with self._change() as db:
            db.execute("delete from revoked where expires < ?", (now,))
            db.execute("insert or ignore into revoked values (?, ?)", (token, expires))

    def revoked(self, now: int) -> list[str]:
        """All tokens that are revoked and would still be good."""
        return [token for (token,) in self._all("select token from revoked where expires >= ?", (now,))]

    def is_revoked(self, token: str) -> bool:
        """Whether this one is."""
        return bool(self._all("select 1 from revoked where token = ?", (token,)))

    def _all(self, statement: str, values: tuple[object, ...] = ()) -> list[tuple[str, ...]]:
        with self._lock:
            return self._db.execute(statement, values).fetchall()

    @contextmanager
    def _change(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            self._db.execute("begin immediate")
            try:
                yield self._db
            except BaseException:
                self._db.execute("rollback")
                raise
            self._db.execute("commit")
