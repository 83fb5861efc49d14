"""Posynomials: their calculus in logs, their algebra, and that labels survive it."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from strategies import floats, log_floats, posynomials

from beyond_chinchilla.errors import InputError
from beyond_chinchilla.posynomial import Posynomial, Term, log_sum_exp, monomial

VARIABLES = ("params", "tokens")
log_points = st.fixed_dictionaries({name: floats(-3.0, 3.0) for name in VARIABLES})

# 6 N D + 2 N T, Sardana et al. 2024, Eq. 2, with T = 2e12
LIFE = Posynomial(
    (
        Term(label="training", coefficient=6.0, powers={"params": 1, "tokens": 1}, drivers=("training_price",)),
        Term(label="serving", coefficient=4e12, powers={"params": 1}, drivers=("demand", "serving_price")),
    ),
    "FLOP",
)


def _moved(logs: dict[str, float], name: str, step: float) -> dict[str, float]:
    return logs | {name: logs[name] + step}


# Calculus


@given(posynomials(), log_points)
def test_the_gradient_is_the_finite_difference(f: Posynomial, logs: dict[str, float]) -> None:
    h = 1e-5
    numeric = [float(f.log_value(_moved(logs, v, h)) - f.log_value(_moved(logs, v, -h))) / (2 * h) for v in VARIABLES]
    assert_allclose(f.log_gradient(logs, VARIABLES), numeric, atol=1e-8)


@given(posynomials(), log_points)
def test_the_hessian_is_the_finite_difference_of_the_gradient(f: Posynomial, logs: dict[str, float]) -> None:
    h = 1e-5
    numeric = [
        (f.log_gradient(_moved(logs, v, h), VARIABLES) - f.log_gradient(_moved(logs, v, -h), VARIABLES)) / (2 * h)
        for v in VARIABLES
    ]
    assert_allclose(f.log_hessian(logs, VARIABLES), numeric, atol=1e-7)


@given(posynomials(), log_points)
def test_the_hessian_is_positive_semi_definite(f: Posynomial, logs: dict[str, float]) -> None:
    hessian = f.log_hessian(logs, VARIABLES)
    assert_allclose(hessian, hessian.T, atol=1e-15)
    assert np.linalg.eigvalsh(hessian).min() >= -1e-14


@given(posynomials(), log_points, log_points, floats(0.0, 1.0))
def test_it_is_convex_in_logs(f: Posynomial, a: dict[str, float], b: dict[str, float], t: float) -> None:
    between = {name: (1 - t) * a[name] + t * b[name] for name in VARIABLES}
    assert float(f.log_value(between)) <= (1 - t) * float(f.log_value(a)) + t * float(f.log_value(b)) + 1e-12


@given(posynomials(), log_points)
def test_values_logs_and_shares_agree(f: Posynomial, logs: dict[str, float]) -> None:
    point = {name: math.exp(x) for name, x in logs.items()}
    by_hand = [float(t.coefficient) * math.prod(point[v] ** t.powers[v] for v in VARIABLES) for t in f.terms]
    assert_allclose(f.values(point), by_hand, rtol=1e-13)
    assert_allclose(f.value(point), math.fsum(by_hand), rtol=1e-13)
    assert_allclose(np.exp(f.log_terms(logs)), by_hand, rtol=1e-12)
    assert_allclose(f.log_value(logs), math.log(math.fsum(by_hand)), atol=1e-12)
    assert_allclose(f.shares(logs), np.array(by_hand) / math.fsum(by_hand), rtol=1e-12)
    assert sum(f.totals(point).values()) == pytest.approx(math.fsum(by_hand), rel=1e-13)


def test_logs_do_not_overflow() -> None:
    # ln(6 e^2000 + 4e12 e^1000): the second term is nothing beside the first.
    assert float(LIFE.log_value({"params": 1000.0, "tokens": 1000.0})) == pytest.approx(2000 + math.log(6), rel=1e-15)
    assert_allclose(LIFE.shares({"params": 1000.0, "tokens": 1000.0}), [1.0, 0.0], atol=1e-300)
    assert float(log_sum_exp(np.array([-1e4, -1e4]))) == pytest.approx(-1e4 + math.log(2), rel=1e-15)


# Algebra


@given(posynomials(), posynomials(), log_points)
def test_a_sum_is_the_sum(f: Posynomial, g: Posynomial, logs: dict[str, float]) -> None:
    point = {name: math.exp(x) for name, x in logs.items()}
    assert_allclose((f + g).value(point), f.value(point) + g.value(point), rtol=1e-13)
    assert (f + g).labels == f.labels + g.labels


@given(posynomials(), log_floats(1e-3, 1e3), floats(-2.0, 2.0), log_points)
def test_a_product_with_a_monomial_is_one(f: Posynomial, c: float, power: float, logs: dict[str, float]) -> None:
    point = {name: math.exp(x) for name, x in logs.items()}
    product = f.times(c, {"tokens": power}, unit="USD")
    assert_allclose(product.value(point), f.value(point) * c * point["tokens"] ** power, rtol=1e-12)
    assert product.labels == f.labels
    assert product.unit == "USD"
    assert f.times(c).unit == f.unit


@given(posynomials(("gpus",)), log_floats(0.1, 10.0), log_floats(0.1, 10.0), log_floats(0.1, 10.0))
def test_substitution_is_composition(inner: Posynomial, tokens: float, gpus: float, coefficient: float) -> None:
    outer = Posynomial(
        (
            Term(label="linear", coefficient=coefficient, powers={"params": 1.0, "tokens": 0.5}),
            Term(label="without", coefficient=2.0, powers={"tokens": 2.0}),
            Term(label="power zero", coefficient=3.0, powers={"params": 0.0, "tokens": 1.0}),
        ),
        "USD",
    )
    composed = outer.substitute("params", inner)
    N = float(inner.value({"gpus": gpus}))
    direct = outer.values({"params": N, "tokens": tokens})
    # Power 0 keeps the variable by name; its value does not matter.
    totals = composed.totals({"tokens": tokens, "gpus": gpus, "params": 7.0})
    assert_allclose([totals["linear"], totals["without"], totals["power zero"]], direct, rtol=1e-12)
    assert composed.unit == "USD"


def test_labels_and_drivers_survive_the_algebra() -> None:
    total = monomial("params", 1.0, {"params": 1.0}) + monomial("embeddings", 47491.0, {"params": 1 / 3})
    counted = LIFE.substitute("params", total).times(2.0)
    assert counted.labels == ("training", "training", "serving", "serving")
    assert [term.drivers for term in counted.terms] == [term.drivers for term in LIFE.terms for _ in range(2)]
    totals = counted.totals({"params": 1e9, "tokens": 2e10})
    # 1e9 + 47491 x 1000 parameters
    assert totals == pytest.approx({"training": 2 * 6 * 1.047491e9 * 2e10, "serving": 2 * 4e12 * 1.047491e9}, rel=1e-13)
    assert list(totals) == ["training", "serving"]


def test_variables_come_in_the_order_of_their_terms() -> None:
    assert LIFE.variables == ("params", "tokens")
    rent = monomial("rent", 1.0, {"gpus": 1, "params": 1}, unit="FLOP")
    assert (rent + LIFE).variables == ("gpus", "params", "tokens")


def test_a_monomial_keeps_what_it_is_given() -> None:
    rent = monomial("rent", 3.0, {"gpus": 2.0}, unit="USD", drivers=["serving_price"])
    assert (rent.labels, rent.unit, rent.terms[0].drivers) == (("rent",), "USD", ("serving_price",))
    assert float(rent.value({"gpus": 4.0})) == 48.0


# Batches


def test_arrays_broadcast_over_points_coefficients_and_powers() -> None:
    points = {"params": np.array([[1e9], [7e9], [70e9]]), "tokens": np.array([1e11, 1e12])}
    logs = {name: np.log(value) for name, value in points.items()}
    assert LIFE.value(points).shape == LIFE.log_value(logs).shape == (3, 2)
    assert LIFE.values(points).shape == LIFE.log_terms(logs).shape == LIFE.shares(logs).shape == (3, 2, 2)
    assert LIFE.log_gradient(logs, VARIABLES).shape == (3, 2, 2)
    assert LIFE.log_hessian(logs, VARIABLES).shape == (3, 2, 2, 2)
    for i in range(3):
        for j in range(2):
            one = {"params": points["params"][i, 0], "tokens": points["tokens"][j]}
            one_log = {name: np.log(value) for name, value in one.items()}
            assert_allclose(LIFE.value(points)[i, j], LIFE.value(one), rtol=1e-15)
            assert_allclose(LIFE.log_hessian(logs, VARIABLES)[i, j], LIFE.log_hessian(one_log, VARIABLES), atol=1e-15)

    batch = monomial("rent", np.array([1.0, 2.0, 3.0]), {"params": np.array([1.0, 2.0, 0.5])})
    assert_allclose(batch.value({"params": 4.0}), [4.0, 32.0, 6.0], rtol=1e-15)
    assert batch.powers(("params", "tokens")).shape == (3, 1, 2)
    assert_allclose(batch.powers(("params", "tokens"))[:, 0], [[1, 0], [2, 0], [0.5, 0]])


# One formula for every algebra


@given(posynomials(), log_points)
def test_the_expression_of_plain_numbers_is_the_value(f: Posynomial, logs: dict[str, float]) -> None:
    point = {name: math.exp(x) for name, x in logs.items()}
    assert f.to_expression(point) == pytest.approx(float(f.value(point)), rel=1e-13)


def test_the_expression_of_cvxpy_variables_is_the_value_and_log_log_convex() -> None:
    cp = pytest.importorskip("cvxpy")
    variables = {name: cp.Variable(pos=True, name=name) for name in VARIABLES}
    f = LIFE + Posynomial((Term(label="data", coefficient=0.5, powers={"tokens": -0.283, "params": 0.4}),), "FLOP")
    point = {"params": 7e9, "tokens": 1.2e12}
    for name, variable in variables.items():
        variable.value = point[name]
    expression = f.to_expression(variables)
    assert expression.is_log_log_convex()
    assert not expression.is_log_log_concave()
    assert float(expression.value) == pytest.approx(float(f.value(point)), rel=1e-12)


# Errors


@pytest.mark.parametrize("coefficient", [0.0, -1.0, math.nan, math.inf, [1.0, -1.0]])
def test_a_coefficient_is_positive_and_finite(coefficient: float) -> None:
    with pytest.raises(InputError, match="term 'rent': a coefficient must be positive and finite"):
        Term(label="rent", coefficient=coefficient, powers={})
    with pytest.raises(InputError, match="term 'training': a coefficient must be positive and finite"):
        LIFE.times(coefficient)


def test_what_is_no_posynomial_is_refused() -> None:
    with pytest.raises(InputError, match="at least one term"):
        Posynomial(())
    with pytest.raises(InputError, match="cannot add a posynomial in FLOP to one in USD"):
        LIFE.times(1.0, unit="USD") + LIFE
    with pytest.raises(InputError, match=r"'square' has params to the power 2\.0: cannot substitute a sum"):
        monomial("square", 1.0, {"params": 2.0}).substitute("params", LIFE)
    with pytest.raises(TypeError):
        LIFE + 1.0  # type: ignore[operator]
    with pytest.raises(KeyError, match="tokens"):
        LIFE.value({"params": 1.0})
