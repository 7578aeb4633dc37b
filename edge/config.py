"""The gateway's configuration: every key and its default, validated before any socket opens."""

from pathlib import Path
from typing import Annotated, Self

from pydantic import AfterValidator, Field, SecretStr, model_validator

from edge.access.settings import AccessSettings
from edge.alerts.rules import RULES_MAX as ALERT_RULES_MAX
from edge.alerts.rules import AlertRule, check_alert_rules
from edge.budget import DEFAULT_DISK_BYTES_MAX, DEFAULT_FREE_BYTES_MIN, OnFull, StoreLimits
from edge.config_parts import LaneSettings as LaneSettings
from edge.config_parts import MqttVersion as MqttVersion
from edge.config_parts import Port, Section, TokenSettings
from edge.config_parts import TlsSettings as TlsSettings
from edge.destination_config import DESTINATIONS_MAX, DestinationSettings, InfluxTarget, check_destinations
from edge.forward.rollup_lines import quantile_field
from edge.history.keep import DEFAULT_BYTES_MAX as HISTORY_BYTES_MAX
from edge.home_assistant.settings import HomeAssistantSettings
from edge.ledger_lines import DEFAULT_EVERY_MS
from edge.limits import BURST, DEVICES_MAX, RATE_PER_S, SERIES_MAX
from edge.mapping.rules import RULES_MAX, MappingRule, check_rules
from edge.quarantine_bound import DEFAULT_BYTES_MAX, DEFAULT_ROWS_MAX, QuarantineLimits
from edge.windows import DEFAULT_GRACE_MS, DEFAULT_LATENESS_MS, DEFAULT_SIZES_S, WindowRules
from sensors.firmware import check_public_key
from sensors.topics import DEFAULT_ROOT, check_root

SEVEN_DAYS_S = 7 * 24 * 3600


class MqttSettings(Section):
    """The broker that the devices publish to."""

    host: str = "127.0.0.1"
    port: Port = 1883
    protocol: MqttVersion = MqttVersion.V5
    client_id: Annotated[str, Field(min_length=1, max_length=128)] = "tidegate-gateway"
    username: str | None = None
    password: SecretStr | None = None
    password_file: Path | None = None
    tls: TlsSettings | None = None
    topic_root: Annotated[str, AfterValidator(check_root)] = DEFAULT_ROOT
    keepalive_s: Annotated[int, Field(ge=5, le=3600)] = 30
    connect_timeout_s: Annotated[float, Field(gt=0, le=300)] = 10
    session_expiry_s: Annotated[int, Field(ge=60, le=2**32 - 2)] = SEVEN_DAYS_S
    receive_max: Annotated[int, Field(ge=1, le=65535)] = 4096
    message_bytes_max: Annotated[int, Field(ge=1024, le=16 * 1024 * 1024)] = 256 * 1024

    @model_validator(mode="after")
    def _one_password(self) -> Self:
        if self.password is not None and self.password_file is not None:
            raise ValueError("password and password_file: expected at most one of them")
        return self

    def read_password(self) -> str | None:
        """The password, wherever it is kept; a file is read anew at every connection, so that it can be changed."""
        if self.password_file is not None:
            return self.password_file.read_text().strip()
        return self.password.get_secret_value() if self.password is not None else None


class StoreSettings(Section):
    """Where readings wait, and how commits are grouped."""

    data_dir: Path = Path("tidegate-data")
    commit_rows_max: Annotated[int, Field(ge=1, le=100_000)] = 4096
    commit_bytes_max: Annotated[int, Field(ge=64 * 1024, le=256 * 1024**2)] = 4 * 1024**2
    commit_wait_ms: Annotated[int, Field(ge=0, le=10_000)] = 5
    disk_bytes_max: Annotated[int, Field(ge=16 * 1024**2, le=2**44)] = DEFAULT_DISK_BYTES_MAX
    free_bytes_min: Annotated[int, Field(ge=0, le=2**44)] = DEFAULT_FREE_BYTES_MIN
    age_s_max: Annotated[int, Field(ge=60, le=10 * 366 * 86_400)] | None = None
    on_full: OnFull = OnFull.BLOCK
    keep_sent_s: Annotated[int, Field(ge=0, le=30 * 86_400)] = 0
    tell_ledger_every_s: Annotated[int, Field(ge=0, le=86_400)] = DEFAULT_EVERY_MS // 1000
    wait_for_clock: bool = True
    quarantine_bytes_max: Annotated[int, Field(ge=64 * 1024, le=2**40)] = DEFAULT_BYTES_MAX
    quarantine_rows_max: Annotated[int, Field(ge=1, le=10_000_000)] = DEFAULT_ROWS_MAX

    def limits(self) -> StoreLimits:
        """What the core goes by."""
        age_ms_max = None if self.age_s_max is None else 1000 * self.age_s_max
        return StoreLimits(self.disk_bytes_max, self.free_bytes_min, age_ms_max, self.on_full)

    def quarantine_limits(self) -> QuarantineLimits:
        """What the core goes by."""
        return QuarantineLimits(self.quarantine_bytes_max, self.quarantine_rows_max)


class WindowSettings(Section):
    """The rollups that the gateway computes. Sizes are in seconds; none of them: no rollups."""

    sizes_s: Annotated[tuple[Annotated[int, Field(ge=1, le=86_400)], ...], Field(max_length=8)] = DEFAULT_SIZES_S
    grace_ms: Annotated[int, Field(ge=0, le=3_600_000)] = DEFAULT_GRACE_MS
    lateness_ms: Annotated[int, Field(ge=0, le=30 * 86_400_000)] = DEFAULT_LATENESS_MS
    quantiles: Annotated[tuple[Annotated[float, Field(gt=0, lt=1)], ...], Field(max_length=8)] = ()

    @model_validator(mode="after")
    def _sizes_differ(self) -> Self:
        if len(set(self.sizes_s)) != len(self.sizes_s):
            raise ValueError("sizes_s: expected every size once")
        if len({quantile_field(share) for share in self.quantiles}) != len(self.quantiles):
            raise ValueError("quantiles: expected every one once")
        return self

    def rules(self) -> WindowRules:
        """What the core goes by."""
        return WindowRules(self.sizes_s, self.grace_ms, self.lateness_ms, self.quantiles)


class HistorySettings(Section):
    """The charts' own file of rollups, which stay after they were delivered; 0: none is kept."""

    disk_bytes_max: Annotated[int, Field(ge=0, le=2**40)] = HISTORY_BYTES_MAX


class InfluxSettings(InfluxTarget):
    """The cloud, and the first destination. `enabled` is false where only others are to be sent to."""

    enabled: bool = True


class OutageSettings(Section):
    """The recorder of what the links do: how long it is kept, and how often an idle uplink is looked at (0: never)."""

    probe_every_s: Annotated[float, Field(ge=0, le=86_400)] = 60
    keep_days: Annotated[int, Field(ge=1, le=3650)] = 90
    keep_bytes: Annotated[int, Field(ge=100_000, le=1_000_000_000)] = 32_000_000


class ApiSettings(AccessSettings, TokenSettings):
    """Where the gateway answers questions about itself, and to whom; its token may ingest and operate.

    `own_process`: in a process beside the one that takes readings in; false saves its memory, on a very small machine.
    """

    own_process: bool = True


class AlertSettings(Section):
    """From when on the gateway's own troubles are worth an alert, and how many closed alerts are kept."""

    kept: Annotated[int, Field(ge=100, le=1_000_000)] = 10_000
    uplink_down_s: Annotated[int, Field(ge=1, le=30 * 86_400)] = 600
    quarantine_per_hour: Annotated[int, Field(ge=0, le=1_000_000)] = 10
    certificate_days: Annotated[int, Field(ge=0, le=3650)] = 21


class LimitSettings(Section):
    """What devices may cost; the reasons for the defaults are beside their numbers in `edge.limits`."""

    devices_max: Annotated[int, Field(ge=1, le=1_000_000)] = DEVICES_MAX
    series_per_device_max: Annotated[int, Field(ge=1, le=100_000)] = SERIES_MAX
    readings_per_s_per_device: Annotated[float, Field(gt=0, le=1_000_000)] = RATE_PER_S
    readings_burst_per_device: Annotated[int, Field(ge=1, le=1_000_000_000)] = BURST


class FirmwareSettings(Section):
    """Firmware for devices: in hex, whose signature an image must bear to be taken in (devices check it themselves)."""

    public_key: Annotated[str, AfterValidator(check_public_key)] | None = None


class DrillSettings(Section):
    """Outages that an operator causes. `always`: also without maintenance mode; for demonstrations and test beds."""

    always: bool = False


class EdgeConfig(Section):
    """The whole configuration of `tidegate edge run`."""

    mqtt: MqttSettings = MqttSettings()
    store: StoreSettings = StoreSettings()
    windows: WindowSettings = WindowSettings()
    history: HistorySettings = HistorySettings()
    influx: InfluxSettings = InfluxSettings()
    outages: OutageSettings = OutageSettings()
    api: ApiSettings = ApiSettings()
    limits: LimitSettings = LimitSettings()
    firmware: FirmwareSettings = FirmwareSettings()
    destinations: Annotated[tuple[DestinationSettings, ...], Field(max_length=DESTINATIONS_MAX)] = ()
    home_assistant: HomeAssistantSettings = HomeAssistantSettings()
    mapping: Annotated[tuple[MappingRule, ...], Field(max_length=RULES_MAX)] = ()
    alerts: AlertSettings = AlertSettings()
    drill: DrillSettings = DrillSettings()
    rules: Annotated[tuple[AlertRule, ...], Field(max_length=ALERT_RULES_MAX)] = ()

    @model_validator(mode="after")
    def _rules_stand_beside_each_other(self) -> Self:
        check_rules(self.mapping, self.mqtt.topic_root)
        check_alert_rules(self.rules)
        return self

    @model_validator(mode="after")
    def _destinations_stand_beside_each_other(self) -> Self:
        check_destinations(self.destinations, with_influx=self.influx.enabled)
        return self

    @model_validator(mode="after")
    def _thinning_needs_windows(self) -> Self:
        for where, on_full in (
            ("store", self.store.on_full),
            ("influx", self.influx.on_full),
            *((each.name, each.on_full) for each in self.destinations),
        ):
            if on_full is OnFull.THIN_OLDEST and not self.windows.sizes_s:
                raise ValueError(
                    f"{where}.on_full: thin-oldest keeps rollups in place of readings: expected windows.sizes_s"
                )
        return self
