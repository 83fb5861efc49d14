"""Limits, comparisons, break-even demand, architectures and checks, as every page shows them."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import shipped
from rich.console import Console
from shipped import each_scenario
from trees import COST

import beyond_chinchilla as bc
from beyond_chinchilla.analyse.compare import compare
from beyond_chinchilla.analyse.frontier import break_even
from beyond_chinchilla.analyse.realise import realise
from beyond_chinchilla.optimise.plan import Plan
from beyond_chinchilla.report import blocks, markdown, text
from beyond_chinchilla.report.blocks import Block
from beyond_chinchilla.scenario.limits import Limits
from beyond_chinchilla.scenario.load import Scenario
from beyond_chinchilla.units import format_amount, parse_number

WIDTHS = (80, 100, 120)
THREE_DIGITS = 0.5e-2

LIMITS: dict[str, Any] = {
    "params": {"max": "40B", "min": "1B"},
    "tokens": {"max": "5T"},
    "training_flops": {"max": "1e24"},
    "training_cost": {"max": "5M USD"},
    "training_time": {"max": "60 days", "gpus": 512},
    "serving_memory": {"max": "15 GB"},
    "time_per_output_token": {"max": "20 ms"},
    "cost_per_million_output_tokens": {"max": "$30"},
}


def scenario(**changes: Any) -> Scenario:
    """Return the test's scenario with sections changed; None removes."""
    tree = {**COST, **changes}
    return Scenario.from_dict({key: value for key, value in tree.items() if value is not None})


def limited(**limits: Any) -> Plan:
    """Return the plan under limits."""
    return bc.solve(scenario(limits=limits))


def page(plan: Plan, width: int = 80, extras: Sequence[Block] = ()) -> str:
    """Return the page of a plan as text."""
    buffer = io.StringIO()
    console = Console(file=buffer, width=width, color_system=None, highlight=False, emoji=False, markup=False)
    text.print_page(console, plan, extras=extras)
    return buffer.getvalue()


def words(printed: str) -> str:
    """Return a wrapped page on one line."""
    return " ".join(printed.split())


def number(cell: str) -> float:
    """Read the number of a cell such as ``$1.20M``, ``12.0 GB`` or ``+0.9%``."""
    match = re.match(r"[$+]*([-\d.,]+(e\d+)?[kMBT%]?)", cell)
    assert match, cell
    return parse_number(match[1])


def text_table(printed: str, title: str) -> list[list[str]]:
    """Return the cells of a block's table in text, line by line, without its heads."""
    block = printed.split(f"\n{title}\n")[1].split("\n\n")[0]
    lines = [line for line in block.splitlines()[1:] if not line.startswith("  ")]
    return [re.split(r"\s{2,}", line.rstrip()) for line in lines]


def markdown_table(printed: str, title: str) -> list[list[str]]:
    """Return the same of a page in markdown."""
    block = printed.split(f"## {title}\n")[1].split("\n## ")[0]
    lines = [line for line in block.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


PLAN = limited(**LIMITS)


# Limits


def test_each_limit_stands_once_with_its_value_and_bound():
    cells = text_table(page(PLAN, 100), "Limits")
    assert len(cells) == len(PLAN.limits) == len(LIMITS) + 1
    for row, (label, value, bound, state, *elasticity) in zip(PLAN.limits, cells, strict=True):
        assert label == f"{row.label.replace('_', ' ')} {row.side}"
        assert number(value) == pytest.approx(row.value, rel=THREE_DIGITS)
        assert number(bound) == pytest.approx(row.bound, rel=THREE_DIGITS)
        assert value.endswith(row.unit) or row.unit == "USD"
        assert state == ("binds" if row.binding else "slack")
        assert elasticity == ([f"{row.elasticity:+.3f}"] if row.binding else [])
    assert [row.label for row in PLAN.limits if row.binding] == ["serving_memory"]


def test_no_limits_no_block():
    assert blocks.limits(bc.solve(scenario())) == []
    assert "Limits" not in page(bc.solve(scenario()))


# What one step more is worth, in the bound's own unit
STEPS = {
    "params": (1e9, "1B more params"),
    "tokens": (1e9, "1B more tokens"),
    "tokens_per_param": (1.0, "One more token per param"),
    "training_flops": (1e21, "1e21 more training FLOPs"),
    "training_cost": (1e6, "$1M more for training"),
    "serving_cost": (1e6, "$1M more for serving"),
    "training_time": (1.0, "One more day of training time"),
    "training_gpu_hours": (1e6, "1M more GPU-hours of training"),
    "serving_memory": (1.0, "One more GB of serving memory on each GPU"),
    "time_per_output_token": (1.0, "One more ms per output token"),
    "cost_per_million_output_tokens": (1.0, "$1 more per million output tokens"),
}


def tight(label: str) -> Plan:
    """Return the plan whose limit is a little less than what the free plan takes."""
    others = {"training_time": {"gpus": 512}}.get(label, {})
    slack = limited(**{label: {"max": 1e24, **others}})
    return limited(**{label: {"max": 0.95 * slack.limits[0].value, **others}})


@pytest.mark.parametrize("label", STEPS)
def test_a_binding_limit_says_what_a_step_more_is_worth(label: str):
    plan = tight(label)
    (row,) = plan.limits
    step, phrase = STEPS[label]
    (sentence,) = [line for line in blocks.limits(plan)[0].lines if "is worth" in line]
    match = re.fullmatch(rf"{re.escape(phrase)} is worth (\$\S+) at the margin\.", sentence)
    assert match, sentence
    assert number(match[1]) == pytest.approx(row.shadow_price * step, rel=THREE_DIGITS)
    assert row.shadow_price > 0
    assert sentence in words(page(plan))
    assert sentence in markdown.page(plan)


def test_every_limit_has_its_words():
    # total_cost never binds where cost is minimised; it is in the next test. Two bound a fleet by month, and epochs
    # limited data (tests/scenario/test_data_section.py).
    assert {*STEPS, "total_cost", "time_to_first_token", "gpus", "epochs"} == set(Limits.model_fields)


def test_the_budget_is_priced_in_loss():
    plan = bc.solve(scenario(objective="loss", target=None, limits={"total_cost": {"max": "1.2M"}}))
    (row,) = plan.limits
    match = re.search(r"\$1M more in all is worth (\S+) nats at the margin\.", words(page(plan)))
    assert match
    assert float(match[1]) == pytest.approx(row.shadow_price * 1e6, rel=THREE_DIGITS)


def test_a_floor_is_worth_what_less_of_it_saves():
    plan = limited(params={"min": "25B"})
    (row,) = plan.limits
    match = re.search(r"A floor lower by 1B params saves (\$\S+) at the margin\.", words(page(plan)))
    assert match
    assert number(match[1]) == pytest.approx(row.shadow_price * 1e9, rel=THREE_DIGITS)


def test_slack_limits_are_worth_nothing():
    plan = limited(params={"max": "40B"}, tokens={"max": "50T"})
    assert not any("is worth" in line for line in blocks.limits(plan)[0].lines)
    assert "is worth" not in page(plan)


def test_a_redundant_limit_is_marked_and_carries_no_price():
    # 12 GB of int8 weights are 12B parameters.
    plan = limited(params={"max": "12B"}, serving_memory={"max": "12 GB"})
    cells = text_table(page(plan), "Limits")
    assert sorted(line[3] for line in cells) == ["binds", "redundant"]
    assert sum("is worth" in line for line in blocks.limits(plan)[0].lines) == 1
    (redundant,) = [row for row in plan.limits if row.redundant]
    assert redundant.shadow_price == 0.0


def test_what_the_chinchilla_model_breaks_is_named():
    plan = limited(params={"max": "20B"}, serving_memory={"max": "25 GB"}, tokens={"max": "5T"})
    assert plan.baseline.breaks == ("params", "serving_memory")
    assert "The Chinchilla model breaks: params, serving memory." in words(page(plan))
    assert "The Chinchilla model breaks: params, serving memory." in markdown.page(plan)
    assert "breaks" not in page(limited(params={"max": "40B"}))


def test_a_row_that_nobody_foresaw_is_priced_by_its_own_unit():
    row = replace(PLAN.limits[0], label="rack_units", unit="U", each="U", binding=True, shadow_price=2500.0)
    (block,) = blocks.limits(replace(PLAN, limits=(row,)))
    assert "One more U of rack units is worth $2.50k at the margin." in block.lines


# Both pages


def everything(plan: Plan, stated: Scenario) -> list[Block]:
    """Return every other block that a page may have."""
    problem = replace(stated.to_problem(), limits=())
    assert plan.best is not None
    compared = [("llama-2-13b", 13e9, 2e12), ("a plan of our own with a long name", 8e9, 15e12)]
    return [
        blocks.comparisons([compare(stated.to_problem(), name, params=N, tokens=D) for name, N, D in compared]),
        blocks.break_even(break_even(problem), *stated.demand()),
        blocks.realisations(realise(problem, plan.best.params, vocabulary=128_000), plan.one_percent_range),
        blocks.verification({"elementwise": 0.0, "gp": 3e-12}),
    ]


EXTRAS = everything(PLAN, scenario(limits=LIMITS))


@pytest.mark.parametrize("width", WIDTHS)
def test_text_and_markdown_show_the_same_figures(width: int):
    printed, marked = page(PLAN, width, EXTRAS), markdown.page(PLAN, extras=EXTRAS)
    for block in (*blocks.limits(PLAN), *EXTRAS):
        if block.cells:
            assert markdown_table(marked, block.title) == [list(line) for line in block.cells]
        for line in block.lines:
            assert line in words(printed)
            assert f"- {line}" in marked
    flat = words(printed)
    for block in EXTRAS:
        for line in block.cells:
            # Words may be folded, figures never.
            figures = [cell for index, cell in enumerate(line) if index not in block.words]
            assert [cell for cell in figures if cell not in flat] == []


@pytest.mark.parametrize("width", [40, 60, *WIDTHS])
def test_no_line_is_wider_than_the_terminal(width: int):
    printed = page(PLAN, width, EXTRAS)
    if width >= min(WIDTHS):
        assert max(map(len, printed.splitlines())) <= width
        assert "…" not in printed
    # Narrower than any table: nothing is lost but the look.
    assert "serving" in printed


@each_scenario
def test_every_scenario_fits_with_every_extra(path: Path):
    stated, plan, problem = shipped.scenario(path), shipped.plan(path), shipped.problem(path)
    found = [compare(problem, name, params=N, tokens=D) for name, N, D in stated.compared_models()]
    extras = [blocks.comparisons(found)] if found else []
    printed = page(plan, 80, extras)
    assert max(map(len, printed.splitlines())) <= 80
    assert "…" not in printed


# The others


def test_a_comparison_shows_what_it_reaches_costs_and_breaks():
    stated = scenario(limits=LIMITS)
    ours = compare(stated.to_problem(), "ours", params=20e9, tokens=15e12)
    (block,) = [blocks.comparisons([ours])]
    (cells,) = block.cells
    name, params, tokens, loss, enough, total, excess, broken = cells
    assert (name, enough) == ("ours", "yes")
    assert [number(params), number(tokens)] == pytest.approx([20e9, 15e12], rel=THREE_DIGITS)
    assert float(loss) == pytest.approx(ours.candidate.loss, abs=5.1e-5)
    assert number(total) == pytest.approx(ours.candidate.total, rel=THREE_DIGITS)
    assert number(excess) == pytest.approx(ours.excess_fraction, abs=5.1e-4)
    assert broken == ", ".join(label.replace("_", " ") for label in ours.candidate.breaks)
    assert "tokens" in broken
    assert "serving memory" in broken
    worse = compare(stated.to_problem(), "worse", params=1e9, tokens=1e12)
    assert blocks.comparisons([worse]).cells[0][4] == "no"
    best = PLAN.best
    assert best is not None
    free = compare(stated.to_problem(), "free", params=best.params, tokens=best.tokens)
    assert blocks.comparisons([free]).cells[0][4:] == [
        "yes",
        format_amount(best.total, "USD"),
        f"+{100 * free.excess_fraction:.1f}%",
        "-",
    ]


def test_break_even_demand_is_stated_in_the_scenarios_unit():
    lines = blocks.break_even([(0.01, 0.05), (0.05, 2.0), (0.10, None)], 1e9, "requests").lines
    assert list(lines) == [
        "saves 1% from 50.0M requests (0.0500x this scenario's)",
        "saves 5% from 2.00B requests (2.00x this scenario's)",
        "saves 10% at no demand",
    ]


def test_a_break_even_demand_is_one():
    stated = scenario()
    for fraction, factor in break_even(stated.to_problem()):
        assert factor is not None
        plan = bc.solve(scenario(demand={"requests": factor * 1e9, "input_tokens": 70, "output_tokens": 215}))
        assert plan.savings_fraction == pytest.approx(fraction, rel=1e-6)


def test_architectures_show_shape_size_and_rounding():
    stated = scenario()
    problem = stated.to_problem()
    plan = bc.solve(problem)
    assert plan.best is not None
    found = realise(problem, plan.best.params, vocabulary=32_000)
    block = blocks.realisations(found, plan.one_percent_range)
    assert len(block.cells) == len(found) == 5
    assert block.lines == ["The optimum is flat: from 15.4B to 19.9B costs at most 1% more."]
    for item, (shape, heads, hidden, params, tokens, loss, total, rounding) in zip(found, block.cells, strict=True):
        layers, width = (int(part) for part in shape.split(" x "))
        assert (layers, width) == (item.architecture.layers, item.architecture.width)
        count, size = (int(part) for part in heads.split(" x "))
        assert count * size == width
        assert int(hidden) == item.architecture.feed_forward
        assert int(params.replace(",", "")) == item.params
        assert number(tokens) == pytest.approx(item.tokens, rel=THREE_DIGITS)
        assert float(loss) == pytest.approx(item.candidate.loss, abs=5.1e-5)
        assert float(loss) <= round(plan.target_loss, 4)
        assert number(total) == pytest.approx(item.candidate.total, rel=THREE_DIGITS)
        assert number(rounding) == pytest.approx(item.rounding_fraction, abs=5.1e-5)


def test_methods_that_agree_say_so():
    assert list(blocks.verification({"elementwise": 0.0, "gp": 2.5e-12}).lines) == [
        "elementwise: same cost",
        "gp: cost differs by 2e-12",
    ]
    assert list(blocks.verification({"gp": 0.0}, found=False).lines) == ["gp: no plan either"]


# No plan


def infeasible() -> Plan:
    """Return the explanation of limits that conflict."""
    return limited(params={"max": "8B"}, tokens={"max": "1T"}, serving_memory={"gpus": 8})


def test_a_page_without_a_plan_says_which_limits_conflict_and_what_would_help():
    plan = infeasible()
    assert plan.conflict is not None
    for printed in (words(page(plan)), markdown.page(plan)):
        assert "no plan: params max and tokens max and target cannot hold together" in printed
        assert f"the least loss within the limits is {plan.conflict.least_loss:.4f}, the target is 1.9583" in printed
        assert "a plan exists if you raise params max from 8.00B params to " in printed
        assert "a plan exists if you raise tokens max from 1.00T tokens to " in printed
        assert "serving_memory" not in printed
        assert "What drives it" not in printed


def test_the_advice_of_a_page_without_a_plan_helps():
    advice = re.findall(r"raise (\w+) max from \S+ \w+ to (\S+) \w+", words(page(infeasible(), 1000)))
    assert [label for label, _ in advice] == ["params", "tokens"]
    for label, bound in advice:
        stated: dict[str, Any] = {"params": {"max": "8B"}, "tokens": {"max": "1T"}}
        stated[label] = {"max": bound}
        assert limited(**stated).status == "optimal"
        stated[label] = {"max": 0.99 * parse_number(bound)}
        assert limited(**stated).status == "infeasible"


def test_a_page_without_a_plan_shows_what_else_was_asked():
    check = blocks.verification({"gp": 0.0}, found=False)
    assert page(infeasible(), extras=[check]).endswith("Every method that can solve it\n  gp: no plan either\n\n")
    assert "## Every method that can solve it\n\n- gp: no plan either\n" in markdown.page(infeasible(), extras=[check])


@pytest.mark.parametrize("width", WIDTHS)
def test_a_page_without_a_plan_fits(width: int):
    assert max(map(len, page(infeasible(), width).splitlines())) <= width


# Going on


def test_a_model_that_goes_on_says_so():
    plan = bc.solve(scenario(start_from={"params": "17B", "tokens": "1T"}))
    printed = words(page(plan))
    assert printed.startswith("Go on training 17.0B params to 3.10T tokens instead of 30.0B on 1.56T: $932k instead of")
    assert "goes on for 2.10T further tokens; starting afresh, 17.4B params on 2.99T tokens would cost" in printed


def test_a_model_that_is_good_enough_is_served_as_it_is():
    plan = bc.solve(scenario(start_from={"params": "17B", "tokens": "10T"}))
    assert words(page(plan)).startswith("Serve 17.0B params as they are after 10.0T tokens instead of 30.0B on 1.56T: ")
    assert "good enough without further tokens" in words(page(plan))
    assert "Serving costs" not in page(plan)
