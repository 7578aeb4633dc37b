"""Alerts: rules over the log of readings, what devices say of themselves, and the gateway's own troubles."""
