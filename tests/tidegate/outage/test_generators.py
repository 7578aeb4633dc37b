"""Generators: the same seed gives the same link, published figures hold, parameters are checked."""

from itertools import islice
from random import Random

import pytest

from edge.outages.events import PPM, Status
from edge.outages.recording import encode_recording
from edge.outages.rules import RecordingError
from tidegate.outage import builder
from tidegate.outage.generators import GENERATORS, GeneratorError, GilbertElliott, generate, make_generator
from tidegate.outage.report import link_stats

DAY_S = 86_400.0


@pytest.mark.no_cover
@pytest.mark.parametrize("kind", GENERATORS)
def test_the_same_seed_gives_the_same_recording_and_another_seed_another(kind: str) -> None:
    def text(seed: int) -> bytes:
        return b"".join(encode_recording(generate(make_generator(kind, {}), Random(seed), DAY_S)))

    assert text(7) == text(7)
    assert (text(7) != text(8)) == (kind != "periodic")


@pytest.mark.parametrize("kind", GENERATORS)
def test_every_kind_of_link_has_outages_and_fills_its_duration(kind: str) -> None:
    recording = generate(make_generator(kind, {}), Random(3), 2 * DAY_S)
    figures = link_stats(recording, "uplink")
    assert recording.end_us == 2 * DAY_S * 1_000_000
    assert figures["outages"] > 0
    assert figures["unknown_us"] == 0
    assert figures["up_us"] > 0


@pytest.mark.no_cover
@pytest.mark.parametrize(("p", "r", "loss"), [(0.01, 0.1, 0.09091), (0.05, 0.4, 0.11111)])
def test_gilbert_elliott_loses_as_much_in_bursts_as_long_as_published(p: float, r: float, loss: float) -> None:
    """Loss p/(p+r) and mean burst 1/r (published figures), over three million steps; 1 % relative."""
    phases = list(islice(GilbertElliott(p, r).phases(Random(1)), int(6_000_000 * p)))
    steps = [phase.length_us // 1_000_000 for phase in phases]
    bad = [step for step, phase in zip(steps, phases, strict=True) if phase.status is Status.DOWN]
    assert sum(bad) / sum(steps) == pytest.approx(loss, rel=0.01)
    assert sum(bad) / len(bad) == pytest.approx(1 / r, rel=0.01)


def test_a_bad_state_that_loses_some_is_degraded() -> None:
    phases = list(islice(GilbertElliott(bad_loss=0.5, good_loss=0.1).phases(Random(1)), 2))
    assert [(phase.status, phase.loss_ppm) for phase in phases] == [
        (Status.UP, PPM // 10),
        (Status.DEGRADED, PPM // 2),
    ]


def test_a_periodic_link_is_down_at_the_end_of_each_period() -> None:
    recording = generate(make_generator("periodic", {"period_s": "10", "down_s": "2"}), Random(0), 30)
    spans = [(outage.start_us, outage.end_us) for outage in recording.timeline("uplink").outages()]
    assert spans == [(8_000_000, 10_000_000), (18_000_000, 20_000_000), (28_000_000, 30_000_000)]


def test_a_commuter_drives_through_the_tunnels_twice_a_day_and_sleeps_at_night() -> None:
    recording = generate(make_generator("tunnel-commute", {"tunnels": 3}), Random(5), 10 * DAY_S)
    outages = recording.timeline("uplink").outages()
    assert len(outages) == 2 * 3 * 10
    hours = {outage.start_us // 3_600_000_000 % 24 for outage in outages}
    assert hours <= {7, 8, 17, 18}


@pytest.mark.parametrize(
    ("kind", "parameters", "field"),
    [
        ("periodic", {"down_s": "3600"}, "down_s"),
        ("periodic", {"cause": "bored"}, "cause"),
        ("gilbert-elliott", {"p": "1.5"}, "p"),
        ("gilbert-elliott", {"q": "1"}, "q"),
        ("gilbert-elliott", {"step_s": "1e-9"}, "step_s"),
        ("satellite-passes", {"shortest_s": "700"}, "longest_s"),
        ("carrier-pigeon", {}, "kind"),
    ],
)
def test_a_parameter_out_of_range_is_named(kind: str, parameters: dict[str, str], field: str) -> None:
    with pytest.raises(GeneratorError) as caught:
        make_generator(kind, parameters)
    assert caught.value.field == field


def test_a_cause_that_there_is_not_is_answered_with_those_there_are() -> None:
    with pytest.raises(GeneratorError, match=r"cause: expected one of dns, refused, .*found 'bored'"):
        make_generator("periodic", {"cause": "bored"})


def test_a_recording_that_no_reader_would_take_is_not_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(builder, "EVENTS_MAX", 10)
    with pytest.raises(RecordingError, match="at most 10 events"):
        generate(make_generator("flapping", {}), Random(0), DAY_S)


@pytest.mark.parametrize("duration_s", [0.0, -1.0, 1e9, float("nan")])
def test_a_duration_out_of_range_is_refused(duration_s: float) -> None:
    with pytest.raises(GeneratorError, match="duration_s"):
        generate(make_generator("periodic", {}), Random(0), duration_s)
