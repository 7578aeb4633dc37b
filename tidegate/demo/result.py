"""What a run found out: the document of `tidegate demo --json`, and whether it passed."""

from pydantic import BaseModel, ConfigDict


class OutageResult(BaseModel):
    """One outage. `catch_up_s` None: the run ended before it was caught up with."""

    model_config = ConfigDict(frozen=True)

    cause: str
    lasted_s: float
    backlog_peak: int
    catch_up_s: float | None


class Result(BaseModel):
    """Counts of readings, unless the name says otherwise. `ok` only if `problems` is empty."""

    model_config = ConfigDict(frozen=True)

    ok: bool
    problems: tuple[str, ...]
    seconds: float
    devices: int
    sent: int
    acknowledged: int
    stored: int
    in_cloud: int
    missing: int
    wrong: int
    duplicates: int
    unexpected: int
    changed_in_cloud: int
    duplicates_recognised: int
    quarantined: int
    ledger_balances: bool
    gateway_kills: int
    outages_survived: int
    outages: tuple[OutageResult, ...]
    folder: str
