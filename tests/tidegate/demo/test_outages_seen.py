"""What counts as an outage that was survived, and how its times are taken."""

from tidegate.demo.outages import OutageLog


def look(log: OutageLog, now_ms: int, *, down: bool, backlog: int = 0, oldest_ms: int | None = None) -> None:
    log.look(now_ms, down=down, cause="recorded", backlog=backlog, oldest_unsent_ms=oldest_ms)


def test_an_outage_is_timed_from_cut_to_return_and_to_caught_up() -> None:
    log = OutageLog()
    look(log, 0, down=False)
    look(log, 1000, down=True, backlog=5, oldest_ms=1000)
    look(log, 9000, down=True, backlog=160, oldest_ms=8000)
    look(log, 10_000, down=False, backlog=180, oldest_ms=9000)
    look(log, 12_500, down=False, backlog=3, oldest_ms=200)
    (seen,) = log.seen
    assert (seen.lasted_s(99_999), seen.catch_up_s, seen.backlog_peak) == (9.0, 2.5, 180)
    assert log.survived == 1


def test_an_outage_that_met_no_data_does_not_count_as_survived() -> None:
    log = OutageLog()
    look(log, 0, down=True)
    look(log, 1000, down=False)
    assert log.survived == 0


def test_an_outage_that_is_still_going_on_does_not_count_as_survived() -> None:
    log = OutageLog()
    look(log, 0, down=True, backlog=9, oldest_ms=9000)
    assert log.survived == 0
    assert log.seen[0].catch_up_s is None


def test_a_second_outage_before_the_first_is_caught_up_with_is_its_own() -> None:
    log = OutageLog()
    look(log, 0, down=True, backlog=9, oldest_ms=9000)
    look(log, 1000, down=False, backlog=9, oldest_ms=9000)
    look(log, 2000, down=True, backlog=12, oldest_ms=9000)
    assert len(log.seen) == 2
