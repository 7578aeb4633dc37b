"""Names under which the store keeps positions, sets and counts: for those that write them, and for salvage."""

HEAD_CURSOR = "log/head"
"""The cursor that holds the highest id ever given out, so that an emptied log does not start over."""
RECEIVED_CURSOR = "ledger/received"
"""The cursor that says which ids the written ledger's received entries cover."""
WINDOWS_CURSOR = "windows/log"
"""The cursor that says how far the log is in windows; rows above it are not deleted."""
RULES_CURSOR = "rules/log"
"""The cursor that says how far alert rules have looked at the log; there is none while no rules are configured."""

RECEIVED = "received"
QUARANTINED = "quarantined"
DUPLICATES = "duplicates"
UNDECODABLE = "undecodable"
LOST = "lost"
DELIVERED = "delivered"
NOT_ROLLED_UP = "not_rolled_up"
EXPIRED = "expired"
THINNED = "thinned"
SALVAGES = "salvages"
ALERTS_RAISED = "alerts_raised"

LOST_IN_STORE = f"{LOST}/store"
"""The ledger's entry of seqs that were received, and that a damaged store no longer had when it was salvaged."""


def forward_cursor(destination: str) -> str:
    """The name of the cursor that says up to where a destination has the log without a gap."""
    return f"forward/{destination}"


def done_ranges(destination: str, source: str = "readings") -> str:
    """The name of the set of ids that a destination is done with: accepted by it, in quarantine, or dropped."""
    return f"forward/{destination}/{source}"


def covered_ranges(destination: str) -> str:
    """The name of the set of ids, of those that the destination is done with, that the written ledger covers."""
    return f"ledger/delivered/{destination}"
