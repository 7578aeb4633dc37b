"""An MQTT broker in memory: QoS 1, persistent sessions, and a broker's ways of losing things.

Promises, as MQTT 5 has them (sections 4.4 and 4.9): each message is delivered to every session that subscribes to its
topic, in order, at least once; at most the client's receive maximum (and `inflight_max`) are unacknowledged at a time;
after a reconnect the unacknowledged ones come again first, marked DUP. And as Mosquitto has them: a session whose queue
is full drops what is new although the publisher gets its PUBACK; a crash goes back to what was last saved.
Synchronous; bytes travel in `tidegate.replay.connections`.
"""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from sensors.reading import Identity
from tidegate.replay.world import US_PER_S, Timer, World

PACKET_ID_MAX = 65_535
SUCCESS = 0
NO_MATCHING_SUBSCRIBERS = 16  # MQTT 5.0, section 3.4.2.1
FRAME_BYTES = 9  # of a QoS 1 PUBLISH beside topic and payload: fixed header, lengths, packet id, properties


class Message(NamedTuple):
    """One application message. `readings` says which readings it holds: for the checkers, no part looks at it."""

    topic: str
    payload: bytes
    retain: bool = False
    readings: tuple[Identity, ...] = ()

    @property
    def size_bytes(self) -> int:
        """What it takes on a wire."""
        return len(self.payload) + len(self.topic) + FRAME_BYTES


class Delivery(NamedTuple):
    """A message on its way to a client."""

    packet_id: int
    message: Message
    dup: bool


@dataclass(frozen=True, slots=True)
class BrokerSpec:
    """Limits and durability; the defaults are those of Mosquitto 2.0 as we recommend to set it up."""

    inflight_max: int = 4096
    queue_max: int = 100_000
    autosave_s: int | None = 1800
    """How often sessions and retained messages are saved; a crash returns to that. None: every change is saved."""


@dataclass(frozen=True, slots=True)
class Login:
    """Who connects, and what for. `will` is said `will_delay_us` after the client was lost without a goodbye."""

    client_id: str
    filters: tuple[str, ...]
    receive_max: int
    will: Message | None = None
    will_delay_us: int = 10 * US_PER_S


@dataclass(slots=True)
class _Session:
    filters: tuple[str, ...] = ()
    inflight: dict[int, Message] = field(default_factory=dict)
    queue: deque[Message] = field(default_factory=deque)
    next_id: int = 0

    def copy(self) -> "_Session":
        return _Session(self.filters, dict(self.inflight), deque(self.queue), self.next_id)


class Attachment:
    """The broker's end of one client's connection."""

    def __init__(
        self, broker: "Broker", login: Login, deliver: Callable[[Delivery], None], ended: Callable[[], None]
    ) -> None:
        self._broker = broker
        self.login = login
        self.deliver = deliver
        self.ended = ended
        self.session_present = False

    def publish(self, message: Message) -> int:
        """Take a message from this client; the reason code of its PUBACK."""
        return self._broker.publish(message)

    def acknowledge(self, packet_ids: Sequence[int]) -> None:
        """The client has taken these over."""
        self._broker.acknowledged(self, packet_ids)

    def lost(self) -> None:
        """The connection is gone without a goodbye."""
        self._broker.detach(self)


class Broker:
    """The broker. Off until `start`."""

    def __init__(self, world: World, spec: BrokerSpec) -> None:
        self._world = world
        self._spec = spec
        self.up = False
        self.published = 0
        self.dropped = 0  # a full queue's losses, over all sessions
        self._sessions: dict[str, _Session] = {}
        self._retained: dict[str, Message] = {}
        self._saved: tuple[dict[str, _Session], dict[str, Message]] = ({}, {})
        self._attached: dict[str, Attachment] = {}
        self._wills: dict[str, Timer] = {}
        self._routes: dict[str, tuple[str, ...]] = {}
        self._autosave: Timer | None = None

    # -- its own life

    def start(self) -> None:
        """Begin to serve."""
        self.up = True
        self._schedule_autosave()
        self._world.note("broker starts")

    def stop(self) -> None:
        """Shut down cleanly: everything is saved, every connection closed."""
        self._save()
        self._end("broker stops")

    def crash(self) -> None:
        """Be killed: what was not saved is gone."""
        if self._spec.autosave_s is not None:
            sessions, self._retained = self._saved
            self._sessions = {name: session.copy() for name, session in sessions.items()}
            self._retained = dict(self._retained)
        self._end("broker crashes")

    def _end(self, how: str) -> None:
        self.up = False
        self._routes.clear()
        if self._autosave is not None:
            self._autosave.cancel()
        for timer in self._wills.values():
            timer.cancel()
        self._wills.clear()
        attached, self._attached = self._attached, {}
        self._world.note(how)
        for attachment in attached.values():
            attachment.ended()

    def _schedule_autosave(self) -> None:
        if self._spec.autosave_s is not None:
            self._autosave = self._world.after(self._spec.autosave_s * US_PER_S, self._autosaves)

    def _autosaves(self) -> None:
        self._save()
        self._schedule_autosave()

    def _save(self) -> None:
        self._saved = ({name: session.copy() for name, session in self._sessions.items()}, dict(self._retained))

    # -- clients

    def attach(self, login: Login, deliver: Callable[[Delivery], None], ended: Callable[[], None]) -> Attachment:
        """Connect and subscribe a client: its session goes on, and an older connection of the same name is closed.

        `deliver` is given each message; `ended` is called when the broker closes the connection.
        """
        older = self._attached.pop(login.client_id, None)
        if older is not None:
            older.ended()
        if (will := self._wills.pop(login.client_id, None)) is not None:
            will.cancel()
        attachment = Attachment(self, login, deliver, ended)
        session = self._sessions.get(login.client_id)
        attachment.session_present = session is not None
        if session is None:
            session = self._sessions[login.client_id] = _Session()
        self._attached[login.client_id] = attachment
        for packet_id, message in session.inflight.items():
            deliver(Delivery(packet_id, message, dup=True))
        if session.filters != login.filters:
            session.filters = login.filters
            self._routes.clear()
        for topic in sorted(self._retained):
            if _matches_any(login.filters, topic):
                self._enqueue(login.client_id, session, self._retained[topic])
        self._pump(attachment, session)
        return attachment

    def detach(self, attachment: Attachment) -> None:
        """A client was lost; its session stays, and its will is said unless it returns in time."""
        login = attachment.login
        if self._attached.get(login.client_id) is not attachment:
            return
        del self._attached[login.client_id]
        if login.will is not None:
            will = login.will
            self._wills[login.client_id] = self._world.after(login.will_delay_us, lambda: self._say_will(login, will))

    def _say_will(self, login: Login, will: Message) -> None:
        self._wills.pop(login.client_id, None)
        self.publish(will)

    def publish(self, message: Message) -> int:
        """Route a message; the reason code for its publisher."""
        self.published += 1
        if message.retain:
            self._retained[message.topic] = message
            if not message.payload:
                del self._retained[message.topic]
        route = self._routes.get(message.topic)
        if route is None:
            names = (name for name, session in self._sessions.items() if _matches_any(session.filters, message.topic))
            route = self._routes[message.topic] = tuple(names)
        fresh = message._replace(retain=False) if message.retain else message
        for name in route:
            session = self._sessions[name]
            self._enqueue(name, session, fresh)
            attachment = self._attached.get(name)
            if attachment is not None:
                self._pump(attachment, session)
        return SUCCESS if route else NO_MATCHING_SUBSCRIBERS

    def acknowledged(self, attachment: Attachment, packet_ids: Sequence[int]) -> None:
        """Free these, and send what waited for the room."""
        if self._attached.get(attachment.login.client_id) is not attachment:
            return
        session = self._sessions[attachment.login.client_id]
        for packet_id in packet_ids:
            session.inflight.pop(packet_id, None)
        self._pump(attachment, session)

    def waiting(self, client_id: str) -> int:
        """How many messages a client has not yet acknowledged."""
        session = self._sessions.get(client_id)
        return 0 if session is None else len(session.inflight) + len(session.queue)

    def _enqueue(self, name: str, session: _Session, message: Message) -> None:
        if len(session.queue) >= self._spec.queue_max:
            self.dropped += 1
            self._world.note(f"broker drops {message.topic} for {name}: queue full")
            return
        session.queue.append(message)

    def _pump(self, attachment: Attachment, session: _Session) -> None:
        if not session.queue:
            return
        window = min(attachment.login.receive_max, self._spec.inflight_max)
        while session.queue and len(session.inflight) < window:
            session.next_id = _next_id(session)
            message = session.queue.popleft()
            session.inflight[session.next_id] = message
            attachment.deliver(Delivery(session.next_id, message, dup=False))


def _next_id(session: _Session) -> int:
    packet_id = session.next_id % PACKET_ID_MAX + 1
    while packet_id in session.inflight:
        packet_id = packet_id % PACKET_ID_MAX + 1
    return packet_id


def _matches_any(filters: Sequence[str], topic: str) -> bool:
    return any(matches(each, topic) for each in filters)


def matches(topic_filter: str, topic: str) -> bool:
    """Whether a filter (MQTT 5.0, section 4.7) takes a topic."""
    wanted, levels = topic_filter.split("/"), topic.split("/")
    for at, level in enumerate(wanted):
        if level == "#":
            return True
        if at >= len(levels) or level not in {"+", levels[at]}:
            return False
    return len(wanted) == len(levels)
