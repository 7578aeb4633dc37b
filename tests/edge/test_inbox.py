"""The inbox is bounded by bytes: a commit starts when it is full, and its reader knows when to read no further."""

import asyncio

from edge.inbox import MESSAGE_BYTES, Inbox
from edge.message import Message

FOR_EVER_S = 3600.0


def messages(count: int, size: int = 100) -> list[Message]:
    return [Message(f"t/{number}", bytes(size)) for number in range(count)]


def filled(bytes_max: int, *packs: list[Message]) -> Inbox[str, Message]:
    inbox: Inbox[str, Message] = Inbox(bytes_max)
    for pack in packs:
        inbox.put("a connection", pack)
    return inbox


def test_a_commit_waits_no_longer_once_its_bytes_are_there() -> None:
    async def run() -> list[Message]:
        inbox = filled(1000, messages(1, 10))
        taking = asyncio.create_task(inbox.take(4096, FOR_EVER_S))
        await asyncio.sleep(0)
        assert not taking.done(), "it waits for more"
        inbox.put("a connection", messages(1, 1000))
        return (await taking)[1]

    assert len(asyncio.run(run())) == 2


def test_many_small_messages_fill_it_as_well_as_a_few_large_ones() -> None:
    assert not filled(10 * MESSAGE_BYTES, messages(9, 0)).is_full
    assert filled(10 * MESSAGE_BYTES, messages(10, 0)).is_full
    assert filled(10 * MESSAGE_BYTES, messages(1, 10 * MESSAGE_BYTES)).is_full


def test_what_is_taken_makes_room_and_what_is_left_still_counts() -> None:
    async def run() -> None:
        inbox = filled(10 * MESSAGE_BYTES, messages(12, 0))
        await inbox.take(1, 0)
        assert inbox.is_full
        await inbox.take(2, 0)
        assert not inbox.is_full
        inbox.put("a connection", messages(1, 0))
        assert inbox.is_full
        await inbox.take(100, 0)
        assert not inbox.is_full

    asyncio.run(run())


def test_what_another_connection_brought_is_forgotten_with_its_bytes() -> None:
    inbox = filled(10 * MESSAGE_BYTES, messages(10, 0))
    inbox.put("the next one", messages(1, 0))
    assert (len(inbox), inbox.is_full) == (1, False)
