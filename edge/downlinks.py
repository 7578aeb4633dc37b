"""What goes down to devices beside the answers to their readings: commands and firmware. One desk for all of it.

Ingest hands it what devices say of these (`take`), inside its own transaction; after the commit the desk tells which
messages are due to the devices that are in contact. Synchronous; lives in the store's thread.
"""

from collections.abc import Iterable
from random import Random

from edge.commands.book import CommandBook, Name
from edge.device_reports import DeviceReports
from edge.feedback import Downlink
from edge.firmware.images import Ask, Images
from edge.firmware.rollouts import Rollouts
from edge.store import Store
from sensors.firmware import decode_ask
from sensors.messages import State
from sensors.topics import DEFAULT_ROOT, Kind, Topic

ASKS_MAX = 1000  # of one batch of messages; who is over asks again


class Downlinks:
    """Commands, device reports, firmware images and rollouts of one store."""

    def __init__(
        self, store: Store, rng: Random, *, devices_max: int, public_key: str | None = None, root: str = DEFAULT_ROOT
    ) -> None:
        self.commands = CommandBook(store, rng, root=root)
        self.reports = DeviceReports(store, devices_max)
        self.images = Images(store, public_key, root=root)
        self.rollouts = Rollouts(store, self.commands, self.reports, self.images)
        self._store = store
        self._asks: list[Ask] = []
        self.strangers = 0
        """Acknowledgements of commands that this store never issued, since the start."""

    def take(self, topic: Topic, payload: bytes, wall_ms: int) -> None:
        """A `cmd/ack` or a `fw/ask`, inside ingest's transaction. Raises `MessageError` and `StoreError`."""
        if topic.kind is Kind.CMD_ACK:
            if not self.commands.take_ack(topic, payload, wall_ms):
                self.strangers += 1
        elif len(self._asks) < ASKS_MAX:
            self._asks.append(Ask(topic.site, topic.device, decode_ask(payload)))

    def take_state(self, topic: Topic, state: State, wall_ms: int) -> None:
        """A device's `state`, inside ingest's transaction. Raises `StoreError`."""
        self.reports.take(topic, state, wall_ms)

    def heard(self, contacts: Iterable[Name], now_ms: int, wall_ms: int) -> list[Downlink]:
        """After the commit: what is due to these devices, and the chunks that were asked for. Raises `StoreError`."""
        asks, self._asks = self._asks, []
        downlinks = self.commands.contacts(contacts, now_ms, wall_ms)
        return downlinks + self.images.answer(asks) if asks else downlinks

    def tidy(self, now_ms: int, wall_ms: int) -> None:
        """Expire commands, move rollouts on. Raises `StoreError`."""
        self.commands.expire(now_ms, wall_ms)
        self.rollouts.tidy(now_ms, wall_ms)

    def look_in_ms(self, now_ms: int) -> int | None:
        """In how long `tidy` may have something to do; None: not before a command or a rollout. Raises `StoreError`."""
        return self.rollouts.look_in_ms(now_ms) if self.commands.has_open or self.rollouts.are_running else None

    def forget_uncommitted(self) -> None:
        """A transaction was rolled back: memory is made new from the store at its next use."""
        self._asks.clear()
        self.commands.forget_uncommitted()
        self.reports.forget_uncommitted()

    def knows(self, site: str, device: str) -> bool:
        """Whether such a device was ever heard. Raises `StoreError`."""
        return self._store.known_key(site, device) is not None or self.reports.get(site, device) is not None
