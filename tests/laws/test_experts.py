"""Laws of mixtures of experts against the paper's tables, and the directions that any mixture must show."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import log_floats

from beyond_chinchilla.errors import InputError
from beyond_chinchilla.laws.catalogue import law
from beyond_chinchilla.laws.experts import ExpertLaws, Experts, expert_laws, experts_law, names

LAWS = expert_laws("ludziejewski-2025")
COUNTS = (1, 2, 4, 8, 16, 32)

counts = st.integers(1, 32)


def test_the_constants_as_printed() -> None:
    # Ludziejewski et al. 2025: L = m N^mu + n D^nu + c, of 1, 8 and 32 experts
    assert LAWS.counts == COUNTS
    for count, printed in {
        1: (30.3640, 0.1817, 53.9838, 0.1965),
        8: (21.8330, 0.1676, 119.9126, 0.2338),
        32: (16.5424, 0.1557, 234.6726, 0.2652),
    }.items():
        found = experts_law("ludziejewski-2025", count)
        assert (found.A, found.alpha, found.B, found.beta) == printed
        assert found.E == 1.3637
        assert found.power == 1.0
        assert "arXiv 2502.05172" in found.source


# Ludziejewski et al. 2025, Table 1: active parameters and tokens of the compute-optimal model, C = 6 N D, as printed.
# The constants, rounded to four digits, give them back within 1%, or to the half of the last of two printed digits.
TABLE_1 = [
    (1e20, 1, "1.7e9", "9.7e9"),
    (1e20, 8, "990e6", "17e9"),
    (1e20, 32, "669e6", "24.9e9"),
    (1e21, 1, "5.7e9", "29.3e9"),
    (1e21, 8, "3.8e9", "44.3e9"),
    (1e21, 32, "2.85e9", "58.4e9"),
    (1e22, 1, "18.8e9", "88.6e9"),
    (1e22, 8, "14.4e9", "115.8e9"),
    (1e22, 32, "12.2e9", "136.9e9"),
]


def slack(printed: str) -> float:
    """Return 1% of a printed number, or half a unit of its last digit where that is more."""
    digits, power = printed.split("e")
    half: float = 0.5 * 10.0 ** (int(power) - len(digits.partition(".")[2]))
    return max(0.01 * float(printed), half)


@pytest.mark.parametrize(("flops", "count", "params", "tokens"), TABLE_1)
def test_compute_optimal_models_of_table_1(flops: float, count: int, params: str, tokens: str) -> None:
    point = LAWS.law(count).compute_optimal(flops=flops)
    assert float(point.params) == pytest.approx(float(params), abs=slack(params))
    assert float(point.tokens) == pytest.approx(float(tokens), abs=slack(tokens))


# Ludziejewski et al. 2025: best number of experts of 1 to 32 for 24, 80 and 640 GB; 32 stands for "32 or more"
MEMORY = {1e21: (16, 32, 32), 1e22: (4, 16, 32), 1e23: (1, 8, 32), 1e24: (1, 1, 16)}
GIGABYTES = (24, 80, 640)


def best_by_joint_form(laws: ExpertLaws, flops: float, most_total: float) -> dict[int, float]:
    """Return the loss of each number of experts by the joint form."""
    found = {}
    for count in laws.counts:
        joint = laws.joint_law(count)
        N = min(float(joint.compute_optimal(flops=flops).params), most_total / laws.total_per_active(count))
        found[count] = float(joint.loss(N, flops / (6 * N)))
    return found


def test_the_memory_table_as_far_as_it_is_reproduced() -> None:
    # bf16 weights alone fill the memory, embeddings repeated with the experts: the paper states neither. The two cells
    # that differ come out one doubling lower, by less than 0.008 nats.
    missed = {}
    for flops, published in MEMORY.items():
        for gigabytes, count in zip(GIGABYTES, published, strict=True):
            losses = best_by_joint_form(LAWS, flops, gigabytes * 1e9 / 2)
            best = min(losses, key=losses.__getitem__)
            if best != count:
                missed[flops, gigabytes] = (count, best)
                assert 0 < losses[count] - losses[best] < 0.008
    assert missed == {(1e23, 80): (8, 4), (1e24, 640): (16, 8)}


def test_constants_by_count_choose_as_the_joint_form_or_half_as_many() -> None:
    differing = {}
    for flops in MEMORY:
        for gigabytes in GIGABYTES:
            count, N, loss = LAWS.best_count(flops, gigabytes * 1e9 / 2)
            assert N * LAWS.total_per_active(count) <= gigabytes * 1e9 / 2 * (1 + 1e-12)
            assert loss == pytest.approx(float(LAWS.law(count).loss(N, flops / (6 * N))), rel=1e-14)
            losses = best_by_joint_form(LAWS, flops, gigabytes * 1e9 / 2)
            if (joint := min(losses, key=losses.__getitem__)) != count:
                differing[flops, gigabytes] = (joint, count)
    assert differing == {(1e22, 24): (4, 2), (1e23, 80): (4, 2)}


# The joint form


@pytest.mark.parametrize("count", COUNTS)
def test_the_joint_form_gives_the_constants_by_count(count: int) -> None:
    # The exponents to their printed digits' rounding, the coefficients to 0.3%: alpha has four digits, at N of 1e9.
    joint, own = LAWS.joint_law(count), LAWS.law(count)
    assert (joint.alpha, joint.beta) == pytest.approx((own.alpha, own.beta), abs=2e-4)
    ratios = joint.A / own.A, joint.B / own.B
    assert ratios == pytest.approx((1.0, 1.0), rel=0.003)
    assert float(joint.loss(2e9, 5e10)) == pytest.approx(float(own.loss(2e9, 5e10)), abs=0.003)


def test_the_effective_count_runs_from_start_to_most() -> None:
    assert LAWS.effective_count(1) == pytest.approx(2.0732, rel=1e-12)
    assert LAWS.effective_count(1e15) == pytest.approx(290.4521, rel=1e-9)
    # Far from both ends an expert is an expert.
    assert LAWS.effective_count(9) - LAWS.effective_count(8) == pytest.approx(1.0, abs=0.1)


def test_between_the_published_counts_the_joint_form_stands_in() -> None:
    assert LAWS.law(12) == LAWS.joint_law(12)
    assert LAWS.law(16) != LAWS.joint_law(16)
    assert LAWS.law(12).name == "ludziejewski-2025, 12 experts"


def test_one_expert_is_the_dense_law_of_the_catalogue() -> None:
    listed, own = law("ludziejewski-2025"), LAWS.law(1)
    assert (listed.E, listed.A, listed.alpha, listed.B, listed.beta) == (own.E, own.A, own.alpha, own.B, own.beta)
    assert listed.name == own.name
    assert LAWS.total_per_active(1) == 1.0


# What must hold


@given(log_floats(1e8, 5e9), log_floats(5.0, 1e3))
def test_more_experts_lower_the_loss_at_equal_active_size(N: float, ratio: float) -> None:
    # On as many tokens as the paper's models see; on very few, experts starve.
    losses = [float(LAWS.joint_law(count).loss(N, ratio * N)) for count in range(1, 33)]
    assert np.all(np.diff(losses) < 0)


@given(counts)
def test_parameters_by_hand(count: int) -> None:
    # L d^2 (4 + 9 E) of L d^2 (4 + 9) active ones
    assert LAWS.total_per_active(count) == pytest.approx((4 + 9 * count) / 13, rel=1e-15)


def test_embeddings_are_left_out_on_the_safe_side() -> None:
    # A model of 16 layers, width 1024 and 32000 tokens in the vocabulary: N = 2 d V + ...
    layers, width, vocabulary = 16, 1024, 32000
    active = 2 * width * vocabulary + 13 * layers * width**2
    for count in COUNTS[1:]:
        total = 2 * width * vocabulary + (4 + 9 * count) * layers * width**2
        assert total / active < LAWS.total_per_active(count)


@pytest.mark.parametrize("count", [0, 33, 64, -1, 2.5, math.nan, math.inf, True])
def test_a_count_outside_the_range_is_refused_with_the_bound(count: Any) -> None:
    for asked in (LAWS.law, LAWS.joint_law, LAWS.total_per_active):
        with pytest.raises(InputError, match="is no whole number from 1 to 32, the range of law ludziejewski-2025"):
            asked(count)


def test_an_unknown_name_gets_the_nearest() -> None:
    assert names() == ["ludziejewski-2025"]
    with pytest.raises(InputError, match="no law of experts named 'ludziejewski'; did you mean 'ludziejewski-2025'"):
        expert_laws("ludziejewski")


def test_departures_are_of_all_parameters() -> None:
    assert LAWS.departures(1, 2.7e9) == []
    assert LAWS.departures(8, 0.9e9) == []
    (line,) = LAWS.departures(8, 3.8e9)
    assert line == "22.2B params in all are 4.44x the most fitted (5.00B)"
    # Active parameters are the plain law's.
    assert LAWS.law(8).fitted.departures(2.7e9, 1e11) == []
    assert len(LAWS.law(8).fitted.departures(5.4e9, 1e11)) == 1


# google-deepmind/scaling_laws_for_routing: other models, other data, one direction


def test_measured_mixtures_lose_less_with_more_experts(bc_data: Any) -> None:
    import pandas as pd

    runs = pd.read_csv(bc_data / "dm_routing_moe_curves.csv.gz")
    runs = runs[(runs.step == 240_000) & (runs.k == 1) & (runs.routing_frequency == 0.5) & (runs.num_experts <= 32)]
    runs = runs[runs.router_type.isin(["Dense", "S-Base"])]
    table = runs.pivot_table(index="model_size_label", columns="num_experts", values="loss_validation").dropna()
    assert len(table) >= 3
    # A doubling may be within the noise of one run; four times the experts never are.
    for few, many in ((1, 4), (2, 8), (4, 16), (8, 32)):
        assert (table[many] < table[few]).all()


# One number of experts


def test_a_number_of_experts_and_its_figures() -> None:
    eight = Experts(laws=LAWS, count=8)
    # (4 + 9 x 8) / 13
    assert eight.total_per_active == pytest.approx(76 / 13, rel=1e-15)
    assert eight.figures(2e9) == {
        "experts": 8.0,
        "active_params": 2e9,
        "total_params": pytest.approx(2e9 * 76 / 13, rel=1e-15),
    }
    assert eight.departures(3.8e9) == LAWS.departures(8, 3.8e9) != []
    assert (eight.law.name, eight.law.source, eight.law.note, eight.law.fitted) == (
        "ludziejewski-2025, 8 experts", LAWS.source, LAWS.note, LAWS.fitted,
    )  # fmt: skip
    with pytest.raises(InputError) as caught:
        Experts(laws=LAWS, count=33)
    assert str(caught.value) == (
        "experts: 33 is no whole number from 1 to 32, the range of law ludziejewski-2025; it has constants for "
        "1, 2, 4, 8, 16, 32 and goes between them by its joint form"
    )


def test_a_tenth_beyond_the_largest_total_is_no_departure() -> None:
    edge = 1.1 * LAWS.most_total
    assert LAWS.most_total == 5e9
    assert LAWS.departures(1, edge) == []
    assert LAWS.departures(1, np.nextafter(edge, math.inf)) == ["5.50B params in all are 1.10x the most fitted (5.00B)"]


@pytest.mark.parametrize(("flops", "most_total"), [(1e21, 40e9), (1e21, 1e9), (1e24, 40e9), (1e19, 1e12)])
def test_the_best_number_of_experts_by_hand(flops: float, most_total: float) -> None:
    found = []
    for count, (m, mu, n, nu) in LAWS.by_count.items():
        # Least m N^mu + n (C/6N)^nu in closed form, and no larger than memory holds.
        best = ((mu * m) / (nu * n) * (flops / 6) ** -nu) ** (-1 / (mu + nu))
        N = min(best, most_total * 13 / (4 + 9 * count))
        found.append((LAWS.c + m * N**mu + n * (flops / (6 * N)) ** nu, count, N))
    loss, count, N = min(found)
    assert LAWS.best_count(flops, most_total) == (count, pytest.approx(N, rel=1e-9), pytest.approx(loss, rel=1e-12))
