"""The examples of docs/models-power.md run as they are printed."""

import re
from pathlib import Path

import pytest

from firmware_sim.power import builtin_boards, builtin_cells

PAGE = (Path(__file__).parents[3] / "docs" / "models-power.md").read_text("utf-8")
EXAMPLES = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


@pytest.mark.no_cover
@pytest.mark.parametrize("number", range(len(EXAMPLES)))
def test_an_example_of_the_page_runs(number: int) -> None:
    exec(compile(EXAMPLES[number], f"models-power.md[{number}]", "exec"), {})


def test_the_page_names_every_cell_and_board() -> None:
    assert len(EXAMPLES) >= 4
    for name in [*builtin_cells(), *builtin_boards()]:
        assert f"`{name}`" in PAGE, name
