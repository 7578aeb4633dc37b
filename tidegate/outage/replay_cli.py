"""The commands that live through recordings: `tidegate outage replay|swarm|shrink`.

Promises: results go to standard output, as text or with `--json` as JSON; exit code 0 if every promise was kept, 1 if
one was broken, 2 if a run proves nothing (its faults met no traffic) or the input cannot be used.
"""

import json
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from edge.outages.recording import Recording, write_recording
from tidegate.outage.replay_plot import check_plot, write_plot
from tidegate.outage.replay_report import verdict_lines
from tidegate.outage.said import BadInputError, one_line_errors, recording_in
from tidegate.outage.swarm import SeedResult, live_seed, run_swarm
from tidegate.replay import SiteConfig, make_scenario, read_site
from tidegate.replay import replay as live_through
from tidegate.replay.run import run
from tidegate.replay.shrink import TRIES_MAX
from tidegate.replay.shrink import shrink as make_small
from tidegate.replay.verdict import Verdict

Files = Annotated[list[Path], typer.Argument(metavar="FILE", help="Recordings, .outage.jsonl, also .gz or .zst")]
SitePath = Annotated[
    Path | None, typer.Option("--site", help="site.toml: gateway, devices and faults; default: 20 devices, 1 a minute")
]
Seed = Annotated[int, typer.Option(help="The same seed gives the same run, byte for byte")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON")]
SPEED_MAX = "max"
REGRESSION_TEST = '''"""A replay of {recording} once broke a promise: {promise}."""

from pathlib import Path

from tidegate.replay import replay

HERE = Path(__file__).parent


def test_the_promise_is_kept() -> None:
    verdict = replay(HERE / "{recording}", {site}, seed={seed})
    assert verdict.passed, "\\n".join([*map(str, verdict.violations), *verdict.story])
'''


class Engine(StrEnum):
    """Who lives through a recording."""

    VIRTUAL = "virtual"
    PROCESSES = "processes"
    BOTH = "both"


def replay(
    files: Annotated[list[Path], typer.Argument(metavar="FILE", help="Recordings, .outage.jsonl, also .gz or .zst")],
    site: SitePath = None,
    seed: Seed = 1,
    plot: Annotated[
        Path | None,
        typer.Option(help="Draw one run: .png, .svg, .html, or .json (for the dashboard)"),
    ] = None,
    engine: Annotated[
        Engine,
        typer.Option(
            help="In virtual time, by real processes, or by both to see whether they agree. The hash of a run of "
            "processes is null in JSON: no two are the same byte for byte"
        ),
    ] = Engine.VIRTUAL,
    speed: Annotated[
        str | None, typer.Option(help="Of processes: recorded seconds in a second, default 1. Virtual time: max")
    ] = None,
    *,
    force: Annotated[bool, typer.Option("--force", help="Overwrite the plot")] = False,
    as_json: AsJson = False,
) -> None:
    """Live through recordings with the real gateway, in virtual time or as processes, and print the verdict."""
    with one_line_errors():
        factor = parse_speed(engine, speed)
        if plot is not None and len(files) != 1:
            raise BadInputError(f"--plot: expected one recording, found {len(files)}")
        if plot is not None:
            check_plot(plot, force=force)
        config = read_site(site)
        recordings = {file: recording_in(file) for file in files}
    verdicts: dict[str, Verdict] = {}
    differ: list[str] = []
    for file, recording in recordings.items():
        lived, disagreements = _live(recording, config, seed, engine, factor)
        differ += disagreements
        for verdict in lived:
            verdicts[str(file) if len(lived) == 1 else f"{file} ({verdict.engine})"] = verdict
            if not as_json:
                typer.echo("\n".join(verdict_lines(str(file), verdict)))
        if engine is Engine.BOTH and not as_json:
            typer.echo("\n".join(disagreements) or "both engines give the same verdict")
        verdict = lived[-1]
        if plot is not None:
            with one_line_errors():
                write_plot(verdict, _title(file, verdict), plot)
    if as_json:
        typer.echo(json.dumps({name: verdict.to_json() for name, verdict in verdicts.items()}, indent=2))
    raise typer.Exit(exit_code(verdicts.values()) or int(bool(differ)))


def parse_speed(engine: Engine, text: str | None) -> float:
    """The speed of processes. Raises `BadInputError`."""
    if engine is Engine.VIRTUAL:
        if text not in (None, SPEED_MAX):
            raise BadInputError(f"--speed: expected {SPEED_MAX} in virtual time, found {text} (or --engine processes)")
        return 1.0
    try:
        return float(text or 1)
    except ValueError:
        raise BadInputError(f"--speed: expected a number with --engine {engine}, found {text}") from None


def _live(
    recording: Recording, site: SiteConfig, seed: int, engine: Engine, speed: float
) -> tuple[list[Verdict], list[str]]:
    """The verdict of each engine that was asked for, and in what two differ."""
    if engine is Engine.VIRTUAL:
        return [live_through(recording, site, seed=seed)], []
    # Here, because processes bring the web client, the proxy and the demo with them, which virtual time does not need.
    from tidegate.demo.settings import DemoError
    from tidegate.replay_processes.agree import differences
    from tidegate.replay_processes.configs import NotForProcessesError
    from tidegate.replay_processes.engine import replay_processes

    scenario = make_scenario(recording, site, seed=seed)
    with one_line_errors():
        try:
            real = replay_processes(recording, scenario, speed=speed)
        except (NotForProcessesError, DemoError) as error:
            raise BadInputError(str(error)) from error
    if engine is Engine.PROCESSES:
        return [real], []
    virtual = live_through(recording, site, seed=seed)
    return [virtual, real], differences(virtual, real, scenario, speed)


def swarm(
    seeds: Annotated[int, typer.Option(min=1, help="How many seeds")] = 1000,
    first: Annotated[int, typer.Option("--from", min=0, help="The first seed")] = 1,
    jobs: Annotated[int | None, typer.Option(min=1, help="How many processes; default: one for each core")] = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Live random fleets over random links with random crashes, full disks and clock steps; name seeds that fail."""
    if seeds == 1:
        verdict = live_seed(first, tell=True)
        name = f"seed {first}"
        typer.echo(json.dumps(verdict.to_json(), indent=2) if as_json else "\n".join(verdict_lines(name, verdict)))
        raise typer.Exit(verdict.exit_code)
    results: list[SeedResult] = []
    for result in run_swarm(first, seeds, jobs or os.cpu_count() or 1):
        results.append(result)
        if not result.passed and not as_json:
            typer.echo(f"seed {result.seed} FAILED: tidegate outage swarm --seeds 1 --from {result.seed}")
            for sentence in result.broken:
                typer.echo(f"  {sentence}")
    if as_json:
        typer.echo(json.dumps([asdict(result) for result in results], indent=2))
    else:
        typer.echo(swarm_line(results))
    raise typer.Exit(int(any(not result.passed for result in results)))


def shrink(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A recording whose replay fails")],
    out: Annotated[Path, typer.Option(help="Where to write the minimal recording; its test goes beside it")],
    site: SitePath = None,
    seed: Seed = 1,
    tries: Annotated[int, typer.Option(min=1, help="Replays at most")] = TRIES_MAX,
    *,
    force: Annotated[bool, typer.Option("--force", help="Overwrite the files")] = False,
) -> None:
    """Make a failing recording small, and write it with a test that replays it."""
    name = re.sub(r"\W+", "_", out.name.partition(".")[0].lower())
    test = out.with_name(f"test_{name}.py")
    with one_line_errors():
        if not out.parent.is_dir():  # which would be a pity after a search of minutes
            raise BadInputError(f"--out: expected a folder that there is, found {out.parent}")
        for path in (out, test):
            if path.exists() and not force:
                raise BadInputError(f"{path}: expected a name that is free (or --force)")
        config, recording = read_site(site), recording_in(file)
        before = live_through(recording, config, seed=seed)
        if before.passed:
            raise BadInputError(f"{file}: expected a recording whose replay fails, this one passes with seed {seed}")
        promise = before.violations[0].promise

        def fails(candidate: Recording) -> bool:
            verdict = run(make_scenario(candidate, config, seed=seed), tell=False)
            return any(violation.promise is promise for violation in verdict.violations)

        found = make_small(recording, fails, tries_max=tries)
        write_recording(out, found.recording)
        test.write_text(regression_test(out, site, seed, promise), encoding="utf-8")
    minimal = "minimal" if found.is_minimal else "as small as the tries allowed"
    sizes = f"{len(recording.events)} events to {len(found.recording.events)}"
    typer.echo(f"{out}: {sizes}, {minimal}, after {found.tries} replays; broken: {promise}")
    typer.echo(f"{test}: the test, red until it is mended")


def regression_test(recording: Path, site: Path | None, seed: int, promise: str) -> str:
    """The text of a test that replays a recording that stands beside it."""
    where = "None" if site is None else f'HERE / "{Path(os.path.relpath(site, recording.parent)).as_posix()}"'
    return REGRESSION_TEST.format(recording=recording.name, site=where, seed=seed, promise=promise)


def swarm_line(results: Sequence[SeedResult]) -> str:
    """What came of a swarm, in one line."""
    failed = sum(not result.passed for result in results)
    invalid = sum(result.passed and not result.valid for result in results)
    readings, faults = (sum(getattr(result, name) for result in results) for name in ("produced", "faults_met"))
    return (
        f"{len(results):,} seeds: {len(results) - failed - invalid:,} passed, {failed:,} failed, "
        f"{invalid:,} proved nothing; {readings:,} readings met {faults:,} faults"
    )


def exit_code(verdicts: Iterable[Verdict]) -> int:
    """That of several runs: broken before proving nothing before kept."""
    codes = {verdict.exit_code for verdict in verdicts}
    return 1 if 1 in codes else max(codes, default=0)


def _title(file: Path, verdict: Verdict) -> str:
    result = "passed" if verdict.passed else "FAILED"
    return f"{file.name}: {result}, {verdict.produced:,} readings, {verdict.missing:,} missing, seed {verdict.seed}"
