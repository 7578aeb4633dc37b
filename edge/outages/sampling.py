"""Turns what traffic shows of a link into at most one sample a minute: round trip, throughput, loss.

Promises: bounded: a link costs at most 1440 lines a day, however much it carries; a value is written only when it is
not about what was written before, so a calm link costs nearly nothing. The round trip is the shortest of the minute
(time a server needs, and time a large body takes, only ever add to it); throughput is what was carried, not what could
have been; loss is the share of data segments that TCP sent again.
"""

import msgspec

from edge.outages.events import PPM, Measured, Sample
from edge.outages.observations import Observation

SAMPLE_EVERY_US = 60_000_000
"""A line of about 110 bytes a minute on each of two links is 0.3 MB a day at the very most."""
SAME_PART = 5
"""A value within a fifth of the one before says nothing new: a replay with either behaves alike."""
SEGMENTS_MIN = 20
"""Of fewer segments a share says nothing: one resent in three is not a loss of a third."""
_SECOND_US = 1_000_000


class Sampler:
    """Collects the traffic of one link."""

    def __init__(self, link: str, now_us: int) -> None:
        self._link = link
        self._since_us = now_us
        self._written: dict[str, int] = {}
        self._rtt_us: int | None = None
        self._bytes = 0
        self._segments = 0
        self._resent = 0

    @property
    def values(self) -> dict[str, int]:
        """The values as last written, by the names of a sample's fields."""
        return dict(self._written)

    def note(self, seen: Observation) -> None:
        """Take an attempt into account, whatever came of it."""
        self._segments += seen.segments
        self._resent += seen.resent
        if seen.failure is None:
            self.carried(seen.sent_bytes, seen.rtt_us)

    def carried(self, count_bytes: int, rtt_us: int | None = None) -> None:
        """So many bytes went through; a round trip took so long."""
        self._bytes += count_bytes
        if rtt_us is not None:
            self._rtt_us = rtt_us if self._rtt_us is None else min(self._rtt_us, rtt_us)

    def sample(self, now_us: int) -> Sample | None:
        """The sample that is due, if one is and if it says anything new."""
        span_us = now_us - self._since_us
        if span_us < SAMPLE_EVERY_US:
            return None
        values = {"throughput_bytes_per_s": self._bytes * _SECOND_US // span_us}
        if self._rtt_us is not None:
            values["rtt_us"] = self._rtt_us
        if self._segments >= SEGMENTS_MIN:
            values["loss_ppm"] = min(PPM, self._resent * PPM // self._segments)
            self._segments = self._resent = 0
        self._since_us, self._rtt_us, self._bytes = now_us, None, 0
        news = {name: value for name, value in values.items() if not self._is_known(name, value)}
        self._written.update(news)
        return _sample(now_us, self._link, news) if news else None

    def _is_known(self, name: str, value: int) -> bool:
        known = self._written.get(name)
        return known is not None and abs(value - known) * SAME_PART <= known


def _sample(at_us: int, link: str, values: dict[str, int]) -> Sample:
    def of(name: str) -> Measured:
        return values.get(name, msgspec.UNSET)

    return Sample(
        at_us,
        link,
        rtt_us=of("rtt_us"),
        throughput_bytes_per_s=of("throughput_bytes_per_s"),
        loss_ppm=values.get("loss_ppm", msgspec.UNSET),
    )
