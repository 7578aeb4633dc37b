"""The page docs/sensors.md: its examples run, and its tables name what there is."""

import re
from pathlib import Path

from sensors.catalogue import load_parts

PAGE = (Path(__file__).parents[2] / "docs" / "sensors.md").read_text(encoding="utf-8")


def test_the_examples_run_from_top_to_bottom() -> None:
    examples = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)
    assert len(examples) == 6
    namespace: dict[str, object] = {}
    for example in examples:
        exec(compile(example, "docs/sensors.md", "exec"), namespace)


def test_the_table_of_parts_is_the_catalogue() -> None:
    section = PAGE.split("## Parts")[1].split("Each part names")[0]
    rows = re.findall(r"^\| ([A-Z][\w-]+)[^|]*\| ([^|]+) \|$", section, flags=re.MULTILINE)
    listed = {part: {name.strip().lower() for name in names.split(",")} for part, names in rows}
    assert listed == {key: set(part.quantities) for key, part in load_parts().items()}
