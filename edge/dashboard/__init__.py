"""The edge dashboard: what an operator in front of the cabinet sees. Reads only; decides nothing.

`verdict`, `history`, `directory` and `metrics` are core; `service`, `routes` and `web` are the shell that serves them.
"""

from edge.dashboard.service import Dashboard

__all__ = ["Dashboard"]
