"""What the data and device routes of the HTTP API answer, as models: what is described is what is sent.

Each forbids what it does not name, so that an answer with a field more than its description fails in tests.
"""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from edge.commands.states import CommandState
from edge.device_clocks import ClockEstimate
from edge.firmware.rollouts import DeviceResult, RolloutState
from edge.quarantine import Reason, Retried


class _Document(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Taken(_Document):
    """Readings that are committed. `acks`: of each boot, the seq up to which none is missing."""

    stored: int
    duplicates: int
    acks: list[tuple[int, int]]


class ItemDocument(_Document):
    """One message, or one reading's line, in quarantine. `at_ms` is when it came there, `payload_bytes` its length.

    In a list the payload may be its beginning only. `payload_text` is null where it is no UTF-8.
    """

    id: int
    at_ms: int
    source: str
    reason: str
    topic: str
    payload_bytes: int
    payload_base64: str
    payload_text: str | None


class ItemPage(_Document):
    """Some of the `count` items in quarantine."""

    count: int
    items: list[ItemDocument]


class ReasonList(_Document):
    """Why items are in quarantine, of the newest `of_newest` of them, the most frequent first."""

    of_newest: int
    reasons: list[Reason]


class RetriedList(_Document):
    """What became of each."""

    results: list[Retried]


class Purged(_Document):
    """How many are gone for good."""

    purged: int


class Forgotten(_Document):
    """`released`: readings that nobody needs any more."""

    forgotten: str
    released: int


class ClockDocument(_Document):
    """One device; `clock` is null until it has told its own time since the gateway's start."""

    key: int
    site: str
    device: str
    clock: ClockEstimate | None


class ClockPage(_Document):
    """Devices in the order of their keys; the next page is after the last one's."""

    devices: list[ClockDocument]


class CommandDocument(_Document):
    """One command. Of an update's arguments only the version is told."""

    id: str
    site: str
    device: str
    name: str
    args: dict[str, str | bool | int | float | list[str]]
    state: CommandState
    detail: str
    open: bool
    attempts: int
    issued_at_ms: int
    sent_at_ms: int | None
    done_at_ms: int | None
    ttl_left_s: int | None


class CommandList(_Document):
    """The newest commands of a device, the newest first."""

    commands: list[CommandDocument]


class ImageDocument(_Document):
    """One firmware image, without its bytes."""

    version: str
    size: int
    sha256: str
    chunk_bytes: int
    device_types: list[str]
    signature: str
    added_at_ms: int


class TriedDevice(_Document):
    """One device of a rollout; `command` is the id of its `start-update`."""

    site: str
    device: str
    command: str
    result: DeviceResult
    detail: str


class RolloutDocument(_Document):
    """One rollout, how many of its devices are where, and which they are."""

    id: int
    sha256: str
    version: str
    devices: str
    percent: int
    halt_percent: int
    state: RolloutState
    detail: str
    started_at_ms: int
    under_way: int = Field(alias="under-way")
    updated: int
    failed: int
    tried: list[TriedDevice]


class FirmwareDocument(_Document):
    """Images, rollouts, and how many devices run which version."""

    images: list[ImageDocument]
    rollouts: list[RolloutDocument]
    running: dict[str, int]


class Removed(_Document):
    """The SHA-256 of the image that is gone."""

    removed: str


class MeDocument(_Document):
    """Who makes this request. `csrf` goes back in the header X-CSRF-Token of every changing request of this session."""

    kind: Literal["nobody", "session", "token", "configured-token"]
    name: str | None
    role: Literal["viewer", "operator"] | None
    scopes: list[str]
    csrf: str | None
    has_accounts: bool


class LoggedOut(_Document):
    """Nobody in particular from now on."""

    kind: Literal["nobody"]


class TokenDocument(_Document):
    """A token, without the token itself."""

    name: str
    scopes: list[str]
    made_by: str
    created_ms: int
    expires_ms: int | None
    used_ms: int | None


class TokenList(_Document):
    """Every token."""

    tokens: list[TokenDocument]


class NewTokenDocument(_Document):
    """A token; it is told this once."""

    name: str
    scopes: list[str]
    expires_ms: int | None
    token: str


class Revoked(_Document):
    """The name of the token that is no more."""

    revoked: str
