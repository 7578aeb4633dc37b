"""Home Assistant sees the gateway and its devices, by MQTT device discovery, if the operator switches it on.

See docs/home-assistant.md. Source: Home Assistant's MQTT integration, "MQTT discovery", device discovery payload (since
Home Assistant 2024.11).
"""
