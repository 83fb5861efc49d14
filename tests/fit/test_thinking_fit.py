"""Fits with thinking: constants recovered, what rows leave open, tables as people keep them, verdicts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from beyond_chinchilla.errors import FitError, InputError, SpreadsheetError
from beyond_chinchilla.fit.thinking.bootstrap import bootstrap_thinking, predicted
from beyond_chinchilla.fit.thinking.checks import diagnose_thinking, judge_thinking_intervals
from beyond_chinchilla.fit.thinking.law import NAMES, ThinkingFit, fit_thinking
from beyond_chinchilla.fit.thinking.runs import ThinkingRuns, make_thinking_runs, read_thinking_runs
from beyond_chinchilla.laws.catalogue import law as published
from beyond_chinchilla.laws.loss_law import LossLaw
from beyond_chinchilla.laws.thinking import Thinking

LAW = LossLaw(E=0.15, A=60.0, alpha=0.3, B=150.0, beta=0.28)
THINKING = Thinking(G=0.9, g=0.5)
TRUE = {"A": 60.0, "B": 150.0, "G": 0.9, "E": 0.15, "alpha": 0.3, "beta": 0.28, "g": 0.5}

SIZES, RATIOS, KS = np.geomspace(1e7, 1e9, 6), np.array([10.0, 20.0, 80.0, 320.0]), 2.0 ** np.arange(7)


def simulated(
    noise: float = 0.0, sizes: Any = SIZES, ratios: Any = RATIOS, ks: Any = KS, seed: int = 0
) -> ThinkingRuns:
    """Return models scored at every k, with a log-normal error of the loss."""
    N, ratio, k = (axis.ravel() for axis in np.meshgrid(sizes, ratios, ks))
    loss = THINKING.loss(LAW, N, N * ratio, k)
    loss = loss * np.exp(noise * np.random.default_rng(seed).standard_normal(N.size))
    return make_thinking_runs(N, N * ratio, k, score=np.exp(-loss))


# Recovery


@pytest.mark.parametrize("objective", ["huber", "least-squares"])
def test_exact_rows_give_their_seven_constants_back(objective: Any) -> None:
    fit = fit_thinking(simulated(), objective=objective)
    assert fit.values == pytest.approx(TRUE, rel=1e-6)
    assert fit.law is not None
    assert fit.thinking is not None
    assert fit.thinking.seen == (1.0, 64.0)
    assert fit.law.fitted.params == pytest.approx((1e7, 1e9))
    assert diagnose_thinking(fit).verdict == "good"


def test_intervals_hold_the_constants_of_noisy_rows() -> None:
    fit = fit_thinking(simulated(noise=0.03))
    drawn = bootstrap_thinking(fit, samples=400)
    for name in NAMES:
        low, high = drawn.interval(name)
        assert low <= TRUE[name] <= high, name
        assert high / low > 1.02, name
    assert drawn.models == 24
    assert judge_thinking_intervals(drawn).word == "good"


def test_the_same_seed_draws_the_same_refits() -> None:
    fit = fit_thinking(simulated(noise=0.03))
    one, same, other = (bootstrap_thinking(fit, samples=20, seed=seed).samples for seed in (1, 1, 2))
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)


def test_models_are_resampled_whole() -> None:
    # An error that a model's rows share: rows drawn one by one would claim to know alpha far better than they do.
    N, ratio, k = (axis.ravel() for axis in np.meshgrid(SIZES, RATIOS, KS))
    models = np.unique(np.column_stack([N, ratio]), axis=0, return_inverse=True)[1].reshape(-1)
    shared = 0.05 * np.random.default_rng(5).standard_normal(24)[models]
    fit = fit_thinking(make_thinking_runs(N, N * ratio, k, loss=THINKING.loss(LAW, N, N * ratio, k) * np.exp(shared)))
    rows = {"alpha": 0.0}
    jacobian = np.linalg.inv(_information(fit))
    rows["alpha"] = float(np.sqrt(jacobian[4, 4])) * fit.scatter
    assert np.std(bootstrap_thinking(fit, samples=300).draws("alpha")) > 1.5 * rows["alpha"]


def _information(fit: ThinkingFit) -> Any:
    from beyond_chinchilla.fit.power_sum import PowerRows

    rows = PowerRows.of([fit.runs.params, fit.runs.tokens, fit.runs.k], fit.runs.loss)
    jacobian = rows.jacobian(fit.theta[None])[0][0]
    return jacobian.T @ jacobian


def test_tied_exponents_and_a_held_floor() -> None:
    fit = fit_thinking(simulated(noise=0.01), tied=True, irreducible=0.1)
    assert fit.values["alpha"] == pytest.approx(fit.values["beta"], rel=1e-12)
    assert fit.values["E"] == 0.1
    assert fit.freedom.count == 5


def test_a_floor_that_vanishes_is_zero_and_told() -> None:
    N, ratio, k = (axis.ravel() for axis in np.meshgrid(SIZES, RATIOS, KS))
    law = LossLaw(E=0.0, A=60.0, alpha=0.3, B=150.0, beta=0.28)
    fit = fit_thinking(make_thinking_runs(N, N * ratio, k, loss=THINKING.loss(law, N, N * ratio, k)))
    assert fit.law is not None
    assert fit.law.E < 1e-9
    diagnosis = diagnose_thinking(fit)
    assert "E is at its bound 0" in " ".join(diagnosis.reasons)
    assert diagnosis.verdict == "usable"


# With the terms of size and data held


def test_one_model_is_enough_beside_a_base_law() -> None:
    fit = fit_thinking(simulated(sizes=[1e8], ratios=[20.0]), base=LAW)
    assert fit.values == pytest.approx(TRUE, rel=1e-6)
    assert not fit.undetermined


def test_a_base_law_of_answers_given_once_leaves_e_below_its_own() -> None:
    # As a fit to scores at k = 1 alone would have it: E + G where endless thinking has E.
    once = LossLaw(E=0.15 + 0.9, A=60.0, alpha=0.3, B=150.0, beta=0.28, name="once")
    fit = fit_thinking(simulated(sizes=[1e8], ratios=[20.0]), base=once)
    assert fit.law is not None
    floor = fit.law.E
    assert floor == pytest.approx(0.15, rel=1e-6)
    assert floor + THINKING.G == pytest.approx(once.E, rel=1e-6)


def test_g_and_its_exponent_alone_from_two_numbers_of_samples() -> None:
    rows = simulated(sizes=[1e8], ratios=[20.0, 40.0], ks=[1.0, 16.0])
    assert [line[:7] for line in fit_thinking(rows, base=LAW).undetermined] == ["G and g"]
    fit = fit_thinking(rows, base=LAW, irreducible=0.15)
    assert fit.thinking is not None
    assert (fit.thinking.G, fit.thinking.g) == pytest.approx((0.9, 0.5), rel=1e-6)


# What rows leave open


@pytest.mark.parametrize(
    ("rows", "open_", "law", "thinking"),
    [
        ({"ks": [4.0]}, "G and g: every row has 4 samples per request", False, False),
        ({"ks": [1.0, 8.0]}, "G and g: two numbers of samples per request", False, False),
        ({"sizes": [1e8]}, "A and alpha: every row has N = 100M", False, True),
        ({"sizes": [1e8, 1e9]}, "alpha: two sizes do not tell it from E", True, True),
        ({"ratios": [20.0]}, "A from B: D follows from N in every row", True, True),
    ],
)
def test_what_is_not_determined_is_named(rows: dict[str, Any], open_: str, law: bool, thinking: bool) -> None:
    fit = fit_thinking(simulated(**rows))
    diagnosis = diagnose_thinking(fit)
    assert diagnosis.verdict == "do not use"
    assert open_ in diagnosis.reasons[0]
    assert (fit.law is not None, fit.thinking is not None) == (law, thinking)


def test_a_law_that_does_not_bend_as_a_power_is_told() -> None:
    N, ratio, k = (axis.ravel() for axis in np.meshgrid(SIZES, RATIOS, KS))
    # Questions of one difficulty: the loss falls with k like a power, then far faster.
    bend = 1.0 - 0.55 * (np.log2(k) / 6.0) ** 4
    noise = np.exp(0.005 * np.random.default_rng(1).standard_normal(N.size))
    rows = make_thinking_runs(N, N * ratio, k, loss=THINKING.loss(LAW, N, N * ratio, k) * bend * noise)
    words = {each.check: each.word for each in diagnose_thinking(fit_thinking(rows)).findings}
    assert words["shape in k"] == "usable"
    assert words["extrapolation"] != "good"


def test_rows_left_out_are_predicted_by_the_others() -> None:
    fit = fit_thinking(simulated())
    assert predicted(fit, fit.runs.k < 64) == pytest.approx(np.zeros(24), abs=1e-6)


def test_losses_that_rise_with_k_are_no_law() -> None:
    N, ratio, k = (axis.ravel() for axis in np.meshgrid(SIZES, RATIOS, KS))
    rising = LAW.loss(N, N * ratio) + 0.01 * np.log(k)
    diagnosis = diagnose_thinking(fit_thinking(make_thinking_runs(N, N * ratio, k, loss=rising)))
    assert diagnosis.verdict == "do not use"
    assert "thinking (G) vanishes" in " ".join(diagnosis.reasons)


def test_three_models_have_no_intervals() -> None:
    with pytest.raises(FitError, match="3 models cannot be resampled"):
        bootstrap_thinking(fit_thinking(simulated(sizes=[1e8], ratios=[10.0, 20.0, 80.0]), base=LAW))


@pytest.mark.parametrize(
    ("options", "mistake"),
    [
        ({"objective": "median"}, "use huber or least-squares"),
        ({"delta": 0.0}, "delta 0 is not positive"),
        ({"irreducible": 5.0}, "is not in 0 <= E <"),
        ({"base": LAW, "tied": True}, "do not go together"),
        ({"base": published("kaplan-2020")}, "kaplan form takes no term"),
    ],
)
def test_options_that_make_no_sense(options: dict[str, Any], mistake: str) -> None:
    with pytest.raises(InputError, match=mistake):
        fit_thinking(simulated(), **options)


def test_too_few_rows() -> None:
    rows = simulated()
    few = rows.take(np.isin(np.arange(len(rows)), [0, 9, 40, 61, 100, 130, 167]), "few")
    with pytest.raises(InputError, match="7 rows for 7 constants; give at least 8"):
        fit_thinking(few)


# Tables


def write(folder: Path, *lines: str) -> Path:
    """Write a table of the lines."""
    path = folder / "scores.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def test_minus_the_logarithm_of_a_score_is_the_loss(tmp_path: Path) -> None:
    rows = read_thinking_runs(write(tmp_path, "params,tokens,k,pass@k", "1B,20B,1,0.1", "1B,20B,8,25%"))
    assert rows.loss == pytest.approx([2.302585, 1.386294], abs=5e-7)
    assert rows.variable == "samples"
    assert rows.models.tolist() == [0, 0]


def test_a_column_for_each_k(tmp_path: Path) -> None:
    head = "name,params,tokens,pass@64 (%),pass@1 (%),pass@8 (%)"
    rows = read_thinking_runs(write(tmp_path, head, "a,1B,20B,60,5,25", "b,1B,40B,100,0,30"))
    assert rows.k.tolist() == [1.0, 8.0, 8.0, 64.0]
    assert np.exp(-rows.loss) == pytest.approx([0.05, 0.25, 0.3, 0.6])
    assert [(one.row, one.reason) for one in rows.set_aside] == [
        (3, "score not positive"),
        (3, "a score of 1 leaves no loss"),
    ]
    assert "1 score of 0 set aside" in rows.notes[0]


def test_reasoning_tokens_and_a_loss(tmp_path: Path) -> None:
    lines = ["params,tokens,thinking tokens,loss", "1B,20B,1k,1.5", "1B,20B,4k,1.2", "1B,20B,4k,1.2", "1B,20B,0,1.9"]
    rows = read_thinking_runs(write(tmp_path, *lines))
    assert rows.variable == "reasoning_tokens"
    assert rows.seen == (1000.0, 4000.0)
    assert list(rows.reasons()) == ["duplicate", "reasoning tokens not positive"]


def test_a_score_is_used_before_a_loss_unless_the_loss_is_named(tmp_path: Path) -> None:
    path = write(tmp_path, "params,tokens,k,val_loss,pass@k", "1B,20B,1,2.5,0.1", "1B,20B,8,2.4,0.25")
    assert read_thinking_runs(path).loss == pytest.approx([2.302585, 1.386294], abs=5e-7)
    assert read_thinking_runs(path, columns={"loss": "val_loss"}).loss.tolist() == [2.5, 2.4]


@pytest.mark.parametrize(
    ("head", "row", "columns", "mistake"),
    [
        ("params,tokens,loss", "1B,20B,2.5", {}, "no column for the samples or reasoning tokens"),
        ("params,tokens,k,pass@k", "1B,20B,1,45", {}, "the score in row 2 is 45; a score is a share"),
        ("params,tokens,k", "1B,20B,1", {}, "no column for the loss"),
        ("params,tokens,k,reasoning_tokens,loss", "1B,20B,1,9,2", {}, "samples and reasoning tokens"),
        ("params,tokens,k,loss", "1B,20B,1,2", {"samples": "m"}, "--columns samples=m: no such column"),
        ("params,tokens,pass@1,pass@1", "1B,20B,0.1,0.1", {}, "pass@1 has two columns"),
        ("params,tokens,samples,num_samples,loss", "1B,20B,1,2,2", {"samples": "x"}, "no such column"),
    ],
)
def test_tables_that_cannot_be_read(tmp_path: Path, head: str, row: str, columns: dict[str, str], mistake: str) -> None:
    with pytest.raises((InputError, SpreadsheetError), match=mistake):
        read_thinking_runs(write(tmp_path, head, row, row), columns=columns)


def test_no_row_disappears() -> None:
    rows = make_thinking_runs(
        [1e8, 1e8, 1e8, 1e8, np.nan], [2e9] * 5, [1.0, 0.5, 4.0, 8.0, 16.0], score=[0.1, 0.2, 0.0, 0.3, 0.4]
    )
    assert len(rows) + len(rows.set_aside) == 5
    assert [one.reason for one in rows.set_aside] == ["fewer than 1 samples", "score not positive", "params missing"]
    with pytest.raises(InputError, match="unequal length"):
        make_thinking_runs([1e8], [2e9, 2e9], [1.0, 2.0], loss=[1.0, 2.0])
    with pytest.raises(InputError, match="either the loss or the score"):
        make_thinking_runs([1e8], [2e9], [1.0])
