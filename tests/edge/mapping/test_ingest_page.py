"""The page docs/ingest.md: its rules load together, its examples give what it says, its tables name what there is."""

import re
import shlex
import tomllib
from pathlib import Path

import pytest

from edge.config import EdgeConfig
from edge.mapping.explain import explain
from edge.mapping.rules import MappingRule, PayloadKind, TimeUnit, ValueRule, ValueType
from tests.edge.kit import T0_MS

PAGE = (Path(__file__).parents[3] / "docs" / "ingest.md").read_text(encoding="utf-8")
CONFIG = "\n".join(re.findall(r"```toml\n(.*?)```", PAGE, flags=re.DOTALL))
EXAMPLES = re.findall(r"```sh\n(tidegate edge explain .*?)\n```\n\n    (.*?)\n", PAGE)


@pytest.mark.parametrize(("command", "promised"), EXAMPLES)
def test_the_examples_become_what_the_page_says(command: str, promised: str) -> None:
    *_, topic, payload = shlex.split(command)
    config = EdgeConfig.model_validate(tomllib.loads(CONFIG))
    told = explain(config.mapping, config.mqtt.topic_root, topic, payload.encode(), T0_MS)
    (one,) = told.readings
    values = ", ".join(f"{value.name} {value.value} {value.unit}" for value in one.values)
    assert f"{told.taken_by}: {told.site}/{told.device}, time from {one.time_from}: {values}" == promised


def test_the_page_has_examples_of_every_payload() -> None:
    assert len(EXAMPLES) >= 4
    assert {rule.payload for rule in EdgeConfig.model_validate(tomllib.loads(CONFIG)).mapping} == set(PayloadKind)


def test_the_tables_name_every_key() -> None:
    for model in (MappingRule, ValueRule):
        for key in model.model_fields:
            assert f"`{key}`" in PAGE
    for word in (*PayloadKind, *TimeUnit, *ValueType):
        assert f"`{word}`" in PAGE
