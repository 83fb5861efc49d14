"""What a page shows of a plan by month: the plan's own figures, in words that read well."""

from __future__ import annotations

import io
import re
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console
from served import busy, fixed, plain, scenario

import beyond_chinchilla as bc
from beyond_chinchilla.analyse import validation
from beyond_chinchilla.analyse.capacity import capacity
from beyond_chinchilla.analyse.deployment import deploy
from beyond_chinchilla.report import capacity as months
from beyond_chinchilla.report import markdown, money, serving, tables, text
from beyond_chinchilla.report.blocks import Block, limits
from beyond_chinchilla.report.rows import flat
from beyond_chinchilla.units import HOURS_PER_MONTH, format_money, format_times

EURO = {"code": "EUR", "per_usd": 0.86, "date": "2026-11-01", "source": "ECB reference rate"}
API = {"input": "0.15 USD", "output": "0.60 USD", "name": "some API"}


def words(block: Block) -> str:
    """Return the sentences of a block."""
    return " ".join(block.lines)


def cells(block: Block) -> dict[str, list[str]]:
    """Return the rows of a block by their first cell."""
    return {row[0]: list(row[1:]) for row in block.cells}


def drawn(plan: bc.Plan, width: int, found: list[Block]) -> str:
    """Return the page of a plan."""
    buffer = io.StringIO()
    console = Console(file=buffer, width=width, color_system=None, highlight=False, emoji=False, markup=False)
    text.print_page(console, plan, extras=found)
    return buffer.getvalue()


# The replica


def test_the_replica_shows_the_figures_of_the_plan():
    found, plan = plain()
    block = serving.serving(deploy(found, plan))
    figures = plan.serving
    assert block.title == "Serving on h100-sxm fp8 x 1"
    assert cells(block)["USD per million tokens"] == [
        format_money(figures["usd_per_million_input"]),
        format_money(figures["usd_per_million_output"]),
    ]
    assert cells(block)["MFU"] == [f"{100 * figures[f'{phase}_mfu']:.1f}%" for phase in ("prefill", "decode")]
    assert "a token of each every " in words(block)
    assert "Assumes that serving in fp8 costs no quality." in block.lines


def test_all_paid_hours_count_those_that_fill_up_a_replica():
    found, plan = plain()
    served = [month for month in capacity(found, plan).months if month.phase == "serving"]
    busy_hours = HOURS_PER_MONTH * deploy(found, plan).service.fleet.need(*deploy(found, plan).seconds).sum()
    share = busy_hours / sum(month.gpu_hours for month in served)
    line = f"of all GPU-hours paid, in whole replicas, {100 * share:.1f}% work."
    assert share < plan.serving["utilisation"]
    assert line in words(serving.serving(deploy(found, plan)))


def test_much_rounding_is_said_to_be_outside_the_proof():
    small = scenario(serving={"gpus_per_replica": 4})
    plan = bc.solve(small)
    share = plan.best.terms["rounding"] / plan.best.total
    assert share > 0.01
    assert f"Whole replicas are {100 * share:.1f}% of the bill." in words(serving.serving(deploy(small, plan)))
    large = scenario(demand={"requests_per_month": "40B"})
    assert "Whole replicas are" not in words(serving.serving(deploy(large, bc.solve(large))))


@pytest.mark.parametrize("share", ["100%", "40%"])
def test_batch_work_at_its_own_price_has_no_peak_hour(share):
    found = scenario(demand={"batch_share": share}, serving={"batch_price": 1.2})
    plan = bc.solve(found)
    printed = words(serving.serving(deploy(found, plan)))
    assert ", 0 in its peak hour" not in printed
    assert "on batch work at its own price, at whichever hours" in printed
    assert ("the others are " in printed) == (share != "100%")


def test_the_capacity_headline_counts_the_gpus_that_there_are():
    alone = scenario(demand={"requests_per_month": "1M", "growth_per_month": None, "peak_to_mean": None})
    assert months.headline(capacity(alone, bc.solve(alone))).endswith(", 1 GPU at the peak.")
    waiting = scenario(demand={"batch_share": "100%"}, serving={"batch_price": 1.2})
    table = capacity(waiting, bc.solve(waiting))
    spot = max(month.spot_mean for month in table.months)
    assert months.headline(table).endswith(f", {spot:,.1f} GPUs on batch work in the busiest month.")


def test_the_default_efficiencies_state_the_error_on_rows_that_they_have_not_seen():
    found, plan = plain()
    (line,) = [line for line in serving.serving(deploy(found, plan)).lines if "kernels reach" in line]
    rows = [row for row in validation.serving_table() if row.use == "check"]
    worst = max(abs(row.ratio - 1.0) for row in rows)
    assert "54% of the peak rate in prefill and 34% in decode, and 60% of the bandwidth" in line
    assert f"{len(rows)} others are off by 10% in the median, {100 * worst:.0f}% at worst" in line


def test_stated_efficiencies_claim_no_fit():
    found = scenario(serving={"efficiency": {"decode": "50%"}})
    (line,) = [line for line in serving.serving(deploy(found, bc.solve(found))).lines if "kernels reach" in line]
    assert (
        line
        == "Assumes that kernels reach 54% of the peak rate in prefill and 50% in decode, and 60% of the bandwidth."
    )


def test_a_fixed_utilisation_has_no_batch():
    found = fixed()
    block = serving.serving(deploy(found, bc.solve(found)))
    assert set(cells(block)) == {"tokens/s per GPU", "MFU", "USD per million tokens"}
    assert cells(block)["MFU"] == ["50.0%", "5.0%"]
    assert "sequences at once" not in words(block)
    assert "The utilisations are those of the scenario" in words(block)


# What else could serve


def test_choices_are_at_most_eight_rows_cheapest_first():
    found = scenario(serving={"hardware": ["h100-sxm", "h200-sxm"], "precision": ["bf16", "fp8"],
                              "gpus_per_replica": [1, 2, 4], "price": 2.5})  # fmt: skip
    plan = bc.solve(found)
    (block,) = serving.choices(plan)
    assert len(plan.choices) == 12
    assert [row[0] for row in block.cells] == [row.label for row in plan.choices[:8]]
    assert block.cells[0][-1] == "chosen"
    assert all(row[-1].startswith("+") for row in block.cells[1:])
    assert block.lines == ["And 4 dearer ones: --format json."]


def test_what_cannot_serve_says_why():
    found = scenario(
        target={"chinchilla": "70B"}, serving={"precision": ["bf16", "fp8"], "gpus_per_replica": [1, 8]},
        limits={"time_per_output_token": {"max": "5 ms"}},
    )  # fmt: skip
    plan = bc.solve(found)
    without = [row for row in plan.choices if row.total is None]
    assert without
    (block,) = serving.choices(plan)
    assert f"No plan on {without[0].label}: {without[0].reason}." in block.lines


def test_one_way_to_serve_is_no_choice():
    assert serving.choices(plain()[1]) == []


# Training, money, energy


def test_training_in_practice():
    found, plan = busy()
    deployment = deploy(found, plan)
    said = words(serving.training(deployment))
    record = serving.training_record(deployment)
    assert record["gpu_hours"] == pytest.approx(record["days"] * 24 * 24, rel=1e-9)
    assert f"{record['days']:.1f} days on 24 GPUs" in said
    assert "failures and restarts leave 90% of the hours" in said
    assert f"Experiments before the run: {format_money(plan.best.nominal_terms['development'])}, 20%" in said
    assert "at $0.0500 per million tokens" in said
    assert "give training.gpus to learn how long" in words(serving.training(deploy(*plain())))


def test_present_value_stands_beside_what_is_paid():
    table = capacity(*busy())
    block = money.bill(table)
    best = table.deployment.best
    assert list(cells(block)) == [*best.terms, "total"]
    assert cells(block)["total"] == [format_money(best.total), format_money(table.totals["cost"])]
    assert "10% a year (effective), money of a month in its middle" in words(block)
    assert "Served: 2027-06 to 2028-03, 3 months after training starts in 2027-03" in words(block)
    assert "of demand, 2 months pass before" in words(block)
    assert re.search(r"others looked at: .*\(late, \$\d+k\)", words(block))


def test_without_a_rate_there_is_one_column_and_it_is_said():
    found = scenario(discounting=None)
    block = money.bill(capacity(found, bc.solve(found)))
    assert (list(block.cells), block.lines[0][:14]) == ([], "Not discounted")


def test_energy_states_its_assumptions():
    found = scenario(energy={"pue": 1.2, "grid": "0.35 kg/kWh"})
    plan = bc.solve(found)
    shown, record = serving.parts(found, plan)
    (block,) = [block for block in shown if block.title == "Energy"]
    assert list(block.heads) == ["", "on", "GPU-hours", "MWh", "t CO2e"]
    assert float(cells(block)["total"][2].rstrip("k")) == pytest.approx(record["energy"]["kwh"] / 1e3, rel=5e-3)
    assert "PUE 1.2, and a grid of 0.35 kg CO2e/kWh" in words(block)
    without = scenario(energy={})
    (block,) = [block for block in serving.parts(without, bc.solve(without))[0] if block.title == "Energy"]
    assert list(block.heads) == ["", "on", "GPU-hours", "MWh"]
    assert "no grid intensity stated" in words(block)


def test_buying_names_the_demand_from_which_building_wins():
    found = scenario(buy=API)
    shown, record = serving.parts(found, bc.solve(found))
    (block,) = [block for block in shown if block.title == "Buy instead"]
    factor = record["buy"]["break_even"]["demand_factor"]
    assert record["buy"]["break_even"]["busiest_month_requests"] == pytest.approx(factor * 4e8 * 1.05**11)
    assert f"Building is cheaper from {format_times(factor)} this demand on" in words(block)
    assert cells(block)["total"][0] == format_money(record["buy"]["total"])


def test_a_model_that_no_fleet_serves_leaves_the_plan_on_the_page():
    found = scenario(buy={"model": "llama-2-70b"}, limits={"time_per_output_token": {"max": "9 ms"}})
    shown, record = serving.parts(found, bc.solve(found))
    (block,) = [block for block in shown if block.title == "Buy instead"]
    assert words(block).startswith("No fleet of this scenario serves llama-2-70b")
    assert record["buy"]["status"] == "infeasible"
    assert {"serving", "money"} <= {block.title.split()[0].lower() for block in shown}


@pytest.mark.parametrize(
    ("factor", "said"),
    [
        (None, "cheaper at no demand up to 1.00Mx this one"),
        (1e-3, "cheaper even at 0.00100x"),
        (2.0, "from 2.00x this"),
    ],
)
def test_break_even_in_words(factor: float | None, said: str):
    found = scenario(buy={"model": "llama-2-13b"})
    plan = bc.solve(found)
    bought = money.Purchase(offer=money.purchase(deploy(found, plan)).offer, factor=factor, requests=1e6)
    block = money.buy(bought, plan)
    assert said in words(block)
    assert "Losses of two labs do not compare" in words(block)


def test_another_currency_has_its_rate_day_and_source():
    found = scenario(currency=EURO)
    plan = bc.solve(found)
    shown, record = serving.parts(found, plan)
    assert shown[-1].title == "In EUR"
    assert "EUR/USD of 2026-11-01 (ECB reference rate)" in words(shown[-1])
    assert record["currency"]["total"] == pytest.approx(0.86 * plan.best.total, rel=1e-12)
    assert record["currency"]["date"] == "2026-11-01"


def test_over_a_life_a_currency_is_shown_and_the_rest_says_what_it_needs():
    tree = {**fixed(discounting=None).to_dict(), "currency": EURO, "energy": {"pue": 1.2}, "buy": API,
            "demand": {"requests": "1B", "input_tokens": 70, "output_tokens": 215}}  # fmt: skip
    found = bc.Scenario.from_dict(tree)
    shown, record = serving.parts(found, bc.solve(found))
    assert [block.title for block in shown] == ["Left out", "In EUR"]
    assert words(shown[0]).startswith("No energy and buy on this page: give demand by month")
    assert list(record) == ["currency"]


def test_limits_of_a_fleet_read_well():
    found = scenario(
        limits={"time_per_output_token": {"max": "3 ms"}, "gpus": {"max": 4000}}, serving={"gpus_per_replica": 2}
    )
    plan = bc.solve(found)
    (block,) = limits(plan)
    assert "serving HBM max" in cells(block)
    (latency,) = [row for row in plan.limits if row.label == "time_per_output_token"]
    assert f"One more ms per output token is worth {format_money(latency.shadow_price)} at the margin." in block.lines


# Whole pages


@pytest.mark.parametrize("width", [80, 100])
@pytest.mark.parametrize("form", ["text", "markdown"])
def test_a_page_has_every_part_and_keeps_its_width(width: int, form: str):
    changes = {"energy": {"grid": 0.35}, "buy": API, "currency": EURO}
    found = scenario(**changes)
    plan = bc.solve(found)
    shown, _ = serving.parts(found, plan)
    titles = ["Serving on", "Training", "Money over time", "Energy", "Buy instead", "In EUR"]
    page = drawn(plan, width, shown) if form == "text" else markdown.page(plan, extras=shown)
    places = [page.index(title) for title in titles]
    assert places == sorted(places)
    if form == "text":
        assert max(map(len, page.splitlines())) <= width


@pytest.mark.parametrize("width", [60, 80, 100, 140])
def test_a_capacity_table_keeps_its_width_and_names_what_it_left_out(width: int):
    table = capacity(*busy())
    buffer = io.StringIO()
    months.print_page(Console(file=buffer, width=width, color_system=None, highlight=False), table)
    page = buffer.getvalue()
    assert max(len(line.rstrip()) for line in page.splitlines()) <= width
    heads, rows, left_out = months.table(table, width)
    assert {"month", "base", "peak", "cost", "cumulative"} <= set(heads)
    assert not set(heads) & set(left_out)
    assert ("Left out for want of width" in page) == bool(left_out)
    assert [row[0] for row in rows] == [*(month.month for month in table.months), "total"]


def test_a_capacity_table_leaves_out_columns_of_nothing():
    assert "spot" in months.table(capacity(*busy()))[0]
    found = scenario(discounting=None)
    heads, rows, _ = months.table(capacity(found, bc.solve(found)))
    assert not {"spot", "training", "present value"} & set(heads)
    assert rows[-1][0] == "total"


def test_capacity_as_markdown_has_the_total_of_the_plan():
    table = capacity(*busy())
    page = months.page(table)
    (total,) = re.findall(r"^\| total .*$", page, re.MULTILINE)
    assert format_money(table.deployment.best.total) in total
    assert format_money(table.totals["cost"]) in total


# Tables


def test_a_row_of_a_plan_by_month_has_its_own_columns_last():
    plan = busy()[1]
    row, old = flat(plan), flat(replace(plan, serving=None))
    assert list(row)[: len(old)] == list(old)
    assert list(row)[len(old)] == "nominal_total"
    assert (row["choice"], row["launch_month"]) == ("h100-sxm fp8 x 1", 3)
    assert row["serving_batch"] == plan.best.variables["batch"]
    assert not any(isinstance(value, dict) for value in row.values())


def test_parquet_holds_what_csv_holds(tmp_path: Path):
    import pandas as pd

    plans = [plain()[1], busy()[1]]
    (tmp_path / "plans.parquet").write_bytes(tables.to_parquet([flat(plan) for plan in plans]))
    frame = pd.read_parquet(tmp_path / "plans.parquet")
    assert list(frame["scenario"]) == ["served", "served"]
    assert list(frame["total"]) == [plan.best.total for plan in plans]
