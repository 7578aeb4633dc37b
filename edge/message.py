"""One MQTT message on its way from the connection to the log."""

import msgspec


class Message(msgspec.Struct, frozen=True, gc=False):
    """One MQTT message. `packet_id` is None at QoS 0; `topic` is bytes where it was not UTF-8.

    `redelivered`: the broker sent it before, under the same packet id, and got no PUBACK (MQTT 5, section 4.4).
    A struct, because there is one for every message: it is made in a quarter of a named tuple's time.
    """

    topic: str | bytes
    payload: bytes
    retained: bool = False
    packet_id: int | None = None
    redelivered: bool = False
