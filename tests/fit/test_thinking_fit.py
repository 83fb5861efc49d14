"""Fits with thinking: constants recovered, what rows leave open, tables as people keep them, verdicts."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from beyond_chinchilla.errors import FitError, InputError, SpreadsheetError
from beyond_chinchilla.fit.power_sum import PowerRows, minimise, starts
from beyond_chinchilla.fit.thinking import checks
from beyond_chinchilla.fit.thinking.bootstrap import ThinkingBootstrap, bootstrap_thinking, predicted
from beyond_chinchilla.fit.thinking.checks import diagnose_thinking, judge_thinking_intervals, no_thinking_intervals
from beyond_chinchilla.fit.thinking.law import DELTA, NAMES, ThinkingFit, _hold, _openness, fit_thinking
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


# What a fit says of itself


@pytest.fixture(scope="module")
def noisy() -> ThinkingFit:
    """A fit to 96 rows of 24 models that scatter by 3%."""
    return fit_thinking(simulated(noise=0.03, ks=[1.0, 4.0, 16.0, 64.0]))


def test_a_fit_as_json(noisy: ThinkingFit) -> None:
    r, runs = noisy.residuals, noisy.runs
    assert noisy.law is not None
    assert noisy.thinking is not None
    law = noisy.thinking.loss(noisy.law, runs.params, runs.tokens, runs.k)
    assert r == pytest.approx(np.log(law) - np.log(runs.loss), abs=1e-10)
    huber = np.where(np.abs(r) <= 0.05, 0.5 * r**2, 0.05 * (np.abs(r) - 0.025))
    assert noisy.objective == pytest.approx(float(huber.sum()), rel=1e-10)
    # Seven constants and 96 rows
    assert noisy.scatter == pytest.approx(math.sqrt(float(r @ r) / 89), rel=1e-12)
    assert noisy.to_dict() == {
        "rows": 96,
        "models": 24,
        "constants": noisy.values,
        "undetermined": [],
        "base_law": None,
        "tied": False,
        "irreducible": None,
        "delta": 0.05,
        "objective": noisy.objective,
        "scatter": noisy.scatter,
        "starts": {"count": noisy.starts, "reached_best": noisy.reached_best},
        "condition": noisy.condition,
        "ridge": list(noisy.ridge),
    }
    values = noisy.values
    assert values == {
        **{name: pytest.approx(math.exp(noisy.parameters[k])) for k, name in enumerate("ABGE")},
        **{name: noisy.parameters[4 + k] for k, name in enumerate(("alpha", "beta", "g"))},
    }
    terms = {
        "A": values["A"] * runs.params ** -values["alpha"],
        "B": values["B"] * runs.tokens ** -values["beta"],
        "G": values["G"] * runs.k ** -values["g"],
        "E": values["E"] + 0.0 * runs.k,
    }
    assert noisy.shares == {name: pytest.approx(float((term / law).max()), rel=1e-9) for name, term in terms.items()}
    assert (noisy.law.name, noisy.law.counts, noisy.law.fitted) == ("fit", "total", runs.fitted)
    assert noisy.law.source == "fit of 96 rows in N, D and samples (form of Roberts et al. 2026)"
    assert noisy.thinking.source == "fit of 96 rows (form of Roberts et al. 2026)"
    found = noisy.thinking
    assert (found.low, found.once, found.seen, found.variable, found.name) == (1.0, 1.0, (1.0, 64.0), "samples", "fit")
    assert 1 <= noisy.reached_best <= noisy.starts


def test_the_openness_of_a_minimum_by_svd(noisy: ThinkingFit) -> None:
    rows = PowerRows.of([noisy.runs.params, noisy.runs.tokens, noisy.runs.k], noisy.runs.loss)
    jacobian = rows.jacobian(noisy.theta[None])[0][0]
    scaled = jacobian / np.linalg.norm(jacobian, axis=0)
    assert noisy.condition == pytest.approx(np.linalg.cond(scaled), rel=1e-6)
    weakest = np.linalg.svd(scaled)[2][-1]
    first, second = np.argsort(-np.abs(weakest))[:2]
    assert noisy.ridge == (NAMES[first], NAMES[second]) == _openness(rows, noisy.theta, noisy.freedom)[1]


def test_least_squares_of_few_steps_and_a_base_law_as_json() -> None:
    base = replace(LAW, name="ours", counts="non-embedding")
    rows = simulated(noise=0.01, sizes=[1e8], ratios=[20.0, 40.0], ks=[2.0, 8.0, 32.0])
    fit = fit_thinking(rows, base=base, irreducible=0.15, objective="least-squares", name="thought")
    record = fit.to_dict()
    assert (record["base_law"], record["irreducible"], record["delta"], record["models"]) == ("ours", 0.15, None, 2)
    assert fit.objective == pytest.approx(0.5 * float(fit.residuals @ fit.residuals), rel=1e-10)
    assert fit.freedom.count == 2
    assert fit.scatter == pytest.approx(math.sqrt(float(fit.residuals @ fit.residuals) / 4), rel=1e-12)
    assert fit.law is not None
    assert fit.thinking is not None
    assert (fit.law.A, fit.law.alpha, fit.law.B, fit.law.beta, fit.law.E) == (60.0, 0.3, 150.0, 0.28, 0.15)
    assert (fit.law.name, fit.law.counts, fit.law.fitted) == ("thought", "non-embedding", base.fitted)
    assert fit.law.source.endswith(", A, alpha, B and beta held as in ours")
    assert (fit.thinking.low, fit.thinking.once, fit.thinking.seen) == (1.0, 1.0, (2.0, 32.0))
    assert fit.values["E"] == 0.15


def test_starts_that_end_elsewhere_are_not_counted() -> None:
    # Few rows that scatter much: most starts end in other valleys, or where an exponent is below zero.
    runs = simulated(noise=0.5, seed=2, sizes=[1e8, 1e9], ratios=[10.0, 40.0, 160.0], ks=[1.0, 4.0, 16.0])
    fit = fit_thinking(runs)
    rows = PowerRows.of([runs.params, runs.tokens, runs.k], runs.loss)
    held, freedom = _hold(rows, set(), None, None, tied=False)
    ends = minimise(rows, starts(rows, held, freedom), freedom, delta=0.05)
    falls = (ends.theta[:, 4:] > 0).all(axis=1)
    best = ends.objective[falls].min()
    assert fit.objective == pytest.approx(float(best), rel=1e-12)
    assert fit.starts == len(falls)
    assert fit.reached_best == np.count_nonzero(ends.objective[falls] <= best * (1 + 1e-6))
    assert 0 < fit.reached_best < fit.starts


def test_reasoning_tokens_begin_at_the_fewest() -> None:
    rows = replace(
        simulated(sizes=[1e8], ratios=[20.0], ks=[100.0, 400.0, 1600.0, 6400.0]), variable="reasoning_tokens"
    )
    fit = fit_thinking(rows, base=LAW)
    assert fit.thinking is not None
    assert (fit.thinking.low, fit.thinking.once, fit.thinking.variable) == (100.0, 100.0, "reasoning_tokens")
    assert fit.values == pytest.approx(TRUE, rel=1e-5)


@pytest.mark.parametrize(
    ("irreducible", "fine"), [(0.0, True), (-1e-9, False), (0.999999, True), (1.0, False), (math.nan, False)]
)
def test_a_held_floor_is_below_every_loss(irreducible: float, fine: bool) -> None:
    N, k = np.array([1e8] * 4), np.array([1.0, 2.0, 4.0, 8.0])
    rows = make_thinking_runs(N, 20 * N, k, loss=[2.0, 1.6, 1.2, 1.0])
    if fine:
        assert fit_thinking(rows, base=LossLaw(E=0, A=1, alpha=1, B=1, beta=1), irreducible=irreducible).law is not None
    else:
        with pytest.raises(InputError, match=r"is not in 0 <= E < 1, the lowest loss of the rows$"):
            fit_thinking(rows, base=LAW, irreducible=irreducible)


def test_one_row_more_than_constants_is_enough() -> None:
    rows = simulated()
    eight = rows.take(np.isin(np.arange(len(rows)), [0, 9, 40, 61, 100, 130, 150, 167]), "few")
    assert fit_thinking(eight).freedom.count == 7
    two = simulated(sizes=[1e8], ratios=[20.0], ks=[1.0, 16.0])
    with pytest.raises(InputError, match="2 rows for 2 constants; give at least 3, or hold some"):
        fit_thinking(two, base=LAW, irreducible=0.15)


@pytest.mark.parametrize(
    ("rows", "lines"),
    [
        (
            {"sizes": [1e8], "ratios": [20.0]},
            ["A and alpha: every row has N = 100M", "B and beta: every row has D = 2B"],
        ),
        ({"sizes": [1e8], "ratios": [20.0, 40.0]}, ["A and alpha: every row has N = 100M", "beta: two numbers of tok"]),
    ],
)
def test_every_constant_left_open_is_named(rows: dict[str, Any], lines: list[str]) -> None:
    found = fit_thinking(simulated(**rows))
    assert [line[: len(start)] for line, start in zip(found.undetermined, lines, strict=True)] == lines
    assert found.law is None
    assert found.values["A"] == 0.0
    assert found.thinking is not None
    # What is absent is no vanished term.
    assert next(each for each in diagnose_thinking(found).findings if each.check == "terms").word != "do not use"


# Resampled models


def drawn(samples: Any, **changes: Any) -> ThinkingBootstrap:
    fields = {"samples": samples, "usable": np.ones(len(samples), dtype=bool), "models": 9, "seed": 3, "level": 0.9}
    return ThinkingBootstrap(**(fields | changes))


def test_refits_as_json_and_by_name() -> None:
    steps = np.linspace(0.0, 1.0, 101)
    table = np.column_stack([steps + place for place in range(7)])
    table[100] = np.nan
    found = drawn(table, usable=np.arange(101) < 100)
    assert found.failures == 1
    assert found.kept.tolist() == table[:100].tolist()
    for place, name in enumerate(NAMES):
        column = table[:100, place]
        natural = np.exp(column) if place < 4 else column
        assert found.draws(name).tolist() == natural.tolist()
        assert found.interval(name) == pytest.approx(tuple(np.percentile(natural, [5, 95])), rel=1e-12)
    assert found.to_dict() == {
        "samples": 101, "failures": 1, "models": 9, "seed": 3, "level": 0.9,
        "order": ["ln_A", "ln_B", "ln_G", "ln_E", "alpha", "beta", "g"], "parameters": table[:100].tolist(),
    }  # fmt: skip
    with pytest.raises(InputError, match=r"^no constant named 'ln_A'; "):
        found.draws("ln_A")


def test_refits_are_those_of_models_drawn_with_replacement() -> None:
    rows = simulated(noise=0.02, sizes=[1e8], ratios=[10.0, 20.0, 40.0, 80.0], ks=[1.0, 4.0, 16.0, 64.0])
    fit = fit_thinking(rows, base=LAW)
    found = bootstrap_thinking(fit, samples=4, seed=2)
    assert (found.models, found.seed, found.level, found.failures) == (4, 2, 0.95, 0)
    times = np.random.default_rng(2).multinomial(4, np.full(4, 0.25), size=4)
    for place in (0, 3):
        again = np.repeat(np.arange(16), times[place][rows.models])
        # A hair apart, so that no row is a duplicate.
        hair = 1.0 + 1e-9 * np.arange(again.size)
        repeated = make_thinking_runs(
            rows.params[again], rows.tokens[again], rows.k[again], loss=rows.loss[again] * hair
        )
        own = fit_thinking(repeated, base=LAW)
        assert found.samples[place, [2, 3, 6]] == pytest.approx(own.parameters[[2, 3, 6]], rel=1e-3)
        assert found.samples[place, [0, 1, 4, 5]] == pytest.approx(
            [math.log(60.0), math.log(150.0), 0.3, 0.28], rel=1e-12
        )


@pytest.mark.parametrize(("samples", "level"), [(1, 0.95), (0, 0.95), (2, 0.0), (2, 1.0)])
def test_what_makes_no_interval(samples: int, level: float) -> None:
    fit = fit_thinking(simulated(sizes=[1e8], ratios=[10.0, 20.0, 40.0, 80.0], ks=[1.0, 4.0, 16.0]), base=LAW)
    said = f"^{samples} samples make no interval; ask for 2 at least$" if samples < 2 else "is not between 0 and 1"
    with pytest.raises(InputError, match=said):
        bootstrap_thinking(fit, samples=samples, level=level)
    assert len(bootstrap_thinking(fit, samples=2).samples) == 2


def test_one_model_has_no_intervals() -> None:
    with pytest.raises(FitError, match=r"^1 model cannot be resampled, .* score 4 models at least$"):
        bootstrap_thinking(fit_thinking(simulated(sizes=[1e8], ratios=[20.0]), base=LAW))


def test_rows_that_make_no_law_predict_nothing() -> None:
    fit = fit_thinking(simulated(sizes=[1e8], ratios=[10.0, 20.0]), base=LAW)
    with pytest.raises(FitError, match="G and g: every row has 4 samples per request"):
        predicted(fit, (fit.runs.k == 4.0) | (fit.runs.params < 0))
    # As the fit itself is: least squares, and E held
    known = fit_thinking(
        simulated(sizes=[1e8], ratios=[10.0, 20.0]), base=LAW, irreducible=0.15, objective="least-squares"
    )
    assert predicted(known, known.runs.k < 8.0) == pytest.approx(np.zeros(8), abs=1e-7)


# Findings at their edges


CHECKS = {
    "terms": checks._terms,
    "starts": checks._starts,
    "ridge": checks._ridge,
    "explained": checks._explained,
    "models": checks._models,
    "shape in k": checks._bends,
    "extrapolation": checks._largest,
}


def found(fit: ThinkingFit, check: str) -> Any:
    """Return one finding alone: all of them together fit the law again."""
    one = CHECKS[check](fit)
    assert one.check == check
    return one


def test_every_finding_is_among_those_of_a_fit(noisy: ThinkingFit) -> None:
    findings = diagnose_thinking(noisy).findings
    assert [each.check for each in findings] == ["determined", *CHECKS]
    assert [each.word for each in findings[1:]] == [found(noisy, check).word for check in CHECKS]
    left_open = diagnose_thinking(replace(noisy, undetermined=("G and g: why", "A: why not")))
    assert [each.check for each in left_open.findings] == ["determined", *list(CHECKS)[:-1]]
    first = left_open.findings[0]
    assert (first.word, first.figures) == ("do not use", {"undetermined": ["G and g: why", "A: why not"]})
    assert first.sentence == "Not determined: G and g: why; A: why not."


@pytest.mark.parametrize(
    ("ratio", "failed", "word"),
    [
        (1.499, 0, "good"), (1.501, 0, "usable"), (3.99, 0, "usable"), (4.01, 0, "do not use"),
        (1.2, 1, "good"), (1.2, 2, "usable"), (1.2, 34, "do not use"), (1.501, 34, "do not use"),
    ],
)  # fmt: skip
def test_intervals_of_g(ratio: float, failed: int, word: str) -> None:
    # 100 usable refits with g at one of its two ends
    table = np.ones((100 + failed, 7))
    table[:50, 6], table[50:, 6] = 0.4, 0.4 * ratio
    one = judge_thinking_intervals(drawn(table, usable=np.arange(100 + failed) < 100))
    assert one.word == word
    assert one.figures == {"g": pytest.approx([0.4, 0.4 * ratio]), "failed": failed / (100 + failed)}
    assert ("they do not say what thinking brings" in one.sentence) == (ratio > 4.0)
    assert one.sentence.startswith(f"Resampled models put the exponent g between 0.400 and {0.4 * ratio:.3f}")
    assert one.sentence.endswith(f"; {failed} of {100 + failed} resamples make no law." if failed else ".")


def test_a_fit_without_intervals_may_be_right() -> None:
    one = no_thinking_intervals(FitError("3 models cannot be resampled"))
    assert (one.check, one.word, one.sentence) == ("intervals", "usable", "No intervals: 3 models cannot be resampled.")


@pytest.mark.parametrize(
    ("shares", "word", "vanished"),
    [
        ({"A": 1e-4, "B": 1e-4, "G": 1e-4, "E": 1e-4}, "good", []),
        ({"A": 9.9e-5, "B": 0.5, "G": 0.5, "E": 0.5}, "do not use", ["A"]),
        ({"A": 0.5, "B": 9.9e-5, "G": 9.9e-5, "E": 9.9e-5}, "do not use", ["B", "G"]),
        ({"A": 0.5, "B": 0.5, "G": 0.5, "E": 9.9e-5}, "usable", ["E"]),
    ],
)
def test_terms_that_vanish(noisy: ThinkingFit, shares: dict[str, float], word: str, vanished: list[str]) -> None:
    one = found(replace(noisy, shares=shares), "terms")
    assert (one.word, one.figures) == (word, {"vanished": vanished})
    if vanished == ["B", "G"]:
        assert one.sentence.startswith("The terms of data (B) and thinking (G) vanish: below 0.01% of the loss")
    if vanished == ["A"]:
        assert one.sentence.startswith("The term of model size (A) vanishes: below 0.01% of the loss")
    # A floor that is held at 0 has not vanished.
    assert (
        found(replace(noisy, shares=shares | {"A": 1.0, "B": 1.0, "G": 1.0}, irreducible=0.0), "terms").word == "good"
    )


@pytest.mark.parametrize(("reached", "word"), [(5, "good"), (4, "usable")])
def test_how_many_starts_end_at_the_best(noisy: ThinkingFit, reached: int, word: str) -> None:
    one = found(replace(noisy, starts=10, reached_best=reached), "starts")
    assert (one.word, one.figures) == (word, {"starts": 10, "reached_best": reached})
    assert one.sentence == f"{reached} of 10 starts reach the best minimum."


@pytest.mark.parametrize(
    ("condition", "word", "start"),
    [
        (100.0, "good", "The minimum is well rounded (condition 100)"),
        (101.0, "usable", "Flat ridge: A and g trade off (condition 1"),
        (1e6, "usable", "Flat ridge: A and g trade off (condition 1.0M)"),
        (1.01e6, "do not use", "Degenerate: the rows do not tell A from g (condition 1.0M)"),
        (1e12, "do not use", "Degenerate: the rows do not tell A from g (condition beyond 1e12)"),
    ],
)
def test_how_flat_a_minimum_is(noisy: ThinkingFit, condition: float, word: str, start: str) -> None:
    one = found(replace(noisy, condition=condition, ridge=("A", "g")), "ridge")
    assert (one.word, one.figures) == (word, {"condition": condition, "pair": ["A", "g"]})
    assert one.sentence.startswith(start)


@pytest.mark.parametrize(
    ("share", "word"),
    [(0.801, "good"), (0.799, "usable"), (0.501, "usable"), (0.499, "do not use"), (-0.5, "do not use")],
)
def test_how_much_is_explained(noisy: ThinkingFit, share: float, word: str) -> None:
    logs = np.log(noisy.runs.loss)
    spread = float(np.mean(np.abs(logs - np.median(logs))))
    signs = np.where(np.arange(96) % 2, 1.0, -1.0)
    fit = replace(noisy, residuals=(1.0 - share) * spread * signs)
    one = found(fit, "explained")
    assert one.word == word
    assert one.figures == {"share": pytest.approx(share), "scatter": fit.scatter}
    assert one.sentence.startswith(f"The law explains {100 * max(share, 0.0):.0f}% of the spread of the losses; ")


@pytest.mark.parametrize(("ratios", "base", "word"), [(7, False, "usable"), (8, False, "good"), (7, True, "good")])
def test_fewer_than_eight_models(noisy: ThinkingFit, ratios: int, base: bool, word: str) -> None:
    rows = simulated(sizes=[1e8], ratios=np.geomspace(10, 80, ratios), ks=[1.0, 4.0, 16.0])
    fit = replace(noisy, runs=rows, residuals=np.full(3 * ratios, 1e-3), base=LAW if base else None)
    one = found(fit, "models")
    assert (one.word, one.figures) == (word, {"models": ratios, "rows": 3 * ratios})
    few = "; with fewer than 8 models size and data are hardly told." if word == "usable" else "."
    assert one.sentence == f"{3 * ratios} rows of {ratios} models for 7 constants{few}"


@pytest.mark.parametrize(
    ("off", "left"),
    [
        # 24 rows at each k, of residuals +-.01: 1.4826 x .01 is usual; a median may be 4 x 1.2533/sqrt(24) of it off.
        ({}, []),
        ({16.0: 0.0150}, []),
        ({16.0: 0.0153}, ["1.5% above the losses at 16 samples"]),
        ({16.0: -0.0153}, ["1.5% below the losses at 16 samples"]),
    ],
)
def test_a_curve_in_k_that_is_off_on_one_side(noisy: ThinkingFit, off: dict[float, float], left: list[str]) -> None:
    k = noisy.runs.k
    residuals = np.where(np.arange(96) // 4 % 2, 0.01, -0.01).astype(float)
    for level, value in off.items():
        residuals[k == level] = value
    one = found(replace(noisy, residuals=residuals), "shape in k")
    assert one.word == ("usable" if left else "good")
    assert (one.figures or {}).get("left", []) == left
    if not left:
        assert one.sentence == "Residuals show no structure by samples."


def test_two_values_of_k_are_named_and_the_others_counted(noisy: ThinkingFit) -> None:
    # At three of four k 13 of 24 models are off, so that the median row is not.
    k, residuals = noisy.runs.k, np.full(96, 1e-4)
    for level, value in ((1.0, 0.05), (4.0, -0.05), (64.0, 0.05)):
        residuals[np.flatnonzero(k == level)[:13]] = value
    one = found(replace(noisy, residuals=residuals), "shape in k")
    assert one.sentence == (
        "The curve in k is no power law: the law lies 5.0% above the losses at 1 samples and 5.0% below the losses at "
        "4 samples, and at 1 more."
    )
    assert len(one.figures["left"]) == 3


@pytest.mark.parametrize(("models", "told"), [(3, False), (4, True)])
def test_fewer_than_four_rows_show_no_structure(noisy: ThinkingFit, models: int, told: bool) -> None:
    rows = simulated(sizes=[1e8], ratios=np.geomspace(10, 80, models), ks=[1.0, 4.0, 16.0])
    residuals = np.where(rows.k == 4.0, 0.05, 1e-4)
    one = found(replace(noisy, runs=rows, residuals=residuals), "shape in k")
    assert (one.word == "usable") == told


@pytest.mark.parametrize(
    ("off", "word"), [(0.01, "good"), (0.0839, "good"), (0.0841, "usable"), (0.2499, "usable"), (0.2501, "do not use")]
)
def test_the_largest_k_predicted_from_the_others(off: float, word: str) -> None:
    rows = simulated(sizes=[1e8], ratios=[10.0, 20.0], ks=[1.0, 2.0, 8.0, 64.0])
    # The law is so much above the losses of the most samples.
    changed = np.where(rows.k == 64.0, rows.loss / (1.0 + off), rows.loss)
    fit = fit_thinking(replace(rows, loss=changed), base=LAW)
    one = found(fit, "extrapolation")
    assert one.word == word
    assert one.figures == {"mean_error": pytest.approx(off, abs=1e-6)}
    assert one.sentence == (
        f"Fitted up to 8 samples, the law misses the losses at 64 (8.00x as many) by {100 * off:.1f}% on average."
    )


def test_three_values_of_k_predict_none() -> None:
    one = found(
        fit_thinking(simulated(sizes=[1e8], ratios=[10.0, 20.0], ks=[1.0, 4.0, 16.0]), base=LAW), "extrapolation"
    )
    assert (one.word, one.figures or {}) == ("usable", {})
    assert one.sentence == "With 3 values of k none can be left out and predicted; score the models at more."


# Tables, edge by edge


def test_arrays_as_json() -> None:
    rows = make_thinking_runs(
        [1e8, 1e8, 1e9, 1e9, 1e9], [2e9] * 5, [1.0, 0.999, 4.0, 4.0, 8.0], score=[0.1, 0.2, 0.3, 0.3, 1.0]
    )
    assert (rows.k.tolist(), rows.models.tolist(), rows.seen) == ([1.0, 4.0], [0, 1], (1.0, 4.0))
    assert rows.loss == pytest.approx([-math.log(0.1), -math.log(0.3)], rel=1e-15)
    assert [(one.row, one.reason, one.detail) for one in rows.set_aside] == [
        (2, "fewer than 1 samples", "0.999"),
        (4, "duplicate", "same numbers as row 3"),
        (5, "a score of 1 leaves no loss", ""),
    ]
    record = rows.to_dict()
    assert (record["models"], record["variable"], record["range"]["samples"]) == (2, "samples", [1.0, 4.0])
    assert rows.conventions == {
        "params": "given", "tokens": "given", "samples": "given", "loss": "given", "counts": "not stated",
    }  # fmt: skip
    with pytest.raises(ValueError, match="read-only"):
        rows.k[0] = 2.0
    # The order of rows is no other data.
    turned = make_thinking_runs([1e9, 1e8], [2e9] * 2, [4.0, 1.0], score=[0.3, 0.1])
    other = make_thinking_runs([1e9, 1e8], [2e9] * 2, [4.0, 2.0], score=[0.3, 0.1])
    assert turned.fingerprint == rows.fingerprint != other.fingerprint
    few = rows.take([True, False], "large")
    assert few.k.tolist() == [1.0]
    with pytest.raises(SpreadsheetError, match=r"1 usable of 2 runs, at least 2 are needed: score missing$"):
        make_thinking_runs([1e8, 1e8], [2e9] * 2, [1.0, 2.0], score=[0.1, math.nan])
    with pytest.raises(SpreadsheetError, match=r"the score in row 2 is 1.001; a score is a share in .0, 1.: divide"):
        make_thinking_runs([1e8, 1e8], [2e9] * 2, [1.0, 2.0], score=[0.1, 1.001])
    both = {"loss": [1.0, 2.0], "score": [0.1, 0.2]}
    with pytest.raises(InputError, match="give either the loss or the score"):
        make_thinking_runs([1e8, 1e8], [2e9] * 2, [1.0, 2.0], **both)  # type: ignore[arg-type]


def test_scores_of_nothing_are_counted() -> None:
    rows = make_thinking_runs([1e8] * 4, [2e9] * 4, [1.0, 2.0, 4.0, 8.0], score=[0.0, 0.0, 0.1, 0.2])
    (note,) = rows.notes
    assert note == (
        "2 scores of 0 set aside: their loss is infinite, and the law is one of models that solve something, at k "
        "from 4"
    )


def test_bits_ratios_and_compute(tmp_path: Path) -> None:
    lines = ["params,D/N,attempts,loss (bits)", "1B,20,1,2", "1B,20,8,1"]
    rows = read_thinking_runs(write(tmp_path, *lines))
    assert rows.tokens.tolist() == [2e10, 2e10]
    assert rows.loss == pytest.approx([2 * math.log(2.0), math.log(2.0)], rel=1e-15)
    assert rows.conventions["loss_unit"] == "bits"
    assert rows.conventions["tokens"].startswith("N times column 'D/N'")
    stated = read_thinking_runs(
        write(tmp_path, "params,flops,attempts,loss", "1B,1.2e20,1,2", "1B,1.2e20,8,1"), loss_unit="bits"
    )
    assert stated.tokens == pytest.approx([2e10, 2e10], rel=1e-15)
    assert stated.loss == pytest.approx([2 * math.log(2.0), math.log(2.0)], rel=1e-15)
    assert stated.conventions["tokens"].startswith("C/(6N), C from column 'flops'")
    assert stated.conventions["samples"] == "column 'attempts'"


def test_where_k_and_scores_were_found_is_said(tmp_path: Path) -> None:
    wide = read_thinking_runs(write(tmp_path, "params,tokens,pass@8,pass_at_1", "1B,20B,.5,.1", "1B,40B,.6,.2"))
    assert wide.k.tolist() == [1.0, 1.0, 8.0, 8.0]
    assert wide.rows.tolist() == [2, 3, 2, 3]
    assert np.exp(-wide.loss) == pytest.approx([0.1, 0.2, 0.5, 0.6])
    assert wide.conventions["samples"] == "the names of columns 'pass_at_1' to 'pass@8'"
    assert wide.conventions["loss"] == "-ln of columns 'pass_at_1' to 'pass@8'"
    named = read_thinking_runs(
        write(tmp_path, "name,params,tokens,k,score (percent)", "a,1B,20B,1,10", "b,1B,20B,8,20")
    )
    assert np.exp(-named.loss) == pytest.approx([0.1, 0.2])
    assert named.conventions["loss"] == "-ln of column 'score (percent)'"
    assert named.names is not None
    assert named.names.tolist() == ["a", "b"]
    comma = read_thinking_runs(write(tmp_path, "params;tokens;k;score", "1B;20B;1;0,1", "1B;20B;8;0,2"))
    assert np.exp(-comma.loss) == pytest.approx([0.1, 0.2])
    assert "numbers are read with a decimal comma" in comma.notes


@pytest.mark.parametrize(
    ("head", "columns", "mistake"),
    [
        (
            "params,tokens,k,score,score (%)", {},
            "'score' and 'score (%)' could both be the score; say which with --columns score='score'",
        ),
        ("params,tokens,k,k,score", {}, "'k' and 'k' could both be the samples; say which with --columns samples='k'"),
        ("params,tokens,k,k,score", {"samples": "k"}, "--columns samples=k: 2 columns have that name; rename one"),
        ("params,tokens,x,y,score", {}, "among 'params', 'tokens', 'x', 'y', 'score'; name it: --columns samples=NAME"),
        (
            "params,tokens,k,reasoning tokens,score", {},
            "one of them is the variable, so name it alone: --columns samples='k'",
        ),
    ],
)  # fmt: skip
def test_columns_that_leave_a_question(tmp_path: Path, head: str, columns: dict[str, str], mistake: str) -> None:
    with pytest.raises((InputError, SpreadsheetError)) as caught:
        read_thinking_runs(write(tmp_path, head, "1B,20B,1,.1,.1", "1B,20B,2,.2,.2"), columns=columns)
    assert mistake in str(caught.value)


def test_a_stated_column_is_taken_before_others(tmp_path: Path) -> None:
    path = write(tmp_path, "params,tokens,k,reasoning tokens,score", "1B,20B,2,100,.1", "1B,20B,4,200,.2")
    assert read_thinking_runs(path, columns={"reasoning_tokens": "Reasoning_Tokens"}).seen == (100.0, 200.0)
    assert read_thinking_runs(path, columns={"samples": "k"}).seen == (2.0, 4.0)
    empty = write(tmp_path, "params,tokens,k,score")
    with pytest.raises(SpreadsheetError, match="no rows"):
        read_thinking_runs(empty)


def test_rows_left_out_are_predicted_by_a_fit_of_the_same_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[dict[str, Any]] = []

    def noted(runs: ThinkingRuns, **options: Any) -> ThinkingFit:
        asked.append(options)
        return fit_thinking(runs, **options)

    monkeypatch.setattr("beyond_chinchilla.fit.thinking.bootstrap.fit_thinking", noted)
    kinds: tuple[dict[str, Any], ...] = ({"objective": "huber", "delta": 0.02}, {"objective": "least-squares"})
    for options in kinds:
        fit = fit_thinking(simulated(), **options)
        predicted(fit, fit.runs.k < 64)
    assert [(each["objective"], each["delta"]) for each in asked] == [("huber", 0.02), ("least-squares", DELTA)]
