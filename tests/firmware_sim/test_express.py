"""The short way of a reading against the long one: the same lines, and every book as it would have been."""

from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from firmware_sim.config import FleetConfig
from firmware_sim.device import Device
from firmware_sim.express import as_received
from firmware_sim.readings_files import JsonLines
from firmware_sim.virtual import _VirtualFleet
from sensors.reading import Reading, Value
from sensors.senml import decode, encode

HOUR_MS = 3_600_000
NOW_MS = 1_767_225_600_000
SENSOR = {
    "part": "SHT31",
    "quantity": "temperature",
    "signal": {"kind": "daily", "mean": 20.0, "amplitude": 5.0, "noise": 0.5},
}
batteries = st.one_of(
    st.none(),
    st.fixed_dictionaries(
        {
            "cell": st.sampled_from(["18650-li-ion", "2xaa-alkaline", "cr2032"]),
            "board": st.sampled_from(["esp32-wifi", "casals-lorawan"]),
            "state_of_charge": st.sampled_from([0.06, 0.2, 1.0]),
            "report_every": st.integers(1, 3),
            "low_percent": st.sampled_from([0.0, 50.0]),
            "low_stretch": st.integers(1, 3),
        }
    ),
)
groups = st.fixed_dictionaries(
    {
        "interval_s": st.sampled_from([60.0, 250.0]),
        "jitter_s": st.sampled_from([0.0, 30.0]),
        "battery": batteries,
        "delta": st.sampled_from([{}, {"temperature": 0.2}]),
        "heartbeat_s": st.sampled_from([None, 1800.0]),
        "clock": st.fixed_dictionaries(
            {
                "source": st.sampled_from(["network", "rtc", "none"]),
                "ppm": st.sampled_from([0.0, 40.0]),
                "sync_error_ms": st.sampled_from([0, 50]),
            }
        ),
        "outbox": st.fixed_dictionaries({"policy": st.sampled_from(["drop-oldest", "stop-sampling"])}),
        "send": st.fixed_dictionaries(
            {
                "batch": st.integers(1, 2),
                "receive_window_s": st.sampled_from([None, 2.0]),
                "acknowledge": st.sampled_from(["gateway", "gateway", "broker"]),
            }
        ),
    }
)


def run(group: dict[str, Any], hours: float) -> tuple[bytes, list[Any], list[Device]]:
    fleet = {"devices": [{"name": "d", "sensors": [SENSOR]} | {k: v for k, v in group.items() if v is not None}]}
    lines: list[bytes] = []
    out = JsonLines(lines.append)
    world = _VirtualFleet(FleetConfig.model_validate(fleet), out)
    report = world.run(round(hours * HOUR_MS), lambda: False)
    out.close()
    books = [
        (
            report,
            device.counters,
            device.phase,
            device.next_wake_ms,
            device.supply.voltage_v(),
            device.supply.level_percent(),
            device.outbox.boot,
            device.outbox.next_seq,
            device.outbox.newest_at_ms,
            device.outbox.bytes_used,
            device.outbox.bytes_written,
            device.outbox.lost,
            list(device.outbox.records()),
        )
        for device in world.devices
    ]
    return b"".join(lines), books, world.devices


@pytest.mark.no_cover
@settings(max_examples=15, phases=[Phase.generate])  # shrinking a fleet takes minutes
@given(group=groups)
def test_the_short_way_leaves_everything_as_the_long_one_does(group: dict[str, Any]) -> None:
    assert_both_ways_alike(group, hours=3)


@pytest.mark.no_cover
@pytest.mark.parametrize("battery", [None, {"cell": "18650-li-ion", "board": "esp32-wifi", "capacity_mah": 25.0}])
def test_it_does_over_days_with_synchronised_clocks_and_a_battery_that_dies(battery: dict[str, Any] | None) -> None:
    clock = {"ppm": 40.0, "sync_error_ms": 50}
    send = {"receive_window_s": 1.0}
    assert_both_ways_alike(
        {"interval_s": 900.0, "clock": clock, "battery": battery, "send": send, "count": 2}, hours=60
    )


def test_it_does_where_the_radio_pulse_browns_the_device_out_again_and_again() -> None:
    battery = {"cell": "2xaa-alkaline", "board": "casals-lorawan", "state_of_charge": 0.06}
    assert_both_ways_alike({"interval_s": 60.0, "battery": battery}, hours=0.7)


@pytest.mark.parametrize("cut_s", [0, 7, 15, 23, 31, 39, 47, 55])
def test_it_does_where_the_run_ends_within_a_receive_window(cut_s: int) -> None:
    """A window that nobody will speak into is over at once, but not one that the run does not see the end of."""
    battery = {"cell": "18650-li-ion", "board": "esp32-wifi"}
    group = {"interval_s": 60.0, "battery": battery, "send": {"receive_window_s": 20.0}}
    assert_both_ways_alike(group, 0.5 + cut_s / 3600)


def assert_both_ways_alike(group: dict[str, Any], hours: float) -> None:
    short = run(group, hours)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Device, "_is_calm", lambda _self, _at_ms: False)
        long = run(group, hours)
    assert short[0] == long[0]
    assert short[1] == long[1]
    for ours, theirs in zip(short[2], long[2], strict=True):
        assert ours.supply.energy() == theirs.supply.energy()


def test_nearly_every_reading_of_a_quiet_fleet_goes_the_short_way(monkeypatch: pytest.MonkeyPatch) -> None:
    packs: list[int] = []

    def pack(readings: list[Reading], **how: Any) -> bytes:
        packs.append(len(readings))
        return encode(readings, **how)

    monkeypatch.setattr("firmware_sim.device.encode_senml", pack)
    lines, _, _ = run({"interval_s": 400.0, "battery": {"cell": "18650-li-ion", "board": "esp32-wifi"}}, hours=5)
    assert lines.count(b"\n") > 40
    assert sum(packs) <= 1


@given(
    st.lists(
        st.one_of(st.floats(allow_nan=False, allow_infinity=False), st.booleans(), st.integers(-(2**40), 2**40)),
        min_size=1,
        max_size=5,
    ),
    st.integers(NOW_MS, NOW_MS + 10**12),
)
def test_a_reading_is_received_as_it_comes_out_of_its_bytes(numbers: list[float], taken_at_ms: int) -> None:
    values = tuple(Value(f"v{n}", number, "Cel") for n, number in enumerate(numbers))
    reading = Reading("d", 1, 7, taken_at_ms, values)
    (decoded,) = decode(encode([reading], sent_at_ms=NOW_MS), device="d", received_at_ms=NOW_MS)
    received = as_received(reading)
    assert received == decoded
    assert [type(value.value) for value in received.values] == [type(value.value) for value in decoded.values]


@pytest.mark.parametrize(
    "reading",
    [
        Reading("d", 1, 7, 1_000, (Value("t", 1.0),)),
        Reading("d", 1, 7, NOW_MS, (Value("t", 1.0),), synced=False),
        Reading("d", 1, 7, NOW_MS, (Value("t", float("nan")),)),
    ],
)
def test_what_would_come_out_otherwise_takes_the_long_way(reading: Reading) -> None:
    assert as_received(reading) is None
