"""The front: the HTTP side of the gateway, in a process of its own beside the one that takes readings in.

`process` starts it and keeps it running, `__main__` is it, `serve` is what it serves; `frames` is what the two say to
each other over one socket pair, `answering` the gateway's end of it and `pipe` the front's. `back` is the gateway as
the front sees it, in the same process or through the pipe.

Promises: whatever HTTP costs (TLS, parsing, passwords, JSON, compression, sorting 10,000 devices, a week of history) is
paid outside the process that takes readings in; a front that ends, for whatever reason, is started anew and takes
nothing with it, and one whose gateway is gone ends; at most `ASKS_MAX` of its questions stand before the store's
thread at once, so that a commit never waits behind more.
"""
