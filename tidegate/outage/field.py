"""Where the command line finds what a gateway recorded: its running API, or the file in its data directory.

Promises: the file is only read, also while its gateway runs; what cannot be had is a `FieldError` of one line.
"""

from dataclasses import dataclass
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.parse import urlencode, urlsplit
from urllib.request import Request, urlopen

from pydantic import ValidationError

from edge.desk import STORE_FILE
from edge.outage_report import LIST_MAX, OutageList, outage_list, recording_bytes
from edge.outages.export import NothingRecorded
from edge.outages.observations import LINKS
from edge.outages.recording import Recording, decode_recording
from edge.store import StoreError
from edge.store.outage_log import read_archive

TIMEOUT_S = 60.0
"""A recording of 90 days takes a small gateway some seconds to write."""
ANSWER_BYTES_MAX = 256 * 1024 * 1024
"""A gateway keeps at most 1 GB if told so, 32 MB if not; larger ones are exported by days."""


class FieldError(Exception):
    """What a gateway recorded cannot be had; the message says why."""


@dataclass(frozen=True, slots=True)
class Field:
    """A gateway to ask: by `url` if there is one, else by the store in `data_dir`."""

    data_dir: Path
    url: str | None = None

    def outages(self) -> OutageList:
        """All outages that are kept, the newest first. Raises `FieldError`."""
        if self.url is not None:
            try:
                return OutageList.model_validate_json(self._get("", limit=LIST_MAX))
            except ValidationError as error:
                raise FieldError(f"{self.url}: expected a Tidegate gateway's answer") from error
        try:
            return outage_list(read_archive(self.data_dir / STORE_FILE, LINKS, events=False), LIST_MAX)
        except StoreError as error:
            raise FieldError(str(error)) from error

    def recording(self, days: float | None, title: str) -> Recording:
        """The recording, or its last `days`. Raises `FieldError`, `RecordingError`."""
        if self.url is not None:
            query = {} if days is None else {"days": days}
            text = self._get("/recording", **query)
        else:
            try:
                text = recording_bytes(read_archive(self.data_dir / STORE_FILE, LINKS), days)
            except (StoreError, NothingRecorded) as error:
                raise FieldError(str(error)) from error
        recording = decode_recording(text.splitlines(keepends=True))
        return titled(recording, title) if title else recording

    def _get(self, path: str, **query: float) -> bytes:
        if self.url is None or urlsplit(self.url).scheme not in {"http", "https"}:
            raise FieldError(f"--gateway: expected a URL such as http://localhost:8080, found {self.url}")
        address = f"{self.url.rstrip('/')}/api/v1/outages{path}?{urlencode(query)}"
        try:
            with urlopen(Request(address), timeout=TIMEOUT_S) as answer:  # noqa: S310  # the scheme is checked above
                body: bytes = answer.read(ANSWER_BYTES_MAX + 1)
        except HTTPError as error:
            with error:
                raise FieldError(f"{self.url} answers {error.code}: {error.reason}") from error
        except (URLError, OSError, ValueError) as error:
            raise FieldError(f"{self.url}: {getattr(error, 'reason', error)}") from error
        if len(body) > ANSWER_BYTES_MAX:
            raise FieldError(f"{self.url}: expected at most {ANSWER_BYTES_MAX} bytes; ask for fewer --days")
        return body


def titled(recording: Recording, title: str) -> Recording:
    """The same recording with a title. Raises `RecordingError`."""
    header = recording.header
    from_header = type(header)(header.version, header.links, header.anchor, title, header.source, header.licence)
    return Recording(from_header, recording.events)
