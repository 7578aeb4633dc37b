"""The rules at work: which rule takes a topic, whose reading it is, and what it says.

Promises: the first rule in the order of the configuration whose filter takes the topic decides, alone; the same message
at the same time maps to the same readings.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from edge.mapping.filters import TopicFilter, fill, parse_filter
from edge.mapping.payloads import Measured, Read, reader
from edge.mapping.rules import MappingRule
from sensors.topics import TopicError, check_level

ROUTE_CACHE_MAX = 20_000  # topics remembered with their rule: as many as native topics are


@dataclass(frozen=True, slots=True)
class Route:
    """Where a topic leads: its rule, and the device that it speaks for."""

    rule: str
    site: str
    device: str
    read: Read


@dataclass(frozen=True, slots=True)
class Mapped:
    """What a message of a foreign device says. `timed`: every measurement has the device's own time."""

    rule: str
    site: str
    device: str
    measured: Sequence[Measured]

    @property
    def timed(self) -> bool:
        """Whether equal bytes are the same readings: only then, for what has no identity."""
        return all(each.synced for each in self.measured)


@dataclass(frozen=True, slots=True)
class _Compiled:
    rule: MappingRule
    topic: TopicFilter
    read: Read


class Mapper:
    """The compiled rules."""

    def __init__(self, rules: Sequence[MappingRule]) -> None:
        self._rules = [_Compiled(rule, parse_filter(rule.topic), reader(rule)) for rule in rules]
        self._routes: dict[str, Route] = {}

    def route(self, topic: str) -> Route | None:
        """Where a topic leads; None if no rule takes it. Raises `TopicError` for a level that names no device."""
        route = self._routes.get(topic)
        if route is None:
            route = self._find(topic)
            if route is not None:
                if len(self._routes) >= ROUTE_CACHE_MAX:
                    self._routes.clear()
                self._routes[topic] = route
        return route

    def map(self, topic: str, payload: bytes, received_at_ms: int) -> Mapped:
        """What a message says. Raises `TopicError` (no rule, no device) or `PayloadError`."""
        route = self.route(topic)
        if route is None:
            raise TopicError(f"no mapping rule takes the topic {topic[:64]!r}")
        return Mapped(route.rule, route.site, route.device, route.read(payload, received_at_ms))

    def _find(self, topic: str) -> Route | None:
        for each in self._rules:
            levels = each.topic.match(topic)
            if levels is not None:
                site = check_level(fill(each.rule.site, levels), "site")
                device = check_level(fill(each.rule.device, levels), "device")
                return Route(each.rule.name, site, device, each.read)
        return None
