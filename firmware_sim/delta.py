"""Send-on-delta: whether a measurement differs enough from what was stored last to be stored itself."""

from collections.abc import Mapping

from sensors.reading import Value


def has_changed(delta: Mapping[str, float], stored: tuple[Value, ...], values: tuple[Value, ...]) -> bool:
    """Whether a value left its band about what was last stored; what is no number is outside when it differs."""
    before = {value.name: value.value for value in stored}
    for value in values:
        band, last = delta.get(value.name), before.get(value.name)
        if band is not None and not (_is_number(value.value) and _is_number(last)):
            if value.value != last:
                return True
        elif band is not None and abs(float(value.value) - float(last or 0)) >= band:
            return True
    return False


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
