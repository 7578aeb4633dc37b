"""The commands that make another thing of a recording: `tidegate outage edit|plot`.

Promises: the input is never changed; an existing file is not overwritten without `--force`; an error is one line on
standard error and exit code 2.
"""

from fractions import Fraction
from pathlib import Path
from typing import Annotated

import typer

from edge.outages.recording import write_recording
from tidegate.outage.edit import Edit, EditError, apply
from tidegate.outage.edit_text import (
    parse_insertion,
    parse_removal,
    parse_rename,
    parse_setting,
    parse_span,
    parse_time,
)
from tidegate.outage.plot import write_plot
from tidegate.outage.report import written_line
from tidegate.outage.said import BadInputError, one_line_errors, recording_in

REPEAT_MAX = 10_000  # a day's recording for 27 years
Text = str | None
Texts = list[str] | None
REMOVE_HELP = "uplink-3, an outage by its id; or event=close,link=..,from=..,until=.."
SET_HELP = "latency=200ms,bandwidth=20kB/s,loss=2%,link=..,from=..,until=.."
Files = Annotated[list[Path], typer.Argument(metavar="FILE", help="Recordings; several are put behind each other")]
Force = Annotated[bool, typer.Option("--force", help="Overwrite the output file")]


def edit(
    files: Files,
    out: Annotated[Path, typer.Option(help="Where to write the result; packed when the name ends in .gz or .zst")],
    keep: Annotated[Texts, typer.Option(help="Keep only this link; may be repeated")] = None,
    drop: Annotated[Texts, typer.Option(help="Drop this link; may be repeated")] = None,
    rename: Annotated[Texts, typer.Option(help="OLD=NEW, another name for a link")] = None,
    cut_from: Annotated[Text, typer.Option("--from", help="Cut: where the result begins: 90s, 5min, 2h")] = None,
    cut_until: Annotated[Text, typer.Option("--until", help="Cut: where it ends")] = None,
    remove: Annotated[Texts, typer.Option(help=REMOVE_HELP)] = None,
    insert: Annotated[Texts, typer.Option(help="at=60s,for=30s,status=down,cause=timeout,link=uplink")] = None,
    set_values: Annotated[Texts, typer.Option("--set", help=SET_HELP)] = None,
    scale: Annotated[str, typer.Option(help="Every time so many times as late: 0.1, 2 or 1/3")] = "1",
    repeat: Annotated[int, typer.Option(min=1, max=REPEAT_MAX, help="So many times one after another")] = 1,
    shift: Annotated[Text, typer.Option(help="Later by a time, with nothing known before; with -, earlier")] = None,
    title: Annotated[Text, typer.Option(help="Title for the header")] = None,
    *,
    force: Force = False,
) -> None:
    """Make another recording of some: links, cut, remove, insert, set, scale, repeat, shift, in that order."""
    with one_line_errors():
        if out.exists() and not force:
            raise BadInputError(f"{out}: expected a name that is free (or --force)")
        wanted = Edit(
            keep=tuple(keep or ()),
            drop=tuple(drop or ()),
            rename=tuple(parse_rename(each) for each in rename or ()),
            span=parse_span(cut_from, cut_until, "--"),
            removals=tuple(parse_removal(each) for each in remove or ()),
            insertions=tuple(parse_insertion(each) for each in insert or ()),
            settings=tuple(parse_setting(each) for each in set_values or ()),
            scale=_scale(scale),
            repeat=repeat,
            shift_us=_shift(shift),
            title=title,
        )
        recording = apply([recording_in(file) for file in files], wanted)
        write_recording(out, recording)
        typer.echo(written_line(out, recording))


def plot(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A recording, .outage.jsonl, also .gz or .zst")],
    out: Annotated[Path, typer.Option(help="The picture: a .png, .svg or .html")],
    *,
    force: Force = False,
) -> None:
    """Draw what the links did: status, latency, bandwidth and loss over time."""
    with one_line_errors():
        if out.exists() and not force:
            raise BadInputError(f"{out}: expected a name that is free (or --force)")
        recording = recording_in(file)
        write_plot(recording, recording.header.title or file.name, out)
        typer.echo(f"{out}: {out.stat().st_size} bytes")


def _scale(text: str) -> Fraction:
    try:
        scale = Fraction(text)
    except (ValueError, ZeroDivisionError):
        scale = Fraction(0)
    if scale <= 0:
        raise EditError("--scale", f"a number over 0 such as 0.1, 2 or 1/3, found {text!r}")
    return scale


def _shift(text: str | None) -> int:
    if text is None:
        return 0
    sign = -1 if text.startswith("-") else 1
    return sign * parse_time(text.removeprefix("-"), "--shift")
