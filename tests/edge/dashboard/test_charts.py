"""Charts over HTTP: raw readings, rollups of what is gone, bounded, late told apart."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from edge.dashboard.raw_log import RAW_STEP_ROWS
from edge.desk import Desk
from edge.forward.forwarder import Batch
from edge.forward.outcome import Accepted
from edge.stats import Stats
from edge.store.windows import Window, WindowKey
from edge.windows import WindowRules
from sensors.reading import Reading, Value
from tests.edge.dashboard.test_served import _with
from tests.edge.kit import T0_MS, message, open_desk, reading

START_MS = T0_MS - T0_MS % 900_000
HOUR_MS = 3_600_000


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    opened = open_desk(tmp_path, windows=WindowRules((60, 900), 0, 0), history_bytes_max=2**24)
    yield opened
    opened.close()


def _taken(seq: int, at_ms: int, number: float | str = 1.0) -> Reading:
    return Reading("d1", 1, seq, at_ms, (Value("temperature", number, "Cel"),))


def _ask(desk: Desk, **query: Any) -> dict[str, Any]:
    """The answer to one question for a series, whatever it is."""
    answers: list[dict[str, Any]] = []
    asked: dict[str, Any] = {"value": "temperature", "from": START_MS, "to": START_MS + HOUR_MS} | query

    async def ask(client: httpx.AsyncClient) -> None:
        answer = await client.get("/api/v1/devices/1/series", params=asked)
        answers.append({"status": answer.status_code} | answer.json())

    _with(desk, ask)
    return answers[0]


def _roll_up(desk: Desk, now_ms: int) -> None:
    while desk.tidy(0, now_ms):
        pass


def test_raw_readings_are_told_each_once_in_order_and_late_ones_as_late(desk: Desk) -> None:
    desk.take_in([message(_taken(0, START_MS), _taken(2, START_MS + 20_000, 3.0))], 0, START_MS + 20_000)
    desk.take_in([message(_taken(1, START_MS + 10_000, 2.0))], 0, START_MS + 200_000)
    told = _ask(desk)
    assert told["at_ms"] == [START_MS, START_MS + 10_000, START_MS + 20_000]
    assert told["mean"] == told["low"] == told["high"] == [1.0, 2.0, 3.0]
    assert told["late"] == [False, True, False]
    assert (told["resolution_s"], told["unit"], told["raw_from_ms"]) == (0, "Cel", START_MS)


def test_raw_reaches_beyond_the_ring_into_the_log(desk: Desk) -> None:
    count = RAW_STEP_ROWS + 1000
    for first in range(0, count, 1000):
        desk.take_in(
            [message(*(_taken(seq, START_MS + 500 * seq, float(seq)) for seq in range(first, first + 1000)))],
            0,
            START_MS,
        )
    told = _ask(desk, limit=2000)
    assert (told["low"][0], told["high"][-1]) == (0.0, count - 1)
    assert len(told["at_ms"]) <= 2000


def test_what_was_delivered_and_deleted_is_drawn_from_rollups(desk: Desk) -> None:
    desk.take_in(
        [message(*(_taken(seq, START_MS + 1000 * seq, float(seq)) for seq in range(300)))], 0, START_MS + 300_000
    )
    _roll_up(desk, START_MS + HOUR_MS)
    while isinstance(batch := desk.next_batch(0), Batch):
        desk.settle(batch, Accepted(), 0, START_MS)
    _roll_up(desk, START_MS + HOUR_MS)
    desk.tidy(10**9, START_MS + HOUR_MS)
    desk.latest._devices.clear()  # as after a restart
    told = _ask(desk)
    assert told["at_ms"] == [START_MS + 60_000 * at for at in range(5)]
    assert (told["low"], told["mean"], told["raw_from_ms"]) == (
        [0.0, 60.0, 120.0, 180.0, 240.0],
        [29.5, 89.5, 149.5, 209.5, 269.5],
        None,
    )


def test_a_long_span_is_drawn_from_rollups_and_ends_with_raw_readings(desk: Desk) -> None:
    for at in range(12):
        desk.take_in([message(_taken(at, START_MS + 600_000 * at, float(at)))], 0, START_MS + 600_000 * at)
    _roll_up(desk, START_MS + 600_000 * 10 + 120_000)
    told = _ask(desk, to=START_MS + 24 * HOUR_MS, limit=2000)
    assert told["resolution_s"] == 60
    assert [mean for mean in told["mean"] if mean is not None] == [float(at) for at in range(12)]
    assert told["raw_from_ms"] == START_MS + 600_000 * 11


def test_a_coarser_window_is_taken_where_the_span_asks_for_it(desk: Desk) -> None:
    stats = Stats.of("temperature", "Cel", [1.0, 4.0], 4.0, (START_MS, 1, 1))
    window = Window({("temperature", "Cel", False): stats}, dirty=False, touched_ms=START_MS + 900_000, next_ms=0)
    desk.take_in([message(reading(0))], 0, T0_MS)
    desk.history.note([(WindowKey(1, 900, START_MS), window)])
    week = {"from": START_MS - 6 * 24 * HOUR_MS, "to": START_MS + 24 * HOUR_MS}
    told = _ask(desk, **week)
    assert (told["resolution_s"], told["low"][0], told["high"][0], told["mean"][0]) == (900, 1.0, 4.0, 2.5)
    assert _ask(desk, resolution=60, **week)["mean"] == []


@pytest.mark.no_cover
@pytest.mark.parametrize("limit", [2, 7, 100])
def test_no_answer_has_more_points_than_asked_for(desk: Desk, limit: int) -> None:
    desk.take_in([message(*(_taken(seq, START_MS + 1000 * seq, float(seq)) for seq in range(500)))], 0, START_MS)
    told = _ask(desk, limit=limit)
    assert 0 < len(told["at_ms"]) <= limit
    assert (min(told["low"]), max(told["high"])) == (0.0, 499.0)


@pytest.mark.parametrize(
    ("query", "status", "words"),
    [
        ({"to": START_MS}, 422, "after from"),
        ({"resolution": "61"}, 422, "one that is kept (60, 900)"),
        ({"resolution": "fast"}, 422, "resolution"),
        ({"limit": 2001}, 422, "limit"),
        ({"from": -1}, 422, "from"),
        ({"to": 10**15}, 422, "to"),
        ({"value": ""}, 422, "value"),
    ],
)
def test_what_cannot_be_asked_is_a_problem_that_names_the_field(
    desk: Desk, query: dict[str, Any], status: int, words: str
) -> None:
    desk.take_in([message(reading(0))], 0, T0_MS)
    told = _ask(desk, **query)
    assert told["status"] == status
    assert words in told["detail"]


def test_texts_and_values_that_never_came_are_an_empty_line(desk: Desk) -> None:
    desk.take_in([message(_taken(0, START_MS, "warm"))], 0, START_MS)
    assert _ask(desk)["at_ms"] == []
    assert _ask(desk, value="pressure")["at_ms"] == []


def test_a_battery_that_falls_has_days_left_on_its_page_and_in_the_table(desk: Desk) -> None:
    slot_ms = 4 * HOUR_MS
    desk.take_in([message(reading(0))], 0, T0_MS)
    for at in range(20):
        stats = Stats.of("battery_level", "%EL", [90.0 - at], 90.0 - at, (START_MS, 1, 1))
        start_ms = START_MS - slot_ms * (20 - at)
        window = Window({("battery_level", "%EL", False): stats}, dirty=False, touched_ms=start_ms, next_ms=0)
        desk.history.note([(WindowKey(1, 900, start_ms), window)])

    async def ask(client: httpx.AsyncClient) -> None:
        battery = (await client.get("/api/v1/devices/1/battery")).json()
        assert battery["percent"] == [90.0 - at for at in range(20)]
        assert battery["days_left"]["likely"] == pytest.approx(71 / 6, abs=0.1)
        row = (await client.get("/api/v1/devices")).json()["items"][0]
        assert row["days_left"] == battery["days_left"]
        assert (await client.get("/api/v1/devices/2/battery")).status_code == 404

    _with(desk, ask)


def test_a_row_tells_of_link_and_clock(desk: Desk) -> None:
    values = (Value("rssi", -71.0, "dBm"), Value("snr", 9.0, "dB"))
    desk.take_in([message(Reading("d1", 1, 0, T0_MS - 5000, values))], 0, T0_MS)

    async def ask(client: httpx.AsyncClient) -> None:
        row = (await client.get("/api/v1/devices")).json()["items"][0]
        assert (row["link"]["name"], row["link"]["value"], row["link"]["unit"]) == ("rssi", -71.0, "dBm")
        assert row["clock_offset_ms"] == 5000

    _with(desk, ask)
