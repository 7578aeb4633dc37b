"""The front door: the `tidegate` command.

    tidegate edge|cloud|broker run           one part alone, in the foreground, until SIGTERM or Ctrl-C
    tidegate sensors run                     the same for the fleet, with options of its own (tidegate.sensors_cli)
    tidegate battery forecast                how long a fleet's batteries will last (tidegate.battery_cli)
    tidegate edge status|ledger|quarantine   questions to a gateway's store (tidegate.edge_cli)
    tidegate demo                            all parts at once (tidegate.demo.cli)
    tidegate outage ...                      recordings of outages (tidegate.outage.cli)
    tidegate bench ingest|drain              what a gateway takes in and drains here (tidegate.bench.cli)

Promises: help is quick, because a command's modules are imported only when that command is called; results go to
standard output, everything else to standard error; every error is said once, at the top, in one line per problem, with
the exit code that docs/cli.md gives it.
"""

import importlib
import importlib.metadata
import json
import logging
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Final, NoReturn

import typer

from tidegate.options import (
    CheckConfigOption,
    ConfigOption,
    LogFormat,
    LogFormatOption,
    LogLevel,
    LogLevelOption,
)

_COMPLETION_VARIABLE: Final = "_TIDEGATE_COMPLETE"  # set by the shell while it asks for completions


@dataclass(frozen=True, slots=True)
class _Group:
    """A first word after `tidegate`. `module`, if any, has a typer `app` with more commands of that word."""

    name: str
    text: str
    part: str | None = None
    module: str | None = None


GROUPS: Final = (
    _Group(
        "demo",
        "Everything at once: devices, broker, gateway, an outage, cloud, and the proof.",
        None,
        "tidegate.demo.cli",
    ),
    _Group("sensors", "The fleet of simulated devices.", None, "tidegate.sensors_cli"),
    _Group("battery", "Batteries: how long those of a fleet will last.", None, "tidegate.battery_cli"),
    _Group("edge", "The gateway: run it, or ask its store.", part="edge", module="tidegate.edge_cli"),
    _Group("cloud", "The embedded cloud, for development and small sites.", part="cloud"),
    _Group("broker", "The embedded MQTT broker, for the demo only.", part="broker"),
    _Group("firmware", "Keys and signatures of firmware images.", None, "tidegate.firmware_cli"),
    _Group("bench", "What a gateway takes in and drains on this machine.", None, "tidegate.bench.cli"),
    _Group("outage", "Recordings of outages: record, import, look at, replay.", None, "tidegate.outage.cli"),
)


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and end the process with its exit code. The one top of the process."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        build_app(words)(args=words, prog_name="tidegate")
    except Exception as error:  # noqa: BLE001  the top of the process: whatever it is, it is said once
        from tidegate.process import explain

        if logging.getLogger().isEnabledFor(logging.DEBUG):
            traceback.print_exception(error)
        code, text = explain(error)
        for line in text.splitlines():
            typer.echo(f"error: {line}", err=True)
        sys.exit(code)
    sys.exit(0)


def build_app(words: Sequence[str]) -> typer.Typer:
    """The command tree for one command line: only what `words` calls has its modules imported.

    `["--all"]`, and a shell's completion, ask for all of them.
    """
    app = typer.Typer(
        name="tidegate",
        help="An IoT edge gateway for links that come and go: it loses nothing, and can prove it.",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
        context_settings={"help_option_names": ["--help", "-h"]},
    )
    app.callback()(_root)
    group_called, command_called, *_ = [*(word for word in words if not word.startswith("-")), None, None]
    wants_all = "--all" in words[:1] or _COMPLETION_VARIABLE in os.environ
    for group in GROUPS:
        if wants_all or group_called == group.name:
            group_app = _group_app(group, runs_part=command_called == "run" and not wants_all)
        else:
            group_app = typer.Typer(callback=_nothing)
        app.add_typer(group_app, name=group.name, help=group.text)
    return app


def _group_app(group: _Group, *, runs_part: bool) -> typer.Typer:
    """The group's commands; `runs_part` spares the import of its module, of which `run` needs nothing."""
    if group.module is not None and group.part is None:
        loaded = importlib.import_module(group.module).app
        assert isinstance(loaded, typer.Typer)  # noqa: S101
        return loaded
    app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
    if group.part is not None:
        app.command("run", help=f"{group.text} Runs until SIGTERM or Ctrl-C.")(_run_command(group.part))
    if group.module is not None and not runs_part:
        app.add_typer(importlib.import_module(group.module).app)
    return app


def _nothing() -> None:
    """The body of a group that is listed but not called."""


def _show_version(value: bool) -> None:
    if value:
        typer.echo(f"tidegate {importlib.metadata.version('tidegate')}")
        raise typer.Exit


def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version and end.")
    ] = False,
) -> None:
    """Nothing to do before a command: `--version` has its own callback."""


def _run_command(part_name: str) -> Callable[..., None]:
    def run(
        config: ConfigOption = None,
        check_config: CheckConfigOption = False,
        log_format: LogFormatOption = LogFormat.HUMAN,
        log_level: LogLevelOption = LogLevel.INFO,
    ) -> None:
        from sensors.imports import uncollected

        with uncollected():
            from tidegate import logs
            from tidegate.config import effective, load
            from tidegate.parts import PARTS
            from tidegate.process import named_by_kind, run_until_signal

            logs.set_up(log_format, log_level)
            part = PARTS[part_name]()
        settings = load(part.model, part.section, config, os.environ)
        if check_config:
            typer.echo(json.dumps(effective(settings), indent=2))
            return
        with named_by_kind(part.taken, part.misconfigured):
            run_until_signal(lambda stop: part.start(settings, stop))

    return run


if __name__ == "__main__":
    main()
