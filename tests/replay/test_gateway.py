"""The gateway of a world is driven as the real shell drives it, and its crash is one."""

from collections.abc import Sequence
from pathlib import Path

from edge.config import EdgeConfig, StoreSettings
from edge.desk import Desk
from edge.feedback import Downlink
from edge.ingest import Ingested, Message
from edge.store import StoreFull
from tests.replay.kit import outage
from tests.replay.mutants import planted
from tidegate.replay.checkers import ledger_entries
from tidegate.replay.faults import GatewayCrash
from tidegate.replay.gateway import open_desk
from tidegate.replay.run import Fleet, Run, Scenario, run
from tidegate.replay.world import US_PER_S

SMALL = Scenario(fleet=Fleet(3, 10_000), faults_s=120)


def test_a_crash_leaves_the_files_as_they_lie_and_nothing_of_the_memory(tmp_path: Path) -> None:
    life = Run(SMALL, open_desk, tmp_path)
    life.start()
    life.world.run_until(60 * US_PER_S)
    before = life.gateway.life
    assert before is not None
    received = {key: list(entry.received) for key, entry in ledger_entries(before.desk)}
    head = before.desk.store.head
    life.gateway.crash()
    (left,) = tmp_path.iterdir()
    assert (left / "gateway.sqlite-wal").stat().st_size > 0  # not checkpointed, as a closed store would be
    life.gateway.start()
    after = life.gateway.life
    assert after is not None
    assert after is not before
    assert after.desk.store.head == head > 0
    assert {key: list(entry.received) for key, entry in ledger_entries(after.desk)} == received
    life.world.run_until(120 * US_PER_S)
    life.converge()
    assert life.verdict().passed
    life.gateway.close()


def test_a_dead_life_hears_nothing_any_more(tmp_path: Path) -> None:
    life = Run(SMALL, open_desk, tmp_path)
    life.start()
    life.world.run_until(60 * US_PER_S)
    life.gateway.crash()
    life.world.run_until(100 * US_PER_S)  # whatever it had planned comes due
    assert life.gateway.life is None
    assert life.broker.waiting("tidegate-gateway") > 0


class CountsCommits(Desk):
    """Remembers how many messages each transaction held."""

    groups: list[int]

    def take_in(self, messages: Sequence[Message], now_ms: int, wall_ms: int) -> tuple[Ingested, list[Downlink]]:
        type(self).groups.append(len(messages))
        return super().take_in(messages, now_ms, wall_ms)


def test_messages_that_come_close_together_share_a_commit() -> None:
    def groups(commit_wait_ms: int, commit_rows_max: int) -> list[int]:
        CountsCommits.groups = []
        store = StoreSettings(commit_wait_ms=commit_wait_ms, commit_rows_max=commit_rows_max)
        busy = Scenario(fleet=Fleet(10, 1_000), faults_s=60, gateway=EdgeConfig(store=store))
        assert run(busy, make_desk=planted(CountsCommits)).passed
        return CountsCommits.groups

    alone, grouped, bounded = groups(0, 4096), groups(1_000, 4096), groups(1_000, 3)
    assert len(grouped) < len(alone) / 5
    assert max(grouped) > 3
    assert max(bounded) == 3


class FullOnce(Desk):
    """Has no room for a while."""

    refusals: int

    def take_in(self, messages: Sequence[Message], now_ms: int, wall_ms: int) -> tuple[Ingested, list[Downlink]]:
        if 20_000 <= now_ms < 40_000:
            type(self).refusals += 1
            raise StoreFull("no room")
        return super().take_in(messages, now_ms, wall_ms)


def test_a_full_store_is_asked_again_every_second_and_acknowledges_nothing_meanwhile() -> None:
    FullOnce.refusals = 0
    verdict = run(SMALL, make_desk=planted(FullOnce))
    assert verdict.passed
    assert 15 <= FullOnce.refusals <= 21


def test_a_crash_while_it_is_down_and_a_start_while_it_lives_do_nothing() -> None:
    kills = (GatewayCrash(30 * US_PER_S, 20_000), GatewayCrash(35 * US_PER_S, 1_000))
    verdict = run(Scenario(fleet=Fleet(3, 10_000), faults_s=120, faults=kills, uplink=outage(20, 60, end_s=120)))
    assert verdict.passed
    assert verdict.gateway_lives == 2
