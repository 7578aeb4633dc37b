"""What a message would become and why, without taking it in: the answer of `tidegate edge explain`.

Promise: the same code decides here and at ingest; nothing is stored. What only the store knows (the seq that a foreign
reading would get, whether a message is a repeat, what a Sparkplug node announced before) is not said.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

from edge.mapping.filters import parse_filter
from edge.mapping.mapper import Mapper
from edge.mapping.rules import MappingRule
from edge.mapping.sparkplug import Nodes
from sensors.alerts import decode_device_alert
from sensors.commands import decode_command_ack
from sensors.firmware import decode_ask
from sensors.messages import MessageError, decode_state
from sensors.reading import Value
from sensors.senml import PayloadError, decode
from sensors.topics import FROM_DEVICES, Kind, TopicError, parse_topic

NATIVE = "native"


@dataclass(frozen=True, slots=True)
class Explained:
    """One reading that the message would become. `boot` and `seq` are None where the gateway gives them."""

    boot: int | None
    seq: int | None
    taken_at_ms: int
    time_from: str
    """`device`, or `gateway` where the device gave no time or an age only."""
    values: tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class RuleLook:
    """One rule, in the order of trying, and whether its filter takes the topic."""

    name: str
    topic: str
    takes: bool


@dataclass(frozen=True, slots=True)
class Explanation:
    """What would become of one message. `taken_by`: the rule's name, `native`, or None; `problem`: why it fails."""

    topic: str
    taken_by: str | None
    site: str | None = None
    device: str | None = None
    readings: tuple[Explained, ...] = ()
    problem: str | None = None
    rules: tuple[RuleLook, ...] = ()

    @property
    def is_understood(self) -> bool:
        """Whether the message would be taken, and not go to quarantine."""
        return self.problem is None

    def document(self) -> dict[str, object]:
        """The explanation as JSON-ready data."""
        plain = asdict(replace(self, readings=()))
        plain["readings"] = [
            {
                "boot": each.boot,
                "seq": each.seq,
                "taken_at_ms": each.taken_at_ms,
                "time_from": each.time_from,
                "values": [{"name": value.name, "value": value.value, "unit": value.unit} for value in each.values],
            }
            for each in self.readings
        ]
        return plain


def explain(rules: Sequence[MappingRule], root: str, topic: str, payload: bytes, received_at_ms: int) -> Explanation:
    """What would become of a message that comes at that time (milliseconds since 1970)."""
    if topic.startswith(root + "/"):
        return _native(root, topic, payload, received_at_ms)
    looks = tuple(RuleLook(rule.name, rule.topic, parse_filter(rule.topic).match(topic) is not None) for rule in rules)
    taken_by = next((look.name for look in looks if look.takes), None)
    told = Explanation(topic, taken_by, rules=looks)
    mapper = Mapper(rules)
    try:
        route = mapper.route(topic)
        if route is not None:
            told = replace(told, site=route.site, device=route.device)
        if route is not None and route.sparkplug is not None:
            measured = Nodes().take(route.sparkplug, payload, received_at_ms).measured
        else:
            measured = list(mapper.map(topic, payload, received_at_ms).measured)
    except (TopicError, PayloadError) as error:
        return replace(told, problem=str(error))
    readings = tuple(
        Explained(None, None, each.taken_at_ms, "device" if each.synced else "gateway", each.values)
        for each in measured
    )
    return replace(told, readings=readings)


def _native(root: str, text: str, payload: bytes, received_at_ms: int) -> Explanation:
    told = Explanation(text, NATIVE)
    try:
        topic = parse_topic(text, root)
        told = replace(told, site=topic.site, device=topic.device)
        if topic.kind is Kind.STATE:
            decode_state(payload)
            return told
        if topic.kind is Kind.ALERT:
            decode_device_alert(payload)
            return told
        if topic.kind is Kind.CMD_ACK:
            decode_command_ack(payload)
            return told
        if topic.kind is Kind.FW_ASK:
            decode_ask(payload)
            return told
        if topic.kind is not Kind.READING:
            raise TopicError(f"kind {topic.kind} is not sent to a gateway: expected {', '.join(FROM_DEVICES)}")
        readings = decode(payload, device=topic.device, received_at_ms=received_at_ms)
    except (TopicError, PayloadError, MessageError) as error:
        return replace(told, problem=str(error))
    explained = (
        Explained(each.boot, each.seq, each.taken_at_ms, "device" if each.synced else "gateway", each.values)
        for each in readings
    )
    return replace(told, readings=tuple(explained))
