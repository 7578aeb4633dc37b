"""`tidegate bench ingest|drain`: what a gateway on this machine takes in and drains, with every feature on.

Promises: measures a real gateway process at a real broker, on a store of its own that is gone afterwards; the gateway
that runs here, and its data, are not touched. Results go to standard output, as a table or with `--json` as JSON.
"""

import json
from typing import Annotated
from urllib.parse import urlsplit

import typer

from tidegate.bench.measure import BrokerAddress, fill, measure_drain, measure_ingest, running
from tidegate.console import make_table, stdout_console
from tidegate.errors import ConfigError, Problem

DEFAULT_MESSAGES = 100_000
DEFAULT_PORT = 1883

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)

MessagesOption = Annotated[int, typer.Option("--messages", min=1000, help="How many readings, each a message.")]
BrokerOption = Annotated[
    str | None,
    typer.Option("--broker", metavar="mqtt://HOST:PORT", help="A broker, in place of its own Mosquitto."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]


@app.command()
def ingest(
    messages: MessagesOption = DEFAULT_MESSAGES, broker: BrokerOption = None, as_json: JsonOption = False
) -> None:
    """Take in QoS 1 messages while the uplink is down: messages a second, and for each CPU-second of the gateway."""
    address = broker_address(broker)
    with running(address) as bench:
        _print(measure_ingest(bench, messages).document(), as_json=as_json)


@app.command()
def drain(
    messages: MessagesOption = DEFAULT_MESSAGES, broker: BrokerOption = None, as_json: JsonOption = False
) -> None:
    """Send a backlog to a cloud that takes everything: readings a second, and for each CPU-second of the gateway."""
    address = broker_address(broker)
    with running(address) as bench:
        fill(bench, messages)
        _print(measure_drain(bench, messages).document(), as_json=as_json)


def broker_address(url: str | None) -> BrokerAddress | None:
    """The broker of `--broker`. Raises `ConfigError`."""
    if url is None:
        return None
    parts = urlsplit(url)
    try:
        port = parts.port or DEFAULT_PORT
    except ValueError:
        port = 0
    if parts.scheme != "mqtt" or not parts.hostname or not port or parts.username or parts.path not in {"", "/"}:
        problem = Problem("", "--broker", f"expected mqtt://HOST or mqtt://HOST:PORT, without a user, found {url!r}")
        raise ConfigError((problem,))
    return BrokerAddress(parts.hostname, port)


def _print(figures: dict[str, float], *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(figures))
        return
    table = make_table(box=None, show_header=False, pad_edge=False)
    table.add_column()
    table.add_column(justify="right")
    for name, value in figures.items():
        table.add_row(name.replace("_", " "), f"{value:,}")
    stdout_console().print(table)
