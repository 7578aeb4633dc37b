"""Accounts, sessions and tokens: who may log in, whose request it is, and for how long.

Promises: a wrong try is counted before its answer is known to anybody, and while a lock holds no password is looked at;
a login always begins a new session (the one that the browser had before ends); a session ends `session_ms` after the
login, `idle_ms` after its last use, with its account, and with a change of password; a set-up link works once, and only
while there is no account. Every secret is shown once and kept as a digest. If the file cannot be used, nobody is
anybody (`AccessUnusable`), but for the token of the configuration.
Synchronous and sans-IO but for the file; for one thread. `now_ms` is monotonic, `wall_ms` counts since 1970.
"""

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from argon2 import PasswordHasher

from edge.access.errors import AccessUnusable, BadLogin, BadToken, LockedOut, Refused, SetUpClosed
from edge.access.lockout import Lockout, TokenLockout
from edge.access.passwords import (
    SECRET_CHARS_MAX,
    TOKEN_PREFIX,
    Passwords,
    RandomBytes,
    checked_name,
    checked_password,
    csrf_token,
    digest,
    new_secret,
    same,
)
from edge.access.records import Records, Session, Token, User
from edge.access.roles import ANYBODY, NOBODY, Kind, Principal, Role, Scope

SESSION_S = 12 * 3600  # a working day: who has the phone tomorrow logs in again
IDLE_S = 3600  # an open page counts as use
LINK_MS = 3_600_000  # the link stands in a log that others may read; `setup-link` makes another
TOUCH_MS = 60_000  # how exact "last use" is: a write to the disk a minute and session at most
TOKEN_TOUCH_MS = 3_600_000
CLOCK_BACK_MS = 300_000  # a session from the future by more than this counts as over: the clock was set back
CONFIGURED_TOKEN_NAME = "api.token"  # noqa: S105  # the key of the configuration
_CONFIGURED = Principal(Kind.CONFIGURED_TOKEN, CONFIGURED_TOKEN_NAME, frozenset({Scope.INGEST, Scope.OPERATE}))


@dataclass(frozen=True, slots=True)
class AccessRules:
    """`login`: True, reading needs one; False, it never does; None, it does as soon as there is an account."""

    login: bool | None = None
    session_ms: int = 1000 * SESSION_S
    idle_ms: int = 1000 * IDLE_S


@dataclass(frozen=True, slots=True)
class Seen:
    """Who makes a request. `csrf`: what a changing request of this session brings along; None: it has no session."""

    principal: Principal
    csrf: str | None = None


@dataclass(frozen=True, slots=True)
class LoggedIn:
    """A new session: `secret` is for its cookie alone."""

    secret: str
    name: str
    role: Role
    csrf: str


class AccessDesk:
    """All of it over one file, which is opened at the first question and again after it failed."""

    def __init__(self, path: Path, rules: AccessRules, hasher: PasswordHasher, random_bytes: RandomBytes) -> None:
        self._path = path
        self._rules = rules
        self._passwords = Passwords(hasher)
        self._random_bytes = random_bytes
        self._lockout = Lockout()
        self._token_lockout = TokenLockout()
        self._open: tuple[Records, tuple[int, int]] | None = None

    def close(self) -> None:
        """Close the file."""
        if self._open is not None:
            self._open[0].close()
            self._open = None

    # -- requests

    def identify(
        self, session: str | None, bearer: str | None, configured_token: str, address: str, now_ms: int, wall_ms: int
    ) -> Seen:
        """Whose request it is; a bearer token that comes with it is all that counts. Raises `BadToken`, `LockedOut`."""
        if bearer is not None:
            return Seen(self._by_guarded_token(bearer, configured_token, address, now_ms, wall_ms))
        if session is not None and len(session) <= SECRET_CHARS_MAX:
            found = self._live_session(digest(session), wall_ms)
            if found is not None:
                return Seen(Principal(Kind.SESSION, found.user, found.role.scopes), csrf_token(session))
        return Seen(NOBODY if self._needs_login() else ANYBODY)

    def has_accounts(self) -> bool:
        """Whether anybody can log in."""
        return self._records().user_count() > 0

    def _needs_login(self) -> bool:
        return self._rules.login if self._rules.login is not None else self.has_accounts()

    def _by_guarded_token(
        self, bearer: str, configured_token: str, address: str, now_ms: int, wall_ms: int
    ) -> Principal:
        key = digest(bearer)
        wait_s = self._token_lockout.wait_s(key, address, now_ms)
        if wait_s:
            raise LockedOut(wait_s)
        try:
            found = self._by_token(bearer, configured_token, wall_ms)
        except BadToken:
            self._token_lockout.failed(key, address, now_ms)
            raise
        self._token_lockout.succeeded(key, now_ms)
        return found

    def _by_token(self, bearer: str, configured_token: str, wall_ms: int) -> Principal:
        if configured_token and same(bearer, configured_token):
            return _CONFIGURED
        if len(bearer) > SECRET_CHARS_MAX:
            raise BadToken
        records = self._records()
        token = records.token(digest(bearer))
        if token is None or (token.expires_ms is not None and token.expires_ms <= wall_ms):
            raise BadToken
        if token.used_ms is None or not 0 <= wall_ms - token.used_ms < TOKEN_TOUCH_MS:
            records.touch_token(token.id, wall_ms)
        return Principal(Kind.TOKEN, token.name, token.scopes)

    def _live_session(self, key: bytes, wall_ms: int) -> Session | None:
        records = self._records()
        found = records.session(key)
        if found is None:
            return None
        is_over = (
            wall_ms - found.created_ms >= self._rules.session_ms
            or wall_ms - found.seen_ms >= self._rules.idle_ms
            or found.seen_ms - wall_ms > CLOCK_BACK_MS
        )
        if is_over:
            return None
        if wall_ms - found.seen_ms >= TOUCH_MS:
            records.touch_session(key, wall_ms)
        return found

    # -- people

    def login(
        self, name: str, password: str, address: str, old_session: str | None, now_ms: int, wall_ms: int
    ) -> LoggedIn:
        """Begin a session. Raises `LockedOut` or `BadLogin`."""
        user = self._checked(name, password, address, now_ms)
        records = self._records()
        with records.changing():
            if self._passwords.is_outdated(user.password):
                records.set_password(user.name, self._passwords.hash(password), user.changed_ms)
            return self._begin(records, user.name, user.role, old_session, wall_ms)

    def logout(self, session: str) -> None:
        """End a session; of one that is none, nothing."""
        self._records().end_session(digest(session))

    def set_up(self, link: str, name: str, password: str, address: str, now_ms: int, wall_ms: int) -> LoggedIn:
        """Make the first account, an operator's, and log it in. Raises `LockedOut`, `SetUpClosed` or `Refused`."""
        self._refuse_locked(name, address, now_ms)
        self._check_link(self._records(), link, name, address, now_ms, wall_ms)
        checked_name(name)
        hashed = self._passwords.hash(password)  # before the transaction: it takes a while
        records = self._records()
        with records.changing():
            self._check_link(records, link, name, address, now_ms, wall_ms)
            records.add_user(name, Role.OPERATOR, hashed, wall_ms)
            records.remove_links()
            return self._begin(records, name, Role.OPERATOR, None, wall_ms)

    def change_password(
        self, name: str, old: str, new: str, address: str, session: str | None, now_ms: int, wall_ms: int
    ) -> LoggedIn:
        """Another password for somebody who knows the old one; every session of theirs ends, and a new one begins.

        Raises `LockedOut`, `BadLogin` or `Refused`.
        """
        hashed = self._passwords.hash(new)
        user = self._checked(name, old, address, now_ms)
        records = self._records()
        with records.changing():
            records.set_password(name, hashed, wall_ms)
            records.end_sessions(name)
            return self._begin(records, name, user.role, session, wall_ms)

    def _refuse_locked(self, name: str, address: str, now_ms: int) -> None:
        wait_s = self._lockout.wait_s(_key(name), address, now_ms)
        if wait_s:
            raise LockedOut(wait_s)

    def _checked(self, name: str, password: str, address: str, now_ms: int) -> User:
        self._refuse_locked(name, address, now_ms)
        user = self._records().user(name)
        if not self._passwords.is_right(user.password if user else None, password) or user is None:
            self._lockout.failed(_key(name), address, now_ms)
            raise BadLogin
        self._lockout.succeeded(_key(name))
        return user

    def _check_link(self, records: Records, link: str, name: str, address: str, now_ms: int, wall_ms: int) -> None:
        if records.user_count():
            raise SetUpClosed("the gateway is set up: there are accounts. Log in, or ask an operator for an account")
        expires_ms = records.link_expires_ms(digest(link))
        if expires_ms is None or not 0 < expires_ms - wall_ms <= LINK_MS:
            self._lockout.failed(_key(name), address, now_ms)
            raise SetUpClosed("the set-up link is wrong or too old: `tidegate edge setup-link` prints a new one")

    def _begin(self, records: Records, name: str, role: Role, old_session: str | None, wall_ms: int) -> LoggedIn:
        if old_session is not None:
            records.end_session(digest(old_session))
        records.end_old_sessions(wall_ms - self._rules.session_ms, wall_ms - self._rules.idle_ms)
        secret = new_secret(self._random_bytes)
        records.add_session(digest(secret), name, wall_ms)
        return LoggedIn(secret, name, role, csrf_token(secret))

    # -- what an operator arranges

    def users(self) -> list[User]:
        """Every account."""
        return self._records().users()

    def add_user(self, name: str, role: Role, password: str, wall_ms: int) -> None:
        """A new account. Raises `Refused`."""
        checked_name(name)
        hashed = self._passwords.hash(password)
        records = self._records()
        with records.changing():
            records.add_user(name, role, hashed, wall_ms)
            records.remove_links()

    def set_password(self, name: str, password: str, wall_ms: int) -> None:
        """Another password, which ends the account's sessions. Raises `Refused` or `NotThere`."""
        checked_password(password)
        hashed = self._passwords.hash(password)
        records = self._records()
        with records.changing():
            records.set_password(name, hashed, wall_ms)
            records.end_sessions(name)

    def remove_user(self, name: str) -> None:
        """An account and its sessions; tokens that it made stay. Raises `NotThere`."""
        self._records().remove_user(name)

    def tokens(self) -> list[Token]:
        """Every token that is kept, without the tokens."""
        return self._records().tokens()

    def add_token(
        self, name: str, scopes: Iterable[Scope], made_by: str, wall_ms: int, expires_ms: int | None = None
    ) -> str:
        """A new token: the answer is the only time that it is seen. Raises `Refused`."""
        checked_name(name)
        wanted = frozenset(scopes)
        if not wanted:
            raise Refused("scopes", f"expected one or more of {', '.join(Scope)}")
        if expires_ms is not None and expires_ms <= wall_ms:
            raise Refused("expires", "expected a time to come")
        secret = new_secret(self._random_bytes, TOKEN_PREFIX)
        records = self._records()
        with records.changing():
            records.remove_expired_tokens(made_by, wall_ms)
            records.add_token(digest(secret), Token(0, name, wanted, made_by, wall_ms, expires_ms, None))
        return secret

    def remove_token(self, name: str) -> None:
        """Revoke a token, at once. Raises `NotThere`."""
        self._records().remove_token(name)

    def new_setup_link(self, wall_ms: int) -> str:
        """The secret part of a new set-up link. Raises `SetUpClosed` if there are accounts."""
        secret = new_secret(self._random_bytes)
        records = self._records()
        with records.changing():
            if records.user_count():
                raise SetUpClosed("there are accounts already: see `tidegate edge user list` and `user passwd`")
            records.add_link(digest(secret), wall_ms + LINK_MS)
        return secret

    # -- the file

    def _records(self) -> Records:
        """The file, opened anew if it was replaced or removed meanwhile. Raises `AccessUnusable`, `AccessTooNew`."""
        if self._open is not None:
            records, identity = self._open
            if self._identity() == identity:
                return records
            self.close()
        records = Records(self._path)
        identity_now = self._identity()
        if identity_now is None:
            records.close()
            raise AccessUnusable(str(self._path), "it went away while it was opened")
        self._open = records, identity_now
        return records

    def _identity(self) -> tuple[int, int] | None:
        with suppress(OSError):
            found = self._path.stat()
            return found.st_dev, found.st_ino
        return None


def _key(name: str) -> str:
    """What wrong tries are counted by: a name as long as names are."""
    return name[:64]
