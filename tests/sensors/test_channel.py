"""A sensor end to end: the same seed says the same, on any machine, and the truth is labelled."""

import hashlib

from sensors.catalogue import load_parts
from sensors.channel import Channel
from sensors.fault_plans import FaultRate, RandomFaults, Schedule
from sensors.faults import Dropout, Episode, Offset, Spike
from sensors.noise import OrnsteinUhlenbeck
from sensors.occupancy import Occupancy
from sensors.room import Room
from sensors.signals import Constant, Daylight, Signal
from sensors.weather import temperate_outdoors

START_MS = 1_780_272_000_000  # 2026-06-01T00:00:00Z
GOLDEN = "13e04c7490d4835fd81fa2ffee4ac8895ccefe24a4d153f7ea388e7672afed99"


def office_channels(seed: int) -> list[Channel]:
    outdoors = temperate_outdoors(seed)
    office = Room(Occupancy(seed, 4), Constant(21.0), outdoors.temperature, Constant(75.0), Daylight(400.0))
    parts = load_parts()
    faults = RandomFaults(seed, [FaultRate(Offset(5.0), 1.0, 3_600.0), FaultRate(Spike(80.0), 2.0, 900.0)])
    sensors: list[tuple[str, str, str, Signal]] = [
        ("temperature", "SHT31", "temperature", office.temperature),
        ("humidity", "SHT31", "humidity", office.humidity),
        ("co2", "SCD41", "co2", office.co2),
        ("light", "BH1750", "illuminance", office.light),
        ("door", "MDSR-10", "contact", office.door),
        ("pressure", "BME280", "pressure", outdoors.pressure),
    ]
    return [Channel(name, parts[part].quantity(what), signal, seed, [faults]) for name, part, what, signal in sensors]


def digest(seed: int) -> str:
    lines = [
        f"{channel.name},{channel.unit},{sample.value!r},{sample.fault_label}"
        for channel in office_channels(seed)
        for sample in (channel.sample(START_MS + step * 300_000) for step in range(864))
    ]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def test_a_seed_gives_the_same_bytes_on_every_machine() -> None:
    assert digest(42) == GOLDEN


def test_another_seed_gives_other_readings() -> None:
    assert digest(43) != digest(42)


def test_channels_of_one_device_do_not_share_their_noise() -> None:
    quantity = load_parts()["SHT31"].quantity("temperature")
    signal = OrnsteinUhlenbeck(1, 1.0, 60.0)
    first, second = (Channel(name, quantity, signal, 7) for name in ("inside", "outside"))
    assert [first.sample(ms).value for ms in range(0, 9_000, 1_000)] != [
        second.sample(ms).value for ms in range(0, 9_000, 1_000)
    ]


def test_the_truth_is_the_signal_and_the_fault_is_named() -> None:
    quantity = load_parts()["SHT31"].quantity("temperature")
    channel = Channel("t", quantity, Constant(20.0), 7, [Schedule([Episode(Dropout(), 1_000, 2_000)])])
    samples = [channel.sample(at_ms) for at_ms in (0, 1_000, 2_000)]
    assert [sample.truth for sample in samples] == [20.0, 20.0, 20.0]
    assert [sample.fault_label for sample in samples] == [None, "dropout", None]
    assert samples[1].value is None
    assert abs((samples[0].value or 0.0) - 20.0) < 0.3
