"""The command line of outage recordings: `tidegate outage list|show|export|import|generate|stats|timeline|
edit|plot|proxy|replay|swarm|shrink`.

Promises: results go to standard output, as tables or with `--json` as JSON; an error is one line on standard error;
exit code 0 for success, 2 for input that cannot be used. Existing files are not overwritten without `--force`.
"""

import asyncio
import json
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Annotated, Any

import typer
from rich.console import Console

from edge.outages.events import PPM
from edge.outages.recording import Recording, write_recording
from edge.outages.rules import HEADER_LINE, RecordingError
from tidegate.console import make_table, stdout_console
from tidegate.outage import edit_cli, replay_cli
from tidegate.outage.address import parse_address
from tidegate.outage.builder import Provenance
from tidegate.outage.edit_text import parse_link, parse_time
from tidegate.outage.field import Field
from tidegate.outage.field_report import outage_lines, print_field_outages
from tidegate.outage.generators import GENERATORS, generate, make_generator
from tidegate.outage.importers import IMPORTERS
from tidegate.outage.importers.trace import read_trace
from tidegate.outage.proxy import FaultProxy
from tidegate.outage.proxy_run import run_proxy
from tidegate.outage.report import (
    header_facts,
    length,
    link_stats,
    outage_rows,
    segment_rows,
    timeline_text,
    written_line,
)
from tidegate.outage.said import BadInputError, in_file, one_line_errors, recording_in

SECOND_US = 1_000_000
FIELD_ID = re.compile(r"[a-z][a-z0-9_/-]*-[0-9]+")
OUTAGES_SHOWN = 50
"""Rows of `show` on a terminal; `--json` has them all."""

app = typer.Typer(help="Record, import, generate, look at and replay outages of links.", no_args_is_help=True)
for command in (edit_cli.edit, edit_cli.plot, replay_cli.replay, replay_cli.swarm, replay_cli.shrink):
    app.command()(command)

RecordingPath = Annotated[Path, typer.Argument(metavar="FILE", help="A recording, .outage.jsonl, also .gz or .zst")]
OutputPath = Annotated[
    Path, typer.Argument(metavar="OUTPUT", help="Where to write the recording; packed if named .gz or .zst")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of tables")]
Force = Annotated[bool, typer.Option("--force", help="Overwrite the output file")]
LinkOption = Annotated[str | None, typer.Option("--link", help="Name of the link")]
DataDir = Annotated[Path, typer.Option("--data-dir", help="The gateway's store.data_dir; it may be running")]
GatewayUrl = Annotated[str | None, typer.Option("--gateway", help="Ask a running gateway: http://HOST:PORT")]
DEFAULT_DATA_DIR = Path("tidegate-data")


@app.command("import")
def import_trace(
    trace: Annotated[Path, typer.Argument(metavar="TRACE", help="The trace to read; .gz and .zst are unpacked")],
    output: OutputPath,
    trace_format: Annotated[str, typer.Option("--format", help=f"One of: {', '.join(IMPORTERS)}")],
    link: LinkOption = None,
    title: Annotated[str, typer.Option(help="Title for the header")] = "",
    source: Annotated[str, typer.Option(help="Who measured this; some licences ask for it")] = "",
    licence: Annotated[str, typer.Option(help="Licence of the trace, such as ODbL-1.0")] = "",
    *,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Turn a trace of a link into a recording."""
    with one_line_errors():
        importer = IMPORTERS.get(trace_format)
        if importer is None:
            raise BadInputError(f"--format: expected one of {', '.join(IMPORTERS)}, found {trace_format}")
        provenance = Provenance(title, source, licence)
        name = importer.link if link is None else parse_link(link, "--link")
        with in_file(trace), _made_of_a_trace():
            imported = importer.read(read_trace(trace), name, provenance)
        _write(output, imported.recording, force=force)
    _report_written(output, imported.recording, imported.facts, as_json=as_json)


@app.command("generate")
def generate_recording(
    kind: Annotated[str, typer.Argument(metavar="KIND", help=f"One of: {', '.join(GENERATORS)}")],
    output: OutputPath,
    duration: Annotated[str, typer.Option(help="Length: 90s, 5min, 1.5h, 2d, or plain seconds")] = "1d",
    seed: Annotated[int, typer.Option(help="The same seed gives the same recording")] = 0,
    parameters: Annotated[list[str] | None, typer.Option("--set", help="NAME=VALUE, a parameter of the kind")] = None,
    link: LinkOption = None,
    *,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Make up a recording of a kind of link."""
    with one_line_errors():
        pairs = [parameter.partition("=") for parameter in parameters or []]
        generator = make_generator(kind, {name: value for name, _, value in pairs})
        title = f"{kind}, seed {seed}"
        rng = Random(seed)  # noqa: S311  (a link's moods, not secrets)
        name = "uplink" if link is None else parse_link(link, "--link")
        recording = generate(generator, rng, parse_time(duration, "--duration") / SECOND_US, name, title)
        _write(output, recording, force=force)
    _report_written(output, recording, {}, as_json=as_json)


@app.command("list")
def list_outages(data_dir: DataDir = DEFAULT_DATA_DIR, gateway: GatewayUrl = None, *, as_json: AsJson = False) -> None:
    """List the outages that a gateway recorded, the newest first."""
    with one_line_errors():
        kept = Field(data_dir, gateway).outages()
    if as_json:
        _print_json(kept.model_dump(mode="json"))
        return
    print_field_outages(stdout_console(), kept, OUTAGES_SHOWN)


@app.command()
def export(
    output: OutputPath,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    gateway: GatewayUrl = None,
    days: Annotated[float | None, typer.Option(help="Only the last so many days", min=0.0)] = None,
    title: Annotated[str, typer.Option(help="Title for the header")] = "",
    *,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Write what a gateway recorded into a recording file."""
    with one_line_errors():
        recording = Field(data_dir, gateway).recording(days, title)
        _write(output, recording, force=force)
    _report_written(output, recording, {}, as_json=as_json)


@app.command()
def show(
    what: Annotated[str, typer.Argument(metavar="FILE|ID", help="A recording, or the id of an outage from `list`")],
    data_dir: DataDir = DEFAULT_DATA_DIR,
    gateway: GatewayUrl = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Show a recording's header and its outages, or one outage that a gateway recorded."""
    if FIELD_ID.fullmatch(what) and not Path(what).exists():
        _show_outage(Field(data_dir, gateway), what, as_json=as_json)
        return
    file = Path(what)
    with one_line_errors():
        recording = recording_in(file)
    facts, rows = header_facts(recording), outage_rows(recording)
    if as_json:
        _print_json(facts | {"outages": rows})
        return
    console = stdout_console()
    links = ", ".join(f"{link['name']} ({link['kind']})" for link in facts["links"])
    console.print(f"{file.name}: {length(facts['duration_us'])}, {facts['events']} events, links {links}")
    for name in ("started", "title", "source", "licence"):
        if facts.get(name):
            console.print(f"{name}: {facts[name]}", markup=False)
    _print_outages(console, rows)


@app.command()
def stats(file: RecordingPath, *, as_json: AsJson = False) -> None:
    """Figures per link: availability, outages by cause, capacity."""
    with one_line_errors():
        recording = recording_in(file)
    figures = [link_stats(recording, link) for link in recording.link_names]
    if as_json:
        _print_json(figures)
        return
    table = make_table("figure", *(figure["link"] for figure in figures))
    for name in figures[0]:
        if name != "link":
            table.add_row(name.removesuffix("_us").removesuffix("_ppm"), *(_cell(name, f[name]) for f in figures))
    stdout_console().print(table)


@app.command()
def timeline(file: RecordingPath, link: LinkOption = None, *, as_json: AsJson = False) -> None:
    """Print what a link did, a line per change."""
    with one_line_errors():
        recording = recording_in(file)
        chosen = link or recording.link_names[0]
        lines = list(timeline_text(recording, chosen))
    if as_json:
        _print_json(segment_rows(recording, chosen))
        return
    for line in lines:
        typer.echo(line)


@app.command()
def proxy(
    to: Annotated[str, typer.Option("--to", help="The server behind the proxy, HOST:PORT")],
    listen: Annotated[str, typer.Option(help="Where to listen, PORT or HOST:PORT")] = "0",
    recording: Annotated[Path | None, typer.Option(help="The recording to follow")] = None,
    speed: Annotated[float, typer.Option(help="How many times faster than recorded")] = 1.0,
    api: Annotated[str | None, typer.Option(help="Where the control API listens, PORT or HOST:PORT")] = None,
    link: LinkOption = None,
    seed: Annotated[int, typer.Option(help="Seed of the random faults")] = 0,
    *,
    as_json: AsJson = False,
) -> None:
    """Forward TCP connections over a link that behaves as recorded, or as the control API says."""
    with one_line_errors():
        recorded = None if recording is None else recording_in(recording)
        addresses = parse_address(listen, "--listen"), parse_address(to, "--to")
        api_address = None if api is None else parse_address(api, "--api")
        fault_proxy = FaultProxy(*addresses, recorded, link=link, speed=speed, seed=seed)
        asyncio.run(run_proxy(fault_proxy, api_address, lambda line, facts: _say(line, facts, as_json=as_json)))


@contextmanager
def _made_of_a_trace() -> Iterator[None]:
    """What is wrong with the recording is told as such: its lines are not the trace's."""
    try:
        yield
    except RecordingError as error:
        if error.line == HEADER_LINE:
            raise BadInputError(f"--{error.field}: expected {error.expected}") from error
        raise BadInputError(f"makes no recording: {error.field}: expected {error.expected}") from error


def _show_outage(field: Field, outage_id: str, *, as_json: bool) -> None:
    with one_line_errors():
        found = [outage for outage in field.outages().outages if outage.id == outage_id]
        if not found:
            raise BadInputError(f"{outage_id}: expected a file, or the id of an outage that `outage list` shows")
    if as_json:
        _print_json(found[0].model_dump(mode="json"))
        return
    for line in outage_lines(found[0]):
        typer.echo(line)


def _write(output: Path, recording: Recording, *, force: bool) -> None:
    if output.exists() and not force:
        raise BadInputError(f"{output}: expected a name that is free (or --force)")
    write_recording(output, recording)


def _report_written(output: Path, recording: Recording, facts: dict[str, int], *, as_json: bool) -> None:
    if as_json:
        size = output.stat().st_size
        _print_json({"file": str(output), "bytes": size, "duration_us": recording.end_us, "counted": facts})
        return
    typer.echo(written_line(output, recording))
    if facts:
        typer.echo("counted: " + ", ".join(f"{value} {name}" for name, value in facts.items()))


def _print_outages(console: Console, rows: list[dict[str, Any]]) -> None:
    table = make_table("id", "start", "duration", "at least", "at most", "cause", "ended")
    for row in rows[:OUTAGES_SHOWN]:
        cause = row["cause"] + (f" {row['http_status']}" if row["http_status"] else "")
        shortest, longest = row["duration_bounds_us"]
        spans = (_seconds(row["start_us"]), *map(length, (row["duration_us"], shortest, longest)))
        table.add_row(row["id"], *spans, cause, row["ended"])
    console.print(table if rows else "no outages")
    if len(rows) > OUTAGES_SHOWN:
        console.print(f"and {len(rows) - OUTAGES_SHOWN} more outages (--json shows all)")


def _cell(name: str, value: object) -> str:
    if value is None:
        return "unknown"
    if name.endswith("_us"):
        return length(int(str(value)))
    if name.endswith("_ppm"):
        return f"{int(str(value)) * 100 / PPM:.3f} %"
    if isinstance(value, dict):
        return ", ".join(f"{count} {cause}" for cause, count in value.items()) or "none"
    return str(value)


def _seconds(microseconds: int) -> str:
    return f"{microseconds / SECOND_US:.1f} s"


def _print_json(value: object) -> None:
    typer.echo(json.dumps(value, indent=2))


def _say(line: str, facts: dict[str, Any], *, as_json: bool) -> None:
    typer.echo(json.dumps(facts) if as_json else line)
    sys.stdout.flush()
