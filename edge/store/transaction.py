"""One transaction of the store, as a block: committed at its end, rolled back if it raises. See `Store.transaction`.

Promises: an error of SQLite leaves the block as the `StoreError` that it means, any other error as itself.
"""

import sqlite3
from types import TracebackType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edge.store.store import Store


class Transaction:
    """See `Store.transaction`. A class, because it is entered several times for each reading of a quiet site."""

    __slots__ = ("_before", "_leaves_waiting", "_store")

    def __init__(self, store: "Store", *, leaves_waiting: bool) -> None:
        self._store = store
        self._leaves_waiting = leaves_waiting

    def __enter__(self) -> None:
        self._before = self._store.begin()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        store, before = self._store, self._before
        try:
            if error is None:
                store.commit(leaves_waiting=self._leaves_waiting)
                return
        except BaseException as failure:
            store.roll_back(*before)
            if isinstance(failure, sqlite3.Error):
                raise store.named(failure) from failure
            raise
        store.roll_back(*before)
        if isinstance(error, sqlite3.Error):
            raise store.named(error) from error
