"""What one sees of a plan: every page shows the plan's own figures, fits its width, and says what to beware of."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import shipped
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from shipped import SCENARIOS, each_scenario

import beyond_chinchilla as bc
from beyond_chinchilla.analyse.disagreement import Opinion, equivalent_size, other_laws
from beyond_chinchilla.files import harmless_cell
from beyond_chinchilla.laws import catalogue
from beyond_chinchilla.optimise.choices import ChoiceRow
from beyond_chinchilla.optimise.plan import Plan
from beyond_chinchilla.optimise.problem import Problem
from beyond_chinchilla.report import markdown, rows, tables, text
from beyond_chinchilla.scenario.load import Scenario
from beyond_chinchilla.units import parse_number

each_width = pytest.mark.parametrize("width", [80, 100, 120])

# A printed number of three digits is off by half of the third at most.
THREE_DIGITS = 0.5e-2


def flops_scenario(size: object, tokens: object, **changes: object) -> Scenario:
    """Return a scenario in FLOPs."""
    tree = {
        "name": "test",
        "law": "sardana-2024",
        "target": {"chinchilla": size},
        "demand": {"tokens": tokens},
        "objective": "flops",
    }
    return Scenario.from_dict({**tree, **changes})


def cost_scenario(requests: object, **changes: object) -> Scenario:
    """Return a scenario in dollars."""
    chip = {"hardware": "a100-80gb-sxm", "precision": "bf16", "price": 1.5}
    tree = {
        "name": "test",
        "law": "sardana-2024",
        "target": {"chinchilla": "30B"},
        "demand": {"requests": requests, "input_tokens": 70, "output_tokens": 215},
        "training": {**chip, "mfu": "50%"},
        "serving": {**chip, "prefill_mfu": "50%", "decode_mfu": "1%"},
    }
    return Scenario.from_dict({**tree, **changes})


def page(plan: Plan, width: int = 80, problem: Problem | None = None) -> str:
    """Return the page of a plan at a width; with its problem also what other laws say."""
    return printed(plan, width, other_laws(problem) if problem else [], problem)


def page_of(path: Path, width: int) -> str:
    """Return the page of one of the repository's scenarios, with what other laws say."""
    return printed(shipped.plan(path), width, shipped.opinions(path), shipped.problem(path))


def printed(plan: Plan, width: int, opinions: Sequence[Opinion], problem: Problem | None) -> str:
    """Return a page."""
    buffer = io.StringIO()
    console = Console(file=buffer, width=width, color_system=None, highlight=False, emoji=False, markup=False)
    text.print_page(console, plan, opinions, equivalent_size(problem) if problem else None)
    return buffer.getvalue()


def comparison(plans: list[Plan], width: int) -> str:
    """Return the comparison of several plans at a width."""
    buffer = io.StringIO()
    text.print_comparison(Console(file=buffer, width=width, color_system=None, highlight=False), plans)
    return buffer.getvalue()


def words(page_text: str) -> str:
    """Return a wrapped page on one line."""
    return " ".join(page_text.split())


def number(cell: str) -> float:
    """Read a cell such as ``$1.20M``, ``0.581x`` or ``8.00e22 FLOP``."""
    return parse_number(cell.replace("$", "").removesuffix("x").removesuffix(" FLOP").strip())


def figures(plan: Plan) -> dict[str, tuple[float, float]]:
    """Return what the tables must show, by label: (plan, baseline), from the plan's JSON."""
    record = plan.to_dict()
    labels = {
        "params": "params",
        "tokens": "tokens",
        "tokens per param": "tokens_per_param",
        "loss [nats/token]": "loss",
        "training FLOPs": "training_flops",
        "inference FLOPs": "inference_flops",
    }
    found = {label: (record["plan"][key], record["baseline"][key]) for label, key in labels.items()}
    if "total_params" in record["plan"]:
        found["active params"] = found.pop("params")
        found["all params"] = tuple(
            record[key].get("total_params", record[key]["params"]) for key in ("plan", "baseline")
        )
    best, base = ({term["label"]: term["value"] for term in record[key]["terms"]} for key in ("plan", "baseline"))
    for label in best | base:
        # Whole replicas may cost nothing in one of the two.
        found[label] = (best.get(label, 0.0), base.get(label, 0.0))
    found["total"] = (record["plan"]["total"], record["baseline"]["total"])
    return found


def check_table(cells: dict[str, list[str]], plan: Plan) -> None:
    """Compare the rows of a printed table with the plan's figures."""
    expected = figures(plan)
    assert set(cells) == set(expected)
    for label, (best, base) in expected.items():
        printed = cells[label]
        assert number(printed[0]) == pytest.approx(best, rel=THREE_DIGITS), label
        assert number(printed[1]) == pytest.approx(base, rel=THREE_DIGITS), label
        if label != "loss [nats/token]" and base > 0:
            assert number(printed[2]) == pytest.approx(best / base, rel=THREE_DIGITS), label


# Figures


@each_scenario
@each_width
def test_the_text_page_shows_the_plans_figures(path: Path, width: int):
    plan = shipped.plan(path)
    printed = page_of(path, width)
    table = printed.split("Chinchilla   ratio")[1] if "Chinchilla   ratio" in printed else printed
    lines = [re.split(r"\s{2,}", line.rstrip()) for line in table.split("What drives it")[0].splitlines()]
    check_table({line[0]: line[1:] for line in lines if line[0] in figures(plan)}, plan)


@each_scenario
def test_the_markdown_page_shows_the_plans_figures(path: Path):
    plan = shipped.plan(path)
    bill = markdown.page(plan).split("## What drives it")[0]
    table = [line for line in bill.splitlines() if line.startswith("|")]
    rows_ = [[cell.strip() for cell in line.strip("|").split("|")] for line in table[2:]]
    check_table({row[0]: row[1:] for row in rows_}, plan)


@each_scenario
def test_the_csv_row_holds_the_plans_figures_to_the_last_bit(path: Path):
    plan = shipped.plan(path)
    (row,) = csv.DictReader(io.StringIO(tables.to_csv([rows.flat(plan)])))
    record = plan.to_dict()
    for prefix, key in (("", "plan"), ("baseline_", "baseline")):
        for name in ("params", "tokens", "tokens_per_param", "loss", "training_flops", "inference_flops", "total"):
            assert float(row[prefix + name]) == record[key][name]
        for term in record[key]["terms"]:
            assert float(row[f"{prefix}term_{term['label']}"]) == term["value"]
    assert float(row["savings_absolute"]) == record["savings"]["absolute"]
    assert {key: float(row[f"elasticity_{key}"]) for key in record["elasticities"]} == record["elasticities"]
    assert row["warnings"] == " | ".join(record["warnings"])


@each_scenario
def test_every_term_of_the_bill_stands_on_the_page_once(path: Path):
    plan = shipped.plan(path)
    printed = page(plan)
    for label in (*plan.baseline.terms, "total"):
        assert len(re.findall(rf"^{re.escape(label)}  +\S", printed, re.MULTILINE)) == 1


@each_scenario
def test_the_terms_of_a_page_add_up_to_its_total(path: Path):
    shown = {row.label: row for row in rows.terms(shipped.plan(path))}
    total = shown.pop("total")
    assert sum(number(row.plan) for row in shown.values()) == pytest.approx(number(total.plan), rel=2 * THREE_DIGITS)
    assert sum(number(row.baseline) for row in shown.values()) == pytest.approx(
        number(total.baseline), rel=2 * THREE_DIGITS
    )


@each_scenario
def test_the_first_sentence_is_the_answer(path: Path):
    plan = shipped.plan(path)
    assert plan.best is not None
    sentence = words(page(plan, 120))
    if plan.objective == "loss":
        check_the_best_loss(sentence, plan)
        return
    match = re.match(
        r"Train (\S+)(?: active of \S+)? params on (\S+) tokens instead of (\S+) on (\S+): (\S+)(?: FLOP)? instead of "
        r"(\S+)(?: FLOP)? "
        r"over the model's life, ([\d.]+)% (saved|more, but Chinchilla's model breaks limits)\.",
        sentence,
    )
    assert match, sentence
    expected = [
        plan.best.params,
        plan.best.tokens,
        plan.baseline.params,
        plan.baseline.tokens,
        plan.best.total,
        plan.baseline.total,
    ]
    assert [number(group) for group in match.groups()[:6]] == pytest.approx(expected, rel=THREE_DIGITS)
    sign = 1.0 if match[8] == "saved" else -1.0
    assert sign * float(match[7]) / 100 == pytest.approx(plan.savings_fraction, abs=5.001e-4)
    # Only a baseline that may not be costs less than the optimum, but for what whole replicas add.
    assert sign > 0 or plan.baseline.breaks


def check_the_best_loss(sentence: str, plan: Plan) -> None:
    """Compare the first sentence of a page about the best loss with the plan's figures."""
    best, base = plan.best, plan.baseline
    assert best is not None
    match = re.match(
        r"(\S+) buys loss (\d\.\d{4}): (\S+) params on (\S+) tokens\. The whole budget on Chinchilla's ratio, (\S+) on "
        r"(\S+), gives (\d\.\d{4}), (\S+) nats more\.",
        sentence,
    )
    assert match, sentence
    expected = [best.total, best.loss, best.params, best.tokens, base.params, base.tokens, base.loss]
    assert [number(group) for group in match.groups()[:7]] == pytest.approx(expected, rel=THREE_DIGITS)
    assert float(match[2]) == pytest.approx(best.loss, abs=5.001e-5)
    assert float(match[8]) == pytest.approx(plan.savings, rel=0.051)


def test_the_answer_says_more_where_the_plan_costs_more_than_the_baseline():
    plan = bc.solve(cost_scenario("1B"))
    assert rows.headline(plan).endswith("% saved.")
    dearer = rows.headline(replace(plan, savings_fraction=-0.125))
    assert dearer.endswith("12.5% more.")
    assert "-" not in dearer
    unlawful = replace(plan, savings_fraction=-0.125, baseline=replace(plan.baseline, breaks=("params",)))
    assert rows.headline(unlawful).endswith("12.5% more, but Chinchilla's model breaks limits.")


def test_a_question_without_a_plan_says_so_everywhere():
    plan = replace(
        bc.solve(cost_scenario("1B")), status="infeasible", best=None, one_percent_range=None, elasticities={}
    )
    assert rows.headline(plan) == "No plan: test is infeasible."
    assert rows.drivers(plan) == []
    assert plan.to_dict()["plan"] is None
    assert rows.flat(plan)["params"] is None
    assert rows.flat(plan)["baseline_params"] == plan.baseline.params
    assert rows.comparison([plan])[1][0][2] == "infeasible"
    assert len(rows.comparison([plan])[1][0]) == len(rows.comparison([plan])[0])
    # Nothing but the answer, what was asked and why.
    reasons = replace(plan, warnings=("first reason", "second reason"))
    assert page(reasons).splitlines() == [
        "No plan: test is infeasible.",
        "test | law sardana-2024 | target loss 1.958",
        "",
        "Why",
        "  first reason",
        "  second reason",
        "",
    ]
    assert re.findall("^#+ .*", markdown.page(reasons), re.MULTILINE) == ["# test", "## Why"]
    assert "- first reason\n- second reason\n" in markdown.page(reasons)


def test_choices_that_fail_alike_share_a_line():
    reasons = [
        *(f"gpus would be at least {13 + k}.12 GPUs, max is 1.000 GPUs" for k in range(10)),
        "params min and gpus max cannot hold together",
    ]
    choices = tuple(
        ChoiceRow(label=f"h200-sxm fp8 x {k + 1}", status="infeasible", reason=reason)
        for k, reason in enumerate(reasons)
    )
    warnings = ("no plan on any of the choices", *(f"{row.label}: {row.reason}" for row in choices), "a note")
    plan = replace(bc.solve(cost_scenario("1B")), best=None, choices=choices, warnings=warnings)
    likewise = ", ".join(f"h200-sxm fp8 x {k}" for k in range(2, 9))
    assert rows.why(plan) == [
        "no plan on any of the choices",
        f"{warnings[1]}; likewise, with its own numbers, {likewise} and 2 more",
        warnings[11],
        "a note",
    ]
    assert page(plan).count("would be at least") == markdown.page(plan).count("would be at least") == 1


# What drives it


def test_the_drivers_name_kappa_elasticities_and_the_flat_range():
    plan = bc.solve(cost_scenario("1B"))
    assert plan.kappa is not None
    assert plan.one_percent_range is not None
    kappa, ratio, moves, flat = rows.drivers(plan)
    match = re.fullmatch(
        r"Kappa (\S+): serving over training spend of the Chinchilla model \(from 0\.05 on it matters\)\.", kappa
    )
    assert match
    assert number(match[1]) == pytest.approx(plan.kappa, rel=THREE_DIGITS)
    match = re.fullmatch(r"Serving costs (\S+)x training in this plan\.", ratio)
    assert match
    assert number(match[1]) == pytest.approx(plan.spend_ratio, rel=THREE_DIGITS)
    assert f"demand +1%: {plan.elasticities['demand']:+.2f}%" in moves
    assert f"serving price +1%: {plan.elasticities['serving_price']:+.2f}%" in moves
    assert [number(word) for word in re.findall(r"[\d.]+B", flat)] == pytest.approx(
        plan.one_percent_range, rel=THREE_DIGITS
    )


def test_a_hundredth_of_loss_costs_what_the_page_says():
    scenario = cost_scenario("1B")
    plan = bc.solve(scenario)
    better = bc.solve(cost_scenario("1B", target={"loss": plan.target_loss - 1e-4}))
    assert plan.best is not None
    assert better.best is not None
    match = re.search(r"target loss -0.01: \+([\d.]+)%", " ".join(rows.drivers(plan)))
    assert match
    assert (better.best.total / plan.best.total - 1) * 1e4 == pytest.approx(float(match[1]), rel=0.01)


def test_prices_drive_no_bill_in_flops():
    assert "price" not in " ".join(rows.drivers(bc.solve(flops_scenario("13B", "2T"))))


def test_a_bill_of_another_shape_has_no_kappa():
    plan = bc.solve(cost_scenario("1B", law="kaplan-2020"))
    assert plan.kappa is None
    assert "kappa" not in page(plan).lower()
    assert rows.comparison([plan])[1][0].count("") == 1


# Widths


@each_scenario
@each_width
def test_no_line_is_wider_than_the_terminal(path: Path, width: int):
    printed = page_of(path, width)
    assert max(map(len, printed.splitlines())) <= width
    assert "…" not in printed


@each_width
def test_a_comparison_fits_and_keeps_every_figure(width: int):
    plans = [shipped.plan(path) for path in SCENARIOS]
    printed = comparison(plans, width)
    assert max(map(len, printed.splitlines())) <= width
    for plan in plans:
        assert plan.best is not None
        assert rows.comparison([plan])[1][0][2] in printed


def test_a_wide_comparison_has_one_line_for_each_scenario_and_every_column():
    plans = [shipped.plan(path) for path in SCENARIOS]
    lines = [re.split(r"\s{2,}", line.strip()) for line in comparison(plans, 180).splitlines()[: len(plans) + 1]]
    heads, cells = rows.comparison(plans)
    assert lines == [heads, *([cell for cell in row if cell] for row in cells)]


@pytest.mark.parametrize(("width", "left_out"), [(80, ["tok/param", "law"]), (60, ["tok/param", "law", "kappa"])])
def test_a_narrow_comparison_says_what_it_leaves_out(width: int, left_out: list[str]):
    plans = [shipped.plan(path) for path in SCENARIOS]
    printed = comparison(plans, width)
    assert f"Left out for want of width: {', '.join(left_out)}." in words(printed)
    assert [head for head in rows.comparison(plans)[0] if head not in printed.splitlines()[0]] == sorted(
        left_out, key=rows.comparison(plans)[0].index
    )
    assert "sardana-2024" not in printed


@given(st.text(st.characters(categories=["L", "N", "P", "S", "Zs"]), min_size=1, max_size=200), st.integers(40, 200))
def test_a_name_of_any_length_fits_any_width(name: str, width: int):
    plan = replace(SAMPLE, name=name)
    assert max(len(line.rstrip()) for line in page(plan, width).splitlines()) <= width


SAMPLE = bc.solve(cost_scenario("1B"))


# Warnings


def test_a_plan_outside_the_runs_of_its_law_says_by_how_much():
    plan = bc.solve(cost_scenario("1B"))
    assert plan.best is not None
    printed = words(page(plan))
    match = re.search(
        r"outside the range of the runs behind law sardana-2024: .*?(\S+) tokens is (\S+)x the largest fitted", printed
    )
    assert match
    largest = catalogue.law("sardana-2024").fitted.tokens
    assert largest is not None
    assert number(match[1]) == pytest.approx(plan.best.tokens, rel=THREE_DIGITS)
    assert number(match[2]) == pytest.approx(plan.best.tokens / largest[1], rel=THREE_DIGITS)
    assert (
        "Fits at typical ratios overestimate what extra tokens bring there (Sardana et al. 2024, section 4)" in printed
    )


def test_a_plan_within_the_runs_of_its_law_has_no_warning():
    plan = bc.solve(flops_scenario("1B", "20B", law="besiroglu-2024"))
    assert plan.warnings == ()
    assert "Warnings" not in page(plan)
    assert "Warnings" not in markdown.page(plan)


def test_a_plan_of_less_than_a_token_per_parameter_says_so():
    law = {"E": 1.0, "A": 1e4, "alpha": 0.5, "B": 1.0, "beta": 0.5}
    plan = bc.solve(flops_scenario("1T", "1B", law=law))
    assert plan.best is not None
    assert plan.best.tokens_per_param < 1
    assert "tokens per param, fewer than 1: no published law holds there" in words(page(plan))
    assert "fewer than 1" not in words(page(SAMPLE))


@pytest.mark.parametrize(("requests", "warned"), [("10M", True), ("1B", False)])
def test_negligible_demand_is_called_so(requests: str, warned: bool):
    plan = bc.solve(cost_scenario(requests))
    assert plan.kappa is not None
    assert (plan.kappa < 0.05) == warned
    assert ("demand hardly matters, and planning for it saves" in words(page(plan))) == warned


@each_scenario
def test_every_warning_stands_on_every_page(path: Path):
    plan = shipped.plan(path)
    assert [warning for warning in plan.warnings if warning not in words(page(plan, 100_000))] == []
    assert [warning for warning in plan.warnings if warning.replace("<", "&lt;") not in markdown.page(plan)] == []


def test_a_comparison_counts_the_plans_that_carry_warnings():
    plain = bc.solve(flops_scenario("1B", "20B", law="besiroglu-2024"))
    assert "1 of 2 plans carry warnings" in words(comparison([SAMPLE, plain], 80))
    assert "warnings" not in comparison([plain, plain], 80)


# Names


@pytest.mark.parametrize("first", [*"=+-@", *"\uff1d\uff0b\uff0d\uff20", "\t"])
def test_no_text_of_a_csv_is_a_formula(first: str):
    (row,) = csv.DictReader(io.StringIO(tables.to_csv([{"text": f"{first}1+1", "number": -1.5}]), newline=""))
    assert row == {"text": f"'{first}1+1", "number": "-1.5"}


HOSTILE = [
    "a | b | c",
    "<script>alert(1)</script>",
    "a\\|b",
    "[red]x[/red]",
    ":smile:",
    "**bold** _it_",
    "| --- |",
    '=1+1,"x"',
]


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_name_leaves_the_markdown_table_whole(name: str):
    plan = replace(SAMPLE, name=name)
    lines = markdown.comparison([plan, SAMPLE]).splitlines()
    bars = [len(re.findall(r"(?<!\\)(?:\\\\)*\|", line)) for line in lines[:4]]
    assert len(set(bars)) == 1
    for printed in (markdown.comparison([plan]), markdown.page(plan)):
        assert "<" not in printed


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_name_is_printed_as_it_is_in_text_and_csv(name: str):
    plan = replace(SAMPLE, name=name)
    assert name in page(plan, 120)
    assert name in comparison([plan], 120)
    (row,) = csv.DictReader(io.StringIO(tables.to_csv([rows.flat(plan)])))
    # A spreadsheet must show a name, not run it.
    assert row["scenario"] == (f"'{name}" if name.startswith("=") else name)


@given(st.text(st.characters(codec="utf-8", exclude_characters="\r\n\0"), min_size=1, max_size=30))
def test_any_name_survives_csv(name: str):
    (row,) = csv.DictReader(io.StringIO(tables.to_csv([rows.flat(replace(SAMPLE, name=name))]), newline=""))
    assert row["scenario"] == harmless_cell(name)
    assert re.sub("(^|[;\t])'", r"\1", row["scenario"]) == re.sub("(^|[;\t])'", r"\1", name)
    assert float(row["params"]) == SAMPLE.to_dict()["plan"]["params"]


# Other laws


def opinion(scenario: Scenario, law: str) -> Opinion:
    """Return what one other law says."""
    return next(each for each in other_laws(scenario.to_problem()) if each.law == law)


def test_13b_and_2t_is_7_0b_under_one_law_and_6_1b_under_another():
    scenario = flops_scenario("13B", "2T")
    plan = bc.solve(scenario)
    assert plan.best is not None
    assert f"{plan.best.params / 1e9:.1f}" == "7.0"
    assert f"{opinion(scenario, 'besiroglu-2024').params / 1e9:.1f}" == "6.1"
    assert "6.1" in next(
        line for line in page(plan, 80, scenario.to_problem()).splitlines() if line.startswith("besiroglu-2024")
    )


@pytest.mark.parametrize("scenario", [flops_scenario("13B", "2T"), cost_scenario("1B")], ids=["flops", "cost"])
def test_each_opinion_is_the_plan_of_that_laws_own_problem(scenario: Scenario):
    found = other_laws(scenario.to_problem())
    assert len(found) >= 8
    for each in found:
        own: dict[str, Any] = {**scenario.to_dict(), "law": each.law}
        plan = bc.solve(Scenario.from_dict(own))
        assert plan.best is not None
        assert each.params == pytest.approx(plan.best.params, rel=1e-9)
        assert each.tokens == pytest.approx(plan.best.tokens, rel=1e-9)
        assert each.savings_fraction == pytest.approx(plan.savings_fraction, rel=1e-9)
        assert each.kappa == pytest.approx(plan.kappa, rel=1e-9)
        assert each.beyond_range == any("outside the range" in warning for warning in plan.warnings)


def test_a_target_in_loss_is_handed_to_other_laws_as_a_size():
    by_size = flops_scenario("13B", "2T")
    by_loss = flops_scenario("13B", "2T", target={"loss": by_size.to_problem().target_loss})
    assert equivalent_size(by_loss.to_problem()) == pytest.approx(13e9, rel=1e-12)
    for one, other in zip(other_laws(by_size.to_problem()), other_laws(by_loss.to_problem()), strict=True):
        assert one.law == other.law
        assert one.params == pytest.approx(other.params, rel=1e-9)


def test_only_laws_that_count_parameters_alike_are_asked():
    kaplan = flops_scenario("13B", "2T", law="kaplan-2020").to_problem()
    asked = {each.law for each in other_laws(kaplan)}
    assert asked == {name for name in catalogue.names() if catalogue.law(name).counts == "non-embedding"} - {
        "kaplan-2020"
    }
    total = {each.law for each in other_laws(flops_scenario("13B", "2T").to_problem())}
    assert total == {name for name in catalogue.names() if catalogue.law(name).counts == "total"} - {"sardana-2024"}


def test_a_law_of_ones_own_hears_every_published_one():
    law = {"E": 1.69, "A": 406.4, "alpha": 0.336, "B": 410.7, "beta": 0.283}
    mine = flops_scenario("13B", "2T", law=law)
    same = opinion(mine, "sardana-2024")
    plan = bc.solve(mine)
    assert plan.best is not None
    assert (same.params, same.tokens) == (plan.best.params, plan.best.tokens)


def test_the_page_says_what_the_other_laws_were_asked():
    scenario = cost_scenario("200M")
    printed = page(bc.solve(scenario), 80, scenario.to_problem())
    assert "Other laws, each asked for the quality of its own Chinchilla-30B\n" in printed
    listed = printed.split("Other laws")[1].split("Warnings")[0]
    flagged = [each for each in other_laws(scenario.to_problem()) if not each.beyond_range]
    assert flagged
    for each in other_laws(scenario.to_problem()):
        (line,) = [line for line in listed.splitlines() if line.startswith(f"{each.law} ")]
        assert [number(cell) for cell in line.split()[1:3]] == pytest.approx(
            [each.params, each.tokens], rel=THREE_DIGITS
        )
        assert line.endswith("within its runs") == (each in flagged)
