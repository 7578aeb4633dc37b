"""What Home Assistant is told: a configuration for each device, and its values as one flat document.

Promises: a device's configuration is made anew only when it has a value that it had not before; a name from outside
never becomes part of a topic or of a template as it is; at most `devices_max` devices are told of. Sans-IO.
"""

import json
import re
from collections.abc import Iterable, Mapping
from hashlib import blake2b
from typing import Any, NamedTuple

from edge.home_assistant.settings import HomeAssistantSettings
from edge.home_assistant.units import DIAGNOSTIC, device_class, state_class, unit_of
from edge.status import GatewayStatus
from sensors.reading import Value, column

TEXT_CHARS_MAX = 255  # of a state in Home Assistant; a longer one is refused there
_ID_CHARS_MAX = 40
_HASH_BYTES = 4  # names are told apart by their plain part already, almost always

_GATEWAY_PARTS: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("backlog", "Backlog", {"p": "sensor", "unit_of_measurement": "readings", "state_class": "measurement"}),
    (
        "oldest_unsent",
        "Oldest unsent",
        {"p": "sensor", "unit_of_measurement": "s", "device_class": "duration", "state_class": "measurement"},
    ),
    ("received_per_s", "Received", {"p": "sensor", "unit_of_measurement": "1/s", "state_class": "measurement"}),
    ("devices", "Devices", {"p": "sensor", "state_class": "measurement"}),
    ("uplink", "Uplink", {"p": "binary_sensor", "device_class": "connectivity"}),
    ("ledger", "Ledger", {"p": "binary_sensor", "device_class": "problem"}),
    ("store", "Store", {"p": "binary_sensor", "device_class": "problem"}),
)


class Message(NamedTuple):
    """One message to publish, retained, at QoS 1."""

    topic: str
    payload: bytes


class Discovery:
    """What was told of whom, and what to tell next."""

    def __init__(self, settings: HomeAssistantSettings, gateway: str, version: str) -> None:
        self._settings = settings
        self._gateway = gateway
        self._version = version
        self._id = object_id(gateway)
        self._columns: dict[tuple[str, str], frozenset[str]] = {}
        self._gateway_told = False
        self.beyond = 0

    @property
    def availability_topic(self) -> str:
        """Where `online` or `offline` is said of the gateway, and with it of every device."""
        return f"{self._settings.state_prefix}/{self._id}/availability"

    def forget(self) -> None:
        """A new connection: everything is to be told again."""
        self._columns.clear()
        self._gateway_told = False
        self.beyond = 0

    def gateway(self, status: GatewayStatus) -> list[Message]:
        """The gateway itself."""
        topic = f"{self._settings.state_prefix}/{self._id}/gateway"
        messages: list[Message] = []
        if not self._gateway_told:
            parts = {
                key: {
                    **part,
                    "name": name,
                    "unique_id": f"{self._id}_{key}",
                    "value_template": f"{{{{ value_json.{key} }}}}",
                }
                for key, name, part in _GATEWAY_PARTS
            }
            messages.append(self._config(self._id, {"name": self._gateway, "mdl": "Edge gateway"}, topic, parts))
            self._gateway_told = True
        oldest_ms = status.forward.oldest_unsent_ms
        state = {
            "backlog": status.forward.backlog,
            "oldest_unsent": 0 if oldest_ms is None else oldest_ms // 1000,
            "received_per_s": round(status.forward.received_per_s, 1),
            "devices": status.devices,
            "uplink": _on(status.uplink.state == "up"),
            "ledger": _on(not status.ledger.balances),
            "store": _on(not status.store.healthy),
        }
        return [*messages, Message(topic, _json(state))]

    def device(self, site: str, device: str, values: Iterable[Value]) -> list[Message]:
        """One device's latest values; nothing for one beyond `devices_max`."""
        who = (site, device)
        if who not in self._columns and len(self._columns) >= self._settings.devices_max:
            self.beyond += 1
            return []
        named = {column(value): value for value in values}
        if not named:
            return []
        device_id = object_id(f"{site}/{device}", self._gateway)
        topic = f"{self._settings.state_prefix}/{self._id}/device/{device_id}"
        messages: list[Message] = []
        told = self._columns.get(who, frozenset())
        if not told.issuperset(named):
            self._columns[who] = told | set(named)
            parts = {object_id(name): self._part(device_id, name, value) for name, value in named.items()}
            about = {"name": device, "mdl": "Device", "sa": site, "via_device": self._id}
            messages.append(self._config(device_id, about, topic, parts))
        state = {object_id(name): _state(value.value) for name, value in named.items()}
        return [*messages, Message(topic, _json(state))]

    def _part(self, device_id: str, name: str, value: Value) -> dict[str, Any]:
        key = object_id(name)
        part: dict[str, Any] = {
            "name": value.name.replace("_", " "),
            "unique_id": f"{device_id}_{key}",
            "value_template": f"{{{{ value_json['{key}'] }}}}",
        }
        if self._settings.expire_after_s is not None:
            part["expire_after"] = self._settings.expire_after_s
        if isinstance(value.value, bool):
            return {"p": "binary_sensor", **part}
        if isinstance(value.value, str):
            return {"p": "sensor", **part}
        kind = device_class(value.name, value.unit)
        said = {
            "unit_of_measurement": unit_of(value.unit),
            "device_class": kind,
            "state_class": state_class(value.unit, kind),
            "entity_category": "diagnostic" if kind in DIAGNOSTIC else None,
        }
        return {"p": "sensor", **part, **{name: word for name, word in said.items() if word is not None}}

    def _config(self, device_id: str, about: Mapping[str, str], state_topic: str, parts: Mapping[str, Any]) -> Message:
        document = {
            "dev": {"ids": [device_id], "mf": "Tidegate", **about},
            "o": {"name": "Tidegate", "sw": self._version},
            "cmps": dict(parts),
            "state_topic": state_topic,
            "availability_topic": self.availability_topic,
            "qos": 1,
        }
        return Message(f"{self._settings.discovery_prefix}/device/{device_id}/config", _json(document))


def object_id(name: str, *more: str) -> str:
    """A name as Home Assistant allows it in topics and ids (`[A-Za-z0-9_-]`), and different for different names."""
    plain = re.sub(r"[^A-Za-z0-9_-]+", "_", name)[:_ID_CHARS_MAX].strip("_")
    if plain == name and not more:
        return plain
    digest = blake2b("\0".join((name, *more)).encode("utf-8", "surrogatepass"), digest_size=_HASH_BYTES)
    return f"{plain}_{digest.hexdigest()}" if plain else digest.hexdigest()


def _state(content: float | bool | str) -> float | str:
    if isinstance(content, bool):
        return _on(content)
    return content[:TEXT_CHARS_MAX] if isinstance(content, str) else content


def _on(is_on: bool) -> str:
    return "ON" if is_on else "OFF"


def _json(document: Mapping[str, Any]) -> bytes:
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")
