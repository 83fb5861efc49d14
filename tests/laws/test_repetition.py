"""Repetition: published worth of epochs, inverses, convexity, tangent laws and the optimum that they lead to."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from strategies import laws, log_floats, sizes

from beyond_chinchilla.errors import InputError
from beyond_chinchilla.laws.catalogue import law as published_law
from beyond_chinchilla.laws.loss_law import LossLaw
from beyond_chinchilla.laws.repetition import Repetition, published, saturated, saturated_slope, unsaturated

BASE = published_law("muennighoff-2023")


@st.composite
def repetitions(draw: st.DrawFn) -> Repetition:
    """Constants that a fit could find."""
    return Repetition(
        unique_tokens=draw(log_floats(1e8, 1e13)), R_D=draw(log_floats(0.5, 60.0)), R_N=draw(log_floats(0.5, 60.0))
    )


def repeated(unique_tokens: float) -> Repetition:
    return published("muennighoff-2023", unique_tokens=unique_tokens)


# Muennighoff et al. 2023, appendix A, and the constants of the authors' code


@pytest.mark.parametrize(
    ("epochs", "worth"),
    [(1, 1.0), (2, 1.9682), (4, 3.7257), (8, 6.6241), (16, 10.5825), (40, 15.1675), (100, 16.3630)],
)
def test_what_epochs_are_worth(epochs: float, worth: float) -> None:
    assert float(repeated(1e11).effective_tokens(epochs * 1e11)) / 1e11 == pytest.approx(worth, abs=5e-5)


def test_the_size_for_the_unique_tokens() -> None:
    # G^2 = .05099: with alpha = beta, U_N = G^2 U. The paper prints U_N = .051 U_D
    repetition = repeated(1e11)
    assert repetition.unique_params(BASE) / 1e11 == pytest.approx(0.05099, abs=5e-6)


@given(laws(), log_floats(1e8, 1e13))
def test_the_size_for_the_unique_tokens_is_the_papers_formula(law: LossLaw, unique: float) -> None:
    # U_N = (U_D G)^(beta/alpha) G
    G = (law.alpha * law.A / (law.beta * law.B)) ** (1.0 / (law.alpha + law.beta))
    found = Repetition(unique_tokens=unique, R_D=15.0, R_N=5.0).unique_params(law)
    assert found == pytest.approx((unique * G) ** (law.beta / law.alpha) * G, rel=1e-9)


def test_the_law_written_as_the_paper_writes_it() -> None:
    # L = A/(U_N + U_N R_N (1 - e^(-R/R_N)))^alpha + B/(U_D + U_D R_D (1 - e^(-R/R_D)))^beta + E
    U, N, D = 20e9, 6e9, 2e11
    U_N = 0.05099 * U
    size = U_N + U_N * 5.309743 * (1 - math.exp(-(N / U_N - 1) / 5.309743))
    data = U + U * 15.387756 * (1 - math.exp(-(D / U - 1) / 15.387756))
    expected = math.exp(6.255414) * size**-0.3526596 + math.exp(7.3049974) * data**-0.3526596 + math.exp(0.6254804)
    assert float(repeated(U).loss(BASE, N, D)) == pytest.approx(expected, rel=3e-6)


def test_enough_data_is_the_plain_law() -> None:
    N, D = np.array([1e8, 1e10, 1e12]), np.array([1e10, 3e12, 1e14])
    np.testing.assert_allclose(repeated(1e15).loss(BASE, N, D), BASE.loss(N, D), rtol=1e-15)


# Inverses


@given(repetitions(), laws(), sizes(), log_floats(0.1, 20.0))
def test_inverses_give_back_what_went_in(repetition: Repetition, law: LossLaw, N: float, epochs: float) -> None:
    assume(epochs < 15 * repetition.R_D)
    D = epochs * repetition.unique_tokens
    assert float(repetition.tokens_of(repetition.effective_tokens(D))) == pytest.approx(D, rel=1e-7)
    loss = repetition.loss(law, N, D)
    model = law.A * float(repetition.effective_params(law, N)) ** -law.alpha
    # Digits are lost where the data term is a small part of the loss.
    assume(float(loss) - law.E - model > 1e-4 * float(loss))
    assert float(repetition.tokens_for(law, N, loss)) == pytest.approx(D, rel=1e-3)
    times = N / repetition.unique_params(law)
    assume(times < 10 * repetition.R_N and model > 1e-4 * float(loss))
    assert float(repetition.params_for(law, D, loss)) == pytest.approx(N, rel=1e-3)
    assert float(repetition.params_of(law, repetition.effective_params(law, N))) == pytest.approx(N, rel=1e-7)


def test_what_no_number_of_passes_is_worth() -> None:
    repetition = repeated(1e11)
    assert repetition.most_effective_tokens == pytest.approx(16.387756e11)
    assert np.isnan(repetition.tokens_of([16.4e11, 1e13])).all()
    assert math.isfinite(float(repetition.tokens_of(16.38e11)))
    least = repetition.least_loss(BASE)
    assert float(repetition.loss(BASE, 1e15, 1e18)) == pytest.approx(least, rel=1e-12)
    assert math.isnan(float(repetition.tokens_for(BASE, 1e15, 0.9999 * least)))


def test_arrays_broadcast() -> None:
    repetition = repeated(1e11)
    losses = repetition.loss(BASE, np.array([[1e9], [1e10]]), np.array([1e11, 2e11, 4e11]))
    assert losses.shape == (2, 3)
    assert losses[1, 2] == float(repetition.loss(BASE, 1e10, 4e11))


# Shape


@given(repetitions(), log_floats(0.01, 1e3), log_floats(1.0001, 100.0))
def test_effective_tokens_are_concave_in_logarithms(repetition: Repetition, epochs: float, ratio: float) -> None:
    D = repetition.unique_tokens * epochs * np.array([1.0, math.sqrt(ratio), ratio])
    low, middle, high = np.log(repetition.effective_tokens(D))
    assert middle >= 0.5 * (low + high) - 1e-12 * abs(middle)
    assert low <= high


@given(repetitions(), laws(), sizes(), log_floats(0.01, 200.0), log_floats(1e-3, 1e3), log_floats(1e-3, 1e3))
@example(repeated(1e11), BASE, 1e10, 1.0, 4.0, 4.0)
@example(repeated(1e11), BASE, 1e13, 1e5, 0.1, 0.1)
def test_the_tangent_touches_and_is_nowhere_above(
    repetition: Repetition, law: LossLaw, N: float, epochs: float, more_N: float, more_D: float
) -> None:
    D = epochs * repetition.unique_tokens
    plain = repetition.tangent(law, N, D)
    assert float(plain.loss(N, D)) == pytest.approx(float(repetition.loss(law, N, D)), rel=1e-12)
    far = float(repetition.loss(law, more_N * N, more_D * D))
    assert float(plain.loss(more_N * N, more_D * D)) <= far * (1.0 + 1e-12)


@given(repetitions(), laws(), sizes(), log_floats(0.01, 100.0))
def test_the_tangent_has_the_laws_gradient(repetition: Repetition, law: LossLaw, N: float, epochs: float) -> None:
    D = epochs * repetition.unique_tokens
    # The law has a kink in its second derivative at one pass and at U_N.
    assume(abs(epochs - 1.0) > 1e-3 and abs(N / repetition.unique_params(law) - 1.0) > 1e-3)
    plain, h = repetition.tangent(law, N, D), 1e-5
    for up, down in (((N * math.exp(h), D), (N * math.exp(-h), D)), ((N, D * math.exp(h)), (N, D * math.exp(-h)))):
        mine = float(repetition.loss(law, *up)) - float(repetition.loss(law, *down))
        theirs = float(plain.loss(*up)) - float(plain.loss(*down))
        assert theirs == pytest.approx(mine, rel=1e-4, abs=1e-12)


@given(repetitions(), laws(), sizes(), log_floats(0.1, 50.0))
def test_the_elasticity_to_unique_data_is_the_derivative(
    repetition: Repetition, law: LossLaw, N: float, epochs: float
) -> None:
    assume(abs(epochs - 1.0) > 1e-3 and abs(N / repetition.unique_params(law) - 1.0) > 1e-3)
    D, h = epochs * repetition.unique_tokens, 1e-5
    logs = [
        math.log(float(other.loss(law, N, D)) - law.E)
        for other in (
            Repetition(unique_tokens=repetition.unique_tokens * math.exp(step), R_D=repetition.R_D, R_N=repetition.R_N)
            for step in (h, -h)
        )
    ]
    found = float(repetition.elasticity(law, N, D))
    assert found == pytest.approx((logs[0] - logs[1]) / (2 * h), rel=1e-4, abs=1e-7)
    # Where all data is new it is nothing, but for rounding.
    assert found <= 1e-15


# The optimum: 6 N D + 2 N T at a loss, with little data


def plain_optimum(law: LossLaw, loss: float, inference: float) -> tuple[float, float]:
    """Return N and D of least 6 N D + 2 N T for a plain law, by bisection on ln N along the iso-loss curve."""
    R = float(law.reducible(loss))
    low, high = math.log((law.A / R) ** (1.0 / law.alpha)) + 1e-9, math.log(1e16)

    def slope(x: float) -> float:
        # d ln cost / d ln N, which changes sign once.
        D = float(law.tokens_for(math.exp(x), loss))
        model, data = law.A * math.exp(-law.alpha * x), law.B * D**-law.beta
        training = 6 * D / (6 * D + 2 * inference)
        return 1.0 - training * law.alpha * model / (law.beta * data)

    for _ in range(200):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if slope(middle) < 0 else (low, middle)
    N = math.exp(0.5 * (low + high))
    return N, float(law.tokens_for(N, loss))


@pytest.mark.own_step
@pytest.mark.parametrize(
    ("unique", "inference"), [(50e9, 0.0), (100e9, 2e12), (200e9, 1e12), (30e9, 1e11), (5e12, 1e12)]
)
def test_the_fixed_point_of_tangents_is_the_brute_force_optimum(unique: float, inference: float) -> None:
    repetition, loss = repeated(unique), float(BASE.loss(7e9, 140e9))
    # Brute force over sizes, D from the whole law.
    N = np.exp(np.linspace(math.log(1e9), math.log(1e12), 200_001))
    D = repetition.tokens_for(BASE, N, loss)
    cost = 6 * N * D + 2 * N * inference
    best = int(np.nanargmin(cost))
    # The plan that is optimal for its own tangent: bisection on N.
    low, high = math.log(float(N[np.isfinite(D)][0])), math.log(1e12)
    for _ in range(100):
        here = math.exp(0.5 * (low + high))
        point = float(repetition.tokens_for(BASE, here, loss))
        there, _ = plain_optimum(repetition.tangent(BASE, here, point), loss, inference)
        low, high = (math.log(here), high) if there > here else (low, math.log(here))
    found = math.exp(0.5 * (low + high))
    tokens = float(repetition.tokens_for(BASE, found, loss))
    assert found == pytest.approx(float(N[best]), rel=1e-3)
    assert 6 * found * tokens + 2 * found * inference <= cost[best] * (1 + 1e-12)
    if unique < 1e12:
        plain, fewer = plain_optimum(BASE, loss, inference)
        # Little data costs more, and rather passes than parameters (section 5 of the paper) where nothing is served.
        assert cost[best] > 1.001 * (6 * plain * fewer + 2 * plain * inference)
        assert inference > 0 or tokens / found > 1.1 * fewer / plain


# What a report shows, and bad input


def test_figures_of_a_plan() -> None:
    figures = repeated(1e11).figures(BASE, 7e9, 4e11)
    assert figures["epochs"] == 4.0
    assert figures["effective_tokens"] == pytest.approx(3.7257e11, abs=5e6)
    assert figures["effective_params"] < 7e9


def test_more_epochs_than_the_law_has_seen() -> None:
    repetition = repeated(1e9)
    assert repetition.departures(1e9, 4e9) == []
    assert repetition.departures(1e9, 100e9) == [
        "100 epochs: measured losses rose again within 44, which muennighoff-2023 does not say"
    ]
    assert repetition.departures(1e9, 1e12)[0] == "1.00k epochs is 2.00x the most fitted (500)"


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"unique_tokens": 0.0}, "unique_tokens must be > 0 and finite, not 0"),
        ({"R_D": -1.0}, "R_D must be > 0 and finite, not -1"),
        ({"R_N": math.inf}, "R_N must be > 0 and finite, not inf"),
        ({"R_N": math.nan, "R_D": 0.0}, "R_D must be > 0 and finite, not 0\nrepetition custom: R_N"),
    ],
)
def test_numbers_that_make_no_law(given: dict[str, float], words: str) -> None:
    with pytest.raises(InputError, match=words):
        Repetition(**({"unique_tokens": 1e11, "R_D": 15.0, "R_N": 5.0} | given))


def test_an_unknown_name() -> None:
    with pytest.raises(InputError, match="muennighoff-2023"):
        published("muenighoff", unique_tokens=1e11)


def test_kaplans_form_is_refused() -> None:
    with pytest.raises(InputError, match="Kaplan's form"):
        repeated(1e11).loss(published_law("kaplan-2020"), 1e9, 1e11)


def test_absurd_numbers_of_passes_make_a_law_all_the_same() -> None:
    plain = repeated(1.0).tangent(BASE, 1e12, 1e15)
    assert plain.beta > 0
    assert float(plain.loss(1e12, 1e15)) == pytest.approx(float(repeated(1.0).loss(BASE, 1e12, 1e15)), rel=1e-12)


# Edges


def test_edges_of_what_was_fitted_and_seen() -> None:
    seen = Repetition(unique_tokens=1.0, R_D=15.0, R_N=5.0, most_epochs=10.0, rises=40.0)
    edge = 1.1 * 10.0
    assert seen.departures(1e9, edge) == []
    assert seen.departures(1e9, float(np.nextafter(edge, 99.0))) == ["11.0 epochs is 1.10x the most fitted (10.0)"]
    assert len(seen.departures(1e9, float(np.nextafter(40.0, 0.0)))) == 1
    assert seen.departures(1e9, 40.0) == [
        "40.0 epochs is 4.00x the most fitted (10.0)",
        "40.0 epochs: measured losses rose again within 40, which custom does not say",
    ]
    assert Repetition(unique_tokens=1.0, R_D=15.0, R_N=5.0).departures(1e9, 1e9) == []


@pytest.mark.parametrize("key", ["unique_tokens", "R_D", "R_N"])
@pytest.mark.parametrize("value", [0.0, math.inf, math.nan])
def test_each_number_is_positive_and_finite(key: str, value: float) -> None:
    good = {"unique_tokens": 1e11, "R_D": 15.0, "R_N": 5.0}
    with pytest.raises(InputError) as caught:
        Repetition(**(good | {key: value}))
    assert str(caught.value) == f"repetition custom: {key} must be > 0 and finite, not {value:g}"


@pytest.mark.parametrize(("power", "counts"), [(0.9, "total"), (1.0, "non-embedding")])
def test_either_departure_from_the_form_is_refused(power: float, counts: Any) -> None:
    law = LossLaw(E=1.0, A=400.0, alpha=0.3, B=400.0, beta=0.3, power=power, counts=counts)
    with pytest.raises(InputError, match="law custom: repetition extends"):
        repeated(1e11).unique_params(law)


def test_the_curve_at_its_corners() -> None:
    # 1 pass is 1, and passes without end are worth 1 + R, which none reaches.
    assert saturated([0.0, 0.5, 1.0, 2.0], 1.0, 1.0).tolist() == pytest.approx([0.0, 0.5, 1.0, 2.0 - math.exp(-1.0)])
    assert saturated_slope([0.5, 1.0], 1.0, 1.0).tolist() == [1.0, 1.0]
    assert float(saturated_slope(2.0, 1.0, 1.0)) == pytest.approx(2.0 * math.exp(-1.0) / (2.0 - math.exp(-1.0)))
    back = unsaturated([0.5, 1.0, 2.0 - math.exp(-1.0), 2.0, 3.0], 1.0, 1.0)
    assert back[:3].tolist() == pytest.approx([0.5, 1.0, 2.0], rel=1e-15)
    assert np.isnan(back[3:]).all()


def test_constants_and_figures_as_json() -> None:
    found = Repetition(unique_tokens=2e10, R_D=15.0, R_N=5.0)
    assert found.to_dict() == {"name": "custom", "R_D": 15.0, "R_N": 5.0, "unique_tokens": 2e10}
    assert (found.most_epochs, found.rises, found.base, found.source) == (None, None, "", "")
    U_N = float(found.unique_params(BASE))
    # Two passes, and three times U_N.
    assert found.figures(BASE, 3.0 * U_N, 4e10) == {
        "unique_tokens": 2e10,
        "epochs": 2.0,
        "effective_tokens": pytest.approx(2e10 * (1 + 15 * (1 - math.exp(-1 / 15))), rel=1e-13),
        "effective_params": pytest.approx(U_N * (1 + 5 * (1 - math.exp(-2 / 5))), rel=1e-13),
    }
    own = repeated(1e11)
    assert (own.most_epochs, own.rises, own.base, own.name) == (500.0, 44.0, "muennighoff-2023", "muennighoff-2023")
    assert "arXiv" in own.source
