"""The site and the test of docs/test-your-outages.md: red as they stand on the page, green as it says to mend them."""

import re
from pathlib import Path

import pytest

import tidegate.testing.under  # noqa: F401  # before pytester looks: numpy can be loaded only once in a process

pytest_plugins = ["pytester"]

PAGE = (Path(__file__).parents[3] / "docs" / "test-your-outages.md").read_text(encoding="utf-8")
LINE_CHARS_MAX = 250
LONG = """{"format":"tidegate-outage","version":1,"links":[{"name":"uplink","kind":"uplink"}]}
{"event":"transition","at_us":0,"link":"uplink","status":"up"}
{"event":"transition","at_us":60000000,"link":"uplink","status":"down","cause":"timeout"}
{"event":"transition","at_us":240000000,"link":"uplink","status":"up"}
{"event":"end","at_us":300000000}
"""


@pytest.mark.no_cover  # two replays of five minutes, which meet no line that the plugin's own tests do not meet
def test_the_pages_test_is_red_and_then_green(pytester: pytest.Pytester) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    (site,) = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
    pytester.makepyfile(code)
    (pytester.path / "long.outage.jsonl").write_text(LONG)
    (pytester.path / "site.toml").write_text(site)
    red = pytester.runpytest_inprocess("-p", "no:cacheprovider")
    red.assert_outcomes(failed=1)
    red.stdout.fnmatch_lines(["*assert gateway_under.verdict.dropped == 0", "*- outage -*", "*dropped by policy"])
    assert max(map(len, red.outlines)) < LINE_CHARS_MAX, "a line that nobody reads"
    (pytester.path / "site.toml").write_text(site.replace("age_s_max = 60\n", ""))
    pytester.runpytest_inprocess("-p", "no:cacheprovider").assert_outcomes(passed=1)
