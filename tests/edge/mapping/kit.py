"""What the tests of the mapping rules share."""

import tomllib

from edge.config import EdgeConfig
from edge.mapping.rules import MappingRule

THERMOMETER = """
[[mapping]]
name = "thermometer"
topic = "plant/{site}/{device}/temp"
payload = "number"
[[mapping.value]]
name = "temperature"
unit = "Cel"
"""

STATION = """
[[mapping]]
name = "station"
topic = "weather/{device}"
payload = "json"
site = "roof"
time = "$.ts"
[[mapping.value]]
name = "temperature"
select = "$.sensors[0].temp"
unit = "Cel"
scale = 0.1
offset = -5
[[mapping.value]]
name = "raining"
select = "$['is raining']"
type = "boolean"
"""

PACK = """
[[mapping]]
name = "pack"
topic = "senml/{device}/#"
payload = "senml"
site = "barn"
"""


def rules(text: str) -> tuple[MappingRule, ...]:
    """The rules of a configuration's text, checked as at start."""
    return EdgeConfig.model_validate(tomllib.loads(text)).mapping
