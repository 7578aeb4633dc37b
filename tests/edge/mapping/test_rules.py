"""Rules are checked at start, with errors that name the rule and the key."""

import tomllib

import pytest
from pydantic import ValidationError

from edge.config import EdgeConfig
from edge.mapping.rules import subscriptions
from tests.edge.mapping.kit import PACK, STATION, THERMOMETER, rules


@pytest.mark.parametrize(
    ("old", "new", "where", "why"),
    [
        ('"plant/{site}/{device}/temp"', '"plant/#/x"', ("mapping", 0, "topic"), "topic level"),
        (
            '"plant/{site}/{device}/temp"',
            '"plant/{site}/x"',
            ("mapping", 0),
            "device: template '{device}' uses {device}",
        ),
        ('"number"', '"xml"', ("mapping", 0, "payload"), "json"),
        ('"number"', '"json"', ("mapping", 0), "value.0.select: expected a selector"),
        ('"number"', '"senml"', ("mapping", 0), "value: expected none"),
        ('"number"', '"number"\nsite = "a/b"', ("mapping", 0), "site"),
        ('"number"', '"number"\ntime = "$.t"', ("mapping", 0), "time: expected only for payload json"),
        ('"number"', '"number"\ntypo = 1', ("mapping", 0, "typo"), "Extra"),
        ('name = "temperature"', 'name = "not good"', ("mapping", 0, "value", 0, "name"), "name 'not good'"),
        ('unit = "Cel"', 'unit = "\\u00b0C"', ("mapping", 0, "value", 0, "unit"), "unit"),
        ('unit = "Cel"', 'select = "$..x"', ("mapping", 0, "value", 0, "select"), "selector"),
        ('unit = "Cel"', 'select = "$.x"', ("mapping", 0), "value.0.select: expected none"),
        ('unit = "Cel"', "scale = 0", ("mapping", 0, "value", 0), "scale"),
        ('unit = "Cel"', "offset = inf", ("mapping", 0, "value", 0, "offset"), "finite"),
        ('unit = "Cel"', 'type = "text"\nscale = 2', ("mapping", 0, "value", 0), "scale and offset"),
        ('unit = "Cel"', '[[mapping.value]]\nname = "x"', ("mapping", 0), "exactly one"),
    ],
)
def test_a_bad_rule_is_refused_with_its_key(old: str, new: str, where: tuple[str | int, ...], why: str) -> None:
    assert old in THERMOMETER
    with pytest.raises(ValidationError) as refused:
        EdgeConfig.model_validate(tomllib.loads(THERMOMETER.replace(old, new)))
    error = refused.value.errors()[0]
    assert error["loc"] == where
    assert why in error["msg"]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (THERMOMETER + THERMOMETER, "each name once"),
        (THERMOMETER + THERMOMETER.replace('"thermometer"', '"other"'), "'other': never reached, 'thermometer'"),
        (THERMOMETER.replace("plant/", "tidegate/v1/"), "'thermometer': topic .* lies under mqtt.topic_root"),
        (THERMOMETER + STATION.replace("weather/{device}", "plant/x/{device}/#"), "overlap"),
        (STATION.replace("weather/{device}", "+/v1/office/{device}/state"), "overlap"),
    ],
)
def test_rules_that_cannot_stand_beside_each_other_are_refused(text: str, why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        rules(text)


def test_the_gateway_subscribes_to_what_its_rules_take_and_never_twice() -> None:
    native = [f"tidegate/v1/+/+/{kind}" for kind in ("reading", "state", "alert", "cmd/ack", "fw/ask")]
    assert subscriptions((), "tidegate/v1") == native
    assert subscriptions(rules(THERMOMETER + PACK), "tidegate/v1") == [*native, "plant/+/+/temp", "senml/+/#"]
    rest = PACK.replace("senml/{device}/#", "{device}/#")
    assert subscriptions(rules(THERMOMETER + rest), "tidegate/v1") == ["+/#"]
