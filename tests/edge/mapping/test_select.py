"""Selectors: RFC 9535's singular queries, and nothing else."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.mapping.select import ABSENT, SelectorError, parse_selector

DOCUMENT = {"a": {"b": [10, {"c": 20}]}, "odd name": 1, "it's": 2, "none": None, "": 3, "größe": 4}


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("$", DOCUMENT),
        ("$.a.b[0]", 10),
        ("$.a.b[1].c", 20),
        ("$.a.b[-1]['c']", 20),
        ("$['odd name']", 1),
        ('$["odd name"]', 1),
        (r"$['it\'s']", 2),
        ("$['']", 3),
        ("$.größe", 4),
        ("$.none", None),
        ("$.a.b[2]", ABSENT),
        ("$.a.b[-3]", ABSENT),
        ("$.a[0]", ABSENT),
        ("$.a.b.c", ABSENT),
        ("$.none.x", ABSENT),
        ("$.missing", ABSENT),
    ],
)
def test_a_selector_finds_one_value_or_none(text: str, found: object) -> None:
    assert parse_selector(text).find(DOCUMENT) == found


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a.b",
        "$.",
        "$..a",
        "$.*",
        "$[*]",
        "$[0:2]",
        "$[?@.a]",
        "$[a]",
        "$['a",
        "$.a b",
        "$[01]",
        "$[-0]",
        "$.0",
        "$ .a",
    ],
)
def test_what_is_no_selector_is_refused(text: str) -> None:
    with pytest.raises(SelectorError, match="selector"):
        parse_selector(text)


def test_an_over_long_selector_is_refused() -> None:
    with pytest.raises(SelectorError, match="at most"):
        parse_selector("$" + ".a" * 200)


@pytest.mark.no_cover
@settings(deadline=None)
@given(st.lists(st.text("ab.'\"\\[]$ ß\n", max_size=5) | st.integers(-3, 3), max_size=6))
def test_any_path_can_be_written_and_followed(path: list[str | int]) -> None:
    document: object = "end"
    for step in reversed(path):
        document = {step: document} if isinstance(step, str) else [document] * 4
    quoted = (step.replace("\\", "\\\\").replace("'", "\\'") if isinstance(step, str) else step for step in path)
    text = "$" + "".join(f"['{step}']" if isinstance(step, str) else f"[{step}]" for step in quoted)
    assert parse_selector(text).find(document) == "end"
