"""The topics of the wire contract: `{root}/{site}/{device}/{kind}`, by default under `tidegate/v1`.

A kind is one level, or two (`cmd/ack`): what belongs to one conversation stands under one level.

Promises: a topic that parses builds back to the same text; a level that MQTT, a log, a terminal or InfluxDB could
misread (wildcards, NUL, control characters, over-long, empty) is refused with an error that names the level.
"""

import unicodedata
from enum import StrEnum
from typing import NamedTuple

DEFAULT_ROOT = "tidegate/v1"
LEVEL_BYTES_MAX = 64  # four levels stay far below MQTT's 65,535 and fit any index or screen


class Kind(StrEnum):
    """What a message is; the last level of its topic."""

    READING = "reading"
    STATE = "state"
    ACK = "ack"
    RESEND = "resend"
    ALERT = "alert"
    CMD = "cmd"
    CMD_ACK = "cmd/ack"
    FW_ASK = "fw/ask"
    FW_CHUNK = "fw/chunk"

    __hash__ = str.__hash__  # an enumeration's own hashes in Python; this is asked for at every message


FROM_DEVICES = (Kind.READING, Kind.STATE, Kind.ALERT, Kind.CMD_ACK, Kind.FW_ASK)
"""What devices say: what a gateway subscribes to."""
TO_DEVICES = (Kind.ACK, Kind.RESEND, Kind.CMD, Kind.FW_CHUNK)
"""What a gateway says: what a device subscribes to."""
_KIND_LEVELS_MAX = 2


class TopicError(ValueError):
    """A topic that the wire contract does not allow. Who must act: whoever configured the device."""


class Topic(NamedTuple):
    """A topic, taken apart."""

    site: str
    device: str
    kind: Kind


def check_level(level: str, what: str) -> str:
    """Return `level` if it may stand in a topic; `what` names it in the error.

    Raises `TopicError` naming the level and what was expected.
    """
    if not level:
        raise TopicError(f"{what} is empty: expected 1 to {LEVEL_BYTES_MAX} bytes")
    if len(level.encode("utf-8", "surrogatepass")) > LEVEL_BYTES_MAX:
        raise TopicError(f"{what} is longer than {LEVEL_BYTES_MAX} bytes: {level[:24]!r}...")
    for char in level:
        if char in "+#/\\" or unicodedata.category(char) in {"Cc", "Cs", "Zl", "Zp"}:
            raise TopicError(
                f"{what} {level!r} holds {char!r}: expected no wildcard, slash, backslash or control character"
            )
    if level[0] in "$ " or level[-1] == " ":
        raise TopicError(f"{what} {level!r} starts with '$' or has a space at an end")
    return level


def build_topic(site: str, device: str, kind: Kind, root: str = DEFAULT_ROOT) -> str:
    """The topic of one kind of message of one device. Raises `TopicError` for a bad level."""
    return f"{root}/{check_level(site, 'site')}/{check_level(device, 'device')}/{kind}"


def parse_topic(topic: str, root: str = DEFAULT_ROOT) -> Topic:
    """Take a topic apart. Raises `TopicError` if it is not one of ours, naming what is wrong."""
    prefix = root + "/"
    if not topic.startswith(prefix):
        raise TopicError(f"topic does not start with {prefix!r}")
    levels = topic[len(prefix) :].split("/")
    if not 3 <= len(levels) <= 2 + _KIND_LEVELS_MAX:
        raise TopicError(f"topic has {len(levels)} levels behind {root!r}: expected site/device/kind")
    site, device, kind = levels[0], levels[1], "/".join(levels[2:])
    try:
        return Topic(check_level(site, "site"), check_level(device, "device"), Kind(kind))
    except ValueError as error:
        if isinstance(error, TopicError):
            raise
        raise TopicError(f"kind {kind[:24]!r} is not one of {', '.join(Kind)}") from None


def subscription(kind: Kind, root: str = DEFAULT_ROOT) -> str:
    """The filter that takes one kind of message from every device of every site."""
    return f"{root}/+/+/{kind}"


def check_root(root: str) -> str:
    """Return `root` if it may stand before the site level: one or more good levels. Raises `TopicError`."""
    for level in root.split("/"):
        check_level(level, "topic root level")
    return root
