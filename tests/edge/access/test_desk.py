"""Accounts, sessions and tokens: who is let in, how long, and what the file holds."""

import hmac
import stat
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.access import passwords
from edge.access.desk import CLOCK_BACK_MS, LINK_MS, SESSION_S, TOUCH_MS, AccessDesk, AccessRules
from edge.access.errors import (
    AccessTooNew,
    AccessUnusable,
    BadLogin,
    BadToken,
    LockedOut,
    NotThere,
    Refused,
    SetUpClosed,
)
from edge.access.lockout import ENTRIES_MAX, FORGET_MS, LOCK_MS, LOCK_MS_MAX, TRIES, Lockout
from edge.access.passwords import PASSWORD_BYTES_MAX, Passwords, checked_name, checked_password, csrf_token
from edge.access.records import FILE_NAME, SESSIONS_MAX, Records
from edge.access.roles import Kind, Role, Scope
from tests.edge.access.kit import ADDRESS, CHEAP, PASSWORD, access_desk
from tests.edge.kit import T0_MS

HOUR_MS = 3_600_000


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[AccessDesk]:
    opened = access_desk(tmp_path)
    yield opened
    opened.close()


def test_a_new_file_may_be_opened_by_several_at_the_same_time(tmp_path: Path) -> None:
    with ThreadPoolExecutor(4) as several:
        for attempt in range(20):
            (folder := tmp_path / str(attempt)).mkdir()
            for opened in several.map(Records, [folder / FILE_NAME] * 4):
                opened.close()


@pytest.fixture
def ada(desk: AccessDesk) -> AccessDesk:
    desk.add_user("ada", Role.OPERATOR, PASSWORD, T0_MS)
    return desk


def login(
    desk: AccessDesk,
    name: str = "ada",
    password: str = PASSWORD,
    *,
    old: str | None = None,
    now_ms: int = 0,
    wall_ms: int = T0_MS,
    address: str = ADDRESS,
) -> str:
    return desk.login(name, password, address, old, now_ms, wall_ms).secret


def kind(desk: AccessDesk, session: str | None, wall_ms: int = T0_MS) -> Kind:
    return desk.identify(session, None, "", ADDRESS, 0, wall_ms).principal.kind


# ---------------------------------------------------------------- logging in


def test_a_session_is_its_account_with_its_role_and_carries_a_csrf_token(ada: AccessDesk) -> None:
    secret = login(ada)
    seen = ada.identify(secret, None, "", ADDRESS, 0, T0_MS)
    assert (seen.principal.kind, seen.principal.name, seen.principal.role) == (Kind.SESSION, "ada", Role.OPERATOR)
    assert seen.csrf == csrf_token(secret)
    assert seen.csrf != secret


def test_a_login_ends_the_session_that_the_browser_had(ada: AccessDesk) -> None:
    first = login(ada)
    second = login(ada, old=first)
    assert first != second
    assert kind(ada, first) is Kind.NOBODY
    assert kind(ada, second) is Kind.SESSION


@pytest.mark.parametrize(
    ("name", "password"),
    [
        ("ada", "wrong password"),
        ("bob", PASSWORD),
        ("ada", ""),
        ("ada", "\0"),
        ("ada", "x" * 10**6),
        ("' OR 1=1 --", PASSWORD),
        ("ada\0", PASSWORD),
    ],
)
def test_a_wrong_name_and_a_wrong_password_are_told_alike(ada: AccessDesk, name: str, password: str) -> None:
    with pytest.raises(BadLogin) as told:
        login(ada, name, password)
    assert str(told.value) == "name and password do not belong together"


def test_a_name_that_does_not_exist_costs_a_hash_too(ada: AccessDesk, monkeypatch: pytest.MonkeyPatch) -> None:
    hashed: list[str] = []
    real = Passwords.is_right

    def noted(self: Passwords, kept: str | None, password: str) -> bool:
        hashed.append(kept or "nobody's")
        return real(self, kept, password)

    monkeypatch.setattr(Passwords, "is_right", noted)
    with pytest.raises(BadLogin):
        login(ada, "bob")
    assert hashed == ["nobody's"]


def test_sessions_end_by_age_by_idleness_by_logout_and_with_their_account(ada: AccessDesk) -> None:
    secret = login(ada)
    assert kind(ada, secret, T0_MS + HOUR_MS - 1) is Kind.SESSION
    assert kind(ada, secret, T0_MS + 2 * HOUR_MS - 2) is Kind.SESSION, "a use makes the hour begin anew"
    assert kind(ada, secret, T0_MS + 3 * HOUR_MS) is Kind.NOBODY
    used = login(ada)
    for at_ms in range(T0_MS, T0_MS + 1000 * SESSION_S, HOUR_MS // 2):
        assert kind(ada, used, at_ms) is Kind.SESSION
    assert kind(ada, used, T0_MS + 1000 * SESSION_S) is Kind.NOBODY
    ended = login(ada)
    ada.logout(ended)
    assert kind(ada, ended) is Kind.NOBODY
    orphan = login(ada)
    ada.remove_user("ada")
    assert kind(ada, orphan) is Kind.NOBODY


def test_a_clock_that_was_set_back_makes_no_session_longer(ada: AccessDesk) -> None:
    secret = login(ada)
    assert kind(ada, secret, T0_MS - CLOCK_BACK_MS) is Kind.SESSION
    assert kind(ada, secret, T0_MS - CLOCK_BACK_MS - 1) is Kind.NOBODY


def test_a_use_is_written_once_a_minute(ada: AccessDesk, monkeypatch: pytest.MonkeyPatch) -> None:
    secret = login(ada)
    writes: list[int] = []
    monkeypatch.setattr(Records, "touch_session", lambda self, key, at_ms: writes.append(at_ms))
    kind(ada, secret, T0_MS + TOUCH_MS - 1)
    kind(ada, secret, T0_MS + TOUCH_MS)
    assert writes == [T0_MS + TOUCH_MS]


def test_sessions_are_bounded(ada: AccessDesk, tmp_path: Path) -> None:
    first = login(ada)
    records = Records(tmp_path / FILE_NAME)
    with records.changing():
        for at in range(SESSIONS_MAX):
            records.add_session(at.to_bytes(4, "big"), "ada", T0_MS)
    records.close()
    assert kind(ada, first) is Kind.NOBODY


def test_another_password_ends_every_session(ada: AccessDesk) -> None:
    secret = login(ada)
    with pytest.raises(BadLogin):
        ada.change_password("ada", "not the old one", "another horse", ADDRESS, secret, 0, T0_MS)
    new = ada.change_password("ada", PASSWORD, "another horse", ADDRESS, secret, 0, T0_MS)
    assert kind(ada, secret) is Kind.NOBODY
    assert kind(ada, new.secret) is Kind.SESSION
    ada.set_password("ada", "a third horse", T0_MS)
    assert kind(ada, new.secret) is Kind.NOBODY
    login(ada, password="a third horse")
    with pytest.raises(NotThere):
        ada.set_password("bob", PASSWORD, T0_MS)


def test_a_password_that_was_hashed_cheaply_is_hashed_again_at_login(tmp_path: Path) -> None:
    cheap = access_desk(tmp_path)
    cheap.add_user("ada", Role.VIEWER, PASSWORD, T0_MS)
    (before,) = cheap.users()
    cheap.close()
    dear = AccessDesk(
        tmp_path / FILE_NAME, AccessRules(), type(CHEAP)(time_cost=2, memory_cost=16, parallelism=1), bytes
    )
    login(dear)
    (after,) = dear.users()
    assert "t=1" in before.password
    assert "t=2" in after.password
    dear.close()


# ---------------------------------------------------------------- locking out


def test_wrong_tries_lock_the_address_and_then_the_right_password_waits_too(ada: AccessDesk) -> None:
    for _ in range(TRIES["address"]):
        with pytest.raises(BadLogin):
            login(ada, "bob", now_ms=1000)
    with pytest.raises(LockedOut, match="30 s") as locked:
        login(ada, now_ms=1000)
    assert locked.value.retry_after_s == LOCK_MS // 1000
    login(ada, now_ms=1000, address="198.51.100.1")
    login(ada, now_ms=1000 + LOCK_MS)


def test_while_a_lock_holds_no_password_is_looked_at(ada: AccessDesk, monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(TRIES["address"]):
        with pytest.raises(BadLogin):
            login(ada, password="wrong password")
    monkeypatch.setattr(Passwords, "is_right", None)
    with pytest.raises(LockedOut):
        login(ada)


def test_an_account_is_locked_wherever_the_tries_come_from(ada: AccessDesk) -> None:
    for at in range(TRIES["account"]):
        with pytest.raises(BadLogin):
            login(ada, password="wrong password", address=f"192.0.2.{at}")
    with pytest.raises(LockedOut):
        login(ada, address="198.51.100.9")


@pytest.mark.no_cover
@given(st.lists(st.tuples(st.integers(0, 5_000), st.booleans()), max_size=60))
def test_a_lock_grows_with_every_wrong_try_and_never_beyond_its_limit(tries: list[tuple[int, bool]]) -> None:
    lockout, now_ms, wrong = Lockout(), 0, 0
    for step_ms, succeeds in tries:
        now_ms += step_ms
        if succeeds:
            lockout.succeeded("ada")
        else:
            lockout.failed("ada", ADDRESS, now_ms)
            wrong += 1
        assert lockout.wait_s("ada", ADDRESS, now_ms) <= LOCK_MS_MAX // 1000
        assert lockout.wait_s("bob", "198.51.100.1", now_ms) == 0
    assert (lockout.wait_s("bob", ADDRESS, now_ms) > 0) >= (wrong >= TRIES["address"] and now_ms < LOCK_MS)
    assert lockout.wait_s("ada", ADDRESS, now_ms + LOCK_MS_MAX) == 0


def test_the_tables_of_wrong_tries_are_bounded_and_forget() -> None:
    lockout = Lockout()
    for at in range(3 * ENTRIES_MAX):
        lockout.failed(f"n{at}", f"2001:db8:{at:x}::1", 0)
    assert len(lockout) == 2 * ENTRIES_MAX
    for _ in range(TRIES["address"] - 1):
        lockout.failed("x", ADDRESS, 0)
    lockout.failed("x", ADDRESS, FORGET_MS)
    assert lockout.wait_s("y", ADDRESS, FORGET_MS) == 0, "the tries of an hour ago are forgotten"


def test_addresses_of_one_customer_count_together() -> None:
    lockout = Lockout()
    for at in range(TRIES["address"]):
        lockout.failed(f"n{at}", f"2001:db8::{at + 1:x}", 0)
    assert lockout.wait_s("z", "2001:db8::ffff", 0) > 0
    assert lockout.wait_s("z", "2001:db8:0:1::1", 0) == 0


# ---------------------------------------------------------------- names and passwords


@pytest.mark.parametrize("name", ["", "Ada", "a b", "-a", "ä", "a" * 33, "a\n", "a\0", "../x", "a\r\nSet-Cookie: x"])
def test_names_that_no_account_has(ada: AccessDesk, name: str) -> None:
    with pytest.raises(Refused, match="name: expected"):
        ada.add_user(name, Role.VIEWER, PASSWORD, T0_MS)


@pytest.mark.parametrize(
    ("password", "why"),
    [
        ("short", "at least"),
        ("a" * 40, "different"),
        ("good and long\0", "control"),
        ("x\ny" * 10, "control"),
        ("ab" + "x" * PASSWORD_BYTES_MAX, "at most"),
        ("ﷺabc" * 200, "at most"),
        ("abcdefghijklm\ud800", "control"),
    ],
)
def test_passwords_that_nobody_has(ada: AccessDesk, password: str, why: str) -> None:
    with pytest.raises(Refused, match=why):
        ada.set_password("ada", password, T0_MS)


def test_a_password_is_the_same_from_every_keyboard() -> None:
    kept = Passwords(CHEAP).hash("Zürich is far away")
    assert Passwords(CHEAP).is_right(kept, "Zu\u0308rich is far away")
    assert not Passwords(CHEAP).is_right("no hash", "Zürich is far away")


@settings(max_examples=30)
@given(st.text(max_size=80))
def test_whatever_is_accepted_is_right_afterwards(password: str) -> None:
    try:
        checked_password(password)
    except Refused:
        return
    assert Passwords(CHEAP).is_right(Passwords(CHEAP).hash(password), password)


def test_real_passwords_cost_what_owasp_asks_for() -> None:
    hasher = passwords.standard_hasher()
    assert (hasher.memory_cost, hasher.time_cost, hasher.parallelism) == (19 * 1024, 2, 1)
    assert hasher.hash("x").startswith("$argon2id$")


# ---------------------------------------------------------------- tokens


def test_a_token_may_what_its_scopes_say_until_it_is_over_or_revoked(desk: AccessDesk) -> None:
    secret = desk.add_token("press-3", [Scope.INGEST], "ada", T0_MS, T0_MS + HOUR_MS)
    seen = desk.identify(None, secret, "", ADDRESS, 0, T0_MS)
    assert (seen.principal.kind, seen.principal.name, seen.csrf) == (Kind.TOKEN, "press-3", None)
    assert seen.principal.may(Scope.INGEST)
    assert not seen.principal.may(Scope.READ)
    with pytest.raises(BadToken):
        desk.identify(None, secret, "", ADDRESS, 0, T0_MS + HOUR_MS)
    (listed,) = desk.tokens()
    assert (listed.name, listed.made_by, listed.used_ms, listed.expires_ms) == (
        "press-3",
        "ada",
        T0_MS,
        T0_MS + HOUR_MS,
    )
    desk.remove_token("press-3")
    with pytest.raises(BadToken):
        desk.identify(None, secret, "", ADDRESS, 0, T0_MS)
    with pytest.raises(NotThere):
        desk.remove_token("press-3")


@pytest.mark.parametrize("bearer", ["", "tg_", "tg_" + "x" * 43, "x" * 10**5, "\x00", "ünïcode", "' OR 1=1 --"])
def test_what_is_no_token_is_nobody_even_beside_a_good_session(ada: AccessDesk, bearer: str) -> None:
    secret = login(ada)
    with pytest.raises(BadToken):
        ada.identify(secret, bearer, "configured", ADDRESS, 0, T0_MS)


def test_the_configured_token_ingests_and_operates_and_an_empty_one_is_none(desk: AccessDesk) -> None:
    seen = desk.identify(None, "configured", "configured", ADDRESS, 0, T0_MS)
    assert seen.principal.kind is Kind.CONFIGURED_TOKEN
    assert all(seen.principal.may(scope) for scope in Scope)
    with pytest.raises(BadToken):
        desk.identify(None, "", "", ADDRESS, 0, T0_MS)


def test_secrets_are_compared_in_constant_time(desk: AccessDesk, monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[tuple[bytes, bytes]] = []

    def noted(given: bytes, wanted: bytes) -> bool:
        compared.append((given, wanted))
        return given == wanted

    monkeypatch.setattr(hmac, "compare_digest", noted)
    desk.identify(None, "configured", "configured", ADDRESS, 0, T0_MS)
    assert compared == [(b"configured", b"configured")]


def test_tokens_have_names_of_their_own_and_at_least_one_scope(desk: AccessDesk) -> None:
    desk.add_token("a", [Scope.READ], "cli", T0_MS)
    for name, scopes, expires_ms in (
        ("a", [Scope.READ], None),
        ("b", [], None),
        ("b", [Scope.READ], T0_MS),
        ("B", [Scope.READ], None),
    ):
        with pytest.raises(Refused):
            desk.add_token(name, scopes, "cli", T0_MS, expires_ms)


# ---------------------------------------------------------------- the first account


def test_a_set_up_link_makes_one_operator_once(desk: AccessDesk) -> None:
    link = desk.new_setup_link(T0_MS)
    made = desk.set_up(link, "ada", PASSWORD, ADDRESS, 0, T0_MS)
    assert made.role is Role.OPERATOR
    assert kind(desk, made.secret) is Kind.SESSION
    with pytest.raises(SetUpClosed, match="there are accounts"):
        desk.set_up(link, "eve", PASSWORD, ADDRESS, 0, T0_MS)
    desk.remove_user("ada")
    with pytest.raises(SetUpClosed, match="wrong or too old"):
        desk.set_up(link, "eve", PASSWORD, ADDRESS, 0, T0_MS)


def test_a_set_up_link_is_over_after_an_hour_and_guessing_locks(desk: AccessDesk) -> None:
    link = desk.new_setup_link(T0_MS)
    with pytest.raises(SetUpClosed):
        desk.set_up(link, "ada", PASSWORD, ADDRESS, 0, T0_MS + LINK_MS)
    with pytest.raises(SetUpClosed):
        desk.set_up(link, "ada", PASSWORD, ADDRESS, 0, T0_MS - 1)
    for _ in range(TRIES["address"] - 2):
        with pytest.raises(SetUpClosed):
            desk.set_up("guess", "ada", PASSWORD, ADDRESS, 0, T0_MS)
    with pytest.raises(LockedOut):
        desk.set_up(link, "ada", PASSWORD, ADDRESS, 0, T0_MS)


def test_a_refused_name_or_password_leaves_the_link_as_it_was(desk: AccessDesk) -> None:
    link = desk.new_setup_link(T0_MS)
    for name, password in (("Ada!", PASSWORD), ("ada", "short")):
        with pytest.raises(Refused):
            desk.set_up(link, name, password, ADDRESS, 0, T0_MS)
    desk.set_up(link, "ada", PASSWORD, ADDRESS, 0, T0_MS)


def test_no_link_is_made_where_there_are_accounts(ada: AccessDesk) -> None:
    with pytest.raises(SetUpClosed, match="passwd"):
        ada.new_setup_link(T0_MS)


@pytest.mark.parametrize(
    ("login_rule", "open_before", "open_after"), [(None, True, False), (True, False, False), (False, True, True)]
)
def test_reading_is_open_as_the_rule_says(
    tmp_path: Path, login_rule: bool | None, open_before: bool, open_after: bool
) -> None:
    desk = access_desk(tmp_path, AccessRules(login_rule))
    assert desk.identify(None, None, "", ADDRESS, 0, T0_MS).principal.may(Scope.READ) is open_before
    desk.add_user("ada", Role.VIEWER, PASSWORD, T0_MS)
    nobody = desk.identify("no session", None, "", ADDRESS, 0, T0_MS).principal
    assert nobody.may(Scope.READ) is open_after
    assert not nobody.may(Scope.OPERATE)
    desk.close()


# ---------------------------------------------------------------- the file


def test_the_file_is_its_owners_and_holds_no_secret(ada: AccessDesk, tmp_path: Path) -> None:
    secrets = [login(ada), ada.add_token("t", [Scope.READ], "ada", T0_MS), PASSWORD]
    ada.close()
    held = b"".join(path.read_bytes() for path in tmp_path.glob(f"{FILE_NAME}*"))
    assert stat.S_IMODE((tmp_path / FILE_NAME).stat().st_mode) == 0o600
    assert b"$argon2id$" in held
    for secret in secrets:
        assert secret.encode() not in held


def test_a_file_that_others_could_read_is_closed_to_them(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).touch(0o644)
    (tmp_path / FILE_NAME).chmod(0o644)
    desk = access_desk(tmp_path)
    assert not desk.has_accounts()
    assert stat.S_IMODE((tmp_path / FILE_NAME).stat().st_mode) == 0o600
    desk.close()


def test_what_another_process_changes_holds_at_once(ada: AccessDesk, tmp_path: Path) -> None:
    secret = login(ada)
    other = access_desk(tmp_path, seed=2)
    other.remove_user("ada")
    assert kind(ada, secret) is Kind.NOBODY
    other.close()
    for path in tmp_path.glob(f"{FILE_NAME}*"):
        path.unlink()
    other = access_desk(tmp_path, seed=3)
    other.add_user("bob", Role.VIEWER, PASSWORD, T0_MS)
    assert [user.name for user in ada.users()] == ["bob"], "the file was replaced, and the new one counts"
    other.close()


def test_a_damaged_file_lets_nobody_in_but_the_configured_token(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_bytes(b"this is no database" * 100)
    desk = access_desk(tmp_path)
    with pytest.raises(AccessUnusable, match="not a database"):
        desk.identify(None, None, "", ADDRESS, 0, T0_MS)
    assert desk.identify(None, "configured", "configured", ADDRESS, 0, T0_MS).principal.may(Scope.OPERATE)


def test_a_file_of_a_newer_version_is_left_alone(ada: AccessDesk, tmp_path: Path) -> None:
    records = Records(tmp_path / FILE_NAME)
    with records.changing():
        records._run(
            "INSERT INTO _sqlite_migrations (migration_set, name, applied_at) VALUES (?, ?, ?)",
            ("tidegate.access", "m9999_later", "2030"),
        )
    records.close()
    with pytest.raises(AccessTooNew, match="m9999_later"):
        access_desk(tmp_path).has_accounts()


def test_names_are_checked_alike_for_tokens_and_accounts() -> None:
    assert checked_name("press-3.line_2") == "press-3.line_2"
