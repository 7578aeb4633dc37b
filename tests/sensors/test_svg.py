"""Names within a picture: equal wherever it was made."""

import re

from sensors.svg import named_in_order

PICTURE = """<svg id="figure_1"><defs><path id="m0123456789" d="M 0 1"/><clipPath id="pfedcba9876"/></defs>
<use xlink:href="#m0123456789"/><g clip-path="url(#pfedcba9876)" id="line2d_1"/>#m0123456789 stays text</svg>"""


def test_pictures_that_differ_in_nothing_but_hashed_names_become_the_same() -> None:
    elsewhere = PICTURE.replace("m0123456789", "m9999999999").replace("pfedcba9876", "p0000000000")
    assert elsewhere != PICTURE
    assert named_in_order(elsewhere).replace("#m9999999999 ", "#m0123456789 ") == named_in_order(PICTURE)


def test_references_follow_and_all_else_stays() -> None:
    named = named_in_order(PICTURE)
    assert named == re.sub("pfedcba9876", "p1", re.sub('m0123456789"', 'm0"', PICTURE))
