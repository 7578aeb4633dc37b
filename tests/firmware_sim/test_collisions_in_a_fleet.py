"""Devices of one fleet that share a gateway's air collide, in virtual time, by ALOHA's law and with capture."""

import math
from random import Random
from typing import Any

import pytest

from firmware_sim.config import FleetConfig
from firmware_sim.radio import lorawan
from firmware_sim.radio.collisions import Ether, aloha_delivery
from firmware_sim.radio.datafile import RadioData
from firmware_sim.radio.energy import LinkState
from firmware_sim.radio.lora import LoraSettings, time_on_air_us
from firmware_sim.virtual import GroupReport, run_virtual

HOUR_MS = 3_600_000
DEVICES, INTERVAL_S, BYTES = 60, 60.0, 20  # one frame a second: enough for one in five to collide
RADIO = {"kind": "lorawan", "sf": 9, "adr": False, "reading_bytes": BYTES, "path_loss_db": 120.0}


def crowd(radio: dict[str, Any], **more: Any) -> dict[str, Any]:
    """Devices at one place, all heard as strongly, each at a random instant of every interval."""
    sensors = [{"name": "t", "unit": "Cel", "signal": {"kind": "constant", "value": 1}}]
    return {
        "name": "d",
        "count": DEVICES,
        "interval_s": INTERVAL_S,
        "jitter_s": INTERVAL_S - 1,
        "sensors": sensors,
        "radio": RADIO | radio,
        "send": {"acknowledge": "broker"},
    } | more


def run(*groups: dict[str, Any], seed: int = 5, hours: float = 1) -> tuple[GroupReport, ...]:
    config = FleetConfig.model_validate({"seed": seed, "devices": groups})
    return run_virtual(config, round(hours * HOUR_MS), len).groups


@pytest.mark.no_cover
def test_a_crowd_of_equals_delivers_what_pure_aloha_says() -> None:
    """Abramson 1970: exp(-2 G), G in frames of a channel per time on air. All as strong: capture saves nobody."""
    report = run(crowd({}), hours=2)[0]
    airtime_s = time_on_air_us(LoraSettings(sf=9), BYTES + lorawan.MAC_OVERHEAD_BYTES) / 1e6
    load = DEVICES * airtime_s / INTERVAL_S / 3  # three channels
    expected = aloha_delivery(load)
    assert 0.7 < expected < 0.9, "the test would see little"
    share = report.received / (report.received + report.lost)
    assert share == pytest.approx(expected, abs=4 * math.sqrt(expected * (1 - expected) / report.measured) + 0.01)


@pytest.mark.no_cover
def test_a_device_near_the_gateway_captures_it_from_those_far_off() -> None:
    far, near = run(crowd({}), crowd({"path_loss_db": 100.0}, name="near", count=10))
    assert near.lost / near.measured < far.lost / far.measured / 5


@pytest.mark.no_cover
def test_devices_of_another_gateway_or_spreading_factor_do_not_collide() -> None:
    few = crowd({"gateway": "elsewhere"}, name="few", count=2)
    slow = crowd({"sf": 10}, name="slow", count=2)
    crowded, elsewhere, other = run(crowd({}), few, slow)
    assert crowded.lost > 0
    assert elsewhere.lost + other.lost <= 1, "two devices on three channels hardly ever meet"


@pytest.mark.no_cover
def test_who_collides_depends_on_the_seed_alone() -> None:
    one, again, another = (run(crowd({}), seed=seed, hours=0.1)[0] for seed in (5, 5, 6))
    assert one == again
    assert one != another


def test_a_confirmed_frame_that_was_hit_is_sent_again_until_it_is_here() -> None:
    report = run(crowd({"confirmed": True}, count=20))[0]
    assert report.lost == 0


def test_a_frame_that_comes_later_still_hits_the_one_on_the_air() -> None:
    ether = Ether()
    radio = [_radio(ether, seed) for seed in (1, 1)]  # the same seed: the same channel
    first, second = (each.exchange(at_ms, BYTES, lorawan_link()) for each, at_ms in zip(radio, (0, 50), strict=True))
    assert first.transmission is not None
    assert first.delivered, "nobody else was there when it started"
    assert not first.transmission.survives()
    assert not second.delivered
    assert second.transmission is None


def _radio(ether: Ether, seed: int) -> lorawan.LorawanRadio:
    config = lorawan.LorawanConfig(LoraSettings(sf=9), adr=False)
    return lorawan.LorawanRadio(RadioData.bundled("lora_sx1272"), Random(seed), config, ether)


def lorawan_link() -> LinkState:
    return LinkState(rssi_dbm=-100.0)


@pytest.mark.no_cover
def test_more_channels_are_more_air() -> None:
    """Pure ALOHA: a third of the load on each of nine channels, and so a third of the logarithm of the loss."""
    nine = [867_100_000 + 200_000 * n for n in range(9)]
    few, many = run(crowd({}))[0], run(crowd({"channels_hz": nine}))[0]
    ratio = math.log(many.received / many.measured) / math.log(few.received / few.measured)
    assert ratio == pytest.approx(1 / 3, abs=0.08)
