"""What befell single connections befalls them again: closes, and answers lost after the far side committed."""

from collections.abc import Callable

import pytest

from edge.forward.outcome import Accepted, Failed, Outcome
from edge.outages.events import AnyEvent, Cause, Close, End, Ending, Link, LinkKind, Status, Transition, UnknownWrite
from edge.outages.recording import Recording, make_header
from edge.outages.timeline import LinkTimeline
from tests.replay.test_connections import SILENCE_S, Person
from tests.replay.test_uplink import LINE, Stage
from tidegate.outage.mishaps import Mishaps
from tidegate.replay import SiteConfig, replay
from tidegate.replay.broker import Message
from tidegate.replay.links import Link as SimLink
from tidegate.replay.world import US_PER_S

END_S = 1000
RUN_S = 150  # of a whole run
SLOW_US = 2 * US_PER_S
READ_TIMEOUT_S = 30  # of `Stage`
SITE = SiteConfig.model_validate({"fleet": {"devices": 3, "interval_s": 5}, "windows": {"sizes_s": []}})


def recorded(
    *events: AnyEvent, link: str = "uplink", kind: LinkKind = LinkKind.UPLINK, end_s: int = RUN_S
) -> Recording:
    in_order = sorted(events, key=lambda event: event.at_us)
    return Recording(make_header([Link(link, kind)]), (*in_order, End(end_s * US_PER_S)))


def close(at_us: int, how: Ending, link: str = "uplink") -> Close:
    return Close(at_us, link, how)


def lost(sent_s: int, given_up_s: int, link: str = "uplink") -> UnknownWrite:
    return UnknownWrite(given_up_s * US_PER_S, link, sent_s * US_PER_S)


def down(from_s: int, until_s: int) -> list[AnyEvent]:
    first = Transition(from_s * US_PER_S, "uplink", Status.DOWN, Cause.TIMEOUT)
    return [first, Transition(until_s * US_PER_S, "uplink", Status.UP)]


def link(*events: AnyEvent, latency_us: int = SLOW_US) -> SimLink:
    timeline = LinkTimeline("uplink", recorded(*events, end_s=END_S).events)
    return SimLink(timeline, healed_at_us=END_S * US_PER_S, latency_us=latency_us)


# A post takes two trips to connect, then one there and one back, two seconds each: it arrives at 6, is heard at 8.


@pytest.mark.parametrize(("at_s", "stored"), [(5, 0), (7, 1)], ids=["in the body", "behind the body"])
@pytest.mark.parametrize(
    ("how", "word", "heard_s"),
    [(Ending.RST, "reset", None), (Ending.FIN, "reset", None), (Ending.STALL, "timeout", 4 + READ_TIMEOUT_S)],
)
def test_a_close_under_a_write_stores_it_or_not_and_never_says_so(
    at_s: int, stored: int, how: Ending, word: str, heard_s: int | None
) -> None:
    stage = Stage(link(close(at_s * US_PER_S, how)))
    at_us, outcome = stage.post()
    assert isinstance(outcome, Failed)
    assert (outcome.cause, at_us // US_PER_S) == (word, heard_s or at_s)
    assert (stage.stored, stage.uplink.traffic.unknown) == (stored, stored)
    assert len(stage.heard) == 1


def test_a_connection_that_ended_while_idle_is_dialled_anew_and_one_that_fell_silent_costs_a_time_out() -> None:
    ended = Stage(link(close(50 * US_PER_S, Ending.RST)))
    assert twice(ended) == (108 * US_PER_S, Accepted())
    silent = Stage(link(close(50 * US_PER_S, Ending.STALL)))
    at_us, outcome = twice(silent)
    assert isinstance(outcome, Failed)
    assert at_us == (100 + READ_TIMEOUT_S) * US_PER_S
    assert silent.stored == 1
    untouched = Stage(link())
    assert twice(untouched) == (104 * US_PER_S, Accepted())


def twice(stage: Stage) -> tuple[int, Outcome]:
    stage.world.run_until(0)
    stage.uplink.post(LINE % (0, 1), lambda outcome: stage.heard.append((stage.world.now_us, outcome)))
    return stage.post(100, LINE % (1, 2))


def test_an_unknown_write_is_stored_and_its_answer_lost_once() -> None:
    stage = Stage(link(lost(1, 31)))
    at_us, outcome = stage.post()
    assert isinstance(outcome, Failed)
    assert (outcome.cause, at_us) == ("timeout", (4 + READ_TIMEOUT_S) * US_PER_S)
    assert (stage.stored, stage.uplink.traffic.unknown) == (1, 1)
    stage.uplink.post(LINE % (1, 2), lambda outcome: stage.heard.append((stage.world.now_us, outcome)))
    stage.world.run_until(2 * END_S * US_PER_S)
    assert stage.heard[-1][1] == Accepted()


def test_an_unknown_write_that_a_reset_ended_ends_by_that_reset() -> None:
    stage = Stage(link(lost(1, 31), close(7 * US_PER_S, Ending.RST)))
    at_us, outcome = stage.post()
    assert isinstance(outcome, Failed)
    assert (outcome.cause, at_us, stage.stored) == ("reset", 7 * US_PER_S, 1)
    assert stage.uplink.traffic.unknown == 1


def test_an_unknown_write_waits_a_minute_for_a_write_and_is_left_to_an_outage_that_comes_first() -> None:
    short = link(lost(1, 1)).mishaps
    assert not short.takes_answer(US_PER_S - 1)
    assert short.takes_answer(60 * US_PER_S)
    assert not short.takes_answer(60 * US_PER_S)
    assert not link(lost(1, 1)).mishaps.takes_answer(61 * US_PER_S)
    cut_short = link(lost(1, 31), *down(20, 40)).mishaps
    assert not cut_short.takes_answer(20 * US_PER_S)
    assert cut_short.unmet == ()
    within = link(*down(20, 40), lost(30, 50)).mishaps
    assert not within.takes_answer(45 * US_PER_S)


def test_a_close_in_an_outage_is_the_outages() -> None:
    assert link(*down(20, 40)[:1], close(20 * US_PER_S, Ending.RST)).mishaps.closes == ()
    assert len(link(*down(20, 40), close(40 * US_PER_S, Ending.RST)).mishaps.closes) == 1


# -- MQTT


@pytest.mark.parametrize("how", [Ending.RST, Ending.FIN])
def test_a_close_ends_an_mqtt_connection_and_what_was_on_its_way_comes_again(how: Ending) -> None:
    person = Person(link(close(100 * US_PER_S, how), latency_us=20_000))
    person.world.run_until(100 * US_PER_S - 1)
    person.tell(b"late")
    person.world.run_until(100 * US_PER_S + 19_000)
    assert person.downs[0] == (100, Cause.RESET)
    assert person.got == []
    person.live(400)
    assert person.got == [b"late"]
    assert person.client._link.mishaps.met == 1


def test_a_silent_connection_is_noticed_by_the_keep_alive_although_the_link_is_well() -> None:
    person = Person(link(close(100 * US_PER_S, Ending.STALL), latency_us=20_000))
    person.live(110)
    person.tell(b"slow")
    person.live(100 + SILENCE_S - 1)
    assert (person.downs, person.got) == ([], [])
    person.live(400)
    assert person.downs[0] == (100 + SILENCE_S, Cause.TIMEOUT)
    assert person.got == [b"slow"]


def test_an_unknown_write_of_a_device_reaches_the_broker_and_ends_the_connection_before_its_answer() -> None:
    person = Person(link(lost(100, 100), latency_us=20_000))
    person.live(101)
    assert person.client.wire is not None
    answers: list[int] = []
    person.client.wire.publish(Message("t", b"said"), answers.append)
    person.live(102)
    assert (answers, person.downs[0]) == ([], (101, Cause.RESET))
    person.live(400)
    assert person.got == [b"said"]


# -- whole runs


@pytest.mark.parametrize(
    "event",
    [
        lambda: close(100_050_000, Ending.RST),
        lambda: close(100_050_000, Ending.FIN),
        lambda: close(100_050_000, Ending.STALL),
        lambda: lost(90, 100),
    ],
    ids=["rst", "fin", "stall", "unknown write"],
)
def test_a_recording_of_a_mishap_alone_is_a_valid_run_in_which_nothing_is_lost(event: Callable[[], AnyEvent]) -> None:
    verdict = replay(recorded(event()), SITE)
    assert (verdict.valid, verdict.passed, verdict.faults_met, verdict.faults_unmet) == (True, True, 1, ())


def test_an_answer_lost_in_the_field_is_lost_again_and_what_it_was_of_is_sent_again() -> None:
    verdict = replay(recorded(lost(30, 31), lost(90, 120)), SITE)
    assert verdict.answers_lost == 2
    assert verdict.duplicates > 0
    assert replay(recorded(), SITE).duplicates == 0


def test_a_close_of_a_device_link_is_met_by_its_devices() -> None:
    made = recorded(close(100_050_000, Ending.RST, "node"), link="node", kind=LinkKind.DEVICE)
    verdict = replay(made, SITE)
    assert (verdict.passed, verdict.faults_met) == (True, 3)


def test_mishaps_that_nobody_met_make_a_run_invalid_and_are_named() -> None:
    idle = SiteConfig.model_validate({"fleet": {"devices": 1, "interval_s": 900}, "windows": {"sizes_s": []}})
    verdict = replay(recorded(lost(100, 100)), idle)
    assert not verdict.valid
    assert verdict.faults_unmet == ("unknown write at 100000000 us",)
    assert Mishaps([close(5, Ending.FIN)]).unmet == ("close by fin at 5 us",)
