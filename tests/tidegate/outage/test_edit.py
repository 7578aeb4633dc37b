"""Editing recordings: parts joined again are the whole, and every operation changes what it names and nothing else."""

from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from edge.outages.events import (
    Anchor,
    Cause,
    Close,
    End,
    Ending,
    Gap,
    Link,
    LinkKind,
    Quantities,
    Sample,
    Series,
    Status,
    Transition,
)
from edge.outages.recording import Recording, make_header, read_recording, write_recording
from edge.outages.rules import UnknownLinkError
from edge.outages.timeline import LinkTimeline
from tidegate.outage.cli import app
from tidegate.outage.edit import Edit, EditError, Removal, Span, apply
from tidegate.outage.edit_text import parse_insertion, parse_removal, parse_setting, parse_time
from tidegate.outage.splice import JoinError, cut, join
from tidegate.testing.strategies import recordings

S = 1_000_000
LINKS = [Link("uplink", LinkKind.UPLINK), Link("devices", LinkKind.DEVICE)]
runner = CliRunner()


def down(at_s: int, cause: Cause = Cause.TIMEOUT, link: str = "uplink", began_s: int | None = None) -> Transition:
    return Transition(at_s * S, link, Status.DOWN, cause, began_us=None if began_s is None else began_s * S)


def up(at_s: int, link: str = "uplink") -> Transition:
    return Transition(at_s * S, link, Status.UP)


DAY = Recording(
    make_header(LINKS, anchor=Anchor(100 * S, 2_000_000_000 * S), title="a day", source="the field"),
    (
        up(0),
        up(0, "devices"),
        Sample(1 * S, "uplink", latency_us=40_000, rtt_us=90_000),
        down(20, Cause.DNS, began_s=15),
        up(30),
        Close(40 * S, "uplink", Ending.RST),
        Series(60 * S, "uplink", Quantities.CAPACITY, 10 * S, (1000, 2000)),
        down(70, Cause.REFUSED),
        down(75, Cause.TIMEOUT),
        up(80),
        End(100 * S),
    ),
)


def course(timeline: LinkTimeline) -> tuple[object, object]:
    """What a link did for any time at all, apart from when its changes were noticed."""
    outages = [(each.start_us, each.end_us, each.cause, each.ended) for each in timeline.outages() if each.duration_us]
    return timeline.segments(), outages


def causes(recording: Recording, link: str = "uplink") -> list[tuple[float, float, str]]:
    return [(o.start_us / S, o.end_us / S, o.cause) for o in recording.timeline(link).outages()]


@given(recordings(), st.lists(st.floats(0, 1), max_size=3))
def test_the_parts_of_a_recording_joined_again_have_its_timelines(recording: Recording, shares: list[float]) -> None:
    edges = sorted({0, *(round(share * recording.end_us) for share in shares), recording.end_us})
    parts = [cut(recording, a, b) for a, b in pairwise(edges)] or [recording]
    again = join(parts)
    for link in recording.link_names:
        assert course(again.timeline(link)) == course(recording.timeline(link))
    assert again.unix_us(0) == recording.unix_us(0)


@given(recordings(), recordings())
def test_no_state_leaks_from_one_recording_into_the_next(first: Recording, second: Recording) -> None:
    joined = join([first, second])
    for link in second.link_names:
        timeline = second.timeline(link)
        for segment in timeline.segments():
            assert joined.timeline(link).at(first.end_us + segment.start_us) == segment.state
    if len(first.link_names) > len(second.link_names):
        assert joined.timeline("wifi-2").at(first.end_us).status is None


@given(recordings(), st.integers(0, 5 * S), st.integers(1, 5 * S))
def test_an_inserted_outage_is_there_and_all_else_is_as_it_was(recording: Recording, at_us: int, for_us: int) -> None:
    until_us = at_us + for_us
    if until_us > recording.end_us or any(isinstance(event, Gap) for event in recording.events):
        return
    edited = apply([recording], Edit(insertions=(parse_insertion(f"at={at_us / S:.6f},for={for_us / S:.6f}"),)))
    assert edited.timeline("uplink").at(at_us).status is Status.DOWN
    assert edited.timeline("uplink").at(until_us - 1).cause is Cause.TIMEOUT
    for segment in recording.timeline("uplink").segments():
        if not at_us <= segment.start_us < until_us and segment.state.status is not None:
            assert edited.timeline("uplink").at(segment.start_us) == segment.state
    for link in recording.link_names[1:]:
        assert edited.timeline(link).segments() == recording.timeline(link).segments()


def test_a_cut_keeps_the_state_at_its_start_and_the_time_of_day() -> None:
    part = apply([DAY], Edit(span=Span(17 * S, 75 * S)))
    assert part.end_us == 58 * S
    assert causes(part) == [(0, 13, "dns"), (53, 58, "refused")]
    assert part.timeline("uplink").at(0).rtt_us == 90_000
    assert part.unix_us(0) == DAY.unix_us(17 * S)
    assert part.header.source == "the field; edited (cut)"


def test_a_change_belongs_to_the_window_in_which_it_began() -> None:
    assert causes(cut(DAY, 0, 18 * S)) == [(15, 18, "dns")]


def test_links_are_kept_dropped_and_renamed() -> None:
    kept = apply([DAY], Edit(keep=("uplink",), rename=(("uplink", "wan"),)))
    assert kept.link_names == ("wan",)
    assert causes(kept, "wan") == causes(DAY)
    assert apply([DAY], Edit(drop=("uplink",))).link_names == ("devices",)
    with pytest.raises(UnknownLinkError, match="lora"):
        apply([DAY], Edit(keep=("lora",)))
    with pytest.raises(EditError, match="at least one link"):
        apply([DAY], Edit(drop=("uplink", "devices")))


def test_an_outage_is_removed_by_its_id_with_all_its_causes() -> None:
    assert causes(apply([DAY], Edit(removals=(parse_removal("uplink-2"),)))) == [(15, 30, "dns")]
    assert causes(apply([DAY], Edit(removals=(parse_removal("uplink-1"),)))) == [(70, 80, "refused")]


@pytest.mark.no_cover
@given(recordings(), st.data())
def test_the_outage_that_is_removed_is_the_one_of_that_id(recording: Recording, data: st.DataObject) -> None:
    before = [outage for link in recording.link_names for outage in recording.timeline(link).outages()]
    if not before:
        return
    gone = data.draw(st.sampled_from(before))
    edited = apply([recording], Edit(removals=(parse_removal(gone.id),)))
    after = [outage for link in recording.link_names for outage in edited.timeline(link).outages()]
    assert [(o.link, o.start_us, o.end_us) for o in after] == [
        (o.link, o.start_us, o.end_us) for o in before if o is not gone
    ]


def test_lines_of_one_event_are_removed_in_a_span() -> None:
    assert not any(isinstance(e, Close) for e in apply([DAY], Edit(removals=(parse_removal("event=close"),))).events)
    removal = Removal(event="transition", link="uplink", span=Span(60 * S, 72 * S))
    assert causes(apply([DAY], Edit(removals=(removal,)))) == [(15, 30, "dns"), (75, 80, "timeout")]


def test_an_inserted_outage_replaces_what_it_covers_and_then_gives_way() -> None:
    edit = Edit(insertions=(parse_insertion("at=25s,for=50s,cause=http,http_status=503"),))
    assert causes(apply([DAY], edit)) == [(15, 80, "dns")]  # one outage from end to end, with three causes
    timeline = apply([DAY], edit).timeline("uplink")
    assert [timeline.at(second * S).cause for second in (20, 25, 74, 75)] == ["dns", "http", "http", "timeout"]
    assert causes(apply([DAY], edit), "devices") == []


def test_latency_bandwidth_and_loss_are_set_in_a_span() -> None:
    edited = apply([DAY], Edit(settings=(parse_setting("latency=200ms,bandwidth=20kB/s,loss=2.5%,from=45,until=55s"),)))
    timeline = edited.timeline("uplink")
    inside, after = timeline.at(50 * S), timeline.at(55 * S)
    assert (inside.latency_us, inside.rtt_us, inside.bandwidth_bytes_per_s, inside.loss_ppm) == (
        200_000, None, 20_000, 25_000,
    )  # fmt: skip
    assert (after.latency_us, after.rtt_us, after.bandwidth_bytes_per_s, after.loss_ppm) == (40_000, 90_000, 2000, None)
    assert edited.timeline("devices").at(50 * S).bandwidth_bytes_per_s == 20_000


def test_time_is_scaled_repeated_and_shifted() -> None:
    half = apply([DAY], Edit(scale=Fraction(1, 2), repeat=2, shift_us=5 * S))
    assert half.end_us == 105 * S
    assert causes(half) == [(12.5, 20, "dns"), (40, 45, "refused"), (62.5, 70, "dns"), (90, 95, "refused")]
    assert half.timeline("uplink").at(4 * S).status is None
    assert half.unix_us(5 * S) == DAY.unix_us(0)
    assert causes(apply([DAY], Edit(shift_us=-60 * S))) == [(10, 20, "refused")]


@pytest.mark.no_cover
def test_a_recording_is_repeated_a_thousand_times() -> None:
    assert len(causes(apply([DAY], Edit(repeat=1000)))) == 2000


@pytest.mark.parametrize(
    ("edit", "says"),
    [
        (
            Edit(span=Span(50 * S, 200 * S)),
            "--from, --until: expected a start before the end, and both within the 100 s",
        ),
        (Edit(insertions=(parse_insertion("at=90,for=20"),)), "--insert: expected a span that ends with"),
        (Edit(removals=(Removal(outage="uplink-9"),)), "--remove: expected event=..., or the id of an outage"),
        (Edit(scale=Fraction(1, 10**9)), "--scale: expected a factor that leaves"),
        (Edit(repeat=10_000_000), "--repeat: expected at most"),
    ],
)
def test_an_edit_that_cannot_be_made_names_its_option(edit: Edit, says: str) -> None:
    with pytest.raises(EditError) as caught:
        apply([DAY], edit)
    assert str(caught.value).startswith(says)


def test_an_outage_is_not_inserted_where_nobody_recorded() -> None:
    off = Recording(make_header(LINKS), (up(0), Gap(50 * S, 20 * S), up(50), End(60 * S)))
    with pytest.raises(EditError, match="without a gap"):
        apply([off], Edit(insertions=(parse_insertion("at=10,for=20"),)))


def test_links_of_two_kinds_are_not_joined_under_one_name() -> None:
    other = Recording(make_header([Link("uplink", LinkKind.DEVICE)]), (End(S),))
    with pytest.raises(JoinError, match="found two for uplink"):
        join([DAY, other])


@pytest.mark.parametrize(
    ("text", "microseconds"), [("250ms", 250_000), ("1.5h", 5_400 * S), ("90", 90 * S), ("2d", 172_800 * S), ("0", 0)]
)
def test_times_are_read_with_their_units(text: str, microseconds: int) -> None:
    assert parse_time(text, "--from") == microseconds


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--from", "soon"), "--from: expected a time such as 250ms, 90s, 5min, 1.5h or 2d, found 'soon'"),
        (("--insert", "at=5"), "--insert: expected at=TIME,for=TIME and more"),
        (("--insert", "at=5,for=0"), "--insert for: expected a time over 0"),
        (("--insert", "at=5,for=5,status=up"), "--insert status: expected down or degraded, found up"),
        (("--insert", "at=5,for=5,cause=rain"), "--insert cause: expected one of dns"),
        (("--insert", "at=5,for=5,cause=http"), "--insert http_status: expected a status such as 503"),
        (("--insert", "at=5,for=5,why=x"), "--insert: expected NAME=VALUE of at, for"),
        (("--set", "link=uplink"), "--set: expected at least one of latency"),
        (("--set", "loss=120%"), "--set loss: expected a share up to 100%"),
        (("--set", "bandwidth=5mph"), "--set bandwidth: expected a rate such as"),
        (("--remove", "event=party"), "--remove event: expected one of transition"),
        (("--rename", "uplink"), "--rename: expected OLD=NEW"),
        (("--rename", "uplink=10.0.0.1"), "--rename: expected a letter and up to 31 more"),
        (("--scale", "0"), "--scale: expected a number over 0"),
        (("--keep", "lora"), "link: expected one of uplink, devices"),
        (("--insert", "at=5,for=5,cause=http,http_status=999"), "--insert http_status: expected a status from 100"),
        (("--until", "1h"), "--from, --until: expected a start before the end"),
        (("--title", "of 10.0.0.1"), "error: --title: expected no addresses or secrets"),
    ],
)
def test_a_bad_edit_is_one_line_and_writes_nothing(tmp_path: Path, arguments: tuple[str, str], says: str) -> None:
    write_recording(tmp_path / "day.outage.jsonl", DAY)
    out = tmp_path / "new.outage.jsonl"
    result = runner.invoke(app, ["edit", str(tmp_path / "day.outage.jsonl"), "--out", str(out), *arguments])
    assert result.exit_code == 2
    assert says in result.stderr
    assert result.stderr.count("\n") == 1
    assert not out.exists()


def test_edit_joins_files_and_leaves_them_alone(tmp_path: Path) -> None:
    day, out = tmp_path / "day.outage.jsonl", tmp_path / "two.outage.jsonl.gz"
    write_recording(day, DAY)
    before = day.read_bytes()
    command = ["edit", str(day), str(day), "--out", str(out), "--insert", "at=150s,for=10s", "--title", "two days"]
    result = runner.invoke(app, command)
    assert result.exit_code == 0, result.output
    assert "200.0 s, 5 outages" in result.output
    header = read_recording(out).header
    assert (header.title, header.source) == ("two days", "the field; edited (join, insert)")
    assert day.read_bytes() == before
    assert "--force" in runner.invoke(app, command).stderr
