"""What the commands print tables with.

Promises: nothing of a name, an id or a cause is cut: what is too long for its column goes on in the next line. Where
the output is no terminal (a pipe, a file), a table is as wide as what is in it, so that a line is a row; `COLUMNS` in
the environment wins.
"""

import os
from typing import Any

from rich.console import Console
from rich.table import Column, Table

_PIPE_COLUMNS = 10_000  # wider than any table; rich takes 80 where it finds no terminal


def stdout_console() -> Console:
    """Standard output."""
    out = Console()
    if not out.is_terminal and "COLUMNS" not in os.environ:
        out.width = _PIPE_COLUMNS
    return out


def make_table(*columns: str | Column, **options: Any) -> Table:
    """A table with these columns, by name or as rich has them; `options` as rich's `Table` has them."""
    return Table(*(Column(each, overflow="fold") if isinstance(each, str) else each for each in columns), **options)
