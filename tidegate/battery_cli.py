"""`tidegate battery forecast`: how long the batteries of a fleet will last, what drains them, and what would help.

The work is `firmware_sim.forecast`; here are the options, the tables and the engines. Needs the extra `forecast`.
"""

import os
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tidegate.errors import ConfigError, Problem, TakenError

if TYPE_CHECKING:
    from rich.console import Console

    from firmware_sim.forecast.engine import BlockResult
    from firmware_sim.forecast.plan import Plan, Variant
    from firmware_sim.forecast.report import TypeForecast

AS_IT_IS = "as it is"
YEARS_MAX = 50.0
RUNS_MAX = 1_000_000
DAYS_PER_YEAR = 365.25
YEARS_FROM_DAYS = 1_000.0
DRAINS_SHOWN = 3

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)


class Engine(StrEnum):
    """Where the lives are computed."""

    NUMPY = "numpy"
    RAY = "ray"


@app.callback()
def battery() -> None:
    """Batteries: how long they will last."""


@app.command()
def forecast(
    fleet: Annotated[Path, typer.Argument(metavar="FLEET.toml", help="A fleet, as `tidegate sensors run` takes it.")],
    years: Annotated[float, typer.Option(min=0.01, max=YEARS_MAX, help="How far to look ahead.")] = 10.0,
    runs: Annotated[int, typer.Option(min=1, max=RUNS_MAX, help="Lives per type of device.")] = 1000,
    seed: Annotated[int | None, typer.Option(min=0, help="Instead of the file's own seed.")] = None,
    what_if: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY=VALUE", help="Compare with a change, such as interval_s=3600; may be repeated."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")] = False,
    plot: Annotated[Path | None, typer.Option(metavar="FILE.png|.svg", help="Draw the forecast as well.")] = None,
    engine: Annotated[Engine, typer.Option(help="numpy: here; ray: on a Ray cluster.")] = Engine.NUMPY,
) -> None:
    """Forecast the lifetimes of a fleet's batteries, type by type."""
    from rich.console import Console

    from firmware_sim.build import FleetError
    from firmware_sim.forecast.plan import plan_forecast, summarise
    from firmware_sim.forecast.report import to_json
    from tidegate.process import named_by_kind

    if plot is not None:
        _check_plot(plot)
    variants = _variants(fleet, what_if or [])
    told = Console(stderr=True)
    with named_by_kind((), (FleetError,), source=str(fleet)), told.status("measuring the load of each type"):
        plan = plan_forecast(variants, years=years, runs=runs, seed=seed)
    with told.status(f"living {sum(block.lives for block in plan.blocks)} lives"):
        forecasts = summarise(plan, _run(plan, engine))
    if as_json:
        typer.echo(to_json(forecasts, seed=variants[0].config.seed if seed is None else seed).decode(), nl=False)
    else:
        from tidegate.console import stdout_console

        print_forecasts(stdout_console(), forecasts)
    if plot is not None:
        _save_plot(forecasts, plot)


def _variants(fleet: Path, changes: Sequence[str]) -> "list[Variant]":
    from firmware_sim.forecast.plan import Variant
    from firmware_sim.forecast.what_if import WhatIfError, what_if
    from tidegate.fleet_file import load_fleet, with_recordings

    config = with_recordings(load_fleet(fleet, os.environ), str(fleet))
    try:
        return [Variant(AS_IT_IS, config), *(what_if(config, change) for change in changes)]
    except WhatIfError as error:
        raise ConfigError((Problem("", f"--what-if {error.text}", str(error)),)) from error


def _run(plan: "Plan", engine: Engine) -> "list[BlockResult]":
    from firmware_sim.forecast.engine import run_block

    if engine is Engine.NUMPY:
        return [run_block(block) for block in plan.blocks]
    from firmware_sim.forecast.ray_engine import run_blocks_on_ray

    return run_blocks_on_ray(plan.blocks)


def _check_plot(path: Path) -> None:
    """Find out before the work, and not after it, that the picture cannot be made."""
    from firmware_sim.forecast.plot import PlotFileError

    if path.suffix.lower() not in {".png", ".svg"}:
        raise ConfigError((Problem("", "--plot", str(PlotFileError(path))),))
    if not path.resolve().parent.is_dir():
        raise TakenError(f"--plot {path}: cannot be written: its folder is not there")


def _save_plot(forecasts: "Sequence[TypeForecast]", path: Path) -> None:
    from firmware_sim.forecast.plot import save_plot

    try:
        save_plot(forecasts, path)
    except OSError as error:
        raise TakenError(f"--plot {path}: cannot be written: {error.strerror}") from error


def print_forecasts(console: "Console", forecasts: "Sequence[TypeForecast]") -> None:
    """The lifetimes, then what drains the batteries; with what-if changes, each under the fleet as it is."""
    from rich.box import SIMPLE
    from rich.text import Text

    from tidegate.console import make_table

    first = forecasts[0]
    title = f"Battery lifetimes: {first.runs} lives of each type, {_span(first.horizon_days)} ahead"
    lives = make_table("type", "5 %", "median", "", "95 %", "first one", "ended", title=title, box=SIMPLE)
    drains = make_table("type", "load uA", "what drains the battery", "panel", title="Drain", box=SIMPLE)
    for column in (*lives.columns[1:], drains.columns[1]):
        column.justify = "right"
    by_type: dict[str, list[TypeForecast]] = {}
    for each in forecasts:
        by_type.setdefault(each.type, []).append(each)
    for base, each in ((variants[0], each) for variants in by_type.values() for each in variants):
        name = Text(each.type if each is base else f"  {each.variant}")
        days = each.days_by_quantile
        low, middle, high = (_span_or_more(days[key], each) for key in ("p05", "p50", "p95"))
        group = "-" if each.devices == 1 else _span_or_more(each.first_of_group_days, each)
        lives.add_row(name, low, middle, _ratio(each, base), high, group, f"{each.ended_percent:.3g} %")
        panel = "-" if each.harvest_percent is None else f"{each.harvest_percent:.0f} %"
        drains.add_row(name, f"{1000 * each.mean_ma:.4g}", _drains(each), panel)
    console.print(lives)
    console.print("5 %: by then 5 % have ended; first one: median day on which the first of the group ends.")
    console.print(drains)


def _drains(each: "TypeForecast") -> str:
    shown = list(each.drain_percent.items())[:DRAINS_SHOWN]
    if not shown:
        return "nothing: it cannot even start"
    rest = 100 - sum(share for _, share in shown)
    text = ", ".join(f"{state.replace('_', ' ')} {share:.0f} %" for state, share in shown)
    return f"{text}, other {rest:.0f} %" if rest >= 1 else text


def _span(days: float) -> str:
    return f"{days / DAYS_PER_YEAR:.1f} y" if days > YEARS_FROM_DAYS else f"{days:.0f} d"


def _span_or_more(days: float | None, each: "TypeForecast") -> str:
    return f"> {_span(each.horizon_days)}" if days is None else _span(days)


def _ratio(each: "TypeForecast", base: "TypeForecast") -> str:
    ours, theirs = each.days_by_quantile["p50"], base.days_by_quantile["p50"]
    return f"x{ours / theirs:.2f}" if each is not base and ours is not None and theirs else ""
