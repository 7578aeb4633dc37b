"""Guessing tokens is slowed down, by address; programs that work go on working, and nothing grows without end."""

from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import SecretStr

from edge.access.errors import BadToken, LockedOut
from edge.access.lockout import ENTRIES_MAX, FORGET_MS, LOCK_MS, LOCK_MS_MAX, TOKEN_TRIES, WRONG_KEPT, TokenLockout
from edge.access.roles import Scope
from tests.edge.access.kit import ADDRESS, access_desk
from tests.edge.access.web import Web, refused
from tests.edge.kit import T0_MS

ELSEWHERE = "198.51.100.1"


def _guess(lockout: TokenLockout, tries: int, address: str = ADDRESS, now_ms: int = 0) -> None:
    for at in range(tries):
        lockout.failed(f"wrong {at}".encode(), address, now_ms)


def test_an_address_waits_after_so_many_different_tokens_and_others_do_not() -> None:
    lockout = TokenLockout()
    _guess(lockout, TOKEN_TRIES - 1)
    assert lockout.wait_s(b"next", ADDRESS, 0) == 0
    _guess(lockout, TOKEN_TRIES)
    assert lockout.wait_s(b"next", ADDRESS, 0) >= LOCK_MS // 1000
    assert lockout.wait_s(b"next", ELSEWHERE, 0) == 0
    assert lockout.wait_s(b"next", ADDRESS, LOCK_MS_MAX) == 0


def test_the_same_wrong_token_again_and_again_locks_nobody_out() -> None:
    lockout = TokenLockout()
    for at in range(100 * TOKEN_TRIES):
        lockout.failed(f"revoked {at % WRONG_KEPT}".encode(), ADDRESS, at * 1000)
    assert lockout.wait_s(b"new", ADDRESS, 0) == 0


def test_a_token_that_was_right_lately_is_looked_at_all_the_same() -> None:
    lockout = TokenLockout()
    lockout.succeeded(b"good", 0)
    _guess(lockout, 10 * TOKEN_TRIES, now_ms=FORGET_MS - 1)
    assert lockout.wait_s(b"good", ADDRESS, FORGET_MS - 1) == 0
    assert lockout.wait_s(b"good", ADDRESS, FORGET_MS) > 0, "right an hour ago says nothing"


def test_a_token_that_was_right_and_is_revoked_is_one_like_others() -> None:
    lockout = TokenLockout()
    lockout.succeeded(b"good", 0)
    lockout.failed(b"good", ADDRESS, 1)
    _guess(lockout, TOKEN_TRIES, now_ms=1)
    assert lockout.wait_s(b"good", ADDRESS, 1) > 0


def test_what_is_remembered_is_bounded() -> None:
    lockout = TokenLockout()
    for at in range(3 * ENTRIES_MAX):
        lockout.failed(b"%d" % at, f"2001:db8:{at:x}::1", 0)
        lockout.succeeded(b"%d" % at, 0)
    assert len(lockout) == 3 * ENTRIES_MAX


def test_a_lock_holds_even_for_the_token_that_is_guessed_right(tmp_path: Path) -> None:
    desk = access_desk(tmp_path)
    secret = desk.add_token("new", [Scope.READ], "test", T0_MS)
    for at in range(TOKEN_TRIES):
        with pytest.raises(BadToken):
            desk.identify(None, f"wrong {at}", "configured", ADDRESS, 0, T0_MS)
    for right in (secret, "configured"):
        with pytest.raises(LockedOut):
            desk.identify(None, right, "configured", ADDRESS, 0, T0_MS)
        assert desk.identify(None, right, "configured", ELSEWHERE, 0, T0_MS)
        assert desk.identify(None, right, "configured", ADDRESS, 0, T0_MS), "right from elsewhere a moment ago"
    desk.close()


def test_the_answer_says_how_long_and_a_session_beside_it_goes_on(web: Callable[..., None]) -> None:
    async def use(browser: Web) -> None:
        await browser.add()
        working = await browser.token(Scope.READ)
        assert (await browser.ask("GET", "/api/v1/status", headers=working)).status_code == 200
        for at in range(TOKEN_TRIES):
            answer = await browser.ask("GET", "/api/v1/status", headers={"Authorization": f"Bearer wrong-{at}"})
            refused(answer, 401)
        answer = await browser.ask("GET", "/api/v1/status", headers={"Authorization": "Bearer configured-token"})
        assert "the next one is taken in 30 s" in refused(answer, 429)
        assert answer.headers["retry-after"] == "30"
        assert (await browser.ask("GET", "/api/v1/status", headers=working)).status_code == 200
        assert (await browser.login()).status_code == 200
        browser.clock.at_ms += LOCK_MS
        answer = await browser.ask("GET", "/api/v1/status", headers={"Authorization": "Bearer configured-token"})
        assert answer.status_code == 200

    web(use, token=SecretStr("configured-token"))
