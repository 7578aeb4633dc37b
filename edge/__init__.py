"""The gateway: ingest, store, forward, ledger, outage recorder and the operator's view of them.

Cores are synchronous and take `now_ms`; the shells (`gateway`, `mqtt`, `influx`, `api`) move bytes and
decide nothing.
"""
