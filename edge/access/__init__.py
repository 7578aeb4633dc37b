"""Who may do what at the gateway's HTTP side: accounts, sessions, tokens, and the check of every request.

For routes: `requires(Role.OPERATOR)`. `roles`, `passwords`, `records`, `lockout` and `desk` are core; `requires`,
`gate` and `service` are the shell. Each is imported by its own name: the configuration and the command line, which need
only the core, so start without a web framework.
"""
