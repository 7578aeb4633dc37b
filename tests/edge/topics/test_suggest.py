"""A suggested rule is one that the configuration takes, and that takes the message it was made from."""

import tomllib

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.config import EdgeConfig
from edge.mapping.explain import explain
from edge.topics.suggest import suggest
from sensors.topics import DEFAULT_ROOT

T0_MS = 1_700_000_000_000


def understood(topic: str, payload: bytes, text: str) -> bool:
    config = EdgeConfig.model_validate(tomllib.loads(text))
    return explain(config.mapping, DEFAULT_ROOT, topic, payload, T0_MS).is_understood


def test_flat_json_becomes_one_value_a_number() -> None:
    payload = b'{"temperature": 21.4, "on": true, "ts": 1700000000, "name": "kitchen", "odd key": {"x": 3}}'
    text = suggest("zigbee2mqtt/kitchen", payload)
    assert text is not None
    rule = tomllib.loads(text)["mapping"][0]
    assert rule["topic"] == "zigbee2mqtt/{device}"
    assert [(value["name"], value["select"]) for value in rule["value"]] == [
        ("temperature", "$.temperature"),
        ("on", "$.on"),
        ("odd_key_x", "$['odd key'].x"),
    ]
    assert understood("zigbee2mqtt/kitchen", payload, text)


@pytest.mark.parametrize(
    ("topic", "payload", "kind", "filter_text"),
    [
        ("plant/t1/temperature", b"21.5", "number", "plant/t1/{device}"),
        ("tele/plug7/SENSOR", b'{"P": 3}', "json", "tele/{device}/SENSOR"),
        ("foreign/x/data", b'[{"n":"temp","v":1.5}]', "senml", "foreign/{device}/data"),
    ],
)
def test_the_kind_of_payload_and_the_devices_level_are_guessed(
    topic: str, payload: bytes, kind: str, filter_text: str
) -> None:
    text = suggest(topic, payload)
    assert text is not None
    rule = tomllib.loads(text)["mapping"][0]
    assert (rule["payload"], rule["topic"]) == (kind, filter_text)
    assert understood(topic, payload, text)


@pytest.mark.parametrize("payload", [b"", b"\xff\xfe", b"hello", b"true", b"null", b"[1,2]", b"{}", b'{"a":"text"}'])
def test_what_no_rule_could_read_has_no_suggestion(payload: bytes) -> None:
    assert suggest("a/b", payload) is None


LEVELS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="/+#\x00"), min_size=0, max_size=12)
CONTENT = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**6), 10**6) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5),
    lambda inner: st.dictionaries(st.text(max_size=8), inner, max_size=5) | st.lists(inner, max_size=3),
    max_leaves=12,
)  # fmt: skip


@given(st.lists(LEVELS, min_size=1, max_size=4).map("/".join), CONTENT)
def test_whatever_is_suggested_passes_the_check_of_the_configuration(topic: str, content: object) -> None:
    text = suggest(topic, msgspec.json.encode(content))
    if text is not None:
        assert len(EdgeConfig.model_validate(tomllib.loads(text)).mapping) == 1
