"""One word for how a link failed, and what people are told of it."""

import re

import pytest

from edge import causes
from edge.causes import told
from edge.dashboard.web import STATIC
from edge.outages.events import Cause
from edge.status import LinkStatus

WORDS = sorted({value for name, value in vars(causes).items() if name.isupper() and isinstance(value, str)} | {*Cause})


@pytest.mark.parametrize("cause", WORDS)
def test_every_cause_has_words_for_people(cause: str) -> None:
    words = told(cause)
    assert words != cause
    assert re.fullmatch(r"(TLS|[a-z]+)( [a-z]+)+", words), "half a sentence, to stand behind a colon"


def test_an_answer_that_was_an_error_is_told_with_its_status() -> None:
    assert told("http", 503) == told("http 503") == "answered 503"
    assert told("http") == "answered with an error"
    assert told(None) == "cause not known"


def test_a_link_says_why_while_it_is_down() -> None:
    assert LinkStatus(state="down", since_ms=1, cause="dns").why == "name not resolved"
    assert LinkStatus(state="down", since_ms=1).why == "cause not known"
    assert LinkStatus(state="up", since_ms=1).model_dump()["why"] is None


def test_no_page_has_words_of_its_own() -> None:
    scripts = {path.name: path.read_text(encoding="utf-8") for path in (STATIC / "js").glob("*.js")}
    found = {(name, cause) for name, text in scripts.items() for cause in Cause if told(cause) in text}
    assert found == set()
