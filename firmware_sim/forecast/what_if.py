"""What-if changes: the same fleet with one setting, or a few together, changed.

A change is `key=value`, several that go together are separated by commas outside brackets: `interval_s=3600,batch=4`.
`key` is a key of `[[devices]]` (`send.batch`, `radio.adr`, `battery.cell`, ...) or one of the short names in `SHORT`. A
change applies to every group that has the key's table; a group whose value is the same already, or that has no such
table (a spreading factor without LoRaWAN), stays as it is and is not computed again.
"""

import re
import tomllib
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from firmware_sim.config import DeviceGroup, FleetConfig
from firmware_sim.forecast.plan import Variant

SHORT: dict[str, str] = {
    "batch": "send.batch",
    "cell": "battery.cell",
    "capacity_mah": "battery.capacity_mah",
    "spreading_factor": "radio.sf",
    "sf": "radio.sf",
}
_BETWEEN = re.compile(r",(?=\s*[a-z_][a-z_0-9.]*\s*=)")


class WhatIfError(ValueError):
    """A change that cannot be made; the message says why. Who must act: whoever asked."""

    def __init__(self, text: str, problem: str) -> None:
        super().__init__(problem)
        self.text = text


def what_if(config: FleetConfig, text: str) -> Variant:
    """Return the fleet with the change. Raises `WhatIfError`, also where it would change nothing."""
    changes = [_change(text, part) for part in _BETWEEN.split(text)]
    groups, changed = [], set()
    for group in config.devices:
        tables = group.model_dump(exclude_unset=True)
        applied = [_set(group, tables, key.split("."), value) for key, value in changes]
        try:
            made = DeviceGroup.model_validate(tables) if any(applied) else group
        except ValidationError as error:
            raise WhatIfError(text, f"{group.name}: {_said(error)}") from error
        groups.append(made)
        if made != group:
            changed.add(group.name)
    if not changed:
        raise WhatIfError(text, "changes nothing: no group has this key, or all have this value already")
    if not any(group.battery for group in groups if group.name in changed):
        raise WhatIfError(text, "changes only groups on mains power")
    return Variant(text, config.model_copy(update={"devices": tuple(groups)}), frozenset(changed))


def _change(text: str, part: str) -> tuple[str, Any]:
    key, equals, value = (piece.strip() for piece in part.partition("="))
    if not (key and equals and value):
        raise WhatIfError(text, f"expected key=value, such as interval_s=3600, found {part!r}")
    key = SHORT.get(key, key)
    if not _is_known(key.split(".")):
        raise WhatIfError(text, f"expected a key of [[devices]] or one of {', '.join(SHORT)}, found {key!r}")
    try:
        return key, tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        return key, value  # a bare word is a text


def _is_known(names: list[str]) -> bool:
    """Whether any group could have the key."""
    models: list[type[BaseModel]] = [DeviceGroup]
    for name in names:
        fields = [model.model_fields[name] for model in models if name in model.model_fields]
        if not fields:
            return False
        models = [inner for field in fields for inner in _models(field.annotation)]
    return not models


def _models(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for argument in get_args(annotation) for model in _models(argument)]


def _set(group: DeviceGroup, tables: dict[str, Any], names: list[str], value: Any) -> bool:
    """Set a key in the group's tables; False where the group has no such table."""
    model: BaseModel = group
    for name in names[:-1]:
        inner = getattr(model, name, None)
        if not isinstance(inner, BaseModel):
            return False
        tables, model = tables.setdefault(name, {}), inner
    if names[-1] not in type(model).model_fields:
        return False
    tables[names[-1]] = value
    if names == ["radio", "sf"]:
        tables["adr"] = False  # the network would talk the device out of it
    return True


def _said(error: ValidationError) -> str:
    first = error.errors(include_url=False)[0]
    where = ".".join(str(part) for part in first["loc"])
    return f"{where}: {first['msg'].removeprefix('Value error, ')}" if where else str(first["msg"])
