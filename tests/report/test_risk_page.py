"""What a page says of risk: every figure of the assessment, in words and units, within the page's width."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
from rich.console import Console
from trees import COST

import beyond_chinchilla as bc
from beyond_chinchilla.analyse.regret_map import Asymmetry, RegretMap, regret_map
from beyond_chinchilla.analyse.risk.assess import assess
from beyond_chinchilla.analyse.risk.figures import Information, Interval, Risk, RiskPlan
from beyond_chinchilla.analyse.sensitivity import Bar, Elasticity, Sensitivity
from beyond_chinchilla.analyse.sobol import SobolRow
from beyond_chinchilla.analyse.switch import BreakEven
from beyond_chinchilla.report import markdown, risk, text
from beyond_chinchilla.report.blocks import Block
from beyond_chinchilla.scenario.load import Scenario
from beyond_chinchilla.units import format_money, format_number, format_percent

UNCERTAIN: dict[str, Any] = {
    **COST,
    "law": "besiroglu-2024",
    "demand": {**COST["demand"], "requests": {"median": "1.5B", "p90": "6B"}},
}


def page(found: Sequence[Block], width: int = 80) -> str:
    buffer = io.StringIO()
    console = Console(file=buffer, width=width, color_system=None, highlight=False, emoji=False, markup=False)
    for block in found:
        text.draw(console, block)
    return buffer.getvalue()


def unwrapped(found: Sequence[Block]) -> str:
    return " ".join(line for block in found for line in block.lines)


@cache
def assessed() -> Risk:
    scenario = Scenario.from_dict(UNCERTAIN)
    return assess(scenario, bc.solve(scenario), samples=1000, points=16)


def spread(middle: float) -> Interval:
    return Interval(median=middle, half=(0.8 * middle, 1.2 * middle), ninety=(0.5 * middle, 2.0 * middle))


def size(label: str, params: float, **changes: Any) -> RiskPlan:
    figures = {
        "mean": 1.9e6,
        "cvar": 3.2e6,
        "failure": 0.021,
        "missed": 0.021,
        "mean_regret": 1.5e5,
        "regret_p90": 4e5,
        "tokens": spread(2e12),
        "total": spread(1.7e6),
        "feasible": True,
    }
    return RiskPlan(label=label, params=params, **{**figures, **changes})


def double(**changes: Any) -> Risk:
    """Return an assessment by hand."""
    labels = {"least mean": 14.1e9, "least CVaR": 12.5e9, "point estimate": 13e9, "Chinchilla": 30e9}
    figures: dict[str, Any] = {
        "name": "double",
        "unit": "USD",
        "samples": 10_000,
        "seed": 1,
        "aversion": 0.0,
        "level": 0.9,
        "max_failure": 0.05,
        "budget": 40e12,
        "inputs": ("demand.requests: lognormal, median 1B, p90 4B",),
        "intervals": {"params": spread(14e9), "savings": spread(0.2), "kappa": spread(float("nan"))},
        "out_of_reach": (0.031, 0.001),
        "binding": {"tokens": 0.12, "tokens_per_param.min": 0.01, "params": 0.0},
        "sizes": np.array([1e10, 2e10]),
        "mean": np.array([2e6, 2e6]),
        "cvar": np.array([3e6, 3e6]),
        "failure": np.array([0.1, 0.0]),
        "quantiles": np.ones((5, 2)),
        "plans": tuple(size(label, params) for label, params in labels.items()),
        "chosen": 0,
        "range_1": (13e9, 15e9),
        "range_5": (12e9, 17e9),
        "perfect_information": 1.5e5,
        "perfect_error": 2e3,
        "information": (
            Information(group="demand", value=41_200.0, share_of_mean=0.021, error=900.0),
            Information(group="law", value=12_000.0, share_of_mean=0.006, error=500.0),
            Information(group="prices", value=10.0, share_of_mean=0.0, error=3.0),
            Information(group="utilisation", value=900.0, share_of_mean=0.0, error=2000.0),
        ),
        "convergence": "10,000 samples: medians within 0.2%.",
        "notes": ("A note.",),
    }
    return Risk(**{**figures, **changes})


# The decision


def test_the_headline_says_what_to_do() -> None:
    assert risk.headline(double()) == (
        "Commit to 14.1B params and train until the target is reached: mean $1.90M, 90% CVaR $3.20M, "
        "2.1% chance of missing the target within 40.0T tokens."
    )


@pytest.mark.parametrize(
    ("failure", "missed", "words"),
    [
        (0.0, 0.0, "no failure in 10,000 samples"),
        (0.02, 0.0, "2.0% chance of breaking a limit"),
        (0.03, 0.01, "3.0% chance of failing (1.0% of missing the target within 40.0T tokens, else of breaking a"),
    ],
)
def test_failures_are_told_apart(failure: float, missed: float, words: str) -> None:
    found = double(plans=(size("least mean", 1e10, failure=failure, missed=missed), *double().plans[1:]))
    assert words in risk.headline(found)


def test_without_a_safe_size_the_page_says_so_and_what_to_do() -> None:
    failing = size("least mean", 2e10, failure=0.3, missed=0.3, feasible=False)
    lines = risk.decision(double(plans=(failing, *double().plans[1:]))).lines
    assert lines[0].startswith("No size fails in at most 5.0% of the samples. 20.0B params fails least: mean $1.90M")
    assert lines[1] == "Raise limits.tokens.max, loosen the target, or allow more by uncertainty.max_failure."
    breaking = replace(failing, missed=0.1)
    assert risk.decision(double(plans=(breaking, *double().plans[1:]))).lines[1].startswith("Loosen the limits")


@pytest.mark.parametrize(("aversion", "measure"), [(0.0, "the mean"), (1.0, "the 90% CVaR"), (0.25, "mix of 75% mean")])
def test_ranges_name_what_is_minimised(aversion: float, measure: str) -> None:
    line = risk.decision(double(aversion=aversion)).lines[-1]
    assert "Any size from 13.0B to 15.0B" in line
    assert measure in line
    assert "from 12.0B to 17.0B within 5%" in line


def test_every_size_has_its_row() -> None:
    found = assessed()
    cells = risk.plans(found).cells
    for row, plan in zip(cells, found.plans, strict=True):
        assert row == [
            plan.label,
            format_number(plan.params),
            format_money(plan.mean),
            format_money(plan.cvar),
            format_percent(plan.failure),
            format_money(plan.mean_regret),
            format_money(plan.regret_p90),
        ]


# How sure


def test_intervals_have_their_rows() -> None:
    block = risk.intervals(double())
    # Kappa is not defined: no row of dashes.
    assert [row[0] for row in block.cells] == ["params", "saved"]
    assert block.cells[0] == ["params", "7.00B", "11.2B", "14.0B", "16.8B", "28.0B"]
    assert block.cells[1][3] == "20.0%"
    assert "in 3.1% (+- 0.2%) of the samples no size reaches" in block.lines[0]
    assert block.lines[1] == "What binds at the optimum: tokens in 12.0%, tokens per param min in 1.0% of the samples."
    assert block.lines[2] == "10,000 samples: medians within 0.2%."


def test_what_is_always_in_reach_is_not_mentioned() -> None:
    lines = risk.intervals(double(out_of_reach=(0.0, 0.0), binding={})).lines
    assert len(lines) == 1


def test_what_knowing_is_worth() -> None:
    everything, demand, law, prices, utilisation = risk.worth(double()).lines
    assert everything == "Knowing everything beforehand would save $150k +- $4.0k (7.9%) in the mean."
    assert demand.startswith("Knowing demand beforehand would save $41.2k +- $1.8k (2.2%): asking again")
    assert law.startswith(
        "Knowing the law beforehand would save $12.0k +- $1.0k (0.6%): another scaling-law experiment"
    )
    assert prices == "Knowing prices beforehand would save next to nothing."
    assert utilisation == (
        "Knowing utilisation beforehand would save no more than sampling can show here, under $4.90k."
    )


def test_a_single_group_is_everything() -> None:
    found = double(information=(Information(group="law", value=1.5e5, share_of_mean=0.08, error=2e3),))
    assert risk.worth(found).lines[1] == "All of it is law."


def test_certainty_is_one_line() -> None:
    scenario = Scenario.from_dict(COST)
    (block,) = risk.parts(assess(scenario, bc.solve(scenario)))
    assert "Nothing is uncertain here" in block.lines[0]


def test_verification_in_words() -> None:
    block = risk.verification(3.2e-9, 128)
    assert block.lines == ["As a convex program over 128 samples: objective differs by 3e-09."]


# What moves the plan


def moved(**changes: Any) -> Sensitivity:
    bars = (
        Bar(
            label="demand.requests",
            group="demand",
            low=2.5e8,
            high=4e9,
            low_total=5e5,
            high_total=2e6,
            low_params=19e9,
            high_params=10e9,
            total=1e6,
            params=13e9,
        ),
        Bar(
            label="law",
            group="law",
            low=None,
            high=None,
            low_total=8e5,
            high_total=None,
            low_params=11e9,
            high_params=None,
            total=1e6,
            params=13e9,
        ),
    )
    figures: dict[str, Any] = {
        "name": "double",
        "unit": "USD",
        "bars": bars,
        "elasticities": (
            Elasticity(label="demand", value=0.5, envelope=0.5),
            Elasticity(label="serving.prefill_mfu", value=-1e-4, envelope=None),
        ),
        "sobol": (
            SobolRow(group="demand", figure="params", first=0.6, first_error=0.05, total=0.7, total_error=0.04),
            SobolRow(group="law", figure="params", first=-0.001, first_error=0.01, total=0.3, total_error=0.02),
        ),
        "break_evens": (
            BreakEven(what="demand", label="10%", value=3e8, unit="requests", sentence="it turns at 300M"),
        ),
        "notes": ("one at a time",),
    }
    return Sensitivity(**{**figures, **changes})


def test_a_tornado_is_drawn_to_one_scale() -> None:
    tornado = risk.sensitivity_parts(moved())[0]
    first, second = tornado.cells
    assert first[:-1] == ["demand.requests", "250M", "4B", "$500k", "$2.00M", "19.0B", "10.0B"]
    assert second[:-1] == ["law", "p10", "p90", "$800k", "no plan", "11.0B", "-"]
    # ln(1/0.5) is half of ln(2/0.5): the plan is in the middle of the first bar.
    assert first[-1] == "========|======="
    assert second[-1] == ".....===|======="
    assert tornado.lines == ["The bill moves, for 1% more of each: demand +0.50%.", "One at a time."]


def test_a_tornado_without_width() -> None:
    bar = replace(moved().bars[0], low_total=1e6, high_total=1e6)
    assert risk.sensitivity_parts(moved(bars=(bar,)))[0].cells[0][-1].count("|") == 1
    assert risk.sensitivity_parts(moved(bars=()))[0].cells == []


def test_indices_carry_their_errors() -> None:
    block = risk.sensitivity_parts(moved())[1]
    assert block.cells == [
        ["demand alone", "0.60 +-0.05"],
        ["  with others", "0.70 +-0.04"],
        ["law alone", "0.00 +-0.01"],
        ["  with others", "0.30 +-0.02"],
    ]


def test_where_decisions_turn() -> None:
    assert risk.sensitivity_parts(moved())[2].lines == ["It turns at 300M."]
    assert len(risk.sensitivity_parts(moved(sobol=(), break_evens=()))) == 1


# Regret map


def mapped(regret: np.ndarray[Any, Any], under: float | None, over: float | None) -> RegretMap:
    count = len(regret)
    values = np.geomspace(1e8, 1e10, count)
    return RegretMap(
        name="double",
        label="demand",
        unit="requests",
        value=1e9,
        bill_unit="USD",
        planned=values,
        met=values,
        params=np.full(count, 13e9),
        tokens=np.full(count, 2e12),
        cost=np.ones((count, count)),
        regret=regret,
        breaks=tuple(tuple(("tokens",) if np.isnan(cell) else () for cell in row) for row in regret),
        asymmetry=Asymmetry(factor=4.0, under=under, over=over, mean_under=None, mean_over=None),
    )


def test_a_map_in_percent() -> None:
    (block,) = risk.regret_parts(
        mapped(np.array([[0.0, 0.0123, 0.5], [1e-5, 0.0, 12.0], [0.1, np.nan, 0.0]]), 0.2, 0.1)
    )
    assert [row[2:] for row in block.cells] == [["0%", "1.2%", "50%"], ["0.0%", "0%", "13x"], ["10%", "-", "0%"]]
    assert block.heads == ["planned", "size", "100M", "1.0B", "10B"]
    assert "A dash: the plan does not hold there (tokens)." in block.lines
    assert (
        "A forecast 4x too low costs 20.0% more than foresight, one 4x too high 10.0%: too low is worse." in block.lines
    )


@pytest.mark.parametrize(
    ("under", "over", "words"),
    [
        (0.1, 0.2, "too high is worse"),
        (0.1, 0.101, "about the same"),
        (None, 0.1, "too low does not hold, that of one 4x too high costs 10.0% more than foresight"),
        (0.1, None, "too low costs 10.0% more than foresight, that of one 4x too high does not hold"),
    ],
)
def test_asymmetry_in_words(under: float | None, over: float | None, words: str) -> None:
    assert words in unwrapped(risk.regret_parts(mapped(np.zeros((3, 3)), under, over)))


def test_a_large_map_is_thinned() -> None:
    (block,) = risk.regret_parts(mapped(np.zeros((25, 25)), None, None))
    assert len(block.cells) == 9
    assert all(len(row) == 11 for row in block.cells)
    assert (block.heads[2], block.heads[-1]) == ("100M", "10B")
    assert "9 of 25 values are shown; CSV and JSON hold all." in block.lines


# Pages


def everything() -> list[Block]:
    scenario = Scenario.from_dict(UNCERTAIN)
    found = regret_map(scenario, bc.solve(scenario), points=9)
    return [*risk.parts(assessed()), *risk.sensitivity_parts(moved()), *risk.regret_parts(found)]


@pytest.mark.parametrize("width", [80, 100])
def test_pages_fit(width: int) -> None:
    drawn = page(everything(), width)
    assert max(len(line) for line in drawn.splitlines()) <= width
    for title in ("Decision under uncertainty", "Sizes one could commit to", "What the uncertainty is worth"):
        assert title in drawn
    # No cell of a table is cut or folded.
    assert "…" not in drawn
    for line in ("least CVaR", "point estimate", "========|======="):
        assert line in drawn


def test_pages_say_no_code() -> None:
    drawn = page(everything(), 100)
    assert not re.search(r"\bnan\b|\binf\b|None|e[+-]?\d\d|np\.", drawn)
    assert not re.search(r"\d{7}", drawn)


def test_markdown_has_the_same_figures() -> None:
    found = everything()
    lines = markdown.render(found)
    for block in found:
        assert f"## {block.title}" in lines
        for cell in (cell for row in block.cells for cell in row):
            assert any(markdown.escape(cell) in line for line in lines)


def test_the_record_has_everything() -> None:
    record = risk.record(assessed(), sensitivity=moved(), regret_map=mapped(np.zeros((3, 3)), 0.1, 0.1))
    assert record["samples"] == 1000
    assert record["sensitivity"]["bars"][1]["high_total"] is None
    assert record["regret_map"]["over"] == "demand"
    assert set(risk.record(assessed())) == set(assessed().to_dict())
