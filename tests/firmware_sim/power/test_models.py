"""The charge models against their publications, and the laws that hold for all of them."""

import json
import math
from collections.abc import Callable, Iterable
from itertools import cycle, repeat

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firmware_sim.power import BatteryModel, IdealModel, KibamModel, PeukertModel, PowerValueError, RakhmatovModel
from firmware_sim.power.models import is_empty, state_of_charge

MINUTE_MS = 60_000
C, K_PER_HOUR = 0.166, 0.122 * 60

Maker = Callable[[float], BatteryModel]
MAKERS: dict[str, Maker] = {
    "ideal": IdealModel,
    "peukert": lambda capacity: PeukertModel(capacity, 1.2, 20.0),
    "kibam": lambda capacity: KibamModel(capacity, C, K_PER_HOUR),
    "rakhmatov": lambda capacity: RakhmatovModel(capacity, 0.637),
}
every_model = pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS.keys())
loads = st.lists(
    st.tuples(st.one_of(st.just(0.0), st.floats(0.01, 400.0)), st.floats(1.0, 3.6e6)), min_size=1, max_size=12
)


def life_ms(model: BatteryModel, jobs: Iterable[tuple[float, float]]) -> float:
    """Run (mA, ms) jobs until one is not carried to its end; return the time of death, inf if none."""
    total_ms = 0.0
    for current_ma, duration_ms in jobs:
        carried_ms = model.draw(current_ma, duration_ms)
        total_ms += carried_ms
        if carried_ms < duration_ms:
            return total_ms
    return math.inf


@pytest.mark.parametrize(
    ("capacity_a_min", "currents", "minutes"),
    [
        (5.5, repeat(250.0), 4.53),
        (5.5, repeat(500.0), 2.02),
        (5.5, cycle((500.0, 250.0)), 2.58),
        (5.5, cycle((250.0, 0.0)), 10.80),
        (11.0, repeat(250.0), 12.16),
        (11.0, repeat(500.0), 4.53),
    ],
)
def test_kibam_lives_as_long_as_published(capacity_a_min: float, currents: Iterable[float], minutes: float) -> None:
    """Jongerden, Haverkort et al., DSN 2009, c = 0.166, k' = 0.122 /min, jobs of one minute; within 0.01 min."""
    model = KibamModel(capacity_a_min * 1000 / 60, C, K_PER_HOUR)
    assert life_ms(model, ((current, MINUTE_MS) for current in currents)) / MINUTE_MS == pytest.approx(
        minutes, abs=0.01
    )


@pytest.mark.no_cover
@given(st.floats(0.05, 0.95), st.floats(0.01, 20.0), st.lists(st.floats(0.0, 200.0), min_size=1, max_size=5))
@settings(deadline=None)
def test_kibam_follows_the_published_wells(c: float, k_per_hour: float, currents: list[float]) -> None:
    """Manwell and McGowan 1993, y1(t) and y2(t) as printed, an hour a current; within 1e-9 of the capacity."""
    model = KibamModel(100_000.0, c, k_per_hour)
    y1, y2, gone = c * 1e5, (1 - c) * 1e5, 1 - math.exp(-k_per_hour)
    for current in currents:
        y0 = y1 + y2
        y1 = (
            y1 * math.exp(-k_per_hour)
            + (y0 * k_per_hour * c - current) * gone / k_per_hour
            - current * c * (k_per_hour - gone) / k_per_hour
        )
        y2 = y2 * math.exp(-k_per_hour) + y0 * (1 - c) * gone - current * (1 - c) * (k_per_hour - gone) / k_per_hour
        if y1 <= 0:
            return
        model.draw(current, 3.6e6)
        assert model.available_uc / 3.6e6 == pytest.approx(y1, abs=1e-4)
        assert model.bound_uc / 3.6e6 == pytest.approx(y2, abs=1e-4)


@pytest.mark.parametrize(("current_ma", "seconds"), [(640, 2844), (320, 6146), (128, 16052), (64, 32561), (32, 65580)])
def test_rakhmatov_lives_as_long_as_published(current_ma: float, seconds: float) -> None:
    """ns-3's RV test after Rakhmatov, Vrudhula, Wallach 2002: alpha 35220 mA min, beta 0.637, ten terms; within 1 s."""
    model = RakhmatovModel(35220 / 60, 0.637)
    assert model.draw(current_ma, 1e9) / 1000 == pytest.approx(seconds, abs=1.0)


def test_rakhmatov_follows_the_paper_through_a_varying_load() -> None:
    """sigma by the paper's own sum over the load's history, against the running state; within 1e-9 of alpha."""
    model = RakhmatovModel(587.0, 0.637)
    load = [(628.0, 19.5), (0.0, 6.5), (300.0, 10.0)]
    ends = [19.5, 26.0, 36.0]
    sigma = 0.0
    for (current, minutes), end in zip(load, ends, strict=True):
        model.draw(current, minutes * MINUTE_MS)
        terms = math.fsum(
            (math.exp(-(0.637**2) * m * m * (36.0 - end)) - math.exp(-(0.637**2) * m * m * (36.0 - end + minutes)))
            / (0.637**2 * m * m)
            for m in range(1, 11)
        )
        sigma += current * (minutes + 2 * terms)
    assert model.available_fraction == pytest.approx(1 - sigma / (587.0 * 60), abs=1e-9)


def test_rakhmatov_finds_a_death_between_two_ends_that_look_alive() -> None:
    """Fast terms fill while slow ones drain: the cell can meet the mark and, were it let, come back in one segment."""

    def worked_and_rested() -> RakhmatovModel:
        model = RakhmatovModel(200.0, 0.1)
        assert model.draw(20.0, 100 * MINUTE_MS) == 100 * MINUTE_MS
        model.draw(0.0, 10 * MINUTE_MS)
        return model

    model, watched = worked_and_rested(), worked_and_rested()
    fractions = [watched.available_fraction]
    for _ in range(1000):
        watched.draw(5.0, 0.1 * MINUTE_MS)
        fractions.append(watched.available_fraction)
    mark = (fractions[0] + min(fractions)) / 2
    assert min(fractions) < mark < min(fractions[0], fractions[-1])
    carried_ms = model.draw(5.0, 100 * MINUTE_MS, mark)
    crossed = next(i for i, fraction in enumerate(fractions) if fraction <= mark)
    assert (crossed - 1) * 0.1 * MINUTE_MS <= carried_ms <= crossed * 0.1 * MINUTE_MS
    assert model.available_fraction == pytest.approx(mark, abs=1e-9)


def test_peukert_takes_the_rated_capacity_at_the_reference_current_and_less_above() -> None:
    """Peukert 1897: twice the reference current gives 2^(1 - n) of the capacity; below it the rating holds."""
    assert PeukertModel(100.0, 1.2, 10.0).draw(10.0, 1e12) == pytest.approx(10 * 3.6e6)
    assert PeukertModel(100.0, 1.2, 10.0).draw(20.0, 1e12) == pytest.approx(5 * 3.6e6 * 2**-0.2)
    assert PeukertModel(100.0, 1.2, 10.0).draw(0.001, 1e15) == pytest.approx(1e5 * 3.6e6)


@pytest.mark.no_cover
@every_model
@given(jobs=loads, parts=st.integers(2, 7))
@settings(max_examples=60, deadline=None)
def test_splitting_a_segment_changes_nothing(make: Maker, jobs: list[tuple[float, float]], parts: int) -> None:
    whole, split = make(100.0), make(100.0)
    for current, duration in jobs:
        carried = whole.draw(current, duration)
        in_parts = 0.0
        for _ in range(parts):
            piece = split.draw(current, duration / parts)
            in_parts += piece
            if piece < duration / parts:
                break
        assert in_parts == pytest.approx(carried, rel=1e-6, abs=1e-3)
        assert split.stored_uc == pytest.approx(whole.stored_uc, abs=1e-7 * whole.capacity_uc)
        assert split.available_fraction == pytest.approx(whole.available_fraction, abs=1e-6)
        if carried < duration:
            return


@pytest.mark.no_cover
@every_model
@given(jobs=loads)
@settings(max_examples=60, deadline=None)
def test_twice_the_cell_under_twice_the_load_lives_as_long(make: Maker, jobs: list[tuple[float, float]]) -> None:
    if isinstance(make(1.0), PeukertModel):
        one, two = PeukertModel(100.0, 1.2, 20.0), PeukertModel(200.0, 1.2, 40.0)
        lives = [life_ms(one, jobs), life_ms(two, [(2 * i, t) for i, t in jobs])]
    else:
        lives = [life_ms(make(100.0), jobs), life_ms(make(200.0), [(2 * i, t) for i, t in jobs])]
    assert lives[0] == pytest.approx(lives[1], rel=1e-9, abs=1e-3)


@every_model
def test_a_dead_cell_carries_nothing_more_and_a_rest_is_always_carried(make: Maker) -> None:
    model = make(10.0)
    assert model.draw(30.0, 1e12) < 1e12
    assert is_empty(model)
    assert model.available_fraction == pytest.approx(0.0, abs=1e-8)
    assert model.draw(30.0, 1000.0) == pytest.approx(0.0, abs=1e-2)
    assert model.draw(0.0, 1000.0) == 1000.0


@pytest.mark.parametrize("name", ["kibam", "rakhmatov"])
def test_a_rested_cell_recovers(name: str) -> None:
    model = MAKERS[name](10.0)
    model.draw(120.0, 1e12)
    assert is_empty(model)
    assert state_of_charge(model) > 0.2
    model.draw(0.0, 60 * MINUTE_MS)
    assert not is_empty(model)
    assert model.available_fraction == pytest.approx(state_of_charge(model), abs=0.01)
    assert model.draw(120.0, 1e12) > 1000.0


def test_pulses_with_rests_give_more_charge_than_one_long_load() -> None:
    steady, pulsed = MAKERS["kibam"](91.667), MAKERS["kibam"](91.667)
    steady_ms = life_ms(steady, repeat((250.0, MINUTE_MS)))
    pulsed_ms = life_ms(pulsed, cycle(((250.0, MINUTE_MS), (0.0, MINUTE_MS))))
    assert pulsed_ms / 2 > 1.15 * steady_ms


@pytest.mark.no_cover
@every_model
@given(current_ma=st.floats(0.1, 500.0), hours=st.floats(0.01, 30.0), parts=st.integers(1, 5))
@settings(max_examples=60, deadline=None)
def test_charging_never_overfills_and_books_what_went_in(
    make: Maker, current_ma: float, hours: float, parts: int
) -> None:
    whole, split = make(100.0), make(100.0)
    for model in (whole, split):
        model.draw(15.0, 4 * 3.6e6)
    before = whole.stored_uc
    accepted = whole.charge(current_ma, hours * 3.6e6)
    in_parts = sum(split.charge(current_ma, hours * 3.6e6 / parts) for _ in range(parts))
    assert 0 <= accepted <= current_ma * hours * 3.6e6 * (1 + 1e-9)
    assert whole.stored_uc - before == pytest.approx(accepted, abs=1.0)
    assert whole.stored_uc <= whole.capacity_uc * (1 + 1e-12)
    assert whole.available_fraction <= 1 + 1e-9
    assert in_parts == pytest.approx(accepted, rel=1e-7, abs=1.0)


def test_a_kibam_charger_tapers_until_both_wells_are_full() -> None:
    model = KibamModel(100.0, 0.3, 0.5, state_of_charge=0.1)
    first = model.charge(100.0, 3.6e6)
    assert model.available_fraction == pytest.approx(1.0)
    assert first < 100.0 * 3.6e6
    assert state_of_charge(model) < 0.99
    model.charge(100.0, 200 * 3.6e6)
    assert state_of_charge(model) == pytest.approx(1.0, abs=1e-6)


def test_a_kibam_cell_that_a_heavy_load_killed_still_carries_a_light_one() -> None:
    """The well fills faster than the light load drains it, up to a peak: the cell dies past the peak, not at once."""
    model = KibamModel(100.0, C, K_PER_HOUR)
    model.draw(500.0, 1e12)
    left_uc = model.stored_uc
    carried_ms = model.draw(1.0, 1e12)
    assert carried_ms == pytest.approx(left_uc, rel=0.05)
    assert is_empty(model)


def test_the_taper_fills_the_bound_well_as_the_wells_equations_say() -> None:
    """Manwell and McGowan 1993: dy2/dt = -k (h2 - h1), k = k' c (1 - c), with h1 held full; an hour in 20,000 steps."""
    model = KibamModel(100.0, 0.3, 0.5, state_of_charge=0.1)
    model.charge(1000.0, 3.6e6)
    assert model.available_fraction == pytest.approx(1.0)
    y2, step_h = model.bound_uc, 1 / 20_000
    for _ in range(20_000):
        y2 -= 0.5 * 0.3 * 0.7 * (y2 / 0.7 - model.capacity_uc) * step_h
    model.charge(1000.0, 3.6e6)
    assert model.bound_uc == pytest.approx(y2, rel=1e-5)


@every_model
@given(jobs=loads)
@settings(max_examples=30, deadline=None)
def test_a_snapshot_goes_on_as_if_nothing_had_happened(make: Maker, jobs: list[tuple[float, float]]) -> None:
    model, other = make(100.0), make(100.0)
    for current, duration in jobs:
        model.draw(current, duration)
    other.restore(json.loads(json.dumps(model.snapshot())))
    assert other.draw(33.0, 1e9) == model.draw(33.0, 1e9)
    assert other.snapshot() == model.snapshot()


@every_model
def test_a_broken_snapshot_is_refused_by_name(make: Maker) -> None:
    with pytest.raises(PowerValueError, match="snapshot"):
        make(1.0).restore({"stored_uc": [1.0]})


@pytest.mark.parametrize(
    ("build", "field"),
    [
        (lambda: IdealModel(-1.0), "capacity_mah"),
        (lambda: IdealModel(math.nan), "capacity_mah"),
        (lambda: KibamModel(1.0, 1.0, 1.0), "c"),
        (lambda: KibamModel(1.0, 0.5, 0.0), "k_per_hour"),
        (lambda: PeukertModel(1.0, 0.9, 1.0), "exponent"),
        (lambda: PeukertModel(1.0, 1.1, 0.0), "reference_ma"),
        (lambda: RakhmatovModel(1.0, -0.1), "beta_per_sqrt_min"),
    ],
)
def test_a_parameter_that_cannot_be_is_refused_by_name(build: Callable[[], BatteryModel], field: str) -> None:
    with pytest.raises(PowerValueError) as caught:
        build()
    assert caught.value.field == field
