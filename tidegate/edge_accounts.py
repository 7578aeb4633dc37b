"""`tidegate edge user ...`, `token ...` and `setup-link`: who may ask a gateway. Mounted by `tidegate.edge_cli`.

They change `access.sqlite` in the gateway's data directory, whether it runs or not; a running gateway goes by it at its
next request. Passwords are asked for, or read from a file; never taken from the command line, where others see them.
"""

import json
import os
import secrets
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from edge.access.desk import LINK_MS, AccessDesk
from edge.access.errors import AccessError
from edge.access.passwords import PASSWORD_BYTES_MAX, standard_hasher
from edge.access.records import FILE_NAME
from edge.access.roles import Role, Scope
from edge.access.service import SET_UP_PATH
from edge.config import ApiSettings, EdgeConfig
from sensors.clock import SystemClock
from tidegate.config import load
from tidegate.console import make_table, stdout_console
from tidegate.edge_tables import plain, when
from tidegate.errors import FrontDoorError
from tidegate.options import ConfigOption

DAY_MS = 86_400_000
MADE_BY = "command line"
_ANY_HOST = ("0.0.0.0", "::", "")  # noqa: S104  # listened on; what a browser is given is the machine's own address

user = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
token = typer.Typer(no_args_is_help=True, rich_markup_mode=None)

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="1 to 32 of a-z, 0-9, dot, hyphen, underscore.")]
PasswordOption = Annotated[
    Path | None,
    typer.Option("--password-file", metavar="FILE", help="Read the password from a file (- for standard input)."),
]


class AccountError(FrontDoorError):
    """What was wanted of an account or token cannot be; in the desk's words."""


@contextmanager
def accounts(settings: EdgeConfig) -> Iterator[AccessDesk]:
    """The accounts of a gateway, running or not. Errors of the desk become `AccountError`."""
    folder = settings.store.data_dir
    try:
        folder.mkdir(parents=True, exist_ok=True)
        desk = AccessDesk(folder / FILE_NAME, settings.api.access_rules(), standard_hasher(), secrets.token_bytes)
        try:
            yield desk
        finally:
            desk.close()
    except AccessError as error:
        raise AccountError(str(error)) from None
    except OSError as error:
        raise AccountError(f"cannot use {folder}: {error.strerror or error}") from None


def base_url(settings: ApiSettings) -> str:
    """Where a browser on this machine finds the gateway."""
    host = "127.0.0.1" if settings.host in _ANY_HOST else settings.host
    scheme = "http" if settings.tls is None else "https"
    return f"{scheme}://{f'[{host}]' if ':' in host else host}:{settings.port}"


@user.command("add")
def add_user(
    name: NameArgument,
    role: Annotated[Role, typer.Option("--role", help="What the account may do.")] = Role.VIEWER,
    password_file: PasswordOption = None,
    config: ConfigOption = None,
) -> None:
    """Make an account. The password is asked for twice, or read from a file."""
    with accounts(gateway_settings(config)) as desk:
        desk.add_user(name, role, _password(password_file), SystemClock().wall_ms())
    typer.echo(f"made: {name}, {role}")


@user.command("list")
def list_users(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """List the accounts."""
    with accounts(gateway_settings(config)) as desk:
        found = desk.users()
    shown = [
        {"name": each.name, "role": each.role, "created_ms": each.created_ms, "changed_ms": each.changed_ms}
        for each in found
    ]
    _print(shown, ("name", "role", "created_ms", "changed_ms"), as_json=as_json)


@user.command()
def passwd(name: NameArgument, password_file: PasswordOption = None, config: ConfigOption = None) -> None:
    """Give an account another password, which logs it out everywhere."""
    with accounts(gateway_settings(config)) as desk:
        desk.set_password(name, _password(password_file), SystemClock().wall_ms())
    typer.echo(f"changed: {name}")


@user.command("remove")
def remove_user(name: NameArgument, config: ConfigOption = None) -> None:
    """Remove an account, which logs it out at once."""
    with accounts(gateway_settings(config)) as desk:
        desk.remove_user(name)
        is_last = not desk.has_accounts()
    typer.echo(f"removed: {name}")
    if is_last:
        typer.echo("that was the last account: see `api.login` for who may read now", err=True)


@token.command("add")
def add_token(
    name: NameArgument,
    scopes: Annotated[list[Scope], typer.Option("--scope", help="What it may do; may be given several times.")],
    days: Annotated[int | None, typer.Option("--days", min=1, max=3650, help="For how long; else for good.")] = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a token for a program. It is printed once, and kept nowhere."""
    now_ms = SystemClock().wall_ms()
    expires_ms = None if days is None else now_ms + days * DAY_MS
    with accounts(gateway_settings(config)) as desk:
        made = desk.add_token(name, scopes, MADE_BY, now_ms, expires_ms)
    if as_json:
        typer.echo(json.dumps({"name": name, "scopes": sorted(set(scopes)), "expires_ms": expires_ms, "token": made}))
    else:
        typer.echo(made)


@token.command("list")
def list_tokens(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """List the tokens, without the tokens themselves."""
    with accounts(gateway_settings(config)) as desk:
        found = desk.tokens()
    shown = [
        {
            "name": each.name,
            "scopes": " ".join(sorted(each.scopes)),
            "made_by": each.made_by,
            "created_ms": each.created_ms,
            "expires_ms": each.expires_ms,
            "used_ms": each.used_ms,
        }
        for each in found
    ]
    _print(shown, ("name", "scopes", "made_by", "created_ms", "expires_ms", "used_ms"), as_json=as_json)


@token.command()
def revoke(name: NameArgument, config: ConfigOption = None) -> None:
    """Revoke a token, at once."""
    with accounts(gateway_settings(config)) as desk:
        desk.remove_token(name)
    typer.echo(f"revoked: {name}")


def setup_link(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Print a link by which the first account can be made, once, within an hour."""
    settings = gateway_settings(config)
    now_ms = SystemClock().wall_ms()
    with accounts(settings) as desk:
        url = f"{base_url(settings.api)}{SET_UP_PATH}{desk.new_setup_link(now_ms)}"
    typer.echo(json.dumps({"url": url, "expires_ms": now_ms + LINK_MS}) if as_json else url)


def _password(path: Path | None) -> str:
    """The password that is to be: one line of a file, or asked for twice. Raises `OSError`."""
    if path is None:
        asked: str = typer.prompt("Password", hide_input=True, confirmation_prompt=True)
        return asked
    if str(path) == "-":
        return sys.stdin.readline(PASSWORD_BYTES_MAX + 2).rstrip("\r\n")
    with path.open(encoding="utf-8") as stream:
        return stream.readline(PASSWORD_BYTES_MAX + 2).rstrip("\r\n")


def _print(rows: list[dict[str, Any]], columns: tuple[str, ...], *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(rows, indent=2))
        return
    table = make_table(
        *(f"{column.removesuffix('_ms')} (UTC)" if column.endswith("_ms") else column for column in columns)
    )
    for row in rows:
        table.add_row(*(when(row[each]) if each.endswith("_ms") else plain(row[each]) for each in columns))
    stdout_console().print(table)


def gateway_settings(path: Path | None) -> EdgeConfig:
    """The gateway's configuration, as `tidegate edge run` would read it. Raises `ConfigError`."""
    return load(EdgeConfig, "EDGE", path, os.environ)
