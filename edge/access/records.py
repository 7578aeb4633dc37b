"""`access.sqlite`: accounts, sessions, tokens and set-up links, in a small file of their own beside the store.

Promises: only its owner may read it (mode 0600); a change is on the disk when the call returns; the gateway and the
command line may have it open at the same time; every table is bounded. It holds no password and no secret, only what
they are checked by. Synchronous; used from one thread at a time.
"""

import fcntl
import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from edge.access.errors import AccessTooNew, AccessUnusable, NotThere, Refused
from edge.access.roles import Role, Scope
from edge.lean_imports import Database, Migrations
from edge.store.schema import StoreTooNew, migrate

FILE_NAME = "access.sqlite"
USERS_MAX = 100
TOKENS_MAX = 200
SESSIONS_MAX = 500  # the oldest is logged out then
LINKS_MAX = 8
BUSY_TIMEOUT_S = 5.0
_OWNER_ONLY = 0o600

migrations = Migrations("tidegate.access")


@migrations()
def m0001_users_sessions_tokens_links(db: Database) -> None:
    """Accounts and what stands for them. Digests are SHA-256 of secrets; times are milliseconds since 1970."""
    db.conn.execute(
        "CREATE TABLE users (name TEXT PRIMARY KEY, role TEXT NOT NULL, password TEXT NOT NULL,"
        " created_ms INTEGER NOT NULL, changed_ms INTEGER NOT NULL) STRICT, WITHOUT ROWID"
    )
    db.conn.execute(
        "CREATE TABLE sessions (id INTEGER PRIMARY KEY AUTOINCREMENT, digest BLOB NOT NULL UNIQUE,"
        " user TEXT NOT NULL REFERENCES users (name) ON DELETE CASCADE,"
        " created_ms INTEGER NOT NULL, seen_ms INTEGER NOT NULL) STRICT"
    )
    db.conn.execute("CREATE INDEX sessions_user ON sessions (user)")
    db.conn.execute(
        "CREATE TABLE tokens (id INTEGER PRIMARY KEY AUTOINCREMENT, digest BLOB NOT NULL UNIQUE,"
        " name TEXT NOT NULL UNIQUE, scopes TEXT NOT NULL, made_by TEXT NOT NULL, created_ms INTEGER NOT NULL,"
        " expires_ms INTEGER, used_ms INTEGER) STRICT"
    )
    db.conn.execute(
        "CREATE TABLE links (id INTEGER PRIMARY KEY AUTOINCREMENT, digest BLOB NOT NULL UNIQUE,"
        " expires_ms INTEGER NOT NULL) STRICT"
    )


class User(NamedTuple):
    """An account. `password` is its Argon2id hash."""

    name: str
    role: Role
    password: str
    created_ms: int
    changed_ms: int


class Session(NamedTuple):
    """Somebody who is logged in."""

    user: str
    role: Role
    created_ms: int
    seen_ms: int


class Token(NamedTuple):
    """A program's token, without the token. `used_ms` is true to the hour."""

    id: int
    name: str
    scopes: frozenset[Scope]
    made_by: str
    created_ms: int
    expires_ms: int | None
    used_ms: int | None


class Records:
    """The open file. Raises `AccessUnusable` or `AccessTooNew` on construction; its methods raise `AccessUnusable`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            with _alone_in(path.parent):
                self._open()
        except OSError as error:
            raise AccessUnusable(str(path), str(error)) from None

    def _open(self) -> None:
        path = self._path
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, _OWNER_ONLY))
        path.chmod(_OWNER_ONLY)
        _give_to_the_folders_owner(path)
        try:
            self._db = sqlite3.connect(path, isolation_level=None, timeout=BUSY_TIMEOUT_S, check_same_thread=False)
        except sqlite3.Error as error:
            raise AccessUnusable(str(path), str(error)) from None
        try:
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = FULL")
            self._db.execute("PRAGMA foreign_keys = ON")
            migrate(Database(self._db, execute_plugins=False), str(path), migrations)
        except BaseException as error:
            self._db.close()
            if isinstance(error, sqlite3.Error):
                raise AccessUnusable(str(path), str(error)) from None
            if isinstance(error, StoreTooNew):
                raise AccessTooNew(str(error)) from None
            raise

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    @contextmanager
    def changing(self) -> Iterator[None]:
        """One transaction, alone among all processes."""
        self._run("BEGIN IMMEDIATE")
        try:
            yield
            self._run("COMMIT")
        except BaseException:
            if self._db.in_transaction:
                self._db.rollback()
            raise

    # -- accounts

    def user_count(self) -> int:
        """How many accounts there are."""
        ((count,),) = self._run("SELECT count(*) FROM users")
        return int(count)

    def users(self) -> list[User]:
        """Every account, by name."""
        return [_user(row) for row in self._run("SELECT * FROM users ORDER BY name")]

    def user(self, name: str) -> User | None:
        """One account."""
        rows = self._run("SELECT * FROM users WHERE name = ?", (name,))
        return _user(rows[0]) if rows else None

    def add_user(self, name: str, role: Role, password: str, at_ms: int) -> None:
        """A new account. Raises `Refused` for one that exists, or one too many."""
        if self.user(name) is not None:
            raise Refused("name", f"expected a new one: there is an account {name}")
        if self.user_count() >= USERS_MAX:
            raise Refused("name", f"expected at most {USERS_MAX} accounts")
        self._run("INSERT INTO users VALUES (?, ?, ?, ?, ?)", (name, role.value, password, at_ms, at_ms))

    def set_password(self, name: str, password: str, at_ms: int) -> None:
        """Another hash. Raises `NotThere`."""
        if not self._change("UPDATE users SET password = ?, changed_ms = ? WHERE name = ?", (password, at_ms, name)):
            raise NotThere("account", name)

    def remove_user(self, name: str) -> None:
        """An account with its sessions. Raises `NotThere`."""
        if not self._change("DELETE FROM users WHERE name = ?", (name,)):
            raise NotThere("account", name)

    # -- sessions

    def add_session(self, digest: bytes, user: str, at_ms: int) -> None:
        """Somebody logged in; at the limit, the one who did so first is logged out."""
        self._run("INSERT INTO sessions (digest, user, created_ms, seen_ms) VALUES (?, ?, ?, ?)",
                  (digest, user, at_ms, at_ms))  # fmt: skip
        self._run("DELETE FROM sessions WHERE id <= (SELECT max(id) FROM sessions) - ?", (SESSIONS_MAX,))

    def session(self, digest: bytes) -> Session | None:
        """Who has this session, however old it is."""
        rows = self._run(
            "SELECT user, role, sessions.created_ms, seen_ms FROM sessions JOIN users ON users.name = user"
            " WHERE digest = ?",
            (digest,),
        )
        return Session(rows[0][0], Role(rows[0][1]), rows[0][2], rows[0][3]) if rows else None

    def touch_session(self, digest: bytes, at_ms: int) -> None:
        """It was used."""
        self._run("UPDATE sessions SET seen_ms = ? WHERE digest = ?", (at_ms, digest))

    def end_session(self, digest: bytes) -> None:
        """Log out."""
        self._run("DELETE FROM sessions WHERE digest = ?", (digest,))

    def end_sessions(self, user: str) -> None:
        """Log an account out everywhere."""
        self._run("DELETE FROM sessions WHERE user = ?", (user,))

    def end_old_sessions(self, created_before_ms: int, seen_before_ms: int) -> None:
        """Forget those that are over."""
        self._run("DELETE FROM sessions WHERE created_ms < ? OR seen_ms < ?", (created_before_ms, seen_before_ms))

    # -- tokens

    def tokens(self) -> list[Token]:
        """Every token, the oldest first."""
        return [_token(row) for row in self._run(f"SELECT {_TOKEN} FROM tokens ORDER BY id")]  # noqa: S608  # ours

    def token(self, digest: bytes) -> Token | None:
        """The token with this digest, expired or not."""
        rows = self._run(f"SELECT {_TOKEN} FROM tokens WHERE digest = ?", (digest,))  # noqa: S608
        return _token(rows[0]) if rows else None

    def add_token(self, digest: bytes, token: Token) -> int:
        """Keep one; the answer is its id. Raises `Refused` for a name that is taken, or one too many."""
        names = [each.name for each in self.tokens()]
        if token.name in names:
            raise Refused("name", f"expected a new one: there is a token {token.name}")
        if len(names) >= TOKENS_MAX:
            raise Refused("name", f"expected at most {TOKENS_MAX} tokens: revoke some")
        row = (digest, token.name, " ".join(sorted(token.scopes)), token.made_by, token.created_ms, token.expires_ms)
        columns = "digest, name, scopes, made_by, created_ms, expires_ms"
        self._run(f"INSERT INTO tokens ({columns}) VALUES (?, ?, ?, ?, ?, ?)", row)  # noqa: S608
        ((token_id,),) = self._run("SELECT last_insert_rowid()")
        return int(token_id)

    def touch_token(self, token_id: int, at_ms: int) -> None:
        """It was used."""
        self._run("UPDATE tokens SET used_ms = ? WHERE id = ?", (at_ms, token_id))

    def remove_token(self, name: str) -> None:
        """Revoke. Raises `NotThere`."""
        if not self._change("DELETE FROM tokens WHERE name = ?", (name,)):
            raise NotThere("token", name)

    def remove_expired_tokens(self, made_by: str, at_ms: int) -> None:
        """Forget those of one maker that are over."""
        self._run("DELETE FROM tokens WHERE made_by = ? AND expires_ms < ?", (made_by, at_ms))

    # -- set-up links

    def add_link(self, digest: bytes, expires_ms: int) -> None:
        """Keep one; only the newest count."""
        self._run("INSERT INTO links (digest, expires_ms) VALUES (?, ?)", (digest, expires_ms))
        self._run("DELETE FROM links WHERE id <= (SELECT max(id) FROM links) - ?", (LINKS_MAX,))

    def link_expires_ms(self, digest: bytes) -> int | None:
        """When this link is over; None: there is none."""
        rows = self._run("SELECT expires_ms FROM links WHERE digest = ?", (digest,))
        return int(rows[0][0]) if rows else None

    def remove_links(self) -> None:
        """No link counts any more."""
        self._run("DELETE FROM links")

    def _run(self, sql: str, values: Sequence[Any] = ()) -> list[Any]:
        try:
            return self._db.execute(sql, values).fetchall()
        except sqlite3.Error as error:
            raise AccessUnusable(str(self._path), str(error)) from None

    def _change(self, sql: str, values: Sequence[Any]) -> bool:
        self._run(sql, values)
        ((count,),) = self._run("SELECT changes()")
        return bool(count)


@contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """Gateway and command line may open a new file at the same time: SQLite waits for no lock when it turns to WAL."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _give_to_the_folders_owner(path: Path) -> None:
    """What root makes on the command line must be the gateway's, which runs as somebody else."""
    if os.geteuid() == 0:
        owner = path.parent.stat()
        os.chown(path, owner.st_uid, owner.st_gid)


_TOKEN = "id, name, scopes, made_by, created_ms, expires_ms, used_ms"  # noqa: S105  # names of columns


def _user(row: Sequence[Any]) -> User:
    return User(row[0], Role(row[1]), *row[2:])


def _token(row: Sequence[Any]) -> Token:
    return Token(row[0], row[1], frozenset(map(Scope, row[2].split())), *row[3:])
