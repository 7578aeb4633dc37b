"""The gateway of a world: the real desk over the real store, over all the lives of its process.

Promises: the desk is the configured one (windows, lanes, budgets); each life is driven as edge/gateway.py drives it
(`tidegate.replay.life`); a crash is that of `kill -9`: the next life opens a copy of the very files, write-ahead log
included, that the last one left, and nothing of its memory. A crash inside a transaction is a
`tidegate.replay.failpoint`.
"""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from random import Random

from edge.config import EdgeConfig
from edge.desk import Desk
from edge.desk_rules import desk_rules
from edge.store import StoreError
from tidegate.replay.broker import Broker
from tidegate.replay.failpoint import Failpoint, copy_files
from tidegate.replay.history import History
from tidegate.replay.life import Life
from tidegate.replay.links import Link
from tidegate.replay.uplink import Uplink
from tidegate.replay.world import World

COMMIT_US = 2_000  # an fsync of a fair SD card or a small SSD

MakeDesk = Callable[[EdgeConfig, Path, Random], Desk]

DISK_BYTES = 2**40
"""What a simulated disk has left, unless a fault says otherwise: the machine's own disk must not change a run."""
STAGE_PRAGMAS = ("synchronous = OFF", "locking_mode = EXCLUSIVE")
"""Of the store on the stage only. A crash here is a copy of the files as the process wrote them, so an fsync changes
nothing that can be seen; and nobody else reads the file, so it needs no locks. Everything else is as in the field."""


def open_desk(config: EdgeConfig, data_dir: Path, rng: Random) -> Desk:
    """The desk as `tidegate edge run` opens it, but for the history that charts are drawn from. Raises `StoreError`."""
    return Desk(data_dir, rng, replace(desk_rules(config), history_bytes_max=0))


def _nobody_asks(_life: Life) -> None:
    """For a gateway without a stop watch."""


def _nobody_strays() -> None:
    """The stage's answer to whether somebody has deleted a file of the store: there is nobody, so none is looked at."""


class Gateway:
    """The gateway of one site over all its lives."""

    def __init__(
        self,
        world: World,
        config: EdgeConfig,
        broker: Broker,
        link: Link,
        uplink: Uplink,
        history: History,
        folder: Path,
        *,
        make_desk: MakeDesk = open_desk,
        commit_us: int = COMMIT_US,
        moved: Callable[[Life], None] = _nobody_asks,
    ) -> None:
        """`folder` is empty and the gateway's own. `moved` is told when the cloud's cursor may have moved."""
        self.world = world
        self.config = config
        self.broker = broker
        self.link = link
        self.uplink = uplink
        self.history = history
        self.commit_us = commit_us
        self.moved = moved
        self.life: Life | None = None
        self.lives = 0
        self.backlog_peak = 0
        self.disk_peak_bytes = 0
        self.clock_off_ms = 0
        self.failpoint: Failpoint | None = None
        self.refusals: dict[str, int] = {}
        self._disk_free_bytes = DISK_BYTES
        self._folder = folder
        self._make_desk = make_desk

    @property
    def wall_ms(self) -> int:
        """What the gateway's own wall clock says: it may be set wrongly."""
        return self.world.wall_ms + self.clock_off_ms

    def start(self) -> None:
        """Begin a life on what the last one left. Raises `StoreError`."""
        if self.life is not None:
            return
        self.lives += 1
        data_dir = self.folder_of(self.lives)
        if self.lives == 1:
            data_dir.mkdir()
        desk = self._make_desk(self.config, data_dir, self.world.rng("gateway", str(self.lives)))
        self.stage(desk)
        self.world.note(f"gateway starts: life {self.lives}, log at {desk.store.head}")
        self.life = Life(self, desk)
        self.life.start()

    def folder_of(self, life: int) -> Path:
        """Where a life has its files."""
        return self._folder / str(life)

    def stage(self, desk: Desk) -> None:
        """Put a store that was just opened on the stage."""
        for pragma in STAGE_PRAGMAS:
            desk.store.run(f"PRAGMA {pragma}")
        desk.store.free_bytes = lambda _folder: self._disk_free_bytes
        desk.store.strayed = _nobody_strays

    def crash(self) -> None:
        """Be killed. The next life gets the files as they lie on the disk now, or as a failpoint has copied them."""
        life, self.life = self.life, None
        if life is None:
            return
        self.world.note("gateway is killed")
        life.end()
        left, following = self.folder_of(self.lives), self.folder_of(self.lives + 1)
        if not following.exists():
            copy_files(left, following)
        life.desk.store.close()
        shutil.rmtree(left)

    def set_clock(self, by_ms: int) -> None:
        """Set the wall clock off by so much more."""
        self.clock_off_ms += by_ms
        self.world.note(f"gateway's clock is {self.clock_off_ms} ms off")
        if self.life is not None:
            self.life.clock_was_set()

    def fill_disk(self) -> None:
        """Somebody takes all that the disk has left: no page can be added, and the volume says so when it is asked."""
        self._disk_free_bytes = 0
        self.world.note("disk is full")
        if self.life is not None:
            self.life.desk.store.limit_pages(1)

    def free_disk(self) -> None:
        """There is room again."""
        self._disk_free_bytes = DISK_BYTES
        self.world.note("disk has room")
        if self.life is not None:
            self.life.desk.store.limit_pages(None)

    def refuses(self, error: StoreError) -> None:
        """Count what the store refuses, by kind."""
        kind = type(error).__name__
        self.refusals[kind] = self.refusals.get(kind, 0) + 1

    def close(self) -> None:
        """End the run in good order. Raises `StoreError`."""
        life, self.life = self.life, None
        if life is not None:
            life.end()
            life.desk.close()

    def saw_backlog(self, life: Life) -> None:
        """Keep the highest backlog."""
        self.backlog_peak = max(self.backlog_peak, life.backlog)
