"""Images at the gateway, and rollouts: canaries, halts, and what counts as updated."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from edge.api_documents import FirmwareDocument
from edge.commands.documents import firmware_document
from edge.commands.states import CommandState
from edge.desk import Desk
from edge.firmware import images as images_module
from edge.firmware.images import Ask, Images
from edge.firmware.rollouts import OPEN_MAX, TRIED_MIN, DeviceResult, Rollout, RolloutState
from edge.ingest import Message
from sensors.commands import CommandAck, encode_command_ack
from sensors.firmware import FirmwareAsk, FirmwareError, Manifest, decode_chunk, describe_image, public_key_of, sign
from sensors.messages import State, UpdatePhase, UpdateState, encode
from sensors.topics import Kind, build_topic
from tests.edge.kit import SITE, T0_MS, open_desk

KEY = bytes(range(32))
DEVICES = 100


def image_of(version: str, size: int = 1000) -> tuple[Manifest, bytes]:
    image = version.encode().ljust(size, b"\0")
    return sign(describe_image(image, version, ("node",), 128), KEY), image


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    """A desk that knows a hundred devices, all on 1.0.0."""
    opened = open_desk(tmp_path)
    opened.take_in([_state(f"d{at:02d}", "1.0.0") for at in range(DEVICES)], 0, T0_MS)
    opened.downlinks.images.add(*image_of("1.1.0"), T0_MS)
    yield opened
    opened.store.close()


def _state(device: str, version: str, phase: UpdatePhase | None = None, detail: str = "") -> Message:
    update = None if phase is None else UpdateState("1.1.0", phase, detail=detail)
    return Message(build_topic(SITE, device, Kind.STATE), encode(State(online=True, firmware=version, update=update)))


def start(desk: Desk, percent: int = 100, halt_percent: int = 20, devices: str = "*") -> Rollout:
    manifest = desk.downlinks.images.find("1.1.0")
    assert manifest is not None
    return desk.downlinks.rollouts.start(manifest, devices, percent, halt_percent, T0_MS)


def look(desk: Desk, at_s: int) -> list[str]:
    """Let a look happen; which devices are under way."""
    desk.downlinks.rollouts.tidy(at_s * 1000, T0_MS)
    number = desk.downlinks.rollouts.all()[0].id
    return [each.device for each in desk.downlinks.rollouts.devices(number) if each.result is DeviceResult.UNDER_WAY]


def state(desk: Desk) -> RolloutState:
    return desk.downlinks.rollouts.all()[0].state


def acknowledge(desk: Desk, device: str) -> None:
    """The device says that it has begun."""
    for record in desk.downlinks.commands.of_device(SITE, device):
        topic = build_topic(SITE, device, Kind.CMD_ACK)
        desk.take_in([Message(topic, encode_command_ack(CommandAck(record.id, "ok")))], 0, T0_MS)


def test_few_go_first_and_then_as_many_as_may_be_under_way(desk: Desk) -> None:
    start(desk)
    first = look(desk, 1)
    assert len(first) == TRIED_MIN
    assert look(desk, 2) == first, "nobody has come through yet"
    desk.take_in([_state(first[0], "1.1.0", "confirmed")], 0, T0_MS)
    assert len(look(desk, 3)) == OPEN_MAX


def test_a_canary_is_a_part_of_the_wider_rollout_and_the_same_after_a_restart(desk: Desk) -> None:
    start(desk, percent=10)
    canary: set[str] = set()
    for at_s in range(1, 60):
        under_way = look(desk, at_s)
        canary |= set(under_way)
        desk.take_in([_state(device, "1.1.0", "confirmed") for device in under_way], 0, T0_MS)
    assert state(desk) is RolloutState.DONE
    assert 1 <= len(canary) <= 25
    assert desk.downlinks.rollouts.all()[0].id == start(desk, percent=50).id, "the same one, wider"
    assert canary.isdisjoint(look(desk, 100)), "who has it is not asked again"


def test_too_many_failures_halt_it_and_call_back_what_was_not_sent(desk: Desk) -> None:
    start(desk)
    first = look(desk, 1)
    desk.take_in([_state(first[0], "1.1.0", "confirmed")], 0, T0_MS)
    second = [device for device in look(desk, 2) if device not in first]
    for device in first[1:]:
        acknowledge(desk, device)
        desk.take_in([_state(device, "1.0.0", "rolled-back", "the self-test failed")], 0, T0_MS)
    look(desk, 3)
    assert state(desk) is RolloutState.HALTED
    assert "2 of 3 devices failed" in desk.downlinks.rollouts.all()[0].detail
    (record,) = desk.downlinks.commands.of_device(SITE, second[0])
    assert record.state is CommandState.CANCELLED


def test_failures_below_the_limit_do_not_halt_it(desk: Desk) -> None:
    start(desk, halt_percent=50)
    first = look(desk, 1)
    desk.take_in([_state(device, "1.1.0", "confirmed") for device in first[1:]], 0, T0_MS)
    acknowledge(desk, first[0])
    desk.take_in([_state(first[0], "1.0.0", "failed", "no room")], 0, T0_MS)
    look(desk, 2)
    assert state(desk) is RolloutState.RUNNING


def test_a_trial_does_not_count_as_updated_and_an_old_failure_not_as_a_new_one(desk: Desk) -> None:
    desk.take_in([_state("d00", "1.0.0", "failed", "of an earlier try")], 0, T0_MS)
    start(desk, devices=f"{SITE}/d00")
    assert look(desk, 1) == ["d00"], "its command waits: what it says is of before"
    desk.take_in([_state("d00", "1.1.0", "trial")], 0, T0_MS)
    assert look(desk, 2) == ["d00"]
    desk.take_in([_state("d00", "1.1.0", "confirmed")], 0, T0_MS)
    assert look(desk, 3) == []
    look(desk, 4)
    assert state(desk) is RolloutState.DONE


def test_a_command_that_the_device_refuses_is_a_failure(desk: Desk) -> None:
    start(desk, devices=f"{SITE}/d00")
    look(desk, 1)
    (record,) = desk.downlinks.commands.of_device(SITE, "d00")
    ack = CommandAck(record.id, "refused", "the signature is not by the owner")
    desk.take_in([Message(build_topic(SITE, "d00", Kind.CMD_ACK), encode_command_ack(ack))], 0, T0_MS)
    look(desk, 2)
    (device,) = desk.downlinks.rollouts.devices(1)
    assert (device.result, state(desk)) == (DeviceResult.FAILED, RolloutState.HALTED)
    assert "signature" in device.detail
    (told,) = FirmwareDocument.model_validate(firmware_document(desk.downlinks)).rollouts
    assert [each.model_dump() for each in told.tried] == [device._asdict()], "the API has a name for all of it"


def test_removing_the_image_halts_it_and_a_cancelled_one_stays(desk: Desk) -> None:
    rollout = start(desk)
    look(desk, 1)
    manifest, _ = image_of("1.1.0")
    desk.downlinks.images.remove(manifest.sha256)
    look(desk, 2)
    assert state(desk) is RolloutState.HALTED
    desk.downlinks.images.add(*image_of("1.1.0"), T0_MS)
    assert start(desk).id == rollout.id
    stopped = desk.downlinks.rollouts.cancel(rollout.id, T0_MS)
    assert stopped is not None
    assert stopped.state is RolloutState.CANCELLED
    assert desk.downlinks.rollouts.cancel(99, T0_MS) is None


def test_chunks_are_those_of_the_image_and_what_is_not_here_is_not_answered(desk: Desk) -> None:
    manifest, image = image_of("1.1.0")
    asks = [Ask(SITE, "d00", FirmwareAsk(manifest.image, 0, 32)), Ask(SITE, "d00", FirmwareAsk("0" * 16, 0, 32))]
    chunks = [decode_chunk(each.payload) for each in desk.downlinks.images.answer(asks)]
    assert [chunk.number for chunk in chunks] == list(range(manifest.chunks))
    assert b"".join(chunk.data for chunk in chunks) == image


def test_the_chunks_of_one_turn_are_bounded(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images_module, "TURN_BYTES_MAX", 300)
    manifest, _ = image_of("1.1.0")
    assert len(desk.downlinks.images.answer([Ask(SITE, "d00", FirmwareAsk(manifest.image, 0, 8))])) == 2


def test_what_is_no_image_is_not_taken(desk: Desk) -> None:
    manifest, image = image_of("1.2.0")
    images = desk.downlinks.images
    with pytest.raises(FirmwareError, match="not those of the manifest"):
        images.add(manifest, image[:-1], T0_MS)
    with pytest.raises(FirmwareError, match="not signed"):
        images.add(describe_image(image, "1.2.0", ("node",)), image, T0_MS)
    with pytest.raises(FirmwareError, match=r"another image has it"):
        images.add(*image_of("1.1.0", 2000), T0_MS)
    strict = Images(desk.store, public_key_of(bytes(32)))
    with pytest.raises(FirmwareError, match="owner of the gateway's"):
        strict.add(manifest, image, T0_MS)
    assert [record.manifest.version for record in images.all()] == ["1.1.0"]


def test_images_are_bounded_in_number_and_bytes(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images_module, "TOTAL_BYTES_MAX", 1500)
    with pytest.raises(FirmwareError, match="expected at most 1500"):
        desk.downlinks.images.add(*image_of("1.2.0"), T0_MS)
    monkeypatch.setattr(images_module, "IMAGES_MAX", 1)
    with pytest.raises(FirmwareError, match="at most 1 images"):
        desk.downlinks.images.add(*image_of("1.2.0"), T0_MS)
