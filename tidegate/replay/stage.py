"""The front door of replay: a recording and a site become a run, and the run a verdict.

    verdict = replay("tunnel.outage.jsonl", site="site.toml", seed=7, faults=[GatewayCrash(at_us=600_000_000)])

Which link of the recording is whose: the uplink is the link of that kind (named `uplink`, if there are several);
`devices` is the gateway's link to its broker, as the gateway records it; a link with the name of a device of the fleet
(`device-000`, ...) is that device's; any other links of devices are dealt out over the fleet in turn.
"""

from collections.abc import Iterable
from pathlib import Path

from edge.outages.events import LinkKind
from edge.outages.observations import DEVICES, UPLINK
from edge.outages.recording import Recording, read_recording
from edge.outages.timeline import LinkTimeline
from tidegate.config import load
from tidegate.replay.faults import Fault
from tidegate.replay.gateway import MakeDesk, open_desk
from tidegate.replay.run import run
from tidegate.replay.scenario import Scenario
from tidegate.replay.site import SiteConfig
from tidegate.replay.verdict import Verdict
from tidegate.replay.world import US_PER_S

CHECKS = 500  # of a whole run, unless the site says how often
CHECK_EVERY_S_MIN = 60


def replay(
    recording: Recording | Path | str,
    site: SiteConfig | Path | str | None = None,
    *,
    seed: int = 1,
    faults: Iterable[Fault] = (),
    make_desk: MakeDesk = open_desk,
) -> Verdict:
    """Live through a recording, and say what came of it. `faults` come on top of those of the site.

    Without a `site`: twenty devices, one reading a minute each, and a gateway as delivered. `make_desk` opens another
    gateway core than the real one. Raises `RecordingError`, `ConfigError`, `OSError` for input that cannot be used.
    """
    recording = recording if isinstance(recording, Recording) else read_recording(Path(recording))
    site = site if isinstance(site, SiteConfig) else read_site(None if site is None else Path(site))
    return run(make_scenario(recording, site, seed=seed, faults=faults), make_desk=make_desk)


def read_site(path: Path | None) -> SiteConfig:
    """A checked `site.toml`; None: the defaults. The environment is not asked. Raises `ConfigError`, `OSError`."""
    return load(SiteConfig, "SITE", path, {})


def make_scenario(recording: Recording, site: SiteConfig, *, seed: int = 1, faults: Iterable[Fault] = ()) -> Scenario:
    """The scenario of a recording on a site."""
    faults_s = max(1, -(-recording.end_us // US_PER_S))
    uplink, broker_link, device_links = _links(recording, site)
    settings = site.replay
    return Scenario(
        seed=seed,
        fleet=site.fleet.fleet(),
        faults_s=faults_s,
        converge_s=settings.converge_s,
        check_every_s=settings.check_every_s or max(CHECK_EVERY_S_MIN, faults_s // CHECKS),
        uplink=uplink,
        broker_link=broker_link,
        device_links=device_links,
        faults=(*(each.fault() for each in site.faults), *faults),
        broker=site.broker.spec(),
        gateway=site.edge(),
        commit_us=settings.commit_us,
    )


def _links(
    recording: Recording, site: SiteConfig
) -> tuple[LinkTimeline | None, LinkTimeline | None, dict[int, LinkTimeline]]:
    kinds = {link.name: link.kind for link in recording.header.links}
    uplinks = [name for name, kind in kinds.items() if kind is LinkKind.UPLINK]
    others = [name for name, kind in kinds.items() if kind is LinkKind.DEVICE and name != DEVICES.name]
    fleet = site.fleet.fleet()
    names = [fleet.spec(number).name for number in range(fleet.devices)]
    dealt = [name for name in others if name not in names]
    of_device = {
        number: name if name in others else dealt[number % len(dealt)]
        for number, name in enumerate(names)
        if name in others or dealt
    }
    timelines = {name: recording.timeline(name) for name in {*of_device.values()}}
    uplink = UPLINK.name if UPLINK.name in uplinks else next(iter(uplinks), None)
    return (
        None if uplink is None else recording.timeline(uplink),
        recording.timeline(DEVICES.name) if DEVICES.name in kinds else None,
        {number: timelines[name] for number, name in of_device.items()},
    )
