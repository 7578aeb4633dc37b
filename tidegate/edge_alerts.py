"""`tidegate edge alerts list|ack`: what needs somebody, and saying that somebody has seen it."""

import getpass
import json
import os
from enum import StrEnum
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from edge.config import EdgeConfig
from sensors.alerts import Severity
from tidegate.config import load
from tidegate.console import make_table, stdout_console
from tidegate.edge_access import Document, access
from tidegate.edge_tables import plain, when
from tidegate.errors import EXIT_FAILED
from tidegate.options import ConfigOption

_STYLES = {"critical": "bold red", "warning": "yellow", "info": "cyan"}

alerts = typer.Typer(no_args_is_help=True, rich_markup_mode=None)


class State(StrEnum):
    """Which alerts."""

    ACTIVE = "active"
    UNACKNOWLEDGED = "unacknowledged"
    OPEN = "open"
    CLOSED = "closed"
    ALL = "all"


@alerts.command("list")
def list_alerts(
    config: ConfigOption = None,
    state: Annotated[
        State, typer.Option("--state", help="Which ones; open: active, or not acknowledged.")
    ] = State.OPEN,
    severity: Annotated[Severity | None, typer.Option("--severity", help="Only of this severity.")] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=1000, help="How many at most.")] = 100,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """List alerts, the newest first. Exit code 1 while a critical one is active."""
    with access(load(EdgeConfig, "EDGE", config, os.environ)) as gateway:
        told = gateway.alerts(state.value, severity, limit)
        critical = gateway.alerts("active", Severity.CRITICAL, 1)["total"]
    if as_json:
        typer.echo(json.dumps(told, indent=2))
    else:
        _print_alerts(stdout_console(), told)
    if critical:
        raise typer.Exit(EXIT_FAILED)


@alerts.command("ack")
def acknowledge(
    alert_ids: Annotated[list[int], typer.Argument(metavar="ID", min=1, help="Numbers from `alerts list`.")],
    config: ConfigOption = None,
    by: Annotated[str | None, typer.Option("--by", help="Who has seen it; default: the user.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Say that somebody has seen these alerts. One that has passed is closed by it."""
    who = by or _user()
    with access(load(EdgeConfig, "EDGE", config, os.environ)) as gateway:
        told = {"items": [gateway.acknowledge(alert_id, who) for alert_id in alert_ids]}
    if as_json:
        typer.echo(json.dumps(told, indent=2))
    else:
        _print_alerts(stdout_console(), {"total": len(told["items"]), **told})


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a container's user without a name
        return ""


def _print_alerts(console: Console, told: Document) -> None:
    """Five columns, so that an alert's words have room on a terminal of 80; what became of it stands below them."""
    table = make_table("id", "severity", "raised (UTC)", "what", "message", show_lines=True)
    for each in told["items"]:
        times = f", {each['count']} times" if each["count"] > 1 else ""
        state = "active" if each["active"] else f"passed {when(each['cleared_ms'])}"
        known = "not acknowledged" if each["acknowledged_ms"] is None else f"acknowledged by {each['acknowledged_by']}"
        table.add_row(
            str(each["id"]),
            Text(each["severity"], style=_STYLES[each["severity"]]),
            when(each["raised_ms"]),
            plain(f"{each['site']}/{each['device']}"),
            Text("\n").join([plain(each["message"]), plain(f"{each['rule']}: {state}{times}, {known}")]),
        )
    console.print(table)
    console.print(f"alerts: {told['total']}" if told["total"] else "no alerts")
