"""R_D and R_N from runs: recovery of known constants, the ridge of the published runs, and which runs are used."""

from __future__ import annotations

import csv
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from beyond_chinchilla.errors import InputError, SpreadsheetError
from beyond_chinchilla.fit.repetition import law as law_of
from beyond_chinchilla.fit.repetition import ridge as ridges_of
from beyond_chinchilla.fit.repetition.checks import diagnose_repetition
from beyond_chinchilla.fit.repetition.decay import DecayRows, _step, descend, huber
from beyond_chinchilla.fit.repetition.law import base_law, fit_repetition
from beyond_chinchilla.fit.repetition.ridge import (
    RepetitionBootstrap,
    Ridge,
    bootstrap_repetition,
    trace_ridge,
)
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


# What a fit says of itself


@pytest.fixture(scope="module")
def noisy():
    """A fit to 30 runs that scatter."""
    N, D, U, L = mixed_runs(30, 12, noise=0.004)
    return fit_repetition(N, D, U, L, law=BASE)


def test_a_fit_as_json(noisy):
    r = noisy.residuals
    # Each residual is ln law - ln loss, of the law with its own E.
    own = replace(BASE, E=noisy.E[""])
    rows = noisy.rows
    expected = [
        math.log(float(noisy.repetition(U).loss(own, N, D)))
        for N, D, U in zip(rows.params, rows.tokens, rows.unique_tokens, strict=True)
    ] - rows.log_loss
    assert r == pytest.approx(expected, abs=1e-12)
    inside = np.abs(r) <= 1e-3
    assert noisy.objective == pytest.approx(
        float(np.sum(np.where(inside, 0.5 * r**2, 1e-3 * (np.abs(r) - 5e-4)))), rel=1e-10
    )
    # Three parameters are fitted to 30 runs.
    assert noisy.scatter == pytest.approx(math.sqrt(float(np.sum(r**2)) / 27), rel=1e-12)
    assert noisy.free == [0, 1, 2]
    assert noisy.to_dict() == {
        "method": "huber",
        "runs": 30,
        "held": {},
        "E": noisy.E,
        "E_fitted": True,
        "objective": noisy.objective,
        "objective_as_new": noisy.as_new,
        "delta": 1e-3,
        "scatter": noisy.scatter,
        "starts": {"count": 36, "reached_best": noisy.reached_best},
        "correlation": noisy.correlation,
    }
    assert 1 <= noisy.reached_best <= 36
    found = noisy.repetition(2e10)
    assert (found.unique_tokens, found.R_D, found.R_N, found.name) == (2e10, noisy.R_D, noisy.R_N, "fit")
    assert found.most_epochs == float((rows.tokens / rows.unique_tokens).max())
    assert found.source == "fit of 30 runs on law muennighoff-2023"


def test_least_squares_with_a_held_floor():
    N, D, U, L = mixed_runs(30, 12, noise=0.004)
    fit = fit_repetition(N, D, U, L, law=BASE, objective="least-squares", fixed_E=True)
    assert fit.free == [0, 1]
    assert (fit.E_fitted, fit.E) == (False, {"": pytest.approx(BASE.E, rel=1e-14)})
    assert fit.to_dict()["delta"] is None
    assert fit.objective == pytest.approx(0.5 * float(fit.residuals @ fit.residuals), rel=1e-10)
    assert fit.scatter == pytest.approx(math.sqrt(float(fit.residuals @ fit.residuals) / 28), rel=1e-12)
    # As good as new: both constants at 10,000, where the search ends.
    endless = [
        float(Repetition(unique_tokens=u, R_D=1e4, R_N=1e4).loss(BASE, n, d)) for n, d, u in zip(N, D, U, strict=True)
    ]
    assert fit.as_new == pytest.approx(0.5 * float(np.sum((np.log(endless) - np.log(L)) ** 2)), rel=1e-9)
    # The correlation by scipy's covariance, of the two logarithms.
    from scipy.optimize import curve_fit

    def model(_, a, b):
        return fit.rows.residuals(np.array([[a], [b], [math.log(BASE.E)]]))[0]

    _, spread = curve_fit(model, np.arange(30), np.zeros(30), p0=fit.theta[:2])
    assert fit.correlation == pytest.approx(spread[0, 1] / math.sqrt(spread[0, 0] * spread[1, 1]), rel=1e-3)


def test_one_run_of_a_data_set_has_no_scatter_to_divide():
    assert replace_residuals(3).scatter == pytest.approx(math.sqrt(3 * 1e-4))
    assert replace_residuals(5).scatter == pytest.approx(math.sqrt(5 * 1e-4 / 2))


def replace_residuals(count):
    N, D, U, L = mixed_runs(8, 1)
    return replace(fit_repetition(N, D, U, L, law=BASE), residuals=np.full(count, 0.01))


def test_what_no_fit_can_use():
    N, D, U, L = mixed_runs(20, 1)
    for value, bad in ((0.0099, True), (0.0101, False), (9990.0, False), (10010.0, True)):
        if bad:
            with pytest.raises(InputError, match=r"R_N = .* cannot be held; give a number from 0\.01 to 10\.0k"):
                fit_repetition(N, D, U, L, law=BASE, hold={"R_N": value})
        else:
            assert pytest.approx(value) == fit_repetition(N, D, U, L, law=BASE, hold={"R_N": value}).R_N
    with pytest.raises(InputError, match="19 names of data sets for 20 runs; give every run one"):
        fit_repetition(N, D, U, L, law=BASE, data=["c4"] * 19)
    for delta in (0.0, -1.0, math.nan):
        with pytest.raises(InputError, match=f"delta {delta:g} is not positive; Muennighoff et al. use 0.001"):
            fit_repetition(N, D, U, L, law=BASE, delta=delta)
    for law in (replace(BASE, power=0.9), replace(BASE, counts="non-embedding")):
        with pytest.raises(InputError, match="needs a base law L = E"):
            fit_repetition(N, D, U, L, law=law)
    # Four runs are as many as three parameters need; with E held three.
    assert fit_repetition(N[:4], D[:4], U[:4], L[:4], law=BASE).rows.count == 4
    assert fit_repetition(N[:3], D[:3], U[:3], L[:3], law=BASE, fixed_E=True).rows.count == 3
    with pytest.raises(InputError, match="2 runs for 2 parameters; give at least 3, or hold R_D or R_N"):
        fit_repetition(N[:2], D[:2], U[:2], L[:2], law=BASE, fixed_E=True)


def test_fifty_data_sets_are_the_most():
    names = [f"set {number % 51:02d}" for number in range(60)]
    N, D, U, L = mixed_runs(60, 1)
    with pytest.raises(InputError, match="51 data sets for 60 runs, and each needs an irreducible loss of its own; at"):
        fit_repetition(N, D, U, L, law=BASE, data=names)
    labels, which = law_of._data_sets(names[:50], 50)
    assert labels == names[:50]
    assert which.tolist() == list(range(50))
    assert law_of._data_sets(None, 3) == ([""], pytest.approx([0, 0, 0]))


@pytest.mark.parametrize(("epochs", "told"), [(1.06, True), (1.04, False)])
def test_a_little_repetition_is_none(epochs, told):
    N = np.geomspace(1e9, 1e11, 8)
    U = np.full(8, 1e10)
    L = BASE.loss(N, epochs * U)
    if told:
        assert fit_repetition(N, epochs * U, U, L, law=BASE).rows.count == 8
    else:
        with pytest.raises(InputError, match="no run sees its tokens more than once"):
            fit_repetition(N, epochs * U, U, L, law=BASE)


@pytest.mark.parametrize(("times", "told"), [(1.06, True), (1.04, False)])
def test_a_little_excess_of_parameters_is_none(times, told):
    U = np.geomspace(1e9, 1e11, 8)
    N = times * BASE.compute_optimal(tokens=U).params
    L = BASE.loss(N, 4 * U)
    if told:
        assert fit_repetition(N, 4 * U, U, L, law=BASE).rows.count == 8
    else:
        with pytest.raises(InputError, match=r"unique tokens \(1\.04 times at most\), so that nothing says R_N"):
            fit_repetition(N, 4 * U, U, L, law=BASE)


def test_starts_that_end_elsewhere_are_not_counted():
    # Few runs that scatter much: some starts end in another valley.
    N, D, U, L = mixed_runs(8, 1, noise=0.05)
    fit = fit_repetition(N, D, U, L, law=BASE)
    grid = law_of._starts(fit.rows, {}, fixed_E=False)
    ends = descend(fit.rows, grid, [0, 1, 2], deltas=[0.05, 0.005, 1e-3]).objective
    assert grid.shape == (3, 36)
    np.testing.assert_allclose(np.exp(grid[:2, [0, 1, 6]]).T, [[0.5, 0.5], [0.5, 4.0], [4.0, 0.5]], rtol=1e-12)
    assert fit.objective == pytest.approx(ends.min(), rel=1e-12)
    assert fit.reached_best == np.count_nonzero(ends <= fit.objective * (1 + 1e-6))
    assert 0 < fit.reached_best < 36


# The base law of one-epoch runs


def once(count, epochs=1.0, data=None):
    N, D = (grid.ravel()[:count] for grid in np.meshgrid(np.geomspace(1e8, 5e9, 5), np.geomspace(5e9, 5e11, 4)))
    rows = [
        {"params": n, "tokens": d, "unique_tokens": d / epochs, "loss": float(BASE.loss(n, d))}
        for n, d in zip(N, D, strict=True)
    ]
    return [row | {"data": data[k]} for k, row in enumerate(rows)] if data else rows


def test_ten_runs_of_one_epoch_make_a_base_law(tmp_path):
    several = simulated()
    read = lambda rows: base_law(read_repeated_runs(write(tmp_path / "runs.csv", rows)))  # noqa: E731
    # Every second of 5 sizes by 4 numbers of tokens, at a hundredth more than one epoch at the most
    ten = once(20, 1.0099)[::2]
    found = read(several + ten)
    assert found is not None
    assert found.name == "of the 10 runs of one epoch"
    assert (found.A, found.beta) == pytest.approx((BASE.A, BASE.beta), rel=1e-3)
    assert read(several + ten[:9]) is None
    assert read(once(20, 1.0101)) is None
    assert read(once(20, data=["c4"] * 19 + ["oscar"])) is None
    # Of one ratio of tokens to parameters nothing tells size from data.
    same = [row | {"tokens": 20 * row["params"], "unique_tokens": 20 * row["params"]} for row in once(20)]
    tied = [
        row | {"loss": float(BASE.loss(row["params"], row["tokens"])) * (1 + 1e-4 * k)} for k, row in enumerate(same)
    ]
    assert read(tied) is None


# The ridge


def test_a_ridge_is_the_fit_with_one_held(noisy):
    found = trace_ridge(noisy, "R_D", points=17)
    rows = noisy.rows
    assert found.values[[0, -1]] == pytest.approx([1e-2, 1e4])
    assert len(found.values) == 17
    place = int(np.argmin(found.deviance))
    assert found.values[place] == pytest.approx(noisy.R_D, rel=1e-12)
    assert found.other[place] == pytest.approx(noisy.R_N, rel=1e-6)
    for k in (place - 2, place + 2):
        held = fit_repetition(
            rows.params, rows.tokens, rows.unique_tokens, np.exp(rows.log_loss), law=BASE,
            hold={"R_D": float(found.values[k])},
        )  # fmt: skip
        assert found.objective[k] == pytest.approx(held.objective, rel=1e-7)
        assert found.other[k] == pytest.approx(held.R_N, rel=1e-3)
    # One deviance for one objective, at each value of it
    scale = (found.deviance[0] - found.deviance[place]) / (found.objective[0] - noisy.objective)
    assert found.deviance == pytest.approx(scale * np.maximum(found.objective - noisy.objective, 0.0), rel=1e-9)
    # chi-squared of one degree of freedom: 3.8415 at 95%, .4549 at a half
    assert found.limit == pytest.approx(3.841459, abs=1e-6)
    half = trace_ridge(noisy, "R_D", level=0.5, points=17)
    assert half.limit == pytest.approx(0.454936, abs=1e-6)
    assert found.low < half.low < noisy.R_D < half.high < found.high
    assert found.to_dict() == {
        "parameter": "R_D",
        "level": 0.95,
        "interval": [found.low, found.high],
        "values": found.values.tolist(),
        "other": found.other.tolist(),
        "objective": found.objective.tolist(),
        "deviance": found.deviance.tolist(),
    }
    assert found.other_at(float(found.values[3])) == pytest.approx(found.other[3], rel=1e-12)
    between = math.sqrt(float(found.values[3] * found.values[4]))
    assert found.other_at(between) == pytest.approx(math.sqrt(found.other[3] * found.other[4]), rel=1e-9)
    assert trace_ridge(noisy, points=9).parameter == "R_N"


def test_where_a_deviance_crosses_its_limit():
    logs = np.array([0.0, 1.0, 3.0, 4.0])
    # Roots of 0, 1, 3: 2 lies half way from 1 to 3.
    assert ridges_of._crossing(logs, np.array([0.0, 1.0, 9.0, 100.0]), 4.0) == pytest.approx(2.0)
    assert ridges_of._crossing(logs, np.array([0.0, 9.0, 16.0, 25.0]), 4.0) == pytest.approx(2.0 / 3.0)
    assert ridges_of._crossing(logs, np.array([0.0, 1.0, 2.0, 4.0]), 4.0) is None


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"parameter": "R_E"}, "no constant named 'R_E'"),
        ({"level": 0.0}, "level 0 is not between 0 and 1"),
        ({"level": 1.0}, "level 1 is not between 0 and 1"),
        ({"points": 8}, "8 points: give at least 9"),
    ],
)
def test_a_ridge_that_nobody_can_trace(noisy, asked, message):
    with pytest.raises(InputError, match=message):
        trace_ridge(noisy, **asked)
    with pytest.raises(InputError, match="R_D was held in this fit, so that it has no profile; fit again without"):
        trace_ridge(replace(noisy, held={"R_D": 4.0}), "R_D")


# Resampled runs


def test_refits_are_those_of_runs_drawn_with_replacement(noisy, monkeypatch):
    drawn = bootstrap_repetition(noisy, samples=6, seed=4)
    assert (drawn.samples.shape, drawn.held, drawn.seed, drawn.level) == ((6, 2), (), 4, 0.95)
    times = np.random.default_rng(4).multinomial(30, np.full(30, 1 / 30), size=6)
    rows = noisy.rows
    for place in (0, 5):
        again = np.repeat(np.arange(30), times[place])
        fit = fit_repetition(
            rows.params[again], rows.tokens[again], rows.unique_tokens[again], np.exp(rows.log_loss[again]), law=BASE
        )
        assert np.exp(drawn.samples[place]) == pytest.approx([fit.R_D, fit.R_N], rel=1e-3)
    # Drawn two at a time they are the same.
    monkeypatch.setattr(ridges_of, "_AT_ONCE", 30 * 3 * 2)
    apart = bootstrap_repetition(noisy, samples=6, seed=4)
    assert apart.samples == pytest.approx(drawn.samples, rel=1e-9)
    assert apart.unconverged == drawn.unconverged
    assert len(bootstrap_repetition(noisy, samples=2).samples) == 2
    for samples in (1, 0):
        with pytest.raises(InputError, match=f"^{samples} samples make no interval; ask for 2 at least$"):
            bootstrap_repetition(noisy, samples=samples)
    with pytest.raises(InputError, match="level 1 is not between 0 and 1"):
        bootstrap_repetition(noisy, samples=2, level=1.0)


def test_resampled_constants_as_json():
    logs = np.linspace(0.0, 1.0, 101)
    # The last five have no end: 10,000, and one just below it.
    endless = np.where(np.arange(101) > 95, math.log(1e4), logs)
    endless[95] = math.log(1e4 / 1.002)
    drawn = RepetitionBootstrap(samples=np.column_stack([logs, endless]), held=(), unconverged=3, seed=9, level=0.9)
    assert drawn.interval("R_D") == pytest.approx((math.exp(0.05), math.exp(0.95)), rel=1e-3)
    assert drawn.interval("R_D") == pytest.approx(tuple(np.percentile(np.exp(logs), [5, 95])), rel=1e-12)
    assert (drawn.at_bound("R_D"), drawn.at_bound("R_N")) == (0.0, 5 / 101)
    assert drawn.to_dict() == {
        "samples": 101,
        "unconverged": 3,
        "seed": 9,
        "level": 0.9,
        "intervals": {name: list(drawn.interval(name)) for name in ("R_D", "R_N")},
        "without_end": {"R_D": 0.0, "R_N": 5 / 101},
        "covariance": {"of": ["ln_R_D", "ln_R_N"], "values": [pytest.approx(row) for row in np.cov(logs, endless)]},
    }
    assert list(replace(drawn, held=("R_N",)).to_dict()["intervals"]) == ["R_D"]


# Findings at their edges


def found(fit, check, **more):
    return next(each for each in diagnose_repetition(fit, **more).findings if each.check == check)


def span(parameter, low, high):
    none = np.ones(1)
    return Ridge(
        parameter=parameter, values=none, other=none, objective=none, deviance=none, low=low, high=high, level=0.95
    )


@pytest.mark.parametrize(
    ("correlation", "ridges", "word"),
    [
        (0.9499, (), "good"),
        (-0.9499, (), "good"),
        (0.95, (), "usable"),
        (-0.95, (), "usable"),
        (None, (), "do not use"),
        (-0.99, ((1.0, 9.0), (1.0, 9.0)), "usable"),
        (-0.99, ((1.0, None), (1.0, 9.0)), "usable"),
        (-0.99, ((1.0, None), (None, 9.0)), "do not use"),
    ],
)
def test_the_ridge_is_judged_by_its_correlation_and_its_ends(noisy, correlation, ridges, word):
    traced = tuple(span(name, *ends) for name, ends in zip(("R_D", "R_N"), ridges, strict=False))
    one = found(replace(noisy, correlation=correlation), "ridge", ridges=traced)
    assert one.word == word
    assert one.figures == {
        "correlation": correlation,
        "intervals": {name: list(ends) for name, ends in zip(("R_D", "R_N"), ridges, strict=False)},
    }
    if word == "good":
        assert one.sentence == f"The runs tell R_D from R_N (correlation {correlation:.2f})."


def test_the_ridge_in_words(noisy):
    one = found(replace(noisy, correlation=-0.987), "ridge", ridges=(span("R_D", 2.04, None), span("R_N", None, 7.0)))
    assert one.sentence == (
        "Ridge: R_D and R_N trade off (correlation -0.987); R_D from 2.0 up and R_N up to 7.0 fit almost alike. Hold "
        "one of them (--hold R_N=5.31), or add runs of other ratios."
    )
    both = found(replace(noisy, correlation=None), "ridge", ridges=(span("R_D", 2.0, 30.0), span("R_N", None, None)))
    assert "(correlation complete); R_D from 2.0 to 30 and all R_N fit almost alike" in both.sentence
    held = found(replace(noisy, held={"R_D": 12.0}), "ridge")
    assert (held.word, held.figures) == ("usable", {"held": {"R_D": 12.0}})
    assert held.sentence == "R_D is held at 12.0: R_N is what these runs say if that is right."
    assert found(replace(noisy, held={"R_N": 5.0}), "ridge").sentence.startswith("R_N is held at 5.00: R_D is what")


@pytest.mark.parametrize(("times", "told"), [(1.99, True), (2.01, False)])
def test_runs_of_one_ratio_are_told(noisy, times, told):
    rows = noisy.rows
    ratios = np.linspace(20.0, 20.0 * times, 30)
    one = found(replace(noisy, correlation=0.99, rows=replace(rows, tokens=ratios * rows.params)), "ridge")
    assert (f"since every run has about {20.0 * (1 + times) / 2:.0f} tokens per parameter" in one.sentence) == told


@pytest.mark.parametrize(
    ("objective", "word"), [(7.0, "good"), (7.001, "usable"), (9.799, "usable"), (9.801, "do not use")]
)
def test_what_decay_explains(noisy, objective, word):
    one = found(replace(noisy, objective=objective, as_new=10.0), "explained")
    assert one.word == word
    assert one.figures == {"share": pytest.approx(1.0 - objective / 10.0, abs=1e-12), "scatter": noisy.scatter}
    nothing = found(replace(noisy, objective=0.0, as_new=0.0), "explained")
    assert (nothing.word, nothing.figures["share"]) == ("do not use", 0.0)
    worse = found(replace(noisy, objective=2.0, as_new=1.0), "explained")
    assert worse.figures["share"] == -1.0
    assert worse.sentence.startswith("Decay takes away 0% of the misfit")


@pytest.mark.parametrize(
    ("error", "word"), [(0.0149, "good"), (0.0151, "usable"), (0.0499, "usable"), (0.0501, "do not use")]
)
def test_the_base_law_on_runs_of_one_epoch(noisy, error, word):
    rows = noisy.rows
    # Two runs are of one epoch, one of a hair more than counts; the law is above one of the two and below the other.
    epochs = np.full(30, 4.0)
    epochs[:3] = 1.0, 1.0099, 1.0101
    residuals = np.full(30, 1.0)
    residuals[:2] = math.log(1.0 + error), math.log(1.0 - error)
    fit = replace(noisy, rows=replace(rows, unique_tokens=rows.tokens / epochs), residuals=residuals)
    one = found(fit, "base law")
    assert one.word == word
    assert one.figures == {"mean_error": pytest.approx(error, rel=1e-12), "E": fit.E}
    assert one.sentence == (
        f"E is fitted: {fit.E['']:.3f} (it is 1.869 in muennighoff-2023). The base law misses the 2 runs of one epoch "
        f"by {100 * error:.2f}% on average."
    )
    alone = replace(fit, rows=replace(rows, unique_tokens=rows.tokens / np.r_[1.0, np.full(29, 4.0)]), E_fitted=False)
    assert found(alone, "base law").sentence.startswith("The base law misses the 1 run of one epoch by ")
    none = found(replace(fit, rows=replace(rows, unique_tokens=rows.tokens / 4.0), E={"a": 2.0, "b": 3.0}), "base law")
    assert none.word == "usable"
    assert none.sentence == (
        "E is fitted: 2.000 for a, 3.000 for b (it is 1.869 in muennighoff-2023). No run of one epoch says whether the "
        "base law muennighoff-2023 is that of these data."
    )


@pytest.mark.parametrize(("most", "word"), [(4.0, "good"), (3.9, "usable")])
def test_how_far_the_runs_reach(noisy, most, word):
    rows = noisy.rows
    epochs = np.linspace(1.0, most, 30)
    one = found(
        replace(noisy, rows=replace(rows, tokens=epochs, unique_tokens=np.ones(30), params=2.5 * rows.unique_params)),
        "reach",
    )
    assert one.word == word
    assert one.figures == {"epochs": most, "size": pytest.approx(2.5)}
    assert one.sentence.startswith(f"Runs reach {most:g} epochs, and 2.50x the parameters that are optimal for")


@pytest.mark.parametrize(("count", "word"), [(19, "usable"), (20, "good")])
def test_fewer_than_twenty_runs(noisy, count, word):
    cut = {
        name: getattr(noisy.rows, name)[:count]
        for name in ("params", "unique_params", "tokens", "unique_tokens", "log_loss", "data")
    }
    one = found(replace(noisy, rows=replace(noisy.rows, **cut), residuals=noisy.residuals[:count]), "runs")
    assert one.word == word
    few = "; with fewer than 20 intervals are themselves uncertain" if word == "usable" else ""
    assert one.sentence == f"{count} runs for 3 parameters{few}."


@pytest.mark.parametrize(("reached", "word"), [(18, "good"), (17, "usable")])
def test_how_many_starts_end_at_the_best(noisy, reached, word):
    one = found(replace(noisy, starts=36, reached_best=reached), "starts")
    assert (one.word, one.sentence) == (word, f"{reached} of 36 starts reach the best minimum.")


@pytest.mark.parametrize(
    ("ratio", "beyond", "word"), [(3.99, 0, "good"), (4.01, 0, "usable"), (3.99, 2, "good"), (3.99, 3, "usable")]
)
def test_intervals_that_are_wide_or_have_no_end(noisy, ratio, beyond, word):
    # 100 refits: the outer ones of R_D are where its ends are, and some have none.
    logs = np.full(100, math.log(2.0))
    logs[50:] = math.log(2.0 * ratio)
    logs[100 - beyond :] = math.log(1e4)
    drawn = RepetitionBootstrap(
        samples=np.column_stack([logs, np.full(100, 1.0)]), held=(), unconverged=0, seed=0, level=0.9
    )
    one = found(noisy, "intervals", bootstrap=drawn)
    assert one.word == word
    assert one.figures["R_N"] == pytest.approx([math.e, math.e])
    assert one.figures["R_D"] == pytest.approx([2.0, 2.0 * ratio])
    if beyond == 3:
        assert "R_D from 2.00 up, without an end in 3% of them and R_N between" in one.sentence
    else:
        assert one.sentence.startswith(f"Resampled runs put R_D between 2.00 and {2.0 * ratio:.2f} and R_N between")
    held = found(replace(noisy, held={"R_D": 3.0}), "intervals", bootstrap=replace(drawn, held=("R_D",)))
    assert list(held.figures) == ["R_N"]


# Files, edge by edge


def curve(losses, *, tokens=8e9, epochs=2.0, **more):
    return [
        {"params": 1e8, "unique_tokens": tokens / epochs, "epochs": epochs, "tokens": tokens * (k + 1) / len(losses),
         "loss": loss} | more
        for k, loss in enumerate(losses)
    ]  # fmt: skip


def others(count=4):
    """Runs that nobody objects to."""
    return [
        row for k in range(count) for row in curve([4.5 - 0.1 * k, 4.25 - 0.1 * k, 4.0 - 0.1 * k], tokens=(k + 3) * 1e9)
    ]


@pytest.mark.parametrize(
    ("losses", "aside"),
    [
        # 3% over the lowest is a rise only beyond it, and only of curves of five points.
        ([5.0, 4.5, 4.2, 4.0, 4.12], False),
        ([5.0, 4.5, 4.2, 4.0, 4.1204], True),
        ([5.0, 4.5, 4.0, 4.3], False),
    ],
)
def test_curves_that_rise_again(tmp_path, losses, aside):
    read = read_repeated_runs(write(tmp_path / "runs.csv", others() + curve(losses)))
    assert (len(read), len(read.runs.set_aside)) == ((4, 1) if aside else (5, 0))
    if aside:
        (one,) = read.runs.set_aside
        assert (one.row, one.reason) == (18, "the loss rises again, 2 epochs")
        assert one.detail == (
            "100M params: 4.120 at the end, 3% over 4.000 at 6.40B tokens; the law knows no overfitting"
        )
    assert read.runs.notes[-1] == (
        f"{12 + len(losses)} rows are the curves of 5 runs; the last row of each is its final loss"
    )


def test_four_runs_are_enough_and_three_are_not(tmp_path):
    assert len(read_repeated_runs(write(tmp_path / "runs.csv", others(4)))) == 4
    twin = [row | {"epochs": 4.0, "unique_tokens": row["unique_tokens"] / 2} for row in others(1)]
    with pytest.raises(SpreadsheetError) as caught:
        read_repeated_runs(write(tmp_path / "runs.csv", others(3) + twin))
    assert str(caught.value).endswith(
        "runs.csv: 3 usable runs, at least 4 are needed: same losses as another run under other epochs: row 13"
    )
    with pytest.raises(SpreadsheetError, match=r"3 usable runs, at least 4 are needed$"):
        read_repeated_runs(write(tmp_path / "runs.csv", others(3)))


def test_a_summary_as_json(tmp_path):
    rows = others(5)
    rows += [row | {"epochs": 4.0, "unique_tokens": row["unique_tokens"] / 2} for row in others(1)]
    data = ["c4", "oscar"]
    read = read_repeated_runs(
        write(tmp_path / "runs.csv", [row | {"data": data[row["unique_tokens"] > 2.2e9]} for row in rows])
    )
    record = read.to_dict()
    assert record["epochs"] == [2.0, 2.0]
    assert record["unique_tokens"] == [1.5e9, 3.5e9]
    assert record["data_sets"] == ["c4", "oscar"]
    assert read.data.tolist() == ["c4", "c4", "oscar", "oscar", "oscar"]
    (detail,) = record["details"]
    assert detail["row"] == 19
    assert detail["detail"].startswith("100M params, 4 epochs: every loss is that of the run of 2 epochs which ends in")
    few = read.take(read.runs.tokens > 4e9, "small")
    assert few.unique_tokens.tolist() == read.unique_tokens[read.runs.tokens > 4e9].tolist()
    assert few.data.tolist() == read.data[read.runs.tokens > 4e9].tolist()
    assert few.epochs.tolist() == [2.0] * len(few)


def test_bits_ratios_and_compute_stand_for_losses_and_tokens(tmp_path):
    rows = simulated(8)
    whole = read_repeated_runs(write(tmp_path / "plain.csv", rows))
    changed = [
        {"params": row["params"], "tokens per parameter": row["tokens"] / row["params"],
         "epochs": row["tokens"] / row["unique_tokens"], "loss": row["loss"] / math.log(2.0)} for row in rows
    ]  # fmt: skip
    ratio = read_repeated_runs(write(tmp_path / "ratio.csv", changed), loss_unit="bits")
    compute = read_repeated_runs(
        write(
            tmp_path / "flops.csv",
            [{"params": row["params"], "flops": 6 * row["params"] * row["tokens"],
              "unique_tokens": row["unique_tokens"], "loss": row["loss"]} for row in rows],
        )
    )  # fmt: skip
    for read in (ratio, compute):
        np.testing.assert_allclose(read.runs.tokens, whole.runs.tokens, rtol=1e-12)
        np.testing.assert_allclose(read.runs.loss, whole.runs.loss, rtol=1e-12)
        np.testing.assert_allclose(read.unique_tokens, whole.unique_tokens, rtol=1e-12)
    assert ratio.runs.conventions["loss_unit"] == "bits"
    assert compute.runs.conventions["tokens"] == "C/(6N)"
    assert ratio.runs.conventions["tokens"].startswith("N times column 'tokens per parameter'")


def test_flops_that_contradict_the_tokens_are_told(tmp_path):
    rows = simulated(8)
    told = read_repeated_runs(
        write(tmp_path / "runs.csv", [row | {"flops": 60 * row["params"] * row["tokens"]} for row in rows])
    )
    (note,) = (each for each in told.runs.notes if each.startswith("flops: column 'flops' "))
    assert note.endswith(", so 6ND is used")
    right = read_repeated_runs(
        write(tmp_path / "right.csv", [row | {"flops": 6 * row["params"] * row["tokens"]} for row in rows])
    )
    assert not [each for each in right.runs.notes if each.startswith("flops: column")]


def test_a_weight_of_two_steps_as_two_equal_runs() -> None:
    rng = np.random.default_rng(3)
    residual, first, second = rng.normal(size=(2, 9)), rng.normal(size=(3, 2, 9)), rng.normal(size=(3, 2, 9))
    weights = rng.integers(0, 3, (2, 9)).astype(float)
    damping = np.full(2, 1e-3)
    steps, gains = _step(residual, first, second, 0.5, weights, damping)
    for problem, counts in enumerate(weights.astype(int)):
        kept = np.repeat(np.arange(9), counts)
        one = (slice(problem, problem + 1), kept)
        each = (slice(None), *one)
        step, gain = _step(residual[one], first[each], second[each], 0.5, None, damping[:1])
        np.testing.assert_allclose(steps[:, problem], step[:, 0], rtol=1e-12)
        assert gains[problem] == pytest.approx(gain[0], rel=1e-12)
