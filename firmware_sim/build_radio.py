"""From configuration to a device's radio: the model, its data file, the signal at its place, and the link.

Raises `RadioError` for what a model refuses; the caller names the key.
"""

from collections.abc import Callable
from pathlib import Path
from random import Random

from firmware_sim.device_radio import DeviceRadio, RadioSpec
from firmware_sim.radio import lorawan
from firmware_sim.radio.ble import BleBeacon, BlePeripheral
from firmware_sim.radio.cellular import CellularRadio
from firmware_sim.radio.collisions import Ether
from firmware_sim.radio.datafile import RadioData
from firmware_sim.radio.energy import LinkState, Radio
from firmware_sim.radio.errors import RadioSettingError
from firmware_sim.radio.ieee802154 import ThreadRadio
from firmware_sim.radio.links import (
    BernoulliLink,
    GilbertElliottLink,
    LinkModel,
    PerfectLink,
    TraceLink,
    TraceSegment,
)
from firmware_sim.radio.lora import LoraSettings, noise_dbm
from firmware_sim.radio.path import LORASIM, Budget, LogDistance, Movement, Waypoint
from firmware_sim.radio.wifi import WifiRadio
from firmware_sim.radio_config import (
    BernoulliLinkConfig,
    BleConfig,
    CellularConfig,
    GilbertElliottLinkConfig,
    LinkConfig,
    LorawanConfig,
    MovementConfig,
    PathConfig,
    PerfectLinkConfig,
    RadioConfig,
    ThreadConfig,
    TraceLinkConfig,
    WifiConfig,
)

_MS_PER_S = 1000
_DATA = {
    "lorawan": "lora_sx1272",
    "wifi": "wifi_esp32",
    "ble": "ble_nrf52832",
    "thread": "ieee802154_nrf5340",
    "cellular": "cellular_nrf9160_ltem",
}
# At what power the bundled data files' currents were measured: the ESP32's 240 mA at 19.5 dBm, the nRFs' at 0 dBm.
_TX_POWER_DBM = {"wifi": 19.5, "ble": 0.0, "thread": 0.0}
# Free space over the first metre at 2.44 GHz (Friis), then the middle of what Rappaport, "Wireless Communications",
# table 4.2, has for buildings with and without line of sight.
_INDOOR = LogDistance(reference_loss_db=40.2, reference_m=1.0, exponent=3.0)
# 3GPP TR 36.942, 4.5.2, urban macro cell: 128.1 + 37.6 log10(km), not nearer than 35 m, shadowing 10 dB.
_MACRO_CELL = LogDistance(reference_loss_db=73.36, reference_m=35.0, exponent=3.76, shadowing_db=10.0)
_PATHS = {"lorawan": LORASIM, "cellular": _MACRO_CELL}
# Application payload of one frame by spreading factor: LoRaWAN Regional Parameters RP002, maximum N (repeater
# compatible).
_FRAME_BYTES_MAX = {
    "eu868": {7: 222, 8: 222, 9: 115, 10: 51, 11: 51, 12: 51},
    "us915": {7: 222, 8: 125, 9: 53, 10: 11},
}
# RP002: the three channels that every device of EU868 knows, and of US915 the second group of eight 125 kHz channels,
# which public networks use.
_CHANNELS_HZ = {
    "eu868": (868_100_000, 868_300_000, 868_500_000),
    "us915": tuple(903_900_000 + 200_000 * n for n in range(8)),
}


Ethers = dict[str, Ether]
"""The air about each gateway of a fleet, by the gateway's name."""


def build_radio(config: RadioConfig, rng: Random, started_ms: int, ethers: Ethers) -> DeviceRadio:
    """The radio of one device. `started_ms`: the instant from which a trace counts. Raises `RadioError`.

    `ethers`: the same for all devices of the fleet; a gateway that is not there yet is put into it.
    """
    data = _data(config)
    radio, knows = _model(config, data, rng, ethers)
    spec = RadioSpec(knows, config.reading_bytes, config.active_ma, config.rest_ma)
    process = _link(config.link, rng, started_ms)
    return DeviceRadio(radio, _signal(config, data, radio, process, _loss_db(config, rng, started_ms)), spec)


def message_limits(config: RadioConfig | None, pack: int, window: int) -> tuple[int, int]:
    """How many readings a message may hold on this radio, and how many messages may be on the way.

    LoRaWAN does not split frames, and sends one at a time: a second would only wait for its airtime awake. Raises
    `RadioError`.
    """
    if not isinstance(config, LorawanConfig) or config.reading_bytes is None:
        return pack, window
    limits = _FRAME_BYTES_MAX[config.region]
    if config.sf not in limits:
        raise RadioSettingError("sf", config.sf, f"one of {', '.join(map(str, limits))} in {config.region}")
    most = min(limits.values()) if config.adr else limits[config.sf]  # ADR may go down to the slowest rate
    if config.reading_bytes > most:
        raise RadioSettingError("reading_bytes", config.reading_bytes, f"at most {most} at the slowest data rate")
    return min(pack, most // config.reading_bytes), 1


def _data(config: RadioConfig) -> RadioData:
    name = config.data or _DATA[config.kind]
    return RadioData.read(Path(name)) if name.endswith(".toml") else RadioData.bundled(name)


def _model(config: RadioConfig, data: RadioData, rng: Random, ethers: Ethers) -> tuple[Radio, bool]:
    """The radio, and whether its device learns if a message arrived."""
    match config:
        case LorawanConfig():
            settings = lorawan.LorawanConfig(
                LoraSettings(sf=config.sf),
                config.region,
                config.channels_hz or _CHANNELS_HZ[config.region],
                config.confirmed,
                config.adr,
                config.rx2_sf,
            )
            ether = ethers.setdefault(config.gateway, Ether())
            return lorawan.LorawanRadio(data, rng, settings, ether), config.confirmed
        case WifiConfig():
            wifi = WifiRadio(
                data, rng, power_save=config.power_save, dtim=config.dtim, fixed_address=config.fixed_address
            )
            return wifi, True
        case BleConfig(role="beacon"):
            return BleBeacon(data, rng, interval_ms=config.interval_ms), False
        case BleConfig():
            peripheral = BlePeripheral(data, rng, interval_ms=config.interval_ms, latency_events=config.latency_events)
            return peripheral, True
        case ThreadConfig():
            return ThreadRadio(data, rng, poll_period_ms=round(config.poll_period_s * _MS_PER_S)), True
        case CellularConfig():
            modem = CellularRadio(
                data,
                rng,
                saving=config.saving,
                active_ms=None if config.active_s is None else config.active_s * _MS_PER_S,
                update_period_ms=None if config.update_period_s is None else config.update_period_s * _MS_PER_S,
                release_assistance=config.release_assistance,
            )
            return modem, True


def _signal(
    config: RadioConfig, data: RadioData, radio: Radio, process: LinkModel, loss_db: Callable[[int], float]
) -> Callable[[int], LinkState]:
    if isinstance(radio, lorawan.LorawanRadio):
        floor_dbm = noise_dbm(radio.settings.bandwidth_hz)

        def adaptive(now_ms: int) -> LinkState:
            budget, lost_db = Budget(radio.tx_power_dbm, floor_dbm), loss_db(now_ms)
            return LinkState(budget.rssi_dbm(lost_db), budget.snr_db(lost_db), process)

        return adaptive
    power_dbm = config.tx_power_dbm
    if power_dbm is None:
        power_dbm = data.number("power.max_dbm") if config.kind == "cellular" else _TX_POWER_DBM[config.kind]
    sent_dbm = power_dbm
    return lambda now_ms: LinkState(rssi_dbm=sent_dbm - loss_db(now_ms), process=process)


def _loss_db(config: RadioConfig, rng: Random, started_ms: int) -> Callable[[int], float]:
    """What is lost between the antennas at an instant."""
    if config.path_loss_db is not None:
        fixed_db = config.path_loss_db
        return lambda _: fixed_db
    path = _path(config.path) if config.path is not None else _PATHS.get(config.kind, _INDOOR)
    shadowing_db = path.draw_shadowing_db(rng)
    if config.movement is None:
        still_db = path.mean_loss_db(config.distance_m or 0.0) + shadowing_db
        return lambda _: still_db
    movement = _movement(config.movement, started_ms)
    return lambda now_ms: path.mean_loss_db(movement.distance_m(now_ms, 0.0, 0.0)) + shadowing_db


def _movement(given: MovementConfig, started_ms: int) -> Movement:
    points = [Waypoint(started_ms + round(each.at_s * _MS_PER_S), each.x_m, each.y_m) for each in given.waypoints]
    return Movement(points, loop_ms=None if given.loop_s is None else round(given.loop_s * _MS_PER_S))


def _path(given: PathConfig) -> LogDistance:
    return LogDistance(given.reference_loss_db, given.reference_m, given.exponent, given.shadowing_db)


def _link(config: LinkConfig, rng: Random, started_ms: int) -> LinkModel:
    match config:
        case PerfectLinkConfig():
            return PerfectLink(config.latency_ms)
        case BernoulliLinkConfig():
            return BernoulliLink(config.loss, rng, config.latency_ms)
        case GilbertElliottLinkConfig():
            return GilbertElliottLink(config.p, config.r, rng, h=config.h, k=config.k, latency_ms=config.latency_ms)
        case TraceLinkConfig():
            segments = [
                TraceSegment(
                    started_ms + round(each.from_s * _MS_PER_S),
                    each.state,
                    each.latency_ms,
                    each.loss,
                    each.bandwidth_bytes_per_s,
                )
                for each in config.segments
            ]
            loop_ms = None if config.loop_s is None else round(config.loop_s * _MS_PER_S)
            return TraceLink(segments, rng, loop_ms=loop_ms)
