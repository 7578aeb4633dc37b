"""One device: samples, keeps every reading in flash, and talks when it has a reason to.

Sans-IO: the caller hands in true time (`now_ms`), what arrived, and whether the link is up; the device hands back what
to publish. It is deterministic: the same specification, generator and inputs give the same readings and messages.

Promises:
- A reading is in the outbox before anything else sees it; `observer` then gets it with the true time of sampling.
- Sampling keeps its own schedule, whatever the link does; `step` catches up on every sample that came due.
- What is published was appended before, but is durable only after the flash's `commit`: commit before you publish.
- With a receive window (`receive_window_ms`) the radio sleeps between contacts, and what arrives then waits for the
  next one, as at a broker that holds a persistent session; without one (None) the device always listens.
- A restart (watchdog, brown-out) keeps flash and forgets RAM. A dead device, empty or broken, does nothing, for ever.
"""

from collections import deque
from collections.abc import Callable, Iterator
from random import Random

from firmware_sim.battery_report import battery_values
from firmware_sim.delta import has_changed
from firmware_sim.device_clock import DeviceClock
from firmware_sim.device_radio import DeviceRadio
from firmware_sim.device_spec import DeviceSpec, Measure, Observer, Publish
from firmware_sim.device_states import DeviceStates
from firmware_sim.express import Express, as_received
from firmware_sim.failures import NO_FAILURES, Failures
from firmware_sim.orders import Orders, Wish
from firmware_sim.outbox import Outbox, OutboxFullError
from firmware_sim.phases import RESTING, UNPOWERED, Event, Phase
from firmware_sim.records import as_measured, as_sent, encode_body
from firmware_sim.sender import BACKOFF_BASE_MS, BACKOFF_CAP_MS, Acknowledge, Pack, Sender
from firmware_sim.supply import Supply
from sensors.messages import RANGES_MAX, MessageError, State, decode_ack, decode_resend, encode
from sensors.reading import Reading, Value
from sensors.senml import encode as encode_senml
from sensors.topics import Kind

MAILBOX_MAX = 64  # messages that wait for a sleeping device; a broker's queue for one client is larger


class Device(DeviceStates):
    """One simulated device."""

    def __init__(
        self,
        spec: DeviceSpec,
        outbox: Outbox,
        measure: Measure,
        rng: Random,
        *,
        supply: Supply,
        observer: Observer,
        radio: DeviceRadio | None = None,
        temperature_c: Callable[[int], float] | None = None,
        missed: Callable[[int], None] | None = None,
        failures: Failures = NO_FAILURES,
    ) -> None:
        """`missed` hears of samples in which no sensor said anything: nothing is stored then."""
        super().__init__(supply, radio, failures)
        self.spec = spec
        self.outbox = outbox
        self._measure = measure
        self._rng = rng
        self._observer = observer
        self._missed = missed
        self._clock = DeviceClock(spec.clock, rng, temperature_c)
        self._sender = Sender(outbox, spec.sender, rng)
        self._mailbox: deque[tuple[Kind, bytes, int]] = deque(maxlen=MAILBOX_MAX)
        self._orders = Orders(outbox, spec.firmware, spec.interval_ms, self.counters, self._work)
        self._report_now = self._linked = False
        self._sampling = True
        self._slot_ms = 0
        self._not_before_ms = self._attempt = self._fresh = 0
        self._state_due = False
        self._last_stored: tuple[int, tuple[Value, ...]] | None = None
        timings = self._timings
        self._sending = (
            (Phase.PROCESS, timings.process_ms),
            (Phase.CONNECT, timings.connect_ms),
            (Phase.TRANSMIT, timings.transmit_ms),
        )
        self.express: Express | None = None  # a gateway in this memory; only a fleet in virtual time has one

    @property
    def next_wake_ms(self) -> int | None:
        """When `step` has something to do; None if nothing will happen by itself."""
        if self.phase in UNPOWERED:
            return self._power_due_ms
        due_ms = self._sample_due_ms
        at_ms = self._listen_until_ms
        if at_ms is not None and (due_ms is None or at_ms < due_ms):
            due_ms = at_ms
        at_ms = self._reset_due_ms
        if at_ms is not None and (due_ms is None or at_ms < due_ms):
            due_ms = at_ms
        at_ms = self._contact_due_ms() if self._linked and self._always_on() else None
        return at_ms if at_ms is not None and (due_ms is None or at_ms < due_ms) else due_ms

    def start(self, now_ms: int) -> list[Publish]:
        """Switch the device on. The first sample falls at a random moment of the first interval."""
        self._busy_until_ms = now_ms
        return [] if self._failures.has_broken(now_ms) else self._boot(Event.POWER, now_ms)

    def step(self, now_ms: int) -> list[Publish]:
        """Do all that is due."""
        out: list[Publish] = []
        while (at_ms := self.next_wake_ms) is not None and at_ms <= now_ms:
            if at_ms == self._power_due_ms:
                out += self._boot(Event.POWER, at_ms)
            elif at_ms == self._reset_due_ms:
                out += [] if self._breaks(at_ms) else self._boot(Event.RESET, at_ms)
            elif at_ms == self._sample_due_ms:
                out += self._sample(at_ms)
            elif at_ms == self._listen_until_ms:
                self._rest(at_ms)
            else:
                out += self._contact(at_ms)
        return out

    def reset(self, now_ms: int) -> list[Publish]:
        """The watchdog, or somebody's finger, restarts a powered device."""
        return self._boot(Event.RESET, now_ms) if self.powered else []

    def link_up(self, now_ms: int) -> list[Publish]:
        """The way to the broker is open."""
        self._linked = True
        self._state_due = True
        self._sender.link_up(now_ms)
        return self._contact(now_ms) if self._listening() else []

    def link_down(self) -> None:
        """The way to the broker is shut; what is on the way stays on the way until its time-out."""
        self._linked = False

    def receive(self, kind: Kind, payload: bytes, now_ms: int) -> list[Publish]:
        """Something of the gateway's arrived; what cannot be understood is counted and forgotten."""
        if not self._listening():
            self._mailbox.append((kind, payload, now_ms))
            return []
        out = self._read_mail(kind, payload, now_ms, now_ms)
        return out + self._transmit(now_ms) if self._linked and self.powered else out

    def answered(self, token: int, *, delivered: bool, now_ms: int) -> list[Publish]:
        """The broker's answer to a message of readings: only a PUBACK with reason 0 is a delivery."""
        if delivered:
            self.counters.delivered_messages += 1
        else:
            self.counters.refused_messages += 1
        self.counters.acked += self._sender.answered(token, delivered=delivered, now_ms=now_ms)
        if self._listening() and self._linked and self.spec.sender.acknowledge is Acknowledge.BROKER:
            return self._transmit(now_ms)
        return []

    def stop_sampling(self, now_ms: int) -> list[Publish]:
        """Measure no more; send what is held, and keep listening until it is acknowledged."""
        self._sampling, self._sample_due_ms = False, None
        return self._contact(now_ms) if self.powered else []

    def held_readings(self) -> Iterator[Reading]:
        """What the flash holds, as it was measured."""
        for record in self.outbox.records():
            yield as_measured(self.spec.name, record)

    def farewell(self) -> Publish:
        """The last word before a clean disconnect, which keeps the last will from being said."""
        return Publish(Kind.STATE, encode(State(online=False, boot=self.outbox.boot)), retain=True)

    # --- the life of the firmware ---

    def _boot(self, event: Event, now_ms: int) -> list[Publish]:
        if not self._end_rest(event, now_ms):
            return []
        self._power_due_ms = self._sample_due_ms = self._listen_until_ms = self._reset_due_ms = None
        self._report_now = False
        self._sender.restart()
        self._fresh = self._attempt = self._not_before_ms = 0
        self._state_due, self._last_stored = True, None
        if not self._spend(self._timings.boot_ms, now_ms):
            return []
        self.counters.boots += 1
        newest_at_ms = self.outbox.newest_at_ms
        self._clock.restart(now_ms, 0 if newest_at_ms is None else newest_at_ms)
        self.outbox.start_boot(self._clock.read(now_ms)[0])
        self._reset_due_ms = self._failures.next_ms(self._busy_until_ms)
        if not self._orders.boot():
            self._reset_due_ms = self._busy_until_ms  # the old image, as soon as this one has given up
        elif self._orders.finish_update(now_ms).reset:
            self._reset_due_ms = self._busy_until_ms
        if not self.powered:
            return []
        if self._sampling:
            self._slot_ms = now_ms + self._rng.randint(0, self._orders.interval_ms)
            self._sample_due_ms = self._slot_ms + self._rng.randint(0, self.spec.jitter_ms)
        self._enter(Event.STARTED)
        return self._connect(now_ms)

    def _sample(self, at_ms: int) -> list[Publish]:
        if not self._end_rest(Event.DUE, at_ms) or not self._spend(self._timings.sense_ms, at_ms):
            return []
        self._schedule_sample()
        values = self._measure(at_ms) + self._battery_values(at_ms)
        self._enter(Event.MEASURED)
        if self.express is not None and self._send_express(self.express, values, at_ms):
            return []
        if not self._spend(self._timings.process_ms, at_ms):
            return []
        if not values:
            self.counters.missed += 1
            if self._missed is not None:
                self._missed(at_ms)
        elif not self._report_now and not self._changed(values, at_ms):
            self.counters.suppressed += 1
        else:
            self._store(values, at_ms)
        has_reason = self._fresh >= self.spec.batch or self._state_due or self._report_now
        if (has_reason or self._orders.has_words(at_ms)) and at_ms >= self._not_before_ms:
            self._report_now = False
            self._enter(Event.CONTACT)
            return self._connect(at_ms)
        self._rest(at_ms)
        return []

    def _schedule_sample(self) -> None:
        """The next slot of an even grid, so that jitter does not add up to drift."""
        interval_ms, low_percent = self._orders.interval_ms, self.spec.low_battery_percent
        if low_percent and (level := self.supply.level_percent()) is not None and level < low_percent:
            interval_ms *= self.spec.low_battery_stretch
        self._slot_ms += self._clock.wait_ms(interval_ms, self._slot_ms)
        self._sample_due_ms = self._slot_ms + self._rng.randint(0, self.spec.jitter_ms) if self._sampling else None

    def _battery_values(self, at_ms: int) -> tuple[Value, ...]:
        self.supply.look(at_ms)
        if self.outbox.next_seq % self.spec.battery_every:
            return ()
        return battery_values(self.supply)

    def _changed(self, values: tuple[Value, ...], at_ms: int) -> bool:
        """Send-on-delta: whether a value left the band about what was last stored, or the heartbeat is due."""
        if not self.spec.delta or self._last_stored is None:
            return True
        stored_ms, stored = self._last_stored
        if self.spec.heartbeat_ms is not None and at_ms - stored_ms >= self.spec.heartbeat_ms:
            return True
        return has_changed(self.spec.delta, stored, values)

    def _store(self, values: tuple[Value, ...], at_ms: int) -> None:
        taken_at_ms, synced = self._clock.read(at_ms)
        lost = self.outbox.lost
        try:
            record = self.outbox.append(taken_at_ms, encode_body(values, synced=synced))
        except OutboxFullError:
            self.counters.refused += 1
            return
        self._state_due = self._state_due or self.outbox.lost != lost
        self._last_stored = at_ms, values
        self._fresh += 1
        self.counters.sampled += 1
        self._observer(Reading(self.spec.name, record.boot, record.seq, taken_at_ms, values, synced), at_ms)

    def _is_calm(self, at_ms: int) -> bool:
        """Whether the next reading will be sent alone, at once, and there is nothing else to say or to hear."""
        return (
            self.spec.batch <= 1
            and self._linked
            and at_ms >= self._not_before_ms
            and not (self._state_due or self._mailbox or self.outbox or self.outbox.lost)
            and self._sender.idle
            and not self._orders.has_words(at_ms)
        )

    def _send_express(self, express: Express, values: tuple[Value, ...], at_ms: int) -> bool:
        """The short way (`firmware_sim.express`); False, and nothing is done, where a reading needs the long one."""
        if not (values and self._is_calm(at_ms) and (self._report_now or self._changed(values, at_ms))):
            return False
        taken_at_ms, synced = self._clock.read(at_ms)
        boot, seq = self.outbox.boot, self.outbox.next_seq
        reading = Reading(self.spec.name, boot, seq, taken_at_ms, values, synced)
        received = as_received(reading)
        body = encode_body(values, synced=synced)
        if received is None or not express.expects(boot, seq) or not self.outbox.fits(len(body)):
            return False
        self._report_now = False
        state = self._spend_through(self._sending, at_ms)
        if state is None and not self._spend(self._timings.process_ms, at_ms):
            return True
        self._enter(Event.CONTACT)
        if state is not None or self._spend(self._timings.connect_ms, at_ms):
            self._reach(at_ms)
            if state is None:
                self._spend(self._timings.transmit_ms, at_ms)
            else:
                self._survives(state)
            self.counters.sent += not self.powered  # in vain; `pass_on` counts what went well
        if not self.powered:
            self._store(values, at_ms)
            return True
        self._sender.passed(self.outbox.pass_on(taken_at_ms, len(body)))
        self._last_stored = at_ms, values
        self.counters.pass_on()
        self._observer(reading, at_ms)
        self._finish()
        express.take(received, at_ms)
        if self._listen_until_ms is not None and self._listens_in_vain(self._listen_until_ms, express):
            self._rest(self._listen_until_ms)
        return True

    def _listens_in_vain(self, until_ms: int, express: Express) -> bool:
        """Whether nothing at all can happen before the receive window closes."""
        due_ms = self._sample_due_ms
        if self._reset_due_ms is not None and (due_ms is None or self._reset_due_ms < due_ms):
            due_ms = self._reset_due_ms
        return until_ms < express.silent_until_ms and (due_ms is None or until_ms < due_ms)

    # --- the radio ---

    def _contact(self, now_ms: int) -> list[Publish]:
        return self._connect(now_ms) if self._end_rest(Event.CONTACT, now_ms) else []

    def _connect(self, now_ms: int) -> list[Publish]:
        if not self._spend(self._timings.connect_ms, now_ms):
            return []
        if not self._linked:
            ceiling_ms = min(BACKOFF_CAP_MS, BACKOFF_BASE_MS << min(self._attempt, 6))
            self._attempt += 1
            self._not_before_ms = now_ms + self._rng.randint(0, ceiling_ms)
            self._enter(Event.NO_LINK)
            return []
        if self._held_back(now_ms):
            self._enter(Event.NO_LINK)
            return []
        self._reach(now_ms)
        out: list[Publish] = []
        while self._mailbox and self.powered:
            kind, payload, arrived_ms = self._mailbox.popleft()
            out += self._read_mail(kind, payload, now_ms, arrived_ms)
        return out + self._transmit(now_ms) if self.powered else []

    def _reach(self, now_ms: int) -> None:
        """The network is there."""
        self._attempt = self._fresh = self._not_before_ms = 0
        self._enter(Event.LINKED)
        if self._clock.contact(now_ms) and self._clock.correction_ms is not None:
            self.outbox.note_clock(self._clock.correction_ms)

    def _transmit(self, now_ms: int) -> list[Publish]:
        """Send what the window allows, then listen."""
        if self.phase in RESTING:
            has_reason = self._state_due or self._sender.unsent() or self._orders.has_words(now_ms)
            if not has_reason or self._held_back(now_ms):
                return []
            if not self._end_rest(Event.CONTACT, now_ms):
                return []
            self._enter(Event.LINKED)
        out: list[Publish] = []
        if self._state_due:
            out.append(self._orders.state(self.outbox.lost[:RANGES_MAX], self.supply.voltage_v()))
        self._state_due = False
        out += self._orders.words(now_ms)
        out += [self._publish(pack, now_ms) for pack in self._sender.pump(now_ms)]
        for at, message in enumerate(out):
            sent = self._emit(message, now_ms)
            if sent is None:
                return []  # the pulse pulled the voltage down: nothing left the antenna whole
            out[at] = sent
        self._finish()
        return out

    def _finish(self) -> None:
        """All is said: listen for what is answered."""
        self._enter(Event.SENT)
        window_ms = self.spec.receive_window_ms
        closes = window_ms is not None and self._sampling
        self._listen_until_ms = self._busy_until_ms + (window_ms or 0) if closes else None

    def _held_back(self, now_ms: int) -> bool:
        """Whether the radio's duty cycle forbids a message now; the first sample after it has another try."""
        if self._radio is None:
            return False
        starts_ms = max(now_ms, self._busy_until_ms)
        self._not_before_ms = self._radio.free_ms(starts_ms)
        return self._not_before_ms > starts_ms

    def _emit(self, message: Publish, now_ms: int) -> Publish | None:
        """Put a message on the air; None if the supply gave way."""
        if self._radio is None:
            return message if self._spend(self._timings.transmit_ms, now_ms) else None
        starts_ms = max(now_ms, self._busy_until_ms)
        air, phases = self._radio.send(starts_ms, message.payload, message.readings)
        self._busy_until_ms = air.ends_ms
        if not self._survives(self.supply.draw_radio(phases, resting=False)):
            return None
        if message.kind is Kind.STATE and not air.confirmed:
            self._state_due = True
        return message._replace(air=air)

    def _publish(self, pack: Pack, now_ms: int) -> Publish:
        sent_at_ms, correction_ms = self._clock.timeline_ms(now_ms), self.outbox.clock_correction_ms
        readings = [as_sent(self.spec.name, record, correction_ms(record.boot), sent_at_ms) for record in pack.records]
        payload = encode_senml(readings, sent_at_ms=sent_at_ms, encoding=self.spec.encoding)
        self.counters.sent += len(readings)
        self.counters.resent += pack.resent
        return Publish(Kind.READING, payload, token=pack.token, readings=len(readings))

    def _read_mail(self, kind: Kind, payload: bytes, now_ms: int, arrived_ms: int) -> list[Publish]:
        try:
            if kind in {Kind.CMD, Kind.FW_CHUNK}:
                self._heed(self._orders.read(kind, payload, now_ms, arrived_ms), now_ms)
                return []
            if kind is Kind.ACK:
                self.counters.acked += self._sender.acked(decode_ack(payload), now_ms)
                return []
            lost = self._sender.asked(decode_resend(payload))
        except MessageError:
            self.counters.bad_messages += 1
            return []
        return [self._orders.state(lost, self.supply.voltage_v())] if lost else []

    def _heed(self, wish: Wish, now_ms: int) -> None:
        """Do what an order asks of the firmware around it."""
        if not self.powered:
            return
        self._state_due = self._state_due or wish.state
        if wish.reset:
            self._reset_due_ms = max(now_ms, self._busy_until_ms)
        if wish.report:
            self._report_now, self._sample_due_ms = True, max(now_ms, self._busy_until_ms)
            self._slot_ms = self._sample_due_ms
        if wish.reschedule and self._sampling:
            self._slot_ms = now_ms
            self._schedule_sample()

    def _listening(self) -> bool:
        return self.phase is Phase.RECEIVE or (self.phase is Phase.SLEEP and self._always_on())

    def _always_on(self) -> bool:
        return self.spec.receive_window_ms is None or not self._sampling

    def _contact_due_ms(self) -> int | None:
        """When a device that always listens must look at its sending again; one that sleeps does at its next sample."""
        due_ms, sender_ms = self._orders.due_ms(), self._sender.next_due_ms
        if due_ms is None or (sender_ms is not None and sender_ms <= due_ms):
            return sender_ms
        return max(due_ms, self._not_before_ms, self._busy_until_ms)

    # --- states, and what they cost ---

    def _rest(self, now_ms: int) -> None:
        """Sleep, or listen where the device always does or its receive window is still open."""
        if self.phase in RESTING and not self._end_rest(None, now_ms):
            return
        if self._listen_until_ms is not None and self._listen_until_ms <= now_ms:
            self._listen_until_ms = None
        listen = self._listen_until_ms is not None or (self._always_on() and self._linked)
        self._enter(Event.LISTEN if listen else Event.REST)
