"""What is told of recorded outages: the documents behind `GET /api/v1/outages`, and the recording as text.

Promises: pure; nothing in a document is an address or a secret.
"""

from datetime import UTC, datetime

from pydantic import BaseModel, ConfigDict, computed_field

from edge.causes import told
from edge.outages.events import Gap
from edge.outages.export import Archive, to_recording
from edge.outages.recorder import RecordedOutage
from edge.outages.recording import encode_recording

LIST_MAX = 20_000  # outages of one answer: as many as a store keeps
_DAY_US = 86_400_000_000
_US_PER_S = 1_000_000


class OutageDocument(BaseModel):
    """One outage. Times are UTC, null where the clock was never set, or for what has not happened yet; spans are
    microseconds. `held_max` is the largest backlog meanwhile in readings, `catch_up_us` how long it took from the end.
    `is_drill`: an operator caused it, to see what happens; it says nothing of the link. `why`: the cause in words.
    """

    model_config = ConfigDict(frozen=True)

    id: str
    link: str
    cause: str
    http_status: int | None
    started: str | None
    start_us: int
    start_bounds_us: tuple[int, int]
    seen_us: int
    ended: str | None
    end_us: int | None
    end_bounds_us: tuple[int, int] | None
    how_ended: str | None
    duration_us: int
    held_before: int | None
    held_max: int | None
    catch_up_us: int | None
    is_drill: bool

    @computed_field  # type: ignore[prop-decorator]  # a property that is a field of the document
    @property
    def why(self) -> str:
        """For people."""
        return told(self.cause, self.http_status)


class GapDocument(BaseModel):
    """A span in which nobody recorded, because the gateway was off: not an outage, and not its absence either."""

    model_config = ConfigDict(frozen=True)

    start_us: int
    end_us: int


class OutageList(BaseModel):
    """Outages, the newest first, of `total` that are kept, and the spans that nobody recorded.

    `start_us` to `alive_us`: what is kept, on the recorder's clock; `alive` is the same end in UTC, null if the
    gateway's clock was never set.
    """

    model_config = ConfigDict(frozen=True)

    start_us: int
    alive_us: int
    alive: str | None
    total: int
    outages: tuple[OutageDocument, ...]
    gaps: tuple[GapDocument, ...]


def outage_list(archive: Archive, limit: int) -> OutageList:
    """The newest outages of an archive, and its newest gaps, as many of each."""
    newest = archive.outages[::-1][:limit]
    gaps = [event for event in archive.events if isinstance(event, Gap)]
    return OutageList(
        start_us=archive.start_us,
        alive_us=archive.alive_us,
        alive=_utc(archive.unix_us(archive.alive_us)),
        total=len(archive.outages),
        outages=tuple(outage_document(archive, outage) for outage in newest),
        gaps=tuple(GapDocument(start_us=gap.since_us, end_us=gap.at_us) for gap in gaps[::-1][:limit]),
    )


def outage_document(archive: Archive, outage: RecordedOutage) -> OutageDocument:
    """One outage with its wall-clock times; one that is under way lasts until now."""
    end_us = outage.end_us if outage.end_us is not None else archive.alive_us
    caught_up_us = outage.caught_up_us
    return OutageDocument(
        id=outage.id,
        link=outage.link,
        cause=outage.cause,
        http_status=outage.http_status,
        started=_utc(archive.unix_us(outage.start_us)),
        start_us=outage.start_us,
        start_bounds_us=outage.start_bounds_us,
        seen_us=outage.seen_us,
        ended=_utc(archive.unix_us(end_us)) if outage.end_us is not None else None,
        end_us=outage.end_us,
        end_bounds_us=outage.end_bounds_us,
        how_ended=outage.ended,
        duration_us=end_us - outage.start_us,
        held_before=outage.held_before,
        held_max=outage.held_max,
        catch_up_us=caught_up_us - end_us if caught_up_us is not None else None,
        is_drill=outage.is_drill,
    )


def recording_bytes(archive: Archive, days: float | None) -> bytes:
    """All of an archive, or its last `days`, as the text of a recording. Raises `NothingRecorded`."""
    since_us = None if days is None else max(0, archive.alive_us - round(days * _DAY_US))
    return b"".join(encode_recording(to_recording(archive, since_us=since_us)))


def _utc(unix_us: int | None) -> str | None:
    if unix_us is None:
        return None
    text = datetime.fromtimestamp(unix_us / _US_PER_S, UTC).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")
