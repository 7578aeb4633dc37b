"""`tidegate demo`: the command."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from tidegate.demo.settings import DEVICES_MAX, DemoError, DemoSettings, parse_duration
from tidegate.errors import ConfigError, FrontDoorError, Problem, TakenError

DEFAULT_FOLDER = Path(".tidegate/demo")

app = typer.Typer(invoke_without_command=True, rich_markup_mode=None)


class DemoFailed(FrontDoorError):
    """The demo could not be carried through (exit code 1)."""


@app.callback()
def demo(
    for_: Annotated[
        str | None, typer.Option("--for", metavar="60s", help="End by itself after this long; else with q.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print only the result, as JSON.")] = False,
    folder: Annotated[
        Path, typer.Option("--dir", help="Folder of the run: emptied at the start, kept at the end.")
    ] = DEFAULT_FOLDER,
    devices: Annotated[int, typer.Option(min=1, max=DEVICES_MAX, help="How many simulated devices.")] = 20,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same devices.")] = 1,
    api_port: Annotated[int, typer.Option(min=0, max=65535, help="Where the gateway answers; 0 takes any.")] = 8080,
) -> None:
    """Everything at once: devices, broker, gateway, a real outage, cloud, and the proof.

    Exit code 0 only if every reading is in the cloud once, with the right values, and an outage was survived.
    """
    from tidegate.demo.run import run_demo

    try:
        for_s = parse_duration(for_) if for_ is not None else None
    except DemoError as error:
        raise ConfigError((Problem("", "", str(error)),)) from None
    settings = DemoSettings(folder.resolve(), for_s, devices, seed, api_port, as_json)
    try:
        result = run_demo(settings, Console())
    except DemoError as error:
        raise (TakenError if error.taken else DemoFailed)(str(error)) from None
    if not result.ok:
        raise typer.Exit(1)
