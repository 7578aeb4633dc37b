"""The core of the proxy: what happens to bytes, with a clock that the test moves."""

from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.outage.pipe import (
    PIPE_BYTES_MAX,
    RETRANSMIT_US,
    Finish,
    Finished,
    LinkShape,
    Pacer,
    Pipe,
    Send,
    Wait,
)
from tidegate.outage.toxics import Stream, ToxicError, parse_toxic

MS = 1_000
SECOND = 1_000_000


def pipe(*toxics: dict[str, Any], shape: LinkShape | None = None, rate: int | None = None, seed: int = 1) -> Pipe:
    made = Pipe(Stream.DOWNSTREAM, Random(seed), Pacer(rate), shape or LinkShape())
    made.set_toxics([parse_toxic(toxic) for toxic in toxics], 0)
    return made


def drain(made: Pipe, now_us: int = 0, steps: int = 100_000) -> tuple[list[tuple[int, int]], Finished | None, int]:
    """Do what the pipe says until it has nothing more to say: (time, size) sent, how it ended, and when."""
    sent = []
    for _ in range(steps):
        decision = made.poll(now_us)
        if isinstance(decision, Send):
            sent.append((now_us, decision.size))
        elif isinstance(decision, Finished):
            return sent, decision, now_us
        elif decision.until_us is None:
            return sent, None, now_us
        else:
            assert decision.until_us > now_us
            now_us = decision.until_us
    raise AssertionError("the pipe never rests")


def test_a_healthy_pipe_sends_at_once_and_passes_the_end_on() -> None:
    made = pipe()
    assert made.offer(500, 7)
    made.offer_end(8)
    assert drain(made, 8) == ([(8, 500)], Finished(Finish.HALF_CLOSE), 8)


def test_latency_delays_without_slowing() -> None:
    made = pipe({"type": "latency", "attributes": {"latency": 100}})
    for at in range(10):
        made.offer(1000, at * MS)
    sent, _, _ = drain(made, 9 * MS)
    assert [at for at, _ in sent] == [(100 + at) * MS for at in range(10)]


def test_jitter_stays_within_its_bounds_and_in_order() -> None:
    made = pipe({"type": "latency", "attributes": {"latency": 100, "jitter": 50}})
    for at in range(200):
        made.offer(1, at * 200 * MS)
    delays = [at - number * 200 * MS for number, (at, _) in enumerate(drain(made)[0])]
    assert min(delays) < 60 * MS
    assert max(delays) > 140 * MS
    assert all(50 * MS <= delay <= 150 * MS for delay in delays)


@pytest.mark.parametrize("made", [pipe({"type": "bandwidth", "attributes": {"rate": 10}}), pipe(rate=10_000)])
def test_bandwidth_lets_ten_kilobytes_through_in_a_second(made: Pipe) -> None:
    made.offer(50_000, 0)
    sent, _, end_us = drain(made)
    assert sum(size for _, size in sent) == 50_000
    assert 4.9 * SECOND <= end_us <= 5.0 * SECOND
    assert sum(size for at, size in sent if at < SECOND) == pytest.approx(10_000, rel=0.06)


def test_two_connections_share_the_bandwidth_of_one_link() -> None:
    link = Pacer(10_000)
    pipes = [Pipe(Stream.UPSTREAM, Random(n), link) for n in range(2)]
    for made in pipes:
        made.offer(500, 0)
    assert isinstance(pipes[0].poll(0), Send)
    assert pipes[1].poll(0) == Wait(50 * MS)
    assert pipes[1].poll(50 * MS) == Send(500)


def test_a_stalled_pipe_keeps_everything_and_goes_on_where_it_was() -> None:
    made = pipe(shape=LinkShape(stalled=True))
    made.offer(100, 0)
    made.offer_end(1)
    assert made.poll(SECOND) == Wait(None)
    made.shape = LinkShape()
    assert drain(made, 2 * SECOND) == ([(2 * SECOND, 100)], Finished(Finish.HALF_CLOSE), 2 * SECOND)


def test_a_frozen_pipe_stays_silent_even_on_a_healthy_link() -> None:
    made = pipe()
    made.frozen = True
    made.offer(100, 0)
    assert made.poll(SECOND) == Wait(None)


def test_slow_close_delays_the_end_alone() -> None:
    made = pipe({"type": "slow_close", "attributes": {"delay": 700}})
    made.offer(10, 0)
    made.offer_end(0)
    assert drain(made) == ([(0, 10)], Finished(Finish.HALF_CLOSE), 700 * MS)


@pytest.mark.parametrize(("kind", "how"), [("timeout", Finish.CLOSE), ("reset_peer", Finish.RESET)])
def test_timeout_closes_and_reset_peer_resets_when_due(kind: str, how: Finish) -> None:
    made = pipe({"type": kind, "attributes": {"timeout": 300}})
    assert made.offer(10, 0) == (kind == "reset_peer")
    _, finished, at_us = drain(made)
    assert (finished, at_us) == (Finished(how), 300 * MS)


def test_timeout_zero_drops_until_it_is_removed() -> None:
    made = pipe({"type": "timeout", "attributes": {"timeout": 0}})
    assert not made.offer(10, 0)
    made.set_toxics([], 5)
    assert made.offer(20, 6)
    assert drain(made, 6) == ([(6, 20)], None, 6)


def test_limit_data_closes_after_exactly_that_many_bytes() -> None:
    made = pipe({"type": "limit_data", "attributes": {"bytes": 150}})
    made.offer(100, 0)
    made.offer(100, 0)
    sent, finished, _ = drain(made)
    assert (sum(size for _, size in sent), finished) == (150, Finished(Finish.CLOSE))


def test_slicer_cuts_into_slices_of_its_size_with_its_delay() -> None:
    made = pipe({"type": "slicer", "attributes": {"average_size": 64, "size_variation": 8, "delay": 500}})
    made.offer(6400, 0)
    sent, _, _ = drain(made)
    assert sum(size for _, size in sent) == 6400
    assert all(56 <= size <= 72 for _, size in sent[:-1])
    assert [at for at, _ in sent] == [number * 500 for number in range(len(sent))]


@pytest.mark.parametrize("made", [pipe({"type": "lose_answers"}), pipe(shape=LinkShape(lose_answers=True))])
def test_a_lost_answer_resets_instead_of_arriving(made: Pipe) -> None:
    assert made.poll(0) == Wait(None)
    assert not made.offer(10, 5)
    assert made.poll(5) == Finished(Finish.RESET, lost_answer=True)


def test_loss_makes_bytes_late_by_whole_retransmissions() -> None:
    made = pipe(shape=LinkShape(loss_ppm=300_000), seed=4)
    late = []
    for number in range(400):
        now_us = number * 60 * SECOND
        made.offer(1000, now_us)
        late.append(drain(made, now_us)[2] - now_us)
    assert sum(delay > 0 for delay in late) / len(late) == pytest.approx(0.3, abs=0.06)
    assert {delay for delay in late if delay} <= {RETRANSMIT_US * (2**n - 1) for n in range(1, 7)}


def test_toxicity_hits_that_share_of_the_connections() -> None:
    toxic = {"type": "reset_peer", "toxicity": 0.25}
    hit = [isinstance(pipe(toxic, seed=seed).poll(0), Finished) for seed in range(1000)]
    assert sum(hit) / len(hit) == pytest.approx(0.25, abs=0.04)


def test_a_full_pipe_has_no_room_until_bytes_have_left() -> None:
    made = pipe(shape=LinkShape(stalled=True))
    while made.has_room:
        made.offer(65_536, 0)
    assert made._queued_bytes == PIPE_BYTES_MAX
    made.shape = LinkShape()
    made.poll(0)
    assert made.has_room


TOXICS = st.sampled_from(
    [
        {"type": "latency", "attributes": {"latency": 30, "jitter": 20}},
        {"type": "bandwidth", "attributes": {"rate": 7}},
        {"type": "slow_close", "attributes": {"delay": 40}},
        {"type": "slicer", "attributes": {"average_size": 300, "size_variation": 200, "delay": 10}},
    ]
)
SHAPES = st.builds(LinkShape, latency_us=st.integers(0, SECOND), loss_ppm=st.integers(0, 500_000))


@pytest.mark.no_cover
@given(
    st.lists(TOXICS, max_size=4, unique_by=lambda toxic: str(toxic["type"])),
    SHAPES,
    st.none() | st.integers(1000, 10**7),
    st.lists(st.tuples(st.integers(1, 5000), st.integers(0, 100_000)), max_size=10),
)
def test_faults_that_lose_nothing_deliver_every_byte_in_order_and_then_the_end(
    toxics: list[dict[str, Any]], shape: LinkShape, rate: int | None, offers: list[tuple[int, int]]
) -> None:
    made = pipe(*toxics, shape=shape, rate=rate)
    now_us = 0
    for size, pause_us in offers:
        now_us += pause_us
        assert made.offer(size, now_us)
    made.offer_end(now_us)
    sent, finished, _ = drain(made)
    assert sum(size for _, size in sent) == sum(size for size, _ in offers)
    assert [at for at, _ in sent] == sorted(at for at, _ in sent)
    assert finished == Finished(Finish.HALF_CLOSE)


@pytest.mark.parametrize(
    ("toxic", "field"),
    [
        ({"type": "lag"}, "type"),
        ({}, "type"),
        ([], "toxic"),
        ({"type": "latency", "attributes": {}}, "latency"),
        ({"type": "latency", "attributes": {"latency": 1, "jittr": 2}}, "jittr"),
        ({"type": "latency", "attributes": {"latency": -1}}, "latency"),
        ({"type": "bandwidth", "attributes": {"rate": 0}}, "rate"),
        ({"type": "slicer", "attributes": {"average_size": 5, "size_variation": 5}}, "size_variation"),
        ({"type": "reset_peer", "toxicity": 1.5}, "toxicity"),
        ({"type": "reset_peer", "stream": "sideways"}, "stream"),
        ({"type": "lose_answers", "stream": "upstream"}, "stream"),
    ],
)
def test_a_toxic_that_is_none_is_refused_by_field(toxic: object, field: str) -> None:
    with pytest.raises(ToxicError) as caught:
        parse_toxic(toxic)
    assert caught.value.field == field


def test_a_toxic_reads_like_toxiproxys() -> None:
    toxic = parse_toxic({"type": "latency", "attributes": {"latency": 9}})
    assert toxic.as_json() == {
        "name": "latency_downstream",
        "type": "latency",
        "stream": "downstream",
        "toxicity": 1.0,
        "attributes": {"latency": 9, "jitter": 0},
    }
