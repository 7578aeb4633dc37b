"""Who may do what at the gateway's HTTP side: accounts, sessions, tokens, and the check of every request.

For routes: `requires(Role.OPERATOR)`. `roles`, `passwords`, `records`, `lockout` and `desk` are core; `requires`,
`gate` and `service` are the shell.
"""

from edge.access.requires import principal_of, requires
from edge.access.roles import Kind, Principal, Role, Scope

__all__ = ["Kind", "Principal", "Role", "Scope", "principal_of", "requires"]
