"""The view of one link: states when they began, segments without holes, outages with bounds."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from edge.outages.events import (
    Anchor,
    AnyEvent,
    Cause,
    End,
    Gap,
    Link,
    LinkKind,
    Quantities,
    Sample,
    Series,
    Status,
    Transition,
)
from edge.outages.recording import Recording, make_header
from edge.outages.timeline import UNKNOWN, LinkTimeline, OutageEnd, state_at
from tidegate.testing.strategies import recordings

HEADER = make_header([Link("uplink", LinkKind.UPLINK), Link("wifi", LinkKind.DEVICE)], anchor=Anchor(100, 1_000_000))


def timeline(*events: AnyEvent) -> LinkTimeline:
    return Recording(HEADER, events).timeline("uplink")


def up(at_us: int) -> Transition:
    return Transition(at_us, "uplink", Status.UP)


def down(at_us: int, began_us: int | None = None) -> Transition:
    return Transition(at_us, "uplink", Status.DOWN, Cause.TIMEOUT, began_us=began_us)


@given(recordings(), st.data())
def test_segments_cover_the_recording_and_agree_with_at(recording: Recording, data: st.DataObject) -> None:
    for link in recording.link_names:
        view = recording.timeline(link)
        segments = view.segments()
        edges = [0, *(segment.end_us for segment in segments)]
        assert [segment.start_us for segment in segments] == edges[:-1]
        assert edges[-1] == recording.end_us
        assert all(a.state != b.state for a, b in pairwise(segments))
        for segment in segments:
            at_us = data.draw(st.integers(segment.start_us, segment.end_us - 1))
            assert view.at(at_us) == segment.state
            assert view.next_change_us(at_us) == segment.end_us
        assert view.at(recording.end_us) == view.at(-1) == UNKNOWN


@given(recordings())
def test_outages_are_ordered_and_within_their_bounds(recording: Recording) -> None:
    for link in recording.link_names:
        outages = recording.timeline(link).outages()
        assert [outage.id for outage in outages] == [f"{link}-{number + 1}" for number in range(len(outages))]
        for outage in outages:
            shortest, longest = outage.duration_bounds_us
            assert shortest <= outage.duration_us <= longest
            assert outage.start_us <= outage.seen_us


def test_a_link_goes_down_when_it_began_and_not_when_it_was_seen() -> None:
    view = timeline(up(0), down(50, began_us=30), up(80), End(100))
    assert [view.at(at).status for at in (29, 30, 79, 80)] == [Status.UP, Status.DOWN, Status.DOWN, Status.UP]


def test_other_links_have_no_part_in_it() -> None:
    view = timeline(up(0), Transition(5, "wifi", Status.DOWN, Cause.SLOW), End(10))
    assert view.at(7).status is Status.UP
    assert view.outages() == ()


def test_a_gap_is_unknown_and_ends_an_outage_without_a_recovery() -> None:
    view = timeline(up(0), Sample(1, "uplink", rtt_us=8), down(10), Gap(60, 40), up(70), End(100))
    assert [view.at(at).status for at in (39, 40, 65, 70)] == [Status.DOWN, None, None, Status.UP]
    assert view.at(65) == UNKNOWN
    outage = view.outages()[0]
    assert (outage.end_us, outage.ended) == (40, OutageEnd.GAP)


def test_an_outage_that_nobody_saw_end_ends_with_the_recording() -> None:
    outage = timeline(up(0), down(10), End(100)).outages()[0]
    assert (outage.start_us, outage.end_us, outage.ended) == (10, 100, OutageEnd.RECORDING_END)


def test_another_cause_is_the_same_outage_and_degraded_is_its_end() -> None:
    refused = Transition(20, "uplink", Status.DOWN, Cause.REFUSED)
    slow = Transition(30, "uplink", Status.DEGRADED, Cause.SLOW)
    view = timeline(up(0), down(10), refused, slow, End(100))
    assert [(outage.start_us, outage.end_us, outage.cause) for outage in view.outages()] == [(10, 30, Cause.TIMEOUT)]
    assert view.at(25).cause is Cause.REFUSED


def test_a_series_covers_the_span_before_it_was_written() -> None:
    series = Series(40, "uplink", Quantities.CAPACITY, 10, (5, 0, 7))
    view = timeline(up(0), series, End(100))
    assert [view.at(at).bandwidth_bytes_per_s for at in (9, 10, 20, 30, 99)] == [None, 5, 0, 7, 7]


def test_a_sample_holds_until_the_next_and_null_ends_it() -> None:
    events = (Sample(10, "uplink", rtt_us=9, loss_ppm=5), Sample(20, "uplink", rtt_us=None), End(100))
    view = timeline(up(0), *events)
    assert (view.at(15).rtt_us, view.at(25).rtt_us, view.at(25).loss_ppm) == (9, None, 5)


def test_latency_is_measured_one_way_or_half_the_round_trip() -> None:
    view = timeline(Sample(0, "uplink", rtt_us=90), Sample(10, "uplink", latency_us=7), End(100))
    assert (view.at(5).latency_us, view.at(15).latency_us, UNKNOWN.latency_us) == (45, 7, None)


def test_the_anchor_ties_the_recording_to_the_wall_clock() -> None:
    assert Recording(HEADER, (End(100),)).unix_us(150) == 1_000_050


@given(recordings(), st.integers(0, 2**24))
def test_the_state_at_an_instant_is_the_timelines_without_the_way_there(recording: Recording, at_us: int) -> None:
    for link in recording.link_names:
        for instant_us in (at_us, *(event.at_us for event in recording.events)):
            if instant_us < recording.end_us:
                assert state_at(link, recording.events, instant_us) == recording.timeline(link).at(instant_us)
