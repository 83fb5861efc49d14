"""What fewer bits cost: the paper's constants, effective parameters, and a penalty that grows with training."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy.optimize import brentq
from strategies import floats, laws, log_floats, sizes

from beyond_chinchilla.errors import InputError
from beyond_chinchilla.laws import catalogue
from beyond_chinchilla.laws.lever import Lever
from beyond_chinchilla.laws.loss_law import LossLaw
from beyond_chinchilla.laws.precision import Precision, names, precision
from beyond_chinchilla.laws.quantisation import Quantisation
from beyond_chinchilla.posynomial import Posynomial

KUMAR = precision("kumar-2024")
KUMAR_PLAIN = catalogue.law("kumar-2024")
SARDANA = catalogue.law("sardana-2024")


def quantised(bits: float, constants: Precision = KUMAR, **training: float) -> Quantisation:
    found = constants.quantised(bits, **training)
    assert found is not None
    return found


def bits_to_serve() -> st.SearchStrategy[float]:
    return floats(2.0, 12.0)


def tokens() -> st.SearchStrategy[float]:
    return log_floats(1e8, 1e15)


# Kumar et al. 2024, Table 2 and section 3


def test_the_constants_of_the_paper() -> None:
    # Table 2
    assert (KUMAR.gamma_w, KUMAR.gamma_i, KUMAR.gamma_kv) == (2.6745, 2.2102, 0.9578)
    assert (KUMAR.C_T, KUMAR.gamma_D, KUMAR.gamma_N, KUMAR.gamma_post) == (0.0598, 0.5068, 0.3439, 0.5907)
    assert (KUMAR_PLAIN.A, KUMAR_PLAIN.B, KUMAR_PLAIN.E) == (4.299e3, 1.806e4, 2.7648)
    assert KUMAR_PLAIN.alpha == KUMAR_PLAIN.beta == 0.4965


def test_the_runs_behind_the_constants() -> None:
    # Section 2: N of 30, 60, 110 and 220 million without embeddings, D of 1.5 to 26 billion
    assert names() == ["kumar-2024"]
    assert KUMAR.fitted == KUMAR_PLAIN.fitted
    assert KUMAR.fitted.params == (30e6, 220e6)
    assert KUMAR.fitted.tokens == (1.5e9, 26e9)
    assert KUMAR_PLAIN.counts == "non-embedding"
    assert "do not carry over" in KUMAR.note


@pytest.mark.parametrize(("bits", "expected", "half"), [(3, 0.0473, 5e-5), (4, 0.0087, 5e-5), (8, 1e-5, 5e-6)])
def test_the_penalty_of_the_largest_model_of_the_paper(bits: float, expected: float, half: float) -> None:
    # 1.7B params on 26B tokens, section 3 with Table 2, recomputed
    assert float(quantised(bits).penalty(1.7e9, 26e9)) == pytest.approx(expected, abs=half)


def test_training_bits_multiply() -> None:
    # Section 4 with Table 2 at 4 bits: e^(-4/2.6745) = .22411, e^(-4/2.2102) = .16369, e^(-4/.9578) = .01536
    each = (1 - 0.22411, 1 - 0.16369, 1 - 0.01536)
    # 64 bits of the others leave nothing out.
    full = {"weights_bits": 64.0, "activation_bits": 64.0, "kv_bits": 64.0, "reference_bits": math.inf}
    alone = [KUMAR.params_share(**full | {key: 4.0}) for key in ("weights_bits", "activation_bits", "kv_bits")]
    assert alone == pytest.approx(each, abs=5e-6)
    together = KUMAR.params_share(weights_bits=4, activation_bits=4, kv_bits=4, reference_bits=math.inf)
    assert together == pytest.approx(math.prod(alone), rel=1e-9)


def test_a_law_counts_the_parameters_of_its_own_runs_in_full() -> None:
    assert KUMAR.params_share() == 1.0
    assert KUMAR.trained_at(SARDANA) == SARDANA
    # More bits than the runs had are not known to help.
    assert KUMAR.params_share(weights_bits=32.0) == 1.0
    # Fitted with N_eff for N the plain law of the paper is that of endless bits: .99748 x .99928 x (1 - 6e-8)
    assert KUMAR.params_share(reference_bits=math.inf) == pytest.approx(0.99676, abs=5e-6)


# Training precision


@given(laws(), floats(2.0, 15.9), floats(2.0, 16.0), floats(2.0, 16.0), sizes(), tokens())
def test_training_in_fewer_bits_is_training_fewer_parameters(
    law: LossLaw, weights: float, activations: float, kv: float, N: float, D: float
) -> None:
    bits = {"weights_bits": weights, "activation_bits": activations, "kv_bits": kv}
    share = KUMAR.params_share(**bits)
    low = KUMAR.trained_at(law, **bits)
    assert 0.0 < share < 1.0
    assert float(low.loss(N, D)) == pytest.approx(float(law.loss(share * N, D)), rel=1e-12)
    # Only the model term moves.
    assert replace(low, A=law.A) == law
    finer = KUMAR.trained_at(law, weights_bits=weights + 0.1, activation_bits=activations, kv_bits=kv)
    assert finer.A < low.A
    # What is lost counts twice: against the penalty there are fewer parameters as well.
    served = min(3.0, weights - 0.5)
    assert float(quantised(served, **bits).penalty(N, D)) == pytest.approx(
        float(quantised(served).penalty(share * N, D)), rel=1e-12
    )


# Quantisation after training


@pytest.mark.parametrize(("served", "trained"), [(16.0, 16.0), (8.0, 8.0), (16.0, 8.0)])
def test_no_penalty_where_nothing_is_rounded(served: float, trained: float) -> None:
    assert KUMAR.quantised(served, weights_bits=trained) is None


@given(floats(0.2, 3.0), floats(4.0, 16.0), floats(0.1, 3.9))
def test_weights_that_were_trained_in_few_bits_lose_less_by_fewer(C_w: float, trained: float, drop: float) -> None:
    # Section 5: the factor 1 - e^(-C_w (P_w - P_post))
    hardened = replace(KUMAR, C_w=C_w)
    bits = trained - drop
    with_factor = float(quantised(bits, hardened, weights_bits=trained).penalty(1e9, 1e11))
    without = float(quantised(bits, weights_bits=trained).penalty(1e9, 1e11))
    assert with_factor == pytest.approx(without * (1.0 - math.exp(-C_w * drop)), rel=1e-9)


@given(laws(), bits_to_serve(), sizes(), tokens(), floats(1.01, 10.0))
def test_more_tokens_fewer_params_and_fewer_bits_cost_more(
    law: LossLaw, bits: float, N: float, D: float, factor: float
) -> None:
    found = quantised(bits)
    delta = float(found.penalty(N, D))
    assert float(found.loss(law, N, D)) == pytest.approx(float(law.loss(N, D)) + delta, rel=1e-14)
    assert found.penalty(N, factor * D) > delta
    assert found.penalty(factor * N, D) < delta
    assert quantised(bits - 0.5).penalty(N, D) > delta
    # One bit more divides it by e^(1/gamma), whatever the model.
    one_more = float(quantised(bits + 1.0).penalty(N, D))
    assert delta / one_more == pytest.approx(math.exp(1 / KUMAR.gamma_post), rel=1e-9)


@given(laws(), bits_to_serve(), sizes())
def test_at_the_critical_tokens_more_training_does_nothing(law: LossLaw, bits: float, N: float) -> None:
    found = quantised(bits)
    critical = float(found.critical_tokens(law, N))
    data, delta = law.B * critical**-law.beta, float(found.penalty(N, critical))
    # dL/d ln D = gamma_D delta - beta B D^-beta
    assert found.gamma_D * delta == pytest.approx(law.beta * data, rel=1e-9)
    around = found.loss(law, N, critical * np.array([0.5, 1.0, 2.0]))
    assert around[0] > around[1] < around[2]
    assert float(found.least_loss(law, N)) == pytest.approx(float(around[1]), rel=1e-14)
    # Larger models, and models of more bits, may be trained for longer.
    assert found.critical_tokens(law, 2 * N) > critical
    assert quantised(bits + 0.5).critical_tokens(law, N) > critical


@given(laws(), bits_to_serve(), st.tuples(sizes(), tokens()), st.tuples(sizes(), tokens()))
def test_the_law_is_convex_in_logs(
    law: LossLaw, bits: float, first: tuple[float, float], second: tuple[float, float]
) -> None:
    found = quantised(bits)
    (N, D), (M, C) = first, second
    ends = [math.log(float(found.loss(law, *one)) - law.E) for one in (first, second)]
    middle = math.log(float(found.loss(law, math.sqrt(N * M), math.sqrt(D * C))) - law.E)
    assert middle <= 0.5 * sum(ends) + 1e-7


@given(laws(), bits_to_serve(), sizes(), tokens())
def test_the_terms_are_the_law(law: LossLaw, bits: float, N: float, D: float) -> None:
    found, reducible = quantised(bits), replace(law, E=0.0)
    whole = Posynomial(law.posynomial().terms + found.terms(law))
    expected = float(found.loss(reducible, N, D))
    assert float(whole.value({"params": N, "tokens": D})) == pytest.approx(expected, rel=1e-12)


@given(laws(), bits_to_serve(), sizes(), tokens())
def test_with_the_penalty_held_the_law_is_plain(law: LossLaw, bits: float, N: float, D: float) -> None:
    found = quantised(bits)
    theta = float(found.penalty(N, D))
    held = found.held(law, theta)
    assert held.form == "chinchilla"
    assert float(held.loss(N, D)) == pytest.approx(float(found.loss(law, N, D)), rel=1e-12)


# Tokens for a loss


@given(laws(), bits_to_serve(), sizes(), log_floats(1e-6, 1.0))
def test_the_tokens_for_a_loss_are_the_fewest(law: LossLaw, bits: float, N: float, share: float) -> None:
    found = quantised(bits)
    critical = float(found.critical_tokens(law, N))
    # Nearer to the least loss its digits say nothing of the tokens; further away the penalty is below the last digit.
    D = critical * (1e-6 + 0.97 * share)
    loss = float(found.loss(law, N, D))
    resolution = 1e-14 * loss / (law.beta * law.B * D**-law.beta - found.gamma_D * float(found.penalty(N, D)))
    assume(resolution < 1e-4)
    assert float(found.tokens_for(law, N, loss)) == pytest.approx(D, rel=10 * resolution + 1e-12)


@pytest.mark.parametrize("params", [5e9, 10e9, 13e9, 70e9])
@pytest.mark.parametrize("bits", [3.0, 4.0, 8.0])
def test_the_tokens_for_a_loss_against_bisection(params: float, bits: float) -> None:
    found, target = quantised(bits), 2.0453

    def excess(log_D: float) -> float:
        return (
            SARDANA.E
            + SARDANA.A * params**-0.336
            + SARDANA.B * math.exp(-0.283 * log_D)
            - target
            + (0.0598 * math.exp(0.5068 * log_D) / params**0.3439 * math.exp(-bits / 0.5907))
        )

    grid = np.linspace(math.log(1e9), math.log(1e16), 4001)
    first = next((k for k in range(4001) if excess(grid[k]) <= 0.0), None)
    answer = float(found.tokens_for(SARDANA, params, target))
    if first is None:
        assert math.isnan(answer)
    else:
        assert math.log(answer) == pytest.approx(brentq(excess, grid[first - 1], grid[first], xtol=1e-13), abs=1e-9)


def test_out_of_reach_is_nan_and_what_can_just_be_had_is_not() -> None:
    four = quantised(4.0)
    least = four.least_loss(SARDANA, np.array([7e9, 13e9]))
    assert np.isnan(four.tokens_for(SARDANA, np.array([7e9, 13e9]), least - 1e-6)).all()
    at = four.tokens_for(SARDANA, np.array([7e9, 13e9]), least + 1e-12)
    assert at == pytest.approx(four.critical_tokens(SARDANA, np.array([7e9, 13e9])), rel=1e-4)
    # Nothing is below E, nor below what endless tokens would give.
    assert np.isnan(four.tokens_for(SARDANA, 1e9, [1.0, 1.69, 2.0])).all()
    assert four.tokens_for(SARDANA, np.ones((2, 1)) * 70e9, np.full(3, 2.0453)).shape == (2, 3)


def test_seven_b_of_thirteen_b_quality_is_too_fragile_for_four_bits() -> None:
    # In full precision 7B reaches it on 1.239T tokens (Sardana et al. 2024, Figure 1); with what 4 bits then cost no
    # further training reaches it, and in 8 bits .01% more tokens do.
    assert math.isnan(quantised(4.0).tokens_for(SARDANA, 7e9, 2.0453))
    plain = float(SARDANA.tokens_for(7e9, 2.0453))
    eight = float(quantised(8.0).tokens_for(SARDANA, 7e9, 2.0453))
    assert plain < eight < 1.002 * plain


# What a plan says of it


def test_figures_and_departures() -> None:
    four = quantised(4.0)
    lever: Lever = four
    assert (lever.kind, lever.variable, lever.name) == ("quantisation", "", "kumar-2024")
    assert (lever.low, lever.high, lever.whole, lever.baseline) == (0.0, math.inf, False, None)
    assert "2411.04330" in lever.source
    figures = four.figures(SARDANA, 7e9, 2e12, 0.05)
    assert figures == {
        "bits": 4.0,
        "quantisation_loss": pytest.approx(0.0483, abs=5e-5),
        "critical_tokens": pytest.approx(float(four.critical_tokens(SARDANA, 7e9))),
    }
    assert four.departures(100e6, 10e9) == []
    assert four.departures(7e9, 10e9) == ["7.00B params is 31.8x the largest fitted (220M)"]
    assert quantised(2.0).departures(100e6, 10e9) == ["2-bit weights are below the fewest bits fitted (3)"]


# Mistakes


def test_constants_that_mean_nothing_are_refused_together() -> None:
    with pytest.raises(InputError) as refused:
        replace(KUMAR, gamma_w=0.0, C_T=-1.0, gamma_post=math.nan, C_w=math.inf)
    assert str(refused.value).splitlines() == [
        "quantisation kumar-2024: C_T must be 1e-09 to 1e+09, not -1",
        "quantisation kumar-2024: gamma_post must be 0.05 to 1000, not nan",
        "quantisation kumar-2024: gamma_w must be 0.05 to 1000, not 0",
        "quantisation kumar-2024: C_w must be 0.001 to 1000, not inf",
    ]
    with pytest.raises(InputError, match="quantisation custom: coefficient must be > 0"):
        Quantisation(coefficient=0.0, gamma_D=0.5, gamma_N=0.3, bits=4.0)


def test_training_in_few_bits_needs_the_constants_of_it() -> None:
    after = Precision(C_T=0.0598, gamma_D=0.5068, gamma_N=0.3439, gamma_post=0.5907)
    assert after.params_share() == 1.0
    assert after.params_share(reference_bits=math.inf) == 1.0
    assert quantised(4.0, after).coefficient == quantised(4.0).coefficient
    with pytest.raises(InputError, match="quantisation custom: training in 8 bits needs gamma_w; give it, or train in"):
        after.trained_at(SARDANA, weights_bits=8.0)
    with pytest.raises(InputError, match="training in 8 bits needs gamma_i"):
        replace(after, gamma_w=2.7).quantised(4.0, weights_bits=8.0, activation_bits=8.0)


@pytest.mark.parametrize("bits", [0.0, -4.0, 65.0, math.nan])
def test_bits_that_mean_nothing_are_refused(bits: float) -> None:
    with pytest.raises(InputError, match="precision must be above 0 and at most 64 bits"):
        KUMAR.quantised(bits)
    with pytest.raises(InputError, match="precision must be above 0 and at most 64 bits"):
        KUMAR.trained_at(SARDANA, weights_bits=bits)


def test_a_law_of_another_form_takes_no_precision() -> None:
    kaplan = catalogue.law("kaplan-2020")
    for ask in (
        lambda: KUMAR.trained_at(kaplan, weights_bits=8),
        lambda: quantised(4.0).terms(kaplan),
        lambda: quantised(4.0).held(kaplan, 0.1),
        lambda: quantised(4.0).loss(kaplan, 1e9, 1e10),
        lambda: quantised(4.0).tokens_for(kaplan, 1e9, 3.0),
    ):
        with pytest.raises(InputError, match="kaplan-2020: precision moves the terms"):
            ask()


def test_an_unknown_name_gets_the_nearest() -> None:
    with pytest.raises(InputError, match=r"no law of precision named 'kumar2024'; did you mean 'kumar-2024'\?"):
        precision("kumar2024")


# Edges

BOUNDS = {
    "C_T": (1e-9, 1e9), "gamma_D": (1e-3, 5.0), "gamma_N": (1e-3, 5.0), "gamma_post": (0.05, 1e3),
    "gamma_w": (0.05, 1e3), "gamma_i": (0.05, 1e3), "gamma_kv": (0.05, 1e3), "C_w": (1e-3, 1e3),
}  # fmt: skip


@pytest.mark.parametrize("key", BOUNDS)
def test_each_constant_may_be_at_its_bounds_and_no_further(key: str) -> None:
    low, high = BOUNDS[key]
    for edge, beyond in ((low, 0.0), (high, math.inf)):
        assert getattr(replace(KUMAR, **{key: edge}), key) == edge
        with pytest.raises(InputError, match=f"^quantisation kumar-2024: {key} must be {low:g} to "):
            replace(KUMAR, **{key: float(np.nextafter(edge, beyond))})


@pytest.mark.parametrize("key", ["coefficient", "gamma_D", "gamma_N", "bits"])
@pytest.mark.parametrize("value", [0.0, -1.0, math.inf, math.nan])
def test_each_constant_of_a_penalty_is_positive_and_finite(key: str, value: float) -> None:
    good = {"coefficient": 1e-5, "gamma_D": 0.5, "gamma_N": 0.3, "bits": 4.0}
    said = f"quantisation custom: {key} must be > 0 and finite, not {value:g}"
    for bad in (value, np.array([1.0, value])):
        with pytest.raises(InputError) as caught:
            Quantisation(**(good | {key: bad}))  # type: ignore[arg-type]
        assert str(caught.value) == said
    plain = Quantisation(**good)
    assert (plain.name, plain.source, plain.fitted_bits) == ("custom", "", None)
    assert plain.departures(1e12, 1e15) == []


def test_bits_at_the_edges() -> None:
    assert quantised(3.0).departures(100e6, 10e9) == []
    assert KUMAR.quantised(64.0) is None
    assert KUMAR.quantised(16.0, weights_bits=32.0) is None
    assert quantised(15.9, weights_bits=32.0).bits == 15.9
    # What the runs of a law were trained in needs no constants; a bit less does, and so does less than 16 bits.
    bare = Precision(C_T=0.06, gamma_D=0.5, gamma_N=0.3, gamma_post=0.6)
    assert bare.params_share(weights_bits=12, activation_bits=12, kv_bits=12, reference_bits=12) == 1.0
    assert bare.params_share(weights_bits=32, reference_bits=math.inf) == 1.0
    for bits, reference in ((11.9, 12.0), (15.9, 16.0), (15.9, math.inf)):
        with pytest.raises(InputError, match=f"training in {bits:g} bits needs gamma_w"):
            bare.params_share(weights_bits=bits, reference_bits=reference)


def test_the_penalty_by_hand() -> None:
    # .0598 e^(-4/.5907) x .5^-.3439 (1 - e^(-.7 x 4)): half of the parameters count, and weights of 8 bits lose less
    hard = replace(KUMAR, C_w=0.7, gamma_w=8.0 / math.log(2.0), gamma_i=1000.0, gamma_kv=1000.0)
    found = hard.quantised(4.0, weights_bits=8.0, activation_bits=64.0, kv_bits=64.0, reference_bits=math.inf)
    assert found is not None
    share = 0.5 * (1 - math.exp(-0.064)) ** 2
    expected = 0.0598 * math.exp(-4 / 0.5907) * share**-0.3439 * (1 - math.exp(-0.7 * 4))
    assert found.coefficient == pytest.approx(expected, rel=1e-12)
    assert (found.gamma_D, found.gamma_N, found.bits) == (0.5068, 0.3439, 4.0)
    assert (found.name, found.source) == (hard.name, hard.source)
    assert (found.fitted, found.fitted_bits) == (KUMAR.fitted, (3.0, 16.0))
    # 1e-5 (4e12)^.5 / (1e8)^.25
    plain = Quantisation(coefficient=1e-5, gamma_D=0.5, gamma_N=0.25, bits=4.0)
    assert float(plain.penalty(1e8, 4e12)) == pytest.approx(0.2, rel=1e-14)
