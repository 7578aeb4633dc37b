"""The gateway's MQTT client: it acknowledges only when it is told to. See docs/decisions/0001-mqtt-client.md."""

from edge.mqtt.connection import ConnectionLost, MqttConnection, connect

__all__ = ["ConnectionLost", "MqttConnection", "connect"]
