"""What is said when input cannot be used: one line on standard error, and exit code 2."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

import typer

from edge.outages.recording import Recording, read_recording
from edge.outages.rules import HEADER_LINE, RecordingError, UnknownLinkError
from tidegate.outage.address import AddressError
from tidegate.outage.behaviour import SpeedError
from tidegate.outage.edit import EditError
from tidegate.outage.field import FieldError
from tidegate.outage.generators import GeneratorError
from tidegate.outage.importers.trace import TraceError
from tidegate.outage.picture import PlotError
from tidegate.outage.proxy import ProxyError
from tidegate.outage.splice import JoinError

BAD_INPUT = 2
HEADER_TEXTS = ("title", "source", "licence")  # of a recording that is made: each is an option, too


class BadInputError(ValueError):
    """Input that cannot be used; the message is the whole story."""


_BAD_INPUT_ERRORS = (
    RecordingError,
    UnknownLinkError,
    TraceError,
    GeneratorError,
    AddressError,
    SpeedError,
    ProxyError,
    FieldError,
    PlotError,
    EditError,
    JoinError,
    BadInputError,
)


@contextmanager
def in_file(path: Path) -> Iterator[None]:
    """Put the file's name before what is wrong with a line of it."""
    try:
        yield
    except (RecordingError, TraceError) as error:
        raise BadInputError(f"{path}: {error}") from error


def recording_in(path: Path) -> Recording:
    """Read a recording. Raises `BadInputError` that names the file, and OSError."""
    with in_file(path):
        return read_recording(path)


@contextmanager
def one_line_errors() -> Iterator[None]:
    """Turn what can be wrong with the input into one line and exit code 2."""
    try:
        yield
    except _BAD_INPUT_ERRORS as error:
        if isinstance(error, RecordingError) and error.line == HEADER_LINE and error.field in HEADER_TEXTS:
            _fail(f"--{error.field}: expected {error.expected}")
        _fail(str(error))
    except OSError as error:
        _fail(f"{error.filename or 'file'}: {error.strerror or error}")


def _fail(sentence: str) -> NoReturn:
    typer.echo("error: " + " ".join(sentence.split()), err=True)
    raise typer.Exit(BAD_INPUT)
