"""Being cancelled, also where a library forgets it.

`asyncio.wait_for` of Python 3.11 loses a cancellation that comes in the very moment in which what it waits for is done
(python/cpython#86296, mended in 3.12), and aiomqtt waits by it: a task that publishes in a loop would never end.
"""

import asyncio


def heed_cancellation() -> None:
    """Raise `CancelledError` if this task was asked to end and nobody told it. Call it after such a wait."""
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError
