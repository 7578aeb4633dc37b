"""A real LoRaWAN year against its simulation: loss, bursts, clock and the cell's voltage law.

    python -m bench.lorawan_year            the scenario's year as figures, beside the published ones
    python -m bench.lorawan_year plot.png   and as a picture

The published figures: CampusIoT, Tour Perret (ODbL-1.0), an Elsys EMS, 2023-06 to 2024-07, 20,320 uplinks.
"""

import sys
import time
import tomllib
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import matplotlib as mpl
import msgspec
import numpy as np
import numpy.typing as npt

from firmware_sim.config import FleetConfig
from firmware_sim.virtual import run_virtual

SCENARIO = Path(__file__).parents[1] / "examples" / "fleet-lorawan-year.toml"
DAY_MS = 86_400_000
DAYS = 399
Floats = npt.NDArray[np.float64]

mpl.use("Agg")


@dataclass(frozen=True, slots=True)
class Year:
    """What a receiver can work out of a run. Voltage: `mv_at_20` + `mv_per_k` (T - 20) + `mv_per_day` days."""

    sent: int
    received: int
    loss_percent: float
    burst_frames: float
    clock_ppm: float
    mv_at_20: float
    mv_per_k: float
    mv_per_day: float
    rmse_mv: float


PUBLISHED = Year(20_534, 20_320, 1.043, 5.30, -23.0, 3591.9, 2.46, -0.207, 4.5)


@dataclass(frozen=True, slots=True)
class Frames:
    """What arrived: number, day, temperature and voltage of each frame."""

    seq: npt.NDArray[np.int64]
    day: Floats
    temperature_c: Floats
    voltage_mv: Floats


def frames_of(days: int = DAYS, **changes: Any) -> Frames:
    """Run the scenario and read what arrived; `changes`: other values for keys of the file."""
    config = FleetConfig.model_validate(tomllib.loads(SCENARIO.read_text(encoding="utf-8")) | changes)
    written: list[bytes] = []
    run_virtual(config, days * DAY_MS, written.append)
    lines = [msgspec.json.decode(line) for line in b"".join(written).splitlines()]
    values = [{name: value for name, value, _ in line["values"]} for line in lines]
    start_ms = config.virtual_start.timestamp() * 1000
    return Frames(
        np.array([line["seq"] for line in lines]),
        np.array([(line["received_at_ms"] - start_ms) / DAY_MS for line in lines]),
        np.array([each["temperature"] for each in values]),
        np.array([1000 * each["battery_voltage"] for each in values]),
    )


def judge(frames: Frames, interval_s: float = 1680.0) -> Year:
    """Work the figures out, as they were of the real year: from what arrived alone."""
    sent = int(frames.seq[-1]) + 1
    lost = np.ones(sent, dtype=bool)
    lost[frames.seq] = False
    bursts = [len(list(run)) for is_lost, run in groupby(lost) if is_lost]
    # The time between frames is counted by the device's crystal: a slow one makes it longer.
    span_s = 86_400 * (frames.day[-1] - frames.day[0])
    counted_s = interval_s * (frames.seq[-1] - frames.seq[0])
    terms = np.stack([np.ones_like(frames.day), frames.temperature_c - 20, frames.day], axis=1)
    fit, *_ = np.linalg.lstsq(terms, frames.voltage_mv, rcond=None)
    rmse = float(np.sqrt(np.mean((terms @ fit - frames.voltage_mv) ** 2)))
    return Year(
        sent,
        len(frames.seq),
        100 * float(lost.mean()),
        float(np.mean(bursts)) if bursts else 0.0,
        float(1e6 * (counted_s / span_s - 1)),
        *(float(each) for each in fit),
        rmse,
    )


def draw(frames: Frames, year: Year, path: Path) -> None:
    """Voltage over the year beside the published law, and how long bursts of loss are."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 6.4), layout="constrained")
    law = PUBLISHED.mv_at_20 + PUBLISHED.mv_per_k * (frames.temperature_c - 20) + PUBLISHED.mv_per_day * frames.day
    voltage, error, bursts = figure.subplot_mosaic([["voltage", "voltage"], ["error", "bursts"]]).values()
    voltage.plot(frames.day, frames.voltage_mv, ".", markersize=2.5, color="#1f6feb", label="model, as reported")
    voltage.plot(frames.day, law, linewidth=0.4, color="#d29922", label="published law at the model's temperatures")
    voltage.set(xlabel="day", ylabel="cell voltage, mV", title="LS14500 in an Elsys EMS, Tour Perret, 399 days")
    voltage.legend(fontsize=8, markerscale=6)
    error.hist(frames.voltage_mv - law, bins=40, color="#1f6feb")
    error.axvline(0, color="#57606a", linewidth=0.8)
    error.set(xlabel="model less published law, mV", ylabel="frames", title="voltage, frame by frame")
    lost = np.ones(year.sent, dtype=bool)
    lost[frames.seq] = False
    lengths = np.array([len(list(run)) for is_lost, run in groupby(lost) if is_lost])
    at = np.arange(1, lengths.max() + 1)
    bursts.step(at, [float((lengths >= n).mean()) for n in at], where="mid", color="#1f6feb", label="model")
    bursts.plot(at, (1 - 0.189) ** (at - 1.0), color="#9aa5b1", label="published Gilbert, r 0.189")
    bursts.set(xlabel="burst of at least so many frames", ylabel="share of bursts", yscale="log")
    bursts.set_title(f"loss {year.loss_percent:.2f} % (published 1.043 %)")
    bursts.legend(fontsize=8)
    figure.savefig(path, dpi=110)


def main() -> None:
    """Print figures, and draw where a path is given."""
    started = time.perf_counter()
    frames = frames_of()
    year = judge(frames)
    print(f"{DAYS} days in {time.perf_counter() - started:.1f} s")
    for name in Year.__dataclass_fields__:
        print(f"{name:14} model {getattr(year, name):10.3f}  published {getattr(PUBLISHED, name):10.3f}")
    if len(sys.argv) > 1:
        draw(frames, year, Path(sys.argv[1]))


if __name__ == "__main__":
    main()
