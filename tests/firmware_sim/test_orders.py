"""A device and its commands: done once, answered each time, refused, expired, remembered across restarts."""

from dataclasses import replace
from typing import Any

import pytest

from firmware_sim.device_spec import FirmwareSpec, Publish
from firmware_sim.phases import Phase
from firmware_sim.settings_flash import DONE_MAX
from firmware_sim.supply import PowerState
from sensors.commands import Command, CommandAck, decode_command_ack, encode_command
from sensors.firmware import Chunk, encode_chunk, manifest_arguments
from sensors.topics import Kind
from tests.firmware_sim.update.bench import PUBLIC_KEY, TYPE, image_of
from tests.firmware_sim.worlds import SPEC, BenchSupply, World, states

ASLEEP = replace(SPEC, interval_ms=60_000, receive_window_ms=1000)


def acks(messages: list[Publish]) -> list[CommandAck]:
    return [decode_command_ack(each.payload) for each in messages if each.kind is Kind.CMD_ACK]


def tell(world: World, command_id: str, name: str, ttl_s: int = 3600, **args: Any) -> list[Publish]:
    payload = encode_command(Command(command_id, name, args, 0, ttl_s))
    return world.take(world.device.receive(Kind.CMD, payload, world.now_ms))


@pytest.fixture
def world() -> World:
    made = World(replace(SPEC, interval_ms=60_000))
    made.link(up=True)
    return made


def test_a_repeat_is_answered_again_and_not_done_again(world: World) -> None:
    assert acks(tell(world, "1-a", "set-interval", interval_s=10)) == [CommandAck("1-a", "ok")]
    tell(world, "2-b", "set-interval", interval_s=20)
    assert acks(tell(world, "1-a", "set-interval", interval_s=10)) == [CommandAck("1-a", "ok")]
    assert world.device.counters.commands == 2
    measured = len(world.truth)
    world.run(200_000)
    assert len(world.truth) - measured == 10, "every 20 s: the repeat did not set it back"


def test_a_repeat_is_known_after_a_restart_of_the_process(world: World) -> None:
    tell(world, "1-a", "reboot")
    boots = world.device.outbox.boot
    world.run(2000)
    assert world.device.outbox.boot == boots + 1
    world.power_on()
    world.link(up=True)
    assert acks(tell(world, "1-a", "reboot")) == [CommandAck("1-a", "ok")]
    world.run(2000)
    assert world.device.outbox.boot == boots + 2, "one for the command, one for the new process"


def test_a_reboot_is_answered_even_if_it_comes_before_the_answer(world: World) -> None:
    world.device.link_down()
    assert acks(tell(world, "1-a", "reboot")) == []
    world.run(2000)
    assert acks(world.link(up=True)) == [CommandAck("1-a", "ok")]


def test_a_command_that_waited_too_long_for_a_sleeping_device_is_not_done() -> None:
    world = World(ASLEEP)
    world.link(up=True)
    world.run_until_sampled(2)
    world.run(30_000)
    assert world.device.phase is Phase.SLEEP
    tell(world, "1-a", "set-interval", ttl_s=5, interval_s=1)
    tell(world, "2-b", "set-interval", ttl_s=3600, interval_s=30)
    (late, done) = acks(world.run(60_000))
    assert (late.id, late.result) == ("1-a", "expired")
    assert (done.id, done.result) == ("2-b", "ok")


def test_what_the_device_does_not_do_is_refused_with_the_reason(world: World) -> None:
    for command_id, name, args, words in (
        ("1-a", "dance", {}, "unknown: expected set-interval"),
        ("2-b", "set-interval", {"interval_s": "soon"}, "expected 0.01"),
        ("3-c", "start-update", manifest_arguments(image_of("1.1.0")[0]), "it has no key"),
    ):
        (ack,) = acks(tell(world, command_id, name, **args))
        assert ack.result == "refused"
        assert words in ack.detail


def test_what_is_no_command_is_counted_and_forgotten(world: World) -> None:
    for kind in (Kind.CMD, Kind.FW_CHUNK):
        assert world.take(world.device.receive(kind, b"{", world.now_ms)) == []
    assert world.device.counters.bad_messages == 2


def test_as_many_commands_are_remembered_as_the_gateway_can_repeat_and_no_more(world: World) -> None:
    for at in range(DONE_MAX + 5):
        tell(world, f"{at}-x", "set-interval", interval_s=1000 + at)
    config = world.device.outbox.config
    assert config is not None
    assert len(config) < 100 * DONE_MAX
    done = world.device.counters.commands
    tell(world, f"{DONE_MAX}-x", "set-interval", interval_s=5)
    assert world.device.counters.commands == done


def test_a_brown_out_in_the_last_check_of_an_update_costs_only_time() -> None:
    supply = BenchSupply()
    firmware = FirmwareSpec("1.0.0", TYPE, PUBLIC_KEY)
    world = World(replace(SPEC, interval_ms=60_000, firmware=firmware), supply=supply)
    world.link(up=True)
    manifest, image = image_of("1.1.0", 200)
    args: dict[str, Any] = dict(manifest_arguments(manifest))
    (ack,) = acks(tell(world, "1-a", "start-update", **args))
    assert ack.result == "ok"
    for number in range(2):
        if number == 1:
            supply.fail_in[Phase.PROCESS] = PowerState.SAG
        chunk = encode_chunk(Chunk(manifest.image, number, image[100 * number : 100 * number + 100]))
        world.take(world.device.receive(Kind.FW_CHUNK, chunk, world.now_ms))
    assert world.device.phase is Phase.BROWN_OUT
    said = states(world.run(60_000))
    assert said[-1].firmware == "1.1.0"
    assert said[-1].update is not None
    assert said[-1].update.phase == "confirmed"
