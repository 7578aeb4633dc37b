"""What Home Assistant calls our units: its own symbol, and the device class by which it draws and converts.

Sources: Home Assistant's documentation of the MQTT sensor and of device classes, and in its core the tables
`DEVICE_CLASS_UNITS` and `DEVICE_CLASS_STATE_CLASSES` of `sensor/const.py`. Only what Home Assistant 2024.11, the first
with device discovery, knows already. A unit without an entry is shown with its SenML symbol and no class; that is
always allowed. A number that may be of several classes has none: a wrong one is converted wrongly, or refused.
"""

import re
from typing import Final

ANGLE: Final = "°"
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
    "VA": ("VA", "apparent_power"),
    "var": ("var", "reactive_power"),
    "Wh": ("Wh", "energy"),
    "kWh": ("kWh", "energy"),
    "lx": ("lx", "illuminance"),
    "W/m2": ("W/m²", "irradiance"),
    "%EL": ("%", "battery"),
    "Hz": ("Hz", "frequency"),
    "MHz": ("MHz", "frequency"),
    "mm": ("mm", "distance"),
    "cm": ("cm", "distance"),
    "m": ("m", "distance"),
    "km": ("km", "distance"),
    "m/s": ("m/s", "speed"),
    "km/h": ("km/h", "speed"),
    "mm/h": ("mm/h", "precipitation_intensity"),
    "g": ("g", "weight"),
    "kg": ("kg", "weight"),
    "dBm": ("dBm", "signal_strength"),
    "pH": ("", "ph"),
    "ms": ("ms", "duration"),
    "s": ("s", "duration"),
    "min": ("min", "duration"),
    "h": ("h", "duration"),
    "EL": ("s", "duration"),
    "KiB": ("KiB", "data_size"),
    "GB": ("GB", "data_size"),
    "B/s": ("B/s", "data_rate"),
    "MB/s": ("MB/s", "data_rate"),
    "bit/s": ("bit/s", "data_rate"),
    "Mbit/s": ("Mbit/s", "data_rate"),
    "ug/m3": ("µg/m³", None),
    "m2": ("m²", None),
    "m3": ("m³", None),  # of a meter, or of a tank: different classes
    "l": ("L", None),
    "m3/s": ("m³/s", None),
    "l/s": ("L/s", None),
    "kg/m3": ("kg/m³", None),
    "m/s2": ("m/s²", None),
    "Ohm": ("Ω", None),
    "deg": (ANGLE, None),
    "lat": (ANGLE, None),
    "lon": (ANGLE, None),
    "/": ("", None),
    "count": ("", None),
}
BATTERY_LEVEL: Final = "%EL"
"""A level in percent of something that is not named a battery is no battery: see `device_class`."""
DIAGNOSTIC: Final = frozenset({"battery", "signal_strength"})
"""Classes that say how a device does, not what it measures: Home Assistant shows them apart."""
_WIND: Final = re.compile("wind(?!ow)")
_BY_NAME: Final = (
    ("ppm", re.compile("co2|carbondioxide"), "carbon_dioxide"),
    ("ppm", re.compile("voc"), "volatile_organic_compounds_parts"),
    ("ug/m3", re.compile("pm25"), "pm25"),
    ("ug/m3", re.compile("pm10"), "pm10"),
    ("ug/m3", re.compile(r"pm1(?!\d)"), "pm1"),
    ("m/s", _WIND, "wind_speed"),
    ("km/h", _WIND, "wind_speed"),
)
"""Unit, what the name has in it (letters and digits alone), class."""


def unit_of(unit: str | None) -> str | None:
    """Home Assistant's symbol for a SenML unit; None for a number without one."""
    if unit is None:
        return None
    return UNITS.get(unit, (unit, None))[0] or None


def device_class(name: str, unit: str | None) -> str | None:
    """The class of a value by its unit, and by its name where a unit has several meanings."""
    plain = "".join(filter(str.isalnum, name.lower()))
    for of_unit, words, kind in _BY_NAME:
        if unit == of_unit and words.search(plain):
            return kind
    if unit == BATTERY_LEVEL and "batter" not in plain:
        return None
    return UNITS.get(unit or "", ("", None))[1]


def state_class(unit: str | None, kind: str | None) -> str | None:
    """How its statistics are made. An angle has none: the mean of 350° and 10° is not 180°."""
    if kind == "energy":
        return "total"
    return None if unit_of(unit) == ANGLE else "measurement"
