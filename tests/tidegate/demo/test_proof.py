"""The proof must not be fooled: every way in which a cloud can be wrong is named."""

from typing import Any

import pytest

from edge.forward.lines import field_name, timestamp_ns
from firmware_sim.truth import TruthLine
from sensors.reading import Value
from tidegate.demo.proof import Proof, prove

T0_MS = 1_700_000_000_000


def line(seq: int) -> TruthLine:
    return TruthLine("room-1", 7, seq, T0_MS + seq, True, (Value("temperature", 20.5 + seq, "Cel"), Value("on", True)))  # noqa: FBT003


def point(seq: int, **changes: Any) -> dict[str, Any]:
    truth = line(seq)
    fields = {field_name(value): value.value for value in truth.values} | {"boot": 7, "seq": seq}
    whole = {
        "tags": {"device": "room-1", "site": "office"},
        "fields": fields,
        "time_ns": timestamp_ns(truth.taken_at_ms, 7, seq),
    }
    return whole | changes


def test_a_cloud_that_holds_everything_once_proves_it() -> None:
    proof = prove([line(0), line(1)], [point(0), point(1)])
    assert proof == Proof(sent=2, in_cloud=2, missing=0, wrong=0, duplicates=0, unexpected=0)
    assert proof.holds


@pytest.mark.parametrize(("late_ms", "holds"), [(0, True), (4999, True), (5001, False), (-5001, False)])
def test_a_reading_of_a_device_without_a_clock_must_have_about_the_true_time(late_ms: int, holds: bool) -> None:
    unsynced = TruthLine("room-1", 7, 0, 123, synced=False, values=line(0).values, at_ms=T0_MS)
    point_of_it = point(0, time_ns=timestamp_ns(T0_MS + late_ms, 7, 0))
    assert prove([unsynced], [point_of_it]).holds is holds


@pytest.mark.parametrize(
    ("points", "trouble"),
    [
        ([point(0)], "missing"),
        ([point(0), point(1, time_ns=1)], "wrong"),
        ([point(0), point(1, fields={"boot": 7, "seq": 1, "temperature_Cel": 20.0, "on": True})], "wrong"),
        ([point(0), point(1, fields={"boot": 7, "seq": 1, "temperature_Cel": 21.5})], "wrong"),
        ([point(0), point(1), point(1)], "duplicates"),
        ([point(0), point(1), point(2)], "unexpected"),
    ],
)
def test_every_trouble_is_counted_named_and_fails_the_proof(points: list[dict[str, Any]], trouble: str) -> None:
    proof = prove([line(0), line(1)], points)
    assert getattr(proof, trouble) == 1
    assert list(proof.examples) == [trouble]
    assert "room-1 boot 7 seq" in proof.examples[trouble][0]
    assert not proof.holds
