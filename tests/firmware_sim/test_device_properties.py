"""For any schedule of losses, acks, resends, restarts and power cuts: nothing is freed that was not acknowledged,
except by policy, and what is lost is reported. And when the world heals, everything arrives."""

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from firmware_sim.device_spec import Publish
from firmware_sim.outbox import OUTBOX_BYTES_MIN, FullPolicy
from sensors.messages import encode
from sensors.topics import Kind
from tests.examples import examples
from tests.firmware_sim.worlds import GatewayModel, World, spec

HEAL_ROUNDS_MAX = 400


class DeviceMachine(RuleBasedStateMachine):
    """A device, a broker that may lose what it acknowledged, and a gateway."""

    @initialize(
        bytes_max=st.sampled_from([OUTBOX_BYTES_MIN, 1 << 20]),
        policy=st.sampled_from(FullPolicy),
        window_ms=st.sampled_from([None, 300]),
        batch=st.integers(1, 3),
    )
    def build(self, bytes_max: int, policy: FullPolicy, window_ms: int | None, batch: int) -> None:
        self.world = World(spec(receive_window_ms=window_ms, batch=batch), bytes_max=bytes_max, policy=policy)
        self.gateway = GatewayModel()
        self.policy = policy
        self.world.link(up=True)

    @rule(for_ms=st.integers(500, 20_000))
    def time_passes(self, for_ms: int) -> None:
        self.world.run(for_ms)

    @rule(up=st.booleans())
    def the_link_changes(self, up: bool) -> None:
        if up != self.world.linked:
            self.world.link(up=up)

    @rule(data=st.data(), arrives=st.booleans(), delivered=st.booleans())
    def the_broker_answers_a_message(self, data: st.DataObject, arrives: bool, delivered: bool) -> None:
        """Also the worst broker: it says yes and forgets the message, or says no and delivers it."""
        if not self.world.sent:
            return
        message = self.world.sent.pop(data.draw(st.integers(0, len(self.world.sent) - 1)))
        if arrives:
            self.gateway.receive(message, self.world.now_ms)
        self.answer(message, delivered=delivered)

    @rule()
    def the_gateway_acknowledges(self) -> None:
        if self.world.linked:
            self.deliver(Kind.ACK, encode(self.gateway.acks()))

    @rule()
    def the_gateway_asks_for_gaps(self) -> None:
        if self.world.linked:
            self.deliver(Kind.RESEND, encode(self.gateway.gaps()))

    @rule()
    def the_watchdog_bites(self) -> None:
        self.world.take(self.world.device.reset(self.world.now_ms))

    @rule()
    def the_power_is_cut(self) -> None:
        self.world.sent.clear()
        self.world.power_on()

    @invariant()
    def what_is_neither_held_nor_received_is_reported(self) -> None:
        if not hasattr(self, "world"):
            return
        outbox = self.world.device.outbox
        held = {(record.boot, record.seq) for record in outbox.records()}
        lost = {(gone.boot, seq) for gone in outbox.lost for seq in range(gone.first, gone.last + 1)}
        for identity in self.world.truth:
            key = identity.boot, identity.seq
            assert key in held or identity in self.gateway.readings or key in lost or key in self.gateway.lost, key
        if self.policy is FullPolicy.STOP_SAMPLING:
            assert not lost
        assert outbox.bytes_used <= outbox.bytes_max

    def teardown(self) -> None:
        if hasattr(self, "world"):
            self.heal()

    def heal(self) -> None:
        """The link stays up and nothing more is lost: then everything that was not evicted must arrive."""
        world = self.world
        world.take(world.device.stop_sampling(world.now_ms))
        if not world.linked:
            world.link(up=True)
        for _ in range(HEAL_ROUNDS_MAX):
            for message in list(world.sent):
                world.sent.remove(message)
                self.gateway.receive(message, world.now_ms)
                self.answer(message, delivered=True)
            self.deliver(Kind.ACK, encode(self.gateway.acks()))
            self.deliver(Kind.RESEND, encode(self.gateway.gaps()))
            if not len(world.device.outbox) and not world.sent:
                break
            world.run(10_000)
        assert len(world.device.outbox) == 0
        missing = world.truth.keys() - self.gateway.readings.keys()
        assert {(identity.boot, identity.seq) for identity in missing} <= self.gateway.lost
        assert world.run(600_000) == [], "everything is acknowledged: there is nothing to say"
        for identity, reading in self.gateway.readings.items():
            assert world.truth[identity].values == reading.values

    def deliver(self, kind: Kind, payload: bytes) -> None:
        self.world.take(self.world.device.receive(kind, payload, self.world.now_ms))

    def answer(self, message: Publish, *, delivered: bool) -> None:
        if message.token is not None:
            answered = self.world.device.answered(message.token, delivered=delivered, now_ms=self.world.now_ms)
            self.world.take(answered)


DeviceMachine.TestCase.settings = settings(
    max_examples=examples(60), stateful_step_count=50, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
TestDevice = DeviceMachine.TestCase
