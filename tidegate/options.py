"""The options that several commands share, so that they read the same everywhere. Imports nothing heavy."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class LogFormat(StrEnum):
    """How log lines look."""

    HUMAN = "human"
    JSON = "json"


class LogLevel(StrEnum):
    """From which level on lines are written."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


ConfigOption = Annotated[
    Path | None, typer.Option("--config", metavar="FILE.toml", help="Configuration file; without it, the defaults.")
]
CheckConfigOption = Annotated[
    bool, typer.Option("--check-config", help="Validate, print the effective configuration (secrets masked), and end.")
]
LogFormatOption = Annotated[LogFormat, typer.Option("--log-format", help="Log lines for people or for machines.")]
LogLevelOption = Annotated[
    LogLevel, typer.Option("--log-level", help="Lowest level that is logged; debug also shows tracebacks.")
]
