"""Kills the gateway (-9) again and again under load against a real Mosquitto, and proves that nothing was lost.

    python -m tests.crash.kill_loop --kills 200 [--seed 1] [--dir FOLDER]

The moments: any; before and after the commit's fsync (slowed by strace); inside a commit's and inside a checkpoint's
writes (strace delivers the SIGKILL on entering the k-th of them); inside the writes of a start that migrates the store
of an earlier version; inside a request to the cloud, before its answer
arrives, and right after. After every kill the store is opened as it was left: every reading that the gateway has
acknowledged to its device must be in it. At the end every reading that the broker ever took must be in the cloud
exactly once with its values, and the ledger must say so. Prints a table; exit code 0 only if all of that holds.
"""

import argparse
import json
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from random import Random
from typing import TextIO

from edge.desk import DESTINATION, STORE_FILE
from edge.ledger import DELIVERED, RECEIVED
from edge.store.lock import Left, StoreLock
from tests.crash.load import BOOT, Load
from tests.crash.relay import Moment, StrikingRelay
from tests.edge.kit import open_desk
from tests.live.house import House, house, quiet_port, wait_until
from tidegate.demo.proof import Proof

PROGRESS_MAX_READINGS = 400  # a life lasts until the gateway acknowledged up to so many more, and a moment longer
MOMENT_MAX_S = 0.3
LIFE_MAX_S = 5.0  # a moment that does not come within this (no checkpoint was due) is replaced by "any"
FSYNC_SLOWED_US = 20_000
MIGRATION_WRITES = 40  # what `UNDO_MIGRATIONS` takes to do again, at least
UNDO_MIGRATIONS = """
DROP TABLE IF EXISTS ledger_untold;
DROP INDEX IF EXISTS quarantine_source;
DELETE FROM _sqlite_migrations
WHERE name IN ('m0009_quarantine_by_destination', 'm0012_ledger_untold', 'm0012_quarantine_by_source');
"""
BROKER = "autosave_on_changes false"
"""The broker is not killed here, and saving its whole queue for every message makes it the slowest part by far."""


ALERT_RULES = [
    {"name": "high", "kind": "threshold", "value": "x", "above": 3, "hysteresis": 1},
    {"name": "fast", "kind": "rate_of_change", "value": "x", "above": 1, "window_s": 5},
    {"name": "silent", "kind": "no_data", "after_s": 2},
]
"""A reader of the log with a cursor of its own, beside the windows and the lanes, which are on by default."""


class Kind(StrEnum):
    """When a life ends. A short run takes the first ones."""

    ANY = "any moment"
    BEFORE_FSYNC = "before the commit's fsync"
    AFTER_FSYNC = "after the commit's fsync"
    COMMIT_WRITE = "inside a commit's writes"
    CHECKPOINT_WRITE = "inside a checkpoint's writes"
    MIGRATION = "inside a migration's writes"
    REQUEST = "inside a request to the cloud"
    ANSWER = "before the cloud's answer arrives"
    ANSWERED = "after the cloud's answer"
    CHECKPOINT_FSYNC = "at a checkpoint's fsync"


_BY_STRACE = {
    Kind.BEFORE_FSYNC: ("-wal", f"fdatasync:delay_enter={FSYNC_SLOWED_US}", None),
    Kind.AFTER_FSYNC: ("-wal", f"fdatasync:delay_exit={FSYNC_SLOWED_US}", None),
    Kind.COMMIT_WRITE: ("-wal", "pwrite64:signal=KILL:when={k}", 600),
    Kind.CHECKPOINT_WRITE: ("", "pwrite64:signal=KILL:when={k}", 60),
    Kind.CHECKPOINT_FSYNC: ("", "fdatasync:signal=KILL:when={k}", 2),
    Kind.MIGRATION: ("-wal", "pwrite64:signal=KILL:when={k}", MIGRATION_WRITES),
}
"""Which file of the store, what strace does to it, and the highest k (None: the kill comes from here)."""

_BY_RELAY = {Kind.REQUEST: Moment.REQUEST, Kind.ANSWER: Moment.ANSWER, Kind.ANSWERED: Moment.ANSWERED}


@dataclass
class Result:
    """What a run found. `lost_at_kill`: readings that were acknowledged to a device and not in the store afterwards."""

    kills: Counter[Kind] = field(default_factory=Counter)
    missed: Counter[Kind] = field(default_factory=Counter)
    connected: int = 0
    lost_at_kill: int = 0
    unbalanced: int = 0
    acknowledged: int = 0
    ledger_is_exact: bool = False
    changed_points: int = -1
    redelivered: int = 0
    proof: Proof | None = None

    @property
    def holds(self) -> bool:
        """Whether every promise was kept."""
        return (
            self.lost_at_kill == self.unbalanced == self.changed_points == 0
            and self.ledger_is_exact
            and self.proof is not None
            and self.proof.holds
        )

    def table(self) -> str:
        """For people."""
        assert self.proof is not None
        lines = [f"{'killed':38} {'kills':>6} {'missed':>7}"]
        lines += [f"{kind:38} {self.kills[kind]:6} {self.missed[kind]:7}" for kind in Kind]
        proof, exact = self.proof, "yes" if self.ledger_is_exact else "NO"
        lines.append(f"{'together':38} {self.kills.total():6} {self.missed.total():7}")
        lines.append(f"of these lives, {self.connected} had the broker's session before they ended")
        lines.append(f"readings published {proof.sent}, in the cloud {proof.in_cloud}, missing {proof.missing}")
        lines.append(f"in the cloud twice {proof.duplicates}, wrong {proof.wrong}, overwritten {self.changed_points}")
        lines.append(f"acknowledged to devices {self.acknowledged}, not in the store after a kill {self.lost_at_kill}")
        lines.append(f"ledgers that did not balance {self.unbalanced}; exact at the end: {exact}")
        lines.append("everything holds" if self.holds else f"BROKEN: {proof.examples}")
        return "\n".join(lines)


class KillLoop:
    """One run."""

    def __init__(self, lab: House, relay: StrikingRelay, rng: Random, say: Callable[[str], None]) -> None:
        self._lab, self._relay, self._rng, self._say = lab, relay, rng, say
        self._load = Load(lab.broker.port, lab.topic_root, Random(rng.random()))
        self._result = Result()
        self._kinds = [kind for kind in Kind if kind not in _BY_STRACE or strace_works()]
        self._store = lab.folder / "edge" / STORE_FILE

    def run(self, kills: int) -> Result:
        """Kill so many times, then prove."""
        self._lab.cloud.start()
        self._start([])
        self._load.start()
        for number in range(kills):
            kind = self._kinds[number % len(self._kinds)]
            self._live_and_die(kind)
            self._say(f"kill {number + 1}: {kind}; {self._load.acked_total()} readings acknowledged")
        self._start([])
        self._load.finish()
        return self._settle()

    def _start(self, wrapper: Sequence[str]) -> None:
        self._lab.gateway.wrapper = list(wrapper)
        self._lab.gateway.start()
        self._lab.gateway.wait_for("broker connected")

    def _live_and_die(self, kind: Kind) -> None:
        gateway, rng = self._lab.gateway, self._rng
        dies_by_itself = kind in _BY_RELAY or (kind in _BY_STRACE and _BY_STRACE[kind][2] is not None)
        wants = self._load.acked_total() + rng.randint(1, PROGRESS_MAX_READINGS)
        if kind in _BY_STRACE or not gateway.is_alive:
            if gateway.is_alive:
                gateway.kill()
            if kind is Kind.MIGRATION:
                self._make_the_store_older()
            gateway.wrapper = self._strace(kind) if kind in _BY_STRACE else []
            gateway.launch()
            gateway.wait_for_or_end("broker connected")
        self._result.connected += gateway.is_alive
        if kind in _BY_RELAY:
            self._relay.strike(_BY_RELAY[kind], lambda: gateway.send(signal.SIGKILL))
        if dies_by_itself:
            died = self._dies(LIFE_MAX_S)
        else:
            self._load.wait_for_acked(wants, LIFE_MAX_S)
            self._dies(rng.uniform(0, MOMENT_MAX_S))
            died = False
        self._relay.disarm()
        acked = self._load.acked()
        if gateway.is_alive:
            gateway.send(signal.SIGKILL)
        code = gateway.join()
        assert code == -signal.SIGKILL, f"it ended by itself with {code}: {gateway.log[-3:]} {gateway.stray[-3:]}"
        self._result.kills[kind] += 1
        self._result.missed[kind] += dies_by_itself and not died
        self._look_into_the_store(acked)

    def _make_the_store_older(self) -> None:
        """As a version before some migrations leaves it when it ends well."""
        with closing(sqlite3.connect(self._store)) as db:
            db.executescript(UNDO_MIGRATIONS)
        lock = StoreLock(self._store)
        lock.mark(Left.CLOSED)
        lock.release()

    def _dies(self, within_s: float) -> bool:
        try:
            self._lab.gateway.wait_for_end(within_s)
        except subprocess.TimeoutExpired:
            return False
        return True

    def _strace(self, kind: Kind) -> list[str]:
        suffix, inject, highest = _BY_STRACE[kind]
        if highest is not None:
            inject = inject.format(k=self._rng.randint(1, highest))
        call = inject.partition(":")[0]
        path = f"{self._store}{suffix}"
        return [
            "strace",
            "-f",
            "-D",
            "-qq",
            "-o",
            "/dev/null",
            "-P",
            path,
            "-e",
            f"trace={call}",
            "-e",
            f"inject={inject}",
        ]

    def _look_into_the_store(self, acked: dict[str, int]) -> None:
        """On a copy: looking must not mend what the next life has to mend."""
        with tempfile.TemporaryDirectory() as folder:
            for suffix in ("", "-wal"):
                source = Path(f"{self._store}{suffix}")
                if source.exists():
                    shutil.copy(source, folder)
            desk = open_desk(Path(folder))
            keys = {desk.store.device_name(key)[1]: key for key in range(1, desk.store.device_count + 1)}
            for device, seq in acked.items():
                held = desk.ledger.acknowledged_through(keys[device], BOOT) if device in keys else -1
                self._result.lost_at_kill += max(0, seq - held)
            self._result.unbalanced += not desk.ledger.balance(DESTINATION).balances
            desk.close()

    def _settle(self) -> Result:
        lab, result, truth = self._lab, self._result, self._load.truth()
        wait_until(lambda: lab.status().ledger.delivered >= len(truth), "the cloud has all", 120)
        result.acknowledged = self._load.acked_total()
        result.redelivered = lab.status().ledger.duplicates
        result.changed_points = lab.changed_points()
        assert lab.gateway.stop() == 0
        result.ledger_is_exact = self._ledger_is_exact(Counter(line.device for line in truth))
        result.proof = lab.prove_against(truth)
        return result

    def _ledger_is_exact(self, counts: Counter[str]) -> bool:
        desk = open_desk(self._store.parent)
        try:
            balance, totals = desk.ledger.balance(DESTINATION), desk.ledger.totals
            found = {
                desk.store.device_name(key)[1]: {name: list(seqs) for name, seqs in account.entries.items() if seqs}
                for key, _, account in desk.ledger.accounts()
            }
        finally:
            desk.close()
        whole = {
            device: {RECEIVED: [(0, count - 1)], f"{DELIVERED}/{DESTINATION}": [(0, count - 1)]}
            for device, count in counts.items()
        }
        sums = (totals[RECEIVED], totals[f"{DELIVERED}/{DESTINATION}"], balance.held, totals["lost"])
        return found == whole and balance.balances and sums == (counts.total(), counts.total(), 0, 0)


def strace_works() -> bool:
    """Whether strace is here and may trace."""
    try:
        tried = ["strace", "-qq", "-o", "/dev/null", "true"]
        return subprocess.run(tried, stderr=subprocess.DEVNULL, check=False).returncode == 0
    except FileNotFoundError:
        return False


def kill_loop(folder: Path, kills: int, seed: int, say: Callable[[str], None] = lambda _: None) -> Result:
    """Run in `folder`, which must be empty."""
    with ExitStack() as stack:
        cloud_port = quiet_port()
        relay = stack.enter_context(closing(StrikingRelay(cloud_port)))
        edge = {"influx": {"url": f"http://127.0.0.1:{relay.port}"}, "rules": ALERT_RULES}
        lab = stack.enter_context(house(folder, broker_extra=BROKER, cloud_port=cloud_port, edge=edge))
        return KillLoop(lab, relay, Random(seed), say).run(kills)


def _say(stream: TextIO, line: str) -> None:
    stream.write(line + "\n")
    stream.flush()


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--dir", type=Path, help="where to work; kept. Default: a temporary folder")
    arguments = parser.parse_args()
    with ExitStack() as stack:
        folder = arguments.dir or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        result = kill_loop(folder, arguments.kills, arguments.seed, lambda line: _say(sys.stderr, line))
    _say(sys.stdout, result.table())
    _say(sys.stdout, json.dumps({"kills": result.kills.total(), "holds": result.holds}))
    return 0 if result.holds else 1


if __name__ == "__main__":
    sys.exit(main())
