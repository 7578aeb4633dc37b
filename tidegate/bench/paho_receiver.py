"""What a plain client costs: `python -m tidegate.bench.paho_receiver HOST PORT FILTER COUNT`.

Says when it is subscribed, receives so many messages at QoS 1, and prints the CPU seconds that this took.
"""

import sys

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from tidegate.bench.clocks import own_cpu_s


def receive(host: str, port: int, topics: str, count: int) -> None:
    """Receive `count` messages, then end."""
    client = paho.Client(CallbackAPIVersion.VERSION2, protocol=paho.MQTTv5)
    seen = 0
    began_s = 0.0

    def on_subscribe(*_: object) -> None:
        nonlocal began_s
        began_s = own_cpu_s()
        sys.stdout.write("ready\n")
        sys.stdout.flush()

    def on_message(*_: object) -> None:
        nonlocal seen
        seen += 1
        if seen >= count:
            client.disconnect()

    client.on_subscribe = on_subscribe
    client.on_message = on_message
    client.connect(host, port)
    client.subscribe(topics, 1)
    client.loop_forever()
    sys.stdout.write(f"{own_cpu_s() - began_s}\n")


if __name__ == "__main__":
    receive(sys.argv[1], int(sys.argv[2]), sys.argv[3], int(sys.argv[4]))
