"""What-if changes: what they set, whom they leave alone, and what they refuse."""

import pytest

from firmware_sim.forecast.what_if import WhatIfError, what_if
from tests.firmware_sim.forecast.fleets import LORAWAN, fleet

BLE = {"radio": {"kind": "ble", "distance_m": 5}, "battery": {"cell": "cr2032", "board": "nrf52-ble"}}
FLEET = fleet({"radio": LORAWAN | {"adr": True}}, BLE, {"battery": None, "radio": None, "interval_s": 60})


def test_a_change_applies_where_it_can_and_leaves_the_rest() -> None:
    slower = what_if(FLEET, "spreading_factor=12")
    assert slower.changed == {"node"}
    assert slower.config.devices[0].radio.sf == 12  # type: ignore[union-attr]
    assert slower.config.devices[0].radio.adr is False  # type: ignore[union-attr]
    assert slower.config.devices[1:] == FLEET.devices[1:]


def test_several_changes_go_together_and_texts_need_no_quotes() -> None:
    both = what_if(FLEET, "interval_s=7200, batch=4,cell=ls14500-field")
    assert both.changed == {"node", "node1", "node2"}
    node = both.config.devices[0]
    assert (node.interval_s, node.send.batch, node.battery.cell) == (7200, 4, "ls14500-field")  # type: ignore[union-attr]
    assert both.config.devices[2].battery is None


def test_a_group_that_has_the_value_already_is_not_computed_again() -> None:
    assert what_if(FLEET, "cell=cr2032").changed == {"node"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("interval_s", "expected key=value"),
        ("=4", "expected key=value"),
        ("intervall_s=4", "expected a key of [[devices]] or one of batch, cell"),
        ("radio=4", "expected a key of [[devices]]"),
        ("interval_s=-1", "node: interval_s: Input should be greater than or equal to 0.01"),
        ("spreading_factor=13", "node: radio.lorawan.sf: Input should be less than or equal to 12"),
        ("interval_s=3600", "changes only groups on mains power"),
        ("batch=1", "changes nothing"),
        ("harvest.area_cm2=10", "changes nothing"),
    ],
)
def test_what_cannot_be_is_refused_with_the_reason(text: str, said: str) -> None:
    with pytest.raises(WhatIfError) as caught:
        what_if(FLEET, text)
    assert said in str(caught.value)
    assert caught.value.text == text
