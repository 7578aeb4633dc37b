"""`explain` says what ingest would do, and why."""

import json

from edge.mapping.explain import explain
from sensors.topics import DEFAULT_ROOT
from tests.edge.kit import T0_MS, message, reading
from tests.edge.mapping.kit import PACK, STATION, THERMOMETER, rules

RULES = rules(STATION + THERMOMETER + PACK)


def test_the_rule_that_takes_a_message_is_named_with_the_reading() -> None:
    told = explain(RULES, DEFAULT_ROOT, "plant/hall/t1/temp", b"21.5", T0_MS)
    assert told.is_understood
    document = json.loads(json.dumps(told.document()))
    assert (document["taken_by"], document["site"], document["device"]) == ("thermometer", "hall", "t1")
    assert [rule["takes"] for rule in document["rules"]] == [False, True, False]
    assert document["readings"] == [
        {
            "boot": None,
            "seq": None,
            "taken_at_ms": T0_MS,
            "time_from": "gateway",
            "values": [{"name": "temperature", "value": 21.5, "unit": "Cel"}],
        }
    ]


def test_a_message_that_no_rule_takes_or_that_its_rule_cannot_read_says_why() -> None:
    nobody = explain(RULES, DEFAULT_ROOT, "else/where", b"1", T0_MS)
    assert (nobody.taken_by, nobody.is_understood) == (None, False)
    assert "no mapping rule" in (nobody.problem or "")
    unread = explain(RULES, DEFAULT_ROOT, "weather/w1", b'{"ts":"x","is raining":1}', T0_MS)
    assert (unread.taken_by, unread.device) == ("station", "w1")
    assert "time $.ts is 'x'" in (unread.problem or "")


def test_native_messages_are_explained_too() -> None:
    native = message(reading(3))
    assert isinstance(native.topic, str)
    told = explain(RULES, DEFAULT_ROOT, native.topic, native.payload, T0_MS)
    assert (told.taken_by, [(each.boot, each.seq) for each in told.readings]) == ("native", [(1, 3)])
    state = explain(RULES, DEFAULT_ROOT, f"{DEFAULT_ROOT}/s/d/state", b'{"online":true}', T0_MS)
    assert (state.is_understood, state.readings) == (True, ())
    for topic in ("s/d/ack", "s/d/reading", "s/d"):
        assert not explain(RULES, DEFAULT_ROOT, f"{DEFAULT_ROOT}/{topic}", b"{}", T0_MS).is_understood
