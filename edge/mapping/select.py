"""Selectors: the part of JSONPath that picks at most one value, RFC 9535's "singular query".

    $.sensors[0].temp      $['odd name'].value      $[-1]

Names, quoted names and indexes (from the end if negative); no wildcards, filters, slices or functions, so a selector
finds one value or none, in a time that depends on its own length only. Nothing is evaluated.
"""

import re
from dataclasses import dataclass

SELECTOR_CHARS_MAX = 256  # a path of fifty levels; a longer one is a mistake
ABSENT = object()
"""What `Selector.find` returns where there is nothing."""

_STEP = re.compile(
    r"""\.(?P<name>[A-Za-z_\u0080-\U0010ffff][A-Za-z0-9_\u0080-\U0010ffff]*)
      | \[\s*(?P<index>0|-?[1-9][0-9]{0,9})\s*\]
      | \[\s*'(?P<single>(?:[^'\\]|\\['\\/])*)'\s*\]
      | \[\s*"(?P<double>(?:[^"\\]|\\["\\/])*)"\s*\]""",
    re.VERBOSE,
)
_ESCAPE = re.compile(r"\\(.)")


class SelectorError(ValueError):
    """Text that is no selector."""


@dataclass(frozen=True, slots=True)
class Selector:
    """A compiled selector: the names (text) and indexes (numbers) to follow."""

    text: str
    steps: tuple[str | int, ...]

    def find(self, document: object) -> object:
        """The value that the selector points at in a decoded JSON document, or `ABSENT`."""
        at = document
        for step in self.steps:
            if isinstance(step, str):
                if not isinstance(at, dict) or step not in at:
                    return ABSENT
                at = at[step]
            else:
                if not isinstance(at, list) or not -len(at) <= step < len(at):
                    return ABSENT
                at = at[step]
        return at


def parse_selector(text: str) -> Selector:
    """Compile a selector. Raises `SelectorError` that shows where it stops to be one."""
    if len(text) > SELECTOR_CHARS_MAX:
        raise SelectorError(f"a selector of {len(text)} characters: expected at most {SELECTOR_CHARS_MAX}")
    if not text.startswith("$"):
        raise SelectorError(f"selector {text!r}: expected it to start with '$', as in $.sensors[0].temp")
    steps: list[str | int] = []
    at = 1
    while at < len(text):
        step = _STEP.match(text, at)
        if step is None:
            raise SelectorError(f"selector {text!r}: expected .name, ['name'] or [0] at {text[at : at + 16]!r}")
        steps.append(_step(step))
        at = step.end()
    return Selector(text, tuple(steps))


def _step(step: re.Match[str]) -> str | int:
    if step["index"] is not None:
        return int(step["index"])
    if step["name"] is not None:
        return step["name"]
    quoted = step["single"] if step["single"] is not None else step["double"]
    return _ESCAPE.sub(r"\1", quoted)
