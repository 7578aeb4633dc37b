"""An HTTP connection pool that cannot be held or flooded by the far side.

Promises, for every request: redirects are not followed (a captive portal must not get the token); at most
`ANSWER_BYTES_MAX` of an answer is read, undecoded, whatever its size or compression; `abort` ends whatever is under way
from another thread, so that a peer that sends one byte a second costs one time-out.
"""

import socket
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from edge.tcp_info import data_segments

ANSWER_BYTES_MAX = 64 * 1024  # InfluxDB's errors are a few hundred bytes


class BoundedPoolManager(urllib3.PoolManager):
    """A `urllib3.PoolManager` with those limits; for one request at a time."""

    def __init__(self, **pool_arguments: Any) -> None:
        super().__init__(retries=False, maxsize=1, num_pools=1, **pool_arguments)
        self._sockets: list[socket.socket] = []
        self._counted: tuple[socket.socket | None, int, int] = (None, 0, 0)
        http, https = _pool_classes(self._sockets.append)
        self.pool_classes_by_scheme = {"http": http, "https": https}

    def urlopen(  # type: ignore[override]  # as urllib3's own PoolManager does
        self, method: str, url: str, redirect: bool = True, **kw: Any
    ) -> urllib3.HTTPResponse:
        """Carry out one request; `redirect` and `preload_content` are what this class decides."""
        del redirect
        kw.update(preload_content=False, decode_content=False)
        answer = super().urlopen(method, url, redirect=False, **kw)
        body = answer.read(ANSWER_BYTES_MAX, decode_content=False)
        if answer.read(1, decode_content=False):
            answer.close()  # the rest is not wanted: the connection cannot be used again
        else:
            answer.release_conn()
        self._sockets[:] = self._sockets[-1:]
        return urllib3.HTTPResponse(
            body=body,
            headers=answer.headers,
            status=answer.status,
            reason=answer.reason,
            preload_content=True,
            decode_content=False,
        )

    def segments(self) -> tuple[int, int]:
        """TCP data segments sent on the open connection since the last call, and how many of them again."""
        last = self._sockets[-1] if self._sockets else None
        sent, again = data_segments(last) if last is not None else (0, 0)
        counted, self._counted = self._counted, (last, sent, again)
        return (sent - counted[1], again - counted[2]) if counted[0] is last else (sent, again)

    def abort(self) -> None:
        """End what is under way; the request raises. May be called from another thread."""
        for open_socket in self._sockets:
            with suppress(OSError):
                open_socket.shutdown(socket.SHUT_RDWR)


def _pool_classes(
    opened: Callable[[socket.socket], None],
) -> tuple[type[HTTPConnectionPool], type[HTTPSConnectionPool]]:
    """Pools whose connections report their sockets to `opened`."""

    class Http(HTTPConnection):
        def connect(self) -> None:
            super().connect()
            opened(self.sock)

    class Https(HTTPSConnection):
        def connect(self) -> None:
            super().connect()
            opened(self.sock)

    class HttpPool(HTTPConnectionPool):
        ConnectionCls = Http

    class HttpsPool(HTTPSConnectionPool):
        ConnectionCls = Https

    return HttpPool, HttpsPool
