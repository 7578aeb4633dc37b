"""What can go wrong with the store, as classes that say who must act.

StoreError
+-- StoreLocked       another gateway holds the file: stop that one
+-- StoreUnusable     the path is no directory, not writable, or not a database: mend the path
+-- StoreFull         no space or the size limit is reached: the gateway stops acknowledging until there is room
+-- StoreFailed       the disk refused to read or write: reopen, and look at the disk
    +-- StoreCorrupt  the file makes no sense any more: reopen, which salvages it
"""


class StoreError(Exception):
    """The base of every error of the store; nothing was committed when one is raised."""


class StoreLocked(StoreError):
    """Another process has the store open."""

    def __init__(self, path: str) -> None:
        super().__init__(f"{path} is in use by another gateway: stop that one, or give this one its own data_dir")
        self.path = path


class StoreUnusable(StoreError):
    """The store cannot be opened where the configuration says."""

    def __init__(self, path: str, why: str) -> None:
        super().__init__(f"cannot open the store {path}: {why}")
        self.path = path
        self.why = why


class StoreFull(StoreError):
    """The disk, or the limit set for the store, is full. Nothing of the transaction was kept."""


class StoreFailed(StoreError):
    """SQLite could not carry out the transaction (I/O error, read-only volume, corruption)."""


class StoreCorrupt(StoreFailed):
    """The content of the file is damaged. `Store.reopen` sets it aside and goes on with what can be read."""
