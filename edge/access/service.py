"""Accounts for an event loop: the desk of `edge.access.desk` in a thread of its own, beside the store's.

Promises: no question about who somebody is waits for the store, and none makes ingest wait; at most
`LOGINS_WAITING_MAX` passwords wait to be looked at, the next one is answered at once (503). It decides nothing.
"""

import asyncio
import functools
import secrets
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from pathlib import Path
from typing import ParamSpec, TypeVar

import structlog
from argon2 import PasswordHasher

from edge.access.desk import AccessDesk, LoggedIn, Seen
from edge.access.errors import AccessError, SetUpClosed
from edge.access.passwords import standard_hasher
from edge.config import ApiSettings
from edge.problems import Problem
from sensors.clock import Clock

LOGINS_WAITING_MAX = 4  # about 30 ms each on a small machine: nobody's page waits a second behind a guesser
SET_UP_PATH = "/#/setup/"

log = structlog.get_logger("gateway")
Arguments = ParamSpec("Arguments")
Answer = TypeVar("Answer")


class AccessService:
    """Who may ask this gateway. `settings`: its `[api]`."""

    def __init__(self, settings: ApiSettings, path: Path, clock: Clock, hasher: PasswordHasher | None = None) -> None:
        self.settings = settings
        self._clock = clock
        rules = settings.access_rules()
        self._reading_is_closed = rules.login is True
        self._desk = AccessDesk(path, rules, hasher or standard_hasher(), secrets.token_bytes)
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="access")
        self._logins = 0

    async def close(self) -> None:
        """Close the file and end the thread."""
        await self._in_thread(self._desk.close)
        self._thread.shutdown(wait=False)

    async def identify(self, session: str | None, bearer: str | None, address: str) -> Seen:
        """Whose request it is.

        Raises `BadToken`, `LockedOut`, `AccessUnusable`, and `Problem` for a token file that is gone.
        """
        configured = await self._in_thread(self._configured_token) if bearer is not None else ""
        clock = self._clock
        return await self._in_thread(
            self._desk.identify, session, bearer, configured, address, clock.monotonic_ms(), clock.wall_ms()
        )

    async def login(self, name: str, password: str, address: str, old_session: str | None) -> LoggedIn:
        """See `AccessDesk.login`."""
        clock = self._clock
        return await self._one_of_few(
            self._desk.login, name, password, address, old_session, clock.monotonic_ms(), clock.wall_ms()
        )

    async def set_up(self, link: str, name: str, password: str, address: str) -> LoggedIn:
        """See `AccessDesk.set_up`."""
        clock = self._clock
        return await self._one_of_few(
            self._desk.set_up, link, name, password, address, clock.monotonic_ms(), clock.wall_ms()
        )

    async def change_password(self, name: str, old: str, new: str, address: str, session: str | None) -> LoggedIn:
        """See `AccessDesk.change_password`."""
        clock = self._clock
        return await self._one_of_few(
            self._desk.change_password, name, old, new, address, session, clock.monotonic_ms(), clock.wall_ms()
        )

    async def ask(self, call: Callable[Arguments, Answer], *args: Arguments.args, **kwargs: Arguments.kwargs) -> Answer:
        """A call of `desk` that takes no password, in its thread."""
        return await self._in_thread(call, *args, **kwargs)

    @property
    def desk(self) -> AccessDesk:
        """What `ask` is about; for its thread alone."""
        return self._desk

    def wall_ms(self) -> int:
        """The wall clock, for what the desk is asked."""
        return self._clock.wall_ms()

    async def announce(self, base_url: str) -> None:
        """While nobody has an account, log a set-up link: only who reads the gateway's log can make the first one."""
        try:
            secret = await self._in_thread(self._desk.new_setup_link, self._clock.wall_ms())
        except SetUpClosed:
            return
        except AccessError as error:
            log.error("accounts cannot be used: whoever has to log in is refused", error=str(error))
            return
        url = f"{base_url.rstrip('/')}{SET_UP_PATH}{secret}"
        if self._reading_is_closed:
            log.warning("nobody has an account yet: make the first one within the hour", url=url)
        else:
            log.info("no account yet; to make one, within the hour", url=url)

    def _configured_token(self) -> str:
        try:
            return self.settings.read_token()
        except (OSError, UnicodeDecodeError) as error:
            why = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
            message = f"the gateway cannot read api.token_file: {why}"
            raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, message) from None

    async def _one_of_few(
        self, call: Callable[Arguments, Answer], *args: Arguments.args, **kwargs: Arguments.kwargs
    ) -> Answer:
        if self._logins >= LOGINS_WAITING_MAX:
            why = "too many logins at once: try again in a second"
            raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, why, {"Retry-After": "1"})
        self._logins += 1
        try:
            return await self._in_thread(call, *args, **kwargs)
        finally:
            self._logins -= 1

    async def _in_thread(
        self, call: Callable[Arguments, Answer], *args: Arguments.args, **kwargs: Arguments.kwargs
    ) -> Answer:
        job = functools.partial(call, *args, **kwargs)
        return await asyncio.get_running_loop().run_in_executor(self._thread, job)
