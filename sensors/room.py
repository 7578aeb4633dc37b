"""One room whose signals belong together: people drive CO2, warmth, moisture, lamps and the door.

CO2 and moisture are mass balances of well-mixed air, V dC/dt = n G - Q (C - C_out); warmth is the heat balance
K dT/dt = n P - H (T - T_base). Each is solved exactly (see `PeopleResponse`).
"""

import math
from dataclasses import dataclass

from sensors.occupancy import Occupancy, PeopleResponse
from sensors.signals import MS_PER_S, Clamped, Constant, Scaled, Signal, Sum, local_day, require_positive

CO2_PER_PERSON_L_S = 0.0052  # sedentary adult: ASHRAE 62.1; Persily and de Jonge, Indoor Air 27 (2017)
VAPOUR_PER_PERSON_G_S = 0.0139  # 50 g/h, a sedentary adult at 22 Cel: ASHRAE Handbook, Fundamentals
HEAT_PER_PERSON_W = 75.0  # sensible heat of a sedentary adult: ASHRAE Handbook, Fundamentals
CO2_OUTDOORS_PPM = 420.0  # NOAA Global Monitoring Laboratory, 2022-2023
_LITRES_PER_M3 = 1_000.0
_PPM = 1e6
_ZERO_CEL_K = 273.15
_VAPOUR_GAS_CONSTANT = 461.5  # J/(kg K), for water vapour
_MOLAR_MASS_RATIO = 0.622  # water over dry air
_SECONDS_PER_HOUR = 3_600.0
_KILO = 1_000.0


def saturation_pressure_pa(temperature_cel: float) -> float:
    """Return the vapour pressure of saturated air over water, in Pa, from -45 to 60 Cel.

    Source: WMO-No. 8, Guide to Instruments and Methods of Observation, annex 4.B (Magnus form).
    """
    return 611.2 * math.exp(17.62 * temperature_cel / (243.12 + temperature_cel))


def absolute_humidity_g_m3(temperature_cel: float, humidity_percent: float) -> float:
    """Return grams of water vapour in a cubic metre of air, by the ideal gas law."""
    vapour_pa = humidity_percent / 100 * saturation_pressure_pa(temperature_cel)
    return _KILO * vapour_pa / (_VAPOUR_GAS_CONSTANT * (temperature_cel + _ZERO_CEL_K))


def relative_humidity_percent(temperature_cel: float, absolute_g_m3: float) -> float:
    """Return relative humidity in %RH, at most 100: what is more would condense."""
    vapour_pa = absolute_g_m3 / _KILO * _VAPOUR_GAS_CONSTANT * (temperature_cel + _ZERO_CEL_K)
    return min(100 * vapour_pa / saturation_pressure_pa(temperature_cel), 100.0)


def mixing_ratio(temperature_cel: float, humidity_percent: float, pressure_pa: float) -> float:
    """Return kilograms of vapour per kilogram of dry air."""
    vapour_pa = humidity_percent / 100 * saturation_pressure_pa(temperature_cel)
    return _MOLAR_MASS_RATIO * vapour_pa / (pressure_pa - vapour_pa)


@dataclass(frozen=True, slots=True)
class Room:
    """A room and its people.

    `base_cel` is the temperature the empty room tends to (heating, sun, outdoors); `outdoor_cel` and `outdoor_humidity`
    (%RH) describe the air that ventilation brings in; `daylight_lx` is what comes through the window.
    `heat_capacity_kj_k` and `heat_loss_w_k` give the room's thermal time constant. Defaults: an office of 50 m3 with
    furniture, aired 1.5 times an hour.
    """

    occupancy: Occupancy
    base_cel: Signal
    outdoor_cel: Signal
    outdoor_humidity: Signal
    daylight_lx: Signal
    volume_m3: float = 50.0
    air_changes_per_h: float = 1.5
    heat_capacity_kj_k: float = 1_500.0
    heat_loss_w_k: float = 60.0
    lamps_lx: float = 450.0
    door_open_s: float = 20.0

    def __post_init__(self) -> None:
        require_positive(
            self,
            volume_m3=self.volume_m3,
            air_changes_per_h=self.air_changes_per_h,
            heat_capacity_kj_k=self.heat_capacity_kj_k,
            heat_loss_w_k=self.heat_loss_w_k,
            door_open_s=self.door_open_s,
        )

    @property
    def _air_tau_s(self) -> float:
        return _SECONDS_PER_HOUR / self.air_changes_per_h

    @property
    def co2(self) -> Signal:
        """CO2 in ppm."""
        per_s = CO2_PER_PERSON_L_S / (self.volume_m3 * _LITRES_PER_M3) * _PPM
        return Sum((Constant(CO2_OUTDOORS_PPM), PeopleResponse(self.occupancy, per_s, self._air_tau_s)))

    @property
    def temperature(self) -> Signal:
        """Temperature in Cel."""
        capacity_j_k = self.heat_capacity_kj_k * _KILO
        per_s = HEAT_PER_PERSON_W / capacity_j_k
        return Sum((self.base_cel, PeopleResponse(self.occupancy, per_s, capacity_j_k / self.heat_loss_w_k)))

    @property
    def humidity(self) -> Signal:
        """Relative humidity in %RH: the moisture of the outdoor air and the people, at the room's temperature."""
        per_s = VAPOUR_PER_PERSON_G_S / self.volume_m3
        return _RoomHumidity(self, self.temperature, PeopleResponse(self.occupancy, per_s, self._air_tau_s))

    @property
    def light(self) -> Signal:
        """Light in lx: daylight, and the lamps while anybody is there."""
        return Sum((self.daylight_lx, Scaled(Clamped(self.occupancy, high=1.0), self.lamps_lx)))

    @property
    def door(self) -> Signal:
        """The door's contact: 1 is closed, 0 is open, for `door_open_s` whenever somebody comes or goes."""
        return _RoomDoor(self)


@dataclass(frozen=True, slots=True)
class _RoomHumidity:
    room: Room
    temperature: Signal
    people_g_m3: PeopleResponse

    def value(self, at_ms: int) -> float:
        outdoor_cel = self.room.outdoor_cel.value(at_ms)
        outdoor_g_m3 = absolute_humidity_g_m3(outdoor_cel, self.room.outdoor_humidity.value(at_ms))
        total_g_m3 = outdoor_g_m3 + self.people_g_m3.value(at_ms)
        return relative_humidity_percent(self.temperature.value(at_ms), total_g_m3)


@dataclass(frozen=True, slots=True)
class _RoomDoor:
    room: Room

    def value(self, at_ms: int) -> float:
        occupancy = self.room.occupancy
        day, _ = local_day(at_ms, occupancy.utc_offset_s)
        open_ms = self.room.door_open_s * MS_PER_S
        passages = (at for stay in occupancy.stays(day) for at in (stay.start_ms, stay.end_ms))
        return 0.0 if any(at <= at_ms < at + open_ms for at in passages) else 1.0
