"""The parts of the universal curve against closed forms, and either side of each edge that a status has."""

from __future__ import annotations

import math
from dataclasses import replace

import mpmath
import numpy as np
import pytest

from beyond_chinchilla.laws.batch import LawBatch
from beyond_chinchilla.laws.catalogue import law as published
from beyond_chinchilla.optimise import universal
from beyond_chinchilla.optimise.universal import Status, log_cost_ratio, log_spend_ratio, optimum, rates_of
from beyond_chinchilla.posynomial import Posynomial, monomial

SARDANA = published("sardana-2024")
TINY = float(np.finfo(float).tiny)


def _growth(x: np.ndarray, beta: float) -> np.ndarray:
    """Return g of beta g = ln(1 + e^(x - g)) by bisection in extended precision, whatever the size of x."""
    low, high = (
        np.zeros_like(x, dtype=np.longdouble),
        np.maximum(x, 0.0).astype(np.longdouble) / (1 + beta) + 1.0 / beta,
    )
    for _ in range(90):
        middle = (low + high) / 2
        over = beta * middle > np.logaddexp(np.longdouble(0.0), x - middle)
        low, high = np.where(over, low, middle), np.where(over, middle, high)
    return low


@pytest.mark.parametrize("beta", [0.01, 0.05, 0.1, 0.27999, 0.28, 0.283, 0.5, 1.0, 2.5])
def test_growth_and_spend_to_a_few_units_of_rounding(beta: float) -> None:
    x = np.linspace(-30.0, 55.0, 4001)
    growth, spend = universal._solve_growth(x, beta, np.empty((5, x.size)), np.empty((6, x.size), dtype=np.float32))
    exact = _growth(x, beta)
    # x is some tens, and its rounding is that of e^(x - g).
    assert np.abs(np.asarray(spend / np.exp(x - exact) - 1, dtype=float)).max() < 4e-14
    assert np.abs(np.asarray((growth - exact) / (1.0 / beta + exact), dtype=float)).max() < 5e-15


@pytest.mark.parametrize("beta", [0.02, 0.05, 0.28, 0.5, 3.0])
def test_out_of_the_range_of_single_precision_growth_is_linear(beta: float) -> None:
    far = 60.0 * (1.0 + 1.0 / beta)
    x = np.array([-1e4, -700.0, -61.0, -60.0, -59.0, far - 1.0, far, far + 1.0, 2.0 * far])
    with np.errstate(all="ignore"):
        growth, spend = universal._solve_growth(x, beta, np.empty((5, x.size)), np.empty((6, x.size), dtype=np.float32))
    assert growth[-4:] == pytest.approx(x[-4:] / (1.0 + beta), rel=1e-14)
    assert np.abs(growth[:5]).max() < 1e-15 / beta
    assert np.log(spend[1:]) == pytest.approx((x - growth)[1:], abs=1e-9)
    with np.errstate(all="ignore"):
        beside = np.append(x, np.nan)
        again = universal._solve_growth(
            beside, beta, np.empty((5, beside.size)), np.empty((6, beside.size), dtype=np.float32)
        )
    assert again[0][:-1].tobytes() == growth.tobytes()


def test_many_values_of_beta_take_the_steps_of_the_smallest() -> None:
    x, beta = np.linspace(-20.0, 40.0, 61), np.geomspace(0.01, 3.0, 61)
    growth, _ = universal._solve_growth(x, beta, np.empty((5, 61)), np.empty((6, 61), dtype=np.float32))
    exact = np.array([float(_growth(x[k : k + 1], float(beta[k]))[0]) for k in range(61)])
    assert growth == pytest.approx(exact, rel=1e-13)


@pytest.mark.parametrize("beta", [0.05, 0.3, 2.0])
@pytest.mark.parametrize("x", [-5.0, 0.0, 3.0, 30.0])
@pytest.mark.parametrize("off", [-0.3, 0.02, 0.5])
def test_a_step_of_halley_by_hand(beta: float, x: float, off: float) -> None:
    start = float(_growth(np.array([x]), beta)[0]) + off
    growth = np.array([start])
    e, fell = universal._halley_step(np.array([x]), growth, beta, np.empty((4, 1)))
    e_by_hand = math.exp(x - start)
    h = e_by_hand / (1.0 + e_by_hand)
    f, slope = beta * start - math.log1p(e_by_hand), beta + h
    step = f * slope / (slope**2 + 0.5 * f * h * (1.0 - h))
    assert e[0] == pytest.approx(e_by_hand, rel=1e-14)
    assert fell[0] == pytest.approx(step, rel=1e-12)
    assert growth[0] == pytest.approx(start - step, rel=1e-13, abs=1e-15)


@pytest.mark.parametrize("log_kappa", [-800.0, -40.0, 0.0, 40.0, 709.0])
@pytest.mark.parametrize(("q", "beta"), [(0.4, 0.3), (0.9, 2.0), (0.05, 0.02)])
def test_the_spend_ratio_of_any_kappa(log_kappa: float, q: float, beta: float) -> None:
    y = float(log_spend_ratio(log_kappa, q, beta))
    with mpmath.workdps(40):
        left = y + mpmath.log(1 + q * mpmath.exp(y)) / beta
        slope = 1 + (1 - 1 / (1 + q * mpmath.exp(y))) / beta
        assert abs(float((left - log_kappa) / slope)) < 1e-13 * max(1.0, abs(log_kappa))


# What is saved


@pytest.mark.parametrize("x", [0.0, 1e-100, 1e-9, 1e-3, 0.02, 0.05])
def test_a_logarithm_less_its_first_term(x: float) -> None:
    with mpmath.workdps(250):
        exact = float(mpmath.log(1 + mpmath.mpf(x)) - mpmath.mpf(x))
    assert float(universal._log1p_less_x(np.asarray(x))) == pytest.approx(exact, rel=3e-16, abs=0.0)


def _exact_ratio(s: float, alpha: float, beta: float) -> float:
    with mpmath.workdps(60):
        s, alpha, beta = mpmath.mpf(s), mpmath.mpf(alpha), mpmath.mpf(beta)
        q = beta / (alpha + beta)
        log_D = mpmath.log(1 + q * s) / beta
        log_N = (mpmath.log(1 + q * s) - mpmath.log(1 + s)) / alpha
        return float(log_N + log_D + mpmath.log(1 + s) - mpmath.log(1 + s * mpmath.exp(log_D)))


@pytest.mark.parametrize("s", [1e-12, 1e-3, 0.0499, 0.0501, 0.5, 30.0, 1e9, 1e80, 1e300])
@pytest.mark.parametrize(("alpha", "beta"), [(0.336, 0.283), (2.0, 0.3), (0.2, 1.5), (0.4, 0.03)])
def test_the_ratio_of_costs_at_60_digits(s: float, alpha: float, beta: float) -> None:
    exact = _exact_ratio(s, alpha, beta)
    assert float(log_cost_ratio(s, alpha, beta)) == pytest.approx(exact, rel=1e-12 if s < 0.05 or s > 0.1 else 1e-11)
    # Beside others it is the same.
    beside = log_cost_ratio(np.array([1e-9, s, 0.05, 1e200]), alpha, beta)
    assert beside[1] == pytest.approx(exact, rel=1e-11)
    assert np.isfinite(beside).all()


@pytest.mark.parametrize("s", [0.9, 3.0, 100.0])
def test_the_ratio_of_costs_where_tokens_grow_beyond_a_double(s: float) -> None:
    # (1 + q s)^(1/beta) is some e^900 and more, while s itself is small.
    assert float(log_cost_ratio(s, 1e-3, 1e-4)) == pytest.approx(_exact_ratio(s, 1e-3, 1e-4), rel=1e-11)


def test_what_is_no_ratio_stays_none() -> None:
    with np.errstate(all="ignore"):
        found = log_cost_ratio(np.array([np.nan, 0.0, 1.0]), 0.336, 0.283)
    assert np.isnan(found[0])
    assert found[1] == 0.0
    assert found[2] == pytest.approx(_exact_ratio(1.0, 0.336, 0.283), rel=1e-13)


# Which bills it knows


def test_rates_are_those_of_a_bill_in_size_and_tokens() -> None:
    both = monomial("training", 6.0, {"params": 1.0, "tokens": 1.0})
    serving = monomial("serving", 4e12, {"params": 1.0})
    rates = rates_of(both + serving + serving + both)
    assert rates is not None
    assert [float(x) for x in rates] == [12.0, 8e12]
    for powers in (
        {"params": 2.0},
        {"tokens": 1.0},
        {"params": 1.0, "tokens": 0.5},
        {"params": 0.5, "tokens": 1.0},
        {},
    ):
        assert rates_of(both + monomial("other", 1.0, powers)) is None
    many = rates_of(monomial("training", np.array([1.0, 2.0]), {"params": 1.0, "tokens": 1.0}))
    assert many is not None
    assert many[0].tolist() == [1.0, 2.0]
    assert rates_of(Posynomial(both.terms[:0] + both.terms)) is not None


# In logs


@pytest.mark.parametrize("law", [SARDANA, published("kaplan-2020"), published("besiroglu-2024")])
@pytest.mark.parametrize("serve_rate", [0.0, 1e-190, 1e-10, 1e5, 4e12, 1e19])
def test_the_answer_in_logs_is_the_answer(law, serve_rate: float) -> None:  # type: ignore[no-untyped-def]
    with np.errstate(all="ignore"):
        asked = np.array([2.2]), np.array([6.0]), np.array([serve_rate])
        slow = universal._solve_in_logs(law, asked)
    fast = optimum(law, 2.2, 6.0, serve_rate)
    assert float(slow[0][0]) == pytest.approx(float(fast.params), rel=1e-12)
    assert float(slow[1][0]) == pytest.approx(float(fast.tokens), rel=1e-12)
    assert float(slow[2][0]) == pytest.approx(float(fast.spend_ratio), rel=1e-12, abs=0.0)
    assert fast.status == Status.OPTIMAL


def test_shares_of_either_term_keep_their_digits() -> None:
    law = replace(SARDANA, alpha=1e-8, beta=1.0)
    log_q, log_rest = universal._log_shares(law)
    assert float(log_q) == pytest.approx(math.log(1.0 / (1.0 + 1e-8)), abs=1e-16)
    assert float(log_rest) == pytest.approx(math.log(1e-8 / (1.0 + 1e-8)), rel=1e-15)


@pytest.mark.parametrize(
    "changes",
    [{}, {"alpha": 0.9}, {"beta": 0.9}, {"A": 50.0}, {"B": 5e3}, {"E": 1.0}],
)
def test_a_problem_beyond_a_double_on_the_way_is_solved_in_logs(changes: dict[str, float]) -> None:
    """Rates of 1e-250 and 1e+250 make b/a overflow or vanish: the plan is what their ratio makes of it."""
    law = replace(SARDANA, **changes)  # type: ignore[arg-type]
    loss = law.E + 0.35
    usual = optimum(law, loss, 6.0, 4e12)
    for factor in (1e-290, 1e290):
        scaled = optimum(law, [loss, loss], 6.0 * factor, 4e12 * factor)
        assert scaled.params == pytest.approx([float(usual.params)] * 2, rel=1e-12)
        assert scaled.tokens == pytest.approx([float(usual.tokens)] * 2, rel=1e-12)
        assert scaled.status.tolist() == [0, 0]


# Statuses


def _ordinary(**changes: float) -> bool:
    values = {"loss": 2.0, "train": 6.0, "serve": 4e12, "params": 1e9, "tokens": 1e12, "ratio": 0.5} | changes
    asked = tuple(np.array([2.0 if name == "loss" else values[name]]) for name in ("loss", "train", "serve"))
    answer = tuple(np.array([values[name]]) for name in ("params", "tokens", "ratio"))
    return universal._is_ordinary(asked, answer)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "value", "ordinary"),
    [
        ("params", TINY, True),
        ("params", TINY / 2, False),
        ("params", math.inf, False),
        ("params", math.nan, False),
        ("tokens", 1e-100, True),
        ("tokens", 0.9e-100, False),
        ("tokens", math.inf, False),
        ("tokens", math.nan, False),
        ("ratio", 0.0, True),
        ("ratio", 1e308, True),
        ("ratio", math.inf, False),
        ("train", 1e-300, True),
        ("train", 0.0, False),
        ("train", math.inf, False),
        ("train", math.nan, False),
        ("serve", 0.0, True),
    ],
)
def test_a_block_is_ordinary_where_nothing_left_the_range_of_a_double(name: str, value: float, ordinary: bool) -> None:
    assert _ordinary(**{name: value}) is ordinary
    assert _ordinary()


def _judged(law=SARDANA, **changes: float) -> tuple[int, list[float]]:  # type: ignore[no-untyped-def]
    values = {"loss": 2.0, "train": 6.0, "serve": 4e12, "params": 1e9, "tokens": 1e12, "ratio": 0.5} | changes
    asked = tuple(np.array([values[name]]) for name in ("loss", "train", "serve"))
    answer = tuple(np.array([values[name]]) for name in ("params", "tokens", "ratio"))
    status = np.zeros(1, dtype=np.int8)
    universal._judge_block(law, asked, answer, status)  # type: ignore[arg-type]
    return int(status[0]), [float(x[0]) for x in answer]


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({}, Status.OPTIMAL),
        ({"params": TINY}, Status.OPTIMAL),
        ({"params": TINY / 2}, Status.UNBOUNDED),
        ({"params": math.inf}, Status.UNBOUNDED),
        ({"tokens": TINY}, Status.OPTIMAL),
        ({"tokens": TINY / 2}, Status.UNBOUNDED),
        ({"tokens": math.inf}, Status.UNBOUNDED),
        ({"ratio": math.inf}, Status.UNBOUNDED),
        ({"ratio": 0.0, "serve": 0.0}, Status.OPTIMAL),
        ({"train": 1e-300}, Status.OPTIMAL),
        ({"train": 0.0, "tokens": math.nan}, Status.UNBOUNDED),
        ({"train": 0.0, "serve": 0.0}, Status.INVALID),
        ({"train": -1.0, "serve": 2.0}, Status.INVALID),
        ({"train": -1.0, "serve": -1.0}, Status.INVALID),
        ({"train": math.inf}, Status.INVALID),
        ({"train": math.nan}, Status.INVALID),
        ({"serve": -1.0, "ratio": math.nan}, Status.INVALID),
        ({"serve": math.inf, "ratio": math.inf}, Status.INVALID),
        ({"serve": math.nan, "ratio": math.nan}, Status.INVALID),
        ({"loss": SARDANA.E, "params": math.nan}, Status.OUT_OF_REACH),
        ({"loss": 0.1, "params": math.nan}, Status.OUT_OF_REACH),
        ({"loss": 0.1, "params": math.nan, "train": -1.0}, Status.INVALID),
        ({"loss": math.inf, "params": 0.0}, Status.INVALID),
        ({"loss": 1.7, "params": math.nan}, Status.UNBOUNDED),
    ],
)
def test_each_status_and_no_figure_beside_a_bad_one(changes: dict[str, float], status: Status) -> None:
    found, answer = _judged(**changes)
    assert Status(found) == status
    if status == Status.OPTIMAL:
        assert not any(map(math.isnan, answer))
    else:
        assert all(map(math.isnan, answer))


@pytest.mark.parametrize(("exponent", "status"), [(1e-9, Status.OPTIMAL), (0.9e-9, Status.UNBOUNDED)])
@pytest.mark.parametrize("name", ["alpha", "beta"])
def test_a_law_too_flat_to_tell_has_no_plan(name: str, exponent: float, status: Status) -> None:
    law = replace(SARDANA, **{name: exponent})  # type: ignore[arg-type]
    assert Status(_judged(law)[0]) == status


def test_only_what_left_the_range_is_solved_again() -> None:
    good = optimum(SARDANA, [2.0, 2.0], 6.0, 4e12)
    for lost in (
        {"params": 0.0},
        {"params": math.inf},
        {"params": math.nan},
        {"tokens": 0.9e-100},
        {"tokens": math.inf},
        {"ratio": math.inf},
        {"ratio": math.nan},
    ):
        answer = {"params": good.params.copy(), "tokens": good.tokens.copy(), "ratio": good.spend_ratio.copy()}
        kept = {name: x[1] for name, x in answer.items()}
        for name, value in lost.items():
            answer[name][0] = value
        # What is not lost is left as it is, right or wrong.
        answer["params"][1] = kept["params"] = 7.0
        with np.errstate(all="ignore"):
            universal._redo_extremes(
                SARDANA,
                (np.array([2.0, 2.0]), np.asarray(6.0), np.array([4e12, 4e12])),
                tuple(answer.values()),  # type: ignore[arg-type]
            )
        assert answer["params"][0] == pytest.approx(float(good.params[0]), rel=1e-12)
        assert answer["tokens"][0] == pytest.approx(float(good.tokens[0]), rel=1e-12)
        assert answer["ratio"][0] == pytest.approx(float(good.spend_ratio[0]), rel=1e-12)
        assert {name: x[1] for name, x in answer.items()} == kept


def test_problems_of_many_laws_are_those_of_each() -> None:
    each = [SARDANA, replace(SARDANA, alpha=0.4, B=500.0, E=0.3)]
    found = optimum(LawBatch.of(each), 2.1, 6.0, [[4e12], [0.0], [-1.0]])
    assert found.status.tolist() == [[0, 0], [0, 0], [1, 1]]
    for column, law in enumerate(each):
        alone = optimum(law, 2.1, 6.0, [4e12, 0.0, -1.0])
        for name in ("params", "tokens", "spend_ratio", "kappa"):
            expected = getattr(alone, name)
            assert getattr(found, name)[:, column] == pytest.approx(expected, rel=1e-12, nan_ok=True)
