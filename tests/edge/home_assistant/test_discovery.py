"""Home Assistant is told of every value, once, under ids that it allows, whatever devices call themselves."""

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.home_assistant.discovery import Discovery, Message, object_id
from edge.home_assistant.settings import HomeAssistantSettings
from sensors.reading import Value
from sensors.units import SECONDARY_UNITS, SENML_UNITS

TEMPERATURE = Value("temperature", 21.5, "Cel")
OPEN = Value(name="open", value=True)
ALLOWED = re.compile(r"[A-Za-z0-9_-]+\Z")


def discovery(**settings: Any) -> Discovery:
    return Discovery(HomeAssistantSettings(enabled=True, **settings), "hall-gateway", "1.2.3")


def content(message: Message) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(message.payload)
    return document


def test_a_device_is_announced_once_with_all_its_values_and_then_only_their_state() -> None:
    told = discovery()
    config, state = told.device("hall", "pump", [TEMPERATURE, OPEN, Value("mode", "auto")])
    assert re.fullmatch(r"homeassistant/device/hall_pump_[0-9a-f]{8}/config", config.topic)
    document = content(config)
    assert document["dev"]["name"] == "pump"
    assert document["dev"]["via_device"] == "hall-gateway"
    assert document["availability_topic"] == told.availability_topic == "tidegate-ha/hall-gateway/availability"
    assert document["state_topic"] == state.topic
    parts = document["cmps"]
    assert {key: part["p"] for key, part in parts.items()} == {
        "temperature_Cel": "sensor", "open": "binary_sensor", "mode": "sensor"
    }  # fmt: skip
    assert parts["temperature_Cel"]["unit_of_measurement"] == "°C"
    assert parts["temperature_Cel"]["device_class"] == "temperature"
    assert content(state) == {"temperature_Cel": 21.5, "open": "ON", "mode": "auto"}
    (again,) = told.device("hall", "pump", [Value("temperature", 22.0, "Cel")])
    assert content(again) == {"temperature_Cel": 22.0}


def test_a_value_that_is_new_is_announced_with_the_others() -> None:
    told = discovery()
    told.device("hall", "pump", [TEMPERATURE])
    config, _ = told.device("hall", "pump", [TEMPERATURE, Value("humidity", 40.0, "%RH")])
    assert set(content(config)["cmps"]) == {"temperature_Cel", object_id("humidity_%RH")}


def test_after_a_new_connection_everything_is_told_again() -> None:
    told = discovery()
    told.device("hall", "pump", [TEMPERATURE])
    told.forget()
    assert len(told.device("hall", "pump", [TEMPERATURE])) == 2


def test_devices_beyond_the_bound_are_counted_and_not_told_of() -> None:
    told = discovery(devices_max=1)
    assert told.device("hall", "one", [TEMPERATURE])
    assert told.device("hall", "two", [TEMPERATURE]) == []
    assert told.device("hall", "one", [TEMPERATURE])
    assert told.beyond == 1


@pytest.mark.parametrize(
    ("value", "kind", "unit"),
    [
        (Value("co2", 800.0, "ppm"), "carbon_dioxide", "ppm"),
        (Value("battery_level", 80.0, "%EL"), "battery", "%"),
        (Value("pm2_5", 8.0, "ug/m3"), "pm25", "µg/m³"),
        (Value("Wind speed", 8.0, "m/s"), "wind_speed", "m/s"),
        (Value("window_speed", 8.0, "m/s"), "speed", "m/s"),
        (Value("acidity", 7.0, "pH"), "ph", None),
        (Value("tank_level", 80.0, "%EL"), None, "%"),
        (Value("odd", 1.0, "furlong"), None, "furlong"),
        (Value("ratio", 0.5, "/"), None, None),
    ],
)
def test_units_are_said_in_home_assistants_words(value: Value, kind: str | None, unit: str | None) -> None:
    config, _ = discovery().device("s", "d", [value])
    (part,) = content(config)["cmps"].values()
    assert (part.get("device_class"), part.get("unit_of_measurement")) == (kind, unit)


ALLOWED_UNITS: dict[str, set[str | None]] = {
    "apparent_power": {"VA"}, "battery": {"%"}, "carbon_dioxide": {"ppm"}, "current": {"A", "mA"},
    "data_rate": {"bit/s", "kbit/s", "Mbit/s", "B/s", "kB/s", "MB/s"}, "data_size": {"B", "GB", "KiB", "MiB"},
    "distance": {"mm", "cm", "m", "km"}, "duration": {"ms", "s", "min", "h", "d"}, "energy": {"Wh", "kWh", "MWh"},
    "frequency": {"Hz", "kHz", "MHz", "GHz"}, "humidity": {"%"}, "illuminance": {"lx"}, "irradiance": {"W/m²"},
    "ph": {None}, "pm1": {"µg/m³"}, "pm10": {"µg/m³"}, "pm25": {"µg/m³"}, "power": {"W", "kW"},
    "precipitation_intensity": {"mm/h", "mm/d"}, "pressure": {"Pa", "hPa", "kPa", "bar"}, "reactive_power": {"var"},
    "signal_strength": {"dB", "dBm"}, "speed": {"m/s", "km/h"}, "temperature": {"°C", "°F", "K"},
    "volatile_organic_compounds_parts": {"ppm", "ppb"}, "voltage": {"V", "mV"}, "weight": {"mg", "g", "kg"},
    "wind_speed": {"m/s", "km/h"},
}  # fmt: skip
"""Of Home Assistant's `DEVICE_CLASS_UNITS`, what 2024.11 has of it. Its `DEVICE_CLASS_STATE_CLASSES` lets all of these
be a measurement, but for energy, which is a total."""


@pytest.mark.parametrize("unit", sorted(SENML_UNITS | SECONDARY_UNITS))
def test_every_class_has_a_unit_and_a_state_class_that_home_assistant_takes(unit: str) -> None:
    for name in ("value", "battery", "wind", "co2", "voc", "pm2.5", "pm10", "pm1"):
        config, _ = discovery().device("s", "d", [Value(name, 1.0, unit)])
        (part,) = content(config)["cmps"].values()
        kind = part.get("device_class")
        if kind is not None:
            assert part.get("unit_of_measurement") in ALLOWED_UNITS[kind]
            assert part["state_class"] == ("total" if kind == "energy" else "measurement")


def test_an_angle_has_no_mean_and_how_a_device_does_is_shown_apart() -> None:
    values = [Value("direction", 350.0, "deg"), Value("rssi", -71.0, "dBm"), TEMPERATURE]
    config, _ = discovery().device("s", "d", values)
    angle, rssi, temperature = content(config)["cmps"].values()
    assert (angle["unit_of_measurement"], angle.get("state_class")) == ("°", None)
    assert (rssi["entity_category"], temperature.get("entity_category")) == ("diagnostic", None)


def test_a_silent_device_expires_if_it_is_to() -> None:
    config, _ = discovery(expire_after_s=600).device("s", "d", [TEMPERATURE])
    assert content(config)["cmps"]["temperature_Cel"]["expire_after"] == 600


NAMES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)


@given(NAMES, NAMES, NAMES, NAMES)
def test_whatever_the_names_topics_and_ids_are_plain_and_different(site: str, one: str, other: str, name: str) -> None:
    told = discovery()
    messages = told.device(site, one, [Value(name, 1.0), Value(name + "'}}{{", 2.0)]) + told.device(
        site, other, [Value(name, 1.0)]
    )
    for message in messages:
        assert all(ALLOWED.match(level) for level in message.topic.split("/"))
    config = content(messages[0])
    assert all(ALLOWED.match(key) for key in config["cmps"])
    assert len(config["cmps"]) == 2
    if one != other:
        assert len({message.topic for message in messages}) == 4
