"""`tidegate edge command ...` and `tidegate edge firmware ...`: what a gateway tells its devices.

    command send SITE/DEVICE NAME [--interval-s 60]
    command list|show|cancel SITE/DEVICE [ID]
    firmware add|list|remove|rollout|halt

They ask the running gateway by its HTTP API. Answers are tables, or JSON with `--json`; the exit code is 1 where a
command that was waited for was not done.
"""

import json
import os
from base64 import b64encode
from collections.abc import Callable
from pathlib import Path
from typing import Annotated
from urllib.parse import quote

import msgspec
import typer
from rich.table import Column

from edge.commands.book import DEFAULT_TTL_S
from edge.config import EdgeConfig
from edge.firmware.rollouts import DEFAULT_HALT_PERCENT
from sensors.commands import Argument, CommandName
from sensors.firmware import FirmwareError, decode_manifest
from tidegate.config import load
from tidegate.console import make_table, stdout_console
from tidegate.edge_access import Asking, Document, running, wait_s
from tidegate.edge_tables import plain, when
from tidegate.errors import EXIT_FAILED, ConfigError, Problem
from tidegate.options import ConfigOption

LOOK_EVERY_S = 0.5

command = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
firmware = typer.Typer(no_args_is_help=True, rich_markup_mode=None)

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
DeviceArgument = Annotated[str, typer.Argument(metavar="SITE/DEVICE", help="As `tidegate edge ledger` names it.")]
IdArgument = Annotated[str, typer.Argument(metavar="ID", help="From `command list`.")]
ImageArgument = Annotated[str, typer.Argument(metavar="IMAGE", help="Its version, or its SHA-256.")]


@command.command()
def send(
    device: DeviceArgument,
    name: Annotated[CommandName, typer.Argument(metavar="NAME", help="What to do.")],
    config: ConfigOption = None,
    interval_s: Annotated[float | None, typer.Option(help="For set-interval: seconds between two samples.")] = None,
    ttl_s: Annotated[int, typer.Option(help="For how long it may wait for the device, in seconds.")] = DEFAULT_TTL_S,
    wait: Annotated[float | None, typer.Option(metavar="SECONDS", help="Wait so long for what becomes of it.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Tell a device something: it waits until the device is heard, and is repeated until it answers."""
    if (interval_s is None) == (name is CommandName.SET_INTERVAL):
        raise typer.BadParameter("set-interval takes --interval-s, and nothing else does")
    if name is CommandName.START_UPDATE:
        raise typer.BadParameter("updates are started with `tidegate edge firmware rollout`")
    path = _commands(device)
    args: dict[str, Argument] = {} if interval_s is None else {"interval_s": interval_s}
    with running(_settings(config)) as gateway:
        told = gateway.ask("POST", path, body={"name": name.value, "args": args, "ttl_s": ttl_s})
        if wait is not None:
            told = _settled(gateway, path, told, wait)
    _answer(told, [told], _print_commands, as_json=as_json)
    if wait is not None and told["state"] != "acknowledged":
        raise typer.Exit(EXIT_FAILED)


@command.command("list")
def list_commands(device: DeviceArgument, config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """List the newest commands of a device, and what became of them."""
    path = _commands(device)
    with running(_settings(config)) as gateway:
        told = gateway.ask("GET", path)
    _answer(told, told["commands"], _print_commands, as_json=as_json)


@command.command()
def show(
    device: DeviceArgument, command_id: IdArgument, config: ConfigOption = None, as_json: JsonOption = False
) -> None:
    """Show one command."""
    path = f"{_commands(device)}/{quote(command_id, safe='')}"
    with running(_settings(config)) as gateway:
        told = gateway.ask("GET", path)
    _answer(told, [told], _print_commands, as_json=as_json)


@command.command()
def cancel(
    device: DeviceArgument, command_id: IdArgument, config: ConfigOption = None, as_json: JsonOption = False
) -> None:
    """Call a command back; one that was sent already may be done all the same."""
    path = f"{_commands(device)}/{quote(command_id, safe='')}"
    with running(_settings(config)) as gateway:
        told = gateway.ask("DELETE", path)
    _answer(told, [told], _print_commands, as_json=as_json)
    if told["state"] != "cancelled":
        raise typer.Exit(EXIT_FAILED)


@firmware.command()
def add(
    image: Annotated[Path, typer.Argument(metavar="IMAGE", help="The image, as `tidegate firmware sign` took it.")],
    manifest: Annotated[
        Path | None, typer.Option("--manifest", help="Its manifest; else IMAGE.manifest.json beside it.")
    ] = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Give the gateway an image for its devices."""
    beside = manifest or image.with_name(image.name + ".manifest.json")
    try:
        signed, content = decode_manifest(beside.read_bytes()), image.read_bytes()
    except FirmwareError as error:
        raise ConfigError((Problem("", str(beside), str(error)),)) from None
    except OSError as error:
        raise ConfigError((Problem("", str(error.filename), f"cannot be read: {error.strerror}"),)) from None
    body = {"manifest": msgspec.to_builtins(signed), "image_base64": b64encode(content).decode()}
    with running(_settings(config)) as gateway:
        told = gateway.ask("POST", "/firmware", body=body)
    _answer(told, [told], _print_images, as_json=as_json)


@firmware.command("list")
def list_firmware(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """List images, rollouts, and how many devices run which version."""
    with running(_settings(config)) as gateway:
        told = gateway.ask("GET", "/firmware")
    if as_json:
        typer.echo(json.dumps(told, indent=2))
        return
    _print_images(told["images"])
    _print_rollouts(told["rollouts"])
    for version, count in sorted(told["running"].items()):
        stdout_console().print(plain(f"{version}: {count} devices"))


@firmware.command()
def remove(image: ImageArgument, config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Forget an image; rollouts of it halt."""
    with running(_settings(config)) as gateway:
        told = gateway.ask("DELETE", f"/firmware/{quote(image, safe='')}")
    typer.echo(json.dumps(told, indent=2) if as_json else f"removed: {told['removed']}")


@firmware.command()
def rollout(
    image: ImageArgument,
    devices: Annotated[str, typer.Option("--devices", help="Which: a glob over SITE/DEVICE.")] = "*",
    percent: Annotated[int, typer.Option(min=1, max=100, help="How many of them: 10 for a canary, then more.")] = 100,
    halt_percent: Annotated[
        int, typer.Option("--halt-percent", min=1, max=100, help="Halt when more than so many of those tried fail.")
    ] = DEFAULT_HALT_PERCENT,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Bring an image to devices; the same image and glob again with another percentage widens it."""
    body = {"devices": devices, "percent": percent, "halt_percent": halt_percent}
    with running(_settings(config)) as gateway:
        told = gateway.ask("POST", f"/firmware/{quote(image, safe='')}/rollouts", body=body)
    _answer(told, [told], _print_rollouts, as_json=as_json)


@firmware.command()
def halt(
    number: Annotated[int, typer.Argument(metavar="ROLLOUT", min=1, help="From `firmware list`.")],
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Stop a rollout: what was not sent is called back."""
    with running(_settings(config)) as gateway:
        told = gateway.ask("DELETE", f"/rollouts/{number}")
    _answer(told, [told], _print_rollouts, as_json=as_json)


def _settled(gateway: Asking, path: str, told: Document, for_s: float) -> Document:
    left_s = for_s
    while told["open"] and left_s > 0:
        wait_s(min(LOOK_EVERY_S, left_s))
        left_s -= LOOK_EVERY_S
        told = gateway.ask("GET", f"{path}/{told['id']}")
    return told


def _commands(text: str) -> str:
    """The path of a device's commands."""
    site, _, device = text.partition("/")
    if not (site and device):
        raise typer.BadParameter(f"expected SITE/DEVICE, found {text!r}")
    return f"/devices/{quote(site, safe='')}/{quote(device, safe='')}/commands"


def _answer(told: Document, rows: list[Document], show: Callable[[list[Document]], None], *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(told, indent=2))
    else:
        show(rows)


def _print_commands(rows: list[Document]) -> None:
    id_column, state_column, times_column = (Column(name, no_wrap=True) for name in ("id", "state", "issued, done"))
    table = make_table(id_column, "command", state_column, "sends", times_column, "")
    for row in rows:
        args = " ".join(f"{name}={value}" for name, value in row["args"].items())
        left = f"waits {row['ttl_left_s']} s more" if row["open"] else row["detail"]
        times = when(row["issued_at_ms"])[:19] + (f"\n{when(row['done_at_ms'])[:19]}" if row["done_at_ms"] else "")
        table.add_row(
            plain(row["id"]), plain(f"{row['name']} {args}".strip()), row["state"], str(row["attempts"]), times,
            plain(left),
        )  # fmt: skip
    stdout_console().print(table)


def _print_images(rows: list[Document]) -> None:
    table = make_table("version", "bytes", "for", "SHA-256", "added (UTC)", title="Images", title_justify="left")
    for row in rows:
        types = plain(", ".join(row["device_types"]))
        table.add_row(row["version"], str(row["size"]), types, row["sha256"][:16], when(row["added_at_ms"]))
    stdout_console().print(table)


def _print_rollouts(rows: list[Document]) -> None:
    table = make_table(
        "id", "version", "devices", "percent", "state", "updated", "under way", "failed", "detail",
        title="Rollouts", title_justify="left",
    )  # fmt: skip
    for row in rows:
        counts = (str(row["updated"]), str(row["under-way"]), str(row["failed"]))
        table.add_row(
            str(row["id"]), row["version"], plain(row["devices"]), f"{row['percent']} %", row["state"], *counts,
            plain(row["detail"]),
        )  # fmt: skip
    stdout_console().print(table)
    for row in rows:
        for each in row["tried"]:
            if each["result"] == "failed":
                stdout_console().print(plain(f"{each['site']}/{each['device']}: {each['detail']}"))


def _settings(path: Path | None) -> EdgeConfig:
    """The gateway's configuration. Raises `ConfigError`."""
    return load(EdgeConfig, "EDGE", path, os.environ)
