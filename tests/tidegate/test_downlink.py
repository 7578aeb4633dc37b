"""The gateway's core and a simulated device on an air between them that loses, repeats and cuts, in virtual time."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.commands.book import CommandRecord
from edge.commands.states import CommandState
from edge.feedback import Downlink
from edge.ingest import Message
from firmware_sim.device_spec import DeviceSpec, FirmwareSpec, Publish
from firmware_sim.phases import Phase
from firmware_sim.supply import PowerState
from firmware_sim.update.updater import SELF_TEST_FAILS
from sensors.commands import Argument
from sensors.topics import Kind, build_topic, parse_topic
from tests.edge.kit import SITE, open_desk
from tests.firmware_sim.update.bench import PUBLIC_KEY, TYPE, image_of
from tests.firmware_sim.worlds import SPEC, START_MS, BenchSupply, World

FIRMWARE = FirmwareSpec("1.0.0", TYPE, PUBLIC_KEY)
AWAKE = replace(SPEC, interval_ms=60_000, firmware=FIRMWARE)
ASLEEP = replace(AWAKE, receive_window_ms=1000)
MINUTE_MS = 60_000


class Air:
    """One device `d`, one gateway. `loss`: the share of messages that vanish, each way; `repeats`: that come twice."""

    def __init__(self, folder: Path, spec: DeviceSpec, loss: float = 0.0, repeats: float = 0.0, seed: int = 1) -> None:
        self.folder = folder
        self.supply = BenchSupply()
        self.world = World(spec, supply=self.supply)
        self.desk = open_desk(folder)
        self.rng = Random(seed)
        self.loss, self.repeats = loss, repeats
        self.linked = True
        self.talk(self.world.link(up=True))

    @property
    def now_ms(self) -> int:
        return self.world.now_ms - START_MS

    def close(self) -> None:
        self.desk.store.close()

    def kill_gateway(self) -> None:
        self.desk.store.close()
        self.desk = open_desk(self.folder)

    def restart_device(self) -> None:
        """Its process dies; its flash does not."""
        self.world.power_on()
        self.talk(self.world.link(up=True))

    def issue(self, name: str, **args: Argument) -> CommandRecord:
        return self.desk.downlinks.commands.issue(SITE, "d", name, args, 86_400, self.now_ms, self.world.now_ms)

    def state(self, record: CommandRecord) -> CommandState:
        found = self.desk.downlinks.commands.get(SITE, "d", record.id)
        assert found is not None
        return found.state

    def run(self, for_ms: int) -> None:
        """Let time pass, alarm by alarm."""
        end_ms = self.world.now_ms + for_ms
        while (wake_ms := self.world.device.next_wake_ms) is not None and wake_ms <= end_ms:
            self.talk(self.world.run(max(0, wake_ms - self.world.now_ms)))
        self.world.now_ms = end_ms
        self.desk.tidy(self.now_ms, self.world.now_ms)

    def talk(self, messages: list[Publish]) -> None:
        """Up to the gateway, down again, until both have nothing more to say."""
        while messages:
            up = [self._message(each) for each in messages for _ in range(self._copies(each.kind))]
            for each in messages:
                if each.token is not None:
                    self.world.take(self.world.device.answered(each.token, delivered=True, now_ms=self.world.now_ms))
            _, downlinks = self.desk.take_in(up, self.now_ms, self.world.now_ms)
            messages = [
                more for downlink in downlinks for _ in range(self._copies(None)) for more in self._down(downlink)
            ]

    def _message(self, publish: Publish) -> Message:
        return Message(build_topic(SITE, "d", publish.kind), publish.payload)

    def _down(self, downlink: Downlink) -> list[Publish]:
        kind = parse_topic(downlink.topic).kind
        return self.world.take(self.world.device.receive(kind, downlink.payload, self.world.now_ms))

    def _copies(self, kind: Kind | None) -> int:
        if self.rng.random() < self.loss and kind is not Kind.STATE:  # kept by the MQTT client, and retained
            return 0
        return 2 if self.rng.random() < self.repeats else 1


@pytest.fixture
def awake(tmp_path: Path) -> Iterator[Air]:
    air = Air(tmp_path, AWAKE)
    yield air
    air.close()


@pytest.fixture
def asleep(tmp_path: Path) -> Iterator[Air]:
    air = Air(tmp_path, ASLEEP)
    yield air
    air.close()


def version(air: Air) -> str | None:
    report = air.desk.downlinks.reports.get(SITE, "d")
    return None if report is None else report.firmware


def samples(air: Air, for_ms: int) -> int:
    before = air.world.device.counters.sampled
    air.run(for_ms)
    return air.world.device.counters.sampled - before


def test_a_sleeping_device_gets_its_command_at_its_next_contact(asleep: Air) -> None:
    asleep.run(3 * MINUTE_MS + 20_000)
    assert asleep.world.device.phase is Phase.SLEEP
    record = asleep.issue("set-interval", interval_s=10)
    assert asleep.state(record) is CommandState.WAITING
    asleep.run(2 * MINUTE_MS)
    assert asleep.state(record) is CommandState.ACKNOWLEDGED
    assert samples(asleep, 10 * MINUTE_MS) == 60


@pytest.mark.no_cover
def test_an_interval_survives_reboots_and_the_process(awake: Air) -> None:
    awake.run(MINUTE_MS)
    first = awake.issue("set-interval", interval_s=5)
    second = awake.issue("reboot")
    awake.run(3 * MINUTE_MS)
    assert (awake.state(first), awake.state(second)) == (CommandState.ACKNOWLEDGED, CommandState.ACKNOWLEDGED)
    assert awake.world.device.outbox.boot == 2
    awake.restart_device()
    awake.run(MINUTE_MS)
    assert samples(awake, 10 * MINUTE_MS) == 120
    assert awake.world.device.outbox.boot == 3, "rebooted once by the command, once by the new process"


def test_report_now_measures_and_sends_at_once(awake: Air) -> None:
    awake.run(10 * MINUTE_MS + 1000)
    awake.issue("set-interval", interval_s=3600)
    awake.run(2 * MINUTE_MS)
    before = awake.world.device.counters.sampled
    record = awake.issue("report-now")
    assert awake.world.device.counters.sampled == before
    awake.talk(awake.world.link(up=True))  # any message of the device is a contact: here its state
    awake.run(1000)
    assert awake.state(record) is CommandState.ACKNOWLEDGED
    assert awake.world.device.counters.sampled == before + 1


def test_a_device_refuses_what_it_does_not_know(awake: Air) -> None:
    record = awake.issue("start-update", **dict.fromkeys(
        ("version", "sha256", "signature"), "x"), size=1, chunk_bytes=64, device_types=["a"])  # fmt: skip
    awake.run(2 * MINUTE_MS)
    found = awake.desk.downlinks.commands.get(SITE, "d", record.id)
    assert found is not None
    assert found.state is CommandState.REFUSED
    assert "version 'x'" in found.detail


def test_a_gateway_killed_between_send_and_answer_makes_no_command_run_twice(awake: Air) -> None:
    awake.run(MINUTE_MS)
    record = awake.issue("reboot")
    awake.loss = 1.0  # the command went out below, its answer does not come back
    awake.run(MINUTE_MS)
    sent = awake.desk.downlinks.commands.contacts([(SITE, "d")], awake.now_ms, awake.world.now_ms)
    assert len(sent) == 1
    awake._down(sent[0])
    awake.kill_gateway()
    awake.run(MINUTE_MS)
    awake.loss = 0.0
    awake.run(30 * MINUTE_MS)
    assert awake.state(record) is CommandState.ACKNOWLEDGED
    assert awake.world.device.counters.commands == 1
    assert awake.world.device.outbox.boot == 2


def test_a_brown_out_while_a_command_comes_in_costs_only_time(awake: Air) -> None:
    awake.run(MINUTE_MS)
    record = awake.issue("set-interval", interval_s=30)
    awake.supply.fail_in[Phase.DOWNLINK] = PowerState.SAG
    awake.run(30 * MINUTE_MS)
    assert awake.world.device.counters.brown_outs == 1
    assert awake.state(record) is CommandState.ACKNOWLEDGED
    assert awake.world.device.counters.commands == 1


def test_what_comes_in_and_what_is_written_costs_energy(awake: Air) -> None:
    update(awake, *image_of("1.1.0", 8192))
    awake.run(30 * MINUTE_MS)
    spent_ms = {phase: sum(ms for each, ms, _ in awake.supply.drawn if each is phase) for phase in Phase}
    assert version(awake) == "1.1.0"
    assert spent_ms[Phase.DOWNLINK] >= 8192 // 100
    assert spent_ms[Phase.FLASH] >= 2 * 45 + 16, "two sectors erased, 8 KiB written"


def update(air: Air, manifest, image) -> None:  # type: ignore[no-untyped-def]
    air.run(MINUTE_MS)
    air.desk.downlinks.images.add(manifest, image, 0)
    air.desk.downlinks.rollouts.start(manifest, "*/d", 100, 20, 0)
    air.desk.tidy(air.now_ms, air.world.now_ms)


def rollout(air: Air) -> str:
    return air.desk.downlinks.rollouts.all()[0].state.value


@pytest.mark.no_cover
@pytest.mark.parametrize("spec", [AWAKE, ASLEEP], ids=["awake", "asleep"])
def test_a_rollout_updates_the_device_and_is_done(tmp_path: Path, spec: DeviceSpec) -> None:
    air = Air(tmp_path, spec)
    update(air, *image_of("1.1.0", 20_000))
    for _ in range(20):
        air.run(MINUTE_MS)
    assert version(air) == "1.1.0"
    assert rollout(air) == "done"
    assert air.world.device.counters.updates == 1
    assert not air.world.device.outbox.slot(1), "nothing of the image is kept in memory"
    air.restart_device()
    air.run(MINUTE_MS)
    assert version(air) == "1.1.0", "the new slot stays the active one"
    air.close()


def test_an_image_that_fails_its_self_test_is_rolled_back_and_halts_the_rollout(awake: Air) -> None:
    update(awake, *image_of("1.1.0", 2000, SELF_TEST_FAILS))
    for _ in range(5):
        awake.run(MINUTE_MS)
    (told,) = awake.desk.downlinks.rollouts.all()
    (device,) = awake.desk.downlinks.rollouts.devices(told.id)
    assert version(awake) == "1.0.0"
    assert (told.state, device.result) == ("halted", "failed")
    assert "self-test failed" in device.detail
    assert awake.world.device.counters.roll_backs == 1


@settings(max_examples=10, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    loss=st.floats(0.0, 0.5),
    repeats=st.floats(0.0, 0.5),
    sleepy=st.booleans(),
    mishaps=st.lists(st.sampled_from(["device", "gateway", "flash", "verify", "download", "reset"]), max_size=6),
)
def test_any_schedule_of_loss_repeats_kills_and_brown_outs_ends_well(
    seed: int, loss: float, repeats: float, sleepy: bool, mishaps: list[str]
) -> None:
    with TemporaryDirectory() as folder:
        air = Air(Path(folder), ASLEEP if sleepy else AWAKE, loss, repeats, seed)
        update(air, *image_of("1.1.0", 3000))
        orders = [air.issue("set-interval", interval_s=30), air.issue("reboot")]
        for mishap in mishaps:
            match mishap:
                case "device":
                    air.restart_device()
                case "gateway":
                    air.kill_gateway()
                case "reset":
                    air.talk(air.world.take(air.world.device.reset(air.world.now_ms)))
                case phase:
                    beside = {"flash": Phase.FLASH, "verify": Phase.PROCESS, "download": Phase.DOWNLINK}[phase]
                    air.supply.fail_in[beside] = PowerState.SAG
            air.run(2 * MINUTE_MS)
            assert air.world.device.phase is not Phase.DEAD
        air.loss = air.repeats = 0.0
        for _ in range(40):
            air.run(MINUTE_MS)
        assert version(air) == "1.1.0"
        assert [air.state(order) for order in orders] == [CommandState.ACKNOWLEDGED] * 2
        # Counted since the last new process; over all processes, each of the two and the update was carried out once.
        assert air.world.device.counters.commands <= 3
        air.close()
