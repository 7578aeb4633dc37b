"""The one sentence: the worst truth first."""

import re
from pathlib import Path
from typing import Any

import pytest

from edge.dashboard.verdict import verdict
from edge.status import LinkStatus
from tests.edge.dashboard.kit import DOWN, UP, destination, status
from tests.edge.kit import T0_MS

UNKNOWN = LinkStatus(state="unknown", since_ms=T0_MS)
BROKEN = {"healthy": False, "error": "disk"}
BEHIND = {"backlog": 9, "oldest_unsent_ms": 60_000}


@pytest.mark.parametrize(
    ("changes", "level", "stuck_at", "words"),
    [
        ({}, "ok", None, "Everything is working"),
        ({"devices": 0}, "ok", None, "first device"),
        ({"devices_link": UNKNOWN}, "busy", None, "Starting"),
        ({"uplink": DOWN}, "warn", "cloud", "kept here"),
        ({"devices_link": DOWN}, "bad", "devices", "nothing arrives"),
        ({"devices_link": DOWN, "uplink": DOWN}, "bad", "devices", "Neither"),
        ({"store": BROKEN, "devices_link": DOWN}, "bad", "gateway", "cannot be written"),
        ({"ledger": {"balances": False}}, "bad", None, "does not balance"),
        ({"store": {"wal_held_up": True}}, "warn", None, "holds up the store"),
        ({"store": {"waits_for_clock": True}}, "warn", "gateway", "clock is not set"),
        ({"forward": {"paused": True, "last_error": "401"}}, "bad", "cloud", "refuses"),
        ({"forward": {"backlog": 9, "last_error": "429"}}, "warn", "cloud", "haltingly"),
        ({"forward": BEHIND | {"catch_up_s": 3.0}}, "busy", None, "Catching up"),
        ({"forward": BEHIND | {"catch_up_s": None}}, "warn", "cloud", "does not shrink"),
        ({"forward": {"backlog": 9, "oldest_unsent_ms": 900, "catch_up_s": None}}, "ok", None, "working"),
        ({"uplink": UNKNOWN, "devices_link": UP}, "ok", None, "working"),
        ({"destinations": (destination(),)}, "ok", None, "working"),
        ({"destinations": (destination(link=DOWN),)}, "warn", "cloud", "A destination cannot be reached"),
        ({"destinations": (destination(configured=False, link=None),)}, "warn", None, "not configured"),
        ({"destinations": (destination(configured=False, link=None, held=0),)}, "ok", None, "working"),
        ({"destinations": (destination(forecast={"level": 3}),)}, "warn", "cloud", "month's budget"),
        ({"destinations": (destination(balances=False),)}, "bad", None, "does not balance"),
    ],
)
def test_the_worst_truth_is_said_first(changes: dict[str, Any], level: str, stuck_at: str | None, words: str) -> None:
    said = verdict(status(**changes))
    assert (said.level, said.stuck_at) == (level, stuck_at)
    assert words in said.headline


def test_the_docs_have_every_sentence() -> None:
    source = Path(verdict.__code__.co_filename).read_text(encoding="utf-8")
    docs = (Path(__file__).resolve().parents[3] / "docs" / "dashboard.md").read_text(encoding="utf-8")
    both_down_or_starting = {"Neither the broker nor the cloud can be reached.", "Starting."}
    said = set(re.findall(r'headline="([^"]+)"', source)) - both_down_or_starting
    assert len(said) > 8
    assert {words for words in said if f"| {words} |" not in docs} == set()


def test_the_sentence_holds_no_number_that_moves() -> None:
    first = verdict(status(uplink=DOWN, forward={"backlog": 5, "oldest_unsent_ms": 20_000}))
    later = verdict(status(uplink=DOWN, forward={"backlog": 900, "oldest_unsent_ms": 90_000}))
    assert first == later


def test_the_detail_tells_the_cause_as_everything_else_does() -> None:
    assert "Cloud: no answer in time. " in verdict(status(uplink=DOWN.model_copy(update={"cause": "timeout"}))).detail
