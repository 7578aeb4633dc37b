"""Files that go with a scenario: the recordings and catalogues that it names, which lie beside it.

A field of type `CompanionFile` promises no more than `Path` does. Who reads the scenario's file (`tidegate.config`)
finds the mark and counts a relative path from the folder of the file that names it; what is written counts from the
working directory, and has no mark.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated


@dataclass(frozen=True, slots=True)
class Companion:
    """Marks a path that counts from the folder of the configuration file that names it."""


CompanionFile = Annotated[Path, Companion()]
