"""Finding what a configuration file names beside itself: each relative path that a model marks as a companion.

Promises: such a path counts from the folder of the file that has the key, an included one too, so that a scenario and
its data can be moved, copied and run from anywhere; an absolute path and every other key stay as they are.
"""

from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from firmware_sim.companions import Companion
from tidegate.includes import KeyPath, Table, Tables
from tidegate.models import tables_under


def find_companions(model: type[BaseModel], tables: Tables) -> None:
    """Put the companions' folders before their names, in `tables` itself."""
    _find(model, tables.table, (), tables)


def _find(model: type[BaseModel], table: Table, at: KeyPath, tables: Tables) -> None:
    for name, value in table.items():
        field, here = model.model_fields.get(name), (*at, name)
        if field is None:
            continue
        if isinstance(value, str) and _is_companion(field):
            table[name] = Path(tables.origin(here) or "").parent / value
        for inner, child, key in tables_under(field.annotation, value, here):
            _find(inner, child, key, tables)


def _is_companion(field: FieldInfo) -> bool:
    return any(isinstance(mark, Companion) for mark in field.metadata) or _marks(field.annotation)


def _marks(annotation: Any) -> bool:
    """Whether the mark is inside: `CompanionFile | None`."""
    return any(isinstance(each, Companion) or _marks(each) for each in get_args(annotation))
