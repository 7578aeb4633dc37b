"""The rules for foreign devices as configuration: `[[mapping]]` tables, checked before any socket opens.

Promise: a rule that passes can be applied to any message; whatever is wrong is said with the rule and the key.
"""

import math
from collections.abc import Sequence
from enum import StrEnum
from typing import Annotated, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from edge.mapping.filters import TopicFilter, check_template, parse_filter, widest
from edge.mapping.select import parse_selector
from sensors.reading import Value, column
from sensors.senml import VALUES_MAX, check_name, check_unit
from sensors.topics import FROM_DEVICES, check_level, subscription

RULES_MAX = 256  # each is tried in turn for a topic not met before; more device types than any site has


class PayloadKind(StrEnum):
    """What the payload of a rule's messages is."""

    JSON = "json"
    NUMBER = "number"
    SENML = "senml"
    SPARKPLUG = "sparkplug"


class ValueType(StrEnum):
    """What a value shall be: one field of InfluxDB has one type for ever, so it is not left to the device."""

    NUMBER = "number"
    BOOLEAN = "boolean"
    TEXT = "text"


class TimeUnit(StrEnum):
    """How the device writes its time: as a number since 1970 in this unit, or as an ISO 8601 text."""

    S = "s"
    MS = "ms"
    US = "us"
    NS = "ns"
    ISO = "iso"


def _check_selector(text: str) -> str:
    return parse_selector(text).text


def _check_filter(text: str) -> str:
    return parse_filter(text).text


def _check_factor(number: float) -> float:
    if not math.isfinite(number):
        raise ValueError(f"{number} is not a finite number")
    return number


SelectorText = Annotated[str, AfterValidator(_check_selector)]
Factor = Annotated[float, AfterValidator(_check_factor)]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)


class ValueRule(_Section):
    """One value of a reading: where it is in the payload, and what it is called here."""

    name: Annotated[str, AfterValidator(check_name)]
    select: SelectorText | None = None
    unit: Annotated[str, AfterValidator(check_unit)] | None = None
    type: ValueType = ValueType.NUMBER
    scale: Factor = 1.0
    offset: Factor = 0.0

    @model_validator(mode="after")
    def _only_numbers_are_scaled(self) -> Self:
        if self.scale == 0:
            raise ValueError("scale: expected a number other than 0")
        if self.type is not ValueType.NUMBER and (self.scale != 1 or self.offset != 0):
            raise ValueError(f"scale and offset: expected only where type is number, found type {self.type}")
        return self


class MappingRule(_Section):
    """One rule: the first one whose topic filter takes a message maps it."""

    name: Annotated[str, Field(min_length=1, max_length=64)]
    topic: Annotated[str, AfterValidator(_check_filter)]
    payload: PayloadKind
    site: str = "{site}"
    device: str = "{device}"
    value: Annotated[tuple[ValueRule, ...], Field(max_length=VALUES_MAX)] = ()
    time: SelectorText | None = None
    time_unit: TimeUnit = TimeUnit.S

    @model_validator(mode="after")
    def _names_who_it_is(self) -> Self:
        if self.payload is PayloadKind.SPARKPLUG:
            self._leaves_names_to_sparkplug()
            return self
        known = {name for _, name in parse_filter(self.topic).names}
        for key, template in (("site", self.site), ("device", self.device)):
            try:
                check_template(template, known)
                if "{" not in template:
                    check_level(template, key)
            except ValueError as error:
                raise ValueError(f"{key}: {error}") from None
        return self

    def _leaves_names_to_sparkplug(self) -> None:
        if not self.topic.startswith("spBv1.0/"):
            raise ValueError(f"topic: expected one under spBv1.0/ for payload sparkplug, found {self.topic!r}")
        if not {"site", "device"}.isdisjoint(self.model_fields_set):
            raise ValueError("site and device: expected none for payload sparkplug, whose topics name group and node")

    @model_validator(mode="after")
    def _values_fit_the_payload(self) -> Self:
        is_json = self.payload is PayloadKind.JSON
        if is_json and not self.value:
            raise ValueError("value: expected at least one [[mapping.value]] for payload json")
        if self.payload is PayloadKind.NUMBER and len(self.value) != 1:
            raise ValueError(
                f"value: expected exactly one [[mapping.value]] for payload number, found {len(self.value)}"
            )
        if self.payload in {PayloadKind.SENML, PayloadKind.SPARKPLUG} and self.value:
            raise ValueError(f"value: expected none for payload {self.payload}, which names its values itself")
        for at, value in enumerate(self.value):
            if (value.select is not None) != is_json:
                raise ValueError(
                    f"value.{at}.select: expected {'a selector' if is_json else 'none'} for {self.payload}"
                )
        if self.time is not None and not is_json:
            raise ValueError(f"time: expected only for payload json, found it for {self.payload}")
        names = [column(Value(value.name, 0.0, value.unit)) for value in self.value]
        if len(set(names)) < len(names):
            raise ValueError("value: expected each name (with its unit) once")
        return self


def check_rules(rules: Sequence[MappingRule], root: str) -> None:
    """Refuse rules that cannot stand beside each other or beside the native topics.

    Raises `ValueError` naming the rules: two of one name, a topic under the gateway's own root, a rule behind one that
    takes everything it would take, and filters that overlap without one covering the other (a broker may deliver a
    message once for each).
    """
    native = native_filters(root)
    own = parse_filter(f"{root}/#")
    seen: list[tuple[str, TopicFilter]] = []
    for rule in rules:
        topic = parse_filter(rule.topic)
        if own.covers(topic):
            raise ValueError(f"mapping {rule.name!r}: topic {rule.topic!r} lies under mqtt.topic_root {root!r}")
        for name, other in seen:
            if name == rule.name:
                raise ValueError(f"mapping {rule.name!r}: expected each name once")
            if other.covers(topic):
                raise ValueError(f"mapping {rule.name!r}: never reached, {name!r} before it takes all its topics")
        seen.append((rule.name, topic))
    kept = widest([*native, *(topic for _, topic in seen)])
    for at, one in enumerate(kept):
        for other in kept[:at]:
            if one.overlaps(other):
                raise ValueError(
                    f"mapping: topics {other.text!r} and {one.text!r} overlap, and the broker may deliver a message"
                    " once for each: narrow one of them, or add a last rule that covers both"
                )


def native_filters(root: str) -> list[TopicFilter]:
    """What the gateway's own devices publish to."""
    return [parse_filter(subscription(kind, root)) for kind in FROM_DEVICES]


def subscriptions(rules: Sequence[MappingRule], root: str) -> list[str]:
    """The filters to subscribe to, for native and foreign devices; none lies within another."""
    filters = [*native_filters(root), *(parse_filter(rule.topic) for rule in rules)]
    return [each.subscription for each in widest(filters)]
