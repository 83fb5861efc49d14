"""The worksheet functions against the solver that they wrap, and what they say of cells that have no answer."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import laws, log_floats
from trees import COST

import beyond_chinchilla as bc
from beyond_chinchilla.scenario.load import Scenario
from beyond_chinchilla.sheets import functions as fn

SARDANA = bc.law("sardana-2024")
TRAIN = fn.TRAIN_RATE(1.50, 312, 0.5)
SERVE = fn.SERVE_RATE(1e9, 70, 215, 1.10, 624, 0.5, 0.01)


def test_the_main_job_by_worksheet_functions() -> None:
    """A team that follows the README in a spreadsheet finds what bc-opt prints for scenarios/1B-requests.yaml."""
    plan = bc.solve(Scenario.from_dict(COST))
    assert plan.best is not None
    asked = (fn.CHINCHILLA_LOSS("30B"), TRAIN, SERVE)
    assert fn.OPTIMAL_PARAMS(*asked) == pytest.approx(plan.best.params, rel=1e-12)
    assert fn.OPTIMAL_TOKENS(*asked) == pytest.approx(plan.best.tokens, rel=1e-12)
    assert fn.LIFETIME_COST(*asked) == pytest.approx(plan.best.total, rel=1e-12)
    assert fn.CHINCHILLA_COST(*asked) == pytest.approx(plan.baseline.total, rel=1e-12)
    assert fn.SAVINGS(*asked) == pytest.approx(plan.savings_fraction, rel=1e-12)
    assert fn.KAPPA(*asked) == pytest.approx(plan.kappa, rel=1e-12)
    assert fn.SPEND_RATIO(*asked) == pytest.approx(plan.spend_ratio, rel=1e-12)


@given(law=laws(), size=log_floats(1e8, 1e12), kappa=log_floats(1e-6, 1e6))
def test_no_model_of_equal_loss_is_cheaper(law: bc.LossLaw, size: float, kappa: float) -> None:
    constants = [law.E, law.A, law.alpha, law.B, law.beta]
    loss = fn.CHINCHILLA_LOSS(size, constants)
    serve = 6.0 * kappa * fn.CHINCHILLA_TOKENS(loss, constants)
    assert fn.KAPPA(loss, 6, serve, constants) == pytest.approx(kappa, rel=1e-9)
    least = fn.LIFETIME_COST(loss, 6, serve, constants)
    N, D = (f(loss, 6, serve, constants) for f in (fn.OPTIMAL_PARAMS, fn.OPTIMAL_TOKENS))
    assert fn.MODEL_COST(N, D, 6, serve) == pytest.approx(least, rel=1e-12)
    for factor in (0.9, 1.1):
        other = fn.MODEL_COST(N * factor, fn.TOKENS_FOR(N * factor, loss, constants), 6, serve)
        if isinstance(other, str):
            # Below the least size of its loss no number of tokens helps.
            assert factor < 1
        else:
            assert other >= least * (1 - 1e-12)
    saved = fn.SAVINGS(loss, 6, serve, constants)
    assert least == pytest.approx((1 - saved) * fn.CHINCHILLA_COST(loss, 6, serve, constants), rel=1e-12)


def test_a_column_beside_a_number_is_a_column() -> None:
    demands = [[1e8], [1e9], [1e10]]
    rates = fn.SERVE_RATE(demands, 70, 215, 1.10, 624, 0.5, 0.01)
    column = fn.OPTIMAL_PARAMS(1.958, TRAIN, rates)
    assert [len(row) for row in column] == [1, 1, 1]
    one_by_one = [fn.OPTIMAL_PARAMS(1.958, TRAIN, rate) for (rate,) in rates]
    assert [cell for (cell,) in column] == one_by_one
    assert column[0][0] > column[1][0] > column[2][0]


def test_a_column_against_a_row_is_a_table() -> None:
    table = fn.SAVINGS([[1.9], [2.0]], 6, [2e12, 4e12, 8e12])
    assert [len(row) for row in table] == [3, 3]
    assert table[1][2] == fn.SAVINGS(2.0, 6, 8e12)


@pytest.mark.parametrize("spelled", [(1.9, 2.0), [1.9, 2.0], np.array([1.9, 2.0]), ["1.9", "2.0"]])
def test_ranges_come_in_many_guises(spelled: object) -> None:
    assert fn.CHINCHILLA_PARAMS(spelled) == [fn.CHINCHILLA_PARAMS(1.9), fn.CHINCHILLA_PARAMS(2.0)]


@pytest.mark.parametrize(
    ("got", "says"),
    [
        (fn.OPTIMAL_PARAMS(1.5, 6, 4e12), "#target at or below the law's floor E"),
        (fn.OPTIMAL_PARAMS(2.0, 6, -1), "#serve_rate must be zero or more: -1"),
        (fn.OPTIMAL_PARAMS(2.0, 0, 1), "#train_rate must be above zero: 0"),
        (fn.OPTIMAL_PARAMS(None, 6, 1), "#target_loss is empty"),
        (fn.OPTIMAL_PARAMS("", 6, 1), "#target_loss is empty"),
        (fn.OPTIMAL_PARAMS("cheap", 6, 1), "#target_loss is not a number: cheap"),
        (fn.OPTIMAL_PARAMS(True, 6, 1), "#target_loss is not a number"),
        (fn.OPTIMAL_PARAMS(math.nan, 6, 1), "#target_loss is not a number: nan"),
        (fn.OPTIMAL_PARAMS([2.0, 2.1], 6, [1, 2, 3]), "#ranges of different sizes: target_loss 2, serve_rate 3"),
        (fn.LOSS("7B", "1T", "sardana-2025"), "#no law named 'sardana-2025'; did you mean 'sardana-2024'?"),
        (fn.LOSS("7B", "1T", [1.69, 406.4]), "#law: a name, or the 5 cells E, A, alpha, B, beta; not 2"),
        (fn.LOSS("7B", "1T", [1.69, 406.4, None, 410.7, 0.283]), "#law alpha is empty"),
        (fn.LOSS("7B", "1T", "kaplan-2020"), "#law kaplan-2020 counts no embeddings: use bc-opt"),
        (fn.TOKENS_FOR(1e3, 1.958), "#out of reach"),
    ],
)
def test_a_cell_without_an_answer_says_why(got: object, says: str) -> None:
    assert got == says


def test_an_error_cell_spoils_its_own_answers_alone_and_is_handed_on() -> None:
    loss = fn.CHINCHILLA_LOSS(["13B", "many"])
    assert loss[1] == "#params is not a number: many"
    sizes = fn.OPTIMAL_PARAMS(loss, 6, 4e12)
    # Sardana et al. 2024, Figure 1's first case: 7.0B in place of 13B at 2T inference tokens.
    assert sizes[0] == pytest.approx(6.9686e9, rel=1e-5)
    assert sizes[1] == loss[1]


@given(
    cell=st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=200), st.binary(max_size=9))
)
def test_whatever_is_in_a_cell_nothing_raises(cell: object) -> None:
    found = fn.OPTIMAL_TOKENS(cell, 6, cell)
    if isinstance(found, str):
        assert found.startswith("#")
        assert len(found) <= 80
    else:
        assert math.isfinite(found)
        assert found > 0
