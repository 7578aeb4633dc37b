"""What the tests of alerts share: rules, readings of one value, and what a desk has told the cloud of its alerts."""

import re
from pathlib import Path
from typing import Any, NamedTuple

from edge.alerts.alerts import AlertRules
from edge.alerts.operations import OperationLimits
from edge.alerts.rules import AlertRule
from edge.desk import Desk
from edge.store.notices import Notices
from sensors.reading import Reading, Value
from tests.edge.kit import T0_MS, message, open_desk

WARM = {"name": "warm", "kind": "threshold", "value": "temperature", "above": 10.0, "hysteresis": 3.0}


class Told(NamedTuple):
    """One line on the alert lane."""

    event: str
    rule: str
    device: str


def rule(**keys: Any) -> AlertRule:
    """A rule as the configuration has it."""
    return AlertRule.model_validate(keys)


def desk_with(folder: Path, *rules: AlertRule, operations: OperationLimits | None = None) -> Desk:
    """A desk with these rules."""
    return open_desk(folder, alerts=AlertRules(rules, operations or OperationLimits()))


def warmth(seq: int, number: float, *, at_s: float | None = None, device: str = "d1", **more: Any) -> Reading:
    """A reading of the temperature, taken `at_s` after the start."""
    taken_at_ms = T0_MS + round(1000 * (seq if at_s is None else at_s))
    return Reading(device, 1, seq, taken_at_ms, (Value("temperature", number, "Cel"),), **more)


def take(desk: Desk, *readings: Reading, at_s: float | None = None) -> None:
    """Take in readings, received `at_s` after the start (or when the last of them was taken), and look at them."""
    received_ms = readings[-1].taken_at_ms if at_s is None else T0_MS + round(1000 * at_s)
    desk.take_in([message(one) for one in readings], 0, received_ms)
    look(desk, (received_ms - T0_MS) / 1000)


def look(desk: Desk, at_s: float, *, wall_off_s: float = 0.0) -> None:
    """Let the rules look until they have seen everything, `at_s` after the start."""
    now_ms = round(1000 * at_s)
    desk.alerts._looked_ms = None
    while desk.alerts.tend(desk.forwarder.health, now_ms, T0_MS + now_ms + round(1000 * wall_off_s)):
        pass


def lines(desk: Desk) -> list[str]:
    """Every line of the alert lane that is still there."""
    notices = Notices(desk.store)
    return [entry.line.decode() for entry in notices.read(1, notices.head(), 10**6).entries]


def told(desk: Desk) -> list[Told]:
    """Every change of an alert, as the cloud is told."""
    pattern = r'alert,device=([^,]+),.*rule=([^,]+),.* event="(\w+)"'
    return [Told(match[3], match[2], match[1]) for line in lines(desk) if (match := re.match(pattern, line))]
