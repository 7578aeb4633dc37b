"""Home Assistant's view over a real broker: configurations, values as they change, and `offline` at the end."""

import json
from pathlib import Path
from queue import Empty, Queue
from typing import Any

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from edge.config import ApiSettings, EdgeConfig, InfluxSettings, MqttSettings, StoreSettings
from edge.home_assistant.settings import HomeAssistantSettings
from sensors.clock import SystemClock
from sensors.reading import Reading, Value
from tests.e2e.dashboard.stage import READY_S, Devices, RunningGateway
from tests.live.mosquitto import free_port, running_mosquitto

pytestmark = [pytest.mark.live]


class Listener:
    """Hears what Home Assistant would."""

    def __init__(self, port: int) -> None:
        self._heard: Queue[tuple[str, bytes]] = Queue()
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5)
        self._client.on_message = lambda _client, _data, message: self._heard.put(
            (message.topic, bytes(message.payload))
        )
        self._client.connect("127.0.0.1", port)
        self._client.subscribe([("homeassistant/#", 1), ("tidegate-ha/#", 1)])
        self._client.loop_start()

    def until(self, topic_end: str, wanted: bytes = b"") -> bytes:
        """The payload of the first message from now on whose topic ends so, and which holds this."""
        while True:
            try:
                topic, payload = self._heard.get(timeout=READY_S)
            except Empty:
                pytest.fail(f"nothing on {topic_end} with {wanted!r}")
            if topic.endswith(topic_end) and wanted in payload:
                return payload

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


def test_home_assistant_is_told_of_gateway_and_devices_and_of_the_end(tmp_path: Path) -> None:
    with running_mosquitto(tmp_path / "broker") as broker:
        port = broker.port
        config = EdgeConfig(
            mqtt=MqttSettings(port=port),
            store=StoreSettings(data_dir=tmp_path / "store"),
            influx=InfluxSettings(url=f"http://127.0.0.1:{free_port()}"),
            api=ApiSettings(port=0, own_process=False),
            home_assistant=HomeAssistantSettings(enabled=True, publish_every_s=1),
        )
        gateway, listener, devices = RunningGateway(config), Listener(port), Devices(port)
        gateway.start()
        try:
            assert listener.until("/availability") == b"online"
            about: dict[str, Any] = json.loads(listener.until("/tidegate-gateway/config"))
            assert about["cmps"]["uplink"]["device_class"] == "connectivity"
            devices.publish("hall", [Reading("pump", 1, 0, SystemClock().wall_ms(), (Value("level", 3.5, "m"),))])
            assert json.loads(listener.until("/config", b'"name":"pump"'))["cmps"]["level_m"]["p"] == "sensor"
            assert json.loads(listener.until("", b"level_m")) == {"level_m": 3.5}
            assert json.loads(listener.until("/gateway", b'"backlog":1'))["uplink"] == "OFF"
        finally:
            gateway.stop()
            devices.close()
        assert listener.until("/availability") == b"offline"
        listener.close()
