"""The ready scenario of a real LoRaWAN year lands near what was published of it.

CampusIoT, Tour Perret (ODbL-1.0): Elsys EMS, SF12, 23 bytes, LS14500, 2023-06 to 2024-07. Six weeks here; the whole
year is `python -m bench.lorawan_year`.
"""

import random
import tomllib
from functools import cache
from itertools import groupby

import pytest

from bench.lorawan_year import PUBLISHED, SCENARIO, Year, frames_of, judge
from firmware_sim.config import FleetConfig
from firmware_sim.radio.links import GilbertElliottLink
from firmware_sim.radio_config import GilbertElliottLinkConfig, LorawanConfig


@cache  # and no fixture, whose lines are counted whatever the test says
def six_weeks() -> Year:
    return judge(frames_of(days=42))


@pytest.mark.no_cover
def test_the_cells_voltage_follows_the_published_law() -> None:
    """3591.9 + 2.46 (T - 20) - 0.207 a day, RMSE 4.5 mV; the model has no noise of its own but rounding to 1 mV.

    In these warm weeks the coefficient is the cell's own 2.33; what cold takes of the capacity adds the rest in winter.
    """
    year = six_weeks()
    assert year.mv_at_20 == pytest.approx(PUBLISHED.mv_at_20, abs=PUBLISHED.rmse_mv)
    assert year.mv_per_k == pytest.approx(PUBLISHED.mv_per_k, rel=0.06)
    assert year.mv_per_day == pytest.approx(PUBLISHED.mv_per_day, rel=0.1)
    assert year.rmse_mv < PUBLISHED.rmse_mv


def test_the_clock_is_as_slow_as_the_real_one() -> None:
    """-23 ppm over the year; in the warm first weeks nearer to the crystal's own -15.7 at 25 degrees."""
    config = FleetConfig.model_validate(tomllib.loads(SCENARIO.read_text()))
    place = config.place.ambient
    # The mean square distance from 25 degrees over a year, of independent season, day and fronts.
    off_square = (place.mean_c - 25) ** 2 + place.season_c**2 / 2 + place.day_c**2 / 2 + place.weather_c**2
    assert config.devices[0].clock.ppm - 0.04 * off_square == pytest.approx(PUBLISHED.clock_ppm, abs=3)


@pytest.mark.no_cover
def test_the_time_between_frames_is_what_the_crystal_counts() -> None:
    assert -25 < six_weeks().clock_ppm < -15.5


@pytest.mark.no_cover
def test_the_scenarios_link_loses_what_was_lost_in_bursts_as_long() -> None:
    """1.043 % in bursts of 5.30 frames: Gilbert p 0.00199, r 0.189. A million frames hold some 2,000 bursts: 10 %."""
    radio = FleetConfig.model_validate(tomllib.loads(SCENARIO.read_text())).devices[0].radio
    assert isinstance(radio, LorawanConfig)
    assert isinstance(radio.link, GilbertElliottLinkConfig)
    link = GilbertElliottLink(radio.link.p, radio.link.r, random.Random(3), h=radio.link.h, k=radio.link.k)
    passed = [link.passes() for _ in range(1_000_000)]
    bursts = [len(list(run)) for passes, run in groupby(passed) if not passes]
    assert 100 * link.loss == pytest.approx(PUBLISHED.loss_percent, rel=0.01)
    assert link.mean_burst == pytest.approx(PUBLISHED.burst_frames, rel=0.01)
    assert 100 * passed.count(False) / len(passed) == pytest.approx(PUBLISHED.loss_percent, rel=0.1)
    assert sum(bursts) / len(bursts) == pytest.approx(PUBLISHED.burst_frames, rel=0.1)


def test_it_sends_as_many_frames_as_the_real_one_did() -> None:
    config = FleetConfig.model_validate(tomllib.loads(SCENARIO.read_text()))
    assert 399 * 86_400 / config.devices[0].interval_s == pytest.approx(PUBLISHED.sent, rel=0.01)
