"""`tidegate edge audit` without a cloud: the table, the exit code, and a cloud that is not there."""

import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from typer.testing import CliRunner

from edge.forward.forwarder import Batch
from edge.forward.outcome import Accepted
from edge.intervals import Intervals
from tests.edge.kit import T0_MS, message, open_desk, reading
from tidegate import edge_audit
from tidegate.cli import build_app
from tidegate.cloud_seqs import CloudError
from tidegate.edge_audit import print_audit


class FakeCloud:
    """Holds seqs 0 to 5 of every device's boot 1."""

    def of_device(self, site: str, device: str) -> Mapping[int, Intervals]:
        return {1: Intervals([(0, 5)])}


@pytest.fixture
def config(tmp_path: Path) -> str:
    """A gateway's store with ten readings delivered."""
    (tmp_path / "data").mkdir()
    desk = open_desk(tmp_path / "data", keep_sent_ms=1)
    desk.take_in([message(*map(reading, range(10)))], 0, T0_MS)
    plan = desk.next_batch(0)
    assert isinstance(plan, Batch)
    desk.settle(plan, Accepted(), 0, T0_MS)
    desk.close()
    path = tmp_path / "edge.toml"
    path.write_text(f'api.port = 1\ninflux.url = "http://127.0.0.1:1"\nstore.data_dir = "{tmp_path / "data"}"\n')
    return str(path)


def run(config: str, *words: str, code: int) -> str:
    command = ["edge", "audit", "--config", config, *words]
    done = CliRunner().invoke(build_app(["edge", "audit"]), command, catch_exceptions=False)
    assert done.exit_code == code, done.output
    return done.stdout


def test_the_difference_is_a_table_and_a_sentence_and_ends_with_1(config: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(edge_audit, "cloud_seqs", lambda _: FakeCloud())
    text = run(config, code=1)
    assert "6-9 (4)" in text
    assert "influx: delivered 10, in the cloud 6, missing there 4" in text
    assert "ledger and cloud agree: no" in text


def test_resending_marks_what_is_still_here_and_twice_changes_nothing(
    config: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(edge_audit, "cloud_seqs", lambda _: FakeCloud())
    told = json.loads(run(config, "--resend", "--json", code=1))
    assert told["accounts"][0]["resent"] == {"again": 4, "gone": 0}
    assert "ledger and cloud agree: yes" in run(config, "--resend", code=0), "they wait, so they are not missing"


def test_a_cloud_that_cannot_be_asked_is_named(config: str) -> None:
    with pytest.raises(CloudError, match=r"127.0.0.1:1 cannot be asked"):
        run(config, code=1)


def test_a_device_cannot_play_with_the_terminal_and_only_differences_are_shown() -> None:
    def account(device: str, missing: int) -> dict[str, Any]:
        return {
            "site": "s", "device": device, "boot": 1, "foreign": False, "delivered": 9, "in_cloud": 9 - missing,
            "missing": {"count": missing, "ranges": [[2 * at, 2 * at] for at in range(missing)]}, "is_exact": True,
            "agrees": not missing, "resent": None,
        }  # fmt: skip

    document = {
        "destination": "influx", "agrees": False, "truncated": True, "delivered": 18, "in_cloud": 9, "missing": 9,
        "accounts": [account("quiet", 0), account("\x1b[31mred", 9)],
    }  # fmt: skip
    out = io.StringIO()
    print_audit(Console(file=out, width=120), document)
    text = out.getvalue()
    assert "\x1b" not in text
    assert "quiet" not in text
    assert "14, ... (9)" in text
    assert "--site or --device" in text
