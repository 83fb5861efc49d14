"""Approach 2: valleys, the budgets without one, and the law through the others."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest

from beyond_chinchilla.errors import FitError, InputError
from beyond_chinchilla.fit.isoflop import FrontierLaw, fit_isoflop, interval, positive_columns

BUDGETS = np.geomspace(1e18, 1e21, 7)


def valleys(sizes=6, a=0.47, noise=0.0, seed=0, budgets=BUDGETS):
    """Return N, D, loss and budget of runs whose loss is exactly a parabola in ln N, N_opt = 0.2 C^a."""
    C = np.repeat(budgets, sizes)
    best = 0.2 * C**a
    N = best * np.tile(np.geomspace(0.25, 3.0, sizes), len(budgets))
    loss = 2.5 - 0.1 * np.log(C / 1e18) + 0.06 * np.log(N / best) ** 2
    return N, C / (6 * N), loss + noise * np.random.default_rng(seed).normal(size=N.size), C


def columns(path, *names):
    with path.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return [np.array([float(row[name]) for row in rows]) for name in names]


def test_exact_parabolas_give_their_vertices_and_exponents():
    fit = fit_isoflop(*valleys()[:3])
    assert fit.law.a == pytest.approx(0.47, abs=1e-9)
    assert fit.law.b == pytest.approx(0.53, abs=1e-9)
    assert fit.scatter < 1e-9
    assert [budget.flops for budget in fit.budgets] == pytest.approx(list(BUDGETS), rel=1e-12)
    for budget in fit.budgets:
        assert budget.used
        assert budget.params == pytest.approx(0.2 * budget.flops**0.47, rel=1e-9)
        assert budget.tokens * budget.params * 6 == pytest.approx(budget.flops, rel=1e-12)
        assert budget.loss == pytest.approx(2.5 - 0.1 * np.log(budget.flops / 1e18), abs=1e-9)
        assert budget.curvature == pytest.approx(0.06, rel=1e-7)
    # Without noise every draw is the fit.
    assert fit.law.a_interval == pytest.approx((0.47, 0.47), abs=1e-9)


def test_the_law_speaks_of_any_budget():
    law = fit_isoflop(*valleys(noise=0.003)[:3], samples=500).law
    row = law.at(1e22)
    assert row["params"] == pytest.approx(float(law.params(1e22)), rel=1e-12)
    assert row["tokens"] == pytest.approx(float(law.tokens(1e22)), rel=1e-12)
    assert row["tokens_per_param"] == pytest.approx(row["tokens"] / row["params"], rel=1e-12)
    for key in ("params", "tokens", "tokens_per_param"):
        low, high = row[f"{key}_interval"]
        assert low < row[key] < high
    # Far from the runs one knows less.
    inside = law.at(3e19)["params_interval"]
    assert np.diff(np.log(row["params_interval"]))[0] > 2 * np.diff(np.log(inside))[0]


def test_a_symmetric_law_is_recovered():
    # alpha = beta: the valley is even in ln N, so that a parabola's vertex is the optimum.
    C = np.repeat(BUDGETS, 9)
    N = 0.3 * (C / 6) ** 0.5 * np.tile(np.geomspace(0.3, 1 / 0.3, 9), BUDGETS.size)
    D = C / (6 * N)
    fit = fit_isoflop(N, D, 1.7 + 400 * N**-0.3 + 400 * 0.3**-0.6 * D**-0.3)
    assert fit.law.a == pytest.approx(0.5, abs=1e-9)
    assert float(fit.law.params(6e20)) == pytest.approx(0.3 * 1e10, rel=1e-6)


def test_a_vertex_outside_its_range_is_set_aside_and_named():
    N, D, loss, C = valleys()
    wrong = BUDGETS[3] == C
    N[wrong] *= 20
    D[wrong] /= 20
    fit = fit_isoflop(
        N, D, loss + np.where(wrong, 0.06 * (np.log(20) * (2 * np.log(N / (0.2 * C**0.47)) - np.log(20))), 0)
    )
    (aside,) = fit.set_aside
    assert aside.flops == pytest.approx(BUDGETS[3])
    assert "outside its range of sizes" in aside.reason
    assert aside.params < aside.params_range[0]
    assert any("3.16e19" in warning and "set aside" in warning for warning in fit.warnings)
    assert fit.law.a == pytest.approx(0.47, abs=1e-9)


def test_a_hill_and_too_few_runs_are_set_aside():
    N, D, loss, C = valleys()
    loss[BUDGETS[0] == C] = 6.0 - loss[BUDGETS[0] == C]
    keep = (BUDGETS[1] != C) | (np.arange(C.size) % 2 == 0)
    fit = fit_isoflop(N[keep], D[keep], loss[keep])
    assert [budget.used for budget in fit.budgets] == [False, False, True, True, True, True, True]
    assert "opens downwards" in fit.budgets[0].reason
    assert "3 runs of 3 sizes" in fit.budgets[1].reason
    # Three runs carry a parabola, but no interval.
    assert fit_isoflop(N[keep], D[keep], loss[keep], samples=0).budgets[1].used


def test_without_draws_there_is_no_interval():
    fit = fit_isoflop(*valleys()[:3], samples=0)
    assert fit.law.a_interval is None
    assert fit.to_dict()["b_interval"] is None
    assert fit.law.at(1e20)["params_interval"] is None


def test_the_seed_decides_the_interval():
    runs = valleys(noise=0.003)[:3]
    first = fit_isoflop(*runs, seed=1).law
    assert first.a_interval == fit_isoflop(*runs, seed=1).law.a_interval
    assert first.a_interval != fit_isoflop(*runs, seed=2).law.a_interval
    assert first.a == fit_isoflop(*runs, seed=2).law.a


def test_the_order_of_the_runs_does_not_matter():
    N, D, loss, _ = valleys(noise=0.003)
    order = np.random.default_rng(3).permutation(N.size)
    assert fit_isoflop(N[order], D[order], loss[order], samples=0).law.a == pytest.approx(
        fit_isoflop(N, D, loss, samples=0).law.a, abs=1e-12
    )


def test_given_budgets_replace_the_grouping():
    N, D, loss, C = valleys()
    # 6ND off by a third: grouped by 6ND these would be other budgets.
    off = D * np.tile(np.geomspace(0.75, 1.33, 6), BUDGETS.size)
    assert len(fit_isoflop(N, off, loss, budgets=C).budgets) == 7
    assert fit_isoflop(N, off, loss, budgets=C).law.a == pytest.approx(0.47, abs=1e-9)
    with pytest.raises(FitError, match="needs two budgets"):
        fit_isoflop(N, off, loss)


@pytest.mark.own_step
def test_intervals_cover_the_truth():
    hits = 0
    for seed in range(400):
        N, D, loss, _ = valleys(sizes=8, noise=0.005, seed=seed)
        low, high = fit_isoflop(N, D, loss, samples=400, seed=seed).law.a_interval
        hits += low <= 0.47 <= high
    assert 0.91 <= hits / 400 <= 0.98


def test_bad_input_is_refused_in_one_line():
    N, D, loss, C = valleys()
    with pytest.raises(InputError, match="differ in length"):
        fit_isoflop(N[1:], D, loss)
    with pytest.raises(InputError, match=r"loss\[2\] is nan"):
        fit_isoflop(N, D, np.where(np.arange(loss.size) == 2, np.nan, loss))
    with pytest.raises(InputError, match="give each run its budget"):
        fit_isoflop(N, D, loss, budgets=BUDGETS)
    with pytest.raises(InputError, match="samples must be"):
        fit_isoflop(N, D, loss, samples=-1)
    one = BUDGETS[0] == C
    with pytest.raises(FitError, match="1 of 1 have one") as caught:
        fit_isoflop(N[one], D[one], loss[one])
    assert "\n" not in str(caught.value)


# Real runs


def test_chinchilla_isoflops_meet_table_2(bc_data):
    path = bc_data / "mlscalefit_chinchilla_isoflops.csv"
    N, D, loss, C = columns(path, "params", "tokens", "loss", "budget")
    fit = fit_isoflop(N, D, loss, budgets=C)
    # Hoffmann et al. 2022, Table 2, approach 2: a .49 (.462, .534), b .51 (.483, .529).
    assert 0.462 <= fit.law.a <= 0.534
    assert fit.law.a == pytest.approx(0.510, abs=5e-4)
    assert [budget.flops for budget in fit.set_aside] == [1e20]
    low, high = fit.law.a_interval
    assert low < 0.49 < high
    assert 0.03 < high - low < 0.08
    # With the vertex that lies outside, .513.
    lines = [(np.log(budget.flops), np.log(budget.params)) for budget in fit.budgets]
    assert np.polyfit(*zip(*lines, strict=True), 1)[0] == pytest.approx(0.513, abs=5e-4)
    json.dumps(fit.to_dict(), allow_nan=False)
    # Grouping by 6ND finds the same nine budgets.
    grouped = fit_isoflop(N, D, loss)
    assert [budget.runs for budget in grouped.budgets] == [budget.runs for budget in fit.budgets]
    assert grouped.law.a == pytest.approx(0.507, abs=5e-4)


def test_porian_tuning_moves_kaplan_towards_chinchilla(bc_data):
    path = bc_data / "porian_isoflop_points.csv"
    with path.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))

    def exponent(**wanted):
        chosen = [row for row in rows if all(row[key] == value for key, value in wanted.items())]
        N, D, loss, C = (np.array([float(row[key]) for row in chosen]) for key in ("N", "D", "loss", "C"))
        return fit_isoflop(N, D, loss, budgets=C, samples=0).law.a

    for dataset in ("rw", "owt2"):
        kaplan = exponent(dataset=dataset, hparams="base", warmup="long", decay="kaplan", param_count="kaplan")
        cosine = exponent(dataset=dataset, hparams="base", decay="chinchilla")
        tuned = exponent(dataset=dataset, hparams="tuned", warmup="short")
        # Porian et al. 2024: .84 to .86, .57, then .50 to .52.
        assert kaplan == pytest.approx(0.85, abs=0.03)
        assert cosine == pytest.approx(0.57, abs=0.02)
        assert tuned == pytest.approx(0.51, abs=0.02)


def test_marin_runs_group_by_their_own_compute(bc_data):
    path = bc_data / "marin_isoflop_dclm_raw.csv"
    N, D, loss = columns(path, "parameter_count", "throughput/total_tokens", "eval/paloma/macro_loss")
    fit = fit_isoflop(N, D, loss)
    assert sum(budget.runs for budget in fit.budgets) == N.size
    assert all(budget.reason for budget in fit.set_aside)
    assert 0.3 < fit.law.a < 0.6


# Against the same, draw by draw


def noisy_runs():
    """Return N, L and C of four budgets of 9, 6, 5 and 5 runs, the last with a size of its own; one valley is flat."""
    random = np.random.default_rng(8)
    sizes = [np.geomspace(0.2, 5, 9), np.geomspace(0.3, 3, 6), np.geomspace(0.25, 3, 5), [0.3, 0.3, 1.1, 1.1, 3.0]]
    C = np.repeat([1e18, 1e19, 1e20, 1e21], [9, 6, 5, 5])
    best = 0.2 * C**0.47
    N = best * np.concatenate(sizes)
    L = 2.5 - 0.1 * np.log(C / 1e18) + np.where(C == 1e19, 0.012, 0.06) * np.log(N / best) ** 2
    return N, L + 0.01 * random.normal(size=N.size), C


@pytest.mark.parametrize("level", [0.95, 0.5])
def test_draws_are_refits_of_redrawn_residuals(level):
    N, L, C = noisy_runs()
    fit = fit_isoflop(N, C / (6 * N), L, budgets=C, samples=40, seed=3, level=level)
    rng = np.random.default_rng(3)
    # 25 runs less three coefficients of each of four parabolas; Student's quantile to first order.
    z = {0.95: 1.959963985, 0.5: 0.674489750}[level]
    widening = 1 + (z**2 + 1) / (4 * 13)
    vertices, draws = [], []
    for budget, valley in zip(np.unique(C), fit.budgets, strict=True):
        x, y = np.log(N[budget == C]), L[budget == C]
        middle, spread = (x.min() + x.max()) / 2, (x.max() - x.min()) / 2
        design = np.vander((x - middle) / spread, 3)
        c2, c1, c0 = np.polyfit((x - middle) / spread, y, 2)
        u = -c1 / (2 * c2)
        vertices.append(middle + spread * u)
        off = y - np.polyval([c2, c1, c0], (x - middle) / spread)
        assert valley.runs == x.size
        assert valley.params_range == (pytest.approx(np.exp(x.min())), pytest.approx(np.exp(x.max())))
        assert valley.params == pytest.approx(np.exp(vertices[-1]), rel=1e-9)
        assert valley.tokens == pytest.approx(budget / 6 / np.exp(vertices[-1]), rel=1e-9)
        assert valley.loss == pytest.approx(c0 + c1 * u + c2 * u * u, rel=1e-9)
        assert valley.curvature == pytest.approx(c2 / spread**2, rel=1e-9)
        assert valley.rmse == pytest.approx(np.sqrt(np.mean(off**2)), rel=1e-9)
        leverage = np.diag(design @ np.linalg.pinv(design))
        # A run that its parabola goes through has nothing to redraw.
        residuals = np.where(leverage > 0.999, 0.0, widening * off / np.sqrt(np.maximum(1 - leverage, 1e-9)))
        residuals -= residuals.mean()
        drawn = []
        for places in rng.integers(0, x.size, (40, x.size)):
            again = np.polyfit((x - middle) / spread, y - off + residuals[places], 2)
            at = -again[1] / (2 * again[0])
            drawn.append(middle + spread * at if again[0] > 0 and abs(at) <= 1 else np.nan)
        draws.append(drawn)
    x = np.log(np.unique(C))
    a, log_k = np.polyfit(x, vertices, 1)
    assert (fit.law.a, fit.law.log_k) == pytest.approx((a, log_k), rel=1e-9)
    assert fit.scatter == pytest.approx(np.sqrt(np.mean((np.array(vertices) - log_k - a * x) ** 2)), rel=1e-9)
    samples = []
    for drawn in np.array(draws).T:
        known = np.isfinite(drawn)
        if known.sum() >= 2:
            samples.append(np.polyfit(x[known], drawn[known], 1)[::-1])
    assert np.isnan(draws).any()
    np.testing.assert_allclose(fit.law.samples, samples, rtol=1e-7)
    low, high = np.percentile(np.array(samples)[:, 1], [50 * (1 - level), 50 * (1 + level)])
    assert fit.law.a_interval == pytest.approx((low, high))
    assert fit.law.b_interval == pytest.approx((1 - high, 1 - low))


def test_the_record_has_every_field():
    N, L, C = noisy_runs()
    fit = fit_isoflop(N, C / (6 * N), L, budgets=C)
    law = fit.law
    assert json.loads(json.dumps(fit.to_dict(), allow_nan=False)) == {
        "approach": 2,
        "a": law.a,
        "a_interval": list(law.a_interval),
        "b": 1.0 - law.a,
        "b_interval": list(law.b_interval),
        "log_k": law.log_k,
        "level": 0.95,
        "samples": 1000,
        "scatter": fit.scatter,
        "budgets": [
            {
                "flops": each.flops,
                "runs": each.runs,
                "params_range": list(each.params_range),
                "params": each.params,
                "tokens": each.tokens,
                "loss": each.loss,
                "curvature": each.curvature,
                "rmse": each.rmse,
                "reason": "",
                "used": True,
            }
            for each in fit.budgets
        ],
        "warnings": [],
    }
    np.testing.assert_array_equal(law.samples, fit_isoflop(N, C / (6 * N), L, budgets=C, seed=0).law.samples)


def test_the_law_at_a_budget_by_hand():
    samples = np.column_stack([np.log([1.0, 2.0, 3.0]), [0.5, 0.5, 0.5]])
    law = FrontierLaw(0.5, np.log(2.0), samples, 0.5)
    row = law.at(6e20)
    root = np.sqrt(6e20)
    assert row == {
        "flops": 6e20,
        "params": pytest.approx(2 * root),
        "params_interval": pytest.approx((1.5 * root, 2.5 * root)),
        "tokens": pytest.approx(1e20 / (2 * root)),
        "tokens_interval": pytest.approx(tuple(1e20 / root * np.percentile([1, 1 / 2, 1 / 3], [25, 75]))),
        "tokens_per_param": pytest.approx(1e20 / (4 * 6e20)),
        "tokens_per_param_interval": pytest.approx(tuple(1 / 6 * np.percentile([1, 1 / 4, 1 / 9], [25, 75]))),
    }
    assert FrontierLaw(0.5, 0.0).level == 0.95
    assert FrontierLaw(0.5, 0.0).to_dict()["samples"] == 0


def test_runs_within_a_quarter_of_their_least_are_one_budget():
    N, _, loss, C = valleys(budgets=np.array([1e19, 1e20]))
    factors = np.where(C == 1e19, np.tile([1.0, 1.05, 1.1, 1.15, 1.2, 1.2499], 2), 1.0)
    fit = fit_isoflop(N, factors * C / (6 * N), loss, samples=0)
    assert [budget.flops for budget in fit.budgets] == pytest.approx([1e19 * np.prod(factors[:6]) ** (1 / 6), 1e20])
    factors[5] = 1.2501
    assert [each.runs for each in fit_isoflop(N, factors * C / (6 * N), loss, samples=0).budgets] == [5, 1, 6]
    fit = fit_isoflop(N, factors * C / (6 * N), loss, samples=0, tolerance=0.26)
    assert [each.runs for each in fit.budgets] == [6, 6]
    assert fit.warnings == ("two budgets make a line, not a test of one: add a third",)


def test_what_sets_a_budget_aside_is_told_with_its_figures():
    N, D, loss, C = valleys(sizes=4, budgets=np.geomspace(1e18, 1e21, 4))
    three = np.flatnonzero(C == 1e18)[:3]
    keep = np.ones(C.size, dtype=bool)
    keep[three[0]] = False
    fit = fit_isoflop(N[keep], D[keep], loss[keep], budgets=C[keep], samples=10)
    assert fit.budgets[0].reason == "3 runs of 3 sizes; at least 4 runs of 3 sizes are needed"
    assert fit.warnings == (f"budget 1.00e18 FLOP is set aside: {fit.budgets[0].reason}",)
    assert fit.budgets[0].to_dict()["used"] is False
    # Without draws three runs are enough, but two sizes are not.
    assert all(each.used for each in fit_isoflop(N[keep], D[keep], loss[keep], budgets=C[keep], samples=0).budgets)
    N[three[0]] = N[three[1]]
    fit = fit_isoflop(N[keep], D[keep], loss[keep], budgets=C[keep], samples=0)
    assert fit.budgets[0].used
    N[three[1]] = N[three[2]]
    fit = fit_isoflop(N[keep], D[keep], loss[keep], budgets=C[keep], samples=0)
    assert fit.budgets[0].reason == "3 runs of 2 sizes; at least 3 runs of 3 sizes are needed"


def test_a_slope_that_hardly_bends_has_its_vertex_beyond_any_number():
    N, D, loss, C = valleys(sizes=4, budgets=np.geomspace(1e18, 1e21, 4))
    slope = C == 1e18
    x = np.log(N[slope])
    for sign, params in ((-1.0, np.exp(600.0)), (1.0, np.exp(-600.0))):
        loss[slope] = 3.0 + sign * 0.1 * (x - x.mean()) + 1e-6 * (x - x.mean()) ** 2
        aside = fit_isoflop(N, D, loss, budgets=C, samples=5).budgets[0]
        assert aside.params == pytest.approx(params, rel=1e-9)
        assert aside.tokens == pytest.approx(1e18 / 6 / params, rel=1e-9)
        assert "lies outside its range of sizes" in aside.reason
    # Just inside and just outside of the range.
    half = 0.5 * (x.max() - x.min())
    middle = 0.5 * (x.max() + x.min())
    for at, used in ((0.999, True), (1.001, False), (-0.999, True), (-1.001, False)):
        loss[slope] = 3.0 + 0.05 * (x - middle - at * half) ** 2
        assert fit_isoflop(N, D, loss, budgets=C, samples=0).budgets[0].used is used


def test_draws_without_two_valleys_are_counted():
    N, _, loss, C = valleys(sizes=5, noise=0.06, seed=1, budgets=np.array([1e18, 1e20]))
    fit = fit_isoflop(N, C / (6 * N), loss, budgets=C, samples=200)
    left = 200 - len(fit.law.samples)
    assert left > 10
    assert fit.warnings[-1] == f"{left} of 200 bootstrap draws left fewer than two valleys"
    assert fit_isoflop(N, C / (6 * N), loss, budgets=C, samples=0).warnings == fit.warnings[:-1]


@pytest.mark.parametrize(
    ("options", "fine"),
    [
        ({"samples": 0}, True),
        ({"level": 0.999}, True),
        ({"level": 0.001}, True),
        ({"samples": -1}, False),
        ({"level": 0.0}, False),
        ({"level": 1.0}, False),
    ],
)
def test_settings_at_their_ends(options, fine):
    runs = valleys()[:3]
    if fine:
        assert fit_isoflop(*runs, **({"samples": 2} | options)).law.a == pytest.approx(0.47)
    else:
        with pytest.raises(InputError, match="samples must be >= 0 and level between 0 and 1, not"):
            fit_isoflop(*runs, **options)


def test_numbers_of_this_world():
    assert [column.tolist() for column in positive_columns(a=[1e-12, 1e40], b=[[1.0], [2.0]])] == [
        [1e-12, 1e40],
        [1, 2],
    ]
    for wrong in (0.9e-12, 1.1e40, 0.0, -1.0, np.inf, np.nan):
        with pytest.raises(InputError) as caught:
            positive_columns(a=[1.0, wrong, wrong], b=[1.0, 2.0, 3.0])
        assert str(caught.value) == (
            f"a[1] is {wrong:g}, not a positive number of 1e-12 to 1e+40 (2 such in 3); leave these rows out"
        )
    with pytest.raises(InputError, match="columns differ in length: a 1, b 2; give every run all of them"):
        positive_columns(a=[1.0], b=[1.0, 2.0])
    assert interval(np.arange(101.0), 0.9) == pytest.approx((5.0, 95.0))
    assert interval(np.empty(0), 0.9) is None
