"""`tidegate edge user`, `token` and `setup-link`, and how the other commands show who they are."""

import json
import stat
from pathlib import Path

import pytest
from argon2 import PasswordHasher
from typer.testing import CliRunner

from edge.access.records import FILE_NAME
from edge.config import EdgeConfig
from tests.edge.access.kit import CHEAP, PASSWORD
from tidegate import edge_access, edge_accounts
from tidegate.cli import build_app
from tidegate.config import load
from tidegate.edge_accounts import AccountError, accounts, base_url

RUNNER = CliRunner()


@pytest.fixture(autouse=True)
def _cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    def hasher() -> PasswordHasher:
        return CHEAP

    monkeypatch.setattr(edge_accounts, "standard_hasher", hasher)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "edge.toml"
    path.write_text(f'store.data_dir = "{tmp_path / "data"}"\napi.host = "::"\napi.port = 8081\n')
    return path


def ask(config: Path, *words: str, stdin: str | None = None) -> str:
    done = RUNNER.invoke(
        build_app(["edge", words[0]]), ["edge", *words, "--config", str(config)], input=stdin, catch_exceptions=False
    )
    assert done.exit_code == 0, done.output
    return done.stdout


def test_accounts_are_made_listed_changed_and_removed_before_a_gateway_ever_ran(config: Path, tmp_path: Path) -> None:
    assert ask(config, "user", "add", "ada", "--role", "operator", stdin=f"{PASSWORD}\n{PASSWORD}\n").endswith(
        "made: ada, operator\n"
    )
    (tmp_path / "secret").write_text("a password of a file\n")
    ask(config, "user", "add", "vic", "--password-file", str(tmp_path / "secret"))
    told = json.loads(ask(config, "user", "list", "--json"))
    assert [(each["name"], each["role"]) for each in told] == [("ada", "operator"), ("vic", "viewer")]
    assert "vic" in ask(config, "user", "list")
    ask(config, "user", "passwd", "ada", "--password-file", "-", stdin="another good horse\n")
    ask(config, "user", "remove", "vic")
    assert [each["name"] for each in json.loads(ask(config, "user", "list", "--json"))] == ["ada"]
    assert stat.S_IMODE((tmp_path / "data" / FILE_NAME).stat().st_mode) == 0o600


def test_a_password_is_never_shown(config: Path) -> None:
    assert PASSWORD not in ask(config, "user", "add", "ada", stdin=f"{PASSWORD}\n{PASSWORD}\n")


@pytest.mark.parametrize(
    ("words", "stdin", "why"),
    [
        (("user", "add", "Ada", "--password-file", "-"), PASSWORD, "name: expected"),
        (("user", "add", "ada", "--password-file", "-"), "short", "at least 12"),
        (("user", "passwd", "ada", "--password-file", "-"), PASSWORD, "no account ada"),
        (("user", "remove", "ada"), None, "no account ada"),
        (("token", "revoke", "ada"), None, "no token ada"),
        (("user", "add", "ada", "--password-file", "/nowhere/at/all"), None, "No such file"),
    ],
)
def test_what_cannot_be_is_said_in_one_line(config: Path, words: tuple[str, ...], stdin: str | None, why: str) -> None:
    with pytest.raises(AccountError, match=why):
        ask(config, *words, stdin=stdin)


def test_a_token_is_printed_once_and_listed_without_itself(config: Path) -> None:
    made = ask(config, "token", "add", "press-3", "--scope", "ingest", "--scope", "read").strip()
    assert made.startswith("tg_")
    told = ask(config, "token", "list", "--json")
    assert made not in told
    assert json.loads(told)[0]["scopes"] == "ingest read"
    days = json.loads(ask(config, "token", "add", "b", "--scope", "read", "--days", "3", "--json"))
    assert days["expires_ms"] is not None
    assert "press-3" in ask(config, "token", "list")
    ask(config, "token", "revoke", "press-3")
    assert [each["name"] for each in json.loads(ask(config, "token", "list", "--json"))] == ["b"]


def test_a_set_up_link_is_printed_until_there_is_an_account(config: Path) -> None:
    url = ask(config, "setup-link").strip()
    assert url.startswith("http://127.0.0.1:8081/#/setup/")
    assert json.loads(ask(config, "setup-link", "--json"))["expires_ms"] > 0
    ask(config, "user", "add", "ada", "--password-file", "-", stdin=PASSWORD)
    with pytest.raises(AccountError, match="accounts already"):
        ask(config, "setup-link")


def test_a_command_makes_itself_a_token_and_takes_it_back(config: Path) -> None:
    settings = load(EdgeConfig, "EDGE", config, {})
    with edge_access._pass(settings) as token:
        assert token == "", "where no gateway ever ran, there is nobody to ask"
    ask(config, "user", "add", "ada", "--password-file", "-", stdin=PASSWORD)
    with edge_access._pass(settings) as token:
        with accounts(settings) as desk:
            (kept,) = desk.tokens()
            assert desk.identify(None, token, "", "", 0, kept.created_ms).principal.name == kept.name
        assert kept.expires_ms is not None
    with accounts(settings) as desk:
        assert desk.tokens() == []
    configured = load(EdgeConfig, "EDGE", config, {"TIDEGATE_EDGE__API__TOKEN": "configured"})
    with edge_access._pass(configured) as token:
        assert token == "configured"


def test_a_browser_is_sent_where_the_gateway_listens() -> None:
    api = EdgeConfig().api
    for host, url in (
        ("0.0.0.0", "http://127.0.0.1:8080"),
        ("::1", "http://[::1]:8080"),
        ("10.0.0.7", "http://10.0.0.7:8080"),
    ):
        assert base_url(api.model_copy(update={"host": host})) == url
