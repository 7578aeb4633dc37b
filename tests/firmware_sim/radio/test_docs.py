"""The examples of the page on radio models run and print what they say."""

import re
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[3] / "docs" / "models-radio.md"
EXAMPLES = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)


@pytest.mark.parametrize("code", EXAMPLES)
def test_an_example_prints_what_its_comments_say(code: str, capsys: pytest.CaptureFixture[str]) -> None:
    exec(compile(code, str(PAGE), "exec"), {})
    promised = re.findall(r"^print\(.*\)  # (.*)$", code, re.MULTILINE)
    printed = capsys.readouterr().out.splitlines()
    assert len(promised) == len(printed) > 0
    assert all(promise.startswith(line) for promise, line in zip(promised, printed, strict=True))
