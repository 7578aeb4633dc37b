"""A connection breaks when and as its link, its broker or its client does."""

import pytest

from edge.outages.events import Cause
from tests.replay.kit import outage
from tidegate.replay.broker import Broker, BrokerSpec, Delivery, Login, Message
from tidegate.replay.connections import Client, ClientHooks, Wire
from tidegate.replay.links import Link
from tidegate.replay.world import US_PER_S, World

KEEPALIVE_S = 40
SILENCE_S = 60


class Person:
    """A client that acknowledges at once and remembers."""

    def __init__(self, link: Link) -> None:
        self.world = World(1)
        self.broker = Broker(self.world, BrokerSpec())
        self.ups: list[int] = []
        self.downs: list[tuple[int, Cause]] = []
        self.got: list[bytes] = []
        hooks = ClientHooks(lambda: None, self._up, self._down, self._arrived)
        login = Login("person", ("t",), 10, Message("will", b"gone"), will_delay_us=0)
        self.client = Client(self.world, self.broker, link, login, KEEPALIVE_S, hooks)
        self.broker.start()
        self.client.start()

    def _up(self, _wire: Wire, _present: bool) -> None:
        self.ups.append(self.world.now_us // US_PER_S)

    def _down(self, cause: Cause) -> None:
        self.downs.append((self.world.now_us // US_PER_S, cause))

    def _arrived(self, wire: Wire, delivery: Delivery) -> None:
        self.got.append(delivery.message.payload)
        wire.acknowledge([delivery.packet_id])

    def live(self, until_s: int) -> None:
        self.world.run_until(until_s * US_PER_S)

    def tell(self, payload: bytes) -> None:
        self.broker.publish(Message("t", payload))


def over(from_s: int, until_s: int, cause: Cause) -> Person:
    return Person(Link(outage(from_s, until_s, cause), healed_at_us=3600 * US_PER_S))


@pytest.mark.parametrize("cause", [Cause.RESET, Cause.REFUSED])
def test_a_reset_is_felt_at_once_and_what_was_on_its_way_comes_again(cause: Cause) -> None:
    person = over(100, 200, cause)
    person.live(99)
    person.world.run_until(100 * US_PER_S - 1)
    person.tell(b"late")
    person.live(101)
    assert person.downs[0] == (100, Cause.RESET if cause is Cause.RESET else cause)
    assert person.got == []
    person.live(400)
    assert person.got == [b"late"]
    assert person.broker.waiting("person") == 0


def test_a_short_silence_delays_and_breaks_nothing() -> None:
    person = over(100, 100 + SILENCE_S - 1, Cause.TIMEOUT)
    person.live(110)
    person.tell(b"slow")
    person.live(400)
    assert person.downs == []
    assert person.got == [b"slow"]


def test_a_long_silence_is_noticed_by_the_keep_alive() -> None:
    person = over(100, 300, Cause.TIMEOUT)
    person.live(110)
    person.tell(b"slow")
    person.live(299)
    assert person.downs[0] == (100 + SILENCE_S, Cause.TIMEOUT)
    assert person.got == []
    person.live(500)
    assert person.got == [b"slow"]


def test_a_client_that_vanishes_leaves_a_half_open_connection_until_the_keep_alive() -> None:
    person = over(1000, 1001, Cause.TIMEOUT)
    person.live(50)
    said: list[int] = []
    publish = person.broker.publish

    def listen(message: Message) -> int:
        said.append(person.world.now_us // US_PER_S)
        return publish(message)

    person.broker.publish = listen  # type: ignore[method-assign]
    person.client.stop(silently=True)
    person.live(50 + SILENCE_S - 1)
    assert said == []
    person.live(50 + SILENCE_S)
    assert said == [50 + SILENCE_S]  # its will
    assert person.downs == []


def test_a_broker_that_stops_is_dialled_again_until_it_is_back() -> None:
    person = over(1000, 1001, Cause.TIMEOUT)
    person.live(50)
    person.broker.stop()
    person.live(200)
    assert person.downs[0] == (50, Cause.RESET)
    assert len(person.downs) > 2
    person.broker.start()
    person.live(300)
    assert len(person.ups) == 2


def test_a_client_whose_process_ends_is_gone_at_once() -> None:
    person = over(1000, 1001, Cause.TIMEOUT)
    person.live(50)
    person.client.stop(silently=False)
    person.live(51)
    assert person.broker.publish(Message("will", b"")) == 16  # nobody wants it, and nobody is connected
    person.tell(b"kept")
    person.live(500)
    assert person.got == []
    assert person.broker.waiting("person") == 1
    person.client.start()
    person.live(501)
    assert person.got == [b"kept"]
