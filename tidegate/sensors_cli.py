"""`tidegate sensors run`: the options that every part takes, and those of a fleet (`--for`, `--speed`, `--out`).

In real time the fleet publishes to a broker. With `--out` there is no broker: the fleet runs in virtual time
(`firmware_sim.virtual`), as fast as it can, and its readings go to that file: Parquet if its name ends in `.parquet`,
else lines of JSON.
"""

import asyncio
import json
import os
import re
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, BinaryIO, Final

import typer

from tidegate.errors import ConfigError, Problem, TakenError
from tidegate.options import (
    CheckConfigOption,
    ConfigOption,
    LogFormat,
    LogFormatOption,
    LogLevel,
    LogLevelOption,
)

if TYPE_CHECKING:
    from firmware_sim.config import FleetConfig
    from tidegate.parts import Part

MAX_SPEED: Final = "max"
PARQUET: Final = ".parquet"
_DURATION = re.compile(r"(\d+)(s|m|h|d)\Z")
_SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_MS_PER_S: Final = 1000
_S_MAX: Final = 100 * 366 * 86_400  # no cell of the catalogue lasts longer, and an alarm further off is a slip

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)


@app.callback()
def sensors() -> None:
    """The fleet of simulated devices."""


@app.command("run")
def run(
    fleet: Annotated[
        Path | None, typer.Argument(metavar="[FLEET.toml]", help="The fleet; the same as --config.", show_default=False)
    ] = None,
    config: ConfigOption = None,
    check_config: CheckConfigOption = False,
    for_: Annotated[
        str | None, typer.Option("--for", metavar="30d", help="End by itself after this much of the devices' time.")
    ] = None,
    speed: Annotated[
        str | None,
        typer.Option(metavar="60|max", help="Device seconds per second; max: no broker, as fast as it can."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE.jsonl|.parquet", help="No broker: one line or row for each reading, in this file."),
    ] = None,
    truth: Annotated[
        Path | None, typer.Option(metavar="FILE.ndjson", help="With --out: what was measured, with its faults.")
    ] = None,
    log_format: LogFormatOption = LogFormat.HUMAN,
    log_level: LogLevelOption = LogLevel.INFO,
) -> None:
    """The fleet of simulated devices. Runs until SIGTERM or Ctrl-C, or as long as --for says."""
    from sensors.imports import uncollected

    with uncollected():
        from firmware_sim.build import check_fleet
        from tidegate import logs
        from tidegate.config import effective
        from tidegate.fleet_file import load_fleet, with_recordings
        from tidegate.parts import PARTS
        from tidegate.process import named_by_kind, run_until_signal

        part = PARTS["sensors"]()
    config = _the_one(fleet, config)
    for_s = None if for_ is None else parse_duration(for_)
    factor = None if speed in {None, MAX_SPEED} else parse_speed(str(speed))
    _check_together(speed, for_s, out, truth)
    logs.set_up(log_format, log_level)
    settings = load_fleet(config, os.environ)
    if factor is not None:
        settings = settings.model_copy(update={"speed": factor})
    fleet_of_devices = with_recordings(settings, str(config or ""))
    if check_config:
        with named_by_kind(part.taken, part.misconfigured, source=str(config or "")):
            check_fleet(fleet_of_devices)
        typer.echo(json.dumps(effective(settings), indent=2))
        return
    with named_by_kind(part.taken, part.misconfigured, source=str(config or "")):
        if out is not None and for_s is not None:
            run_until_signal(lambda stop: _run_virtual(fleet_of_devices, for_s, (out, truth), stop))
        else:
            run_until_signal(lambda stop: _run_real(part, fleet_of_devices, for_s, stop))


def parse_duration(text: str) -> int:
    """`90s`, `15m`, `12h` or `30d` as seconds. Raises ConfigError."""
    match = _DURATION.match(text)
    seconds = int(match[1]) * _SECONDS[match[2]] if match else 0
    if not 0 < seconds <= _S_MAX:
        raise _usage("--for", f"expected a duration such as 90s, 15m, 12h or 30d, found {text!r}")
    return seconds


def parse_speed(text: str) -> float:
    """A number of device seconds per second. Raises ConfigError."""
    from firmware_sim.config import SPEED_MAX

    try:
        factor = float(text)
    except ValueError:
        factor = 0.0
    if not 0 < factor <= SPEED_MAX:
        raise _usage("--speed", f"expected {MAX_SPEED}, or a number over 0 and up to {SPEED_MAX:g}, found {text!r}")
    return factor


def _the_one(fleet: Path | None, config: Path | None) -> Path | None:
    if fleet is not None and config is not None:
        raise _usage("--config", f"expected one fleet, found {fleet} and {config}")
    return config if fleet is None else fleet


def _check_together(speed: str | None, for_s: int | None, out: Path | None, truth: Path | None) -> None:
    if speed == MAX_SPEED and out is None:
        raise _usage("--speed max", "expected --out FILE.jsonl beside it: there is no broker to publish to")
    if out is not None and for_s is None:
        raise _usage("--out", "expected --for beside it, such as --for 30d: it has no other end")
    if out is not None and speed not in {None, MAX_SPEED}:
        raise _usage(
            "--out", f"expected no --speed but {MAX_SPEED} beside it: in real time the readings go to the broker"
        )
    if truth is not None and out is None:
        raise _usage(
            "--truth", "expected --out beside it: in real time the file's truth_file says where the truth goes"
        )
    if out is not None and out.suffix == PARQUET:
        import pyarrow.parquet  # noqa: F401 - found out before the work, and not after it


async def _run_real(part: "Part", settings: "FleetConfig", for_s: int | None, stop: asyncio.Event) -> None:
    await part.start(settings if for_s is None else settings.model_copy(update={"measure_s": for_s}), stop)


async def _run_virtual(
    settings: "FleetConfig", for_s: int, files: tuple[Path, Path | None], stop: asyncio.Event
) -> None:
    """In a thread of its own, so that a signal still finds somebody who listens."""
    from dataclasses import asdict

    from firmware_sim.readings_files import JsonLines, ParquetRows
    from firmware_sim.truth import TruthFile
    from firmware_sim.virtual import run_virtual_into

    out, told = files
    with ExitStack() as stack:
        file = stack.enter_context(_opened(out, "--out"))
        if told is not None:
            stack.enter_context(_opened(told, "--truth"))  # a new one each time, as the readings are
        truth = None if told is None else stack.enter_context(closing(TruthFile(told)))
        rows = ParquetRows(file) if out.suffix == PARQUET else JsonLines(file.write)
        job = partial(run_virtual_into, settings, for_s * _MS_PER_S, rows, stop.is_set, truth=truth)
        report = await asyncio.to_thread(job)
    typer.echo(json.dumps(asdict(report), indent=2))


@contextmanager
def _opened(out: Path, option: str) -> Iterator[BinaryIO]:
    try:
        file = out.open("wb")
    except OSError as error:
        raise TakenError(f"{option} {out}: cannot be written: {error.strerror}") from error
    with file:
        yield file


def _usage(option: str, detail: str) -> ConfigError:
    return ConfigError((Problem("", option, detail),))
