"""What the configuration says of destinations: what they have in common, and `[[destinations]]` by their kind.

influx    an InfluxDB 2 write API: the keys of `[influx]`
mqtt      a bridge to an upstream broker
file      a file of line protocol
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, SecretStr, model_validator

from edge.budget import OnFull
from edge.config_parts import LaneSettings, MqttVersion, Port, Section, TlsSettings, TokenSettings
from edge.forward.destination import Choices, DestinationRules, Send, StartAt
from edge.forward.messages import DEFAULT_TOPIC, MessageFormat, PayloadFormat
from edge.forward.sieve import DEFAULT_HEARTBEAT_MS, Band, DeadbandRules
from edge.link_rules import LinkRules
from edge.store.names import FIRST_DESTINATION

DESTINATIONS_MAX = 8  # each costs a look at its cursors for every batch, and may hold the store's rows
NOT_A_NAME = ("ingest",)  # what the quarantine calls the gateway's own intake


class BandSettings(Section):
    """How far one value may move without being sent."""

    name: str
    absolute: Annotated[float, Field(ge=0)] = 0
    percent: Annotated[float, Field(ge=0, le=100)] = 0


class DeadbandSettings(Section):
    """Only changes are sent, and something at least every `heartbeat_s`."""

    heartbeat_s: Annotated[float, Field(gt=0, le=86_400)] = DEFAULT_HEARTBEAT_MS / 1000
    values: Annotated[tuple[BandSettings, ...], Field(max_length=256)] = ()

    def rules(self) -> DeadbandRules:
        """What the core goes by."""
        bands = {each.name: Band(each.absolute, each.percent) for each in self.values}
        return DeadbandRules(bands, round(1000 * self.heartbeat_s))


class LinkSettings(Section):
    """What a link may carry, what it costs, and when it is open."""

    bytes_per_s_max: Annotated[int, Field(ge=100, le=10**10)] | None = None
    month_bytes_max: Annotated[int, Field(ge=100_000, le=10**15)] | None = None
    month_first_day: Annotated[int, Field(ge=1, le=28)] = 1
    reserve_percent: Annotated[int, Field(ge=1, le=40)] = 10
    cost_per_gb: Annotated[float, Field(ge=0)] | None = None
    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$")] = "EUR"
    every_s: Annotated[int, Field(ge=60, le=7 * 86_400)] | None = None
    for_s: Annotated[int, Field(ge=10, le=7 * 86_400)] = 300

    @model_validator(mode="after")
    def _open_for_less_than_every(self) -> Self:
        if self.every_s is not None and self.for_s >= self.every_s:
            raise ValueError("for_s: expected less than every_s")
        return self

    def rules(self) -> LinkRules:
        """What the core goes by."""
        return LinkRules(
            self.bytes_per_s_max,
            self.month_bytes_max,
            self.month_first_day,
            self.reserve_percent,
            self.cost_per_gb,
            self.currency,
            None if self.every_s is None else 1000 * self.every_s,
            1000 * self.for_s,
        )


class SentSettings(Section):
    """What all destinations have: what they are sent, in which order, and how much of it at once."""

    measurement: Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_.:-]{0,63}$")] = "reading"
    batch_rows: Annotated[int, Field(ge=1, le=50_000)] = 5000
    flush_every_ms: Annotated[int, Field(ge=0, le=3_600_000)] = 1000
    retry_cap_s: Annotated[float, Field(ge=1, le=3600)] = 60
    lanes: LaneSettings = LaneSettings()
    send: Annotated[tuple[Send, ...], Field(min_length=1)] = tuple(Send)
    deadband: DeadbandSettings | None = None
    start_at: StartAt = StartAt.OLDEST
    on_full: OnFull | None = None
    link: LinkSettings = LinkSettings()

    @model_validator(mode="after")
    def _a_deadband_is_for_raw_readings(self) -> Self:
        if self.deadband is not None and Send.RAW not in self.send:
            raise ValueError("deadband: expected 'raw' in send, because it is raw readings that it thins out")
        return self

    def choices(self) -> Choices:
        """What the core goes by."""
        deadband = None if self.deadband is None else self.deadband.rules()
        return Choices(frozenset(self.send), deadband, self.start_at, self.on_full, self.link.rules())

    def rules_of(self, name: str, form: MessageFormat | None = None, *, overwrites: bool = False) -> DestinationRules:
        """What the core goes by, whole."""
        return DestinationRules(
            name=name,
            measurement=self.measurement,
            batch_rows=self.batch_rows,
            flush_every_ms=self.flush_every_ms,
            retry_cap_ms=round(1000 * self.retry_cap_s),
            lanes=self.lanes.rules(),
            choices=self.choices(),
            format=form,
            overwrites=overwrites,
        )


class InfluxTarget(SentSettings, TokenSettings):
    """An InfluxDB 2 write API."""

    url: Annotated[str, Field(pattern=r"^https?://")] = "http://127.0.0.1:8086"
    org: str = "tidegate"
    bucket: str = "tidegate"
    ca_file: Path | None = None
    gzip: bool = True
    connect_timeout_s: Annotated[float, Field(gt=0, le=300)] = 5
    read_timeout_s: Annotated[float, Field(gt=0, le=600)] = 30


Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,31}$")]


class InfluxDestination(InfluxTarget):
    """One more InfluxDB."""

    name: Name
    kind: Literal["influx"]

    def rules(self, _gateway: str) -> DestinationRules:
        """What the core goes by."""
        return self.rules_of(self.name, overwrites=True)


class BridgeDestination(SentSettings):
    """An upstream broker: a reading counts as accepted when its PUBACK says so; a 3.1.1 PUBACK can say nothing else."""

    name: Name
    kind: Literal["mqtt"]
    host: str = "127.0.0.1"
    port: Port = 1883
    protocol: MqttVersion = MqttVersion.V5
    client_id: Annotated[str, Field(min_length=1, max_length=128)] = "tidegate-bridge"
    username: str | None = None
    password: SecretStr | None = None
    password_file: Path | None = None
    tls: TlsSettings | None = None
    keepalive_s: Annotated[int, Field(ge=5, le=3600)] = 30
    connect_timeout_s: Annotated[float, Field(gt=0, le=300)] = 5
    read_timeout_s: Annotated[float, Field(gt=0, le=600)] = 30
    topic: Annotated[str, Field(min_length=1, max_length=200)] = DEFAULT_TOPIC
    payload: PayloadFormat = PayloadFormat.SENML
    inflight_max: Annotated[int, Field(ge=1, le=65535)] = 64
    without_subscribers: Literal["accept", "hold"] = "accept"

    @model_validator(mode="after")
    def _one_password(self) -> Self:
        if self.password is not None and self.password_file is not None:
            raise ValueError("password and password_file: expected at most one of them")
        return self

    @model_validator(mode="after")
    def _topic_can_be_published_to(self) -> Self:
        if any(char in self.topic for char in "+#\0") or self.topic.startswith("$"):
            raise ValueError("topic: expected no wildcard, no NUL and no $ at its begin")
        if "{device}" not in self.topic:
            raise ValueError("topic: expected {device} in it: a reading's identity needs its device")
        return self

    @model_validator(mode="after")
    def _only_mqtt_5_tells_of_subscribers(self) -> Self:
        if self.protocol is MqttVersion.V311 and self.without_subscribers == "hold":
            raise ValueError("without_subscribers: expected 'accept' with protocol 3.1.1, which does not tell of them")
        return self

    def read_password(self) -> str | None:
        """The password; a file is read anew at every connection. Raises `OSError`."""
        if self.password_file is not None:
            return self.password_file.read_text().strip()
        return self.password.get_secret_value() if self.password is not None else None

    def rules(self, gateway: str) -> DestinationRules:
        """What the core goes by."""
        return self.rules_of(self.name, MessageFormat(gateway, self.topic, self.payload))


class FileDestination(SentSettings):
    """Files of line protocol in a folder: what is accepted is synced."""

    name: Name
    kind: Literal["file"]
    folder: Path
    rotate_bytes: Annotated[int, Field(ge=1_000, le=2**40)] = 64 * 1024**2
    rotate_s: Annotated[int, Field(ge=60, le=366 * 86_400)] = 86_400
    keep_files: Annotated[int, Field(ge=1, le=100_000)] = 30
    compress: bool = False

    def rules(self, _gateway: str) -> DestinationRules:
        """What the core goes by."""
        return self.rules_of(self.name)


DestinationSettings = Annotated[InfluxDestination | BridgeDestination | FileDestination, Field(discriminator="kind")]


def check_destinations(destinations: Sequence[DestinationSettings], *, with_influx: bool) -> None:
    """Raises `ValueError` if they cannot stand beside each other."""
    names = [each.name for each in destinations]
    if len(set(names)) != len(names):
        raise ValueError("destinations[].name: expected every name once")
    for name in (FIRST_DESTINATION, *NOT_A_NAME):
        if name in names:
            raise ValueError(f"destinations[].name: {name!r} is taken: expected another name")
    if not with_influx and not names:
        raise ValueError("influx.enabled: expected at least one destination")
