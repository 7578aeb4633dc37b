"""`tidegate edge ...`: questions to a gateway. The front door mounts `app` under `edge`, beside `run`.

    explain TOPIC PAYLOAD    what a message would become, and which rule takes it

Answers are tables for people, or JSON with `--json`; the exit code is 1 where the answer is bad news.
"""

import json
import os
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from edge.config import EdgeConfig
from edge.mapping.explain import explain as explain_message
from sensors.clock import SystemClock
from tidegate import edge_tables
from tidegate.config import load
from tidegate.errors import EXIT_FAILED
from tidegate.options import ConfigOption

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]


def print_json(document: object) -> None:
    """The one way in which these commands print JSON."""
    typer.echo(json.dumps(document, indent=2))


def edge_config(path: Path | None) -> EdgeConfig:
    """The gateway's configuration, as `tidegate edge run` would read it. Raises `ConfigError`."""
    return load(EdgeConfig, "EDGE", path, os.environ)


@app.command()
def explain(
    topic: Annotated[str, typer.Argument(help="The topic as the device publishes it.")],
    payload: Annotated[str, typer.Argument(help="The payload; @FILE reads it from a file, @- from standard input.")],
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what a message would become and which rule takes it, or why none does."""
    settings = edge_config(config)
    told = explain_message(
        settings.mapping, settings.mqtt.topic_root, topic, _payload(payload), SystemClock().wall_ms()
    )
    if as_json:
        print_json(told.document())
    else:
        edge_tables.print_explanation(Console(), told)
    if not told.is_understood:
        raise typer.Exit(EXIT_FAILED)


def _payload(text: str) -> bytes:
    if text == "@-":
        return sys.stdin.buffer.read()
    if text.startswith("@"):
        return Path(text[1:]).read_bytes()
    return text.encode("utf-8", "surrogateescape")
