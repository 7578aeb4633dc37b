"""What devices measured, for the eye: rollups that stay after their readings were delivered and deleted.

`keep` writes them, `read` answers from the file beside the gateway, `series` makes lines for charts of them, `battery`
says how long a battery will last. None of it is a promise of delivery: the log and the ledger are.
"""
