"""R_D and R_N from runs: recovery of known constants, the ridge of the published runs, and which runs are used."""

from __future__ import annotations

import csv
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from beyond_chinchilla.errors import InputError, SpreadsheetError
from beyond_chinchilla.fit.repetition.checks import diagnose_repetition
from beyond_chinchilla.fit.repetition.decay import DecayRows, descend, huber
from beyond_chinchilla.fit.repetition.law import base_law, fit_repetition
from beyond_chinchilla.fit.repetition.ridge import bootstrap_repetition, trace_ridge
from beyond_chinchilla.fit.repetition.runs import read_repeated_runs
from beyond_chinchilla.laws.catalogue import law as published_law
from beyond_chinchilla.laws.repetition import Repetition

BASE = published_law("muennighoff-2023")
TRUTH = {"R_D": 15.387756, "R_N": 5.309743}


def mixed_runs(count: int, seed: int, noise: float = 0.0, **truth: float):
    """Runs of 1 to 60 epochs at 2 to 200 tokens per parameter."""
    random = np.random.default_rng(seed)
    N = np.exp(random.uniform(math.log(5e7), math.log(5e9), count))
    D = N * np.exp(random.uniform(math.log(2), math.log(200), count))
    U = D / np.exp(random.uniform(0, math.log(60), count))
    L = [
        float(Repetition(unique_tokens=u, **(TRUTH | truth)).loss(BASE, n, d)) for n, d, u in zip(N, D, U, strict=True)
    ]
    return N, D, U, np.array(L) * np.exp(noise * random.standard_normal(count))


def write(path, rows):
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    return path


# Known constants from simulated runs


@given(R_D=st.floats(2.0, 40.0), R_N=st.floats(2.0, 40.0), seed=st.integers(0, 100))
@settings(max_examples=10)
def test_known_constants_come_back_to_the_last_digits(R_D, R_N, seed):
    N, D, U, L = mixed_runs(80, seed, R_D=R_D, R_N=R_N)
    fit = fit_repetition(N, D, U, L, law=BASE)
    assert pytest.approx(R_D, rel=1e-5) == fit.R_D
    assert pytest.approx(R_N, rel=1e-5) == fit.R_N
    assert fit.E[""] == pytest.approx(BASE.E, rel=1e-8)


def test_known_constants_are_inside_the_intervals_of_noisy_runs():
    N, D, U, L = mixed_runs(180, 3, noise=0.004)
    fit = fit_repetition(N, D, U, L, law=BASE)
    drawn = bootstrap_repetition(fit, samples=200, seed=1)
    for name, value in TRUTH.items():
        low, high = drawn.interval(name)
        ridge = trace_ridge(fit, name, points=29)
        assert low < value < high < 1.5 * low
        assert ridge.low < value < ridge.high
        assert ridge.low == pytest.approx(low, rel=0.15)
        assert ridge.high == pytest.approx(high, rel=0.15)
    assert diagnose_repetition(fit, bootstrap=drawn).verdict == "good"


def test_a_held_constant_gives_the_ridge_at_that_place():
    N, D, U, L = mixed_runs(60, 4, noise=0.004)
    free = fit_repetition(N, D, U, L, law=BASE)
    ridge = trace_ridge(free, "R_N", points=29)
    held = fit_repetition(N, D, U, L, law=BASE, hold={"R_N": 8.0})
    assert held.R_N == 8.0
    assert pytest.approx(ridge.other_at(8.0), rel=0.02) == held.R_D
    assert held.objective >= free.objective
    again = fit_repetition(N, D, U, L, law=BASE, hold={"R_D": free.R_D})
    assert pytest.approx(free.R_N, rel=1e-4) == again.R_N


def test_two_data_sets_have_their_own_irreducible_loss():
    N, D, U, L = mixed_runs(120, 5)
    data = np.where(np.arange(120) % 3 == 0, "oscar", "c4")
    R = L - BASE.E
    fit = fit_repetition(N, D, U, R + np.where(data == "c4", 1.7, 2.4), law=BASE, data=data)
    assert pytest.approx({"c4": 1.7, "oscar": 2.4}, rel=1e-7) == fit.E
    assert pytest.approx(TRUTH["R_D"], rel=1e-4) == fit.R_D


def test_the_derivatives_are_those_of_the_residuals():
    N, D, U, L = mixed_runs(40, 6, noise=0.05)
    rows = DecayRows.of(BASE, N, D, U, L, np.arange(40) % 2)
    theta = np.log(np.array([[3.0, 12.0], [9.0, 2.0], [1.7, 1.9], [2.2, 2.0]]))
    _, first, second = rows.derivatives(theta)
    for i in range(4):
        step = np.zeros((4, 1))
        step[i] = 1e-5
        slope = (rows.residuals(theta + step) - rows.residuals(theta - step)) / 2e-5
        np.testing.assert_allclose(first[i], slope, atol=1e-9)
        bend = (rows.derivatives(theta + step)[1][i] - rows.derivatives(theta - step)[1][i]) / 2e-5
        np.testing.assert_allclose(second[i] - first[i] ** 2, bend, atol=1e-8)


def test_the_minimum_is_that_of_a_method_without_derivatives():
    from scipy.optimize import minimize

    N, D, U, L = mixed_runs(50, 7, noise=0.01)
    rows = DecayRows.of(BASE, N, D, U, L, np.zeros(50, dtype=np.int64))
    fit = fit_repetition(N, D, U, L, law=BASE)
    found = minimize(
        lambda x: float(huber(rows.residuals(x[:, None]), 1e-3)[0]),
        np.log([10.0, 5.0, 1.9]),
        method="Nelder-Mead",
        options={"maxiter": 4000, "maxfev": 4000, "xatol": 1e-9, "fatol": 1e-15},
    )
    assert fit.objective <= found.fun * (1 + 1e-9)
    assert math.exp(found.x[0]) == pytest.approx(fit.R_D, rel=1e-3)


def test_weights_are_multiplicities():
    N, D, U, L = mixed_runs(30, 8, noise=0.01)
    twice = np.concatenate([np.arange(30), np.arange(10)])
    fit = fit_repetition(N[twice], D[twice], U[twice], L[twice], law=BASE)
    rows = DecayRows.of(BASE, N, D, U, L, np.zeros(30, dtype=np.int64))
    weights = np.where(np.arange(30) < 10, 2.0, 1.0)[None, :]
    found = descend(rows, fit.theta[:, None], [0, 1, 2], deltas=[0.003, 1e-3], weights=weights)
    assert float(found.objective[0]) == pytest.approx(fit.objective, rel=1e-9)


def test_without_decay_the_runs_say_so():
    N, D, U, L = mixed_runs(80, 9, R_D=5e3, R_N=5e3)
    fit = fit_repetition(N, D, U, L * np.exp(0.01 * np.random.default_rng(1).standard_normal(80)), law=BASE)
    diagnosis = diagnose_repetition(fit, ridges=(trace_ridge(fit, "R_D", points=15),))
    assert diagnosis.verdict == "do not use"
    assert diagnosis.reasons[0].startswith("Decay takes away")


# The runs of the paper's authors (colpret_datablations_losses.csv)


@pytest.fixture(scope="module")
def curves(bc_data):
    return read_repeated_runs(bc_data / "colpret_datablations_losses.csv")


def test_curves_become_final_losses_and_two_kinds_of_runs_are_set_aside(curves):
    # 9261 rows, 48 runs; six of 44 epochs rise again, OSCAR 2.8B of 3 and 4 epochs are the same rows
    assert len(curves) == 41
    assert "9261 rows are the curves of 48 runs" in curves.runs.notes[1]
    reasons = {reason: len(rows) for reason, rows in curves.runs.reasons().items()}
    assert reasons == {"the loss rises again, 44 epochs": 6, "same losses as another run under other epochs": 1}
    (twin,) = (aside for aside in curves.runs.set_aside if aside.reason.startswith("same"))
    assert "2.80B params, 3 epochs: every loss is that of the run of 4 epochs" in twin.detail
    # Tokens are those trained on, not what the flops column would make of them.
    assert "flops: column 'flops' is" in curves.runs.notes[0]
    assert curves.runs.notes[0].endswith("so 6ND is used")
    np.testing.assert_allclose(curves.runs.tokens_per_param, 20.0, rtol=0.03)
    assert curves.epochs.max() == pytest.approx(14.0, rel=1e-5)
    first = curves.runs.loss[(curves.data == "c4") & (curves.runs.params == 2.8e9) & (curves.epochs < 1.01)]
    assert first.tolist() == [2.5760576725006104]


def test_the_ridge_of_one_ratio_of_tokens_to_parameters_is_named(curves):
    table = curves.runs
    fit = fit_repetition(table.params, table.tokens, curves.unique_tokens, table.loss, law=BASE, data=curves.data)
    # Nelder-Mead from 16 starts ends at the same place.
    assert fit.objective == pytest.approx(2.3092534e-4, rel=1e-7)
    assert pytest.approx((6.52525, 3.82914), rel=1e-5) == (fit.R_D, fit.R_N)
    assert fit.correlation == pytest.approx(-0.9976, abs=5e-5)
    ridges = (trace_ridge(fit, "R_D", points=41), trace_ridge(fit, "R_N", points=41))
    assert [each.high for each in ridges] == [None, None]
    # The published pair's R_D lies on it, with half the published R_N.
    assert ridges[0].other_at(15.387756) == pytest.approx(2.516, rel=0.01)
    diagnosis = diagnose_repetition(fit, ridges=ridges)
    assert diagnosis.verdict == "do not use"
    assert diagnosis.reasons[0].startswith("Ridge: R_D and R_N trade off (correlation -0.998)")
    assert "about 20 tokens per parameter" in diagnosis.reasons[0]
    assert "--hold R_N" in diagnosis.reasons[0]


@pytest.mark.parametrize(
    ("hold", "other", "value"), [("R_N", "R_D", 4.538089), ("R_D", "R_N", 2.515983)]
)  # Nelder-Mead with the other at the published value
def test_one_of_the_two_can_be_fixed(curves, hold, other, value):
    table = curves.runs
    fit = fit_repetition(
        table.params, table.tokens, curves.unique_tokens, table.loss, law=BASE, data=curves.data,
        hold={hold: TRUTH[hold]},
    )  # fmt: skip
    assert getattr(fit, hold) == pytest.approx(TRUTH[hold], rel=1e-12)
    assert getattr(fit, other) == pytest.approx(value, rel=1e-5)
    ridge = trace_ridge(fit, other, points=29)
    assert ridge.high < 2 * ridge.low
    diagnosis = diagnose_repetition(fit, ridges=(ridge,))
    assert diagnosis.verdict == "usable"
    assert f"{hold} is held" in diagnosis.reasons[0]
    drawn = bootstrap_repetition(fit, samples=100).to_dict()
    assert list(drawn["intervals"]) == [other]


# Files


def simulated(count=40):
    N, D, U, L = mixed_runs(count, 11)
    return [
        {"params": n, "tokens": d, "unique_tokens": u, "loss": loss} for n, d, u, loss in zip(N, D, U, L, strict=True)
    ]


def test_unique_tokens_or_epochs_say_the_same(tmp_path):
    rows = simulated()
    whole = read_repeated_runs(write(tmp_path / "unique.csv", rows))
    epochs = [
        {"Params (B)": row["params"] / 1e9, "D": row["tokens"], "Epochs": row["tokens"] / row["unique_tokens"],
         "final loss": row["loss"]} for row in rows
    ]  # fmt: skip
    passes = read_repeated_runs(write(tmp_path / "epochs.csv", epochs))
    np.testing.assert_allclose(whole.unique_tokens, passes.unique_tokens, rtol=1e-12)
    billions = [{("unique tokens (B)" if k == "unique_tokens" else k): v for k, v in row.items()} for row in rows]
    scaled = read_repeated_runs(
        write(
            tmp_path / "billions.csv", [row | {"unique tokens (B)": row["unique tokens (B)"] / 1e9} for row in billions]
        )
    )
    np.testing.assert_allclose(scaled.unique_tokens, whole.unique_tokens, rtol=1e-12)
    named = [{("seen once" if k == "unique_tokens" else k): v for k, v in row.items()} for row in rows]
    stated = read_repeated_runs(write(tmp_path / "named.csv", named), columns={"unique_tokens": "seen once"})
    np.testing.assert_allclose(stated.unique_tokens, whole.unique_tokens, rtol=1e-12)


def test_nothing_is_a_curve_without_both_unique_tokens_and_epochs(tmp_path):
    rows = [
        {"params": 1e8, "unique_tokens": 1e9, "tokens": k * 1e9, "loss": 4.0 - 0.1 * k} for k in range(1, 9)
    ]  # fmt: skip
    assert len(read_repeated_runs(write(tmp_path / "runs.csv", rows))) == 8
    with pytest.raises(SpreadsheetError, match="1 usable runs, at least 4"):
        read_repeated_runs(write(tmp_path / "curve.csv", [row | {"epochs": 8} for row in rows]))


def test_rows_that_cannot_be_used_are_counted(tmp_path):
    rows = simulated()
    rows[3] |= {"loss": ""}
    rows[5] |= {"unique_tokens": -1}
    rows.append(dict(rows[0]))
    read = read_repeated_runs(write(tmp_path / "runs.csv", rows))
    assert {aside.row: aside.reason for aside in read.runs.set_aside} == {
        5: "loss missing", 7: "unique tokens not positive", 42: "duplicate",
    }  # fmt: skip


def test_the_same_losses_at_one_epoch_are_no_contradiction(tmp_path):
    # More unique tokens than are used change nothing.
    rows = simulated()
    rows += [{"params": 1e8, "tokens": 1e9, "unique_tokens": u, "loss": 4.1} for u in (1e9, 2e9)]
    assert len(read_repeated_runs(write(tmp_path / "runs.csv", rows))) == 42


def test_a_base_law_of_the_runs_of_one_epoch(tmp_path):
    N, D = (grid.ravel() for grid in np.meshgrid(np.geomspace(1e8, 5e9, 5), np.geomspace(5e9, 5e11, 4)))
    rows = [{"params": n, "tokens": d, "unique_tokens": d, "loss": float(BASE.loss(n, d))}
            for n, d in zip(N, D, strict=True)]  # fmt: skip
    several = simulated()
    read = read_repeated_runs(write(tmp_path / "runs.csv", rows + several))
    found = base_law(read)
    assert found is not None
    assert (found.A, found.alpha, found.beta) == pytest.approx((BASE.A, BASE.alpha, BASE.beta), rel=1e-4)
    # Runs of one ratio of tokens to parameters, or too few of them, make none.
    assert base_law(read_repeated_runs(write(tmp_path / "several.csv", several))) is None


# Bad input


def test_runs_that_say_nothing(tmp_path):
    N, D, U, L = mixed_runs(20, 1)
    with pytest.raises(InputError, match="no run sees its tokens more than once"):
        fit_repetition(N, D, D, BASE.loss(N, D), law=BASE)
    with pytest.raises(InputError, match=r"nothing says R_N; hold it: --hold R_N=5\.31"):
        fit_repetition(np.full(20, 1e7), D * 100, U * 100, L, law=BASE)
    with pytest.raises(InputError, match="R_D and R_N are both held"):
        fit_repetition(N, D, U, L, law=BASE, hold={"R_D": 5.0, "R_N": 5.0})
    with pytest.raises(InputError, match="no constant named 'R_E'"):
        fit_repetition(N, D, U, L, law=BASE, hold={"R_E": 5.0})
    with pytest.raises(InputError, match="cannot be held"):
        fit_repetition(N, D, U, L, law=BASE, hold={"R_N": math.inf})
    with pytest.raises(InputError, match="3 runs for 3 parameters"):
        fit_repetition(N[:3], D[:3], U[:3], L[:3], law=BASE)
    with pytest.raises(InputError, match="loss\\[0\\] is nan"):
        fit_repetition(N, D, U, L * math.nan, law=BASE)
    with pytest.raises(InputError, match="needs a base law"):
        fit_repetition(N, D, U, L, law=published_law("kaplan-2020"))
    rows = simulated()
    with pytest.raises(SpreadsheetError, match="no column for the unique tokens or the epochs"):
        read_repeated_runs(
            write(tmp_path / "runs.csv", [{k: row[k] for k in ("params", "tokens", "loss")} for row in rows])
        )
    with pytest.raises(InputError, match="no such column"):
        read_repeated_runs(write(tmp_path / "runs.csv", rows), columns={"epochs": "passes"})
    with pytest.raises(InputError, match="did you mean 'epochs'"):
        read_repeated_runs(write(tmp_path / "runs.csv", rows), columns={"epohcs": "passes"})
