"""What the front's process does once it has its pipe and the gateway's listening socket."""

import asyncio
import pickle
import socket

from edge.certificate_watch import CertificateWatch
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
