"""What the gateway owes its devices: the `ack` that frees their flash, and the `resend` that asks for what is missing.

Promises: an `ack` never names a seq before every seq up to it is durable or known to be lost (invariant I2: it is read
from the ledger after the commit); a device hears at most one `ack` per `ACK_EVERY_MS` however much it sends, and the
last one is never left out; a gap is asked for only while the device is in contact, ever more rarely; a device over its
rate is told nothing until its bucket has recovered.
Synchronous; lives in the store's thread.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from edge.ledger import Ledger
from edge.limits import Throttle
from sensors.messages import RANGES_MAX, Ack, Resend, encode
from sensors.topics import DEFAULT_ROOT, Kind, build_topic

ACK_EVERY_MS = 500  # coalesces a busy device's acks; a sleeping device still gets its one within its receive window
RESEND_AFTER_MS = 3_000  # what is merely out of order arrives by itself within this
RESEND_CAP_MS = 600_000  # a device that never answers is asked every ten minutes while it talks to us

Heard = tuple[int, str, str, int]
"""(device_key, site, device, boot) of an account that spoke."""


class Downlink(NamedTuple):
    """A message to a device. `expiry_s`: after how many seconds the broker (MQTT 5) need not deliver it any more."""

    topic: str
    payload: bytes
    expiry_s: int | None = None


@dataclass(slots=True)
class _Contact:
    site: str
    device: str
    ack_topic: str
    owed: set[int] = field(default_factory=set)  # boots to acknowledge
    acked_at_ms: int | None = None
    gaps_since_ms: dict[int, int] = field(default_factory=dict)  # boot -> when its gap was noticed, or last asked for
    asks: int = 0


class Feedback:
    """Remembers who is owed an answer. Memory: one small record per device."""

    def __init__(self, ledger: Ledger, throttle: Throttle, *, root: str = DEFAULT_ROOT) -> None:
        self._ledger = ledger
        self._throttle = throttle
        self._root = root
        self._contacts: dict[int, _Contact] = {}
        self._owing: set[int] = set()

    def heard(self, accounts: Iterable[Heard], now_ms: int) -> list[Downlink]:
        """Note who spoke, after the commit of what they said; what is due now. `now_ms` is monotonic."""
        asks: list[Downlink] = []
        for key, site, device, boot in accounts:
            contact = self._contacts.get(key)
            if contact is None:
                contact = self._contacts[key] = _Contact(site, device, build_topic(site, device, Kind.ACK, self._root))
            contact.owed.add(boot)
            self._owing.add(key)
            if self._throttle.is_open(key, now_ms):
                asks += self._ask(key, contact, boot, now_ms)
        return asks + self.due(now_ms)

    def due(self, now_ms: int) -> list[Downlink]:
        """The acks that are due."""
        downlinks: list[Downlink] = []
        if not self._owing:
            return downlinks
        for key in sorted(self._owing):
            contact = self._contacts[key]
            if contact.acked_at_ms is not None and now_ms - contact.acked_at_ms < ACK_EVERY_MS:
                continue
            if not self._throttle.is_open(key, now_ms):
                continue
            self._owing.discard(key)
            acks = [(boot, self._ledger.acknowledged_through(key, boot)) for boot in sorted(contact.owed)]
            contact.owed.clear()
            contact.acked_at_ms = now_ms
            acks = [(boot, seq) for boot, seq in acks if seq >= 0]
            if acks:
                downlinks.append(Downlink(contact.ack_topic, encode(Ack(tuple(acks)))))
        return downlinks

    @property
    def is_owing(self) -> bool:
        """Whether somebody waits for an ack that is not yet due."""
        return bool(self._owing)

    def _ask(self, key: int, contact: _Contact, boot: int, now_ms: int) -> list[Downlink]:
        missing = self._ledger.missing(key, boot)
        if not missing:
            if contact.gaps_since_ms.pop(boot, None) is not None:
                contact.asks = 0
            return []
        wait_ms = min(RESEND_AFTER_MS << min(contact.asks, 16), RESEND_CAP_MS)
        if now_ms - contact.gaps_since_ms.setdefault(boot, now_ms) < wait_ms:
            return []
        contact.gaps_since_ms[boot] = now_ms
        contact.asks += 1
        ranges = tuple((boot, first, last) for first, last in missing[:RANGES_MAX])
        topic = build_topic(contact.site, contact.device, Kind.RESEND, self._root)
        return [Downlink(topic, encode(Resend(ranges)))]
