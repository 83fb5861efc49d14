"""What stands on the axes is what the plan, the rows and the analyses say."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from plot_subjects import SCENARIOS, SIZES, analysed, bar, drawn, line, risk, sensitivity, solved, subject_of
from served import scenario as by_month

import beyond_chinchilla as bc
from beyond_chinchilla.analyse import frontier as lines
from beyond_chinchilla.analyse.capacity import capacity
from beyond_chinchilla.analyse.cost_curve import cost_curve
from beyond_chinchilla.analyse.regret_map import regret_map
from beyond_chinchilla.errors import InputError
from beyond_chinchilla.report.plots import contours, gallery, ratio_maps
from beyond_chinchilla.units import format_times

# Cost curve and terms


@pytest.mark.parametrize("stem", ["1B-requests", "limited-fleet", "flops-13B-2T-tokens", "chat-on-three-chips"])
def test_the_curve_passes_through_the_plan_and_is_least_there(stem):
    subject = solved(stem)
    (axes,) = drawn("cost-curve", subject)
    best, base = subject.plan.best, subject.plan.baseline
    assert line(axes, "plan")[0] == best.params
    assert line(axes, "plan")[1] == best.total
    assert line(axes, "Chinchilla")[0] == base.params
    assert line(axes, "Chinchilla")[1] == base.total
    sizes, totals = line(axes, "total")
    kept = np.isfinite(totals)
    at = int(np.argmin(np.abs(sizes - best.params)))
    assert sizes[at] == pytest.approx(best.params, rel=1e-12)
    # Where the limit itself is the plan's size, rounding decides on which side it lies.
    if kept[at]:
        assert totals[at] == pytest.approx(best.total, rel=1e-6)
    # Whole GPUs come in steps, which the optimum does not know.
    step = 1e-3 if "rounding" in best.terms else 1e-9
    assert np.nanmin(totals) >= best.total * (1.0 - step)
    # Its terms are the bill's.
    found = cost_curve(subject.asked, [best.params, base.params])
    assert sum(found.terms.values()) == pytest.approx(found.total, rel=1e-12)


def test_the_band_is_the_range_of_one_percent():
    subject = solved("1B-requests")
    (axes,) = drawn("cost-curve", subject)
    sizes, totals = line(axes, "total")
    low, high = subject.plan.one_percent_range
    inside = (sizes >= low) & (sizes <= high)
    assert inside.sum() > 5
    assert (inside == (totals <= 1.01 * subject.plan.best.total)).all()
    band = next(patch for patch in axes.patches if patch.get_label() == "within 1%")
    assert (band.get_x(), band.get_x() + band.get_width()) == pytest.approx((low, high))


def test_sizes_that_break_a_limit_are_named_where_they_do():
    subject = solved("limited-fleet")
    found = cost_curve(subject.asked, [subject.plan.best.params, subject.plan.baseline.params])
    # 12 GB of int8 weights; every larger model breaks it, and no smaller one.
    assert (found.broken["serving_memory"] == (found.params > 12e9 * (1 + 1e-9))).all()
    (axes,) = drawn("cost-curve", subject)
    edge = next(each for each in axes.lines if each.get_label() == "limit: serving memory")
    assert edge.get_xdata()[0] == pytest.approx(12e9, rel=0.02)


def test_floors_hold_the_curve_where_the_plan_is():
    tree = bc.load(SCENARIOS / "1B-requests.yaml").to_dict()
    tree["limits"] = {"tokens": {"min": "6T"}, "tokens_per_param": {"min": 200}}
    subject = subject_of(bc.Scenario.from_dict(tree))
    (axes,) = drawn("cost-curve", subject)
    best = subject.plan.best
    sizes, totals = line(axes, "total")
    assert np.nanmin(totals) == pytest.approx(best.total, rel=1e-9)
    assert sizes[np.nanargmin(totals)] == pytest.approx(best.params, rel=1e-9)


@pytest.mark.parametrize("stem", ["1B-requests", "batch-by-month", "six-limits"])
def test_stacked_bars_are_the_terms(stem):
    subject = solved(stem)
    (axes,) = drawn("terms", subject)
    best, base = subject.plan.best, subject.plan.baseline
    heights = {}
    for container in axes.containers:
        left, right = container.patches
        heights[container.get_label()] = (left.get_height(), right.get_height())
    labels = list(dict.fromkeys([*base.terms, *best.terms]))
    assert list(heights) == labels
    for label in labels:
        assert heights[label] == pytest.approx((base.terms.get(label, 0.0), best.terms.get(label, 0.0)), rel=1e-9)
    tops = [max(patch.get_y() + patch.get_height() for patch in axes.patches if round(patch.get_x() + 0.275) == place)
            for place in (0, 1)]  # fmt: skip
    assert tops == pytest.approx([base.total, best.total], rel=1e-12)


def test_a_law_without_embeddings_is_drawn_in_total_parameters():
    tree = bc.load(SCENARIOS / "1B-requests.yaml").to_dict() | {"law": "kaplan-2020", "target": {"chinchilla": "3B"}}
    subject = subject_of(bc.Scenario.from_dict(tree))
    (axes,) = drawn("cost-curve", subject)
    sizes, totals = line(axes, "total")
    assert sizes[np.nanargmin(totals)] == pytest.approx(subject.plan.best.params, rel=1e-9)
    assert np.nanmin(totals) == pytest.approx(subject.plan.best.total, rel=1e-9)
    with pytest.raises(InputError, match="no embeddings"):
        gallery.picture("ratio-maps", subject)


# Contours


def test_the_path_starts_at_chinchilla_and_passes_through_the_plan():
    subject = solved("flops-30B-10T-tokens")
    factors, sizes, tokens = contours.path(subject.problem)
    assert (factors[0], sizes[0]) == pytest.approx((0.0, 30e9))
    at = list(factors).index(1.0)
    # Sardana et al. 2024, section 3: 13.6B on 2.84x the data.
    assert sizes[at] == pytest.approx(13.6e9, abs=0.05e9)
    assert tokens[at] / tokens[0] == pytest.approx(2.84, abs=0.006)
    assert (np.diff(sizes) < 0).all()
    assert subject.problem.law.loss(sizes, tokens) == pytest.approx(subject.plan.target_loss, rel=1e-12)
    (axes,) = drawn("contours", subject)
    assert line(axes, "best as demand grows")[0] == pytest.approx(sizes)
    assert line(axes, "plan")[0] == subject.plan.best.params


def test_limits_that_move_the_plan_off_the_path_are_said():
    assert "limits ask for 12B on 5.59T" in gallery.describe("contours", solved("limited-fleet"))
    assert "limits" not in gallery.describe("contours", solved("1B-requests"))


# Ratio maps: Sardana et al. 2024, Figures 2 and 6


@pytest.mark.parametrize(
    ("stem", "params", "tokens", "saved"),
    # Figure 1 and section 3: 13B/2T is 7B with 17% saved; 30B/10T 13.6B on 2.84x the data, 28%; Table 2: 70B/10T 41.6B
    # on 7.92T of 4.26T, 12%.
    [
        ("flops-13B-2T-tokens", 7 / 13, None, 0.17),
        ("flops-30B-10T-tokens", 13.6 / 30, 2.84, 0.28),
        ("flops-70B-10T-tokens", 41.6 / 70, 7.92 / 4.26, 0.12),
    ],
)
def test_the_maps_hold_the_papers_worked_cases(stem, params, tokens, saved):
    subject = solved(stem)
    found = ratio_maps.ratios(subject.problem, subject.plan.target_loss, 1.0)
    assert float(found.params) == pytest.approx(params, abs=0.003)
    assert 1.0 - float(found.cost) == pytest.approx(saved, abs=0.005)
    if tokens is not None:
        assert float(found.tokens) == pytest.approx(tokens, abs=0.006)
    # The figure says the same of the scenario's own point.
    titles = [axes.get_title(loc="left") for axes in drawn("ratio-maps", subject)[:3]]
    assert titles == [
        f"total [FLOP]: {format_times(float(found.cost))} at the star",
        f"parameters: {format_times(float(found.params))} at the star",
        f"training tokens: {format_times(float(found.tokens))} at the star",
    ]


def test_the_map_in_dollars_says_what_the_plan_saves():
    subject = solved("1B-requests")
    found = ratio_maps.ratios(subject.problem, subject.plan.target_loss, 1.0)
    assert 1.0 - float(found.cost) == pytest.approx(subject.plan.savings_fraction, rel=1e-12)
    every = drawn("ratio-maps", subject)
    assert [axes.get_title(loc="left").split(":")[0] for axes in every[:6]] == [
        "total [FLOP]", "parameters", "training tokens", "total [USD]", "parameters", "training tokens",
    ]  # fmt: skip
    # Any point of the map is the plan of that point.
    factor, size = 7.0, 8e9
    loss = float(subject.problem.law.compute_optimal(params=size).loss)
    other = bc.solve(replace(lines.scale_demand(subject.problem, factor), target_loss=loss))
    found = ratio_maps.ratios(subject.problem, loss, factor)
    assert 1.0 - float(found.cost) == pytest.approx(other.savings_fraction, rel=1e-9)
    assert float(found.params) == pytest.approx(other.best.params / size, rel=1e-9)


# Frontier and fleet


def test_the_frontier_is_its_points():
    subject = solved("1B-requests")
    points = lines.trace(subject.problem, "demand", points=5)
    left, right = drawn("frontier", replace(subject, frontier=points))
    assert line(left, "plan")[0] == pytest.approx([point.at for point in points])
    assert line(left, "plan")[1] == pytest.approx([point.plan.best.total for point in points])
    assert line(left, "Chinchilla")[1] == pytest.approx([point.plan.baseline.total for point in points])
    assert line(right, "plan")[1] == pytest.approx([point.plan.best.params for point in points])


def test_points_without_a_plan_are_crossed_and_a_line_of_them_is_refused():
    subject = solved("limited-fleet")
    points = lines.trace(subject.problem, "target", points=4, low=10e9, high=100e9)
    assert [point.plan.best is None for point in points] == [False, False, True, True]
    left, _ = drawn("frontier", replace(subject, frontier=points))
    assert line(left, "no plan")[0] == pytest.approx([point.at for point in points[2:]])
    with pytest.raises(InputError, match="0 of 2 points have a plan"):
        gallery.picture("frontier", replace(subject, frontier=points[2:]))


def test_a_budget_buys_loss():
    subject = solved("six-limits")
    points = lines.trace(subject.problem, "budget", points=3, low=4e5, high=1e6)
    left, _ = drawn("frontier", replace(subject, frontier=points))
    assert line(left, "plan")[1] == pytest.approx([point.plan.best.loss for point in points])
    said = gallery.describe("frontier", replace(subject, frontier=points))
    assert f"$400k buys a loss of {points[0].plan.best.loss:.3f}" in said


def test_the_fleet_is_the_months():
    subject = subject_of(by_month())
    months = capacity(subject.scenario, subject.plan).months
    top, bottom, sums = drawn("fleet", subject)
    bars = [patch.get_height() for patch in bottom.patches]
    assert bars == pytest.approx([month.cost for month in months])
    assert line(sums, "cumulative")[1][-1] == pytest.approx(subject.plan.best.total, rel=1e-6)
    mean = next(each for each in top.containers if each.get_label() == "serving, mean")
    assert [patch.get_height() for patch in mean.patches] == pytest.approx([month.serving_mean for month in months])
    peak = next(each for each in top.patches if str(each.get_label()).startswith("serving, at the busiest"))
    assert peak.get_data().values == pytest.approx([month.serving_peak for month in months])


# Risk and sensitivity


def test_the_tornado_is_its_bars_widest_on_top():
    (axes,) = drawn("tornado", analysed())
    assert [text.get_text() for text in axes.get_yticklabels()] == ["law", "training.mfu", "demand.requests"]
    ends = {round(patch.get_y() + 0.31): [] for patch in axes.patches}
    for patch in axes.patches:
        ends[round(patch.get_y() + 0.31)].append(patch.get_x() + patch.get_width())
    assert ends == {0: pytest.approx([1.35e6, 1.5e6]), 1: pytest.approx([1.5e6, 1.3e6]), 2: pytest.approx([9e5, 2.2e6])}


def test_an_input_without_a_plan_at_one_end_leads():
    alone = bar("target.chinchilla", 2e10, 4e10, 1.1e6, None)
    subject = analysed(sensitivity=sensitivity(bars=(alone, *sensitivity().bars)))
    assert "at 40B there is none" in gallery.describe("tornado", subject)
    (axes,) = drawn("tornado", subject)
    assert "40B: no plan" in [text.get_text() for text in axes.texts]


def test_sobol_bars_are_the_indices():
    first, _ = drawn("sobol", analysed())
    alone, together = (container for container in first.containers if container.get_label() != "_nolegend_")
    assert [patch.get_width() for patch in alone.patches] == [0.35, 0.55]
    assert [patch.get_width() for patch in together.patches] == pytest.approx([0.40, 0.60])


def test_risk_shows_the_sizes_the_plans_and_the_chance_of_failure():
    found = risk()
    every = drawn("risk", analysed())
    costs, fails = every[3], every[4]
    assert line(costs, "mean")[1] == pytest.approx(found.mean)
    assert line(costs, "least mean")[0] == 17.5e9
    assert line(costs, "Chinchilla")[1] == 1.9e6
    assert line(fails, "fails")[1] == pytest.approx(found.failure)
    assert line(fails, "chosen")[1] == found.best.failure
    for axes, key in zip(every[:3], ("params", "tokens", "total"), strict=True):
        assert line(axes, "median")[0][0] == found.intervals[key].median
        (steps,) = axes.patches
        # Nearly all worlds are inside; those without an optimum do not count.
        assert 0.98 <= steps.get_data().values.sum() <= 1.0
    assert "Commit to 17.5B: mean $1.60M, fails in 2.0%" in gallery.describe("risk", analysed())


def test_a_certain_figure_among_uncertain_ones_still_draws():
    flat = {key: np.full(400, 2.0) for key in ("params", "tokens", "total")}
    assert len(drawn("risk", analysed(risk=risk(draws_of=flat)))) == 5
    assert len(drawn("risk", analysed(risk=risk(draws_of={})))) == 5


def test_information_is_ranked_below_what_all_is_worth():
    (axes,) = drawn("information", analysed())
    assert [patch.get_width() for patch in axes.patches] == [2.1e4, 8.4e4, 1.2e5]
    assert [text.get_text() for text in axes.get_yticklabels()] == ["law", "demand", "everything"]


def test_the_regret_map_is_its_matrix():
    subject = solved("1B-requests")
    found = regret_map(subject.scenario, subject.plan, points=3)
    axes, _ = drawn("regret-map", replace(subject, regret_map=found))
    assert np.asarray(axes.images[0].get_array()) == pytest.approx(np.asarray(found.regret))
    assert len(axes.texts) == 9
    broken = replace(found, regret=np.where(np.eye(3, dtype=bool), found.regret, math.nan))
    axes, _ = drawn("regret-map", replace(subject, regret_map=broken))
    assert len(axes.patches) == 6
    with pytest.raises(InputError, match="no plan"):
        gallery.picture("regret-map", replace(subject, regret_map=replace(found, regret=np.full((3, 3), math.nan))))


def test_sizes_reach_as_far_as_the_plans():
    left, right = drawn("risk", analysed())[3].get_xlim()
    assert left < 15.7e9 < 30e9 < right
    assert left >= 0.9 * SIZES[0]
