"""The recorder's core: hysteresis, times and bounds, and that any observations at all make a valid recording."""

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.outages.events import (
    AnyEvent,
    Cause,
    Close,
    End,
    Ending,
    Gap,
    Link,
    LinkKind,
    Sample,
    Status,
    Transition,
    UnknownWrite,
)
from edge.outages.health import SILENCE_DOWN_US, SLOW_US, WINDOW_US
from edge.outages.observations import Failure, Observation, failure_of
from edge.outages.recorder import PENDING_MAX, Pending, RecordedOutage, Recorder, Resume
from edge.outages.recording import Recording, decode_recording, encode_recording, make_header
from edge.outages.sampling import SAMPLE_EVERY_US
from edge.outages.timeline import OutageEnd
from tests.examples import examples

S = 1_000_000
LINKS = (Link("uplink", LinkKind.UPLINK), Link("devices", LinkKind.DEVICE))
REFUSED, TIMEOUT = Failure(Cause.REFUSED), Failure(Cause.TIMEOUT)
BUSY = Failure(Cause.HTTP, 503)


class Kept:
    """What a store would keep of a recorder: events, outages by id, and until when all is known."""

    def __init__(self) -> None:
        self.events: list[AnyEvent] = []
        self.outages: dict[str, RecordedOutage] = {}
        self.alive_us = 0

    def write(self, recorder: Recorder) -> None:
        pending: Pending = recorder.pending()
        assert pending.first_id == len(self.events) + 1
        self.events += pending.events
        self.outages |= {outage.id: outage for outage in pending.outages}
        self.alive_us = pending.alive_us
        recorder.written(pending)

    def restart(self, now_us: int) -> Recorder:
        still_open = tuple(outage for outage in self.outages.values() if outage.end_us is None)
        numbers = {link.name: sum(o.link == link.name for o in self.outages.values()) for link in LINKS}
        return Recorder(LINKS, Resume(self.alive_us, now_us, len(self.events) + 1, still_open, numbers))

    def recording(self) -> Recording:
        recording = Recording(make_header(LINKS), (*self.events, End(self.alive_us)))
        assert decode_recording(encode_recording(recording)) == recording
        return recording


def ok(at_s: float, took_s: float = 0.05, link: str = "uplink") -> Observation:
    return Observation(link, round((at_s - took_s) * S), round(at_s * S), rtt_us=round(took_s * S), sent_bytes=500)


def bad(at_s: float, failure: Failure = REFUSED, took_s: float = 0.0, ended: Ending | None = None) -> Observation:
    return Observation("uplink", round((at_s - took_s) * S), round(at_s * S), failure, ended)


def record(*seen: Observation, until_s: float | None = None) -> Kept:
    recorder, kept = Recorder(LINKS), Kept()
    for one in seen:
        recorder.observe(one)
    if until_s is not None:
        recorder.tick(round(until_s * S))
    kept.write(recorder)
    return kept


def transitions(kept: Kept) -> list[tuple[Status, Cause | None]]:
    return [(event.status, event.cause) for event in kept.events if isinstance(event, Transition)]


def test_one_failed_attempt_is_no_outage() -> None:
    assert transitions(record(ok(1), bad(2), ok(3), bad(4), ok(5))) == [(Status.UP, None)]


def test_two_failed_attempts_in_a_row_are_one_and_its_bounds_hold_the_truth() -> None:
    kept = record(ok(10), bad(14), bad(15), bad(20), ok(30, took_s=0.5), until_s=40)
    (outage,) = kept.recording().timeline("uplink").outages()
    assert outage.cause is Cause.REFUSED
    assert outage.seen_us == 15 * S
    assert outage.start_bounds_us == (10 * S, 14 * S)
    assert outage.start_us == 12 * S  # the middle between the last good and the first bad
    assert outage.end_bounds_us == (20 * S, 30 * S)
    assert outage.end_us == 24_750_000  # the middle between the last bad and the start of the good one


def test_ten_silent_seconds_are_an_outage_at_once() -> None:
    silence_s = SILENCE_DOWN_US / S
    assert transitions(record(ok(1), bad(20, TIMEOUT, silence_s)))[-1] == (Status.DOWN, Cause.TIMEOUT)
    assert transitions(record(ok(1), bad(20, TIMEOUT, silence_s - 1))) == [(Status.UP, None)]


def test_a_connection_that_is_reset_fails_when_it_is_reset() -> None:
    kept = record(ok(10), bad(14, Failure(Cause.RESET), 3, Ending.RST), bad(16))
    down = kept.events[-1]
    assert isinstance(down, Transition)
    assert (down.began, down.began_bounds_us, down.cause) == (14 * S, (10 * S, 14 * S), Cause.REFUSED)


@pytest.mark.parametrize("how", Ending)
def test_a_connection_that_ends_is_a_close_while_the_link_stays_up(how: Ending) -> None:
    kept = record(ok(1), bad(2, took_s=1, ended=how), ok(3))
    assert [event for event in kept.events if isinstance(event, Close)] == [Close(2 * S, "uplink", how)]
    assert transitions(kept) == [(Status.UP, None)]


def test_a_write_of_unknown_outcome_is_its_own_event() -> None:
    lost = replace(bad(9, TIMEOUT, took_s=5), unknown_write=True, sent_bytes=700)
    assert record(ok(1), lost).events[-1] == UnknownWrite(9 * S, "uplink", 4 * S, 700)


def test_alternating_failures_degrade_a_link_until_they_are_too_old_to_count() -> None:
    recorder, kept = Recorder(LINKS), Kept()
    for at_s in range(1, 7):
        recorder.observe(bad(at_s) if at_s % 2 == 0 else ok(at_s))
    kept.write(recorder)
    assert transitions(kept) == [(Status.UP, None), (Status.DEGRADED, Cause.REFUSED)]
    recorder.tick(2 * S + WINDOW_US)
    recorder.tick(4 * S + WINDOW_US + 1)
    kept.write(recorder)
    assert transitions(kept)[2:] == [(Status.UP, None)]
    assert kept.recording().timeline("uplink").outages() == ()


def test_three_slow_answers_in_a_row_are_slow_and_three_quick_ones_end_it() -> None:
    slow_s = SLOW_US / S
    slow = [ok(10 * n, slow_s) for n in range(1, 4)]
    quick = [ok(40 + n) for n in range(1, 4)]
    assert transitions(record(ok(1), *slow[:2], ok(35), *slow[2:])) == [(Status.UP, None)]
    kept = record(ok(1), *slow, *quick)
    assert transitions(kept)[1:] == [(Status.DEGRADED, Cause.SLOW), (Status.UP, None)]
    began = [event.began for event in kept.events if isinstance(event, Transition)]
    assert began[1:] == [10 * S - SLOW_US, 41 * S - 50_000]


def test_each_new_cause_of_an_outage_is_recorded_but_it_stays_one_outage() -> None:
    kept = record(ok(10), bad(12), bad(14), bad(40, TIMEOUT, 20), bad(50, BUSY), bad(51, BUSY), ok(60), until_s=70)
    timeline = kept.recording().timeline("uplink")
    causes = [segment.state.cause for segment in timeline.segments() if segment.state.status is Status.DOWN]
    assert causes == [Cause.REFUSED, Cause.TIMEOUT, Cause.HTTP]
    assert len(timeline.outages()) == len(kept.outages) == 1
    assert timeline.at(45 * S).http_status == 503


def test_a_crash_leaves_a_gap_and_not_an_outage() -> None:
    recorder, kept = Recorder(LINKS), Kept()
    for seen in (ok(1), bad(5), bad(6)):
        recorder.observe(seen)
    recorder.tick(8 * S)
    kept.write(recorder)
    recorder.observe(bad(9))  # is lost with the process
    recorder = kept.restart(100 * S)
    recorder.observe(replace(ok(101)))
    recorder.tick(110 * S)
    kept.write(recorder)
    timeline = kept.recording().timeline("uplink")
    assert Gap(100 * S, 8 * S) in kept.events
    assert timeline.at(50 * S).status is None
    assert timeline.at(105 * S).status is Status.UP
    (outage,) = kept.outages.values()
    assert (outage.ended, outage.end_us) == (OutageEnd.GAP, 8 * S)
    assert [o.ended for o in timeline.outages()] == [OutageEnd.GAP]


def test_a_standstill_of_the_gateway_is_a_gap_and_ends_an_outage_where_it_was_last_seen() -> None:
    recorder, kept = Recorder(LINKS), Kept()
    for one in (ok(1), bad(2), bad(3)):
        recorder.observe(one)
    recorder.stood_still(4 * S, 60 * S)
    recorder.observe(ok(61))
    kept.write(recorder)
    (outage,) = kept.outages.values()
    assert (outage.ended, outage.end_us) == (OutageEnd.GAP, 4 * S)
    assert [event for event in kept.events if isinstance(event, Gap)] == [Gap(60 * S, 4 * S)]
    assert transitions(kept)[-1] == (Status.UP, None)
    assert_outages_agree(kept)


def test_numbers_of_outages_go_on_after_a_restart() -> None:
    kept = record(ok(1), bad(5), bad(6), ok(7), until_s=8)
    recorder = kept.restart(20 * S)
    for seen in (ok(21), bad(25), bad(26)):
        recorder.observe(seen)
    kept.write(recorder)
    assert list(kept.outages) == ["uplink-1", "uplink-2"]


def test_an_outage_knows_what_was_held_and_how_long_catching_up_took() -> None:
    recorder, kept = Recorder(LINKS), Kept()
    recorder.observe(ok(1))
    for at_s, held in ((2, 4), (3, 7), (4, 3)):
        recorder.backlog("uplink", held, at_s * S)
    for seen in (bad(5), bad(6)):
        recorder.observe(seen)
    for at_s, held in ((7, 50), (8, 400), (9, 390)):
        recorder.backlog("uplink", held, at_s * S)
    recorder.observe(ok(10, took_s=0))
    kept.write(recorder)
    for at_s, held in ((11, 200), (12, 8), (15, 7), (16, 0)):
        recorder.backlog("uplink", held, at_s * S)
    kept.write(recorder)
    outage = kept.outages["uplink-1"]
    assert (outage.held_before, outage.held_max, outage.caught_up_us) == (7, 400, 15 * S)


def test_samples_are_written_once_a_minute_and_only_when_they_say_something_new() -> None:
    recorder, kept = Recorder(LINKS), Kept()
    for minute in range(10):
        for second in range(60):
            at_s = 60 * minute + second + 1
            recorder.observe(replace(ok(at_s, took_s=0.05 if minute < 5 else 0.2), segments=1, resent=second % 10 == 0))
            recorder.tick(at_s * S)
    kept.write(recorder)
    samples = [event for event in kept.events if isinstance(event, Sample) and event.link == "uplink"]
    assert [sample.values() for sample in samples] == [
        {"throughput_bytes_per_s": 500, "rtt_us": 50_000, "loss_ppm": 100_000},
        {"rtt_us": 200_000},
    ]
    assert samples[1].at_us == 6 * SAMPLE_EVERY_US


def test_a_store_that_refuses_for_long_costs_a_gap_and_no_memory() -> None:
    recorder, kept = Recorder(LINKS), Kept()
    for at_s in range(1, 4 * PENDING_MAX):
        recorder.observe(replace(bad(at_s) if at_s % 4 > 1 else ok(at_s), unknown_write=True))
    assert len(recorder.pending().events) <= PENDING_MAX + 3
    kept.write(recorder)
    recorder.observe(ok(4 * PENDING_MAX))
    kept.write(recorder)
    gaps = [event for event in kept.events if isinstance(event, Gap)]
    assert len(gaps) == 1
    assert_outages_agree(kept)


def test_what_is_observed_while_the_store_writes_is_not_lost() -> None:
    recorder = Recorder(LINKS)
    recorder.observe(ok(1))
    pending = recorder.pending()
    for seen in (bad(2), bad(3)):
        recorder.observe(seen)
    recorder.written(pending)
    after = recorder.pending()
    assert after.first_id == 2
    assert [type(event) for event in after.events] == [Transition]
    assert [outage.id for outage in after.outages] == ["uplink-1"]


@pytest.mark.parametrize(
    ("word", "status", "failure"),
    [
        ("dns", None, Failure(Cause.DNS)),
        ("closed", None, Failure(Cause.RESET)),
        ("protocol", None, Failure(Cause.RESET)),
        ("http 503", 503, BUSY),
        ("protocol", 302, Failure(Cause.HTTP, 302)),
        ("protocol", 999, Failure(Cause.RESET)),
    ],
)
def test_every_word_for_a_failure_has_a_cause(word: str, status: int | None, failure: Failure) -> None:
    assert failure_of(word, status) == failure


# -- whatever is observed

failures = st.sampled_from([None, None, REFUSED, TIMEOUT, BUSY, Failure(Cause.DNS), Failure(Cause.RESET)])
observations = st.builds(
    Observation,
    st.sampled_from([link.name for link in LINKS]),
    st.integers(0, 400 * S),
    st.integers(0, 400 * S),
    failures,
    st.none() | st.sampled_from(Ending),
    st.booleans(),
    st.integers(0, 10**6),
    st.none() | st.integers(0, 10 * S),
    st.integers(0, 100),
    st.integers(0, 100),
)
steps = st.one_of(
    observations,
    observations,
    st.tuples(st.sampled_from(["heard", "backlog", "tick", "still", "write", "restart"]), st.integers(0, 90 * S)),
)


def drive(script: list[Observation | tuple[str, int]]) -> Kept:
    """Carry out a script in which every step's time counts from the step before; also backwards ones."""
    recorder, kept, now_us = Recorder(LINKS), Kept(), 0
    for step in script:
        if isinstance(step, Observation):
            now_us += step.at_us // 20
            recorder.observe(
                replace(step, at_us=now_us - step.at_us % 7, started_us=now_us - step.started_us % (30 * S))
            )
            continue
        what, number = step
        now_us += number
        if what == "heard":
            recorder.heard("devices", now_us - number // 2, now_us, number, number)
        elif what == "backlog":
            recorder.backlog("uplink", number, now_us)
        elif what == "tick":
            recorder.tick(now_us)
        elif what == "still":
            recorder.stood_still(now_us - number, now_us)
        else:
            kept.write(recorder)
            recorder = kept.restart(now_us) if what == "restart" else recorder
    recorder.tick(now_us)
    kept.write(recorder)
    return kept


def assert_outages_agree(kept: Kept) -> None:
    """The table of outages is what a reader of the recording finds, to the microsecond."""
    recording = kept.recording()
    for link in LINKS:
        found = recording.timeline(link.name).outages()
        table = sorted((o for o in kept.outages.values() if o.link == link.name), key=lambda o: o.number)
        assert [(o.id, o.cause, o.http_status, o.seen_us, o.start_us, o.start_bounds_us) for o in table] == [
            (o.id, o.cause, o.http_status, o.seen_us, o.start_us, o.start_bounds_us) for o in found
        ]
        ends = [(o.ended, o.end_us) if o.ended else (OutageEnd.RECORDING_END, recording.end_us) for o in table]
        assert ends == [(o.ended, o.end_us) for o in found]
        for before, after in pairwise(found):
            assert before.end_us <= after.start_us


@settings(max_examples=examples(80), deadline=None)
@given(st.lists(steps, max_size=60))
def test_any_sequence_of_observations_makes_a_valid_recording_that_agrees_with_the_outages(
    script: list[Observation | tuple[str, int]],
) -> None:
    kept = drive(script)
    assert_outages_agree(kept)
    for event in kept.events:
        if isinstance(event, Transition):
            earliest_us, latest_us = event.began_bounds_us
            assert earliest_us <= event.began <= latest_us <= event.at_us
    assert len(kept.events) <= 4 * len(script) + 2 * len(LINKS)


def _failed(at_s: int, *, is_drill: bool) -> Observation:
    return Observation("uplink", (at_s - 1) * S, at_s * S, REFUSED, is_drill=is_drill)


def test_an_outage_that_an_operator_made_says_so_and_a_real_failure_in_it_makes_it_real() -> None:
    recorder, kept = Recorder(LINKS), Kept()
    recorder.observe(Observation("uplink", 0, S))
    for at_s in (2, 3, 4):
        recorder.observe(_failed(at_s, is_drill=True))
    recorder.observe(Observation("uplink", 5 * S, 6 * S))
    kept.write(recorder)
    assert (kept.outages["uplink-1"].is_drill, kept.outages["uplink-1"].ended) == (True, OutageEnd.RECOVERED)
    for at_s, is_drill in ((7, True), (8, True), (9, False), (10, True)):
        recorder.observe(_failed(at_s, is_drill=is_drill))
    recorder.observe(Observation("uplink", 11 * S, 12 * S))
    kept.write(recorder)
    assert not kept.outages["uplink-2"].is_drill
