"""In real time: what a radio sent is published when it is there, and what the air took is not."""

import asyncio
from typing import Any

import pytest

from firmware_sim import fleet as fleet_module
from firmware_sim.config import FleetConfig
from firmware_sim.device_radio import Air
from firmware_sim.device_spec import Publish
from firmware_sim.flash import MemoryMedium
from firmware_sim.fleet import _Fleet
from firmware_sim.flights import Flights
from firmware_sim.outbox import Flash
from firmware_sim.radio.collisions import AirFrame, Ether
from firmware_sim.status import FleetStatus
from firmware_sim.truth import TruthFile
from sensors.clock import Clock
from sensors.topics import Kind


def flight(air: Air, token: int = 1) -> Publish:
    return Publish(Kind.READING, b"x", token=token, air=air)


def test_a_message_lands_when_its_radio_says() -> None:
    flights = Flights()
    flights.launch(3, flight(Air(heard=True, confirmed=True, arrives_ms=50, ends_ms=90)))
    assert flights.due_ms == 50
    assert list(flights.landings(49)) == []
    (landing,) = flights.landings(50)
    assert (landing.n, landing.arrived) == (3, True)
    assert flights.due_ms is None


@pytest.mark.parametrize(("knows", "believed"), [(True, False), (False, True)])
def test_one_that_the_air_took_ends_with_its_exchange_as_far_as_the_device_knows(knows: bool, believed: bool) -> None:
    flights = Flights()
    flights.launch(0, flight(Air(heard=False, confirmed=not knows, arrives_ms=50, ends_ms=90, knows=knows)))
    assert flights.due_ms == 90
    (landing,) = flights.landings(90)
    assert (landing.arrived, landing.believed) == (False, believed)


def test_one_that_is_hit_on_its_way_ends_with_its_exchange() -> None:
    ether, flights = Ether(), Flights()
    sent = ether.send(AirFrame(0, 50_000, 9, 868_100_000, -100.0))
    air = Air(heard=True, confirmed=True, arrives_ms=50, ends_ms=90, transmission=sent)
    flights.launch(0, flight(air))
    ether.send(AirFrame(40_000, 90_000, 9, 868_100_000, -100.0))
    assert list(flights.landings(50)) == []
    (landing,) = flights.landings(90)
    assert (landing.arrived, landing.believed) == (False, False)


class SteppedClock(Clock):
    """Stands where it was put."""

    at_ms = 0

    def wall_ms(self) -> int:
        return 1_750_000_000_000

    def monotonic_ms(self) -> int:
        return self.at_ms


class Ears:
    """In the place of the links: hears what is published, and answers as a broker."""

    def __init__(self, *_: Any) -> None:
        self.heard: list[Publish] = []

    def publish(self, n: int, message: Publish, on_answer: Any) -> None:
        self.heard.append(message)
        if message.token is not None:
            on_answer(n, message.token, True)  # noqa: FBT003 - the broker's PUBACK

    def set_power(self, n: int, *, on: bool) -> None:
        pass


async def _sent(loss: float, monkeypatch: pytest.MonkeyPatch) -> tuple[int, int]:
    """(messages of readings published, readings measured) over two hours of one LoRaWAN device."""
    monkeypatch.setattr(fleet_module, "Links", Ears)
    sensor = {"name": "t", "unit": "Cel", "signal": {"kind": "constant", "value": 1}}
    radio: dict[str, Any] = {"kind": "lorawan", "path_loss_db": 100, "adr": False, "reading_bytes": 8}
    radio["link"] = {"kind": "bernoulli", "loss": loss}
    group = {"name": "d", "interval_s": 60, "sensors": [sensor], "radio": radio, "send": {"acknowledge": "broker"}}
    clock, truth = SteppedClock(), TruthFile(None)
    made = _Fleet(FleetConfig.model_validate({"devices": [group]}), clock, Flash(MemoryMedium()), truth, FleetStatus())
    device = made.devices[0]
    made._take(0, device.start(made.now_ms()) + device.link_up(made.now_ms()))
    for _ in range(720):
        clock.at_ms += 10_000
        made._take(0, device.step(made.now_ms()))
        await made._publish_turn()
        made._land()
    heard = made.links.heard  # type: ignore[attr-defined]
    return sum(message.kind is Kind.READING for message in heard), device.counters.sampled


@pytest.mark.parametrize(("loss", "share"), [(0.0, 1.0), (1.0, 0.0), (0.5, 0.5)])
def test_a_fleet_publishes_what_the_air_let_through(loss: float, share: float, monkeypatch: pytest.MonkeyPatch) -> None:
    published, measured = asyncio.run(_sent(loss, monkeypatch))
    assert measured >= 115
    assert published / measured == pytest.approx(share, abs=0.15 if 0 < share < 1 else 0.02)
