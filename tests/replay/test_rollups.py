"""The recomputation of rollups finds what is not as it should be, and accepts what the gateway declares."""

from collections.abc import Mapping

from cloud.lineprotocol import FieldValue, Point, Series
from edge.config import EdgeConfig, InfluxSettings
from sensors.reading import Identity
from tests.replay.kit import outage
from tidegate.replay.faults import GatewayCrash
from tidegate.replay.points import Points
from tidegate.replay.rollups import Differences, compare
from tidegate.replay.run import Fleet, Scenario, run
from tidegate.replay.world import US_PER_S

TAGS = (("device", "d1"), ("site", "s"))
MS = 1_000_000


def cloud(readings: Mapping[int, float | str], **rollup: FieldValue) -> Points:
    """Readings by time in ms, and one rollup of 10 s that starts at 10 s."""
    points = Points(lambda _point, _met: None)
    for seq, (at_ms, value) in enumerate(readings.items()):
        name = "temperature_Cel" if isinstance(value, float) else "door"
        points.write([Point(Series("reading", TAGS), {"boot": 1, "seq": seq, name: value}, at_ms * MS)])
    if rollup:
        points.write([Point(Series("reading_10s", TAGS), rollup, 10_000 * MS)])
    return points


def rollup(count: int, low: float, high: float, last: float, total: float) -> dict[str, FieldValue]:
    values = {"count": count, "min": low, "max": high, "last": last, "mean": total / count, "sum": total}
    return {f"temperature_Cel_{name}": value for name, value in values.items()}


def found(points: Points) -> Differences:
    return compare(points, "reading", [10])


def test_a_right_rollup_is_right_also_of_sums_that_a_plain_sum_gets_wrong() -> None:
    readings = {10_000: 0.1, 12_000: 1e16, 19_999: -1e16}
    assert found(cloud(readings, **rollup(3, -1e16, 1e16, -1e16, 0.1))) == Differences()


def test_a_wrong_value_is_named() -> None:
    differences = found(cloud({10_000: 1.0, 11_000: 2.0}, **rollup(2, 1.0, 2.0, 1.0, 3.0)))
    (wrong,) = differences.wrong
    assert "d1, 10 s from 10000" in wrong
    assert differences.readings == [Identity("d1", 1, 1), Identity("d1", 1, 0)]


def test_a_rollup_that_lacks_a_reading_is_short_and_one_with_more_is_over() -> None:
    assert found(cloud({10_000: 1.0, 11_000: 2.0}, **rollup(1, 1.0, 1.0, 1.0, 1.0))).short == 1
    assert found(cloud({10_000: 1.0}, **rollup(2, 1.0, 1.0, 1.0, 2.0))).over == 1


def test_a_window_that_was_never_emitted_is_short_and_one_of_nothing_is_over() -> None:
    assert found(cloud({10_000: 1.0, 11_000: 2.0})).short == 2
    assert found(cloud({}, **rollup(1, 1.0, 1.0, 1.0, 1.0))).over == 1


def test_a_text_has_a_count_and_a_last() -> None:
    text: dict[str, FieldValue] = {"door_text_count": 2, "door_text_last": "open"}
    assert found(cloud({10_000: "shut", 11_000: "open"}, **text)) == Differences()


def test_quantiles_are_estimates_and_are_not_compared() -> None:
    estimated: dict[str, FieldValue] = {"temperature_Cel_p50": 7.0, "temperature_Cel_p99_9": 7.0}
    assert found(cloud({10_000: 1.0}, **rollup(1, 1.0, 1.0, 1.0, 1.0), **estimated)) == Differences()


def test_a_run_with_an_outage_has_every_window_of_every_size() -> None:
    verdict = run(Scenario(fleet=Fleet(3, 5_000), faults_s=900, uplink=outage(100, 700, end_s=900)))
    assert verdict.passed
    assert verdict.rollups >= 3 * (90 + 15 + 1)
    (during,) = verdict.outages
    assert during.fresh_after_ms is not None
    assert during.complete_after_ms is not None


def test_readings_that_come_late_correct_their_windows() -> None:
    cut = outage(100, 200, end_s=600)
    verdict = run(Scenario(fleet=Fleet(3, 5_000), faults_s=600, device_links={0: cut}))
    assert verdict.passed
    assert verdict.corrections > 0


def test_a_long_outage_comes_as_live_data_and_as_backfill_with_a_mark() -> None:
    busy = Scenario(
        fleet=Fleet(5, 5_000),
        faults_s=600,
        uplink=outage(100, 400, end_s=600),
        faults=(GatewayCrash(300 * US_PER_S),),
        gateway=EdgeConfig(influx=InfluxSettings(batch_rows=20)),
    )
    verdict = run(busy)
    assert verdict.violations == ()
    assert verdict.late_marks > 0
    assert verdict.out_of_order > 0
    (during,) = verdict.outages
    assert during.fresh_after_ms is not None
