"""The gateway of a fleet in virtual time: takes messages, tells readings once, and answers as the real one does.

Promises:
- Each reading is handed on once, when it first arrives, however often it is sent.
- `ack` says up to which seq of a boot everything is here; what the device said is lost counts as here, so that the
  acknowledgement can pass over it.
- A gap is asked for with `resend` as soon as something behind it has arrived.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from sensors.messages import RANGES_MAX, Ack, Resend, decode_state, encode
from sensors.reading import Reading
from sensors.senml import decode
from sensors.topics import Kind

Downlink = tuple[Kind, bytes]
Take = Callable[[Reading, int], None]


@dataclass(slots=True)
class _Boot:
    """What is here of one boot: everything up to `floor`, and single seqs above it."""

    floor: int = -1
    above: set[int] = field(default_factory=set)

    def add(self, seq: int) -> bool:
        """Note a seq; False if it was here already."""
        if seq == self.floor + 1:
            self.floor = seq
            while self.above and self.floor + 1 in self.above:
                self.floor += 1
                self.above.remove(self.floor)
            return True
        if seq <= self.floor or seq in self.above:
            return False
        self.above.add(seq)
        return True


class DeviceInbox:
    """The gateway's books for one device; `take(reading, received_at_ms)` gets each reading once."""

    def __init__(self, device: str, take: Take, *, answers: bool = True) -> None:
        """`answers`: whether there is a gateway at all, or only a broker, which says nothing to a device."""
        self._device = device
        self._take = take
        self._answers_at_all = answers
        self._boots: dict[int, _Boot] = {}
        self.received = 0
        self.duplicates = 0
        self.silent_until_ms = 0  # see `firmware_sim.express`

    def receive(self, kind: Kind, payload: bytes, now_ms: int) -> list[Downlink]:
        """One message of the device; returns the answers."""
        if kind is Kind.STATE:
            return self._state(payload)
        if kind is not Kind.READING:
            return []  # it gives no orders
        touched: dict[int, _Boot] = {}
        for reading in decode(payload, device=self._device, received_at_ms=now_ms):
            boot = touched[reading.boot] = self._boots.setdefault(reading.boot, _Boot())
            if boot.add(reading.seq):
                self.received += 1
                self._take(reading, now_ms)
            else:
                self.duplicates += 1
        return self._answers(touched)

    def expects(self, boot: int, seq: int) -> bool:
        """Whether this is the next reading of that boot, and no earlier one is missing; see `firmware_sim.express`."""
        seen = self._boots.get(boot)
        return seq == 0 if seen is None else seq == seen.floor + 1 and not seen.above

    def take(self, reading: Reading, now_ms: int) -> None:
        """Take a reading that is expected."""
        self._boots.setdefault(reading.boot, _Boot()).floor = reading.seq
        self.received += 1
        self._take(reading, now_ms)

    def holds(self, boot: int, seq: int) -> bool:
        """Whether this reading is here (or was given up as lost)."""
        seen = self._boots.get(boot)
        return seen is not None and (seq <= seen.floor or seq in seen.above)

    def _state(self, payload: bytes) -> list[Downlink]:
        touched: dict[int, _Boot] = {}
        for lost in decode_state(payload).lost:
            boot = touched[lost.boot] = self._boots.setdefault(lost.boot, _Boot())
            for seq in range(max(lost.first, boot.floor + 1), lost.last + 1):
                boot.add(seq)
        return self._answers(touched)

    def _answers(self, touched: dict[int, _Boot]) -> list[Downlink]:
        if not self._answers_at_all:
            return []
        acks = tuple((number, boot.floor) for number, boot in touched.items() if boot.floor >= 0)
        gaps = [(number, boot.floor + 1, min(boot.above) - 1) for number, boot in touched.items() if boot.above]
        answers: list[Downlink] = []
        if acks:
            answers.append((Kind.ACK, encode(Ack(acks))))
        if gaps:
            answers.append((Kind.RESEND, encode(Resend(tuple(gaps[:RANGES_MAX])))))
        return answers
