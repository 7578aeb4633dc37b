"""The front's process: `python -m edge.front PIPE_FD`, started by `edge.front.process` and by nobody else.

It ends when its pipe does; signals are the gateway's business, which ends it.
"""

import asyncio
import signal
import socket
import sys

from edge.front.frames import AWAKE
from sensors.imports import hidden, uncollected

with uncollected():
    with hidden("rich"):  # what it would draw, tracebacks in colour, is no line of a log
        import structlog  # noqa: F401
    from edge.front.child import front


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
