"""The next training runs: their promise against refits of simulated runs, against other designs, and within bounds."""

from __future__ import annotations

import csv
import io
import json
import math
import re
from pathlib import Path

import command_line
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from beyond_chinchilla.errors import InputError
from beyond_chinchilla.fit.bootstrap import bootstrap
from beyond_chinchilla.fit.knowledge import Knowledge
from beyond_chinchilla.fit.parametric import GRID, fit_parametric
from beyond_chinchilla.fit.suggest import APART, BEYOND, TOKENS_PER_PARAM, suggest
from beyond_chinchilla.laws.loss_law import LossLaw
from beyond_chinchilla.units import format_number

# The law that Besiroglu et al. 2024 find on the 240 points.
LAW = LossLaw(E=1.8172, A=482.01, alpha=0.3478, B=2085.43, beta=0.3658)
TRUTH = np.array([[math.log(LAW.A), math.log(LAW.B), math.log(LAW.E), LAW.alpha, LAW.beta]])
NOISE = 0.01
FLOPS = 1e23
SCENARIO = Path(__file__).parents[2] / "scenarios" / "1B-requests.yaml"


def _runs(seed, count=60):
    random = np.random.default_rng(seed)
    N = 10 ** random.uniform(7.7, 10.3, count)
    return N, N * 10 ** random.uniform(0.3, 2.7, count)


def _fit(N, D, seed, noise=NOISE, **options):
    losses = LAW.loss(N, D) * np.exp(noise * np.random.default_rng(seed).standard_normal(N.size))
    return fit_parametric(N, D, losses, grid=TRUTH, **({"objective": "least-squares"} | options))


def _spread(N, D, replications):
    """Return the standard deviation of ln N* over refits of fresh losses."""
    laws = [_fit(N, D, seed).law for seed in range(1, replications + 1)]
    return float(np.std([math.log(law.compute_optimal(flops=FLOPS).params) for law in laws]))


def _arrays(found):
    return np.array([run.params for run in found.runs]), np.array([run.tokens for run in found.runs])


BASE = _runs(3)


@pytest.fixture(scope="module")
def fit():
    return _fit(*BASE, 0)


@pytest.fixture(scope="module")
def found(fit):
    return suggest(fit, count=4, budget=1e22, flops=FLOPS)


# What it promises


@pytest.mark.own_step
def test_refits_of_simulated_runs_spread_as_promised(found):
    # A standard deviation over 100 refits is known to 7%. The promise is local to one fit of noisy losses, whose
    # law is not the true one: that moves it by as much again. Twice both is a quarter.
    before, after = (
        _spread(*BASE, 100),
        _spread(*(np.append(*pair) for pair in zip(BASE, _arrays(found), strict=True)), 100),
    )
    assert before == pytest.approx(found.before, rel=0.25)
    assert after == pytest.approx(found.after, rel=0.25)
    assert after < 0.9 * before


def test_they_shrink_the_spread_more_than_one_large_run_or_random_ones(fit, found):
    known = Knowledge(fit=fit, flops=FLOPS)
    large = LAW.compute_optimal(flops=1e22)
    assert found.after < 0.9 * known.standard_error([float(large.params)], [float(large.tokens)])
    random = np.random.default_rng(7)
    tried = 0
    for _ in range(400):
        spent = random.dirichlet(np.ones(4)) * 1e22
        N = 10 ** random.uniform(*np.log10([fit.params.min(), BEYOND * fit.params.max()]), 4)
        D = spent / (6.0 * N)
        if (D / N).min() >= TOKENS_PER_PARAM[0] and (D / N).max() <= TOKENS_PER_PARAM[1]:
            tried += 1
            assert found.after <= known.standard_error(N, D)
    assert tried > 10


def test_standard_error_is_that_of_the_classical_covariance(fit):
    """Against central differences of the law and of ln N*, and the normal equations."""
    parameters = fit.parameters

    def law(p):
        return LossLaw(A=math.exp(p[0]), B=math.exp(p[1]), E=math.exp(p[2]), alpha=p[3], beta=p[4])

    def slopes(figure):
        steps = 1e-6 * np.eye(5)
        return np.stack([(figure(law(parameters + h)) - figure(law(parameters - h))) / 2e-6 for h in steps], axis=-1)

    N, D = np.append(fit.params, 2e10), np.append(fit.tokens, 3e11)
    gradient = slopes(lambda law: np.log(law.compute_optimal(flops=FLOPS).params))
    known = Knowledge(fit=fit, flops=FLOPS)
    for rows, expected in ((slice(0, -1), known.standard_error()), (slice(None), known.standard_error([2e10], [3e11]))):
        jacobian = slopes(lambda law, rows=rows: np.log(law.loss(N[rows], D[rows])))
        covariance = fit.scatter**2 * np.linalg.inv(jacobian.T @ jacobian)
        assert expected == pytest.approx(math.sqrt(gradient @ covariance @ gradient), rel=1e-5)


def test_gradients_are_those_of_the_variance(fit):
    known = Knowledge(fit=fit, flops=FLOPS)
    x, y = np.log([1e9, 2e10]), np.log([1e12, 5e10])
    _, by_size, by_data = known.log_variance(x, y)
    for i in range(2):
        step = np.eye(2)[i] * 1e-5
        for gradient, ends in (
            (by_size[i], ((x + step, y), (x - step, y))),
            (by_data[i], ((x, y + step), (x, y - step))),
        ):
            numeric = (known.log_variance(*ends[0])[0] - known.log_variance(*ends[1])[0]) / 2e-5
            assert gradient == pytest.approx(numeric, rel=1e-5, abs=1e-9)


def test_a_bootstrap_sets_todays_error(fit):
    drawn = bootstrap(fit, samples=300, seed=5)
    law = drawn.kept
    logs = (np.log(law[:, 3] / law[:, 4]) + law[:, 0] - law[:, 1] + law[:, 4] * math.log(FLOPS / 6.0)) / law[:, 3:].sum(
        axis=1
    )
    known = Knowledge(fit=fit, bootstrap=drawn, flops=FLOPS)
    # To first order: a figure of samples, and linear in them.
    assert known.standard_error() == pytest.approx(float(np.std(logs)), rel=0.1)
    # Least squares on normal noise: the bootstrap and the scatter tell the same noise.
    assert known.noise == pytest.approx(NOISE, rel=0.3)
    found = suggest(fit, count=3, budget=1e22, bootstrap=drawn)
    assert found.resampled
    assert found.flops == max(drawn.flops)
    assert found.after < found.before


# What it keeps


@given(count=st.integers(1, 6), exponent=st.floats(19.5, 24.0))
@settings(max_examples=10, deadline=None)
def test_runs_keep_budget_bounds_and_distance(count, exponent):
    fit = _fit(*BASE, 0)
    budget = 10**exponent
    found = suggest(fit, count=count, budget=budget, flops=FLOPS)
    N, D = _arrays(found)
    assert len(N) == count
    assert 6.0 * (N * D).sum() <= budget * (1.0 + 1e-6)
    assert [run.flops for run in found.runs] == pytest.approx((6.0 * N * D).tolist(), rel=1e-12)
    assert [run.flops for run in found.runs] == sorted((run.flops for run in found.runs), reverse=True)
    for values, runs in ((N, fit.params), (D, fit.tokens)):
        assert runs.min() * (1 - 1e-6) <= values.min()
        assert values.max() <= BEYOND * runs.max() * (1 + 1e-6)
    assert TOKENS_PER_PARAM[0] * (1 - 1e-6) <= (D / N).min()
    assert (D / N).max() <= TOKENS_PER_PARAM[1] * (1 + 1e-6)
    for i in range(count):
        for j in range(i):
            assert math.hypot(math.log(N[i] / N[j]), math.log(D[i] / D[j])) >= math.log(APART) * (1 - 1e-3)
    assert all(found.after <= run.without <= found.before * (1 + 1e-9) for run in found.runs)


def test_more_money_and_more_runs_tell_more(fit):
    errors = [suggest(fit, count=3, budget=budget, flops=FLOPS).after for budget in (1e20, 1e21, 1e22, 1e23)]
    assert errors == sorted(errors, reverse=True)
    errors = [suggest(fit, count=count, budget=1e22, flops=FLOPS).after for count in (1, 2, 4, 8)]
    assert errors == sorted(errors, reverse=True)


def test_held_parameters_stay_held():
    free = Knowledge(fit=_fit(*BASE, 0), flops=FLOPS).standard_error()
    held = _fit(*BASE, 0, irreducible=LAW.E)
    tied = _fit(*BASE, 0, tied=True)
    for fit in (held, tied):
        found = suggest(fit, count=2, budget=1e22, flops=FLOPS)
        assert found.after < found.before < free
    # N* ~ C^(1/2) where the exponents are one: only the ratio of the terms is left open.
    assert Knowledge(fit=tied, flops=1e25).standard_error() < 2.0 * Knowledge(fit=tied, flops=1e21).standard_error()


def test_the_same_answer_twice(fit, found):
    assert suggest(fit, count=4, budget=1e22, flops=FLOPS).to_dict() == found.to_dict()


def test_json_has_what_the_page_has(found):
    record = found.to_dict()
    assert record["for_flops"] == FLOPS
    assert record["covariance"] == "derivatives"
    assert sum(run["share"] for run in record["runs"]) <= 1 + 1e-9
    assert record["standard_error"]["after"] < record["standard_error"]["before"]


@pytest.mark.slow
def test_240_points(bc_data):
    with (bc_data / "epoch_chinchilla_svg_extracted_data.csv").open() as file:
        rows = [[float(row[key]) for key in ("Model Size", "Training FLOP", "loss")] for row in csv.DictReader(file)]
    N, C, L = np.array(sorted(rows, key=lambda row: row[2])[:240]).T
    fit = fit_parametric(N, C / (6 * N), L, grid=GRID[::141])
    found = suggest(fit, count=5, budget=1e20, bootstrap=bootstrap(fit, samples=1000))
    # Besiroglu et al. 2024: about 70B params at Gopher's and Chinchilla's 5.76e23 FLOP.
    assert found.flops == 5.76e23
    assert 60e9 < found.params < 85e9
    # 5 runs beside 240: an error smaller by a tenth or so, of about a fifth.
    assert 0.15 < found.before < 0.25
    assert 0.7 * found.before < found.after < 0.95 * found.before


# What it refuses


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"count": 0, "budget": 1e22}, "0 runs: suggest 1 to 20"),
        ({"count": 21, "budget": 1e22}, "21 runs: suggest 1 to 20"),
        ({"count": 3, "budget": 0.0}, "a budget of 0 FLOP: give one above zero"),
        ({"count": 3, "budget": math.nan}, "a budget of nan FLOP"),
        ({"count": 3, "budget": 1e22, "flops": -1.0}, "a compute of -1 FLOP"),
        ({"count": 3, "budget": 1e15}, "does not pay for 3 runs as large as the smallest fitted"),
    ],
)
def test_nonsense_is_refused_in_one_line(fit, options, words):
    with pytest.raises(InputError) as refusal:
        suggest(fit, **options)
    assert words in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_the_budget_that_a_refusal_asks_for_is_enough(fit):
    with pytest.raises(InputError) as refusal:
        suggest(fit, count=3, budget=1e15)
    least = float(str(refusal.value).split("give ")[1].split(" FLOP")[0])
    assert sum(run.flops for run in suggest(fit, count=3, budget=least).runs) <= least * (1 + 1e-9)


def test_runs_without_noise_are_refused():
    N, D = BASE
    with pytest.raises(InputError, match="follow the law without noise"):
        suggest(_fit(N, D, 0, noise=0.0), count=3, budget=1e22)


# On the command line


@pytest.fixture
def table(tmp_path):
    N, D = BASE
    losses = LAW.loss(N, D) * np.exp(NOISE * np.random.default_rng(0).standard_normal(N.size))
    path = tmp_path / "runs.csv"
    rows = [",".join(map(repr, row)) for row in np.stack([N, D, losses], axis=1).tolist()]
    path.write_text("\n".join(["params,tokens,loss", *rows, ""]))
    return str(path)


ASKED = ("--bootstraps", "100", "--suggest", "3", "--budget", "1e22", "--for", "1e23")


def test_page_and_file_tell_the_same_runs_and_the_file_is_a_law(table, tmp_path):
    law = tmp_path / "law.json"
    page = command_line.run("fit", table, *ASKED, "-o", str(law)).stdout
    written = json.loads(law.read_text())
    record = written["suggested"]
    assert "The next 3 runs for 1.00e22 FLOP" in page
    assert "The compute-optimal size at 1e+23 FLOP" in page
    assert (record["covariance"], record["for_flops"], len(record["runs"])) == ("bootstrap", 1e23, 3)
    for number, run in enumerate(record["runs"], start=1):
        assert re.search(rf"^{number} +{re.escape(format_number(run['params']))} ", page, re.MULTILINE)
    scenario = tmp_path / "plan.yaml"
    scenario.write_text(SCENARIO.read_text(encoding="utf-8").replace("sardana-2024", "law.json"), encoding="utf-8")
    plan = json.loads(command_line.run("solve", str(scenario), "--format", "json").stdout)
    assert plan["law"]["A"] == written["law"]["A"]


def test_csv_holds_the_runs(table):
    printed = command_line.run("fit", table, *ASKED[2:], "--bootstraps", "0", "--format", "csv").stdout
    rows = list(csv.DictReader(io.StringIO(printed)))
    assert [float(row["flops"]) for row in rows] == sorted((float(row["flops"]) for row in rows), reverse=True)
    assert sum(float(row["share"]) for row in rows) <= 1 + 1e-6
    assert len(rows) == 3


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--suggest", "5"), "--suggest 5 needs --budget"),
        (("--budget", "1e20"), "--budget goes with --suggest"),
        (("--for", "1e20"), "--for goes with --suggest"),
        (("--suggest", "5", "--budget", "much"), "--budget: 'much' is not a number"),
        (("--suggest", "5", "--budget", "-1e20"), "--budget -1e20: give a compute above zero"),
        (("--suggest", "5", "--budget", "0"), "--budget 0: give a compute above zero"),
        (("--suggest", "5", "--budget", "1e22", "--for", "0"), "--for 0: give a compute above zero"),
        (("--suggest", "500", "--budget", "1e22"), "--suggest: 500 runs: suggest 1 to 20"),
        (("--suggest", "3", "--budget", "1e10"), "--suggest: a budget of 1e+10 FLOP does not pay for 3 runs"),
        (("--suggest", "3", "--budget", "1e22", "--by-max-tokens-per-param", "50"), "do not go together"),
    ],
)
def test_options_that_make_no_sense_are_refused_in_one_line(table, options, words):
    lines = command_line.refused("fit", table, "--bootstraps", "0", *options)
    assert len(lines) == 1
    assert words in lines[0]
