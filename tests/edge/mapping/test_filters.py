"""Topic filters: what they take, what they name, and how they lie to each other."""

from functools import cache
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from paho.mqtt.client import topic_matches_sub

from edge.mapping.filters import FilterError, check_template, fill, parse_filter, widest

levels = st.sampled_from(["a", "b", "", "+"])
filters = st.tuples(st.lists(levels, min_size=1, max_size=3), st.booleans()).map(
    lambda each: "/".join([*each[0], *(["#"] if each[1] else [])])
)
topics = st.lists(st.sampled_from(["a", "b", "", "c"]), min_size=1, max_size=5).map("/".join).filter(bool)
ALL_TOPICS = ["/".join(each) for count in range(1, 5) for each in product(["a", "b", "", "z"], repeat=count)]


@cache
def taken(text: str) -> frozenset[str]:
    """The topics that a filter takes, as Paho sees it."""
    return frozenset(topic for topic in ALL_TOPICS if topic_matches_sub(text, topic))


@settings(deadline=None)
@given(filters.filter(bool), topics)
def test_a_filter_takes_what_mqtt_says_it_takes(text: str, topic: str) -> None:
    assert (parse_filter(text).match(topic) is not None) == topic_matches_sub(text, topic)


@settings(deadline=None)
@given(filters.filter(bool), filters.filter(bool))
def test_covering_and_overlapping_are_what_the_topics_say(one: str, other: str) -> None:
    first, second = taken(one), taken(other)
    assert parse_filter(one).overlaps(parse_filter(other)) == bool(first & second)
    assert parse_filter(one).covers(parse_filter(other)) == (second <= first)


@settings(deadline=None)
@given(st.lists(filters.filter(bool), max_size=6))
def test_the_widest_filters_take_all_that_all_of_them_take(texts: list[str]) -> None:
    kept = [each.text for each in widest(map(parse_filter, texts))]
    assert frozenset().union(*map(taken, kept)) == frozenset().union(*map(taken, texts))


def test_named_levels_are_remembered_and_fill_a_template() -> None:
    found = parse_filter("plant/{building}/+/{room}/#").match("plant/b1/x/r7/temp/now")
    assert found == {"building": "b1", "room": "r7"}
    assert fill(check_template("{building}-{room}", found), found) == "b1-r7"


def test_a_broker_s_own_topics_are_not_taken_by_a_wildcard() -> None:
    assert parse_filter("#").match("$SYS/broker/load") is None
    assert parse_filter("+/broker/load").match("$SYS/broker/load") is None


@pytest.mark.parametrize(
    "text", ["", "a/#/b", "a+/b", "{A}/b", "{a}/{a}", "a{b}/c", "$SYS/#", "a\0b", "a/" * 40, "x" * 600]
)
def test_what_is_no_filter_is_refused(text: str) -> None:
    with pytest.raises(FilterError):
        parse_filter(text)


@pytest.mark.parametrize("template", ["{device}", "{", "a}", "{}"])
def test_a_template_may_use_named_levels_only(template: str) -> None:
    with pytest.raises(FilterError, match="template"):
        check_template(template, ["site"])
