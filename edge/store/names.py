"""Names under which the store keeps positions, sets and counts: for those that write them, and for salvage."""

HEAD_CURSOR = "log/head"
"""The cursor that says which ids were given out when the newest row was deleted, so that the log does not start over;
as long as that row is there, it says so itself. See `Store.head`."""
RECEIVED_CURSOR = "ledger/received"
"""The cursor that says which ids the written ledger's received entries cover."""
WINDOWS_CURSOR = "windows/log"
"""The cursor that says how far the log is in windows; rows above it are not deleted."""
RULES_CURSOR = "rules/log"
"""The cursor that says how far alert rules have looked at the log; there is none while no rules are configured."""

_LOG_CURSORS = frozenset({HEAD_CURSOR, RECEIVED_CURSOR, WINDOWS_CURSOR, RULES_CURSOR, "clock/hold", "clock/run"})
_LOG_CURSORS_OF_DESTINATIONS = ("destination/", "forward/", "live/", "sieve/")

RECEIVED = "received"
QUARANTINED = "quarantined"
DUPLICATES = "duplicates"
UNDECODABLE = "undecodable"
LOST = "lost"
DELIVERED = "delivered"
NOT_ROLLED_UP = "not_rolled_up"
EXPIRED = "expired"
THINNED = "thinned"
SUPPRESSED = "suppressed"
BEFORE = "before"
FIRST_DESTINATION = "influx"
"""Whose entries have no destination in their names: that of a store that was made when there was only one."""
SALVAGES = "salvages"
ALERTS_RAISED = "alerts_raised"

SETTLED = frozenset({QUARANTINED, EXPIRED, THINNED, SUPPRESSED, BEFORE})
"""Kinds of entries that are neither delivered nor held: received, and never to go to that destination."""

LOST_IN_STORE = f"{LOST}/store"
"""The ledger's entry of seqs that were received, and that a damaged store no longer had when it was salvaged."""


def entry_of(entry: str, destination: str) -> str:
    """The name of what became of readings on their way to one destination: `expired/size`, `expired@archive/size`."""
    if destination == FIRST_DESTINATION:
        return entry
    kind, slash, reason = entry.partition("/")
    return f"{kind}@{destination}{slash}{reason}"


def split_entry(entry: str) -> tuple[str, str]:
    """What `entry_of` put together: (entry, destination)."""
    head, slash, reason = entry.partition("/")
    kind, _, destination = head.partition("@")
    return f"{kind}{slash}{reason}", destination or FIRST_DESTINATION


def is_settled(entry: str) -> bool:
    """Whether readings of this entry will never go to its destination."""
    return entry.split("/")[0].split("@")[0] in SETTLED


def registered_cursor(destination: str) -> str:
    """The cursor that says that a destination is known, and behind which id it started."""
    return f"destination/{destination}"


def forward_cursor(destination: str) -> str:
    """The cursor by which an older store knows a destination; how far it has got is in `done_ranges`."""
    return f"forward/{destination}"


def done_ranges(destination: str, source: str = "readings") -> str:
    """The name of the set of ids that a destination is done with: accepted by it, in quarantine, or dropped."""
    return f"forward/{destination}/{source}"


def is_of_log(cursor: str) -> bool:
    """Whether a cursor's position is an id of the log of readings: given out, or the next one, or 0."""
    return cursor in _LOG_CURSORS or cursor.startswith(_LOG_CURSORS_OF_DESTINATIONS)


def covered_ranges(destination: str) -> str:
    """The name of the set of ids, of those that the destination is done with, that the written ledger covers."""
    return f"ledger/delivered/{destination}"
