"""Errors of the radio room. Each carries the value that was wrong and says what was expected.

RadioError
 +-- RadioDataError        a data file lacks a key, or a value has the wrong type
 +-- RadioSettingError     a setting is outside what the standard or the model allows
 +-- AirtimeError          a frame can never be sent under the regulation (too long for the budget or the dwell time)
 +-- TimeOrderError        a frame or a question lies before one that was already answered
"""


class RadioError(Exception):
    """Base of all errors of this room."""


class RadioDataError(RadioError):
    """A radio data file is wrong; the author of the file must act."""

    def __init__(self, file: str, key: str, expected: str) -> None:
        super().__init__(f"{file}: key {key!r}: expected {expected}")
        self.file = file
        self.key = key
        self.expected = expected


class RadioSettingError(RadioError):
    """A setting is out of range; whoever wrote the scenario must act."""

    def __init__(self, field: str, value: object, expected: str) -> None:
        super().__init__(f"{field} is {value!r}: expected {expected}")
        self.field = field
        self.value = value
        self.expected = expected


class AirtimeError(RadioError):
    """A frame is longer than the regulation ever allows; send fewer bytes or use a faster data rate."""

    def __init__(self, rule: str, airtime_us: int, limit_us: int) -> None:
        super().__init__(f"{rule}: a frame of {airtime_us} us can never be sent, expected at most {limit_us} us")
        self.rule = rule
        self.airtime_us = airtime_us
        self.limit_us = limit_us


class TimeOrderError(RadioError):
    """Time went backwards for a model that only goes forwards; the caller must act."""

    def __init__(self, field: str, value: float, earliest: float) -> None:
        super().__init__(f"{field} is {value}: expected {earliest} or later")
        self.field = field
        self.value = value
        self.earliest = earliest


def require(ok: bool, field: str, value: object, expected: str) -> None:
    """Raise `RadioSettingError` naming the field unless `ok`."""
    if not ok:
        raise RadioSettingError(field, value, expected)
