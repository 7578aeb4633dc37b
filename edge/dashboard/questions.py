"""What the dashboard asks the gateway for: each question by its name, with how its answer is written down.

The dashboard may run in a process of its own (`edge.front`), so questions and answers are data: a name, plain
arguments, and an answer that is encoded on one side and decoded on the other. `Directory` has the method that answers
each, in the store's thread. Promise: whoever asks in the same process gets the same answer, without the detour.
"""

from typing import Any, Generic, Protocol, TypeVar

import msgspec
from pydantic import TypeAdapter

from edge.dashboard.documents import DeviceDetail, DeviceRow, DevicesChanged, DeviceUpdate, StoreDetail
from edge.dashboard.entries import Entry
from edge.history.series import Point
from edge.status import GatewayStatus

Answer = TypeVar("Answer")
Answer_co = TypeVar("Answer_co", covariant=True)
Argument = int | str | bool | list[int] | None


class Question(Protocol[Answer_co]):
    """One question. `name` is that of the method that answers it."""

    @property
    def name(self) -> str:
        """Of the method."""

    def encode(self, answer: Any) -> bytes:
        """The answer as bytes."""

    def decode(self, data: bytes) -> Answer_co:
        """The answer again."""


class _Documents(Generic[Answer]):
    """Answered with pydantic's documents."""

    def __init__(self, name: str, kind: Any) -> None:
        self.name = name
        self._adapter: TypeAdapter[Answer] = TypeAdapter(kind)

    def encode(self, answer: Any) -> bytes:
        return self._adapter.dump_json(answer)

    def decode(self, data: bytes) -> Answer:
        return self._adapter.validate_json(data)


class _Values(Generic[Answer]):
    """Answered with plain values and named tuples, many of them: msgspec writes them in a tenth of the time."""

    def __init__(self, name: str, kind: Any) -> None:
        self.name = name
        self._kind = kind

    def encode(self, answer: Any) -> bytes:
        return msgspec.json.encode(answer)

    def decode(self, data: bytes) -> Answer:
        answer: Answer = msgspec.json.decode(data, type=self._kind)
        return answer


Name = tuple[str, str | None]
RingPoint = tuple[Point, tuple[int, int]]

STATUS: Question[GatewayStatus] = _Documents("status", GatewayStatus)  # the one that is not asked of the directory
COUNT: Question[int] = _Values("count", int)
VERSION: Question[int] = _Values("version", int)
ENTRIES: Question[list[Entry]] = _Values("entries", list[Entry])
ROWS: Question[list[DeviceRow]] = _Documents("rows", list[DeviceRow])
DEVICE: Question[DeviceDetail | None] = _Documents("device", DeviceDetail | None)
CHANGED: Question[tuple[int, DevicesChanged]] = _Documents("changed", tuple[int, DevicesChanged])
UPDATE: Question[tuple[int, DeviceUpdate | None]] = _Documents("update", tuple[int, DeviceUpdate | None])
COMMANDS: Question[str] = _Values("commands", str)
COMMANDS_VERSION: Question[int] = _Values("commands_version", int)
STORE: Question[StoreDetail] = _Documents("store", StoreDetail)
NAMES: Question[list[Name]] = _Values("names", list[Name])
RING: Question[list[RingPoint]] = _Values("ring", list[RingPoint])

QUESTIONS: dict[str, Question[Any]] = {
    each.name: each
    for each in (
        STATUS, COUNT, VERSION, ENTRIES, ROWS, DEVICE, CHANGED, UPDATE, COMMANDS, COMMANDS_VERSION, STORE, NAMES, RING,
    )
}  # fmt: skip


class Asked(Protocol):
    """Whom the dashboard asks."""

    async def ask(self, question: Question[Answer], *arguments: Argument) -> Answer:
        """The answer. Raises `StoreError`."""
