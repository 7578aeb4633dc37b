"""The front's process: `python -m edge.front PIPE_FD`, started by `edge.front.process` and by nobody else.

It ends when its pipe does; signals are the gateway's business, which ends it.
"""

import asyncio
import pickle
import signal
import socket
import sys

from edge.certificate_watch import CertificateWatch
from edge.front.frames import AWAKE
from edge.front.logs import ship_logs
from edge.front.pipe import PipedBack, read_frame
from edge.front.serve import serve_beside
from edge.front.settings import FrontSettings
from sensors.clock import SystemClock


async def front(server_socket: socket.socket, pipe: socket.socket) -> None:
    """Serve until the pipe ends."""
    reader, writer = await asyncio.open_connection(sock=pipe)
    first = await read_frame(reader)
    if first is None:
        return
    settings: FrontSettings = pickle.loads(first)  # noqa: S301  # from the process that started this one
    back = PipedBack(reader, writer)
    ship_logs(back.tell)
    clock = SystemClock()
    certificates = CertificateWatch(settings.api.tls, None, clock)
    piping = asyncio.create_task(back.run())
    serving = asyncio.create_task(serve_beside(settings, server_socket, back, certificates, clock))
    await asyncio.wait({piping, serving}, return_when=asyncio.FIRST_COMPLETED)
    serving.cancel()
    await asyncio.wait({serving})
    if not serving.cancelled():
        serving.result()


def main() -> None:
    """Run it."""
    for each in (signal.SIGINT, signal.SIGTERM):  # the gateway is told, too, and closes the pipe when it has ended
        signal.signal(each, signal.SIG_IGN)
    pipe = socket.socket(fileno=int(sys.argv[1]))
    try:
        pipe.sendall(AWAKE)
        _, handed, _, _ = socket.recv_fds(pipe, len(AWAKE), 1)
    except ConnectionError:
        return
    for number in handed:
        asyncio.run(front(socket.socket(fileno=number), pipe))


if __name__ == "__main__":
    main()
