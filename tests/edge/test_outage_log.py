"""What the store keeps of links: whole, bounded, across restarts, readable while the gateway runs, and exported."""

import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest

from edge.outages.events import Cause, Gap, Sample, Status, Transition
from edge.outages.export import PLAUSIBLE_MS, Archive, NothingRecorded, to_recording
from edge.outages.observations import LINKS, Failure, Observation
from edge.outages.recorder import Recorder, Resume
from edge.outages.timeline import OutageEnd
from edge.store import Store, StoreUnusable
from edge.store.outage_log import ROW_OVERHEAD_BYTES, OutageLog, read_archive

S = 1_000_000
DAY_S = 86_400
WALL_MS = PLAUSIBLE_MS + 1_000_000_000


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "gateway.sqlite"


def seen(at_s: float, *, ok: bool, link: str = "uplink") -> Observation:
    failure = None if ok else Failure(Cause.REFUSED)
    return Observation(link, round(at_s * S), round(at_s * S), failure, rtt_us=40_000 if ok else None)


def save(log: OutageLog, recorder: Recorder, at_s: float) -> None:
    recorder.tick(round(at_s * S))
    pending = recorder.pending()
    log.write(pending, WALL_MS + pending.alive_us // 1000)
    recorder.written(pending)


def record_hour(log: OutageLog, recorder: Recorder, from_s: float) -> None:
    """Up, at half past down for a minute, up."""
    for at_s, ok in ((1, True), (1800, False), (1801, False), (1860, True), (1861, True)):
        recorder.observe(seen(from_s + at_s, ok=ok))
    save(log, recorder, from_s + 3599)


def test_what_is_written_comes_back_and_storing_it_twice_changes_nothing(path: Path) -> None:
    with Store(path) as store:
        log, recorder = OutageLog(store), Recorder(LINKS)
        recorder.observe(seen(1, ok=True))
        pending = recorder.pending()
        log.write(pending, WALL_MS)
        log.write(pending, WALL_MS)  # as after a commit whose answer was lost
        recorder.written(pending)
        record_hour(log, recorder, 10)
        archive = read_archive(path, LINKS)  # beside the open store
    assert [event.status for event in archive.events if isinstance(event, Transition)] == ["up", "down", "up"]
    assert [outage.id for outage in archive.outages] == ["uplink-1"]
    assert to_recording(archive).timeline("uplink").outages()[0].cause is Cause.REFUSED


def test_a_restart_goes_on_where_the_recorder_was_and_the_time_between_is_a_gap(path: Path) -> None:
    with Store(path) as store:
        log, recorder = OutageLog(store), Recorder(LINKS)
        for at_s, ok in ((1, True), (5, False), (6, False)):
            recorder.observe(seen(at_s, ok=ok))
        save(log, recorder, 7)
    with Store(path) as store:
        log = OutageLog(store)
        resume = log.resume(WALL_MS + 107_000)
        assert (resume.alive_us, resume.now_us, resume.numbers) == (7 * S, 107 * S, {"uplink": 1})
        recorder = Recorder(LINKS, resume)
        recorder.observe(seen(110, ok=True))
        save(log, recorder, 120)
        archive = read_archive(path, LINKS)
    assert Gap(107 * S, 7 * S) in archive.events
    assert [(outage.ended, outage.end_us) for outage in archive.outages] == [(OutageEnd.GAP, 7 * S)]
    assert to_recording(archive).unix_us(archive.alive_us - archive.start_us) == (WALL_MS + 120_000) * 1000


@pytest.mark.parametrize("wall_ms", [WALL_MS - 1, 0])
def test_a_wall_clock_that_went_back_makes_a_gap_without_length(path: Path, wall_ms: int) -> None:
    with Store(path) as store:
        log, recorder = OutageLog(store), Recorder(LINKS)
        recorder.observe(seen(1, ok=True))
        save(log, recorder, 50)
        assert log.resume(wall_ms).now_us == 50 * S


def test_a_store_without_records_starts_at_zero_and_has_no_outage(path: Path) -> None:
    with Store(path) as store:
        assert OutageLog(store).resume(WALL_MS) == Resume()
        archive = read_archive(path, LINKS)
        assert (archive.events, archive.outages, archive.unix_us(0)) == ((), (), None)
        with pytest.raises(NothingRecorded):
            to_recording(archive)
    with pytest.raises(StoreUnusable, match="no such file"):
        read_archive(path.with_name("other"), LINKS)
    path.with_name("old").write_bytes(b"not a database at all" * 100)
    with pytest.raises(StoreUnusable, match="not a database"):
        read_archive(path.with_name("old"), LINKS)


def trim(log: OutageLog, keep_days: int, keep_bytes: int) -> None:
    while log.trim(keep_days=keep_days, keep_bytes=keep_bytes):
        pass


def test_age_bounds_what_is_kept_but_not_what_is_known(path: Path) -> None:
    with Store(path) as store:
        log, recorder = OutageLog(store), Recorder(LINKS)
        recorder.observe(seen(1, ok=True, link="devices"))  # and nothing more on this link
        for hour in range(72):
            record_hour(log, recorder, 3600 * hour)
        trim(log, 1, 10**9)
        archive = read_archive(path, LINKS)
        cut_us = archive.alive_us - DAY_S * S
        old = [event for event in archive.events if event.at_us < cut_us]
        assert [(type(event), event.link) for event in old if isinstance(event, Transition)] == [
            (Transition, "devices"),
            (Transition, "uplink"),
        ]
        assert len(old) == 2
        assert len(archive.outages) == 24
        recording = to_recording(archive, since_us=cut_us)
        assert recording.timeline("devices").at(0).status is Status.UP
        assert len(recording.timeline("uplink").outages()) == 24


def test_bytes_bound_what_is_kept(path: Path) -> None:
    with Store(path) as store:
        log, recorder = OutageLog(store), Recorder(LINKS)
        for hour in range(48):
            record_hour(log, recorder, 3600 * hour)
        ((before,),) = store.run("SELECT bytes FROM recorder")
        trim(log, 90, before // 2)
        ((after,),) = store.run("SELECT bytes FROM recorder")
        ((true,),) = store.run("SELECT sum(length(line) + ?) FROM link_events", (ROW_OVERHEAD_BYTES,))
        assert after == true
        assert before * 0.4 < after <= before // 2
        record_hour(log, recorder, 3600 * 48)
        assert len(to_recording(read_archive(path, LINKS)).timeline("uplink").outages()) > 20


def test_the_last_number_of_a_link_outlives_its_outages(path: Path) -> None:
    with Store(path) as store:
        log, recorder = OutageLog(store), Recorder(LINKS)
        for hour in range(3):
            record_hour(log, recorder, 3600 * hour)
        recorder.observe(seen(10 * DAY_S, ok=True))
        save(log, recorder, 10 * DAY_S + 1)
        trim(log, 1, 10**9)
        assert log.resume(WALL_MS).numbers == {"uplink": 3}


def test_a_full_disk_keeps_nothing_of_the_batch(path: Path) -> None:
    with Store(path) as store:
        log, recorder = OutageLog(store), Recorder(LINKS)
        recorder.observe(seen(1, ok=True))
        store.run("CREATE TRIGGER full BEFORE INSERT ON recorder BEGIN SELECT raise(ABORT, 'full'); END")
        with pytest.raises(Exception, match="full"):
            log.write(recorder.pending(), WALL_MS)
        store.run("DROP TRIGGER full")
        assert store.run("SELECT count(*) FROM link_events") == [(0,)]
        assert recorder.has_news


def archive_of_three_hours(path: Path) -> Archive:
    with Store(path) as store:
        log, recorder = OutageLog(store), Recorder(LINKS)
        for hour in range(3):
            record_hour(log, recorder, 3600 * hour)
        return read_archive(path, LINKS)


@pytest.mark.parametrize("since_s", [0, 1, 1799.5, 1800.5, 1830, 3600, 5400, 9060])
def test_a_window_agrees_with_the_whole_wherever_it_is_cut(path: Path, since_s: float) -> None:
    archive = archive_of_three_hours(path)
    zero_us = archive.start_us
    since_us = max(zero_us, round(since_s * S))
    whole = to_recording(archive).timeline("uplink")
    window = to_recording(archive, since_us=since_us)
    assert window.end_us == archive.alive_us - since_us
    for at_us in range(0, window.end_us, 10 * S):
        expected, found = whole.at(at_us + since_us - zero_us), window.timeline("uplink").at(at_us)
        assert (found.status, found.cause, found.rtt_us) == (expected.status, expected.cause, expected.rtt_us)


def test_a_window_that_starts_in_a_gap_invents_nothing(path: Path) -> None:
    archive = archive_of_three_hours(path)
    at_us = archive.alive_us + 100 * S
    gap = replace(archive, events=(*archive.events, Gap(at_us, archive.alive_us)), alive_us=at_us + S)
    window = to_recording(gap, since_us=archive.alive_us + 50 * S)
    assert not any(isinstance(event, (Transition, Sample)) for event in window.events)
    assert window.timeline("uplink").at(0).status is None


def test_an_unset_clock_ties_a_recording_to_nothing(path: Path) -> None:
    archive = archive_of_three_hours(path)
    assert to_recording(archive).header.anchor is not None
    assert to_recording(replace(archive, alive_wall_ms=5000)).header.anchor is None


def test_an_empty_window_is_refused(path: Path) -> None:
    archive = archive_of_three_hours(path)
    with pytest.raises(NothingRecorded):
        to_recording(archive, since_us=archive.alive_us)


def test_reading_leaves_the_file_alone(path: Path) -> None:
    archive_of_three_hours(path)
    before = path.read_bytes()
    read_archive(path, LINKS)
    assert path.read_bytes() == before
    with sqlite3.connect(path) as db:
        assert db.execute("SELECT count(*) FROM outages").fetchone() == (3,)
    db.close()
