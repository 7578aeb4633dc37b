"""The gateway's SQLite file: an append-only log of readings, cursors of its readers, ledger and quarantine."""

from edge.store.errors import StoreCorrupt, StoreError, StoreFailed, StoreFull, StoreLocked, StoreUnusable
from edge.store.rows import LogEntry
from edge.store.salvage import Salvage
from edge.store.schema import StoreTooNew
from edge.store.store import Store, StoreCare

__all__ = [
    "LogEntry",
    "Salvage",
    "Store",
    "StoreCare",
    "StoreCorrupt",
    "StoreError",
    "StoreFailed",
    "StoreFull",
    "StoreLocked",
    "StoreTooNew",
    "StoreUnusable",
]
