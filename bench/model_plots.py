"""The models beside what was published, as one picture for docs/models.md.

    python -m bench.model_plots [--out docs/img/models.png]

Points are published figures, lines and bars the models. Each panel names its source; the same figures are tests.
"""

import argparse
import random
from collections.abc import Callable
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

from firmware_sim.power import Battery, KibamModel, RakhmatovModel, builtin_cells
from firmware_sim.radio.links import GilbertElliottLink
from firmware_sim.radio.lora import LoraSettings, noise_dbm, packet_error_rate, time_on_air_us
from firmware_sim.radio.path import LORASIM

MODEL, PUBLISHED = "#0072b2", "#d55e00"
MIN_MS = 60_000
FRAMES = 200_000
MAH_PER_A_MIN = 1000 / 60


def kibam(axes: Axes) -> None:
    """Lifetime over current, Jongerden et al. DSN 2009, c 0.166, k' 0.122 /min."""
    axes.set_title("KiBaM: continuous load (DSN 2009)")
    axes.set(xlabel="current (mA)", ylabel="lifetime (min)")
    currents = range(150, 701, 10)
    for size, name, marks in ((5.5, "5.5 A min", {250: 4.53, 500: 2.02}), (11.0, "11 A min", {250: 12.16, 500: 4.53})):
        lives = [KibamModel(size * MAH_PER_A_MIN, 0.166, 0.122 * 60).draw(float(ma), 1e9) / MIN_MS for ma in currents]
        axes.plot(list(currents), lives, label=f"model, {name}")
        axes.plot(list(marks), list(marks.values()), "o", color=PUBLISHED)
    axes.plot([], [], "o", color=PUBLISHED, label="published")


def rakhmatov(axes: Axes) -> None:
    """Lifetime over current, ns-3's test of the model, alpha 35220 mA min, beta 0.637."""
    axes.set_title("Rakhmatov-Vrudhula (ns-3 test)")
    axes.set(xlabel="current (mA)", ylabel="lifetime (h)", xscale="log", yscale="log")
    axes.xaxis.set_minor_formatter(NullFormatter())
    published_s = {640: 2844, 320: 6146, 128: 16052, 64: 32561, 32: 65580}
    currents = [30 * 1.1**n for n in range(34)]
    lives = [RakhmatovModel(35220 / 60, 0.637).draw(ma, 1e9) / (60 * MIN_MS) for ma in currents]
    axes.plot(currents, lives, color=MODEL, label="model")
    axes.plot(list(published_s), [s / 3600 for s in published_s.values()], "o", color=PUBLISHED, label="published")


def alkaline(axes: Axes) -> None:
    """Capacity over current, PowerStream's measurements of AA cells."""
    axes.set_title("AA alkaline: capacity (PowerStream)")
    axes.set(xlabel="current (A)", ylabel="delivered (Ah)", xscale="log")
    currents = [0.05 * 1.1**n for n in range(42)]
    for name in ("kibam", "peukert"):
        given = [
            builtin_cells()["2xaa-alkaline"].build_model(name).draw(1000 * amps, 1e12) / 3.6e6 * amps
            for amps in currents
        ]
        axes.plot(currents, given, label=f"model, {name}")
    axes.plot([0.1, 0.5, 1.0, 2.0], [2.20, 1.30, 0.83, 0.54], "o", color=PUBLISHED, label="measured")


def open_circuit(axes: Axes) -> None:
    """Open-circuit voltage over charge of every cell of the catalogue."""
    axes.set_title("Voltage at rest, 20 degrees")
    axes.set(xlabel="state of charge (%)", ylabel="voltage (V)")
    shares = [n / 200 for n in range(201)]
    for name, spec in builtin_cells().items():
        volts = [spec.series * spec.curve.open_circuit_mv(x) / 1000 for x in shares]
        axes.plot([100 * x for x in shares], volts, label=name, linewidth=1)
    axes.set_ylim(0, 4.4)


def sag(axes: Axes) -> None:
    """The voltage under a Wi-Fi pulse of 500 mA and at rest: the public report of an ESP32 clock on 1500 mAh."""
    axes.set_title("ESP32 pulse on a worn 1500 mAh cell")
    axes.set(xlabel="state of charge (%)", ylabel="voltage (V)")
    spec = builtin_cells()["18650-li-ion"].resized(1500)
    shares = [n / 100 for n in range(1, 101)]
    cells = [Battery(spec, state_of_charge=x, series_resistance_ohm=1.1) for x in shares]
    percent = [100 * x for x in shares]
    axes.plot(percent, [cell.open_circuit_mv / 1000 for cell in cells], color=MODEL, label="model, at rest")
    axes.plot(percent, [cell.loaded_voltage_mv(500) / 1000 for cell in cells], color="#009e73", label="model, 500 mA")
    axes.axhline(3.0, color="#777777", linestyle=":", label="brown-out 3.0 V")
    axes.axhline(3.63, color=PUBLISHED, linestyle="--", label="reported: first crash at 3.63 V at rest")


def airtime(axes: Axes) -> None:
    """Time on air over payload, Semtech AN1200.13 as ns-3 tests it."""
    axes.set_title("LoRa time on air (AN1200.13)")
    axes.set(xlabel="PHY payload (bytes)", ylabel="time on air (s)", yscale="log")
    sizes = range(65)
    for sf in range(7, 13):
        axes.plot(list(sizes), [time_on_air_us(LoraSettings(sf=sf), size) / 1e6 for size in sizes], label=f"SF{sf}")
    axes.plot([10, 10, 10, 64], [0.041216, 0.072192, 0.280576, 2.793472], "o", color=PUBLISHED, label="published")


def reach(axes: Axes) -> None:
    """Frames lost over distance: LoRaSim's path loss, the published sensitivities as distances."""
    axes.set_title("Lost over distance, 14 dBm, 20 bytes (LoRaSim)")
    axes.set(xlabel="distance (m)", ylabel="frames lost (%)")
    metres = range(40, 1000, 4)
    for colour, (sf, dbm) in zip(
        ("#0072b2", "#009e73", "#cc79a7"), {7: -124.0, 9: -130.0, 12: -137.0}.items(), strict=True
    ):
        settings = LoraSettings(sf=sf)
        lost = [
            100 * packet_error_rate(settings, 14 - LORASIM.mean_loss_db(m) - noise_dbm(125_000), 20) for m in metres
        ]
        axes.plot(list(metres), lost, color=colour, label=f"model, SF{sf}")
        axes.axvline(LORASIM.range_m(14 - dbm), color=colour, linestyle="--", linewidth=1)
    axes.plot([], [], "--", color="#777777", label="published sensitivity")


def bursts(axes: Axes) -> None:
    """Length of bursts of loss: geometric with mean 1/r; the year of Tour Perret, mean 5.30."""
    axes.set_title("Gilbert-Elliott bursts (Tour Perret)")
    axes.set(xlabel="burst length (frames)", ylabel="share of bursts at least as long", yscale="log")
    link = GilbertElliottLink(0.00199, 0.189, random.Random(1))
    lengths: list[int] = []
    run = 0
    for _ in range(FRAMES * 5):
        if link.passes():
            lengths += [run] if run else []
            run = 0
        else:
            run += 1
    longest = range(1, 31)
    shares = [sum(length >= n for length in lengths) / len(lengths) for n in longest]
    axes.plot(list(longest), shares, color=MODEL, label=f"model, mean {sum(lengths) / len(lengths):.2f}")
    law = [(1 - 0.189) ** (n - 1) for n in longest]
    axes.plot(list(longest), law, "--", color=PUBLISHED, label="geometric law; published mean 5.30")


PANELS: tuple[Callable[[Axes], None], ...] = (kibam, rakhmatov, alkaline, open_circuit, sag, airtime, reach, bursts)


def main() -> None:
    """Draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("docs/img/models.png"))
    given = parser.parse_args()
    figure = Figure(figsize=(18, 8.5), layout="constrained")
    for axes, panel in zip(figure.subplots(2, 4).flat, PANELS, strict=True):
        panel(axes)
        axes.spines[["top", "right"]].set_visible(False)
        axes.title.set_size(10)
        axes.legend(fontsize=7)
    figure.savefig(given.out, dpi=85)


if __name__ == "__main__":
    main()
