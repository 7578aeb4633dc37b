"""docs/outages.md names what the code has: commands, formats, generators, parameters, causes, events, toxics."""

from pathlib import Path

import msgspec

from edge.outages.events import Cause, Quantities
from tidegate.outage.cli import app
from tidegate.outage.generators import GENERATORS
from tidegate.outage.importers import IMPORTERS
from tidegate.outage.toxics import TOXIC_TYPES

PAGE = Path("docs/outages.md").read_text()


def test_every_name_a_user_can_type_is_on_the_page() -> None:
    commands = [command.name or getattr(command.callback, "__name__", "") for command in app.registered_commands]
    parameters = [field.name for made_by in GENERATORS.values() for field in msgspec.structs.fields(made_by)]
    attributes = [field.name for kind in TOXIC_TYPES.values() for field in msgspec.structs.fields(kind)]
    events = ["transition", "close", "unknown_write", "gap", "sample", "series", "end"]
    names = [*IMPORTERS, *GENERATORS, *parameters, *TOXIC_TYPES, *attributes, *Cause, *Quantities, *events]
    assert [name for name in names if f"`{name}`" not in PAGE] == []
    assert [name for name in commands if f"outage {name}" not in PAGE and f"`{name}`" not in PAGE] == []
    assert len(commands) == 13
