"""The fleet's configuration: what is refused, with the key and what was expected."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from firmware_sim.build import FleetError, build_fleet
from firmware_sim.config import FleetConfig
from firmware_sim.flash import MemoryMedium
from firmware_sim.outbox import Flash
from firmware_sim.supply import MainsSupply
from sensors.reading import Reading

TEMPERATURE = {"part": "SHT31", "quantity": "temperature", "signal": {"kind": "constant", "value": 21}}
GROUP = {"name": "room", "sensors": [TEMPERATURE]}


def fleet(*, group: dict[str, Any] | None = None, **changes: Any) -> FleetConfig:
    return FleetConfig.model_validate({"devices": [GROUP | (group or {})], **changes})


def build(config: FleetConfig) -> list[Reading]:
    """Build it, and let each device measure for a minute."""
    seen: list[Reading] = []
    devices = build_fleet(config, Flash(MemoryMedium()), lambda reading, _at_ms: seen.append(reading), first_boot=1)
    for device in devices:
        device.start(0)
        device.step(60_000)
    return seen


def test_the_smallest_fleet_has_defaults_for_everything_else() -> None:
    config = fleet()
    assert (config.site, config.mqtt.port, config.devices[0].interval_s, config.data_dir) == ("site", 1883, 60.0, None)


@pytest.mark.parametrize(
    ("changes", "where", "expected"),
    [
        ({"site": "a/b"}, ("site",), "expected no wildcard"),
        ({"speeed": 2}, ("speeed",), "Extra inputs are not permitted"),
        ({"devices": []}, ("devices",), "at least one group"),
        ({"mqtt": {"port": 0}}, ("mqtt", "port"), "greater than or equal to 1"),
        ({"mqtt": {"protocol": "4"}}, ("mqtt", "protocol"), "'5' or '3.1.1'"),
        ({"mqtt": {"topic_root": "a//b"}}, ("mqtt", "topic_root"), "is empty"),
        ({"mqtt": {"tls": {"cert_file": "c.pem"}}}, ("mqtt", "tls"), "cert_file and key_file together"),
        ({"group": {"interval_s": 0}}, ("devices", 0, "interval_s"), "greater than or equal to 0.01"),
        ({"group": {"interval_s": 5, "jitter_s": 5}}, ("devices", 0), "expected less than interval_s, 5.0"),
        ({"group": {"delta": {"temp": 1}}}, ("devices", 0), "expected names of sensors (temperature), found temp"),
        ({"group": {"sensors": [TEMPERATURE] * 2}}, ("devices", 0), "each name once"),
        ({"group": {"outbox": {"bytes_max": 100}}}, ("devices", 0, "outbox", "bytes_max"), "equal to 4096"),
        ({"group": {"outbox": {"policy": "drop"}}}, ("devices", 0, "outbox", "policy"), "'drop-oldest'"),
        ({"group": {"sensors": []}}, ("devices", 0, "sensors"), "expected 1 to 59 sensors, found 0"),
        ({"devices": [GROUP, GROUP]}, (), "expected each name once, found room more than once"),
    ],
)
def test_a_mistake_is_refused_naming_key_and_expectation(
    changes: dict[str, Any], where: tuple[str | int, ...], expected: str
) -> None:
    with pytest.raises(ValidationError) as caught:
        fleet(**changes)
    (error,) = caught.value.errors()
    assert error["loc"] == where
    assert expected in error["msg"]


@pytest.mark.parametrize(
    ("sensor", "expected"),
    [
        ({"part": "SHT31", "signal": {"kind": "constant", "value": 1}}, "part and quantity together"),
        ({"signal": {"kind": "constant", "value": 1}}, "expected name"),
        ({**TEMPERATURE, "unit": "Cel"}, "the catalogue has it"),
        ({**TEMPERATURE, "signal": {"kind": "sine"}}, "'constant', 'daily', 'seasonal', 'daylight'"),
        (
            {**TEMPERATURE, "signal": {"kind": "walk", "start": 9, "step_per_sqrt_s": 1, "low": 0, "high": 5}},
            "low <= start <= high",
        ),
    ],
)
def test_a_sensor_that_makes_no_sense_is_refused(sensor: dict[str, Any], expected: str) -> None:
    with pytest.raises(ValidationError, match=r"devices\.0\.sensors\.0") as caught:
        fleet(group={"sensors": [sensor]})
    assert expected in str(caught.value)


@pytest.mark.parametrize(
    ("group", "expected"),
    [
        ({"sensors": [{**TEMPERATURE, "part": "SHT99"}]}, "devices.0.sensors.0: part 'SHT99' is not in the catalogue"),
        ({"sensors": [{**TEMPERATURE, "quantity": "co2"}]}, "does not measure 'co2'"),
        ({"battery": {"cell": "aaa", "board": "esp32-wifi"}}, "devices.0.battery: .*2xaa-alkaline"),
        ({"battery": {"cell": "cr2032", "board": "esp33"}}, "devices.0.battery: .*esp32-wifi"),
    ],
)
def test_what_no_catalogue_knows_is_refused_with_what_it_knows(group: dict[str, Any], expected: str) -> None:
    with pytest.raises(FleetError, match=expected):
        build(fleet(group=group))


def test_a_recording_that_cannot_be_read_is_refused_naming_the_sensor(tmp_path: Path) -> None:
    csv = {"kind": "csv", "file": str(tmp_path / "no.csv"), "column": "t", "time_column": "at"}
    with pytest.raises(FleetError, match=r"devices\.0\.sensors\.0: .*no\.csv"):
        build(fleet(group={"sensors": [{"name": "t", "unit": "Cel", "signal": csv}]}))


def test_names_are_numbered_and_filled_so_that_they_sort() -> None:
    names = fleet(group={"count": 12}).devices[0].device_names()
    assert (names[0], names[-1]) == ("room-01", "room-12")
    assert names == sorted(names)
    assert fleet().devices[0].device_names() == ["room"]


def test_a_password_is_not_shown() -> None:
    config = fleet(mqtt={"username": "u", "password": "hunter2"})
    assert "hunter2" not in repr(config) + config.model_dump_json()


def test_a_recording_is_what_the_devices_measure_and_each_is_staggered(tmp_path: Path) -> None:
    path = tmp_path / "r.csv"
    path.write_text("at,t\n" + "".join(f"{n},{n * 10}\n" for n in range(100)))
    signal = {"kind": "csv", "file": str(path), "column": "t", "time_column": "at", "time_format": "s", "stagger_s": 20}
    group = {"count": 2, "interval_s": 1, "sensors": [{"name": "t", "unit": "Cel", "signal": signal}]}
    seen = build(fleet(group=group))
    for device, shift in (("room-1", 0.0), ("room-2", 200.0)):
        readings = [reading for reading in seen if reading.device == device]
        values = [float(reading.values[0].value) for reading in readings]
        assert [round(b - a, 6) for a, b in pairwise(values)][:20] == [10.0] * 20
        assert shift <= values[0] <= shift + 10.0
        assert readings[0].values[0].unit == "Cel"


def test_every_kind_of_signal_measures_and_a_seed_repeats_it() -> None:
    sensors = [
        {
            "part": "SHT31",
            "quantity": "temperature",
            "signal": {"kind": "daily", "mean": 21, "amplitude": 3, "noise": 1},
        },
        {
            "name": "level",
            "unit": "m",
            "signal": {"kind": "walk", "start": 5, "step_per_sqrt_s": 1, "low": 0, "high": 10},
        },
        {"name": "fixed", "unit": "V", "signal": {"kind": "constant", "value": 3.3}},
    ]
    group = {"count": 2, "interval_s": 1, "sensors": sensors}
    first, again, other = build(fleet(group=group)), build(fleet(group=group)), build(fleet(group=group, seed=2))
    assert first == again
    assert [reading.values for reading in first] != [reading.values for reading in other]
    levels = [float(reading.values[1].value) for reading in first]
    assert 0 <= min(levels) < max(levels) <= 10
    assert {reading.values[2].value for reading in first} == {3.3}
    assert all(15 < float(reading.values[0].value) < 27 for reading in first)


def test_the_spread_of_clocks_gives_each_device_its_own_error() -> None:
    config = fleet(group={"count": 20, "clock": {"ppm": 10, "ppm_spread": 5}})
    devices = build_fleet(config, Flash(MemoryMedium()), lambda *_: None, first_boot=1)
    ppms = {device.spec.clock.ppm for device in devices}
    assert len(ppms) == 20
    assert 5 <= min(ppms) < max(ppms) <= 15


def test_times_out_scale_with_speed_because_answers_come_in_real_time() -> None:
    (device,) = build_fleet(fleet(speed=60), Flash(MemoryMedium()), lambda *_: None, first_boot=1)
    assert device.spec.sender.ack_timeout_ms == 60 * 30_000
    assert isinstance(device.supply, MainsSupply)
