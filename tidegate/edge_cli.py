"""`tidegate edge ...`: questions to a gateway. The front door mounts `app` under `edge`, beside `run`.

    explain TOPIC PAYLOAD                  what a message would become, and which rule takes it
    status [--watch]                       how things stand
    ledger                                 is everything that was ever acknowledged in the cloud
    audit [--resend]                       does the cloud have what the ledger says it was given
    alerts list|ack                        what needs somebody
    quarantine list|show|retry|purge       what could not be accepted
    destination list|forget                where readings go, and where they went once
    drill start|stop|status                an outage on purpose (tidegate.edge_drill)
    user, token, setup-link                who may ask (tidegate.edge_accounts)
    command, firmware                      what the gateway tells its devices (tidegate.downlink_cli)

They ask the running gateway by its HTTP API; if none runs, they open its file under its lock. Answers are tables for
people, or JSON with `--json`; the exit code is 1 where the answer is bad news.
"""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.live import Live

from edge.desk import DESTINATION
from edge.mapping.explain import explain as explain_message
from sensors.clock import SystemClock
from tidegate import downlink_cli, edge_accounts, edge_tables
from tidegate.console import stdout_console
from tidegate.edge_access import Access, Document, access, wait_s
from tidegate.edge_accounts import gateway_settings as _settings
from tidegate.edge_alerts import alerts
from tidegate.edge_drill import drill
from tidegate.errors import EXIT_FAILED
from tidegate.options import ConfigOption

WATCH_EVERY_S = 1.0  # the gateway's rates are measured by looks about a second apart

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
quarantine = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
app.add_typer(alerts, name="alerts", help="What needs somebody: list, ack.")
app.add_typer(quarantine, name="quarantine", help="What could not be accepted: list, show, retry, purge.")
destination = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
app.add_typer(destination, name="destination", help="Where readings go, and where they went once: list, forget.")
app.add_typer(drill, name="drill", help="An outage on purpose: start, stop, status.")
app.add_typer(edge_accounts.user, name="user", help="Accounts of people: add, list, passwd, remove.")
app.add_typer(edge_accounts.token, name="token", help="Tokens of programs: add, list, revoke.")
app.command()(edge_accounts.setup_link)

app.add_typer(downlink_cli.command, name="command", help="Tell a device something: send, list, show, cancel.")
app.add_typer(downlink_cli.firmware, name="firmware", help="Firmware for devices: add, list, remove, rollout, halt.")

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
IdsArgument = Annotated[list[int], typer.Argument(metavar="ID", min=1, help="Numbers from `quarantine list`.")]


@app.command()
def explain(
    topic: Annotated[str, typer.Argument(metavar="TOPIC", help="The topic as the device publishes it.")],
    payload: Annotated[
        str, typer.Argument(metavar="PAYLOAD", help="The payload; @FILE reads it from a file, @- from standard input.")
    ],
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what a message would become and which rule takes it, or why none does."""
    settings = _settings(config)
    told = explain_message(
        settings.mapping, settings.mqtt.topic_root, topic, _payload(payload), SystemClock().wall_ms()
    )
    if as_json:
        _print_json(told.document())
    else:
        edge_tables.print_explanation(stdout_console(), told)
    if not told.is_understood:
        raise typer.Exit(EXIT_FAILED)


@app.command()
def status(
    config: ConfigOption = None,
    watch: Annotated[bool, typer.Option("--watch", help="Look again every second, until Ctrl-C.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Show how things stand: links, backlog, ledger, store."""
    with access(_settings(config)) as gateway:
        if not watch:
            _answer(gateway.status(), edge_tables.print_status, as_json=as_json)
        elif as_json:
            while True:
                typer.echo(json.dumps(gateway.status()))
                wait_s(WATCH_EVERY_S)
        else:
            _watch(gateway)


@app.command()
def ledger(
    config: ConfigOption = None,
    site: Annotated[str | None, typer.Option("--site", help="Only devices of this site.")] = None,
    device: Annotated[str | None, typer.Option("--device", help="Only devices of this name.")] = None,
    only_open: Annotated[bool, typer.Option("--open", help="Only with something missing or on its way.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Answer: is everything that was ever acknowledged in the cloud; if not, which readings, where, and why."""
    with access(_settings(config)) as gateway:
        told = gateway.ledger(site, device, only_open)
    _answer(told, edge_tables.print_ledger, as_json=as_json)
    if not all(told["complete"].values()):
        raise typer.Exit(EXIT_FAILED)


@app.command()
def audit(
    config: ConfigOption = None,
    site: Annotated[str | None, typer.Option("--site", help="Only devices of this site.")] = None,
    device: Annotated[str | None, typer.Option("--device", help="Only devices of this name.")] = None,
    resend: Annotated[bool, typer.Option("--resend", help="Send again what is missing and still here.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Compare the ledger with what the cloud holds, reading by reading."""
    from tidegate.edge_audit import audit as run_audit
    from tidegate.edge_audit import print_audit

    settings = _settings(config)
    with access(settings) as gateway:
        told = run_audit(gateway, settings, site, device, destination=DESTINATION, resend=resend)
    _answer(told, print_audit, as_json=as_json)
    if not told["agrees"]:
        raise typer.Exit(EXIT_FAILED)


@app.command()
def listen(
    config: ConfigOption = None,
    site: Annotated[str, typer.Option("--site", help="Only this site; + for all.")] = "+",
    device: Annotated[str, typer.Option("--device", help="Only this device; + for all.")] = "+",
    count: Annotated[int | None, typer.Option("--count", min=1, help="End after so many messages.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Show what devices publish at the gateway's broker, decoded, as it arrives. The gateway does not notice."""
    from tidegate.listen import print_messages

    settings = _settings(config)
    print_messages(settings.mqtt, site, device, count, as_json=as_json)


@quarantine.command("list")
def list_items(
    config: ConfigOption = None,
    after: Annotated[int, typer.Option("--after", min=0, help="Only items with a higher number.")] = 0,
    limit: Annotated[int, typer.Option("--limit", min=1, max=1000, help="How many at most.")] = 100,
    as_json: JsonOption = False,
) -> None:
    """List what is in quarantine, oldest first."""
    with access(_settings(config)) as gateway:
        _answer(gateway.quarantine(after, limit), edge_tables.print_quarantine, as_json=as_json)


@quarantine.command()
def show(
    item_id: Annotated[int, typer.Argument(metavar="ID", min=1)],
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show one item with its whole payload."""
    with access(_settings(config)) as gateway:
        _answer(gateway.item(item_id), edge_tables.print_item, as_json=as_json)


@quarantine.command()
def retry(ids: IdsArgument, config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Take messages in again, as received when they first came; those that are understood now leave quarantine."""
    with access(_settings(config)) as gateway:
        told = gateway.retry(ids)
    _answer(told, edge_tables.print_retried, as_json=as_json)
    if any(result["outcome"] != "taken" for result in told["results"]):
        raise typer.Exit(EXIT_FAILED)


@quarantine.command()
def purge(
    ids: Annotated[list[int] | None, typer.Argument(metavar="[ID...]", min=1)] = None,
    every: Annotated[bool, typer.Option("--all", help="Everything that is in quarantine.")] = False,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Delete items for good."""
    if every == bool(ids):
        raise typer.BadParameter("give either the numbers of items, or --all")
    with access(_settings(config)) as gateway:
        told = gateway.purge(None if every else ids)
    _answer(told, lambda console, document: console.print(f"purged: {document['purged']}"), as_json=as_json)


@destination.command("list")
def list_destinations(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Show every destination, those that are not configured any more among them, and what each still has coming."""
    with access(_settings(config)) as gateway:
        told = {"destinations": gateway.status()["destinations"]}
    _answer(told, edge_tables.print_destinations, as_json=as_json)


@destination.command()
def forget(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A destination that is not configured any more.")],
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Let go of a destination for good: its place in the log, and its part of the ledger."""
    with access(_settings(config)) as gateway:
        told = gateway.forget(name)
    _answer(told, edge_tables.print_forgotten, as_json=as_json)


def _watch(gateway: Access) -> None:
    console = stdout_console()
    with Live(console=console, auto_refresh=False) as live:
        while True:
            live.update(edge_tables.status_view(gateway.status()), refresh=True)
            wait_s(WATCH_EVERY_S)


def _answer(document: Document, printer: edge_tables.Printer, *, as_json: bool) -> None:
    if as_json:
        _print_json(document)
    else:
        printer(stdout_console(), document)


def _print_json(document: object) -> None:
    typer.echo(json.dumps(document, indent=2))


def _payload(text: str) -> bytes:
    if text == "@-":
        return sys.stdin.buffer.read()
    if text.startswith("@"):
        return Path(text[1:]).read_bytes()
    return text.encode("utf-8", "surrogateescape")
