"""The gateway's MQTT client: it acknowledges only when it is told to. See docs/decisions/0001-mqtt-client.md."""

from edge.mqtt.connection import ConnectionLost, MqttConnection, connect
from edge.mqtt.framing import Received

__all__ = ["ConnectionLost", "MqttConnection", "Received", "connect"]
