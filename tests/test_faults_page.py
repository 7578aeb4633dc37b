"""docs/faults.md lists every fault of the matrix, and names tests that exist."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "docs" / "faults.md").read_text(encoding="utf-8")
FAULTS = 44


def _tests() -> set[str]:
    found: set[str] = set()
    for path in (ROOT / "tests").rglob("test_*.py"):
        found.update(re.findall(r"^def (test_\w+)", path.read_text(encoding="utf-8"), re.MULTILINE))
    return found


def test_every_fault_has_its_row() -> None:
    assert sorted(map(int, re.findall(r"^\| F(\d+) \|", PAGE, re.MULTILINE))) == list(range(1, FAULTS + 1))


def test_every_test_that_the_page_names_exists() -> None:
    named = set(re.findall(r"`(test_\w+)`", PAGE))
    assert named - _tests() == set()
    assert len(named) > FAULTS


def test_every_report_from_the_field_is_on_the_page() -> None:
    source = (ROOT / "tests" / "edge" / "test_what_others_lost.py").read_text(encoding="utf-8")
    assert {name for name in re.findall(r"^def (test_\w+)", source, re.MULTILINE) if f"`{name}`" not in PAGE} == set()
