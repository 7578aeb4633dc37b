"""Writes the library anew: `python -m tests.recordings.rebuild`; its table in the README too."""

from edge.outages.recording import Recording, read_recording, write_recording
from tests.recordings.library import HERE, LIBRARY, Entry

README = HERE / "README.md"
BEGIN, END = "<!-- table -->\n", "<!-- end of table -->\n"
SPANS = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))


def rows() -> str:
    """The table of the README, of the files as they are."""
    lines = ["| file | what it is | from | lasts | events | outages |", "| --- | --- | --- | --- | --- | --- |"]
    lines += [_row(entry, read_recording(entry.path)) for entry in LIBRARY]
    return "\n".join(lines) + "\n"


def _row(entry: Entry, recording: Recording) -> str:
    header = recording.header
    outages = [outage for name in recording.link_names for outage in recording.timeline(name).outages()]
    longest = f", longest {_span(max(outage.duration_us for outage in outages))}" if outages else ""
    source = header.source + (f"; {header.licence}" if header.licence else "")
    facts = (_span(recording.end_us), f"{len(recording.events):,}", f"{len(outages):,}{longest}")
    return f"| `{entry.file}` | {entry.about} | {source} | {' | '.join(facts)} |"


def _span(span_us: int) -> str:
    seconds = span_us / 1_000_000
    size_s, unit = next((each for each in SPANS if seconds >= each[0]), (1, "s"))
    return f"{seconds / size_s:.3g} {unit}"


def with_table(readme: str) -> str:
    """A README with the table as it has to be."""
    before, _, rest = readme.partition(BEGIN)
    _, _, after = rest.partition(END)
    return before + BEGIN + rows() + END + after


def main() -> None:
    """Write all."""
    for entry in LIBRARY:
        entry.path.parent.mkdir(exist_ok=True)
        write_recording(entry.path, entry.make())
    README.write_text(with_table(README.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
