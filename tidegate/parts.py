"""The four parts that can run alone: which configuration each takes and how it is started and stopped.

Every import of a room happens inside a function: `tidegate --help` loads no room, and a package that is missing hurts
only the part that needs it.
"""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Final

import structlog
from pydantic import BaseModel

from tidegate.process import until_stopped

log = structlog.stdlib.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Part:
    """One part of the system, as the front door sees it.

    section: its word in the environment's names. start: `start(config, stop)` serves until `stop` is set. taken: its
    own errors for what others hold or this user may not write. misconfigured: its own errors for a setting that turns
    out wrong only when it is used.
    """

    section: str
    model: type[BaseModel]
    start: Callable[[Any, asyncio.Event], Coroutine[Any, Any, None]]
    taken: tuple[type[Exception], ...] = ()
    misconfigured: tuple[type[Exception], ...] = ()


def sensors() -> Part:
    """The fleet of simulated devices."""
    from firmware_sim.battery_file import BatteryFileError
    from firmware_sim.build import FleetError
    from firmware_sim.config import FleetConfig
    from firmware_sim.fleet import FleetBusyError, serve
    from firmware_sim.start_file import StartFileError
    from firmware_sim.truth import TruthFileError
    from sensors.clock import SystemClock

    async def start(config: FleetConfig, stop: asyncio.Event) -> None:
        report = await serve(config, SystemClock(), _ready("sensors"), stop)
        log.info(
            "fleet is switched off",
            devices=len(report.devices),
            held=report.held,
            lost=report.lost,
            late_ms_max=round(report.late_ms_max),
        )

    misfits = (FleetError, BatteryFileError, StartFileError, TruthFileError)
    return Part("SENSORS", FleetConfig, start, taken=(FleetBusyError,), misconfigured=misfits)


def edge() -> Part:
    """The gateway."""
    from edge.access.settings import BadCertificate
    from edge.api import PortInUse
    from edge.config import EdgeConfig
    from edge.gateway import serve
    from edge.store.errors import StoreLocked, StoreUnusable
    from sensors.clock import SystemClock

    async def start(config: EdgeConfig, stop: asyncio.Event) -> None:
        await until_stopped(serve(config, SystemClock(), ready=_ready("edge")), stop)

    return Part("EDGE", EdgeConfig, start, (StoreLocked, StoreUnusable, PortInUse), (BadCertificate,))


def cloud() -> Part:
    """The embedded cloud."""
    from cloud.config import CloudConfig, TokenUnreadableError
    from cloud.points import StoreUnusableError
    from cloud.server import CannotListenError, serve

    async def start(config: CloudConfig, stop: asyncio.Event) -> None:
        await until_stopped(serve(config, ready=_ready("cloud")), stop)

    taken = (CannotListenError, StoreUnusableError)
    return Part("CLOUD", CloudConfig, start, taken, misconfigured=(TokenUnreadableError,))


def broker() -> Part:
    """The embedded broker of the demo."""
    from tidegate.broker import BrokerConfig, serve

    async def start(config: BrokerConfig, stop: asyncio.Event) -> None:
        await until_stopped(serve(config, ready=_ready("broker")), stop)

    return Part("BROKER", BrokerConfig, start)


PARTS: Final[dict[str, Callable[[], Part]]] = {"sensors": sensors, "edge": edge, "cloud": cloud, "broker": broker}


def _ready(name: str) -> Callable[..., None]:
    """What a part calls once it serves; the broker says on which port."""

    def ready(*port: int) -> None:
        log.info("ready", part=name, **({"port": port[0]} if port else {}))

    return ready
