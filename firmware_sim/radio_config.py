"""The radio of a group of devices, as configuration: which radio, how far away, and what the air does to its frames.

Models only, like `firmware_sim.config`; `firmware_sim.build_radio` makes radios of them.
"""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from firmware_sim.companions import CompanionFile
from firmware_sim.config_model import ConfigModel
from firmware_sim.radio.cellular import CellularSaving
from firmware_sim.radio.lora import SF_MAX, SF_MIN
from firmware_sim.radio.wifi import WifiPowerSave

Share = Annotated[float, Field(ge=0, le=1)]
CHANNELS_MAX = 96  # a LoRaWAN channel mask has no more


class PathConfig(ConfigModel):
    """Log-distance path loss; see `firmware_sim.radio.path.LogDistance`."""

    reference_loss_db: float = Field(gt=0)
    reference_m: float = Field(gt=0)
    exponent: float = Field(gt=0)
    shadowing_db: float = Field(default=0.0, ge=0)


class PlaceConfig(ConfigModel):
    """Where a device is `at_s` after the fleet's start, in metres on a plane with its gateway at 0, 0."""

    at_s: float = Field(ge=0)
    x_m: float
    y_m: float


class MovementConfig(ConfigModel):
    """A way along `waypoints`; with `loop_s` it begins again. See `firmware_sim.radio.path.Movement`."""

    waypoints: tuple[PlaceConfig, ...] = Field(min_length=1)
    loop_s: float | None = Field(default=None, gt=0)


class PerfectLinkConfig(ConfigModel):
    """Loses nothing that the signal does not lose."""

    kind: Literal["perfect"]
    latency_ms: int = Field(default=0, ge=0)


class BernoulliLinkConfig(ConfigModel):
    """Loses each frame with the same probability."""

    kind: Literal["bernoulli"]
    loss: Share
    latency_ms: int = Field(default=0, ge=0)


class GilbertElliottLinkConfig(ConfigModel):
    """Loses frames in bursts: `p` good to bad, `r` bad to good; frames pass with `k` in good, `h` in bad times."""

    kind: Literal["gilbert-elliott"]
    p: Share
    r: Share
    h: Share = 0.0
    k: Share = 1.0
    latency_ms: int = Field(default=0, ge=0)


class SegmentConfig(ConfigModel):
    """What a link does from `from_s` (since the fleet's start) until the next segment."""

    from_s: float = Field(ge=0)
    state: Literal["up", "degraded", "down"]
    latency_ms: int = Field(default=0, ge=0)
    loss: Share = 0.0
    bandwidth_bytes_per_s: float | None = Field(default=None, gt=0)


class TraceLinkConfig(ConfigModel):
    """Does what a recording did, over and over with `loop_s`: `segments`, or a recording's `file`, which the front door
    reads. `link`: which of the recording's links; without it, its first."""

    kind: Literal["trace"]
    segments: tuple[SegmentConfig, ...] = ()
    file: CompanionFile | None = None
    link: str | None = None
    loop_s: float | None = Field(default=None, gt=0)

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if bool(self.segments) == (self.file is not None):
            raise ValueError("expected either segments or file")
        if self.link is not None and self.file is None:
            raise ValueError("expected file beside link")
        return self


LinkConfig = Annotated[
    PerfectLinkConfig | BernoulliLinkConfig | GilbertElliottLinkConfig | TraceLinkConfig, Field(discriminator="kind")
]


class _Radio(ConfigModel):
    """What all radios take. `data`: a bundled data file's name, or a path that ends in `.toml`."""

    data: str | None = None
    path_loss_db: float | None = Field(default=None, ge=0)
    distance_m: float | None = Field(default=None, gt=0)
    movement: MovementConfig | None = None
    path: PathConfig | None = None
    tx_power_dbm: float | None = Field(default=None, ge=-40, le=40)
    link: LinkConfig = PerfectLinkConfig(kind="perfect")
    reading_bytes: int | None = Field(default=None, ge=1)
    rest_ma: float = Field(default=0.0, ge=0)
    active_ma: float = Field(default=0.0, ge=0)

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if sum(each is not None for each in (self.path_loss_db, self.distance_m, self.movement)) != 1:
            raise ValueError("expected either distance_m or path_loss_db or movement")
        if self.path is not None and self.path_loss_db is not None:
            raise ValueError("expected distance_m or movement beside path")
        return self


class LorawanConfig(_Radio):
    """LoRaWAN class A. `reading_bytes` is required: devices send a few bytes, and the network's codec makes SenML.

    `gateway`: devices of the same gateway share its air, and their frames collide. `channels_hz`: None is what every
    network of the region has: three of EU868, or the second eight of US915. `rx2_sf`: of the second receive window.
    """

    kind: Literal["lorawan"]
    reading_bytes: int | None = Field(default=None, ge=1, le=222)
    sf: int = Field(default=9, ge=SF_MIN, le=SF_MAX)
    region: Literal["eu868", "us915"] = "eu868"
    confirmed: bool = False
    adr: bool = True
    gateway: str = Field(default="gateway", min_length=1)
    channels_hz: tuple[int, ...] | None = Field(default=None, min_length=1, max_length=CHANNELS_MAX)
    rx2_sf: int = Field(default=SF_MAX, ge=SF_MIN, le=SF_MAX)

    @model_validator(mode="after")
    def _small(self) -> Self:
        if self.reading_bytes is None:
            raise ValueError("expected reading_bytes: SenML does not fit into a LoRaWAN frame")
        if self.tx_power_dbm is not None:
            raise ValueError("expected no tx_power_dbm: region and ADR decide it")
        return self


class WifiConfig(_Radio):
    """A Wi-Fi station."""

    kind: Literal["wifi"]
    power_save: WifiPowerSave = WifiPowerSave.DEEP_SLEEP
    dtim: int = Field(default=3, ge=1)
    fixed_address: bool = True


class BleConfig(_Radio):
    """A BLE beacon, that broadcasts and never learns, or a peripheral that keeps a connection."""

    kind: Literal["ble"]
    role: Literal["beacon", "peripheral"] = "peripheral"
    interval_ms: int = Field(default=1000, ge=20, le=4000)
    latency_events: int = Field(default=0, ge=0, le=499)


class ThreadConfig(_Radio):
    """A Thread sleepy end device."""

    kind: Literal["thread"]
    poll_period_s: float = Field(default=236.0, gt=0)


class CellularConfig(_Radio):
    """LTE-M or NB-IoT, by `data`. Without `active_s` and `update_period_s` the data file's."""

    kind: Literal["cellular"]
    saving: CellularSaving = CellularSaving.PSM
    active_s: float | None = Field(default=None, ge=0)
    update_period_s: float | None = Field(default=None, gt=0)
    release_assistance: bool = False


RadioConfig = Annotated[
    LorawanConfig | WifiConfig | BleConfig | ThreadConfig | CellularConfig, Field(discriminator="kind")
]
