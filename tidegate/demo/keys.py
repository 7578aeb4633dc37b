"""Single keys from the terminal, without Enter; the terminal is given back as it was, however the demo ends."""

import asyncio
import os
import sys
import termios
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def listening(pressed: Callable[[str], None]) -> Iterator[None]:
    """Call `pressed` in the event loop for every key. Does nothing where standard input is no terminal."""
    if not sys.stdin.isatty():
        yield
        return
    descriptor = sys.stdin.fileno()
    before = termios.tcgetattr(descriptor)
    loop = asyncio.get_running_loop()

    def read() -> None:
        for char in os.read(descriptor, 64).decode(errors="ignore"):
            pressed(char)

    tty.setcbreak(descriptor)
    loop.add_reader(descriptor, read)
    try:
        yield
    finally:
        loop.remove_reader(descriptor)
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)
