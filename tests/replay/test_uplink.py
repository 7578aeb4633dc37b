"""The uplink tells the gateway what a real HTTP client would, and stores what a real server would have stored."""

import pytest

from edge.config import InfluxSettings
from edge.forward.outcome import Accepted, Failed, Outcome, Paused, Refused, Throttled, TooLarge
from edge.outages.events import Cause, Status
from sensors.reading import Identity
from tests.replay.kit import outage
from tidegate.outage.phases import Phase
from tidegate.replay.cloud import Answer, Cloud, LoseAnswer, Poison, ResetInBody, Rule
from tidegate.replay.links import LATENCY_US, Link, scripted
from tidegate.replay.uplink import Uplink
from tidegate.replay.world import US_PER_S, World

END_S = 1_000
SETTINGS = InfluxSettings(connect_timeout_s=5, read_timeout_s=30)
LINE = b"reading,device=d,site=s boot=1i,seq=%di,a=1.0 %d\n"


class Stage:
    """One uplink, and what it answered when."""

    def __init__(
        self, link: Link | None = None, *rules: Rule, poison: Poison | None = None, limit: int = 10**6
    ) -> None:
        self.world = World(1)
        self.cloud = Cloud(self.world, lambda *_: None, rules=rules, poison=poison, body_bytes_max=limit)
        self.uplink = Uplink(self.world, link or Link(), self.cloud, SETTINGS)
        self.heard: list[tuple[int, Outcome]] = []

    def post(self, at_s: int = 0, body: bytes = LINE % (0, 1)) -> tuple[int, Outcome]:
        self.world.run_until(at_s * US_PER_S)
        self.uplink.post(body, lambda outcome: self.heard.append((self.world.now_us, outcome)))
        self.world.run_until(END_S * US_PER_S)
        return self.heard[-1]

    @property
    def stored(self) -> int:
        return self.cloud.points.count


def always(act: Answer | LoseAnswer | ResetInBody) -> Rule:
    return Rule(0, END_S * US_PER_S, act)


def test_a_good_write_takes_a_connection_and_a_round_trip_and_the_next_one_only_the_latter() -> None:
    stage = Stage()
    assert stage.post() == (4 * LATENCY_US, Accepted())
    started_us = stage.world.now_us
    stage.uplink.post(LINE % (1, 2), lambda outcome: stage.heard.append((stage.world.now_us, outcome)))
    stage.world.run_until(started_us + US_PER_S)
    assert stage.heard[-1] == (started_us + 2 * LATENCY_US, Accepted())
    assert stage.stored == 2


@pytest.mark.parametrize(
    ("cause", "word", "after_us"),
    [
        (Cause.REFUSED, "refused", 2 * LATENCY_US),
        (Cause.DNS, "dns", 5 * US_PER_S),
        (Cause.TIMEOUT, "timeout", 5 * US_PER_S),
        (Cause.TLS, "tls", 4 * LATENCY_US),
    ],
)
def test_a_link_that_is_down_fails_with_its_cause(cause: Cause, word: str, after_us: int) -> None:
    stage = Stage(Link(outage(10, 90, cause, end_s=END_S), healed_at_us=END_S * US_PER_S))
    at_us, outcome = stage.post(20)
    assert isinstance(outcome, Failed)
    assert (at_us, outcome.cause) == (20 * US_PER_S + after_us, word)
    assert stage.stored == 0


def test_an_outage_by_http_status_is_that_answer() -> None:
    away = scripted([Phase(END_S * US_PER_S, Status.DOWN, Cause.HTTP, http_status=502)], END_S * US_PER_S)
    _, outcome = Stage(Link(away, healed_at_us=END_S * US_PER_S)).post()
    assert isinstance(outcome, Failed)
    assert outcome.status == 502


def slow_then(cause: Cause) -> Link:
    """It takes 10 s to send anything, and the link dies after 5."""
    crawl = Phase(5 * US_PER_S, capacity_bytes_per_s=40, latency_us=0)
    dead = Phase((END_S - 5) * US_PER_S, Status.DOWN, cause)
    return Link(scripted([crawl, dead], END_S * US_PER_S), healed_at_us=END_S * US_PER_S)


@pytest.mark.parametrize(("cause", "word", "at_s"), [(Cause.RESET, "reset", 5), (Cause.TIMEOUT, "timeout", 30)])
def test_a_link_that_dies_in_mid_body_stores_nothing(cause: Cause, word: str, at_s: int) -> None:
    stage = Stage(slow_then(cause))
    at_us, outcome = stage.post()
    assert isinstance(outcome, Failed)
    assert (outcome.cause, at_us) == (word, at_s * US_PER_S)
    assert stage.stored == 0


@pytest.mark.parametrize(("cause", "word"), [(Cause.RESET, "reset"), (Cause.TIMEOUT, "timeout")])
def test_a_link_that_dies_behind_the_body_stores_and_does_not_say_so(cause: Cause, word: str) -> None:
    far = Phase(3 * US_PER_S, latency_us=US_PER_S)
    dead = Phase((END_S - 3) * US_PER_S, Status.DOWN, cause)
    stage = Stage(Link(scripted([far, dead], END_S * US_PER_S), healed_at_us=END_S * US_PER_S))
    _, outcome = stage.post()
    assert isinstance(outcome, Failed)
    assert outcome.cause == word
    assert stage.stored == 1
    assert stage.uplink.traffic.unknown == 1


@pytest.mark.parametrize(
    ("act", "kind", "stored"),
    [
        (Answer(429, retry_after_s=7), Throttled, 0),
        (Answer(503, retry_after_s=7), Throttled, 0),
        (Answer(500), Failed, 0),
        (Answer(500, stores=True), Failed, 1),
        (Answer(401), Paused, 0),
        (LoseAnswer(), Failed, 1),
        (LoseAnswer(Cause.TIMEOUT), Failed, 1),
        (ResetInBody(), Failed, 0),
    ],
    ids=str,
)
def test_a_moody_cloud_is_heard_as_what_it_is(act: Answer | LoseAnswer | ResetInBody, kind: type, stored: int) -> None:
    stage = Stage(None, always(act))
    assert isinstance(stage.post()[1], kind)
    assert stage.stored == stored


def test_a_rule_holds_for_its_time_and_its_number_of_times() -> None:
    stage = Stage(None, Rule(0, END_S * US_PER_S, Answer(500), times=2))
    outcomes = []
    for at_s in (1, 2, 3):
        stage.world.run_until(at_s * US_PER_S)
        stage.uplink.post(LINE % (at_s, at_s), lambda outcome: outcomes.append(type(outcome)))
    stage.world.run_until(10 * US_PER_S)
    assert outcomes == [Failed, Failed, Accepted]
    late = Stage(None, Rule(0, US_PER_S, Answer(500)))
    assert late.post(1)[1] == Accepted()


def test_the_plain_truth_is_influxdbs() -> None:
    assert isinstance(Stage().post(body=b"no line protocol\n")[1], Refused)
    assert isinstance(Stage(limit=10).post()[1], TooLarge)
    conflict = LINE % (0, 1) + b"reading,device=d,site=s boot=1i,seq=1i,a=true 2\n"
    stage = Stage()
    assert stage.post(body=conflict)[1] == Refused(
        422,
        'partial write: field type conflict: input field "a" on measurement "reading" is type boolean,'
        " already exists as type float dropped=1",
    )
    assert stage.stored == 1


@pytest.mark.parametrize(("status", "stored"), [(400, 0), (422, 1)])
def test_poison_refuses_its_batch_or_itself(status: int, stored: int) -> None:
    stage = Stage(poison=Poison(frozenset({Identity("d", 1, 1)}), status))
    _, outcome = stage.post(body=LINE % (0, 1) + LINE % (1, 2))
    assert isinstance(outcome, Refused)
    assert outcome.status == status
    assert stage.stored == stored
