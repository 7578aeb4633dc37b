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
        (Value("tank_level", 80.0, "%EL"), None, "%"),
        (Value("odd", 1.0, "furlong"), None, "furlong"),
        (Value("ratio", 0.5, "/"), None, None),
    ],
)
def test_units_are_said_in_home_assistants_words(value: Value, kind: str | None, unit: str | None) -> None:
    config, _ = discovery().device("s", "d", [value])
    (part,) = content(config)["cmps"].values()
    assert (part.get("device_class"), part.get("unit_of_measurement")) == (kind, unit)


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
