"""Every check of a fit at its own limits, each finding whole: made fits on both sides of every threshold."""

from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.stats import spearmanr

from beyond_chinchilla.errors import FitError
from beyond_chinchilla.fit import diagnostics
from beyond_chinchilla.fit.bootstrap import Bootstrap
from beyond_chinchilla.fit.diagnostics import Diagnosis, diagnose, frontier_exponent, judge_intervals, no_intervals
from beyond_chinchilla.fit.isoflop import Budget, FrontierLaw, IsoflopFit
from beyond_chinchilla.fit.parametric import GRID
from beyond_chinchilla.fit.result import Fit, Starts
from beyond_chinchilla.laws.loss_law import LossLaw

LAW = LossLaw(E=1.69, A=406.4, alpha=0.3, B=410.7, beta=0.3)


def made(count=25, **changes):
    """Return a fit as if of so many runs; its law has a = 1/2."""
    N, D = np.geomspace(1e8, 1e10, count), np.geomspace(1e10, 1e12, count)[::-1].copy()
    fields = {
        "law": LAW,
        "parameters": np.array([math.log(406.4), math.log(410.7), math.log(1.69), 0.3, 0.3]),
        "method": "huber",
        "objective": 1e-3,
        "delta": 1e-3,
        "tied": False,
        "irreducible": None,
        "residuals": np.full(count, 0.001) * (-1.0) ** np.arange(count),
        "starts": Starts(count=1000, reached_best=900, converged=1000, minima=((1e-3, 900),), refused=0),
        "minima": np.array([[math.log(406.4), math.log(410.7), math.log(1.69), 0.3, 0.3]]),
        "condition": 33.0,
        "ridge": {"A": 0.5, "B": -0.75, "E": 0.25, "alpha": -1.0, "beta": 0.125},
        "correlations": np.eye(5),
        "bounds": (),
        "params": N,
        "tokens": D,
        "loss": LAW.loss(N, D),
    }
    return Fit(**(fields | changes))


def finding(fit, check, **options):
    (found,) = [each for each in diagnose(fit, **options).findings if each.check == check]
    return found


@pytest.fixture
def fixed(monkeypatch):
    """Answer refits with given exponents, and keep what was asked."""
    asked = {}

    def use(exponents=None, factor=1.0):
        def minimise(rows, start, **options):
            asked.update(options, start=start)
            parameters = np.zeros((5, start.shape[1]))
            parameters[3:] = 0.3
            for column, pair in (exponents or {}).items():
                parameters[3:, column] = pair
            return SimpleNamespace(parameters=parameters)

        def fit_again(N, D, L, **options):
            asked.update({f"held {key}": value for key, value in options.items()}, runs=(N, D, L))
            return SimpleNamespace(law=SimpleNamespace(loss=lambda N, D: factor * LAW.loss(N, D)))

        monkeypatch.setattr(diagnostics, "minimise", minimise)
        monkeypatch.setattr(diagnostics, "fit_parametric", fit_again)
        return asked

    return use


@pytest.mark.parametrize(
    ("reached", "refused", "word"),
    [
        (500, 0, "good"),
        (499, 0, "usable"),
        (5, 0, "usable"),
        (4, 0, "do not use"),
        (500, 1, "usable"),
        (500, 9, "usable"),
        (500, 10, "do not use"),
        (4, 1, "do not use"),
    ],
)
def test_starts(fixed, reached, refused, word):
    fixed()
    starts = Starts(count=1000, reached_best=reached, converged=1000, minima=((1e-3, 900),), refused=refused)
    found = finding(made(starts=starts), "starts")
    sentence = f"{reached} of 1000 starts reach the best minimum."
    if refused:
        sentence = (
            f"{refused} of 1000 starts fit better with a loss that rises with N or D, which is no law; "
            f"{reached} reach the best law."
        )
    assert found.to_dict() == {
        "check": "starts", "word": word, "sentence": sentence, "starts": 1000, "reached_best": reached,
        "refused": refused,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("bounds", "expected"),
    [
        ((), {"word": "good", "sentence": "No parameter is at a bound, no term vanishes."}),
        (("E = 0 is at its bound",), {"word": "usable", "sentence": "E = 0 is at its bound."}),
        (("the data term vanishes",), {"word": "do not use", "sentence": "The data term vanishes."}),
        (("E = 0 is", "the data"), {"word": "do not use", "sentence": "E = 0 is; the data."}),
    ],
)
def test_bounds(fixed, bounds, expected):
    fixed()
    figures = {"hit": list(bounds)} if bounds else {}
    assert finding(made(bounds=bounds), "bounds").to_dict() == {"check": "bounds", **expected, **figures}


@pytest.mark.parametrize(
    ("condition", "word", "sentence"),
    [
        (100.0, "good", "The minimum is well rounded (condition 100)."),
        (
            100.5,
            "usable",
            (
                "Flat ridge: alpha and B trade off (condition 100); plans inside the range of the runs hardly feel it, "
                "exponents and extrapolations do."
            ),
        ),
        (1e6, "usable", None),
        (1.1e6, "do not use", "Degenerate: the runs do not tell alpha from B (condition 1.1M)."),
        (9.9e11, "do not use", "Degenerate: the runs do not tell alpha from B (condition 990B)."),
        (1e12, "do not use", "Degenerate: the runs do not tell alpha from B (condition beyond 1e12)."),
    ],
)
def test_ridge(fixed, condition, word, sentence):
    fixed()
    fit = made(condition=condition)
    found = finding(fit, "ridge")
    assert found.word == word
    assert sentence in (None, found.sentence)
    assert found.figures == {"condition": condition, "direction": fit.ridge, "pair": ["alpha", "B"]}


@pytest.mark.parametrize(
    ("left", "word", "told"),
    [(0.199, "good", "80%"), (0.201, "usable", "80%"), (0.499, "usable", "50%"), (0.501, "do not use", "50%"),
     (1.5, "do not use", "0%")],
)  # fmt: skip
def test_explained(fixed, left, word, told):
    fixed()
    # Logs -2 to 2: their mean distance from the median is 1.2.
    residuals = np.array([1.0, -1.0, 1.0, -1.0, 1.0] * 5) * 1.2 * left
    fit = made(loss=np.exp(np.array([-2.0, -1.0, 0.0, 1.0, 2.0] * 5)), residuals=residuals)
    found = finding(fit, "explained")
    assert found.word == word
    scatter = 1.2 * left * math.sqrt(25 / 20)
    assert found.figures == pytest.approx({"share": 1.0 - left, "scatter": scatter})
    assert (
        found.sentence == f"The law explains {told} of the spread of the losses; residuals scatter by "
        f"{100 * scatter:.2f}%."
    )


def test_equal_losses_leave_nothing_to_explain(fixed):
    fixed()
    found = finding(made(loss=np.full(25, 2.0)), "explained")
    assert (found.word, found.figures["share"]) == ("do not use", 0.0)


def test_number_of_runs(fixed):
    fixed()
    assert finding(made(20), "runs").to_dict() == {
        "check": "runs", "word": "good", "sentence": "20 runs for 5 parameters.",
    }  # fmt: skip
    few = finding(made(19, tied=True), "runs")
    assert few.word == "usable"
    assert few.sentence == "19 runs for 4 parameters; with fewer than 20 intervals are themselves uncertain."


@pytest.mark.parametrize(
    ("count", "level", "left"),
    # The limit is 4 standard errors of a median, 4 x 1.2533 x 1.4826/sqrt(20) = 1.66 times the usual residual, and
    # with 120 runs in a fifth half a standard deviation, .741.
    [(100, 1.65, False), (100, 1.68, True), (600, 0.73, False), (600, 0.76, True), (100, -1.68, True)],
)
def test_structure(fixed, count, level, left):
    fixed()
    part = slice(count // 5, 2 * (count // 5))
    # The tokens fall so little that D/N follows N, and D has its own, mixed order.
    mixed = np.argsort(np.argsort(np.arange(count) * 37 % count, kind="stable"))
    N, D = np.geomspace(1e8, 1e10, count), 1e12 * (1.0 + 1e-6 * mixed)
    residuals = 1e-3 * (-1.0) ** np.arange(count)
    residuals[part] = 1e-3 * level
    residuals += 1e-9 * np.cos(np.arange(count))
    found = finding(made(count, params=N, tokens=D, loss=LAW.loss(N, D), residuals=residuals), "residuals")
    expected = {name: spearmanr(values, residuals)[0] for name, values in (("N", N), ("D", D), ("D/N", D / N))}
    assert found.figures["rank_correlation"] == pytest.approx(expected, abs=1e-9)
    if not left:
        assert found.to_dict() == {
            "check": "residuals", "word": "good", "sentence": "Residuals show no structure by N, D or D/N.",
            "rank_correlation": found.figures["rank_correlation"],
        }  # fmt: skip
        return
    side = "above" if level > 0 else "below"
    size = f"{abs(level) / 10:.2f}% {side} the runs with"
    first = f"{size} N from {diagnostics.format_number(N[part].min())} to {diagnostics.format_number(N[part].max())}"
    ratios = (D / N)[part]
    second = f"{size} D/N from {diagnostics.format_number(ratios.min())} to {diagnostics.format_number(ratios.max())}"
    assert found.word == "usable"
    assert {first, second} <= set(found.figures["left"])
    # Of half a thousand runs the fifths by D hold enough of them to be off, too.
    if count == 100:
        assert found.figures["left"] == [first, second]
        assert found.sentence == f"Structure is left: the law lies {first} and {second}."


def test_more_structure_than_two_is_counted_and_fifths_of_three_are_not_judged(fixed):
    fixed()
    order = np.arange(100)
    # Both ends of N, hence of D/N, lie off: four in all.
    residuals = 1e-3 * np.where(order < 20, 3.0, np.where(order >= 80, -3.0, (-1.0) ** order))
    found = finding(made(100, residuals=residuals), "residuals")
    assert len(found.figures["left"]) == 6
    assert found.sentence.endswith(", and 4 more such.")
    # A fifth of 16 runs has four at the first and three elsewhere.
    for at, word in ((slice(0, 4), "usable"), (slice(4, 7), "good")):
        residuals = 1e-6 * (-1.0) ** np.arange(16)
        residuals[at] = 0.1
        found = finding(made(16, residuals=residuals, tokens=np.geomspace(1e10, 1e11, 16)), "residuals")
        assert found.word == word
    # Round-off has no structure.
    assert finding(made(100, residuals=np.r_[np.full(20, 9e-10), np.zeros(80)]), "residuals").word == "good"
    assert finding(made(100, residuals=np.r_[np.full(20, 2e-9), np.zeros(80)]), "residuals").word == "usable"


@pytest.mark.parametrize(
    ("beta", "word"),
    # a = beta / (0.3 + beta), of 0.5 before.
    [(0.3 * 0.549 / 0.451, "good"), (0.3 * 0.551 / 0.449, "usable"), (0.3 * 0.251 / 0.749, "usable"),
     (0.3 * 0.751 / 0.249, "do not use")],
)  # fmt: skip
def test_influence(fixed, beta, word):
    asked = fixed({7: (0.3, beta)})
    fit = made()
    found = finding(fit, "influence")
    move = abs(beta / (0.3 + beta) - 0.5)
    run = (
        f"{diagnostics.format_number(fit.params[7])} params on {diagnostics.format_number(fit.tokens[7])} tokens, "
        f"loss {fit.loss[7]:.4g}"
    )
    assert found.to_dict() == {
        "check": "influence",
        "word": word,
        "sentence": f"Without one run ({run}) the exponent a moves by {move:.3f}, more than without any other.",
        "index": 7,
        "params": fit.params[7],
        "tokens": fit.tokens[7],
        "loss": fit.loss[7],
        "moves_a": pytest.approx(move, rel=1e-12),
    }
    np.testing.assert_array_equal(asked["weights"], 1.0 - np.eye(25))
    np.testing.assert_array_equal(asked["start"], np.repeat(fit.minima.T, 25, axis=1))
    assert (asked["delta"], asked["widest"], asked["tolerance"]) == (1e-3, 3e-3, 1e-10)


@pytest.mark.parametrize("exponents", [(0.0, 0.3), (0.3, 0.0), (-0.1, 0.3), (0.3, -0.1)])
def test_a_run_without_which_there_is_no_law(fixed, exponents):
    fixed({4: exponents})
    found = finding(made(), "influence")
    assert (found.word, found.figures["index"], found.figures["moves_a"]) == ("do not use", 4, None)
    assert found.sentence.startswith("Without one run (")
    assert found.sentence.endswith(") there is no law.")


def test_runs_of_largest_pull_alone_are_left_out_of_many(fixed):
    asked = fixed({2: (0.3, 0.6)})
    count = 503
    fit = made(count, residuals=np.linspace(-0.002, 0.002, count))
    found = finding(fit, "influence")
    reach = np.abs(fit.rows.log_params) / np.log(100.0) + np.abs(fit.rows.log_tokens) / np.log(100.0)
    pull = np.minimum(np.abs(fit.residuals), 1e-3) * reach
    kept = np.sort(np.argsort(-pull, kind="stable")[:500])
    assert found.figures["index"] == kept[2]
    np.testing.assert_array_equal(np.flatnonzero((asked["weights"] == 0.0).any(axis=0)), kept)
    # 500 are all left out.
    diagnose(made(500))
    np.testing.assert_array_equal(asked["weights"], 1.0 - np.eye(500))


def test_seven_runs_are_the_fewest_to_leave_one_out(fixed):
    fixed()
    assert finding(made(6), "influence").to_dict() == {
        "check": "influence", "word": "usable", "sentence": "Too few runs to leave one out.",
    }  # fmt: skip
    assert finding(made(7), "influence").figures["moves_a"] == 0.0


@pytest.mark.parametrize(
    ("factor", "word"), [(1.0149, "good"), (1.0151, "usable"), (0.951, "usable"), (0.949, "do not use")]
)
def test_extrapolation(fixed, factor, word):
    asked = fixed(factor=factor)
    fit = made(tied=True, irreducible=1.5, method="least-squares", delta=math.inf)
    compute = np.arange(25.0, 0.0, -1.0)
    found = finding(fit, "extrapolation", flops=compute)
    error = abs(factor - 1)
    assert found.to_dict() == {
        "check": "extrapolation",
        "word": word,
        "sentence": "Fitted to the 18 runs of least compute (up to 18.0 FLOP), the law misses the 7 others by "
        f"{100 * error:.2f}% on average, {100 * error:.1f}% at worst.",
        "fitted": 18,
        "predicted": 7,
        "mean_error": pytest.approx(error, rel=1e-9),
        "worst_error": pytest.approx(factor - 1, rel=1e-9),
    }
    for given, values in zip(asked["runs"], (fit.params, fit.tokens, fit.loss), strict=True):
        np.testing.assert_array_equal(given, values[:6:-1])
    options = {key.removeprefix("held "): value for key, value in asked.items() if key.startswith("held ")}
    grid = options.pop("grid")
    assert options == {"objective": "least-squares", "delta": 1.0, "tied": True, "irreducible": 1.5}
    assert grid.shape == (501, 5)
    np.testing.assert_array_equal(grid[-1], fit.minima[0])
    np.testing.assert_array_equal(grid[:2], GRID[[4, 13]])


def test_compute_is_6nd_where_none_is_given(fixed):
    asked = fixed()
    fit = made(tokens=np.geomspace(1e9, 1e10, 25)[np.arange(25) * 7 % 25])
    diagnose(fit)
    order = np.argsort(fit.params * fit.tokens, kind="stable")[:18]
    np.testing.assert_array_equal(asked["runs"][0], fit.params[order])
    assert asked["held delta"] == 1e-3


def test_runs_that_predict_nothing(fixed, monkeypatch):
    fixed()
    three = made(3)
    assert diagnostics._held_out(three, three.params).sentence == (
        "The smaller 70% of the runs make no law to predict the others with: no run is left."
    )

    def refuse(*_, **__):
        raise FitError("nothing falls")

    monkeypatch.setattr(diagnostics, "fit_parametric", refuse)
    assert finding(made(), "extrapolation").to_dict() == {
        "check": "extrapolation",
        "word": "usable",
        "sentence": "The smaller 70% of the runs make no law to predict the others with: nothing falls.",
    }


def budgets(used, aside):
    return tuple(Budget(1e20 + k, 5, (1e8, 1e9), reason="" if k < used else "a hill") for k in range(used + aside))


@pytest.mark.parametrize(
    ("a", "draws", "word", "spread"),
    [
        (0.5999, [], "good", ""),
        (0.6001, [], "usable", ""),
        (0.3999, [], "usable", ""),
        # Inside its interval no difference counts.
        (0.7, np.linspace(0.45, 0.95, 101), "good", " (0.463 to 0.938)"),
        (0.7, np.linspace(0.6, 0.8, 101), "usable", " (0.605 to 0.795)"),
        (0.3, np.linspace(0.2, 0.4, 101), "usable", " (0.205 to 0.395)"),
    ],
)
def test_agreement(fixed, a, draws, word, spread):
    fixed()
    samples = np.column_stack([np.zeros(len(draws)), draws]) if len(draws) else np.empty((0, 2))
    isoflop = IsoflopFit(budgets(3, 3), FrontierLaw(a, 0.0, samples), 0.0)
    verb = "agrees" if word == "good" else "disagrees"
    assert finding(made(), "approach 2", isoflop=isoflop).to_dict() == {
        "check": "approach 2",
        "word": word,
        "sentence": f"Approach 2 {verb}: a = {a:.3f}{spread} from 3 isoFLOP budgets, 0.500 here.",
        "a": a,
        "budgets": 3,
    }


@pytest.mark.parametrize(("used", "aside"), [(2, 0), (3, 4)])
def test_chance_groups_are_no_second_opinion(fixed, used, aside):
    fixed()
    found = diagnose(made(), isoflop=IsoflopFit(budgets(used, aside), FrontierLaw(0.9, 0.0), 0.0))
    assert "approach 2" not in {each.check for each in found.findings}


def resamples(width, failed=0, count=1000):
    """Return a bootstrap whose interval of a is 0.5 -+ width/2, and some refits of which are no law."""
    a = np.linspace(0.5 - width / 2 / 0.95, 0.5 + width / 2 / 0.95, count)
    samples = np.column_stack([np.zeros((count, 3)), 1.0 - a, a])
    usable = np.arange(count) % (count // failed if failed else count + 1) != 0 if failed else np.ones(count, bool)
    return Bootstrap(
        samples=samples, objective=np.zeros(count), usable=usable, unconverged=0, seed=0, level=0.95, flops=(1e21,)
    )


@pytest.mark.parametrize(
    ("width", "failed", "word"),
    [(0.149, 0, "good"), (0.151, 0, "usable"), (0.499, 0, "usable"), (0.501, 0, "do not use"), (0.1, 10, "good"),
     (0.1, 20, "usable"), (0.1, 250, "usable"), (0.1, 500, "do not use"), (0.6, 10, "do not use")],
)  # fmt: skip
def test_intervals(width, failed, word):
    drawn = resamples(width, failed)
    assert drawn.failures == failed
    found = judge_intervals(drawn)
    low, high = np.percentile(drawn.kept[:, 4], [2.5, 97.5])
    sentence = f"Resampled runs put the exponent a between {low:.3f} and {high:.3f}"
    sentence += ": they do not say whether to grow models or data" if width > 0.5 else ""
    sentence += f"; {failed} of 1000 resamples make no law." if failed else "."
    assert found.to_dict() == {
        "check": "intervals",
        "word": word,
        "sentence": sentence,
        "a": pytest.approx([low, high]),
        "failed": failed / 1000,
    }


def test_no_intervals_are_a_reason_not_to_use_a_fit():
    assert no_intervals(FitError("too few")).to_dict() == {
        "check": "intervals", "word": "do not use", "sentence": "No intervals: too few.",
    }  # fmt: skip
    assert Diagnosis(()).verdict == "good"
    assert frontier_exponent(0.2, 0.6) == pytest.approx(0.75)


def test_every_check_stands_in_the_record_in_its_order(fixed):
    fixed()
    fit = made()
    isoflop = IsoflopFit(budgets(3, 0), FrontierLaw(0.5, 0.0), 0.0)
    found = diagnose(fit, bootstrap=resamples(0.1), isoflop=isoflop)
    checks = ["starts", "bounds", "ridge", "explained", "runs", "residuals", "influence", "extrapolation"]
    record = found.to_dict()
    assert [each["check"] for each in record["checks"]] == [*checks, "approach 2", "intervals"]
    assert [each.check for each in diagnose(fit).findings] == checks
    assert record["word"] == "good"
    assert record["reasons"] == []
