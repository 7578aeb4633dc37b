"""Every key that a part's configuration takes, as docs/configuration.md writes it."""

from typing import get_origin

from pydantic import BaseModel

from tidegate.models import models_in


def field_keys(model: type[BaseModel], prefix: str = "", around: tuple[type[BaseModel], ...] = ()) -> list[str]:
    """Every dotted key that a model takes, in order; a table in a list is written `name[].key`.

    A table that may hold itself again (`around` has it) is one key, without what is in it.
    """
    keys: dict[str, None] = {}
    for name, field in model.model_fields.items():
        inner = models_in(field.annotation)
        mark = "[]" if get_origin(field.annotation) in (list, tuple) else ""
        nested: list[str] = []
        if not {model, *around}.intersection(inner):
            nested = [key for each in inner for key in field_keys(each, f"{prefix}{name}{mark}.", (model, *around))]
        keys |= dict.fromkeys(nested or [f"{prefix}{name}"])
    return list(keys)
