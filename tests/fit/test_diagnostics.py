"""A fit is called good, usable or not to be used for reasons that one can check."""

from __future__ import annotations

from dataclasses import FrozenInstanceError

import numpy as np
import pytest

from beyond_chinchilla.errors import InputError
from beyond_chinchilla.fit.ablation import by_max_tokens_per_param
from beyond_chinchilla.fit.bootstrap import bootstrap
from beyond_chinchilla.fit.diagnostics import FEW_RUNS, Diagnosis, Finding, diagnose, frontier_exponent
from beyond_chinchilla.fit.filters import filter_runs
from beyond_chinchilla.fit.isoflop import fit_isoflop
from beyond_chinchilla.fit.levenberg import minimise
from beyond_chinchilla.fit.parametric import GRID, fit_parametric
from beyond_chinchilla.fit.runs import make_runs, read_runs
from beyond_chinchilla.laws.loss_law import LossLaw

LAW = LossLaw(E=1.69, A=406.4, alpha=0.336, B=410.7, beta=0.283)
COARSE = GRID[4::9]


def simulate(count=120, noise=0.005, seed=0):
    rng = np.random.default_rng(seed)
    N = np.exp(rng.uniform(np.log(5e7), np.log(1e10), count))
    D = N * np.exp(rng.uniform(np.log(3), np.log(200), count))
    return N, D, LAW.loss(N, D) * np.exp(rng.normal(0, noise, count))


def fit(N, D, L):
    return fit_parametric(N, D, L, grid=COARSE)


def finding(diagnosis, check):
    (found,) = [each for each in diagnosis.findings if each.check == check]
    return found


@pytest.fixture(scope="module")
def simulated():
    return fit(*simulate())


def test_good_runs_make_a_good_fit(simulated):
    found = diagnose(simulated, bootstrap=bootstrap(simulated, samples=200))
    assert found.verdict == "good"
    assert found.reasons == ()
    assert {each.check for each in found.findings} >= {"starts", "ridge", "influence", "extrapolation", "intervals"}
    with pytest.raises(FrozenInstanceError):
        found.findings = ()


def test_the_verdict_is_the_worst_word_and_reasons_come_gravest_first():
    words = ("good", "usable", "do not use")
    found = Diagnosis(tuple(Finding(check=word, word=word, sentence=word) for word in words))
    assert found.verdict == "do not use"
    assert found.reasons == ("do not use", "usable")
    assert found.to_dict()["word"] == "do not use"


def test_a_law_drowned_in_noise_is_refused():
    found = diagnose(fit(*simulate(60, noise=0.2)))
    assert found.verdict == "do not use"
    assert finding(found, "explained").word == "do not use"


def test_a_ridge_is_named(bc_data):
    runs = filter_runs(read_runs(bc_data / "sardana_mpt_47runs.csv"), max_tokens_per_param=100)
    ridge = finding(diagnose(fit(runs.params, runs.tokens, runs.loss)), "ridge")
    assert ridge.word == "usable"
    assert set(ridge.figures["pair"]) == {"A", "E"}
    assert "A" in ridge.sentence
    assert "E" in ridge.sentence


def test_structure_that_is_left_is_named_with_its_place(simulated):
    N, D, L = simulate()
    assert finding(diagnose(simulated), "residuals").word == "good"
    bent = L * (1 + 0.05 * (np.abs(np.log(N / 7e8)) < 0.5))
    left = finding(diagnose(fit(N, D, bent)), "residuals")
    assert left.word == "usable"
    assert "with N from" in left.sentence


def test_leaving_a_run_out_by_weight_is_leaving_it_out(simulated):
    found = finding(diagnose(simulated), "influence")
    without = np.arange(simulated.loss.size) != found.figures["index"]
    again = fit(simulated.params[without], simulated.tokens[without], simulated.loss[without])
    moved = abs(
        frontier_exponent(again.law.alpha, again.law.beta)
        - frontier_exponent(simulated.law.alpha, simulated.law.beta)
    )  # fmt: skip
    assert found.figures["moves_a"] == pytest.approx(moved, abs=1e-6)
    others = [
        minimise(
            simulated.rows, simulated.minima[0][:, None], delta=simulated.delta, weights=1.0 - np.eye(120)[[i]],
            widest=3 * simulated.delta,
        ).parameters[3:, 0]
        for i in (0, 40, 80)
    ]  # fmt: skip
    base = frontier_exponent(simulated.law.alpha, simulated.law.beta)
    assert all(abs(frontier_exponent(*each) - base) <= moved + 1e-6 for each in others)


def test_a_single_wrong_run_of_few_is_found():
    N, D, L = simulate(25, noise=0.002, seed=3)
    L[np.argmax(N)] *= 1.2
    wrong = fit_parametric(N, D, L, grid=COARSE, objective="least-squares")
    found = finding(diagnose(wrong), "influence")
    exponents = []
    for index in range(25):
        rest = np.arange(25) != index
        law = fit_parametric(N[rest], D[rest], L[rest], grid=wrong.minima[:1], objective="least-squares").law
        exponents.append(frontier_exponent(law.alpha, law.beta))
    moves = np.abs(np.array(exponents) - frontier_exponent(wrong.law.alpha, wrong.law.beta))
    assert found.figures["index"] == np.argmax(moves)
    assert found.figures["moves_a"] == pytest.approx(moves.max(), abs=1e-5)
    assert moves.max() > 0.02


def test_extrapolation_is_predicted_from_the_smaller_compute():
    N, D, L = simulate(noise=0.0)
    exact = finding(diagnose(fit(N, D, L)), "extrapolation")
    assert exact.figures["mean_error"] < 1e-6
    assert (exact.figures["fitted"], exact.figures["predicted"]) == (84, 36)
    C = N * D
    high = np.argsort(C)[84:]
    L[high] *= 1.1
    broken = finding(diagnose(fit(N, D, L)), "extrapolation")
    assert broken.figures["mean_error"] == pytest.approx(1 - 1 / 1.1, rel=1e-3)
    assert broken.word == "do not use"


def test_approach_2_is_compared_where_there_are_budgets(simulated):
    C, x = np.meshgrid(np.geomspace(1e19, 1e22, 6), np.linspace(-1.5, 1.5, 7))
    N = LAW.compute_optimal(flops=C).params * np.exp(x)
    D = C / (6 * N)
    L = LAW.loss(N, D)
    budgets = fit_isoflop(N.ravel(), D.ravel(), L.ravel(), samples=0)
    found = finding(diagnose(fit(N.ravel(), D.ravel(), L.ravel()), isoflop=budgets), "approach 2")
    assert found.word == "good"
    assert found.figures["budgets"] == 6
    kaplan = fit_isoflop(N.ravel(), D.ravel(), 3 + 0.1 * np.log(N / (1e8 * (C / 1e19) ** 0.73)).ravel() ** 2, samples=0)
    assert finding(diagnose(simulated, isoflop=kaplan), "approach 2").word == "usable"


def test_eight_runs_hang_on_one_of_them():
    found = finding(diagnose(fit(*simulate(8, noise=0.02))), "influence")
    assert found.word != "good"
    assert "Without one run" in found.sentence


def test_few_runs_are_at_most_usable():
    found = diagnose(fit(*simulate(FEW_RUNS - 1)))
    assert finding(found, "runs").word == "usable"
    assert found.verdict != "good"


def test_json_has_no_nan(simulated):
    import json

    json.dumps(diagnose(simulated).to_dict(), allow_nan=False)


def test_misses_of_small_ratio_laws_are_those_of_the_runs_beyond():
    N, D, L = simulate(60, noise=0.0)
    L = np.where(D / N > 100, L * 1.05, L)
    low, high = by_max_tokens_per_param(make_runs(N, D, L), [1000, 100])
    assert (low.bound, low.runs, low.beyond) == (100, int((D / N <= 100).sum()), int((D / N > 100).sum()))
    assert low.mean == pytest.approx(1 / 1.05 - 1, rel=1e-6)
    assert low.absolute == pytest.approx(-low.mean)
    assert high.mean is None
    assert high.beyond == 0


def test_a_ratio_that_leaves_too_few_runs_says_so():
    N, D, L = simulate(60)
    low, high = by_max_tokens_per_param(make_runs(N, D, L), [3.2, 1000])
    assert low.fit is None
    assert low.reason
    assert high.fit is not None
    with pytest.raises(InputError, match="no bound leaves a law"):
        by_max_tokens_per_param(make_runs(N, D, L), [1])
    with pytest.raises(InputError, match="above 0"):
        by_max_tokens_per_param(make_runs(N, D, L), [-1])


def test_rows_of_an_ablation_are_flat_and_whole():
    N, D, L = simulate(60, noise=0.002)
    # The runs beyond 100 tokens per parameter lie 3% and 5% off by turns.
    beyond = D / N > 100.0
    L = np.where(beyond, L * np.where(np.arange(60) % 2, 1.03, 0.95), L)
    few, half, same, whole = by_max_tokens_per_param(make_runs(N, D, L), [5000, 100, 1000, 3.2, 100])
    law = fit_parametric(N[~beyond], D[~beyond], L[~beyond])
    misses = law.law.loss(N[beyond], D[beyond]) / L[beyond] - 1.0
    worst = np.argmax(np.abs(misses))
    assert half.to_dict() == {
        "max_tokens_per_param": 100,
        "runs": int((~beyond).sum()),
        "E": law.law.E,
        "A": law.law.A,
        "alpha": law.law.alpha,
        "B": law.law.B,
        "beta": law.law.beta,
        "objective": law.objective,
        "condition": law.condition,
        "runs_beyond": int(beyond.sum()),
        "mean_miss": pytest.approx(misses.mean()),
        "mean_absolute_miss": pytest.approx(np.abs(misses).mean()),
        "worst_miss": pytest.approx(misses[worst]),
        "worst_at_tokens_per_param": pytest.approx((D / N)[beyond][worst]),
        "reason": "",
    }
    inside = int((D / N <= 3.2).sum())
    assert few.to_dict() == {
        "max_tokens_per_param": 3.2,
        "runs": inside,
        "objective": None,
        "condition": None,
        "runs_beyond": 60 - inside,
        **dict.fromkeys(("mean_miss", "mean_absolute_miss", "worst_miss", "worst_at_tokens_per_param")),
        "reason": few.reason,
    }
    assert few.reason.startswith(f"{inside} runs for 5 parameters; give at least 6")
    # As many runs have one law.
    assert whole.fit is same.fit
    assert (same.bound, same.beyond, same.worst_ratio, whole.runs) == (1000, 0, None, 60)


def test_an_ablation_hands_its_options_on_and_bounds_hold_to_rounding():
    N, D, L = simulate(40)
    D = np.where(np.arange(40) % 2, N * 100.0 * (1 + 1e-12), D)
    options = {"objective": "least-squares", "tied": True, "irreducible": 1.7}
    (found,) = by_max_tokens_per_param(make_runs(N, D, LAW.loss(N, D)), [100], **options)
    assert (found.fit.method, found.fit.tied, found.fit.irreducible) == ("least-squares", True, 1.7)
    assert found.runs == int((D / N <= 100.0 * (1 + 1e-10)).sum())
    for bounds in ([], [0], [100, np.inf], [np.nan]):
        with pytest.raises(InputError, match=r"^tokens per parameter to fit up to: give numbers above 0"):
            by_max_tokens_per_param(make_runs(N, D, L), bounds)
    with pytest.raises(InputError, match=r"^no bound leaves a law; up to 2\.00 tokens per param: 0 runs for 5 param"):
        by_max_tokens_per_param(make_runs(N, D, L), [2, 1])
