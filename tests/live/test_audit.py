"""`tidegate edge audit` against real clouds: what somebody deleted there is named, and sent again."""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from typer.testing import CliRunner

from edge.config import InfluxSettings
from edge.intervals import Intervals
from sensors.reading import FOREIGN_BOOT, SEQ_MAX, Reading, Value
from tests.live.house import TOKEN, House, house, needs_broker, wait_until
from tests.live.influxdb import Target, is_available, running_influxdb
from tests.live.test_influxdb_takes_our_lines import body_of, send
from tidegate.cli import build_app
from tidegate.cloud_seqs import CloudError, cloud_seqs

pytestmark = pytest.mark.live
T0_MS = 1_700_000_000_000


def run(lab: House, *words: str, code: int) -> Any:
    config = lab.folder / "edge.toml"
    environment = {"TIDEGATE_EDGE__INFLUX__TOKEN": TOKEN}
    command = ["edge", "audit", "--config", str(config), "--json", *words]
    done = CliRunner().invoke(build_app(["edge", "audit"]), command, env=environment, catch_exceptions=False)
    assert done.exit_code == code, done.output
    return json.loads(done.stdout)


def delete_some(lab: House, count: int) -> None:
    lab.cloud.stop()  # it lets nobody else in
    with closing(sqlite3.connect(lab.folder / "cloud.sqlite", isolation_level=None)) as db:
        db.execute(
            "DELETE FROM point WHERE (series_id, time_ns) IN (SELECT series_id, time_ns FROM point JOIN series"
            " ON series_id = id WHERE measurement = 'reading' ORDER BY series_id, time_ns LIMIT ?)",
            (count,),
        )
    lab.cloud.start()


@needs_broker
def test_what_the_cloud_has_lost_is_named_and_sent_again(tmp_path: Path) -> None:
    edge = {"store": {"keep_sent_s": 3600, "tell_ledger_every_s": 1}, "api": {"token": "api-token"}}
    with house(tmp_path, edge=edge, group={"count": 3}) as lab:
        lab.start()
        wait_until(lambda: lab.status().ledger.received > 100, "readings come in")
        assert lab.prove().holds
        told = run(lab, code=0)
        assert told["agrees"]
        assert told["delivered"] == told["in_cloud"] == len(lab.truth())
        delete_some(lab, 7)
        told = run(lab, "--resend", code=1)
        assert told["missing"] == 7
        assert sum(each["resent"]["again"] for each in told["accounts"] if each["resent"]) == 7
        wait_until(lambda: lab.status().ledger.held == 0, "they are sent again")
        assert run(lab, code=0)["agrees"]
        assert lab.changed_points() == 0
        lab.gateway.stop()  # the ledger is written then, and not only within half a minute
        lab.gateway.start()
        wait_until(lambda: ledger_in_the_cloud(lab) == len(lab.truth()), "the cloud knows how much there is")


def ledger_in_the_cloud(lab: House) -> int:
    """What the newest line of each account says was delivered."""
    answer = lab._cloud("last?bucket=tidegate&measurement=reading_ledger")
    return sum(point["fields"]["delivered"] for point in json.loads(answer)["points"])


@pytest.fixture(scope="module")
def influxdb(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    if not is_available():
        pytest.skip("influxd is not installed (Debian: apt install influxdb)")
    with running_influxdb(tmp_path_factory.mktemp("influxdb")) as target:
        yield target


def one(boot: int, seq: int, device: str) -> Reading:
    return Reading(device, boot, seq, T0_MS + seq % 10**6, (Value("t", 1.0),))


def asked(target: Target, measurement: str) -> InfluxSettings:
    changes = {"url": target.query_url, "measurement": measurement}
    return target.settings.model_copy(update=changes)


def test_influxdb_tells_every_seq_of_a_device_and_of_no_other(influxdb: Target) -> None:
    measurement, name = influxdb.new_measurement(), 'it\'s \\ a "d"'
    readings = [one(1, seq, name) for seq in range(25_000)] + [one(2, 5, name), one(FOREIGN_BOOT, SEQ_MAX, name)]
    send(influxdb, body_of(readings, measurement), body_of([one(1, 99_999, "other")], measurement))
    found = cloud_seqs(asked(influxdb, measurement)).of_device("lab", name)
    assert found == {
        1: Intervals([(0, 24_999)]),
        2: Intervals([(5, 5)]),
        FOREIGN_BOOT: Intervals([(SEQ_MAX, SEQ_MAX)]),
    }
    assert cloud_seqs(asked(influxdb, measurement)).of_device("lab", "nobody") == {}


def test_a_cloud_that_refuses_is_told_in_its_words(influxdb: Target) -> None:
    settings = asked(influxdb, "reading").model_copy(update={"bucket": "no-such", "token": SecretStr("x")})
    with pytest.raises(CloudError, match="database not found"):
        cloud_seqs(settings).of_device("lab", "d")
