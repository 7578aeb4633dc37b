"""Tables on a terminal, in a pipe, and in as many columns as the environment says: nothing is cut."""

import pytest

from tidegate.console import make_table, stdout_console

NAME = "office/climate-sensor-of-the-meeting-room-on-the-second-floor-beside-the-stairs"
CAUSE = "expected a certificate of the broker's authority, found one that nobody has signed"


def _printed(capsys: pytest.CaptureFixture[str]) -> list[str]:
    table = make_table("device", "cause", title="Links")
    table.add_row(NAME, CAUSE)
    stdout_console().print(table)
    return capsys.readouterr().out.splitlines()


def test_in_a_pipe_a_line_is_a_row(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    (row,) = [line for line in _printed(capsys) if "office" in line]
    assert NAME in row
    assert CAUSE in row


def test_a_narrow_table_folds_names_and_cuts_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    lines = _printed(capsys)
    assert max(map(len, lines)) <= 40
    first = [line.split("│")[1].strip() for line in lines if line.startswith("│")]
    assert "".join(first) == NAME
    assert "…" not in "".join(lines)
