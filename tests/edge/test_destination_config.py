"""`[[destinations]]`: what is refused before anything is opened."""

from typing import Any

import pytest
from pydantic import ValidationError

from edge.config import EdgeConfig
from edge.desk_rules import desk_rules

FILE: dict[str, Any] = {"name": "archive", "kind": "file", "folder": "x"}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"destinations": [FILE, FILE]}, "every name once"),
        ({"destinations": [{**FILE, "name": "influx"}]}, "'influx' is taken"),
        ({"destinations": [{**FILE, "name": "ingest"}]}, "'ingest' is taken"),
        ({"destinations": [{**FILE, "name": "Not/this"}]}, "match pattern"),
        ({"destinations": [{**FILE, "kind": "kafka"}]}, "'influx', 'mqtt', 'file'"),
        ({"destinations": [{**FILE, "url": "http://x"}]}, "Extra inputs"),
        ({"influx": {"enabled": False}}, "at least one destination"),
        ({"influx": {"send": ["rollups"], "deadband": {}}}, "expected 'raw' in send"),
        ({"influx": {"link": {"every_s": 300, "for_s": 300}}}, "expected less than every_s"),
        ({"influx": {"on_full": "thin-oldest"}, "windows": {"sizes_s": []}}, "influx.on_full"),
        ({"destinations": [{"name": "up", "kind": "mqtt", "topic": "a/#"}]}, "no wildcard"),
        ({"destinations": [{"name": "up", "kind": "mqtt", "topic": "a/{site}"}]}, "expected {device}"),
        ({"destinations": [{"name": "up", "kind": "mqtt", "password": "x", "password_file": "y"}]}, "at most one"),
    ],
)
def test_what_cannot_stand_is_refused_with_a_sentence(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        EdgeConfig.model_validate(changes)


def test_the_first_destination_is_influx_unless_it_is_switched_off() -> None:
    both = EdgeConfig.model_validate({"destinations": [FILE]})
    assert [each.name for each in desk_rules(both).destinations()] == ["influx", "archive"]
    alone = EdgeConfig.model_validate({"influx": {"enabled": False}, "destinations": [FILE]})
    assert [each.name for each in desk_rules(alone).destinations()] == ["archive"]


def test_only_a_database_overwrites_what_comes_twice() -> None:
    config = EdgeConfig.model_validate(
        {"destinations": [FILE, {"name": "up", "kind": "mqtt"}, {"name": "second", "kind": "influx"}]}
    )
    found = {each.name: each.overwrites for each in desk_rules(config).destinations()}
    assert found == {"influx": True, "archive": False, "up": False, "second": True}


def test_a_configuration_of_before_means_what_it_meant() -> None:
    (influx,) = desk_rules(EdgeConfig()).destinations()
    assert influx.format is None
    assert influx.choices.deadband is None
    assert len(influx.choices.send) == 3
    assert influx.choices.link.month_bytes_max is influx.choices.link.open_every_ms is None
