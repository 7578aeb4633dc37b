"""MQTT connections of the world: bytes between a client and the broker, over a link.

A `Wire` is one established connection: what is sent arrives whole and in order, or the connection breaks. It breaks
when the link resets it, when silence outlasts the keep-alive (1.5 times, MQTT 5.0, section 3.1.2.10), when the broker
goes, or when the client does; a client that goes without a word leaves the broker's end half-open until then. A `close`
of the recording ends it too, at once or by silence at both ends, and an unknown write ends it behind what was sent.
A `Client` keeps a wire: it dials, and after a failure backs off with full jitter, as the real clients do.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from random import Random
from typing import TypeVarTuple

from edge.outages.events import Cause, Ending
from edge.retry import Backoff
from tidegate.replay.broker import Attachment, Broker, Delivery, Login, Message
from tidegate.replay.links import RESETTING, Down, Link
from tidegate.replay.world import US_PER_MS, US_PER_S, Timer, World

SILENCE_PER_KEEPALIVE = (3, 2)  # 1.5, kept whole
HEALTHY_AFTER_US = 60 * US_PER_S  # as edge/gateway.py and firmware_sim/mqtt.py
CONNECT_TIMEOUT_US = 10 * US_PER_S
ROUND_TRIPS_TO_CONNECT = 4  # one-way trips: TCP, then CONNECT and CONNACK
PUBACK_BYTES = 4
UP, DOWN = 0, 1

Content = TypeVarTuple("Content")
OnMessage = Callable[["Wire", Delivery], None]


class Wire:
    """One established connection, seen from the client. Made by `Client`."""

    def __init__(
        self, world: World, link: Link, rng: Random, arrived: OnMessage, broken: Callable[[Cause], None]
    ) -> None:
        self.open = True
        self._world = world
        self._link = link
        self._rng = rng
        self._arrived = arrived
        self._broken = broken
        self._attachment: Attachment | None = None
        self._half_open = False
        self._silence_us = 0
        self._moved_us = [0, 0]
        self._last_us = [0, 0]
        self._ending: Timer | None = None

    def establish(self, broker: Broker, login: Login, keepalive_us: int) -> bool:
        """Attach to the broker; whether it still had the session."""
        self._silence_us = silence_us = keepalive_us * SILENCE_PER_KEEPALIVE[0] // SILENCE_PER_KEEPALIVE[1]
        for down in self._link.downs_after(self._world.now_us):
            if down.cause in RESETTING:
                self._ending = self._world.at(down.start_us, partial(self._break_by, down, down.cause))
                break
            if down.end_us - down.start_us >= silence_us:
                at_us = down.start_us + silence_us
                self._ending = self._world.at(at_us, partial(self._break_by, down, Cause.TIMEOUT))
                break
        self._attachment = broker.attach(login, self._deliver, lambda: self._break(Cause.RESET))
        return self._attachment.session_present

    def publish(self, message: Message, answered: Callable[[int], None] | None = None) -> None:
        """Send a message to the broker; `answered` is given the reason code of its PUBACK, if that arrives."""
        self._send(UP, message.size_bytes, self._reach, message, answered)

    def acknowledge(self, packet_ids: Sequence[int]) -> None:
        """Send PUBACKs. On a wire that is gone they go nowhere."""
        attachment = self._attachment
        if self.open and attachment is not None:
            self._send(UP, PUBACK_BYTES * len(packet_ids), attachment.acknowledge, packet_ids)

    def suffer(self, how: Ending) -> bool:
        """The recording has a connection end so; whether there was one to end."""
        if not self.open or self._half_open:
            return False
        if how is Ending.STALL:
            self._half_open = True
            self._world.after(self._silence_us, lambda: self._break(Cause.TIMEOUT))
        else:
            self._break(Cause.RESET)
        return True

    def abandon(self) -> None:
        """The client is gone without a word: the broker finds out by its keep-alive, or at the next connect."""
        if not self.open:
            return
        self._half_open = True
        self._broken = _nobody_hears
        if self._ending is not None:
            self._ending.cancel()
        self._ending = self._world.after(self._silence_us, lambda: self._break(Cause.TIMEOUT))

    def close(self) -> None:
        """The client's process ends: its kernel closes the connection, and the broker hears of it at once."""
        self._broken = _nobody_hears
        self._break(Cause.RESET)

    def _reach(self, message: Message, answered: Callable[[int], None] | None) -> None:
        if self._attachment is None:
            return
        reason = self._attachment.publish(message)
        if answered is None:
            return
        if self._link.mishaps.takes_answer(self._world.now_us):
            self._break(Cause.RESET)
        else:
            self._send(DOWN, PUBACK_BYTES, answered, reason)

    def _deliver(self, delivery: Delivery) -> None:
        self._send(DOWN, delivery.message.size_bytes, self._arrived, self, delivery)

    def _send(self, way: int, size_bytes: int, deliver: Callable[[*Content], None], *content: *Content) -> None:
        if not self.open or self._half_open:
            return
        world, moved, last = self._world, self._moved_us, self._last_us
        start_us = moved[way]
        if start_us < world.now_us:
            start_us = world.now_us
        moved[way], arrives_us = self._link.carry(start_us, size_bytes, self._rng)
        if arrives_us > last[way]:
            last[way] = arrives_us
        world.at(last[way], partial(self._arrive, deliver, *content))

    def _arrive(self, deliver: Callable[[*Content], None], *content: *Content) -> None:
        if self.open and not self._half_open:
            deliver(*content)

    def _break_by(self, down: Down, cause: Cause) -> None:
        self._link.met_downs.add(down)
        self._break(cause)

    def _break(self, cause: Cause) -> None:
        if not self.open:
            return
        self.open = False
        if self._ending is not None:
            self._ending.cancel()
        if self._attachment is not None:
            self._attachment.lost()
        self._broken(cause)


def _nobody_hears(_cause: Cause) -> None:
    """Stands in for a client that is gone."""


@dataclass(frozen=True, slots=True)
class ClientHooks:
    """What a client's owner wants to hear. `dialing` comes before each attempt to connect."""

    dialing: Callable[[], None]
    up: Callable[[Wire, bool], None]
    down: Callable[[Cause], None]
    arrived: OnMessage


class Client:
    """Keeps one client connected from `start` until `stop`."""

    def __init__(
        self, world: World, broker: Broker, link: Link, login: Login, keepalive_s: int, hooks: ClientHooks
    ) -> None:
        self.wire: Wire | None = None
        self._world = world
        self._broker = broker
        self._link = link
        self._login = login
        self._keepalive_us = keepalive_s * US_PER_S
        self._hooks = hooks
        self._rng = world.rng("client", login.client_id)
        self._backoff = Backoff(self._rng)
        self._dialing: Timer | None = None
        self._up_since_us = 0
        self._running = False
        for number, close in enumerate(link.mishaps.closes):
            if close.at_us > world.now_us:
                world.at(close.at_us, partial(self._suffer, number, close.how))

    def start(self) -> None:
        """Connect, and stay connected."""
        if not self._running:
            self._running = True
            self._dial()

    def stop(self, *, silently: bool) -> None:
        """Let go. `silently`: the power went, and the broker is not told."""
        self._running = False
        if self._dialing is not None:
            self._dialing.cancel()
        wire, self.wire = self.wire, None
        if wire is not None and silently:
            wire.abandon()
        elif wire is not None:
            wire.close()

    def _suffer(self, number: int, how: Ending) -> None:
        if self.wire is not None and self.wire.suffer(how):
            self._link.mishaps.meet(number)

    def _dial(self) -> None:
        self._hooks.dialing()
        now_us = self._world.now_us
        refusal = self._link.refusal(now_us, CONNECT_TIMEOUT_US)
        if refusal is not None:
            at_us, down = refusal
            self._dialing = self._world.at(at_us, lambda: self._failed(down.cause))
            return
        at_us = now_us + ROUND_TRIPS_TO_CONNECT * self._link.latency_us(now_us)
        self._dialing = self._world.at(at_us, self._reached)

    def _reached(self) -> None:
        down = self._link.meet(self._world.now_us)
        if down is not None or not self._broker.up:
            self._failed(Cause.REFUSED if down is None else down.cause)
            return
        self._dialing = None
        self._up_since_us = self._world.now_us
        wire = self.wire = Wire(self._world, self._link, self._rng, self._hooks.arrived, self._broken)
        session_present = wire.establish(self._broker, self._login, self._keepalive_us)
        self._world.note(f"{self._login.client_id} connects session={int(session_present)}")
        self._hooks.up(wire, session_present)

    def _broken(self, cause: Cause) -> None:
        self.wire = None
        if self._world.now_us - self._up_since_us >= HEALTHY_AFTER_US:
            self._backoff.reset()
        self._world.note(f"{self._login.client_id} loses its connection: {cause}")
        self._hooks.down(cause)
        if self._running:
            self._again()

    def _failed(self, cause: Cause) -> None:
        self._hooks.down(cause)
        self._again()

    def _again(self) -> None:
        self._dialing = self._world.after(self._backoff.fail() * US_PER_MS, self._dial)
