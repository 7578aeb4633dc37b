"""What devices say of their firmware is kept, once, and bounded."""

from pathlib import Path

from edge.ingest import Message
from edge.limits import Limits
from sensors.messages import State, UpdateState, encode
from sensors.topics import Kind, build_topic
from tests.edge.kit import SITE, T0_MS, open_desk


def _state(device: str, version: str, update: UpdateState | None = None) -> Message:
    return Message(build_topic(SITE, device, Kind.STATE), encode(State(online=True, firmware=version, update=update)))


def test_firmware_and_update_are_kept_across_restarts_and_a_last_will_changes_nothing(tmp_path: Path) -> None:
    desk = open_desk(tmp_path)
    desk.take_in([_state("d1", "1.0.0", UpdateState("1.1.0", "downloading", 3, 9))], 0, T0_MS)
    desk.take_in([Message(build_topic(SITE, "d1", Kind.STATE), encode(State(online=False)))], 1, T0_MS + 1)
    desk.store.close()
    desk = open_desk(tmp_path)
    report = desk.downlinks.reports.get(SITE, "d1")
    assert report is not None
    assert (report.firmware, report.update_version, report.update_phase) == ("1.0.0", "1.1.0", "downloading")
    assert (report.update_done, report.update_chunks, report.at_ms) == (3, 9, T0_MS)
    desk.store.close()


def test_the_number_of_devices_is_bounded_and_nothing_new_is_not_written(tmp_path: Path) -> None:
    desk = open_desk(tmp_path, limits=Limits(devices_max=1))
    desk.take_in([_state("d1", "1.0.0"), _state("d2", "1.0.0")], 0, T0_MS)
    version = desk.downlinks.reports.version
    desk.take_in([_state("d1", "1.0.0")], 1, T0_MS + 5000)
    assert [report.device for report in desk.downlinks.reports.all()] == ["d1"]
    assert desk.downlinks.reports.version == version
    desk.store.close()
