"""Hypothesis strategies: any valid recording, and any faults, for properties that must hold for all of them.

    from hypothesis import given
    from tidegate.testing.strategies import faults, recordings

    @given(recordings(step_us_max=60_000_000), st.lists(faults(end_us=300_000_000), max_size=3))
    def test_nothing_is_ever_missing(recording, faults): ...

Needs the package hypothesis (the extra `testing`). Everything shrinks towards short, quiet recordings and early faults.
"""

from hypothesis import strategies as st

from edge.outages.events import (
    Anchor,
    AnyEvent,
    Cause,
    Close,
    End,
    Ending,
    Gap,
    Link,
    LinkKind,
    Quantities,
    Sample,
    Series,
    Status,
    Transition,
    UnknownWrite,
)
from edge.outages.recording import Recording, make_header
from tidegate.replay.faults import (
    BrokerRestart,
    ClockStep,
    DevicePowerCut,
    DeviceReset,
    DiskFull,
    Fault,
    GatewayCrash,
    StoreCrash,
)

STEP_US_MAX = 5_000_000
MOMENT_US_MAX = 10**12
DOWN_MS_MAX = 60_000
OPERATIONS_MAX = 150
CLOCK_STEP_MS_MAX = 3_600_000


@st.composite
def recordings(draw: st.DrawFn, *, events_max: int = 12, step_us_max: int = STEP_US_MAX) -> Recording:
    """Any valid recording of one or two links, with so many events, each at most so long after the one before."""
    links = [Link("uplink", LinkKind.UPLINK), Link("wifi-2", LinkKind.DEVICE)][: draw(st.integers(1, 2))]
    anchors = st.builds(Anchor, st.integers(0, MOMENT_US_MAX), st.integers(0, 2 * 10**15))
    title = draw(st.text(alphabet="abcdefghij äöü-", max_size=20))
    header = make_header(links, anchor=draw(st.none() | anchors), title=title)
    began_us = dict.fromkeys((link.name for link in links), 0)
    known_us = at_us = 0
    events: list[AnyEvent] = []
    for _ in range(draw(st.integers(0, events_max))):
        before_us, at_us = at_us, at_us + draw(st.integers(0, step_us_max))
        link = draw(st.sampled_from(sorted(began_us)))
        kind = draw(st.sampled_from(["transition", "transition", "sample", "series", "close", "unknown_write", "gap"]))
        if kind == "gap":
            events.append(Gap(at_us, draw(st.integers(before_us, at_us))))
            known_us, began_us = at_us, dict.fromkeys(began_us, at_us)
        elif kind == "transition":
            events.append(draw(transitions(link, max(began_us[link], known_us), at_us)))
            began_us[link] = events[-1].began if isinstance(events[-1], Transition) else 0
        elif kind == "series" and at_us > known_us:
            events.append(draw(series(link, known_us, at_us)))
        elif kind == "close":
            events.append(Close(at_us, link, draw(st.sampled_from(Ending))))
        elif kind == "unknown_write":
            events.append(UnknownWrite(at_us, link, draw(st.integers(0, at_us)), draw(st.integers(0, 2**40))))
        else:
            names = draw(st.sets(st.sampled_from(Quantities), min_size=1))
            events.append(Sample(at_us, link, **{name: draw(st.none() | st.integers(0, 10**6)) for name in names}))
    return Recording(header, (*events, End(at_us + draw(st.integers(0, step_us_max)))))


@st.composite
def transitions(draw: st.DrawFn, link: str, earliest_us: int, at_us: int) -> Transition:
    """A change of a link seen at `at_us`, which began at `earliest_us` or later."""
    status = draw(st.sampled_from(Status))
    cause = None if status is Status.UP else draw(st.sampled_from(Cause))
    http_status = draw(st.integers(100, 599)) if cause is Cause.HTTP else None
    began_us = draw(st.integers(earliest_us, at_us))
    bounds = draw(st.none() | st.tuples(st.integers(0, began_us), st.integers(began_us, at_us)))
    if bounds is None:
        return Transition(at_us, link, status, cause, http_status, began_us)
    return Transition(at_us, link, status, cause, http_status, began_us, *bounds)


@st.composite
def series(draw: st.DrawFn, link: str, earliest_us: int, at_us: int) -> Series:
    """Measured values of a span that begins at `earliest_us` or later and ends at `at_us`."""
    count = draw(st.integers(1, min(5, at_us - earliest_us)))
    step_us = draw(st.integers(1, (at_us - earliest_us) // count))
    values = draw(st.lists(st.integers(0, 10**6), min_size=count, max_size=count))
    return Series(at_us, link, draw(st.sampled_from(Quantities)), step_us, tuple(values))


def faults(*, end_us: int, devices: int = 1) -> st.SearchStrategy[Fault]:
    """Any fault of the parts before `end_us`, on a site of so many devices."""
    at_us, number = st.integers(0, end_us - 1), st.integers(0, devices - 1)
    down_ms = st.integers(0, DOWN_MS_MAX)
    return st.one_of(
        st.builds(GatewayCrash, at_us, down_ms),
        st.builds(StoreCrash, at_us, st.integers(1, OPERATIONS_MAX), down_ms),
        st.builds(DiskFull, at_us, down_ms),
        st.builds(ClockStep, at_us, st.integers(-CLOCK_STEP_MS_MAX, CLOCK_STEP_MS_MAX)),
        st.builds(BrokerRestart, at_us, down_ms, st.booleans()),
        st.builds(DeviceReset, at_us, number),
        st.builds(DevicePowerCut, at_us, number, down_ms),
    )
