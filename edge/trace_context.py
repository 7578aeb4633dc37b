"""W3C Trace Context (https://www.w3.org/TR/trace-context/): the header `traceparent`, read and written. Values only.

Promises: what is not exactly a traceparent of version 00 (or of a later one that begins like it) is None, never an
error: tracing must not cost a request.
"""

import re
from typing import NamedTuple

_HEADER = re.compile(r"(?P<version>[0-9a-f]{2})-(?P<trace>[0-9a-f]{32})-(?P<parent>[0-9a-f]{16})-(?P<flags>[0-9a-f]{2})"
                     r"(?P<more>-.*)?")  # fmt: skip
_NO_TRACE, _NO_SPAN = "0" * 32, "0" * 16
_SAMPLED = 1
HEADER_CHARS_MAX = 512  # of a later version's; ours has 55


class TraceParent(NamedTuple):
    """A place in a trace; hex, lower case. `sampled`: the caller keeps this trace."""

    trace_id: str
    span_id: str
    sampled: bool = False

    def header(self) -> str:
        """As a header says it."""
        return f"00-{self.trace_id}-{self.span_id}-{int(self.sampled):02x}"


def parse_traceparent(header: str | None) -> TraceParent | None:
    """What a caller sent; None for nothing, and for what is none."""
    if header is None or len(header) > HEADER_CHARS_MAX:
        return None
    found = _HEADER.fullmatch(header.strip())
    if found is None or found["version"] == "ff" or (found["version"] == "00" and found["more"]):
        return None
    if found["trace"] == _NO_TRACE or found["parent"] == _NO_SPAN:
        return None
    return TraceParent(found["trace"], found["parent"], bool(int(found["flags"], 16) & _SAMPLED))
