"""Alert rules: what the configuration refuses, and when they raise and clear."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from edge.alerts.rules import RuleKind
from edge.alerts.watch import DELAY_BUCKET_MS, POINTS, Delays, Limits, Series
from edge.config import EdgeConfig
from sensors.reading import Reading, Value
from tests.edge.alerts.kit import WARM, Told, desk_with, look, rule, take, told, warmth
from tests.edge.kit import T0_MS, message

SILENT = {"name": "gone", "kind": "no_data", "after_s": 60}


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"kind": "threshold", "value": "t"}, "above and below: expected exactly one"),
        ({"kind": "threshold", "value": "t", "above": 1, "below": 0}, "above and below: expected exactly one"),
        ({"kind": "threshold", "above": 1}, "value: expected for kind threshold"),
        ({"kind": "threshold", "value": "t", "above": 1, "window_s": 60}, "window_s: expected only for rate_of_change"),
        ({"kind": "rate_of_change", "value": "t", "above": 1}, "window_s: expected for kind rate_of_change"),
        ({"kind": "no_data"}, "after_s: expected for kind no_data"),
        ({"kind": "no_data", "after_s": 60, "above": 1}, "above: expected only for threshold or rate_of_change"),
        ({"kind": "threshold", "value": "t", "above": float("nan")}, "finite"),
        ({"kind": "threshold", "value": "t", "above": 1, "message": "{numbr}"}, "{numbr}: expected one of site"),
        ({"kind": "threshold", "value": "t", "above": 1, "message": "{number:99999d}"}, "{number}: expected no format"),
        ({"kind": "threshold", "value": "t", "above": 1, "message": "{site.x}"}, "{site.x}: expected one of"),
        ({"kind": "threshold", "value": "t", "above": 1, "hysteresis": -1}, "greater than or equal to 0"),
        ({"kind": "no_data", "after_s": 60, "name": "a/b"}, "name"),
    ],
)
def test_a_rule_that_cannot_be_applied_is_refused_with_its_key(keys: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError) as error:
        rule(**({"name": "r"} | keys))
    assert words in str(error.value)


def test_two_rules_of_one_name_are_refused() -> None:
    with pytest.raises(ValidationError, match="rules 'gone': expected each name once"):
        EdgeConfig.model_validate({"rules": [SILENT, SILENT]})


@pytest.mark.no_cover
@given(st.lists(st.floats(7.0001, 10.0), min_size=1, max_size=30), st.booleans())
def test_nothing_changes_within_the_band(numbers: list[float], starts_active: bool) -> None:
    limits, series = Limits(rule(**WARM)), Series(b"r", None)
    if starts_active:
        assert limits.step(series, (0, 1, 0), 11.0, 0) is not None
    changes = [limits.step(series, (at, 1, at), number, 0) for at, number in enumerate(numbers, 1)]
    assert changes == [None] * len(numbers)
    assert series.is_active is starts_active


def test_a_lower_limit_is_an_upper_one_mirrored(tmp_path: Path) -> None:
    desk = desk_with(tmp_path, rule(name="cold", kind="threshold", value="temperature", below=2.0, hysteresis=1.0))
    look(desk, 0)
    take(desk, *(warmth(seq, number) for seq, number in enumerate([5.0, 2.0, 1.9, 2.5, 3.0, 1.0])))
    assert [one.event for one in told(desk)] == ["raised", "cleared", "raised"]
    desk.close()


def test_a_hold_time_is_told_by_the_devices_time(tmp_path: Path) -> None:
    desk = desk_with(tmp_path, rule(**WARM, for_s=10))
    look(desk, 0)
    take(desk, *(warmth(seq, number, at_s=at_s) for seq, (at_s, number) in enumerate(
        [(0, 11.0), (9, 12.0), (9.5, 10.0), (12, 11.0), (21.9, 11.0)])))  # fmt: skip
    assert told(desk) == []
    take(desk, warmth(9, 11.0, at_s=22.0))
    assert told(desk) == [Told("raised", "warm", "d1")]
    assert desk.alerts.book.active_of("rule")[0].alert.since_ms == T0_MS + 12_000
    desk.close()


def test_old_news_raises_nothing_and_a_wrong_clock_is_not_old_news(tmp_path: Path) -> None:
    desk = desk_with(tmp_path, rule(**WARM))
    look(desk, 0)
    take(desk, warmth(0, 5.0))
    take(desk, warmth(1, 50.0, at_s=10), warmth(2, 5.0, at_s=20), at_s=3600)  # an outage's worth, all over
    assert told(desk) == []
    for seq in range(3, 60):  # the device's clock was set back by an hour: for half an hour nobody can know
        take(desk, warmth(seq, 50.0, at_s=60 * seq), at_s=3600 + 60 * seq)
    assert told(desk) == [Told("raised", "warm", "d1")]
    raised_ms = desk.alerts.book.active_of("rule")[0].alert.raised_ms
    assert raised_ms - T0_MS - 3_600_000 <= 2 * DELAY_BUCKET_MS + 180_000
    desk.close()


@pytest.mark.no_cover
@given(st.lists(st.tuples(st.integers(1, 4000), st.floats(-1e9, 1e9)), max_size=60))
def test_a_rates_memory_is_bounded_and_its_span_is_the_windows(steps: list[tuple[int, float]]) -> None:
    limits = Limits(rule(name="r", kind="rate_of_change", value="t", above=1, window_s=10))
    series, at_ms = Series(b"r", None), T0_MS
    for step_ms, number in steps:
        at_ms += step_ms
        limits.step(series, (at_ms, 1, 0), number, 0)
        assert len(series.points) <= POINTS + 2
        inside = [point for point in series.points if point[0] > at_ms - 10_000]
        assert len(series.points) - len(inside) <= 1


@given(st.integers(-(10**9), 10**9))
def test_a_constant_delay_is_no_lateness_once_it_is_known(delay_ms: int) -> None:
    delays = Delays()
    found = [delays.lateness_ms(at + delay_ms, at) for at in range(0, 4 * DELAY_BUCKET_MS, 60_000)]
    assert found[-1] == 0


def test_silence_is_noticed_once_and_ends_with_the_next_reading(tmp_path: Path) -> None:
    desk = desk_with(tmp_path, rule(**SILENT, severity="critical"))
    look(desk, 0)
    take(desk, warmth(0, 1.0), warmth(1, 1.0, device="d2"), at_s=10)
    take(desk, warmth(1, 1.0), at_s=50)
    look(desk, 69.9)
    assert told(desk) == []
    look(desk, 70)
    look(desk, 90)
    assert told(desk) == [Told("raised", "gone", "d2")]
    take(desk, warmth(2, 1.0, device="d2", at_s=0), at_s=95)  # late, but a sign of life
    assert told(desk)[1:] == [Told("cleared", "gone", "d2")]
    desk.close()


def test_a_step_of_the_wall_clock_raises_nothing(tmp_path: Path) -> None:
    desk = desk_with(tmp_path, rule(**SILENT))
    look(desk, 0)
    take(desk, warmth(0, 1.0), at_s=10)
    look(desk, 20, wall_off_s=365 * 86_400)
    look(desk, 30, wall_off_s=-365 * 86_400)
    assert told(desk) == []
    desk.close()


def test_a_restart_gives_everybody_their_time_again_and_forgets_no_silence(tmp_path: Path) -> None:
    desk = desk_with(tmp_path, rule(**SILENT))
    look(desk, 0)
    take(desk, warmth(0, 1.0), warmth(0, 1.0, device="d2"), at_s=10)
    take(desk, warmth(1, 1.0), at_s=60)
    look(desk, 75)
    assert told(desk) == [Told("raised", "gone", "d2")]
    desk.store.close()
    desk = desk_with(tmp_path, rule(**SILENT))
    look(desk, 1000)
    look(desk, 1059)
    assert len(told(desk)) == 1
    look(desk, 1060)
    assert told(desk)[1:] == [Told("raised", "gone", "d1")]
    desk.close()


def site() -> str:
    return str(message(warmth(0, 1.0)).topic).split("/")[2]


def test_an_expected_device_that_was_never_heard_is_missed_from_the_start_on_and_once(tmp_path: Path) -> None:
    missing = rule(**SILENT, expected=[f"{site()}/d1", f"{site()}/d2"])
    desk = desk_with(tmp_path, missing)
    look(desk, 1000)
    take(desk, warmth(0, 1.0), at_s=1010)
    look(desk, 1059.9)
    assert told(desk) == []
    look(desk, 1060)
    assert told(desk) == [Told("raised", "gone", "d2")]
    desk.store.close()
    desk = desk_with(tmp_path, missing)
    look(desk, 5)
    look(desk, 64.9)
    assert len(told(desk)) == 1
    look(desk, 65)
    assert told(desk)[1:] == [Told("raised", "gone", "d1")], "it is told once of each, whatever restarts"
    take(desk, warmth(0, 1.0, device="d2"), at_s=70)
    assert told(desk)[2:] == [Told("cleared", "gone", "d2")]
    desk.close()


def test_what_is_expected_is_named_as_site_and_device_and_taken_by_the_rule() -> None:
    for expected, words in (("d1", "expected SITE/DEVICE"), ("a/b/c", "device"), ("a/b", "is not a device that")):
        with pytest.raises(ValidationError, match=words):
            rule(**SILENT, site="c", expected=[expected])
    assert rule(**SILENT).fingerprint() != rule(**SILENT, expected=["a/b"]).fingerprint()


def test_silence_of_one_value_is_not_broken_by_another(tmp_path: Path) -> None:
    desk = desk_with(tmp_path, rule(**SILENT, value="door"))
    look(desk, 0)
    take(desk, Reading("d1", 1, 0, T0_MS, (Value("door", 1.0, None),)), at_s=0)
    take(desk, warmth(1, 1.0), at_s=50)
    look(desk, 60)
    assert told(desk) == [Told("raised", "gone", "d1")]
    desk.close()


def test_without_rules_nothing_is_held_back_and_their_alerts_end(tmp_path: Path) -> None:
    desk = desk_with(tmp_path, rule(**WARM))
    look(desk, 0)
    take(desk, warmth(0, 11.0))
    desk.close()
    desk = desk_with(tmp_path)
    look(desk, 10)
    assert [one.event for one in told(desk)] == ["raised", "cleared"]
    assert "rules/log" not in desk.store.cursors()
    desk.take_in([message(warmth(1, 11.0))], 0, T0_MS)
    desk.close()
    desk = desk_with(tmp_path, rule(**WARM))  # begins with what comes from now on
    look(desk, 20)
    assert len(told(desk)) == 2
    take(desk, warmth(2, 11.0, at_s=30))
    assert len(told(desk)) == 3
    desk.close()


def test_what_comes_before_the_first_look_is_looked_at(tmp_path: Path) -> None:
    desk = desk_with(tmp_path, rule(**WARM))
    take(desk, warmth(0, 11.0))
    assert told(desk) == [Told("raised", "warm", "d1")]
    desk.close()


def test_a_rule_that_decides_differently_begins_anew_and_one_that_is_worded_differently_goes_on(tmp_path: Path) -> None:
    desk = desk_with(tmp_path, rule(**WARM))
    look(desk, 0)
    take(desk, warmth(0, 11.0))
    desk.close()
    desk = desk_with(tmp_path, rule(**WARM, message="too warm", severity="critical"))
    look(desk, 10)
    assert len(told(desk)) == 1
    desk.close()
    desk = desk_with(tmp_path, rule(**(WARM | {"above": 20.0})))
    look(desk, 20)
    assert [one.event for one in told(desk)] == ["raised", "cleared"]
    desk.close()


def test_every_kind_has_a_message_of_its_own() -> None:
    base = {"name": "r", "value": "t"}
    rules = {
        RuleKind.THRESHOLD: rule(**base, kind="threshold", above=1),
        RuleKind.RATE_OF_CHANGE: rule(**base, kind="rate_of_change", above=1, window_s=60, per="min"),
        RuleKind.NO_DATA: rule(**base, kind="no_data", after_s=60),
    }
    texts = {kind: each.text(site="s", device="d", unit="Cel", number=2.0) for kind, each in rules.items()}
    assert texts == {
        RuleKind.THRESHOLD: "t is 2 Cel (limit 1)",
        RuleKind.RATE_OF_CHANGE: "t changes by 2 Cel/min (limit 1)",
        RuleKind.NO_DATA: "nothing heard for 60 s",
    }
