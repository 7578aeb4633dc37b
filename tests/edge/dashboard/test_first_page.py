"""The first page says what it knows before any script runs, to those who may read, and nothing in it can act."""

import json
import re

import pytest

from edge.dashboard.documents import Now, Verdict
from edge.dashboard.first_page import PLACE, figures, first_page
from edge.dashboard.verdict import verdict
from edge.dashboard.web import STATIC
from tests.edge.dashboard.kit import DOWN, status

TEMPLATE = f"<main>{PLACE}</main>"
ME = '{"name":"ada"}'


def _now(**changes: object) -> Now:
    told = status(**changes)
    return Now(verdict=verdict(told), status=told)


def _data(page: str) -> dict[str, object]:
    (block,) = re.findall(r'<script id="first" type="application/json">(.*?)</script>', page)
    whole: dict[str, object] = json.loads(block)
    return whole


def test_the_page_that_is_served_has_the_place() -> None:
    assert (STATIC / "index.html").read_text(encoding="utf-8").count(PLACE) == 1


def test_without_figures_the_page_is_bare() -> None:
    assert first_page(TEMPLATE, "null", None) == "<main></main>"


def test_the_verdict_the_figures_and_the_ledger_stand_in_it() -> None:
    now = _now(uplink=DOWN, forward={"backlog": 1365, "oldest_unsent_ms": 37_000, "catch_up_s": None})
    page = first_page(TEMPLATE, ME, now)
    for words in ("The cloud cannot be reached. Readings are kept here.", ">1,365<", ">37 s<", ">growing<", "balances"):
        assert words in page, words
    assert _data(page) == {"me": json.loads(ME), "now": json.loads(now.model_dump_json())}


def test_words_from_outside_are_text_in_the_page_and_in_its_data() -> None:
    hostile = "</script><script>alert(1)</script><!-- <img src=x onerror=alert(1)>"
    now = Now(verdict=Verdict(level="bad", headline=hostile, detail=hostile, stuck_at=None), status=status())
    page = first_page(TEMPLATE, ME, now)
    assert (page.count("<script"), page.count("</script"), page.count("<img"), page.count("<!--")) == (1, 1, 0, 0)
    assert _data(page)["now"] == json.loads(now.model_dump_json())


@pytest.mark.parametrize(
    ("changes", "last"),
    [
        ({}, "caught up"),
        ({"forward": {"backlog": 3, "oldest_unsent_ms": 900, "catch_up_s": 1.0}}, "keeping up"),
        ({"forward": {"backlog": 3, "oldest_unsent_ms": 90_000, "catch_up_s": None}}, "growing"),
        ({"forward": {"backlog": 3, "oldest_unsent_ms": 90_000, "catch_up_s": 7200.0}}, "2 h"),
    ],
)
def test_the_time_to_catch_up_is_a_word_where_no_number_tells_it(changes: dict[str, object], last: str) -> None:
    told = figures(status(**changes))
    assert [label for label, _, _ in told] == ["Held back", "Oldest unsent", "Drain rate", "Time to catch up"]
    assert told[-1][1] == last


def test_a_store_that_fills_up_says_when_it_is_full() -> None:
    told = figures(status(forward={"backlog": 5, "oldest_unsent_ms": 90_000}, store={"full_in_s": 93_600}))
    assert told[0] == ("Held back", "5", "full in 1 d 2 h")
