"""A TCP relay between gateway and cloud that tells when a write's answer passes: the moments to kill the gateway at."""

import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from enum import StrEnum


class Moment(StrEnum):
    """Where in a forward."""

    REQUEST = "inside a request"
    ANSWER = "answer not yet passed on"
    ANSWERED = "answer passed on"


class Relay:
    """`strike(moment, action)` runs `action` once, at the next such moment. Use `close` at the end."""

    def __init__(self, upstream_port: int) -> None:
        self._upstream_port = upstream_port
        self._armed: tuple[Moment, Callable[[], None]] | None = None
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def strike(self, moment: Moment, action: Callable[[], None]) -> None:
        """Arm."""
        with self._lock:
            self._armed = (moment, action)

    def disarm(self) -> None:
        """Forget what was armed."""
        with self._lock:
            self._armed = None

    def close(self) -> None:
        """Take no more connections."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join(10)
        self._listener.close()

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._relay, args=(client,), daemon=True).start()

    def _relay(self, client: socket.socket) -> None:
        with client, suppress(OSError), socket.create_connection(("127.0.0.1", self._upstream_port)) as upstream:
            back = threading.Thread(target=self._answers, args=(upstream, client), daemon=True)
            back.start()
            while data := client.recv(65536):
                upstream.sendall(data)
                self._at(Moment.REQUEST)
            upstream.shutdown(socket.SHUT_WR)
            back.join(10)

    def _answers(self, upstream: socket.socket, client: socket.socket) -> None:
        with suppress(OSError):
            while data := upstream.recv(65536):
                self._at(Moment.ANSWER)
                client.sendall(data)
                self._at(Moment.ANSWERED)

    def _at(self, moment: Moment) -> None:
        with self._lock:
            if self._armed is None or self._armed[0] is not moment:
                return
            action, self._armed = self._armed[1], None
        action()
