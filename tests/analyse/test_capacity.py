"""A plan month by month adds up to its bill, whatever is paid in which month."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from served import BUSY, busy, fixed, plain, scenario

import beyond_chinchilla as bc
from beyond_chinchilla.analyse.capacity import CapacityPlan, capacity, raised_commitment
from beyond_chinchilla.analyse.deployment import deploy, problem_of
from beyond_chinchilla.analyse.footprint import footprint
from beyond_chinchilla.errors import InputError
from beyond_chinchilla.units import HOURS_PER_MONTH

each_plan = pytest.mark.parametrize("solved", [busy, plain], ids=["busy", "plain"])


def adds_up(table: CapacityPlan) -> None:
    """Check the table against the bill of the plan."""
    best, totals = table.deployment.best, table.totals
    assert totals["present_value"] == pytest.approx(best.total, rel=1e-12)
    assert table.months[-1].cumulative_present_value == pytest.approx(best.total, rel=1e-12)
    assert best.nominal_total is not None
    # What rounding costs, not discounted: no less than its present value, no more than at the last month's factor.
    rounding = totals["cost"] - best.nominal_total
    least = table.deployment.service.fleet.weights.min()
    stated = best.terms.get("rounding", 0.0)
    slack = 1e-9 * best.total
    assert stated - slack <= rounding <= stated / least + slack


@each_plan
def test_present_values_add_up_to_the_total(solved):
    adds_up(capacity(*solved()))


@settings(max_examples=4)
@given(
    rate=st.sampled_from(["0%", "8%", "40%"]),
    timing=st.sampled_from(["mid", "end"]),
    gpus=st.sampled_from([None, 8, 40, 4000]),
    floor=st.sampled_from([None, 7]),
    batch=st.sampled_from(["0%", "100%"]),
)
def test_any_table_adds_up_to_its_bill(rate, timing, gpus, floor, batch):
    found = scenario(
        discounting={"rate": rate, "timing": timing},
        training={"gpus": gpus},
        demand={"batch_share": batch},
        serving={"fleet": {"floor": floor}} if floor else {},
    )
    adds_up(capacity(found, bc.solve(found)))


def test_a_fixed_utilisation_adds_up_as_well():
    found = fixed(training={"gpus": 64})
    adds_up(capacity(found, bc.solve(found)))


def test_months_are_a_calendar_without_gap_training_first():
    table = capacity(*busy())
    phases = [month.phase for month in table.months]
    trained = phases.count("training")
    assert trained == math.ceil(table.deployment.plan.launch.training_months) > 1
    assert phases == ["training"] * trained + ["waiting"] * phases.count("waiting") + ["serving"] * (
        len(phases) - trained - phases.count("waiting")
    )
    assert [month.month for month in table.months] == [
        str(np.datetime64("2027-03") + elapsed) for elapsed in range(len(phases))
    ]
    assert table.months[-1].month == "2028-03"


def test_demand_that_passes_while_the_model_trains_is_not_served():
    table = capacity(*busy())
    launch = table.deployment.launch
    assert launch.lost > 0
    served = [month for month in table.months if month.phase == "serving"]
    assert len(served) == 12 - launch.lost
    assert served[0].requests == pytest.approx(4e8 * 1.05**launch.lost, rel=1e-12)
    assert any(f"{launch.lost} months of demand pass" in note for note in table.notes)


def test_a_model_that_is_ready_early_waits():
    found = scenario(demand={"start": "2027-09"}, training={"gpus": 4000, "start": "2027-06"})
    months = capacity(found, bc.solve(found)).months
    assert [(month.month, month.phase) for month in months[:4]] == [
        ("2027-06", "training"),
        ("2027-07", "waiting"),
        ("2027-08", "waiting"),
        ("2027-09", "serving"),
    ]
    assert months[1].cost == months[1].training_gpus == months[1].gpu_hours == 0.0


def test_training_hours_and_money_by_hand():
    table = capacity(*busy())
    best = table.deployment.best
    trained = [month for month in table.months if month.phase == "training"]
    # 6 N D over peak x MFU x goodput, spread evenly.
    hours = 6.0 * best.params * best.tokens / (989.4e12 * 0.40 * 0.90 * 3600.0)
    assert [month.gpu_hours for month in trained] == pytest.approx([hours / len(trained)] * len(trained), rel=1e-3)
    assert {month.training_gpus for month in trained} == {24.0}
    # The price falls by 20% a year: of two months the later is cheaper by (1 - 0.2)^(1/12), the data aside.
    data = best.nominal_terms["data"]
    first, second = trained[0].cost - data, trained[1].cost
    assert second / first == pytest.approx(0.8 ** (1.0 / 12.0), rel=1e-9)
    assert trained[1].present_value / second == pytest.approx(1.1 ** (-1.5 / 12.0), rel=1e-12)


def test_without_a_count_of_gpus_training_is_one_row_of_hours():
    table = capacity(*plain())
    (row,) = [month for month in table.months if month.phase == "training"]
    assert (row.month, row.training_gpus) == ("training", None)
    assert row.cost == row.present_value == pytest.approx(table.deployment.best.terms["training"], rel=1e-12)
    assert row.gpu_hours == pytest.approx(row.cost / 2.5, rel=1e-12)
    assert [month.month for month in table.months[1:3]] == ["month 1", "month 2"]
    assert "without training.gpus" in table.notes[0]


def test_gpus_by_kind_are_whole_replicas_and_in_order():
    for solved in (busy, plain):
        for month in capacity(*solved()).months:
            if month.phase == "serving":
                assert month.serving_base == round(month.serving_base)
                assert month.serving_base <= month.serving_mean + 1e-9 <= month.serving_peak + 2e-9
                assert month.serving_mean == pytest.approx(month.committed + month.on_demand_mean)
                paid = HOURS_PER_MONTH * (month.serving_mean + month.spot_mean)
                assert month.gpu_hours == pytest.approx(paid, rel=1e-12)
    assert any(month.spot_mean > 0 and month.committed > 0 for month in capacity(*busy()).months)


def test_a_fixed_fleet_has_its_peak_at_all_hours():
    found = scenario(serving={"fleet": {"fixed": "99%"}})
    served = [month for month in capacity(found, bc.solve(found)).months if month.phase == "serving"]
    assert len({(month.serving_base, month.serving_mean, month.serving_peak) for month in served}) == 1
    assert served[0].serving_base == served[0].serving_peak > 1


def test_the_table_as_json_and_as_a_frame():
    table = capacity(*busy())
    record = table.to_dict()
    assert record["schema"] == "beyond-chinchilla/capacity/1"
    assert record["plan"]["total"] == table.deployment.best.total
    assert record["months"] == [month.to_dict() for month in table.months]
    assert record["totals"]["gpu_hours"] == pytest.approx(sum(month["gpu_hours"] for month in record["months"]))
    frame = table.to_frame()
    assert list(frame.columns) == list(record["months"][0])
    assert frame["present_value"].sum() == pytest.approx(table.deployment.best.total, rel=1e-12)


def test_demand_over_the_life_alone_says_what_to_write():
    demand = {"requests": "1B", "input_tokens": 70, "output_tokens": 215}
    over_life = bc.Scenario.from_dict({**fixed(discounting=None).to_dict(), "demand": demand})
    with pytest.raises(InputError, match=r"needs objective cost and demand by month; give demand\.requests_per_month"):
        capacity(over_life, bc.solve(over_life))


def test_no_plan_has_no_months():
    found = scenario(limits={"gpus": {"max": 1}})
    plan = bc.solve(found)
    assert plan.best is None
    with pytest.raises(InputError, match="there is no plan to deploy"):
        capacity(found, plan)


def test_a_plan_of_another_scenario_is_refused():
    several = scenario(serving={"gpus_per_replica": [1, 2]})
    plan = bc.solve(several)
    other = scenario(serving={"gpus_per_replica": 4})
    with pytest.raises(InputError, match=f"the plan serves on {plan.choice}, which this scenario does not offer"):
        deploy(other, plan)


@each_plan
def test_the_problem_of_a_plan_has_that_plan_as_its_optimum(solved):
    found, plan = solved()
    again = bc.solve(problem_of(found, plan))
    assert again.best is not None
    assert again.best.total == pytest.approx(plan.best.total, rel=1e-9)
    assert again.best.params == pytest.approx(plan.best.params, rel=1e-5)


# Energy


def test_energy_by_hand():
    found = scenario(
        energy={"pue": 1.2, "grid": "0.35 kg/kWh", "power_per_gpu": "1 kW"}, training={"development": "20%"}
    )
    plan = bc.solve(found)
    table = capacity(found, plan)
    used = footprint(table.deployment)
    by_phase = {phase.phase: phase for phase in used.phases}
    trained = table.months[0].gpu_hours
    assert by_phase["training"].kwh == pytest.approx(1.2 * trained, rel=1e-12)
    assert by_phase["development"].kwh == pytest.approx(0.2 * 1.2 * trained, rel=1e-12)
    # The hours of the capacity table: one account of what is on.
    assert by_phase["serving"].gpu_hours == pytest.approx(table.totals["gpu_hours"] - trained, rel=1e-9)
    assert used.tonnes_co2e == pytest.approx(0.35e-3 * used.kwh, rel=1e-12)
    assert used.to_dict()["kwh"] == used.kwh


def test_energy_is_asked_for_and_a_grid_is_stated():
    found, plan = plain()
    with pytest.raises(InputError, match="no energy section"):
        footprint(deploy(found, plan))
    without = scenario(energy={"pue": 1.3})
    assert footprint(deploy(without, bc.solve(without))).tonnes_co2e is None


def test_the_busy_scenario_is_busy():
    assert set(BUSY) == {"demand", "training", "serving"}
    table = capacity(*busy())
    assert {"development", "data", "delay", "idle", "rounding"} <= set(table.deployment.best.terms)


def test_a_share_below_the_floor_is_said_to_be_raised():
    contract = {"price": 1.5, "share": "60%"}
    found = scenario(serving={"commitment": contract, "fleet": {"floor": 400}})
    plan = bc.solve(found)
    table = capacity(found, plan)
    fleet = table.deployment.service.fleet
    stated = 0.6 * fleet.need(*table.deployment.seconds).mean()
    committed = table.months[-1].committed
    assert committed > stated
    (note,) = [note for note in table.notes if "of the mean need" in note]
    assert note.startswith(f"60% of the mean need would be {stated:.3g} committed GPUs, below the floor of 400; ")
    # What the note advises is no dearer: the larger need is not there.
    advised = scenario(serving={"commitment": {"price": 1.5, "gpus": int(committed)}, "fleet": {"floor": 400}})
    assert f"{{gpus: {int(committed)}}}" in note
    assert bc.solve(advised).best.total <= plan.best.total * (1.0 + 1e-9)
    # A share that is kept needs no word.
    kept = scenario(serving={"commitment": contract})
    assert not raised_commitment(deploy(kept, bc.solve(kept)))


def test_the_nominal_total_is_of_the_same_bill_as_the_total():
    table = capacity(*busy())
    record = table.to_dict()["plan"]
    assert record["nominal_total"] == table.totals["cost"]
    assert record["nominal_total"] >= record["total"]
