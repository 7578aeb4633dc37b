"""Messages of foreign devices that were taken not long ago: how a repeat is recognised that has no identity.

What counts as a repeat:

- The broker marks it as redelivered (DUP), and a message with the same topic, payload and packet id was taken. This is
  the broker's "I had no PUBACK"; MQTT repeats the packet id, so an equal reading that came later is another message.
- Or every reading in it carries the device's own time, and the same topic and payload were taken: a device that sends
  again what it measured at one instant (also where its own broker session repeats it, which clears DUP).

Limits, plainly: the last `RECENT_MAX` foreign messages of the whole gateway are remembered, which is more than a broker
can have unanswered on one connection (65,535 packet ids), so the first rule is complete as long as the broker keeps
its session. A device without times whose *own* client repeats a message makes two readings: nothing in the bytes tells
them apart. A message that is lost before its commit, redelivered, and equal to an earlier one under the same packet id
counts as a repeat: a broker that counts packet ids up reuses one after 65,535 messages; one that takes the lowest free
id can meet this at a crash, and then one of two equal readings without a time is missing.
Synchronous; lives in the store's thread. Written in the transaction that holds the readings.
"""

from hashlib import blake2b

from edge.store import Store

RECENT_MAX = 65_536
DIGEST_BYTES = 12  # one false repeat in 10^24 messages at this many remembered


class Recent:
    """The remembered digests, in memory and in the store."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._load()

    def _load(self) -> None:
        self._numbers: dict[bytes, int] = {}
        self._new: list[tuple[int, bytes]] = []
        self._head = 0
        for number, digest in self._store.query("SELECT id, digest FROM foreign_seen ORDER BY id"):
            self._numbers[digest] = self._head = number
        self._stale = False

    def forget_uncommitted(self) -> None:
        """After a failed transaction: memory is not what the store holds. `refresh` makes it so again."""
        self._stale = True

    def refresh(self) -> None:
        """Return to what the store holds, if a transaction failed. Raises `StoreError`."""
        if self._stale:
            self._load()

    def is_repeat(self, topic: str, payload: bytes, packet_id: int | None, *, redelivered: bool, timed: bool) -> bool:
        """Whether the message was taken before."""
        if not timed and not (redelivered and packet_id is not None):
            return False
        number = self._numbers.get(_digest(topic, payload, None if timed else packet_id), 0)
        return number > max(0, self._head - RECENT_MAX)

    def note(self, topic: str, payload: bytes, packet_id: int | None, *, timed: bool) -> None:
        """Remember a message that is taken now; write it with `write`."""
        if timed or packet_id is not None:
            self._head += 1
            digest = _digest(topic, payload, None if timed else packet_id)
            self._numbers[digest] = self._head
            self._new.append((self._head, digest))

    def write(self) -> None:
        """Write what was noted and forget what is too old, inside the transaction of the readings."""
        if not self._new:
            return
        self._store.write("INSERT INTO foreign_seen (id, digest) VALUES (?, ?)", self._new)
        self._store.write("DELETE FROM foreign_seen WHERE id <= ?", [(self._head - RECENT_MAX,)])
        self._new = []
        if len(self._numbers) > 2 * RECENT_MAX:  # in memory twice as many may wait, so that this is done rarely
            oldest = self._head - RECENT_MAX
            self._numbers = {digest: number for digest, number in self._numbers.items() if number > oldest}


def _digest(topic: str, payload: bytes, packet_id: int | None) -> bytes:
    name = topic.encode("utf-8", "surrogatepass")
    head = b"%d,%d," % (len(name), -1 if packet_id is None else packet_id)
    return blake2b(head + name + payload, digest_size=DIGEST_BYTES).digest()
