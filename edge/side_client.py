"""A second connection to the gateway's broker, beside the one that carries readings: for looking, and for telling.

aiomqtt (paho underneath) is good here and not on the way of a reading, see docs/decisions/0001-mqtt-client.md: whoever
uses this acknowledges nothing that has to be stored, and its session ends with it.
"""

from typing import Any

import aiomqtt

from edge.config import MqttSettings, MqttVersion

_VERSIONS = {MqttVersion.V5: aiomqtt.ProtocolVersion.V5, MqttVersion.V311: aiomqtt.ProtocolVersion.V311}


def side_client(settings: MqttSettings, identifier: str, **more: Any) -> aiomqtt.Client:
    """A client that is not connected yet. `more`: what else `aiomqtt.Client` takes. Raises `OSError` for files that
    cannot be read."""
    return aiomqtt.Client(
        settings.host,
        settings.port,
        identifier=identifier,
        protocol=_VERSIONS[settings.protocol],
        username=settings.username,
        password=settings.read_password(),
        tls_context=settings.tls.context() if settings.tls is not None else None,
        timeout=settings.connect_timeout_s,
        **more,
    )
