"""Commands to devices: they wait durably until the device is heard, and are sent until it says what became of them.

`states` is the table of their states, `book` keeps them in the store, `desk` is what ingest and the shells talk to.
"""
