"""Pictures of recordings: what is drawn, in the format of the name, however long the recording is."""

import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from edge.outages.events import Anchor, Cause, End, Gap, Link, LinkKind, Quantities, Sample, Series, Status, Transition
from edge.outages.recording import Recording, make_header, write_recording
from tidegate.outage.cli import app
from tidegate.outage.picture import load_matplotlib, save
from tidegate.outage.plot import BAR, COLUMNS_MAX, MARK, WIDTH_MIN_PARTS, _draw, write_plot

to_hex = pytest.importorskip("matplotlib.colors").to_hex
S = 1_000_000
LINKS = [Link("uplink", LinkKind.UPLINK), Link("devices", LinkKind.DEVICE)]
DAY = Recording(
    make_header(LINKS, anchor=Anchor(0, 1_772_000_000 * S), title="a <day>"),
    (
        Transition(0, "uplink", Status.UP),
        Sample(0, "uplink", latency_us=40_000, loss_ppm=10_000, throughput_bytes_per_s=900),
        Transition(43_200 * S, "uplink", Status.DOWN, Cause.REFUSED),
        Transition(43_202 * S, "uplink", Status.UP),
        Gap(50_000 * S, 49_000 * S),
        Transition(50_000 * S, "devices", Status.DEGRADED, Cause.SLOW),
        End(86_400 * S),
    ),
)


def drawn(recording: Recording) -> list[Any]:
    axes: list[Any] = _draw(load_matplotlib("--out"), recording, "title").axes
    return axes


def boxes(recording: Recording, colour: str) -> list[Any]:
    """The rectangles of this colour in the panel of the links' status."""
    of_colour = [bars for bars in drawn(recording)[0].collections if to_hex(bars.get_facecolor()[0]) == colour]
    return [path.get_extents() for bars in of_colour for path in bars.get_paths()]


@pytest.mark.no_cover
def test_axes_have_units_and_only_what_is_known_has_a_panel() -> None:
    status, *panels = drawn(DAY)
    assert [axes.get_ylabel() for axes in panels] == ["one-way latency (ms)", "bandwidth (kB/s)", "loss (%)"]
    assert panels[-1].get_xlabel() == "time (hours since 2026-02-25T06:13:20.000Z)"
    assert [label.get_text() for label in status.get_yticklabels()] == [
        "uplink\n99.996 % available",
        "devices\n100.000 % available",
    ]
    assert [text.get_text() for text in status.get_legend().get_texts()] == ["up", "degraded", "down", "not known"]
    assert [text.get_text() for text in panels[1].get_legend().get_texts()] == ["uplink carried"]
    (line,) = panels[0].get_lines()
    assert line.get_ydata()[0] == 40.0
    assert list(line.get_ydata())[-1] != 40.0  # unknown since the gap


def test_an_outage_of_two_seconds_in_a_day_can_be_seen() -> None:
    (box,) = boxes(DAY, "#c62828")
    assert box.x0 == pytest.approx(12.0)
    assert box.width >= 24 / WIDTH_MIN_PARTS * 0.999


def test_many_short_outages_are_marks_of_half_the_height_and_do_not_look_like_a_long_one() -> None:
    flaps = [
        event
        for minute in range(1, 1000)
        for event in (
            Transition(minute * 60 * S, "uplink", Status.DOWN, Cause.RESET),
            Transition((minute * 60 + 1) * S, "uplink", Status.UP),
        )
    ]
    long_one = Transition(80_000 * S, "uplink", Status.DOWN, Cause.TIMEOUT)
    day = Recording(make_header(LINKS[:1]), (Transition(0, "uplink", Status.UP), *flaps, long_one, End(86_400 * S)))
    heights = sorted(round(box.height, 3) for box in boxes(day, "#c62828"))
    assert heights == [MARK] * 999 + [BAR]
    assert drawn(day)[0].get_yticklabels()[0].get_text() == "uplink\n91.436 % available"


def test_a_title_is_no_formula(tmp_path: Path) -> None:
    write_plot(DAY, "from $5 to $\\frac", tmp_path / "a.svg")
    assert "from $5 to $\\frac" in (tmp_path / "a.svg").read_text(encoding="utf-8")


def test_of_a_day_of_values_at_1_hz_the_extremes_are_drawn() -> None:
    values = [100] * 3600
    series = [
        Series(
            (hour + 1) * 3600 * S, "uplink", Quantities.CAPACITY, S, (*values[:-1], 5 if hour == 20 else hour + 1000)
        )
        for hour in range(24)
    ]
    (_, panel) = drawn(Recording(make_header(LINKS[:1]), (*series, End(86_400 * S))))
    (line,) = panel.get_lines()
    assert len(line.get_xdata()) <= 4 * COLUMNS_MAX
    assert min(line.get_ydata()) == 0.005
    assert max(line.get_ydata()) == 1.023


@pytest.mark.parametrize(("name", "begins"), [("a.png", b"\x89PNG"), ("a.svg", b"<?xml"), ("a.html", b"<!doctype")])
def test_a_picture_is_written_in_the_format_of_its_name_and_twice_the_same(
    tmp_path: Path, name: str, begins: bytes
) -> None:
    file = tmp_path / "day.outage.jsonl"
    write_recording(file, DAY)
    command = ["plot", str(file), "--out", str(tmp_path / name)]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.output
    first = (tmp_path / name).read_bytes()
    assert first.startswith(begins)
    if name == "a.html":
        assert b"<title>a &lt;day&gt;</title>" in first
        ET.fromstring(first[first.index(b"<svg") : first.index(b"</html>")])
    write_plot(DAY, "a <day>", tmp_path / name)
    assert (tmp_path / name).read_bytes() == first
    assert "--force" in CliRunner().invoke(app, command).stderr


@pytest.mark.no_cover
def test_a_picture_does_not_name_its_parts_by_digits_that_nobody_sees(tmp_path: Path) -> None:
    def drawn_with(width: float) -> str:
        figure = load_matplotlib("--out").figure.Figure(figsize=(width, 3))
        figure.subplots().plot([1, 2], [3, 4], marker="o")
        save(figure, "a", tmp_path / "a.svg", ".svg")
        return (tmp_path / "a.svg").read_text(encoding="utf-8")

    assert drawn_with(4.0) == drawn_with(4.000000000001)
    assert "#p" in drawn_with(4.0)


def test_a_picture_of_another_format_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "day.outage.jsonl"
    write_recording(file, DAY)
    result = CliRunner().invoke(app, ["plot", str(file), "--out", str(tmp_path / "a.gif")])
    assert result.exit_code == 2
    assert "--out: expected a name that ends in one of .png, .svg, .html, found a.gif" in result.stderr
