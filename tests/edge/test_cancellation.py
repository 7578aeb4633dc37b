"""A cancellation that comes in the moment in which a wait is over is heeded all the same."""

import asyncio

from edge.cancellation import heed_cancellation


def test_a_cancellation_that_a_wait_lost_is_heeded() -> None:
    went_on: list[str] = []

    async def wait_and_go_on(done: asyncio.Event) -> None:
        await asyncio.wait_for(done.wait(), 60)
        heed_cancellation()
        went_on.append("as if nothing had been asked")

    async def race() -> bool:
        done = asyncio.Event()
        task = asyncio.create_task(wait_and_go_on(done))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        done.set()
        await asyncio.sleep(0)  # what is waited for is done, and the waiting task does not know it yet
        task.cancel()
        await asyncio.wait([task])
        return task.cancelled()

    assert asyncio.run(race())
    assert went_on == []


def test_nobody_is_cancelled_who_was_not_asked_to_end() -> None:
    async def alone() -> str:
        heed_cancellation()
        return "done"

    assert asyncio.run(alone()) == "done"
