"""A relay that tells when a write's answer passes: the moments to kill the gateway at."""

import socket
import threading
from collections.abc import Callable
from enum import StrEnum

from tests.relay import Relay


class Moment(StrEnum):
    """Where in a forward."""

    REQUEST = "inside a request"
    ANSWER = "answer not yet passed on"
    ANSWERED = "answer passed on"


class StrikingRelay(Relay):
    """`strike(moment, action)` runs `action` once, at the next such moment."""

    def __init__(self, upstream_port: int) -> None:
        self._armed: tuple[Moment, Callable[[], None]] | None = None
        self._lock = threading.Lock()
        super().__init__(upstream_port)

    def strike(self, moment: Moment, action: Callable[[], None]) -> None:
        """Arm."""
        with self._lock:
            self._armed = (moment, action)

    def disarm(self) -> None:
        """Forget what was armed."""
        with self._lock:
            self._armed = None

    def requested(self) -> None:
        self._at(Moment.REQUEST)

    def answered(self, client: socket.socket, answer: bytes) -> bool:
        self._at(Moment.ANSWER)
        client.sendall(answer)
        self._at(Moment.ANSWERED)
        return True

    def _at(self, moment: Moment) -> None:
        with self._lock:
            if self._armed is None or self._armed[0] is not moment:
                return
            action, self._armed = self._armed[1], None
        action()
