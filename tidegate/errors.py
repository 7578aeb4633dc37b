"""The front door's named errors; each knows the exit code that it ends the process with.

    FrontDoorError
    ├── ConfigError          2: the configuration is wrong; the operator changes a file or a variable
    ├── MissingPackageError  2: a command needs a package that is not installed
    └── TakenError           3: a port, directory or lock is taken or not writable

The exit codes are documented in docs/cli.md; `tidegate.process` is the only place that turns errors into them.
"""

from dataclasses import dataclass
from typing import ClassVar

EXIT_OK = 0
EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_TAKEN = 3
EXIT_INTERRUPTED = 130
EXIT_TERMINATED = 143


class FrontDoorError(Exception):
    """Something the front door can say in one line, with the exit code that belongs to it."""

    exit_code: ClassVar[int] = EXIT_FAILED


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong with a configuration.

    source: the file's path or the environment variable's name. key: dotted, empty for the whole file. detail: what was
    expected and what was found.
    """

    source: str
    key: str
    detail: str

    def __str__(self) -> str:
        return ": ".join(part for part in (self.source, self.key, self.detail) if part)


class ConfigError(FrontDoorError):
    """A configuration that cannot be used; `problems` has all that is wrong with it, one line each in the message."""

    exit_code = EXIT_USAGE

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        self.problems = problems
        super().__init__("\n".join(str(problem) for problem in problems))


EXTRAS = {"numpy": "forecast", "matplotlib": "forecast", "ray": "ray", "pyarrow": "parquet"}
"""Packages that not every installation has, by the extra that brings them: a gateway on a small board needs none."""


class MissingPackageError(FrontDoorError):
    """A command whose packages are not installed. `package` is the import that failed."""

    exit_code = EXIT_USAGE

    def __init__(self, package: str) -> None:
        self.package = package
        remedy = f"pip install 'tidegate[{EXTRAS[package]}]'" if package in EXTRAS else "install it, or tidegate again"
        super().__init__(f"this command needs the Python package {package!r}: {remedy}")


class TakenError(FrontDoorError):
    """A port, directory or lock that somebody else holds, or that this user may not write; the text says what to do."""

    exit_code = EXIT_TAKEN
