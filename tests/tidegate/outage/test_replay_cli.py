"""`tidegate outage replay|swarm|shrink`: what is printed, what is written, and with which exit code it ends."""

import builtins
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from typer.testing import CliRunner

from edge.outages.events import Cause, End, Link, LinkKind, Status, Transition
from edge.outages.recording import Recording, make_header, read_recording, write_recording
from tests.uncounted import uncounted_call
from tidegate.outage import replay_cli
from tidegate.outage.cli import app
from tidegate.outage.picture import PlotError, load_matplotlib
from tidegate.outage.replay_plot import OFF_COLOUR, _draw, write_plot
from tidegate.outage.replay_report import size, span, verdict_lines
from tidegate.replay import GatewayCrash, SiteConfig, Verdict, replay
from tidegate.replay.history import Promise, Violation
from tidegate.replay.run import run

US_PER_S = 1_000_000
SMALL = "[fleet]\ndevices = 2\ninterval_s = 5\n"
HOPELESS = (
    "[windows]\nsizes_s = []\n" + SMALL + "[replay]\nconverge_s = 1\n"
)  # a link that comes back while the gateway waits out its back-off


@pytest.fixture
def tunnel(tmp_path: Path) -> Path:
    """A recording with one outage that lasts until its end."""
    link = [Link("uplink", LinkKind.UPLINK)]
    events = (
        Transition(0, "uplink", Status.UP),
        Transition(60 * US_PER_S, "uplink", Status.DOWN, Cause.REFUSED),
        Transition(290 * US_PER_S, "uplink", Status.UP),
        Transition(291 * US_PER_S, "uplink", Status.DOWN, Cause.REFUSED),
    )
    write_recording(tmp_path / "tunnel.outage.jsonl", Recording(make_header(link), (*events, End(300 * US_PER_S))))
    (tmp_path / "site.toml").write_text(SMALL)
    (tmp_path / "hopeless.toml").write_text(HOPELESS)
    return tmp_path / "tunnel.outage.jsonl"


def invoke(*words: object) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, [str(word) for word in words])
    return result.exit_code, result.stdout, result.stderr


def test_a_replay_prints_the_verdict_and_ends_with_0(tunnel: Path) -> None:
    code, said, _ = invoke("replay", tunnel, "--site", tunnel.with_name("site.toml"))
    assert code == 0
    assert said.startswith(f"{tunnel}: passed (")
    assert "120 produced, 120 acknowledged, 120 in the cloud, 0 missing" in said
    assert "refused for 3.83 min" in said
    assert "sha256 " in said


def test_json_is_the_whole_verdict(tunnel: Path) -> None:
    code, said, _ = invoke("replay", tunnel, "--site", tunnel.with_name("site.toml"), "--json", "--seed", 4)
    assert code == 0
    assert json.loads(said)[str(tunnel)]["missing"] == 0
    assert json.loads(said)[str(tunnel)]["seed"] == 4


def test_a_broken_promise_ends_with_1_and_tells_its_story(tunnel: Path) -> None:
    code, said, _ = invoke("replay", tunnel, "--site", tunnel.with_name("hopeless.toml"))
    assert code == 1
    assert "FAILED" in said
    assert "the backlog returns to zero: at " in said
    story = said.partition("the story (")[2]
    steps = ("measures 1/", "is committed", "is acknowledged", "broken: acknowledged arrives in the cloud")
    places = [story.find(f" {step}", story.find(">>>")) for step in steps]
    assert places == sorted(places)
    assert -1 not in places


def test_a_run_that_proves_nothing_ends_with_2(tunnel: Path) -> None:
    tunnel.with_name("site.toml").write_text("[fleet]\ndevices = 1\ninterval_s = 3600\n")
    code, said, _ = invoke("replay", tunnel, "--site", tunnel.with_name("site.toml"))
    assert code == 2
    assert "INVALID" in said


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (("--speed", "10"), "--speed"),
        (("--plot", "out.gif"), "--plot"),
        (("tunnel.outage.jsonl", "--plot", "out.png"), "--plot"),
        (("--plot", "no-such-folder/out.json"), "--plot: expected a folder that there is, found no-such-folder"),
        (("--plot", str(Path(__file__))), "--plot: expected a name that is free (or --force)"),
    ],
)
def test_what_cannot_be_used_is_one_line(tunnel: Path, words: tuple[str, ...], named: str) -> None:
    code, said, complaint = invoke("replay", tunnel, "--site", tunnel.with_name("site.toml"), *words)
    assert (code, said) == (2, ""), "nothing is lived through before"
    assert complaint.startswith(f"error: {named}")


@pytest.mark.parametrize(("ending", "begins"), [("png", b"\x89PNG"), ("svg", b"<?xml"), ("html", b"<!doctype html>")])
def test_a_plot_is_written_in_the_format_of_its_name(tunnel: Path, ending: str, begins: bytes) -> None:
    pytest.importorskip("matplotlib")
    picture = tunnel.with_name(f"out.{ending}")
    verdict = replay(tunnel, SiteConfig.model_validate({"fleet": {"devices": 2, "interval_s": 5}}))
    write_plot(verdict, "tunnel", picture)
    assert picture.read_bytes().startswith(begins)


def test_a_plot_shows_as_one_span_when_the_gateway_was_off(tunnel: Path) -> None:
    to_hex = pytest.importorskip("matplotlib.colors").to_hex
    site = SiteConfig.model_validate({"fleet": {"devices": 2, "interval_s": 5}})
    verdict = replay(tunnel, site, faults=[GatewayCrash(100 * US_PER_S, down_ms=30_000)])
    link, backlog, lag = _draw(load_matplotlib("--plot"), verdict, "from $5 to $\\frac").axes
    for axes in (backlog, lag):
        (off,) = [span for span in axes.patches if to_hex(span.get_facecolor()) == OFF_COLOUR]
        assert 29 <= off.get_width() * 60 <= 32  # minutes are the axis's unit
    assert [text.get_text() for text in link.get_legend().get_texts()] == ["uplink up", "uplink down", "gateway off"]
    assert link.figure.get_suptitle() == "from $5 to $\\frac"


def test_where_nothing_was_held_the_axes_have_whole_readings(tunnel: Path) -> None:
    pytest.importorskip("matplotlib")
    verdict = replay(tunnel, SiteConfig.model_validate({"fleet": {"devices": 1, "interval_s": 3600}}))
    calm = replace(verdict, course=tuple(replace(each, backlog=0, lag_ms=0) for each in verdict.course))
    _, backlog, _ = _draw(load_matplotlib("--plot"), calm, "calm").axes
    assert backlog.get_ylim() == (0, 1)


def test_a_plot_as_data_has_the_course_and_the_outages(tunnel: Path) -> None:
    verdict = replay(tunnel, SiteConfig.model_validate({"fleet": {"devices": 2, "interval_s": 5}}))
    write_plot(verdict, "tunnel", tunnel.with_name("run.json"))
    run = json.loads(tunnel.with_name("run.json").read_text(encoding="utf-8"))
    assert run["title"] == "tunnel"
    assert [each["cause"] for each in run["outages"]] == [each.cause for each in verdict.outages]
    assert max(each for each in run["course"]["backlog"] if each is not None) > 0
    assert {len(column) for column in run["course"].values()} == {len(verdict.course)}


def test_without_matplotlib_a_plot_says_what_to_install(tunnel: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *rest: Any) -> ModuleType:
        if name.startswith("matplotlib"):
            raise ImportError(name)
        return real(name, *rest)

    verdict = replay(tunnel, SiteConfig.model_validate({"fleet": {"devices": 1, "interval_s": 60}}))
    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(PlotError, match=r"tidegate\[plot\]"):
        write_plot(verdict, "tunnel", tunnel.with_name("out.png"))


def test_a_swarm_of_one_seed_is_the_replay_of_that_seed() -> None:
    code, said, _ = invoke("swarm", "--seeds", 1, "--from", 9)
    assert code == 0
    assert said.startswith("seed 9: passed")


def test_a_swarm_says_what_came_of_it() -> None:
    code, said, _ = invoke("swarm", "--seeds", 2, "--from", 9, "--jobs", 1)
    assert code == 0
    assert said.startswith("2 seeds: 2 passed, 0 failed, 0 proved nothing; ")
    code, said, _ = invoke("swarm", "--seeds", 2, "--from", 9, "--jobs", 1, "--json")
    assert [result["seed"] for result in json.loads(said)] == [9, 10]


def test_a_shrunk_recording_comes_with_a_test_that_is_red(tunnel: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replay_cli, "run", uncounted_call(run))  # two dozen replays
    out = tunnel.with_name("minimal.outage.jsonl")
    code, said, complaint = invoke("shrink", tunnel, "--site", tunnel.with_name("hopeless.toml"), "--out", out)
    assert (code, complaint) == (0, "")
    assert "4 events" not in said.partition(" to ")[2].partition(",")[0]
    assert len(read_recording(out).events) < 5
    test = tunnel.with_name("test_minimal.py")
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", "/dev/null", test.name],
        cwd=tunnel.parent,
        env={"PYTHONPATH": str(Path(__file__).parents[3]), "PATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 1, ran.stdout + ran.stderr
    assert "the backlog returns to zero" in ran.stdout


def test_a_shrunk_recording_is_not_searched_for_where_it_could_not_be_written(tunnel: Path) -> None:
    out = tunnel.with_name("gone") / "minimal.outage.jsonl"
    code, _, complaint = invoke("shrink", tunnel, "--site", tunnel.with_name("no-such-site.toml"), "--out", out)
    assert (code, complaint) == (2, f"error: --out: expected a folder that there is, found {out.parent}\n")


def test_a_recording_that_passes_is_not_shrunk(tunnel: Path) -> None:
    site, out = tunnel.with_name("site.toml"), tunnel.with_name("minimal.outage.jsonl")
    code, _, complaint = invoke("shrink", tunnel, "--site", site, "--out", out)
    assert code == 2
    assert "passes with seed 1" in complaint
    assert not out.exists()


def test_a_long_list_is_cut_and_units_fit(tunnel: Path) -> None:
    verdict: Verdict = replay(tunnel, SiteConfig.model_validate({"fleet": {"devices": 1, "interval_s": 60}}))
    broken = Violation(Promise.NOTHING_MISSING, 5, "x")
    long = replace(verdict, passed=False, outages=verdict.outages * 30, violations=(broken,) * 30, story=("5 gone",))
    said = "\n".join(verdict_lines("r", long))
    assert "and 40 more" in said
    assert "and 20 more" in said
    assert "0.000005  gone" in said
    assert [span(7), span(1500), span(90_000), span(5_400_000), span(86_400_000)] == [
        "7 ms",
        "1.5 s",
        "1.5 min",
        "1.5 h",
        "1 d",
    ]
    assert [size(7), size(1500), size(2_000_000)] == ["7 B", "1.5 kB", "2 MB"]
