"""Light into current: what a lamp gives, and what a panel and charger make of it. The sun is `sun`'s.

Clouds are the caller's: `sky`, the share of the clear sky's light that arrives.
"""

from dataclasses import dataclass

from firmware_sim.power.errors import PowerValueError
from firmware_sim.power.models import checked

LUMEN_PER_WATT = {"white_led": 330.0, "fluorescent": 340.0, "daylight": 115.0}
"""Luminous efficacy of radiation by source: lux over this is W/m2. White LED and fluorescent lamps put their light
where the eye sees (300-350 lm/W); daylight 105-120 lm/W: P. J. Littlefair, Lighting Research and Technology 17 (1985)
162."""


def indoor_w_m2(illuminance_lux: float, lamp: str = "white_led") -> float:
    """Return the irradiance of a lamp's light. Raises PowerValueError on an unknown lamp."""
    if lamp not in LUMEN_PER_WATT:
        raise PowerValueError("lamp", f"one of {', '.join(LUMEN_PER_WATT)}", lamp)
    return illuminance_lux / LUMEN_PER_WATT[lamp]


@dataclass(frozen=True, slots=True)
class Harvester:
    """A panel and its charger.

    `panel_efficiency`: 0.2 for silicon in the sun, 0.07 for amorphous silicon under a lamp. `charger_efficiency`:
    power into the battery over power from the panel. `start_mw`: the least panel power at which the charger runs.
    """

    area_cm2: float
    panel_efficiency: float
    charger_efficiency: float = 0.85
    start_mw: float = 0.015  # cold start of an energy-harvesting charger (TI BQ25504: 15 uW)

    def __post_init__(self) -> None:
        """Refuse a panel that cannot be."""
        checked("area_cm2", self.area_cm2, 0.0)
        checked("panel_efficiency", self.panel_efficiency, 0.0, 1.0)
        checked("charger_efficiency", self.charger_efficiency, 0.0, 1.0)

    def panel_mw(self, irradiance_w_m2: float) -> float:
        """Return the panel's power: W/m2 is 0.1 mW/cm2."""
        return irradiance_w_m2 * 0.1 * self.area_cm2 * self.panel_efficiency

    def current_ma(self, irradiance_w_m2: float, battery_mv: float, sky: float = 1.0) -> float:
        """Return the current into the battery's terminals, for `Battery.draw(harvest_ma=...)`."""
        power_mw = self.panel_mw(irradiance_w_m2 * sky)
        if power_mw < self.start_mw:
            return 0.0
        return 1000 * power_mw * self.charger_efficiency / checked("battery_mv", battery_mv, 0.0)
