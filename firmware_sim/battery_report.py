"""What a device says of its own battery as values of a reading: voltage, charge, and how long it will last."""

from firmware_sim.supply import Supply
from sensors.reading import Value


def battery_values(supply: Supply) -> tuple[Value, ...]:
    """The values; none of a mains supply, and no time left where the gauge cannot tell."""
    voltage_v, level = supply.voltage_v(), supply.level_percent()
    if voltage_v is None or level is None:
        return ()
    known = Value("battery_voltage", round(voltage_v, 3), "V"), Value("battery_level", round(level, 1), "%EL")
    left = supply.time_left()
    if left is None:
        return known
    return (
        *known,
        Value("battery_left", round(left.middle_s), "EL"),
        Value("battery_left_low", round(left.low_s), "EL"),
        Value("battery_left_high", round(left.high_s), "EL"),
    )
