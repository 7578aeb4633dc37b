"""What Home Assistant calls our units: its own symbol, and the device class by which it draws and converts.

Source: Home Assistant's developer documentation, "Sensor entity", available device classes and their units. A unit
without an entry is shown with its SenML symbol and no class; that is always allowed.
"""

from typing import Final

UNITS: Final[dict[str, tuple[str, str | None]]] = {
    "Cel": ("°C", "temperature"),
    "K": ("K", "temperature"),
    "%RH": ("%", "humidity"),
    "Pa": ("Pa", "pressure"),
    "hPa": ("hPa", "pressure"),
    "V": ("V", "voltage"),
    "mV": ("mV", "voltage"),
    "A": ("A", "current"),
    "mA": ("mA", "current"),
    "W": ("W", "power"),
    "kW": ("kW", "power"),
    "Wh": ("Wh", "energy"),
    "kWh": ("kWh", "energy"),
    "lx": ("lx", "illuminance"),
    "%EL": ("%", "battery"),
    "Hz": ("Hz", "frequency"),
    "m": ("m", "distance"),
    "km": ("km", "distance"),
    "m/s": ("m/s", "speed"),
    "km/h": ("km/h", "speed"),
    "kg": ("kg", "weight"),
    "dBm": ("dBm", "signal_strength"),
    "ug/m3": ("µg/m³", None),
    "m3": ("m³", None),
    "m/s2": ("m/s²", None),
    "deg": ("°", None),
    "/": ("", None),
    "count": ("", None),
}
BATTERY_LEVEL: Final = "%EL"
"""A level in percent of something that is not named a battery is no battery: see `device_class`."""


def unit_of(unit: str | None) -> str | None:
    """Home Assistant's symbol for a SenML unit; None for a number without one."""
    if unit is None:
        return None
    return UNITS.get(unit, (unit, None))[0] or None


def device_class(name: str, unit: str | None) -> str | None:
    """The class of a value by its unit, and by its name where a unit has several meanings."""
    if unit == "ppm" and "co2" in name.lower():
        return "carbon_dioxide"
    if unit == BATTERY_LEVEL and "batter" not in name.lower():
        return None
    return UNITS.get(unit or "", ("", None))[1]
