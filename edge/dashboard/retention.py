"""What may stay in the store, and for how long, as the Store page shows it. Pure."""

from edge.dashboard.documents import Retention
from edge.desk_rules import DeskRules


def retention(rules: DeskRules) -> Retention:
    """What a desk's rules say."""
    budget, quarantine = rules.budget, rules.quarantine
    return Retention(
        disk_bytes_max=budget.disk_bytes_max,
        free_bytes_min=budget.free_bytes_min,
        age_s_max=None if budget.age_ms_max is None else budget.age_ms_max // 1000,
        on_full=budget.on_full,
        keep_sent_s=rules.keep_sent_ms // 1000,
        quarantine_bytes_max=quarantine.bytes_max,
        quarantine_rows_max=quarantine.rows_max,
    )
