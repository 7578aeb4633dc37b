"""Sparkplug B edge nodes: what their messages mean, with the aliases that their births announced.

Topics (Sparkplug 3.0, section 4): spBv1.0/GROUP/TYPE/NODE[/DEVICE]. The group becomes the site; the node, or
NODE:DEVICE, the device. Metrics of one time become one reading; control metrics (`bdSeq`, `Node Control/`,
`Device Control/`) none.

Promises: aliases, types and the last seq of every node are in the store, in the transaction of the readings, so a
restart forgets none; a seq that is not the next (0 to 255, then 0 again), data before a birth, or an alias that no
birth announced makes the gateway ask the node for a rebirth; a late NDEATH of an earlier session (another bdSeq)
changes nothing. What has a type that is no value (data sets, templates, files), or is no finite number, is counted.
Synchronous; lives in the store's thread.
"""

import math
import re
from dataclasses import dataclass, field
from typing import NamedTuple

import msgspec

from edge.mapping.payloads import Measured
from edge.mapping.sparkplug_payload import DataType, Metric, Payload, decode, encode, typed
from edge.store import Store
from sensors.reading import Value
from sensors.senml import NAME_BYTES_MAX, TAKEN_AT_MS_MAX, TEXT_BYTES_MAX, VALUES_MAX, PayloadError
from sensors.topics import TopicError, check_level

NAMESPACE = "spBv1.0"
NODES_MAX = 10_000  # more than any broker's fleet of edge nodes
NODE_METRICS_MAX = 20_000  # announced by one node and its devices
REBIRTH_METRIC = "Node Control/Rebirth"
SEQ_COUNT = 256
_CONTROL = ("bdSeq", "Node Control/", "Device Control/")
_BIRTHS, _DATA, _DEATHS = {"NBIRTH", "DBIRTH"}, {"NDATA", "DDATA"}, {"NDEATH", "DDEATH"}
_NOT_OURS = {"NCMD", "DCMD"}
_BAD_IN_NAME = re.compile(r"[^A-Za-z0-9\-:./_]")


class AliasUnknown(PayloadError):
    """Data by an alias that no birth has announced: the message goes to quarantine, and the node is asked to say."""


class SparkplugTopic(NamedTuple):
    """A topic, taken apart; `device` is empty for the node itself."""

    group: str
    kind: str
    node: str
    device: str

    @property
    def node_name(self) -> str:
        """The node's name among all nodes."""
        return f"{self.group}/{self.node}"


class Announced(NamedTuple):
    """A metric of a birth."""

    device: str
    name: str
    alias: int | None
    datatype: int | None


class Taken(NamedTuple):
    """What a message gave. `unsupported`: metrics that are no values; `rebirth`: the node should announce itself."""

    measured: list[Measured]
    unsupported: int
    rebirth: bool


@dataclass(slots=True)
class _Node:
    seq: int | None = None
    bd_seq: int | None = None
    born: bool = False
    metrics: list[Announced] = field(default_factory=list)
    by_alias: dict[int, Announced] = field(default_factory=dict)
    by_name: dict[tuple[str, str], Announced] = field(default_factory=dict)

    def announce(self, metrics: list[Announced]) -> None:
        """Hold these metrics, and no others."""
        self.metrics = metrics
        self.by_alias = {each.alias: each for each in metrics if each.alias is not None}
        self.by_name = {(each.device, each.name): each for each in metrics}


_metrics_encoder = msgspec.msgpack.Encoder()
_metrics_decoder = msgspec.msgpack.Decoder(list[Announced])


def parse_topic(topic: str) -> SparkplugTopic | None:
    """Take a topic apart; None for what is not sent by a node (commands, the state of a host). Raises `TopicError`."""
    levels = topic.split("/")
    if levels[0] != NAMESPACE or len(levels) < 3:
        raise TopicError(f"topic {topic[:64]!r}: expected {NAMESPACE}/GROUP/TYPE/NODE[/DEVICE]")
    if levels[1] == "STATE" or levels[2] in _NOT_OURS:
        return None
    group, kind, *names = levels[1:]
    wants = 1 if kind.startswith("N") else 2
    if kind not in _BIRTHS | _DATA | _DEATHS or len(names) != wants:
        raise TopicError(f"topic {topic[:64]!r}: expected {NAMESPACE}/GROUP/TYPE/NODE[/DEVICE] with a type that fits")
    for name in (group, *names):
        check_level(name, "Sparkplug name")
        if ":" in name:
            raise TopicError(f"Sparkplug name {name!r}: expected no colon, which parts node and device here")
    return SparkplugTopic(group, kind, names[0], names[1] if wants == 2 else "")


def device_name(topic: SparkplugTopic) -> str:
    """The device's name at the gateway. Raises `TopicError` if both names together are too long."""
    return check_level(f"{topic.node}:{topic.device}" if topic.device else topic.node, "device")


def rebirth_command(group: str, node: str, now_ms: int) -> tuple[str, bytes]:
    """Topic and payload that ask a node to announce itself again (Sparkplug 3.0, section 6.4.22)."""
    wish = Metric(REBIRTH_METRIC, timestamp_ms=now_ms, datatype=DataType.BOOLEAN, content=True)
    return f"{NAMESPACE}/{group}/NCMD/{node}", encode(Payload(now_ms, None, (wish,)))


class Nodes:
    """What is known of every node. Without a store (in `explain`), only what was told since it was made."""

    def __init__(self, store: Store | None = None) -> None:
        self._store = store
        self._nodes: dict[str, _Node] = {}
        self._reborn: set[str] = set()
        self._moved: set[str] = set()

    def forget_uncommitted(self) -> None:
        """After a failed transaction: read again what the store holds, node by node as they come."""
        self._nodes.clear()
        self._reborn.clear()
        self._moved.clear()

    def take(self, topic: SparkplugTopic, raw: bytes, received_at_ms: int) -> Taken:
        """What a message gives. Raises `PayloadError` and `AliasUnknown`; what it says of the node stays known."""
        payload = decode(raw)
        node = self._node(topic.node_name)
        if topic.kind == "NDEATH":
            self._die(topic, node, payload)
            return Taken([], 0, rebirth=False)
        self._moved.add(topic.node_name)
        gap = topic.kind != "NBIRTH" and not _follows(node, payload)
        node.seq = payload.seq
        if topic.kind in _BIRTHS:
            self._birth(topic, node, payload)
        measured, unsupported = _measured(topic, node, payload, received_at_ms)
        return Taken(measured, unsupported, rebirth=gap or not node.born)

    def write(self) -> None:
        """Write what changed, inside the transaction of the readings."""
        if self._store is None or not self._moved:
            return
        rows = [(name, *self._row(self._nodes[name])) for name in sorted(self._reborn)]
        self._store.write("INSERT OR REPLACE INTO sparkplug_nodes VALUES (?, ?, ?, ?, ?)", rows)
        moved = [(self._nodes[name].seq, name) for name in sorted(self._moved - self._reborn)]
        self._store.write("UPDATE sparkplug_nodes SET seq = ? WHERE node = ?", moved)
        self._reborn.clear()
        self._moved.clear()

    @staticmethod
    def _row(node: _Node) -> tuple[int | None, int | None, int, bytes]:
        return node.seq, node.bd_seq, int(node.born), _metrics_encoder.encode(node.metrics)

    def _node(self, name: str) -> _Node:
        node = self._nodes.get(name)
        if node is not None:
            return node
        sql = "SELECT seq, bd_seq, born, metrics FROM sparkplug_nodes WHERE node = ?"
        rows = self._store.query(sql, (name,)) if self._store is not None else []
        if rows:
            seq, bd_seq, born, metrics = rows[0]
            node = _Node(seq, bd_seq, bool(born))
            node.announce(_metrics_decoder.decode(metrics))
        else:
            if self._store is not None and self._store.query("SELECT count(*) FROM sparkplug_nodes")[0][0] >= NODES_MAX:
                raise PayloadError(f"Sparkplug: node {name!r} would be one of more than {NODES_MAX}")
            node = _Node()
            self._reborn.add(name)
        self._nodes[name] = node
        return node

    def _birth(self, topic: SparkplugTopic, node: _Node, payload: Payload) -> None:
        if topic.kind == "NBIRTH":
            node.born, node.bd_seq = True, _bd_seq(payload)
            kept: list[Announced] = []
        else:
            kept = [each for each in node.metrics if each.device != topic.device]
        new = [
            Announced(topic.device, metric.name, metric.alias, metric.datatype)
            for metric in payload.metrics
            if metric.name is not None
        ]
        node.announce([*kept, *new][:NODE_METRICS_MAX])
        self._reborn.add(topic.node_name)

    def _die(self, topic: SparkplugTopic, node: _Node, payload: Payload) -> None:
        if node.born and _bd_seq(payload) == node.bd_seq:
            node.born = False
            node.announce([])
            self._moved.add(topic.node_name)
            self._reborn.add(topic.node_name)


def _follows(node: _Node, payload: Payload) -> bool:
    """Whether the seq is the next; the same one again is a repeat, not a gap."""
    return node.seq is not None and payload.seq in {node.seq, (node.seq + 1) % SEQ_COUNT}


def _bd_seq(payload: Payload) -> int | None:
    found = (metric.content for metric in payload.metrics if metric.name == "bdSeq")
    content = next(found, None)
    return content if isinstance(content, int) else None


def _measured(topic: SparkplugTopic, node: _Node, payload: Payload, received_at_ms: int) -> tuple[list[Measured], int]:
    """Readings by time, of at most `VALUES_MAX` values each, and how many metrics are no values."""
    by_time: dict[tuple[int, bool], dict[str, Value]] = {}
    unsupported = 0
    for metric in payload.metrics:
        announced = _announced(topic, node, metric)
        if announced.name.startswith(_CONTROL) or metric.is_null:
            continue
        content = _value(metric, announced.datatype if metric.datatype is None else metric.datatype)
        if content is None:
            unsupported += 1
            continue
        timestamp_ms = metric.timestamp_ms if metric.timestamp_ms is not None else payload.timestamp_ms
        synced = timestamp_ms is not None and timestamp_ms <= TAKEN_AT_MS_MAX
        at = (timestamp_ms if synced and timestamp_ms is not None else received_at_ms, synced)
        name = value_name(announced.name)
        values = by_time.setdefault(at, {})
        if name in values:
            raise PayloadError(f"Sparkplug: {name!r} has two values of one time")
        values[name] = Value(name, content, None)
    found: list[Measured] = []
    for (taken_at_ms, synced), named in by_time.items():
        values_of = tuple(named.values())
        parts = (values_of[start : start + VALUES_MAX] for start in range(0, len(values_of), VALUES_MAX))
        found += [Measured(taken_at_ms, synced, part) for part in parts]
    return found, unsupported


def _announced(topic: SparkplugTopic, node: _Node, metric: Metric) -> Announced:
    if metric.name is not None:
        default = Announced(topic.device, metric.name, metric.alias, metric.datatype)
        return node.by_name.get((topic.device, metric.name), default)
    known = node.by_alias.get(metric.alias) if metric.alias is not None else None
    if known is None or known.device != topic.device:
        raise AliasUnknown(f"Sparkplug: no birth of {topic.node_name} has announced alias {metric.alias}")
    return known


def _value(metric: Metric, datatype: int | None) -> float | bool | str | None:
    content = typed(metric.content, datatype) if metric.content is not None else None
    if isinstance(content, str):
        return content if len(content.encode()) <= TEXT_BYTES_MAX else None
    if content is None or isinstance(content, bool):
        return content
    number = float(content)
    return number if math.isfinite(number) else None


def value_name(name: str) -> str:
    """A metric's name as the name of a value: other characters than SenML allows become `_`. Raises `PayloadError`."""
    clean = _BAD_IN_NAME.sub("_", name).lstrip("-:./_")
    if not 0 < len(clean) <= NAME_BYTES_MAX:
        raise PayloadError(f"Sparkplug: metric {name[:32]!r}: expected a name of 1 to {NAME_BYTES_MAX} characters")
    return clean
