"""The pytest plugin: a test marked with an outage gets the gateway that lived through it.

    @pytest.mark.outage("tunnel.outage.jsonl", site="site.toml", seed=7)
    def test_nothing_is_lost(gateway_under): gateway_under.assert_passed()

Promises: loads nothing but pytest until a marked test runs (`tidegate.testing.under` has the rest); a mark that cannot
be used is an error of collection, or of the test's set-up, that names the argument and what was expected.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from edge.ledger_report import LedgerReport
    from tidegate.testing.under import CloudAfter, FleetAfter, GatewayUnder

MARK = "outage"
MODES = ("none", "new", "all")
SPEED_MAX = "max"
FIXTURES = ("gateway_under", "cloud", "fleet", "ledger")
ARGUMENTS = ("speed", "site", "seed", "faults")
ENDINGS = (".outage.jsonl", ".outage.jsonl.gz", ".outage.jsonl.zst")
_UNDER = pytest.StashKey["GatewayUnder"]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--outage-record`."""
    group = parser.getgroup("tidegate", "outages replayed by Tidegate")
    group.addoption(
        "--outage-record",
        choices=MODES,
        default="none",
        help="snapshots of verdicts: none: compare only; new: write those that are missing; all: write all anew",
    )


def pytest_configure(config: pytest.Config) -> None:
    """The mark is known."""
    config.addinivalue_line(
        "markers",
        "outage(recording, ..., speed='max', site=None, seed=1, faults=()): replay recordings, or all of a folder",
    )


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Several recordings, or a folder of them: one test each, with the file's name as its id."""
    mark = metafunc.definition.get_closest_marker(MARK)
    if mark is None:
        return
    try:
        if "gateway_under" not in metafunc.fixturenames:
            _check_it_is_no_mark_of_its_own(mark, metafunc)
            return
        _check(mark)
        paths = [path for name in mark.args for path in _recordings(metafunc.definition.path.parent, name)]
    except ValueError as error:
        raise pytest.Collector.CollectError(f"{metafunc.definition.nodeid}: {error}") from None
    if len(mark.args) > 1 or not paths or paths[0] != metafunc.definition.path.parent / mark.args[0]:
        metafunc.parametrize("gateway_under", paths, indirect=True, ids=[_id(path) for path in paths])


def _check_it_is_no_mark_of_its_own(mark: pytest.Mark, metafunc: pytest.Metafunc) -> None:
    """A test that asks for nothing lives through nothing, and would pass; a class may mark such a one as well.

    Raises `ValueError`.
    """
    if mark in metafunc.definition.own_markers:
        raise ValueError(
            f"outage: expected one of the fixtures {', '.join(FIXTURES)}: without, nothing is lived through"
        )


def _check(mark: pytest.Mark) -> None:
    """Raises `ValueError`."""
    if not mark.args:
        raise ValueError("outage: expected the name of a recording, or of a folder of recordings")
    for name in mark.kwargs:
        if name not in ARGUMENTS:
            raise ValueError(f"outage: {name}: expected one of {', '.join(ARGUMENTS)}")
    speed = mark.kwargs.get("speed", SPEED_MAX)
    if speed != SPEED_MAX and (not isinstance(speed, int | float) or isinstance(speed, bool) or speed <= 0):
        raise ValueError(f"outage: speed: expected 'max' (virtual time), or a number (of processes), found {speed!r}")
    seed = mark.kwargs.get("seed", 1)
    if not isinstance(seed, int) or isinstance(seed, bool):
        raise ValueError(f"outage: seed: expected an integer, found {seed!r}")


def _recordings(folder: Path, name: object) -> list[Path]:
    """The recording of this name, or all in the folder of this name. Raises `ValueError`."""
    if not isinstance(name, str | Path):
        raise ValueError(f"outage: recording: expected the path of a file or folder, found {name!r}")
    path = folder / name
    if path.is_file():
        return [path]
    found = sorted(each for each in path.iterdir() if each.name.endswith(ENDINGS)) if path.is_dir() else []
    if not found:
        raise ValueError(
            f"outage: recording: expected a file, or a folder with {', '.join(ENDINGS)}, found none at {path}"
        )
    return found


def _id(path: Path) -> str:
    """The file's name without the ending."""
    return next((path.name.removesuffix(ending) for ending in ENDINGS if path.name.endswith(ending)), path.name)


@pytest.fixture
def gateway_under(request: pytest.FixtureRequest) -> GatewayUnder:
    """The gateway under the outage of the mark; it lives through it when it is first asked."""
    from tidegate.testing.under import GatewayUnder, UnusableError

    mark = request.node.get_closest_marker(MARK)
    if mark is None:
        pytest.fail(
            'gateway_under: expected the mark @pytest.mark.outage("...outage.jsonl") on the test', pytrace=False
        )
    path = getattr(request, "param", None) or request.node.path.parent / mark.args[0]
    given: Mapping[str, Any] = mark.kwargs
    try:
        under = GatewayUnder.prepare(
            path,
            folder=request.node.path.parent,
            site=given.get("site"),
            seed=given.get("seed", 1),
            faults=given.get("faults", ()),
            speed=None if given.get("speed", SPEED_MAX) == SPEED_MAX else float(given["speed"]),
            snapshot=request.node.path.with_suffix(".verdicts") / f"{_file_name(request.node.nodeid)}.json",
            mode=request.config.getoption("--outage-record"),
        )
    except UnusableError as error:
        raise pytest.fail.Exception(f"outage: {error}", pytrace=False) from None
    request.node.stash[_UNDER] = under
    return under


def _file_name(nodeid: str) -> str:
    """The test's name with that of its class: two classes may have tests of one name."""
    name = nodeid.partition("::")[2].replace("::", ".")
    return "".join(each if each.isalnum() or each in "-_" else "." for each in name).strip(".")


@pytest.fixture
def cloud(gateway_under: GatewayUnder) -> CloudAfter:
    """What is in the cloud after the run."""
    return gateway_under.cloud


@pytest.fixture
def fleet(gateway_under: GatewayUnder) -> FleetAfter:
    """What the devices measured, and what was acknowledged to them."""
    return gateway_under.fleet


@pytest.fixture
def ledger(gateway_under: GatewayUnder) -> LedgerReport:
    """The gateway's own ledger after the run."""
    return gateway_under.ledger


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, Any, Any]:
    """A failing test, or fixture of it, tells what was lived through, and the story of the first broken promise."""
    report: Any = yield
    under = item.stash.get(_UNDER, None)
    if under is not None and report.when != "teardown" and report.failed and under.has_lived:
        report.sections.append(("outage", under.report()))
    return report
