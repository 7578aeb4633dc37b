"""The commands that live through recordings: `tidegate outage replay|swarm|shrink`.

Promises: results go to standard output, as text or with `--json` as JSON; exit code 0 if every promise was kept, 1 if
one was broken, 2 if a run proves nothing (its faults met no traffic) or the input cannot be used.
"""

import json
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from edge.outages.recording import Recording, read_recording, write_recording
from tidegate.outage.replay_plot import write_plot
from tidegate.outage.replay_report import verdict_lines
from tidegate.outage.said import BadInputError, one_line_errors
from tidegate.outage.swarm import SeedResult, live_seed, run_swarm
from tidegate.replay import make_scenario, read_site
from tidegate.replay import replay as live_through
from tidegate.replay.run import run
from tidegate.replay.shrink import TRIES_MAX
from tidegate.replay.shrink import shrink as make_small
from tidegate.replay.verdict import Verdict

Files = Annotated[list[Path], typer.Argument(metavar="FILE...", help="Recordings, .outage.jsonl, also .gz or .zst")]
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


def replay(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Recordings, .outage.jsonl, also .gz or .zst")],
    site: SitePath = None,
    seed: Seed = 1,
    plot: Annotated[Path | None, typer.Option(help="Draw the run: a .png, .svg or .html (of one recording)")] = None,
    speed: Annotated[str, typer.Option(help="Always max: virtual time waits for nobody")] = SPEED_MAX,
    *,
    as_json: AsJson = False,
) -> None:
    """Live through recordings with the real gateway core in virtual time, and print the verdict."""
    with one_line_errors():
        if speed != SPEED_MAX:
            raise BadInputError(
                f"--speed: expected {SPEED_MAX}, found {speed} (real time: tidegate outage proxy --speed)"
            )
        if plot is not None and len(files) != 1:
            raise BadInputError(f"--plot: expected one recording, found {len(files)}")
        config = read_site(site)
        recordings = {file: read_recording(file) for file in files}
    verdicts: dict[str, Verdict] = {}
    for file, recording in recordings.items():
        verdict = verdicts[str(file)] = live_through(recording, config, seed=seed)
        if not as_json:
            typer.echo("\n".join(verdict_lines(str(file), verdict)))
        if plot is not None:
            with one_line_errors():
                write_plot(verdict, _title(file, verdict), plot)
    if as_json:
        typer.echo(json.dumps({name: verdict.to_json() for name, verdict in verdicts.items()}, indent=2))
    raise typer.Exit(exit_code(verdicts.values()))


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
    file: Annotated[Path, typer.Argument(help="A recording whose replay fails")],
    out: Annotated[Path, typer.Option(help="Where to write the minimal recording; its test goes beside it")],
    site: SitePath = None,
    seed: Seed = 1,
    tries: Annotated[int, typer.Option(min=1, help="Replays at most")] = TRIES_MAX,
    *,
    force: Annotated[bool, typer.Option("--force", help="Overwrite the files")] = False,
) -> None:
    """Make a failing recording small, and write it with a test that replays it."""
    test = out.with_name(f"test_{re.sub('[^a-z0-9]+', '_', out.name.split('.')[0].lower())}.py")
    with one_line_errors():
        for path in (out, test):
            if path.exists() and not force:
                raise BadInputError(f"{path}: expected a name that is free (or --force)")
        config, recording = read_site(site), read_recording(file)
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
