"""Equal pictures from equal data, whichever machine and release of the drawing library made them.

matplotlib names the parts within an SVG by hashes of all digits of their numbers. The layout's solver may end one unit
in the last place away from where it ended elsewhere: nothing that is drawn changes (six decimals are written), but
those names do. Here they are numbered in the order in which they come. It stands on the ground floor because the
forecast's and the outages' plots both need it, and the forecast's room may import no other.
"""

import re

SALT = "tidegate"  # matplotlib's `svg.hashsalt`: without one the names are random
_HASHED = re.compile(r'(?<=id=")[a-z][0-9a-f]{10}(?=")')
_REFERRED = re.compile(r'((?:id="|#))([a-z][0-9a-f]{10})(?=["\)])')


def named_in_order(svg: str) -> str:
    """The same picture, its hashed names numbered."""
    names = {name: f"{name[0]}{number}" for number, name in enumerate(dict.fromkeys(_HASHED.findall(svg)))}
    return _REFERRED.sub(lambda found: found[1] + names.get(found[2], found[2]), svg)
