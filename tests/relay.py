"""A TCP relay between a gateway and its cloud, for tests that need to be there when an answer passes.

A subclass says what happens at a request (`requested`) and to an answer (`answered`). Threads, so that it also stands
between real processes.
"""

import socket
import threading
from contextlib import suppress

JOIN_S = 10
READ_BYTES = 65_536


class Relay:
    """Listens on `port` from the start. Use `close` at the end."""

    def __init__(self, upstream_port: int) -> None:
        self._upstream_port = upstream_port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Take no more connections."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join(JOIN_S)
        self._listener.close()

    def requested(self) -> None:
        """A piece of a request has been passed on."""

    def answered(self, client: socket.socket, answer: bytes) -> bool:
        """Pass a piece of an answer on; False ends the connection."""
        client.sendall(answer)
        return True

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._relay, args=(client,), daemon=True).start()

    def _relay(self, client: socket.socket) -> None:
        with client, suppress(OSError), socket.create_connection(("127.0.0.1", self._upstream_port)) as upstream:
            requests = threading.Thread(target=self._requests, args=(client, upstream), daemon=True)
            requests.start()
            with suppress(OSError):
                while (answer := upstream.recv(READ_BYTES)) and self.answered(client, answer):
                    pass
            client.shutdown(socket.SHUT_RD)
            requests.join(JOIN_S)

    def _requests(self, client: socket.socket, upstream: socket.socket) -> None:
        with suppress(OSError):
            while data := client.recv(READ_BYTES):
                upstream.sendall(data)
                self.requested()
        with suppress(OSError):
            upstream.shutdown(socket.SHUT_WR)
