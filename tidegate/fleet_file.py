"""A fleet's file as the front door reads it: the configuration, with the recordings that its links replay read in.

A recording is the gateway's word (`edge.outages`), which the devices' room does not speak: here it becomes the segments
that a `trace` link is made of. What the recording does not know counts as up: not known is not down.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

from edge.outages.events import Status
from edge.outages.recording import read_recording
from edge.outages.rules import RecordingError, UnknownLinkError
from firmware_sim.config import DeviceGroup, FleetConfig
from firmware_sim.radio_config import SegmentConfig, TraceLinkConfig
from tidegate.config import load
from tidegate.errors import ConfigError, Problem

_US_PER_S = 1_000_000
_US_PER_MS = 1_000
_PPM = 1_000_000
_STATES: dict[Status | None, str] = {Status.UP: "up", Status.DEGRADED: "degraded", Status.DOWN: "down", None: "up"}


def load_fleet(path: Path | None, environ: Mapping[str, str]) -> FleetConfig:
    """Read and validate; see `tidegate.config.load`. Raises ConfigError."""
    return load(FleetConfig, "SENSORS", path, environ)


def with_recordings(config: FleetConfig, source: str) -> FleetConfig:
    """The same fleet, each link that names a recording with its segments. Raises ConfigError with `source` and key."""
    groups = [_group(group, f"devices.{at}.radio.link", source) for at, group in enumerate(config.devices)]
    return config.model_copy(update={"devices": tuple(groups)})


def _group(group: DeviceGroup, key: str, source: str) -> DeviceGroup:
    link = None if group.radio is None else group.radio.link
    if group.radio is None or not isinstance(link, TraceLinkConfig) or link.file is None:
        return group
    try:
        segments = tuple(_segments(link.file, link.link))
    except OSError as error:
        detail = f"expected a readable recording, found {str(link.file)!r} ({error.strerror})"
        raise ConfigError((Problem(source, f"{key}.file", detail),)) from error
    except UnknownLinkError as error:
        raise ConfigError((Problem(source, f"{key}.link", str(error)),)) from error
    except RecordingError as error:
        raise ConfigError((Problem(source, f"{key}.file", f"{link.file}: {error}"),)) from error
    if link.loop_s is not None and link.loop_s <= segments[-1].from_s:
        detail = f"expected more than {segments[-1].from_s:g}, where its last change is, found {link.loop_s:g}"
        raise ConfigError((Problem(source, f"{key}.loop_s", detail),))
    radio = group.radio.model_copy(
        update={"link": TraceLinkConfig(kind="trace", segments=segments, loop_s=link.loop_s)}
    )
    return group.model_copy(update={"radio": radio})


def _segments(file: Path, link: str | None) -> Iterator[SegmentConfig]:
    """Neighbours that fare alike are one. Raises `RecordingError`, `UnknownLinkError`, OSError."""
    recording = read_recording(file)
    before: dict[str, object] | None = None
    for segment in recording.timeline(link or recording.link_names[0]).segments():
        state = segment.state
        fares: dict[str, object] = {
            "state": _STATES[state.status],
            "latency_ms": round((state.latency_us or 0) / _US_PER_MS),
            "loss": (state.loss_ppm or 0) / _PPM,
            "bandwidth_bytes_per_s": state.bandwidth_bytes_per_s or None,
        }
        if fares != before:
            yield SegmentConfig.model_validate({"from_s": segment.start_us / _US_PER_S, **fares})
        before = fares
