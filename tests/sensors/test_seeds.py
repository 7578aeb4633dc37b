"""Seeds and counter-based numbers: fixed for ever, independent per name, spread as they should be."""

import random
import statistics

from hypothesis import given
from hypothesis import strategies as st

from sensors.seeds import derive_seed, normal, splitmix64, uniform

# The first numbers for seed 1234567, as published with Vigna's reference implementation (and on Rosetta Code).
SPLITMIX64_1234567 = (
    6457827717110365317,
    3203168211198807973,
    9817491932198370423,
    4593380528125082431,
    16408922859458223821,
)


def test_splitmix64_gives_the_published_numbers() -> None:
    assert tuple(splitmix64(1234567, index) for index in range(5)) == SPLITMIX64_1234567


def test_a_derived_seed_never_changes_between_releases() -> None:
    assert derive_seed(1) == 17797172410793473910
    assert derive_seed(1, "device-7", "temperature") == 7133785368870994524


@given(st.integers(), st.lists(st.text(), max_size=4), st.lists(st.text(), max_size=4))
def test_different_names_give_different_seeds(seed: int, first: list[str], second: list[str]) -> None:
    assert (derive_seed(seed, *first) == derive_seed(seed, *second)) == (first == second)


def test_names_do_not_run_together() -> None:
    assert derive_seed(1, "ab", "c") != derive_seed(1, "a", "bc")


@given(st.integers(), st.integers(-(2**63), 2**63))
def test_a_uniform_number_is_never_0_or_1(seed: int, index: int) -> None:
    assert 0 < uniform(seed, index) < 1


def test_normal_numbers_have_mean_0_and_deviation_1() -> None:
    numbers = [normal(7, index) for index in range(20_000)]
    assert abs(statistics.fmean(numbers)) < 0.03
    assert abs(statistics.stdev(numbers) - 1) < 0.03


@given(st.integers(), st.integers(0, 2**63))
def test_a_normal_number_is_the_quantile_of_the_uniform_one(seed: int, index: int) -> None:
    assert normal(seed, index) == statistics.NormalDist().inv_cdf(uniform(seed, index))


def test_no_number_depends_on_the_order_of_asking() -> None:
    order = list(range(100))
    straight = {index: normal(3, index) for index in order}
    random.Random(1).shuffle(order)
    assert {index: normal(3, index) for index in order} == straight
