"""Topic filters with names: `zigbee2mqtt/{device}` is the MQTT filter `zigbee2mqtt/+`, and says what the level means.

A level is a plain text, `+` (any), `{name}` (any, and remembered), or `#` (all that follows; only as the last). Also
decides how filters lie to each other: a broker may deliver a message once for every subscription that it matches, so
what is subscribed to must not overlap.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import zip_longest

FILTER_BYTES_MAX = 512
LEVELS_MAX = 32  # deeper topics exist nowhere; bounds what a match costs
_NAMED = re.compile(r"\{([a-z][a-z0-9_]*)\}\Z")
_TEMPLATE = re.compile(r"\{([^{}]*)\}")


class FilterError(ValueError):
    """Text that is no topic filter, or a template that names a level which the filter does not."""


@dataclass(frozen=True, slots=True)
class TopicFilter:
    """A compiled filter. `levels` are MQTT's; `names` says which level (by its place) is called what."""

    text: str
    levels: tuple[str, ...]
    names: tuple[tuple[int, str], ...]

    @property
    def subscription(self) -> str:
        """The filter as MQTT knows it."""
        return "/".join(self.levels)

    def match(self, topic: str) -> dict[str, str] | None:
        """The named levels of a topic that the filter takes, or None (MQTT 5, section 4.7)."""
        levels = topic.split("/")
        if not _matches(self.levels, levels):
            return None
        return {name: levels[at] for at, name in self.names}

    def covers(self, other: "TopicFilter") -> bool:
        """Whether this filter takes every topic that the other takes."""
        return _matches(self.levels, other.levels)

    def overlaps(self, other: "TopicFilter") -> bool:
        """Whether some topic is taken by both."""
        for left, right in zip_longest(self.levels, other.levels):
            if "#" in (left, right):
                return True
            if left is None or right is None or (left != right and "+" not in (left, right)):
                return False
        return True


def _matches(pattern: tuple[str, ...], levels: tuple[str, ...] | list[str]) -> bool:
    """Whether each level is taken; a level may itself be a wildcard, which only a wider one takes."""
    if pattern[0] in ("+", "#") and levels[0].startswith("$"):
        return False
    for at, want in enumerate(pattern):
        if want == "#":
            return True
        if at >= len(levels) or levels[at] == "#" or want not in ("+", levels[at]):
            return False
    return len(levels) == len(pattern)


def parse_filter(text: str) -> TopicFilter:
    """Compile a filter. Raises `FilterError` naming the level."""
    if not text or len(text.encode("utf-8", "surrogatepass")) > FILTER_BYTES_MAX or "\0" in text:
        raise FilterError(f"a topic filter has 1 to {FILTER_BYTES_MAX} bytes and no NUL")
    if text.startswith("$"):
        raise FilterError(f"topic {text!r} starts with '$': those belong to the broker")
    parts = text.split("/")
    if len(parts) > LEVELS_MAX:
        raise FilterError(f"topic {text!r} has {len(parts)} levels: expected at most {LEVELS_MAX}")
    levels: list[str] = []
    names: dict[str, int] = {}
    for at, level in enumerate(parts):
        named = _NAMED.match(level)
        if named is not None:
            if named[1] in names:
                raise FilterError(f"topic {text!r} names two levels {level}")
            names[named[1]] = at
            levels.append("+")
        elif level in {"+", "#"} and (level == "+" or at == len(parts) - 1):
            levels.append(level)
        elif any(char in "+#{}" for char in level):
            raise FilterError(
                f"topic level {level!r}: expected a text, '+', '{{name}}' in small letters, or '#' as the last level"
            )
        else:
            levels.append(level)
    return TopicFilter(text, tuple(levels), tuple((at, name) for name, at in names.items()))


def check_template(template: str, known: Iterable[str]) -> str:
    """Return a template like `{building}-{room}` if every name in it is known. Raises `FilterError`."""
    names = sorted(known)
    rest = _TEMPLATE.sub("", template)
    if "{" in rest or "}" in rest:
        raise FilterError(f"template {template!r} has a brace without its partner")
    for name in _TEMPLATE.findall(template):
        if name not in names:
            have = ", ".join(f"{{{each}}}" for each in names) or "none"
            raise FilterError(f"template {template!r} uses {{{name}}}: the topic's named levels are {have}")
    return template


def fill(template: str, levels: dict[str, str]) -> str:
    """The template with the named levels put in."""
    return _TEMPLATE.sub(lambda found: levels[found[1]], template)


def widest(filters: Iterable[TopicFilter]) -> list[TopicFilter]:
    """The filters without those that another one covers, in order."""
    kept: list[TopicFilter] = []
    for each in filters:
        if any(other.covers(each) for other in kept):
            continue
        kept = [other for other in kept if not each.covers(other)]
        kept.append(each)
    return kept
