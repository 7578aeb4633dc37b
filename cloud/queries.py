"""Reading the point store: pages of points, the last point, the count and the seqs of each series.

Promises: the order is stable and the same for any two stores that hold the same points: series by their canonical tag
text, then time. A page is bounded by its `limit`; `after` carries on behind a page's last row, also while writes go on.

Synchronous; takes the store's connection, one thread at a time. Times are integer nanoseconds since 1970; a range is
`start_ns <= time < stop_ns`.
"""

import base64
import binascii
from collections.abc import Iterator, Mapping
from itertools import groupby
from operator import itemgetter
from typing import Final

import msgspec

from cloud.lineprotocol import TIME_NS_MAX, TIME_NS_MIN
from cloud.points import PointStore

PAGE_LIMIT_MAX: Final = 10_000  # rows in one answer: some 3 MB of JSON, well under a second of work
SEQ_RANGES_MAX: Final = 10_000  # of one boot: a reading lost every other time for a day at one every five seconds
_START: Final = ("", TIME_NS_MIN - 1)


class CursorError(ValueError):
    """`after` is not a cursor that an earlier page gave."""

    def __init__(self) -> None:
        super().__init__("after: expected the `next` value of an earlier page")


class PointRow(msgspec.Struct, frozen=True):
    """One stored point; `fields` is JSON as stored."""

    measurement: str
    tags: dict[str, str]
    fields: msgspec.Raw
    time_ns: int


class SeriesCount(msgspec.Struct, frozen=True):
    """One series: how many points it has, the times of first and last, how many were ever overwritten by others, and
    how many were ever written behind a newer one of it.
    """

    measurement: str
    tags: dict[str, str]
    points: int
    first_ns: int
    last_ns: int
    changed: int
    behind: int


class BootSeqs(msgspec.Struct, frozen=True):
    """The readings of one boot of one series: how many points, and which seqs as ranges, both ends included.

    At most `SEQ_RANGES_MAX` ranges: `truncated` if there are more.
    """

    measurement: str
    tags: dict[str, str]
    boot: int
    points: int
    seqs: list[tuple[int, int]]
    truncated: bool


class Selection(msgspec.Struct, frozen=True):
    """Which points: one bucket's measurement, the series that carry all of `tags`, a time range in ns."""

    bucket: str
    measurement: str
    tags: Mapping[str, str] = {}
    start_ns: int = TIME_NS_MIN
    stop_ns: int = TIME_NS_MAX + 1


def read_points(
    store: PointStore, selection: Selection, *, limit: int, after: str | None = None
) -> tuple[list[PointRow], str | None]:
    """Return up to `limit` points and the cursor of the next page (None at the end).

    Raises BucketUnknownError and CursorError.
    """
    after_tags, after_ns = _START if after is None else _decode_cursor(after)
    rows: list[PointRow] = []
    for series_id, tags_text, tags in _series(store, selection, after_tags):
        floor_ns = max(selection.start_ns, after_ns + 1) if tags_text == after_tags else selection.start_ns
        found = store.connection.execute(
            "SELECT time_ns, fields FROM point WHERE series_id = ? AND time_ns >= ? AND time_ns < ?"
            " ORDER BY time_ns LIMIT ?",
            (series_id, floor_ns, selection.stop_ns, limit - len(rows)),
        )
        rows += [PointRow(selection.measurement, tags, msgspec.Raw(fields), time_ns) for time_ns, fields in found]
        if len(rows) >= limit:
            return rows, _encode_cursor(tags_text, rows[-1].time_ns)
    return rows, None


def read_last(
    store: PointStore, selection: Selection, *, limit: int, after: str | None = None
) -> tuple[list[PointRow], str | None]:
    """Return the latest point in the range of up to `limit` series, and the next page's cursor. Raises as above."""
    rows: list[PointRow] = []
    for series_id, tags_text, tags in _series_behind(store, selection, after):
        found = store.connection.execute(
            "SELECT time_ns, fields FROM point WHERE series_id = ? AND time_ns >= ? AND time_ns < ?"
            " ORDER BY time_ns DESC LIMIT 1",
            (series_id, selection.start_ns, selection.stop_ns),
        ).fetchone()
        if found is None:
            continue
        rows.append(PointRow(selection.measurement, tags, msgspec.Raw(found[1]), found[0]))
        if len(rows) >= limit:
            return rows, _encode_cursor(tags_text, 0)
    return rows, None


def count_series(
    store: PointStore, selection: Selection, *, limit: int, after: str | None = None
) -> tuple[list[SeriesCount], str | None]:
    """Return how many points in the range up to `limit` series have, and the next page's cursor. Raises as above."""
    rows: list[SeriesCount] = []
    for series_id, tags_text, tags in _series_behind(store, selection, after):
        points, first_ns, last_ns = store.connection.execute(
            "SELECT count(*), min(time_ns), max(time_ns) FROM point"
            " WHERE series_id = ? AND time_ns >= ? AND time_ns < ?",
            (series_id, selection.start_ns, selection.stop_ns),
        ).fetchone()
        if points == 0:
            continue
        counts = store.connection.execute("SELECT changed, behind FROM series WHERE id = ?", (series_id,)).fetchone()
        rows.append(SeriesCount(selection.measurement, tags, points, first_ns, last_ns, *counts))
        if len(rows) >= limit:
            return rows, _encode_cursor(tags_text, 0)
    return rows, None


def read_seqs(
    store: PointStore, selection: Selection, *, limit: int, after: str | None = None
) -> tuple[list[BootSeqs], str | None]:
    """Return which readings (fields `boot` and `seq`) up to `limit` series have, and the next page's cursor.

    Raises as above.
    """
    rows: list[BootSeqs] = []
    for read, (series_id, tags_text, tags) in enumerate(_series_behind(store, selection, after), start=1):
        found = store.connection.execute(
            "SELECT boot, seq FROM (SELECT json_extract(CAST(fields AS TEXT), '$.boot') AS boot,"
            " json_extract(CAST(fields AS TEXT), '$.seq') AS seq FROM point"
            " WHERE series_id = ? AND time_ns >= ? AND time_ns < ?)"
            " WHERE typeof(boot) = 'integer' AND typeof(seq) = 'integer' ORDER BY boot, seq",
            (series_id, selection.start_ns, selection.stop_ns),
        )
        for boot, numbered in groupby(found, key=itemgetter(0)):
            rows.append(_boot_seqs(selection.measurement, tags, boot, (seq for _, seq in numbered)))
        if read >= limit:
            return rows, _encode_cursor(tags_text, 0)
    return rows, None


def _boot_seqs(measurement: str, tags: dict[str, str], boot: int, seqs: Iterator[int]) -> BootSeqs:
    ranges: list[tuple[int, int]] = []
    points, truncated = 0, False
    for seq in seqs:
        points += 1
        if ranges and seq <= ranges[-1][1] + 1:
            ranges[-1] = ranges[-1][0], seq
        elif len(ranges) < SEQ_RANGES_MAX:
            ranges.append((seq, seq))
        else:
            truncated = True
    return BootSeqs(measurement, tags, boot, points, ranges, truncated)


def _series_behind(
    store: PointStore, selection: Selection, after: str | None
) -> Iterator[tuple[int, str, dict[str, str]]]:
    """Yield the series strictly behind the cursor."""
    after_tags = "" if after is None else _decode_cursor(after)[0]
    return (row for row in _series(store, selection, after_tags) if row[1] != after_tags)


def _series(store: PointStore, selection: Selection, from_tags: str) -> Iterator[tuple[int, str, dict[str, str]]]:
    """Yield (id, canonical tags, tags) of the selected series in order, from `from_tags` on."""
    rows = store.connection.execute(
        "SELECT id, tags FROM series WHERE bucket_id = ? AND measurement = ? AND tags >= ? ORDER BY tags",
        (store.bucket_id(selection.bucket), selection.measurement, from_tags),
    )
    for series_id, tags_text in rows:
        tags = msgspec.json.decode(tags_text, type=dict[str, str])
        if selection.tags.items() <= tags.items():
            yield series_id, tags_text, tags


def _encode_cursor(tags_text: str, time_ns: int) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode((tags_text, time_ns))).decode()


def _decode_cursor(cursor: str) -> tuple[str, int]:
    try:
        raw = base64.b64decode(cursor, altchars=b"-_", validate=True)
        tags_text, time_ns = msgspec.json.decode(raw, type=tuple[str, int])
    except (binascii.Error, ValueError, msgspec.MsgspecError):
        raise CursorError from None
    if not TIME_NS_MIN <= time_ns <= TIME_NS_MAX:
        raise CursorError
    return tags_text, time_ns
