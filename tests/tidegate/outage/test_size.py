"""What a day of recording weighs: the figures of docs/outages.md, for a synthetic day of two links."""

from random import Random

import pytest

from edge.outages.events import AnyEvent, Cause, End, Link, LinkKind, Quantities, Sample, Series, Status, Transition
from edge.outages.packing import packed
from edge.outages.recording import Recording, encode_recording, make_header

S = 1_000_000
DAY_S = 86_400
MB = 1_000_000
PACKET_BYTES = 1500
LINKS = (Link("uplink", LinkKind.UPLINK), Link("devices", LinkKind.DEVICE))


def day(*, with_bandwidth: bool) -> bytes:
    """A probe a minute on each link, twenty outages, and, if wanted, the capacity of each second of both."""
    rng = Random(5)
    events: list[AnyEvent] = []
    for number, link in enumerate(LINKS):
        events.append(Transition(number, link.name, Status.UP))
        for at_s in range(60, DAY_S, 60):
            at_us = at_s * S + rng.randrange(S)
            events.append(Sample(at_us, link.name, rtt_us=rng.randrange(38_000, 90_000)))
            if with_bandwidth:
                values = tuple(PACKET_BYTES * max(0, round(rng.gauss(80, 27))) for _ in range(60))
                events.append(Series(at_us, link.name, Quantities.CAPACITY, S, values))
    for at_s in range(3_000, DAY_S, 4_000):
        us = at_s * S + rng.randrange(S)
        events.append(Transition(us + 5 * S, "uplink", Status.DOWN, Cause.TIMEOUT, None, us, us - S, us + S))
        events.append(Transition(us + 90 * S, "uplink", Status.UP))
    events.sort(key=lambda event: event.at_us)
    recording = Recording(make_header(LINKS, title="a day"), (*events, End(DAY_S * S)))
    return b"".join(encode_recording(recording))


@pytest.mark.parametrize(("with_bandwidth", "size_max", "share_max"), [(False, 0.25, 0.2), (True, 3.0, 0.21)])
def test_a_day_fits_into_what_the_docs_say(with_bandwidth: bool, size_max: float, share_max: float) -> None:
    text = day(with_bandwidth=with_bandwidth)
    sizes = {name: len(packed(text, name)) / MB for name in ("", ".gz", ".zst")}
    assert sizes[""] <= size_max
    assert sizes[".gz"] <= share_max * sizes[""]
    assert sizes[".zst"] <= share_max * sizes[""]
