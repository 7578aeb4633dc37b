"""The simulated world: real gateway core and store, real device firmware, and all between them, in virtual time.

Public: `replay` (a recording on a site, to a `Verdict`) and what it takes and gives. Everything else is for tests that
build worlds of their own.
"""

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
from tidegate.replay.history import Promise, Violation
from tidegate.replay.site import SiteConfig
from tidegate.replay.stage import make_scenario, read_site, replay
from tidegate.replay.verdict import Moment, OutageResult, Verdict

__all__ = [
    "BrokerRestart",
    "ClockStep",
    "DevicePowerCut",
    "DeviceReset",
    "DiskFull",
    "Fault",
    "GatewayCrash",
    "Moment",
    "OutageResult",
    "Promise",
    "SiteConfig",
    "StoreCrash",
    "Verdict",
    "Violation",
    "make_scenario",
    "read_site",
    "replay",
]
