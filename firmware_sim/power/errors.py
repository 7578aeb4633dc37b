"""What can be wrong with a cell, a board or a call, as named errors that carry the facts.

PowerError
├── PowerDataError      a data file: file, key, what was expected, what was found
├── UnknownPartError    a cell, board, model or state that the data does not have
└── PowerValueError     an argument of a call that cannot be meant
"""

from collections.abc import Iterable


class PowerError(ValueError):
    """Top of the room's errors; the message names the thing and what was expected."""


class PowerDataError(PowerError):
    """A data file breaks its own form. Who must act: the author of the file."""

    def __init__(self, file: str, key: str, expected: str, got: object) -> None:
        self.file, self.key, self.expected, self.got = file, key, expected, got
        super().__init__(f"{file}: {key}: expected {expected}, got {got!r}")


class UnknownPartError(PowerError):
    """A name that is not in the catalogue; `known` lists the names that are."""

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        self.kind, self.name, self.known = kind, name, tuple(sorted(known))
        super().__init__(f"unknown {kind} {name!r}: expected one of {', '.join(self.known) or 'none'}")


class PowerValueError(PowerError):
    """An argument out of its range: `field` names it, `expected` says the range."""

    def __init__(self, field: str, expected: str, got: object) -> None:
        self.field, self.expected, self.got = field, expected, got
        super().__init__(f"{field}: expected {expected}, got {got!r}")
