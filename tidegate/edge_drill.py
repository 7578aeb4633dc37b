"""`tidegate edge drill ...`: outages that an operator causes, to see what a gateway does in one.

    drill start FAULT [--seconds 60] [--link uplink|devices] [--destination NAME] [--latency-ms 4000]
    drill stop
    drill status

They ask the running gateway by its HTTP API; it says no without maintenance mode, unless its configuration has
`drill.always`.
"""

import json
from typing import Annotated

import typer

from edge.drill import LATENCY_MS, LATENCY_MS_MAX, LATENCY_MS_MIN, SECONDS_MAX, SECONDS_MIN, Fault
from edge.outages.observations import UPLINK
from tidegate.console import stdout_console
from tidegate.edge_access import Document, running
from tidegate.edge_accounts import gateway_settings
from tidegate.edge_tables import plain, when
from tidegate.options import ConfigOption

drill = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON instead of a sentence.")]
SECONDS = 60


@drill.command()
def start(
    fault: Annotated[Fault, typer.Argument(metavar="FAULT", help="What fails, by Toxiproxy's names.")],
    config: ConfigOption = None,
    seconds: Annotated[int, typer.Option(min=SECONDS_MIN, max=SECONDS_MAX, help="For how long.")] = SECONDS,
    link: Annotated[str, typer.Option(help="uplink, or devices (the broker; only `down`).")] = UPLINK.name,
    destination: Annotated[str | None, typer.Option(help="Only this destination of the uplink.")] = None,
    latency_ms: Annotated[
        int, typer.Option(min=LATENCY_MS_MIN, max=LATENCY_MS_MAX, help="For latency: how late.")
    ] = LATENCY_MS,
    as_json: JsonOption = False,
) -> None:
    """Make a link of the running gateway fail for a while; it comes back by itself."""
    wanted = {"fault": fault.value, "seconds": seconds, "link": link, "destination": destination}
    with running(gateway_settings(config)) as gateway:
        _tell(gateway.ask("POST", "/drill", body={**wanted, "latency_ms": latency_ms}), as_json=as_json)


@drill.command()
def stop(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """End the drill that runs, if one does."""
    with running(gateway_settings(config)) as gateway:
        _tell(gateway.ask("DELETE", "/drill"), as_json=as_json)


@drill.command()
def status(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Say whether a drill runs, and whether one may begin."""
    with running(gateway_settings(config)) as gateway:
        _tell(gateway.ask("GET", "/drill"), as_json=as_json)


def _tell(told: Document, *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(told, indent=2))
        return
    console = stdout_console()
    for words, one in (("running", told["running"]), ("last", told["last"])):
        if one is not None:
            order = one["order"]
            where = order["destination"] or order["link"]
            span = f"{when(one['since_ms'])} to {when(one['until_ms'])}"
            console.print(plain(f"{words}: {order['fault']} on {where}, {span}, by {one['by']}"))
    if told["running"] is None:
        console.print(
            "no drill runs; one may begin" if told["allowed"] else "no drill runs; one needs maintenance mode"
        )
