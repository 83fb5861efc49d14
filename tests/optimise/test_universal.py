"""The universal curve against 50 problems solved at 50 digits by another road, and against its own promises."""

from __future__ import annotations

import csv
import warnings
from pathlib import Path

import numpy as np
import pytest
import strategies
from hypothesis import given

from beyond_chinchilla.laws.loss_law import LossLaw
from beyond_chinchilla.optimise import universal
from beyond_chinchilla.optimise.universal import Status, log_cost_ratio, log_spend_ratio, optimum

SARDANA = LossLaw(E=1.69, A=406.4, alpha=0.336, B=410.7, beta=0.283)
KAPLAN = LossLaw(E=0.0, A=8.8e13**0.8, alpha=0.8, B=5.4e13, beta=1.0, power=0.095, counts="non-embedding")
FIELDS = ("params", "tokens", "spend_ratio", "kappa")


def _references() -> list[dict[str, float]]:
    path = Path(__file__).parents[1] / "references" / "universal.csv"
    with path.open(newline="") as file:
        return [{name: float(text) for name, text in row.items()} for row in csv.DictReader(file)]


def _name(row: dict[str, float]) -> str:
    return f"alpha={row['alpha']:g} beta={row['beta']:g} kappa={row['kappa']:.0e}"


REFERENCES = _references()


def _law(row: dict[str, float]) -> LossLaw:
    return LossLaw(**{name: row[name] for name in ("E", "A", "alpha", "B", "beta")})


def _batch(size: int, seed: int = 7) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return losses, training and serving rates of problems with kappa from about 1e-12 to 1e12."""
    draw = np.random.default_rng(seed)
    loss = SARDANA.E + np.exp(draw.uniform(-2.5, 0.5, size))
    train_rate = np.exp(draw.uniform(-3.0, 3.0, size))
    serve_rate = train_rate * SARDANA.compute_optimal(loss=loss).tokens * 10.0 ** draw.uniform(-12.0, 12.0, size)
    return loss, train_rate, serve_rate


# Against the table


def test_references_cover_what_they_claim():
    kappas = [row["kappa"] for row in REFERENCES]
    assert len(REFERENCES) == 50
    assert min(kappas) == pytest.approx(1e-12, rel=1e-9)
    assert max(kappas) == pytest.approx(1e12, rel=1e-9)
    assert {min(row[name] for row in REFERENCES) for name in ("alpha", "beta")} == {0.05}
    assert {max(row[name] for row in REFERENCES) for name in ("alpha", "beta")} == {2.0}


@pytest.mark.parametrize("row", REFERENCES, ids=_name)
def test_plan_equals_50_digits(row):
    best = optimum(_law(row), row["loss"], row["train_rate"], row["serve_rate"])
    assert best.status == Status.OPTIMAL
    for field in FIELDS:
        assert float(getattr(best, field)) == pytest.approx(row[field], rel=1e-13, abs=0.0), field


@pytest.mark.parametrize("row", REFERENCES, ids=_name)
def test_savings_equal_50_digits_however_small(row):
    best = optimum(_law(row), row["loss"], row["train_rate"], row["serve_rate"])
    log_ratio = log_cost_ratio(best.spend_ratio, row["alpha"], row["beta"])
    assert float(log_ratio) == pytest.approx(row["log_cost_ratio"], rel=1e-12, abs=0.0)
    assert float(-np.expm1(log_ratio)) == pytest.approx(row["savings"], rel=1e-12, abs=0.0)


@pytest.mark.parametrize("row", REFERENCES, ids=_name)
def test_plan_has_the_loss(row):
    law = _law(row)
    best = optimum(law, row["loss"], row["train_rate"], row["serve_rate"])
    assert float(law.loss(best.params, best.tokens)) == pytest.approx(row["loss"], rel=1e-13)


@given(strategies.laws(), strategies.floats(-9.0, 9.0), strategies.log_floats(0.9, 1.1))
def test_no_neighbour_of_equal_loss_costs_less(law, decade, nudge):
    loss = law.E + 0.5
    serve_rate = 6.0 * float(law.compute_optimal(loss=loss).tokens) * 10.0**decade
    best = optimum(law, loss, 6.0, serve_rate)
    N = float(best.params) * nudge
    D = float(law.tokens_for(N, loss))
    least = float(best.params) * (6.0 * float(best.tokens) + serve_rate)
    # No number of tokens makes so small a model good enough: nan, and nothing to compare.
    assert np.isnan(D) or N * (6.0 * D + serve_rate) >= least * (1.0 - 1e-12)


def test_kaplans_form():
    best = optimum(KAPLAN, 2.5, 6.0, 4e12)
    N, D = float(best.params), float(best.tokens)
    assert float(KAPLAN.loss(N, D)) == pytest.approx(2.5, rel=1e-13)
    least = N * (6.0 * D + 4e12)
    for nudge in (0.99, 1.01):
        assert N * nudge * (6.0 * float(KAPLAN.tokens_for(N * nudge, 2.5)) + 4e12) > least


# Statuses

NAN, INF = float("nan"), float("inf")
CASES = [
    (2.0, 6.0, 4e12, Status.OPTIMAL),
    (2.0, 6.0, 0.0, Status.OPTIMAL),
    (1.69, 6.0, 4e12, Status.OUT_OF_REACH),
    (1.0, 6.0, 4e12, Status.OUT_OF_REACH),
    (2.0, 0.0, 4e12, Status.UNBOUNDED),
    (2.0, 0.0, 0.0, Status.INVALID),
    (2.0, -6.0, 4e12, Status.INVALID),
    (2.0, 6.0, -4e12, Status.INVALID),
    (2.0, -6.0, -4e12, Status.INVALID),
    (NAN, 6.0, 4e12, Status.INVALID),
    (2.0, NAN, 4e12, Status.INVALID),
    (2.0, 6.0, NAN, Status.INVALID),
    (INF, 6.0, 4e12, Status.INVALID),
    (2.0, INF, 4e12, Status.INVALID),
    (2.0, 6.0, INF, Status.INVALID),
]


def test_every_status_from_one_call():
    loss, train_rate, serve_rate, expected = zip(*CASES, strict=True)
    best = optimum(SARDANA, loss, train_rate, serve_rate)
    assert [Status(s).name for s in best.status] == [s.name for s in expected]
    assert set(expected) == set(Status)
    good = best.status == Status.OPTIMAL
    for field in FIELDS:
        assert np.isfinite(getattr(best, field)[good]).all()
        assert np.isnan(getattr(best, field)[~good]).all()
    # What stands beside a bad problem does not change a good one.
    assert best.params[0] == optimum(SARDANA, *CASES[0][:3]).params


@pytest.mark.parametrize("case", CASES, ids=str)
def test_status_of_scalars(case):
    *asked, expected = case
    assert optimum(SARDANA, *asked).status == expected


def test_no_warnings():
    loss, train_rate, serve_rate, _ = zip(*CASES, strict=True)
    with warnings.catch_warnings(), np.errstate(all="raise"):
        warnings.simplefilter("error")
        best = optimum(SARDANA, loss, train_rate, serve_rate)
        assert np.isnan(best.kappa).sum() == len(CASES) - 2
        assert log_spend_ratio([-np.inf, 1e3, -1e3], 0.5, 0.3)[0] == -np.inf


def test_absurd_rates_keep_their_meaning():
    tiny = optimum(SARDANA, 2.0, 6.0, [1e-300, 5e-324, 1e-200])
    point = SARDANA.compute_optimal(loss=2.0)
    assert tiny.tokens == pytest.approx(float(point.tokens), rel=1e-13)
    huge = optimum(SARDANA, 2.0, 6.0, 6.0 * float(point.tokens) * np.array([1e30, 1e100, 1e200]))
    assert (huge.status == Status.OPTIMAL).all()
    # Far out s = (kappa q^(-1/beta))^(beta/(1 + beta)).
    slope = SARDANA.beta / (1.0 + SARDANA.beta)
    expected = slope * (np.log(10.0) * np.array([30.0, 100.0, 200.0]) - np.log(SARDANA.data_share) / SARDANA.beta)
    assert np.log(huge.spend_ratio) == pytest.approx(expected, rel=1e-7)
    assert np.log(huge.spend_ratio[1:]) == pytest.approx(expected[1:], rel=1e-13)


# Arrays


def test_no_serving_is_the_chinchilla_point():
    loss = np.array([1.8, 2.0, 3.0])
    best = optimum(SARDANA, loss, 6.0, 0.0)
    point = SARDANA.compute_optimal(loss=loss)
    assert best.params == pytest.approx(point.params, rel=1e-13)
    assert best.tokens == pytest.approx(point.tokens, rel=1e-13)
    assert (best.spend_ratio == 0.0).all()
    assert (best.kappa == 0.0).all()
    assert (best.status == Status.OPTIMAL).all()


@pytest.mark.parametrize("beta", [0.03, 0.1, 0.283, 1.0])
def test_batch_equals_scalar_to_the_last_bit(beta):
    law = LossLaw(E=1.69, A=406.4, alpha=0.336, B=0.5 * 1e10**beta, beta=beta)
    asked = _batch(203)
    batch = optimum(law, *asked)
    for i, problem in enumerate(zip(*asked, strict=True)):
        alone = optimum(law, *problem)
        for field in FIELDS:
            assert getattr(alone, field).tobytes() == getattr(batch, field)[i].tobytes(), field


def test_scalar_inputs_equal_arrays_to_the_last_bit():
    loss, train_rate, serve_rate = _batch(101)
    mixed = optimum(SARDANA, 2.0, train_rate, serve_rate)
    full = optimum(SARDANA, np.full(101, 2.0), train_rate, serve_rate)
    assert mixed.params.tobytes() == full.params.tobytes()
    mixed = optimum(SARDANA, loss, 6.0, 4e12)
    full = optimum(SARDANA, loss, np.full(101, 6.0), np.full(101, 4e12))
    assert mixed.tokens.tobytes() == full.tokens.tobytes()


@pytest.mark.parametrize("block", [1, 7, 1000, 1 << 20])
def test_block_size_changes_nothing(block, monkeypatch):
    loss, train_rate, serve_rate = _batch(1500)
    # Values that take the rare roads must not pull their neighbours along.
    loss[3], train_rate[5], serve_rate[7], serve_rate[9], serve_rate[11] = NAN, 0.0, 0.0, 1e-250, 1e250
    usual = optimum(SARDANA, loss, train_rate, serve_rate)
    monkeypatch.setattr(universal, "BLOCK", block)
    other = optimum(SARDANA, loss, train_rate, serve_rate)
    for field in (*FIELDS, "status"):
        assert getattr(other, field).tobytes() == getattr(usual, field).tobytes(), field


def test_shapes_broadcast():
    best = optimum(SARDANA, np.array([[2.0], [2.2]]), 6.0, np.array([0.0, 1e12, 4e12]))
    for field in (*FIELDS, "status"):
        assert getattr(best, field).shape == (2, 3)
    assert best.params[1, 2] == optimum(SARDANA, 2.2, 6.0, 4e12).params
    assert optimum(SARDANA, 2.0, 6.0, 4e12).params.shape == ()
    assert optimum(SARDANA, np.empty((0, 3)), 6.0, 4e12).status.shape == (0, 3)
    backwards = optimum(SARDANA, 2.0, 6.0, np.linspace(1e12, 4e12, 9)[::-2])
    assert (np.diff(backwards.params) > 0).all()


def test_inputs_stay_as_they_were():
    asked = _batch(50)
    copies = [x.copy() for x in asked]
    optimum(SARDANA, *asked)
    for x, copy in zip(asked, copies, strict=True):
        assert (x == copy).all()


# The curve itself


@given(strategies.floats(-35.0, 35.0), strategies.floats(0.02, 0.98), strategies.log_floats(0.01, 5.0))
def test_log_spend_ratio_solves_its_equation(log_kappa, q, beta):
    y = float(log_spend_ratio(log_kappa, q, beta))
    left = y + np.log1p(q * np.exp(y)) / beta
    slope = 1.0 + q * np.exp(y) / (1.0 + q * np.exp(y)) / beta
    assert abs(left - log_kappa) / slope < 1e-13


def test_log_spend_ratio_broadcasts():
    log_kappa, beta = np.linspace(-3.0, 3.0, 5), np.array([[0.04], [0.2], [0.283]])
    found = log_spend_ratio(log_kappa, 0.5, beta)
    assert found.shape == (3, 5)
    assert found[2, 4] == pytest.approx(float(log_spend_ratio(3.0, 0.5, 0.283)), abs=3e-14)
    assert log_spend_ratio(-np.inf, 0.5, 0.3) == -np.inf


@given(strategies.log_floats(1e-2, 1e6), strategies.log_floats(0.05, 2.0), strategies.log_floats(0.05, 2.0))
def test_log_cost_ratio_is_the_ratio_of_costs(s, alpha, beta):
    q = beta / (alpha + beta)
    log_params = (np.log(1.0 + q * s) - np.log(1.0 + s)) / alpha
    log_tokens = np.log(1.0 + q * s) / beta
    direct = log_params + log_tokens + np.log(1.0 + s) - np.log(1.0 + s * np.exp(log_tokens))
    found = float(log_cost_ratio(s, alpha, beta))
    assert found == pytest.approx(direct, abs=1e-13 * (1.0 / alpha + 1.0 / beta))
    assert found < 0.0


@pytest.mark.parametrize("alpha", [0.05, 0.336, 2.0])
@pytest.mark.parametrize("beta", [0.05, 0.283, 2.0])
def test_log_cost_ratio_has_no_step_where_its_two_forms_meet(alpha, beta):
    below, above = log_cost_ratio(np.array([np.nextafter(0.05, 0.0), 0.05]), alpha, beta)
    assert float(below) == pytest.approx(float(above), rel=1e-11)


# Elasticities by the envelope theorem, against differences


def _log_cost(loss: float, train_rate: float, serve_rate: float) -> float:
    best = optimum(SARDANA, loss, train_rate, serve_rate)
    return float(np.log(best.params * (train_rate * best.tokens + serve_rate)))


ASKED = [(2.04, 6.0, 4e12), (1.9, 6.0, 1e10), (2.5, 2.0, 1e16)]
STEP = 1e-4


@pytest.mark.parametrize("asked", ASKED)
def test_elasticity_to_the_rates(asked):
    loss, a, b = asked
    s = float(optimum(SARDANA, *asked).spend_ratio)
    up, down = np.exp(STEP), np.exp(-STEP)
    to_serving = (_log_cost(loss, a, b * up) - _log_cost(loss, a, b * down)) / (2 * STEP)
    to_training = (_log_cost(loss, a * up, b) - _log_cost(loss, a * down, b)) / (2 * STEP)
    assert to_serving == pytest.approx(s / (1 + s), rel=1e-6, abs=1e-10)
    assert to_training == pytest.approx(1 / (1 + s), rel=1e-6, abs=1e-10)


@pytest.mark.parametrize("asked", ASKED)
def test_elasticity_to_the_reducible_loss(asked):
    loss, a, b = asked
    s, q = float(optimum(SARDANA, *asked).spend_ratio), SARDANA.data_share
    R = loss - SARDANA.E
    high, low = (_log_cost(SARDANA.E + R * np.exp(step), a, b) for step in (STEP, -STEP))
    expected = -(1 + q * s) / (SARDANA.alpha * q * (1 + s))
    assert (high - low) / (2 * STEP) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("log_kappa", [-8.0, -1.0, 0.0, 2.0, 15.0])
def test_elasticity_of_the_spend_ratio_to_kappa(log_kappa):
    q, beta = SARDANA.data_share, SARDANA.beta
    low, y, high = log_spend_ratio(log_kappa + np.array([-STEP, 0.0, STEP]), q, beta)
    s = np.exp(y)
    assert (high - low) / (2 * STEP) == pytest.approx(1 / (1 + q * s / (beta * (1 + q * s))), rel=1e-6)
