"""The alert rules as configuration: `[[rules]]` tables, checked before any socket opens.

Promise: a rule that passes can be applied to any reading, and its message be written; what is wrong is said with the
rule and the key.
"""

import math
import re
from collections.abc import Sequence
from enum import StrEnum
from fnmatch import fnmatchcase
from hashlib import blake2b
from string import Formatter
from typing import Annotated, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from sensors.alerts import TEXT_MAX, Severity
from sensors.senml import check_name, check_unit
from sensors.topics import check_level

RULES_MAX = 256  # each is matched once with each device; more than any site has kinds of trouble
FIELDS = ("site", "device", "rule", "value", "unit", "number", "threshold", "severity")
NUMBERS = ("number", "threshold")
SPAN_S_MAX = 30 * 86_400
EXPECTED_MAX = 1000  # devices named by all rules together: each is known to the store before it was heard
FINGERPRINT_BYTES = 8
_FORMAT = re.compile(r"(\.\d{1,2}[fg])?")


class RuleKind(StrEnum):
    """What a rule looks at."""

    THRESHOLD = "threshold"
    RATE_OF_CHANGE = "rate_of_change"
    NO_DATA = "no_data"


class Per(StrEnum):
    """What a rate is counted by."""

    S = "s"
    MIN = "min"
    H = "h"

    @property
    def ms(self) -> int:
        """Its length."""
        return {"s": 1_000, "min": 60_000, "h": 3_600_000}[self.value]


_KEYS_OF = {
    "value": (RuleKind.THRESHOLD, RuleKind.RATE_OF_CHANGE, RuleKind.NO_DATA),
    "unit": (RuleKind.THRESHOLD, RuleKind.RATE_OF_CHANGE),
    "above": (RuleKind.THRESHOLD, RuleKind.RATE_OF_CHANGE),
    "below": (RuleKind.THRESHOLD, RuleKind.RATE_OF_CHANGE),
    "hysteresis": (RuleKind.THRESHOLD, RuleKind.RATE_OF_CHANGE),
    "for_s": (RuleKind.THRESHOLD, RuleKind.RATE_OF_CHANGE),
    "late_s": (RuleKind.THRESHOLD, RuleKind.RATE_OF_CHANGE),
    "per": (RuleKind.RATE_OF_CHANGE,),
    "window_s": (RuleKind.RATE_OF_CHANGE,),
    "after_s": (RuleKind.NO_DATA,),
    "expected": (RuleKind.NO_DATA,),
}
_MESSAGES = {
    RuleKind.THRESHOLD: "{value} is {number:.4g} {unit} (limit {threshold:.4g})",
    RuleKind.RATE_OF_CHANGE: "{value} changes by {number:.4g} {unit} (limit {threshold:.4g})",
    RuleKind.NO_DATA: "nothing heard for {threshold:.4g} s",
}


def check_message(template: str) -> str:
    """Return a template that can be filled in. Raises `ValueError`."""
    for _, name, form, conversion in Formatter().parse(template):
        if name is None:
            continue
        if name not in FIELDS:
            raise ValueError(f"{{{name}}}: expected one of {', '.join(FIELDS)}")
        if conversion or not _FORMAT.fullmatch(form or "") or (form and name not in NUMBERS):
            raise ValueError(f"{{{name}}}: expected no format, or one like .1f for {' or '.join(NUMBERS)}")
    return template


def _finite(number: float) -> float:
    if not math.isfinite(number):
        raise ValueError(f"{number} is not a finite number")
    return number


Finite = Annotated[float, AfterValidator(_finite)]
Seconds = Annotated[float, Field(ge=1, le=SPAN_S_MAX)]


def check_expected(name: str) -> str:
    """Return SITE/DEVICE. Raises `ValueError`."""
    site, slash, device = name.partition("/")
    if not slash:
        raise ValueError(f"{name!r}: expected SITE/DEVICE")
    check_level(site, "site")
    check_level(device, "device")
    return name


Glob = Annotated[str, Field(min_length=1, max_length=128)]


class AlertRule(BaseModel):
    """One rule. It is applied to every device whose site and name its globs take, each on its own."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    name: Annotated[str, AfterValidator(lambda name: check_level(name, "name"))]
    kind: RuleKind
    site: Glob = "*"
    device: Glob = "*"
    value: Annotated[str, AfterValidator(check_name)] | None = None
    unit: Annotated[str, AfterValidator(check_unit)] | None = None
    above: Finite | None = None
    below: Finite | None = None
    hysteresis: Annotated[Finite, Field(ge=0)] = 0.0
    for_s: Annotated[float, Field(ge=0, le=SPAN_S_MAX)] = 0.0
    per: Per = Per.S
    window_s: Seconds | None = None
    after_s: Seconds | None = None
    expected: tuple[Annotated[str, AfterValidator(check_expected)], ...] = ()
    late_s: Seconds = 300.0
    severity: Severity = Severity.WARNING
    message: Annotated[str, Field(max_length=TEXT_MAX), AfterValidator(check_message)] | None = None

    @model_validator(mode="after")
    def _keys_fit_the_kind(self) -> Self:
        for key, kinds in _KEYS_OF.items():
            if key in self.model_fields_set and self.kind not in kinds:
                raise ValueError(f"{key}: expected only for {' or '.join(kinds)}, found kind {self.kind}")
        if self.kind is RuleKind.NO_DATA:
            if self.after_s is None:
                raise ValueError("after_s: expected for kind no_data")
            for site, device in self.expected_devices():
                if not self.takes(site, device):
                    raise ValueError(f"expected: {site}/{device} is not a device that site and device take")
            return self
        if self.value is None:
            raise ValueError(f"value: expected for kind {self.kind}")
        if (self.above is None) == (self.below is None):
            raise ValueError("above and below: expected exactly one of them")
        if self.kind is RuleKind.RATE_OF_CHANGE and self.window_s is None:
            raise ValueError("window_s: expected for kind rate_of_change")
        return self

    @property
    def threshold(self) -> float:
        """The limit, or the seconds of silence."""
        return next(limit for limit in (self.above, self.below, self.after_s) if limit is not None)

    def expected_devices(self) -> list[tuple[str, str]]:
        """(site, device) of those who are missed although they were never heard."""
        return [(site, device) for site, _, device in (name.partition("/") for name in self.expected)]

    def takes(self, site: str, device: str) -> bool:
        """Whether the rule is for this device."""
        return fnmatchcase(site, self.site) and fnmatchcase(device, self.device)

    def fingerprint(self) -> bytes:
        """Tells apart what a rule decides: how it is worded, and how bad it is, may change without it starting anew."""
        definition = self.model_dump_json(exclude={"severity", "message"} | (set() if self.expected else {"expected"}))
        return blake2b(definition.encode(), digest_size=FINGERPRINT_BYTES).digest()

    def text(self, *, site: str, device: str, unit: str | None, number: float) -> str:
        """The message for people."""
        per = f"{unit or ''}/{self.per}" if self.kind is RuleKind.RATE_OF_CHANGE else unit or ""
        words = {
            "site": site, "device": device, "rule": self.name, "value": self.value or "", "unit": per,
            "number": number, "threshold": self.threshold, "severity": self.severity,
        }  # fmt: skip
        return (self.message or _MESSAGES[self.kind]).format_map(words)[:TEXT_MAX]


def check_alert_rules(rules: Sequence[AlertRule]) -> None:
    """Raises `ValueError` for two rules of one name, or too many expected devices."""
    expected = {name for rule in rules for name in rule.expected}
    if len(expected) > EXPECTED_MAX:
        raise ValueError(f"rules: {len(expected)} expected devices: expected at most {EXPECTED_MAX}")
    seen: set[str] = set()
    for rule in rules:
        if rule.name in seen:
            raise ValueError(f"rules {rule.name!r}: expected each name once")
        seen.add(rule.name)
