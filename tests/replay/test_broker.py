"""The broker in memory keeps MQTT's rules, and loses what a real one loses."""

import pytest

from tidegate.replay.broker import (
    NO_MATCHING_SUBSCRIBERS,
    SUCCESS,
    Attachment,
    Broker,
    BrokerSpec,
    Delivery,
    Login,
    Message,
    matches,
)
from tidegate.replay.world import US_PER_S, World


class Listener:
    """A client that writes down what it gets."""

    def __init__(self, world: World, broker: Broker, *, receive_max: int = 10, name: str = "gateway") -> None:
        self.world, self.broker = world, broker
        self.login = Login(name, ("a/+",), receive_max)
        self.got: list[Delivery] = []
        self.ended = 0

    def attach(self, login: Login | None = None) -> Attachment:
        self.got = []
        return self.broker.attach(login or self.login, self.got.append, self._end)

    def _end(self) -> None:
        self.ended += 1

    def payloads(self) -> list[bytes]:
        return [delivery.message.payload for delivery in self.got]


def stage(spec: BrokerSpec | None = None, *, receive_max: int = 10) -> tuple[World, Broker, Listener]:
    world = World(1)
    broker = Broker(world, spec or BrokerSpec())
    broker.start()
    return world, broker, Listener(world, broker, receive_max=receive_max)


def publish(broker: Broker, *numbers: int) -> list[int]:
    return [broker.publish(Message("a/b", b"%d" % number)) for number in numbers]


def test_the_window_is_the_receive_maximum() -> None:
    _, broker, listener = stage(receive_max=3)
    wire = listener.attach()
    publish(broker, *range(5))
    assert listener.payloads() == [b"0", b"1", b"2"]
    wire.acknowledge([listener.got[0].packet_id])
    assert listener.payloads() == [b"0", b"1", b"2", b"3"]
    assert broker.waiting("gateway") == 4


def test_the_window_is_never_more_than_the_brokers_own() -> None:
    _, broker, listener = stage(BrokerSpec(inflight_max=2))
    listener.attach()
    publish(broker, *range(5))
    assert listener.payloads() == [b"0", b"1"]


def test_what_was_not_acknowledged_comes_again_first_and_is_marked() -> None:
    _, broker, listener = stage(receive_max=2)
    wire = listener.attach()
    publish(broker, 0, 1, 2)
    wire.acknowledge([listener.got[0].packet_id])
    ids = [delivery.packet_id for delivery in listener.got[1:]]
    wire.lost()
    publish(broker, 3)
    again = listener.attach()
    assert again.session_present
    assert listener.payloads() == [b"1", b"2"]
    assert [delivery.dup for delivery in listener.got] == [True, True]
    assert [delivery.packet_id for delivery in listener.got] == ids
    again.acknowledge(ids)
    assert listener.payloads() == [b"1", b"2", b"3"]
    assert not listener.got[2].dup


def test_a_puback_on_an_old_connection_frees_nothing() -> None:
    _, broker, listener = stage()
    old = listener.attach()
    publish(broker, 0)
    first = listener.got[0].packet_id
    listener.attach()
    assert listener.ended == 1
    old.acknowledge([first])
    assert broker.waiting("gateway") == 1


def test_a_full_queue_drops_the_newest_and_tells_the_publisher_nothing() -> None:
    _, broker, listener = stage(BrokerSpec(queue_max=2))
    listener.attach().lost()
    assert publish(broker, 0, 1, 2) == [SUCCESS] * 3
    assert broker.dropped == 1
    listener.attach()
    assert listener.payloads() == [b"0", b"1"]


def test_a_message_that_nobody_wants_is_answered_so() -> None:
    _, broker, _ = stage()
    assert publish(broker, 0) == [NO_MATCHING_SUBSCRIBERS]


def test_a_clean_stop_keeps_everything() -> None:
    _, broker, listener = stage()
    listener.attach()
    publish(broker, 0)
    broker.stop()
    assert listener.ended == 1
    broker.start()
    assert listener.attach().session_present
    assert listener.payloads() == [b"0"]


def test_a_crash_goes_back_to_what_was_saved() -> None:
    world, broker, listener = stage(BrokerSpec(autosave_s=60))
    wire = listener.attach()
    publish(broker, 0)
    world.run_until(61 * US_PER_S)
    wire.acknowledge([listener.got[0].packet_id])
    publish(broker, 1)
    broker.crash()
    broker.start()
    assert listener.attach().session_present
    assert listener.payloads() == [b"0"]


def test_a_crash_before_the_first_save_loses_the_session() -> None:
    _, broker, listener = stage(BrokerSpec(autosave_s=1800))
    listener.attach()
    publish(broker, 0)
    broker.crash()
    broker.start()
    assert not listener.attach().session_present
    assert listener.payloads() == []


def test_a_broker_that_saves_every_change_loses_nothing_in_a_crash() -> None:
    _, broker, listener = stage(BrokerSpec(autosave_s=None))
    listener.attach()
    publish(broker, 0)
    broker.crash()
    broker.start()
    listener.attach()
    assert listener.payloads() == [b"0"]


def test_a_retained_message_is_given_to_who_comes_later_and_an_empty_one_clears_it() -> None:
    _, broker, listener = stage()
    broker.publish(Message("a/state", b"on", retain=True))
    listener.attach()
    assert [(each.message.payload, each.message.retain) for each in listener.got] == [(b"on", True)]
    broker.publish(Message("a/state", b"off", retain=True))
    assert [(each.message.payload, each.message.retain) for each in listener.got[1:]] == [(b"off", False)]
    broker.publish(Message("a/state", b"", retain=True))
    other = Listener(listener.world, broker, name="other")
    other.attach()
    assert other.got == []


@pytest.mark.parametrize("returns", [True, False])
def test_a_will_is_said_unless_its_client_returns_in_time(*, returns: bool) -> None:
    world, broker, listener = stage()
    listener.attach()
    device = Listener(world, broker, name="device")
    login = Login("device", (), 1, Message("a/device", b"gone"), will_delay_us=10 * US_PER_S)
    device.attach(login).lost()
    world.run_until(9 * US_PER_S)
    if returns:
        device.attach(login)
    world.run_until(20 * US_PER_S)
    assert listener.payloads() == ([] if returns else [b"gone"])


@pytest.mark.parametrize(
    ("topic_filter", "topic", "taken"),
    [
        ("a/b", "a/b", True),
        ("a/+", "a/b", True),
        ("a/+", "a/b/c", False),
        ("a/#", "a/b/c", True),
        ("a/+/c", "a/b/c", True),
        ("a/b/c", "a/b", False),
        ("+", "a", True),
    ],
)
def test_filters_match_as_mqtt_has_it(topic_filter: str, topic: str, *, taken: bool) -> None:
    assert matches(topic_filter, topic) is taken
