"""Loss laws: inverses, the compute-optimal point, how parameters are counted, and papers' figures about one law."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from strategies import floats, laws, log_floats, powered_laws, sizes

from beyond_chinchilla.errors import InputError
from beyond_chinchilla.laws.catalogue import law as published
from beyond_chinchilla.laws.loss_law import FittedRange, LossLaw

SARDANA = published("sardana-2024")

any_law = st.one_of(laws(), powered_laws())


# Sardana et al. 2024, authors' repository (nikhilsardana/beyond-chinchilla), README


def test_the_authors_model_calculator() -> None:
    # model_calculator 70e9 1e12: prints 1.947; 1.9472727897 with all digits
    assert float(SARDANA.loss(70e9, 1e12)) == pytest.approx(1.9472727897, abs=5e-11)


def test_the_authors_chinchilla_30b() -> None:
    # cost_calculator 30e9 --chinchilla: D 1.556e12, loss 1.958253360475841, training FLOPs 2.801e23
    point = SARDANA.compute_optimal(params=30e9)
    assert float(point.loss) == pytest.approx(1.958253360475841, abs=1e-15)
    assert float(point.tokens) == pytest.approx(1.556e12, abs=5e8)
    assert float(point.flops) == pytest.approx(2.801e23, abs=5e19)


@pytest.mark.parametrize(
    ("params", "tokens", "tokens_half", "loss", "loss_half"),
    [
        # Sardana et al. 2024, Figure 1 (13B) and Table 2 (70B on 4.26T printed), recomputed
        (13e9, 576.49e9, 5e6, 2.0453, 5e-5),
        (30e9, 1.5559e12, 5e7, 1.95825, 5e-6),
        (70e9, 4.2547e12, 5e7, 1.89179, 5e-6),
    ],
)
def test_the_chinchilla_models_of_the_worked_cases(
    params: float, tokens: float, tokens_half: float, loss: float, loss_half: float
) -> None:
    point = SARDANA.compute_optimal(params=params)
    assert float(point.tokens) == pytest.approx(tokens, abs=tokens_half)
    assert float(point.loss) == pytest.approx(loss, abs=loss_half)


def test_thirteen_b_quality_in_exactly_seven_b() -> None:
    # Sardana et al. 2024, Figure 1, recomputed: exactly 7.0B needs 1.2393e12 tokens, 2.150 times those of the 13B
    point = SARDANA.compute_optimal(params=13e9)
    tokens = float(SARDANA.tokens_for(7e9, point.loss))
    assert tokens == pytest.approx(1.2393e12, abs=5e7)
    assert tokens / float(point.tokens) == pytest.approx(2.150, abs=5e-4)


# De Vries 2023, "Go smol or go home": the compute overhead k_N k_D - 1 of a model k_N times the optimal size


@pytest.mark.parametrize(
    ("name", "k_N", "overhead", "half"),
    [
        # Recomputed in percent with alpha .336, beta .283; the blog prints 50% -> 20%, 25% -> 188%, 57% -> 12%
        ("sardana-2024", 0.75, 2.85, 5e-3),
        ("sardana-2024", 0.57, 12.53, 5e-3),
        ("sardana-2024", 0.5, 20.78, 5e-3),
        ("sardana-2024", 0.3, 105.56, 5e-3),
        ("sardana-2024", 0.25, 188.88, 5e-3),
        ("sardana-2024", 0.2, 428.8, 5e-2),
        # and with the coefficients of Besiroglu et al. 2024
        ("besiroglu-2024", 0.5, 25.93, 5e-3),
        ("besiroglu-2024", 0.3, 161.3, 5e-2),
        ("besiroglu-2024", 0.25, 346.5, 5e-2),
    ],
)
@pytest.mark.parametrize("params", [1e9, 65e9])
def test_the_overhead_of_a_smaller_model(name: str, k_N: float, overhead: float, half: float, params: float) -> None:
    law = published(name)
    point = law.compute_optimal(params=params)
    k_D = float(law.tokens_for(k_N * params, point.loss) / point.tokens)
    assert 100 * (k_N * k_D - 1) == pytest.approx(overhead, abs=half)


@pytest.mark.parametrize(("name", "asymptote"), [("sardana-2024", 0.0974), ("besiroglu-2024", 0.1464)])
def test_below_the_critical_size_no_tokens_help(name: str, asymptote: float) -> None:
    # The same source: k_N = (f/(1 + f))^(1/alpha), f = beta/alpha
    law = published(name)
    loss = law.compute_optimal(params=10e9).loss
    below, above = law.tokens_for(10e9 * np.array([asymptote - 5e-5, asymptote + 5e-5]), loss)
    assert math.isnan(below)
    assert above > 1e15


# Inverses


@given(any_law, sizes(), log_floats(1e8, 1e15))
def test_the_inverses_come_back_to_the_loss(law: LossLaw, N: float, D: float) -> None:
    loss = float(law.loss(N, D))
    tokens, params = float(law.tokens_for(N, loss)), float(law.params_for(D, loss))
    # A term that is nothing beside the rest of the loss cannot be read out of it again.
    model, data = law.A * N**-law.alpha, law.B * D**-law.beta
    resolution = 1e-14 / law.power * (loss / (loss - law.E)) * (model + data)
    assume(min(model, data) > 1e3 * resolution)
    assert float(law.loss(N, tokens)) == pytest.approx(loss, rel=1e-12)
    assert float(law.loss(params, D)) == pytest.approx(loss, rel=1e-12)
    assert tokens == pytest.approx(D, rel=resolution / data / law.beta + 1e-13)
    assert params == pytest.approx(N, rel=resolution / model / law.alpha + 1e-13)


@given(any_law, sizes(), log_floats(1e-6, 1.0), st.booleans())
def test_out_of_reach_is_nan(law: LossLaw, N: float, below: float, exactly: bool) -> None:
    # With endless tokens N parameters reach E + (A N^-alpha)^power, and no less.
    least = float(law.loss(N, math.inf))
    out_of_reach = law.E + (least - law.E) * (1 - below)
    assert math.isnan(float(law.tokens_for(N, law.E if exactly else out_of_reach)))
    least = float(law.loss(math.inf, N))
    out_of_reach = law.E + (least - law.E) * (1 - below)
    assert math.isnan(float(law.params_for(N, law.E if exactly else out_of_reach)))


@given(any_law, sizes(), log_floats(1e8, 1e15), floats(1.01, 100.0))
def test_the_loss_falls_in_both_and_stays_above_its_floor(law: LossLaw, N: float, D: float, more: float) -> None:
    loss = float(law.loss(N, D))
    assert law.E < float(law.loss(N * more, D * more)) < loss
    assert float(law.loss(N * more, D)) <= loss
    assert float(law.loss(N, D * more)) <= loss


@given(any_law, floats(0.01, 2.0))
def test_the_reducible_part_and_its_elasticity(law: LossLaw, gap: float) -> None:
    loss = law.E + gap
    R = float(law.reducible(loss))
    assert pytest.approx((loss - law.E) ** (1 / law.power), rel=1e-14) == R
    assert float(law.loss_of_reducible(R)) == pytest.approx(loss, rel=1e-13)
    h = 1e-5 * gap
    up, down = (math.log(law.reducible(loss + step)) for step in (h, -h))
    numeric = (up - down) / math.log((loss + h) / (loss - h))
    assert float(law.reducible_elasticity(loss)) == pytest.approx(numeric, rel=1e-6)
    assert np.isnan(law.reducible([law.E, law.E - 0.1])).all()


@given(any_law, sizes(), log_floats(1e8, 1e15))
def test_the_posynomial_is_the_reducible_part(law: LossLaw, N: float, D: float) -> None:
    posynomial = law.posynomial()
    by_hand = law.E + float(posynomial.value({"params": N, "tokens": D})) ** law.power
    assert float(law.loss(N, D)) == pytest.approx(by_hand, rel=1e-14)
    assert posynomial.labels == ("model size", "data")


def test_arrays_broadcast_and_equal_scalars() -> None:
    N, D = np.array([[1e9], [7e9], [70e9]]), np.array([1e11, 1e12])
    loss = SARDANA.loss(N, D)
    assert loss.shape == (3, 2)
    assert loss[1, 1] == float(SARDANA.loss(7e9, 1e12))
    tokens = SARDANA.tokens_for(N, np.array([1.8, 2.1]))
    assert tokens.shape == (3, 2)
    # With endless tokens 1B, 7B and 70B reach 2.074, 1.890 and 1.782.
    assert np.isnan(tokens).tolist() == [[True, False], [True, False], [False, False]]
    assert tokens[2, 1] == float(SARDANA.tokens_for(70e9, 2.1))


# Compute-optimal point


@given(any_law, sizes())
def test_the_point_is_the_same_from_each_of_its_figures(law: LossLaw, N: float) -> None:
    first = law.compute_optimal(params=N)
    assert float(first.params) == N
    assert float(first.flops) == pytest.approx(6 * N * float(first.tokens), rel=1e-15)
    assert float(law.loss(N, first.tokens)) == pytest.approx(float(first.loss), rel=1e-13)
    # Coming back from the loss divides its rounding by loss - E, and by the exponents.
    blur = 1e-14 * float(first.loss) / (float(first.loss) - law.E) / law.power / min(law.alpha, law.beta)
    for given_figure, tolerance in (("tokens", 1e-12), ("flops", 1e-12), ("loss", blur + 1e-13)):
        again = law.compute_optimal(**{given_figure: float(getattr(first, given_figure))})
        for figure in ("params", "tokens", "flops"):
            assert float(getattr(again, figure)) == pytest.approx(float(getattr(first, figure)), rel=2 * tolerance)
        assert float(again.loss) == pytest.approx(float(first.loss), rel=1e-12)
    assert float(law.compute_optimal(tokens=3e11).tokens) == 3e11


@given(any_law, sizes(), st.one_of(floats(-0.5, -1e-3), floats(1e-3, 0.5)))
def test_neighbours_of_equal_loss_need_more_training_compute(law: LossLaw, N: float, step: float) -> None:
    point = law.compute_optimal(params=N)
    neighbour = N * (1 + step)
    tokens = float(law.tokens_for(neighbour, point.loss))
    assert math.isnan(tokens) or 6 * neighbour * tokens > float(point.flops)


@given(laws(), log_floats(1e16, 1e28))
def test_the_frontier_is_the_closed_form_of_hoffmann(law: LossLaw, flops: float) -> None:
    # Hoffmann et al. 2022, Eq. 4: N = G (C/6)^a, D = G^-1 (C/6)^b with G = (alpha A / (beta B))^(1/(alpha + beta))
    G = (law.alpha * law.A / (law.beta * law.B)) ** (1 / (law.alpha + law.beta))
    a, b = law.beta / (law.alpha + law.beta), law.alpha / (law.alpha + law.beta)
    point = law.compute_optimal(flops=flops)
    assert float(point.params) == pytest.approx(G * (flops / 6) ** a, rel=1e-11)
    assert float(point.tokens) == pytest.approx((flops / 6) ** b / G, rel=1e-11)
    # d(A N^-alpha)/d ln N = d(B D^-beta)/d ln D
    model, data = law.A * point.params**-law.alpha, law.B * point.tokens**-law.beta
    assert float(law.alpha * model) == pytest.approx(float(law.beta * data), rel=1e-11)
    assert law.data_share == pytest.approx(float(model / (model + data)), rel=1e-11)


@given(laws(), floats(0.05, 2.0))
def test_the_authors_formulas_from_a_loss(law: LossLaw, gap: float) -> None:
    # Authors' utils.py: N = (A (alpha/beta + 1)/(l - E))^(1/alpha), D = (B (beta/alpha + 1)/(l - E))^(1/beta)
    point = law.compute_optimal(loss=law.E + gap)
    l_less_E = law.E + gap - law.E
    N = (law.A * (law.alpha / law.beta + 1) / l_less_E) ** (1 / law.alpha)
    D = (law.B * (law.beta / law.alpha + 1) / l_less_E) ** (1 / law.beta)
    assert (float(point.params), float(point.tokens)) == pytest.approx((N, D), rel=1e-11)


@pytest.mark.parametrize("figures", [{}, {"params": 1e9, "loss": 2.0}, {"tokens": 1e9, "flops": 1e20, "loss": 2.0}])
def test_the_point_needs_exactly_one_figure(figures: dict[str, float]) -> None:
    with pytest.raises(InputError, match="exactly one of params, tokens, flops, loss"):
        SARDANA.compute_optimal(**figures)


def test_no_model_is_compute_optimal_at_the_floor() -> None:
    point = SARDANA.compute_optimal(loss=[1.69, 1.5, 2.0])
    assert np.isnan(point.params).tolist() == np.isnan(point.tokens).tolist() == [True, True, False]


# How parameters are counted


@given(log_floats(1e2, 1e15))
def test_total_and_counted_params_are_inverse(N: float) -> None:
    law = LossLaw(E=0, A=1, alpha=1, B=1, beta=1, power=0.1, counts="non-embedding")
    total = float(law.total_params(N))
    # Pearce & Song 2024: N_T = N_E + 47491 N_E^(1/3)
    assert total == pytest.approx(N + 47491 * N ** (1 / 3), rel=1e-14)
    assert float(law.counted_params(total)) == pytest.approx(N, rel=1e-12)
    assert float(SARDANA.total_params(N)) == float(SARDANA.counted_params(N)) == N


def test_total_params_are_labelled_terms() -> None:
    law = published("kaplan-2020")
    assert law.counts == "non-embedding"
    assert law.total_params_posynomial().labels == ("parameters", "embeddings")
    assert SARDANA.total_params_posynomial().labels == ("parameters",)
    # 1.5e9^(1/3) = 1144.714: 54.4M embeddings
    assert float(law.total_params(1.5e9)) == pytest.approx(1.5e9 + 47491 * 1144.714243, rel=1e-10)


# Fitted range

RANGE = FittedRange(params=(1e8, 1e10), tokens=(1e9, 1e11), tokens_per_param=(10.0, 100.0), flops=(1e18, 1e21))


def test_inside_the_range_nothing_is_said() -> None:
    assert RANGE.departures(1e9, 2e10) == []
    # A tenth over a rounded edge is no departure.
    assert FittedRange(params=(1e8, 1e10)).departures(1.09e10, 1e20) == []
    assert FittedRange(params=(1e8, 1e10)).departures(0.92e8, 1e20) == []
    assert FittedRange().departures(1.0, 1e30) == []


def test_each_quantity_outside_the_range_is_named_with_how_far() -> None:
    assert RANGE.departures(7e10, 1.4e12) == [
        "70.0B params is 7.00x the largest fitted (10.0B)",
        "1.40T tokens is 14.0x the largest fitted (100B)",
        "5.88e23 training FLOPs is 588x the largest fitted (1.00e21)",
    ]
    assert RANGE.departures(1e9, 1e9) == ["1.00 tokens per param is 0.100x the smallest fitted (10.0)"]
    assert RANGE.departures(1.2e10, 1.8e11) == [
        "12.0B params is 1.20x the largest fitted (10.0B)",
        "180B tokens is 1.80x the largest fitted (100B)",
        "1.30e22 training FLOPs is 13.0x the largest fitted (1.00e21)",
    ]
    # A thousand of a plain number is written as 1.00k.
    assert RANGE.departures(1e9, 1e12)[1] == "1.00k tokens per param is 10.0x the largest fitted (100)"


def test_the_range_as_json() -> None:
    assert FittedRange(params=(1.0, 2.0)).to_dict() == {
        "params": [1.0, 2.0],
        "tokens": None,
        "tokens_per_param": None,
        "flops": None,
    }


# Bad parameters

GOOD = {"E": 1.69, "A": 406.4, "alpha": 0.336, "B": 410.7, "beta": 0.283}


def test_every_bad_parameter_is_named_at_once() -> None:
    with pytest.raises(InputError) as caught:
        LossLaw(E=-1.0, A=0.0, alpha=math.nan, B=math.inf, beta=-0.1, power=0.0, name="mine")
    assert str(caught.value).splitlines() == [
        "law mine: E must be >= 0, not -1.0",
        "law mine: A must be > 0, not 0.0",
        "law mine: alpha must be > 0, not nan",
        "law mine: B must be > 0, not inf",
        "law mine: beta must be > 0, not -0.1",
        "law mine: power must be > 0, not 0.0",
    ]


@pytest.mark.parametrize("key", sorted(GOOD))
@pytest.mark.parametrize("value", [-1e-9, math.nan, math.inf, -math.inf])
def test_each_parameter_is_checked(key: str, value: float) -> None:
    with pytest.raises(InputError, match=f"law custom: {key} must be"):
        LossLaw(**(GOOD | {key: value}))


def test_a_floor_of_zero_is_a_law() -> None:
    assert LossLaw(**(GOOD | {"E": 0.0})).E == 0.0
    with pytest.raises(InputError):
        LossLaw(**(GOOD | {"A": 0.0}))


def test_a_law_as_json() -> None:
    assert LossLaw(**GOOD, name="mine").to_dict() == {"name": "mine", "form": "chinchilla", **GOOD}
    kaplan = published("kaplan-2020").to_dict()
    assert (kaplan["form"], kaplan["power"], kaplan["counts"]) == ("kaplan", 0.103, "non-embedding")


# Edges


def test_a_tenth_over_the_edge_to_the_last_bit() -> None:
    seen = FittedRange(params=(1e8, 1e10))
    for edge, beyond, said in (
        (1.1 * 1e10, math.inf, "11.0B params is 1.10x the largest fitted (10.0B)"),
        (1e8 / 1.1, 0.0, "90.9M params is 0.909x the smallest fitted (100M)"),
    ):
        assert seen.departures(edge, 1.0) == []
        assert seen.departures(float(np.nextafter(edge, beyond)), 1.0) == [said]


@pytest.mark.parametrize(
    ("coefficient", "size", "exponent", "term"),
    [
        # size^-exponent is below what a double holds, subnormal with few digits, and above
        (1e300, 1e200, 2.0, 1e-100),
        (1e300, 1e160, 2.0, 1e-20),
        (1e-300, 1e-200, 2.0, 1e100),
    ],
)
def test_a_term_whose_power_leaves_the_range_of_a_double(
    coefficient: float, size: float, exponent: float, term: float
) -> None:
    law = LossLaw(E=0.0, A=coefficient, alpha=exponent, B=coefficient, beta=exponent)
    assert float(law.loss(size, math.inf)) == pytest.approx(term, rel=1e-12)
    assert float(law.loss(math.inf, size)) == pytest.approx(term, rel=1e-12)
    assert law.loss([size, 1.0], math.inf).tolist() == pytest.approx([term, coefficient], rel=1e-12)


@pytest.mark.parametrize(
    ("coefficient", "loss", "size"),
    [(1e300, 1e-100, 1e40), (1e-300, 1e20, 1e-32), (1e-300, 1e100, 1e-40)],
)
def test_a_size_whose_quotient_leaves_the_range_of_a_double(coefficient: float, loss: float, size: float) -> None:
    law = LossLaw(E=0.0, A=coefficient, alpha=10.0, B=coefficient, beta=10.0)
    assert float(law.tokens_for(math.inf, loss)) == pytest.approx(size, rel=1e-12)
    assert float(law.params_for(math.inf, loss)) == pytest.approx(size, rel=1e-12)
    assert law.tokens_for(math.inf, [loss, coefficient]).tolist() == pytest.approx([size, 1.0], rel=1e-12)


def test_a_size_below_zero_has_no_loss() -> None:
    law = LossLaw(E=1.0, A=1.0, alpha=2.0, B=1.0, beta=2.0)
    assert np.isnan(law.loss([-2.0, 2.0], [2.0, -2.0])).all()
    assert np.isinf(law.loss(0.0, 2.0))
    assert float(law.loss(2.0, 2.0)) == 1.5


def test_what_a_law_is_where_nothing_is_said() -> None:
    plain = LossLaw(**GOOD)
    assert (plain.power, plain.counts, plain.name, plain.source, plain.note) == (1.0, "total", "custom", "", "")
    assert plain.fitted == FittedRange(params=None, tokens=None, tokens_per_param=None, flops=None)
    assert plain.standard_errors == {}
    assert plain.form == "chinchilla"


def test_embeddings_by_hand() -> None:
    # Pearce & Song 2024: 1e9 + 47491 x 1e3
    kaplan = LossLaw(**GOOD, counts="non-embedding")
    assert float(kaplan.total_params(1e9)) == pytest.approx(1.047491e9, rel=1e-15)
    assert float(kaplan.counted_params(1.047491e9)) == pytest.approx(1e9, rel=1e-12)
    assert float(LossLaw(**GOOD).counted_params(7.0)) == 7.0
