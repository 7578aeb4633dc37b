"""What all pictures have in common: the formats, the library that draws, the unit of a time axis.

matplotlib does the drawing. It comes with the extra `plot` and is imported only here and only when a plot is asked for.
Promises: what is written names no file, no machine and no moment, so equal data give equal pictures.
"""

import html
import io
from pathlib import Path
from types import ModuleType
from typing import Any

from sensors.svg import SALT, named_in_order

FORMATS = (".png", ".svg", ".html")
DPI = 120
UNITS = ((86_400_000, "days"), (3_600_000, "hours"), (60_000, "minutes"), (1_000, "seconds"))
AT_LEAST = 3  # of a unit, before it is the axis's unit


class PlotError(ValueError):
    """A plot cannot be made: the message says what to do."""


def picture_format(path: Path, option: str) -> str:
    """The ending that says the format. Raises `PlotError`."""
    kind = path.suffix.lower()
    if kind not in FORMATS:
        raise PlotError(f"{option}: expected a name that ends in one of {', '.join(FORMATS)}, found {path.name}")
    return kind


def check_free(path: Path, option: str, *, force: bool) -> None:
    """Before work is done for a picture: whether it can be written then. Raises `PlotError`."""
    if path.exists() and not force:
        raise PlotError(f"{option}: expected a name that is free (or --force), found {path}")
    if not path.parent.is_dir():
        raise PlotError(f"{option}: expected a folder that there is, found {path.parent}")


def load_matplotlib(option: str) -> ModuleType:
    """The library. Raises `PlotError` where it is not installed."""
    try:
        import matplotlib.figure
    except ImportError:
        raise PlotError(f"{option}: expected matplotlib: pip install 'tidegate[plot]'") from None
    return matplotlib


def save(figure: Any, title: str, path: Path, kind: str) -> None:
    """Write the figure. Raises `OSError`."""
    import matplotlib as mpl

    if kind == ".png":
        figure.savefig(path, format="png", dpi=DPI)
        return
    drawn = io.StringIO()
    with mpl.rc_context({"svg.hashsalt": SALT}):
        figure.savefig(drawn, format="svg", metadata={"Date": None})
    svg = named_in_order(drawn.getvalue())
    path.write_text(svg if kind == ".svg" else _page(title, svg[svg.index("<svg") :]), encoding="utf-8")


def span_unit(span_ms: int) -> tuple[int, str]:
    """The largest unit of which a span has some: its milliseconds, and its name."""
    return next(((size, name) for size, name in UNITS if span_ms >= AT_LEAST * size), (1000, "seconds"))


def _page(title: str, svg: str) -> str:
    return (
        f'<!doctype html>\n<html lang="en"><meta charset="utf-8"><title>{html.escape(title)}</title>'
        "<style>body{margin:2em auto;max-width:1200px;font-family:sans-serif}svg{width:100%;height:auto}</style>"
        f"\n{svg}</html>\n"
    )
