"""Price lists and fleets in files beside a scenario: what is read, what it bounds, and what is refused."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest

import beyond_chinchilla as bc
from beyond_chinchilla.errors import ScenarioError
from beyond_chinchilla.scenario.load import Scenario

BASE: dict[str, Any] = {
    "name": "supply",
    "law": "sardana-2024",
    "target": {"chinchilla": "13B"},
    "demand": {
        "table": [
            {"month": "2027-01", "requests": "1B"},
            {"month": "2027-02", "requests": "3B"},
            {"month": "2027-03", "requests": "2B"},
        ],
        "input_tokens": 900,
        "output_tokens": 220,
        "peak_to_mean": 2.0,
    },
    "training": {"hardware": "h100-sxm", "precision": "bf16", "mfu": "40%"},
    "serving": {"hardware": "h100-sxm", "precision": "fp8", "prefill_mfu": "50%", "decode_mfu": "5%"},
}
PRICES = (
    "InstanceType,AcceleratorName,AcceleratorCount,vCPUs,MemoryGiB,GpuInfo,Price,SpotPrice,Region,AvailabilityZone\n"
    "gpu_8x_h100_sxm5,H100,8,208,1800,,16.00,,us-east-1,\n"
)


def stated(**changes: Any) -> dict[str, Any]:
    return copy.deepcopy(BASE) | changes


def months(*gpus: float) -> dict[str, Any]:
    return {"table": [{"month": f"2027-0{index}", "gpus": each} for index, each in enumerate(gpus, start=1)]}


def needs() -> list[float]:
    """Return the GPUs of each month's busiest hour, where nothing bounds them."""
    scenario = Scenario.from_dict(stated())
    table = bc.capacity(scenario, bc.solve(scenario)).to_frame()
    return [float(need) for need in table[table.phase == "serving"].serving_peak]


def mistakes(**changes: Any) -> str:
    with pytest.raises(ScenarioError) as caught:
        Scenario.from_dict(stated(**changes))
    return str(caught.value)


def test_gpus_enough_in_every_month_change_nothing():
    free, bounded = (bc.solve(Scenario.from_dict(tree)) for tree in (stated(), stated(capacity=months(9e6, 9e6, 9e6))))
    assert bounded.best is not None
    assert free.best is not None
    assert bounded.best.total == pytest.approx(free.best.total, rel=1e-9)


def test_the_month_that_is_short_binds_and_not_the_one_with_the_fewest_gpus():
    first, second, third = needs()
    assert first < third < second
    # The second month has more GPUs than the first, but fewer than it needs.
    available = (1.2 * first, 0.9 * second, 2.0 * third)
    assert available[0] < available[1]
    plan = bc.solve(Scenario.from_dict(stated(capacity=months(*available))))
    assert plan.best is not None
    (row,) = [row for row in plan.limits if row.label == "gpus"]
    assert row.binding
    assert row.bound == pytest.approx(available[0])
    alone = bc.solve(
        Scenario.from_dict(stated(limits={"gpus": {"max": 10**7}}, capacity=months(9e6, available[1], 9e6)))
    )
    assert alone.best is not None
    assert plan.best.params == pytest.approx(alone.best.params, rel=1e-9)
    table = bc.capacity(Scenario.from_dict(stated(capacity=months(*available))), plan).to_frame()
    peaks = table[table.phase == "serving"].serving_peak
    assert all(peak <= bound * (1 + 1e-9) + 1 for peak, bound in zip(peaks, available, strict=True))


def test_its_price_is_what_a_little_more_saves():
    _, second, _ = needs()
    totals = []
    for factor in (1.0, 1.0 + 1e-4):
        plan = bc.solve(Scenario.from_dict(stated(capacity=months(9e6, 0.9 * second * factor, 9e6))))
        assert plan.best is not None
        totals.append(plan.best.total - plan.best.terms.get("rounding", 0.0))
        if factor == 1.0:
            (row,) = [row for row in plan.limits if row.label == "gpus"]
    assert row.elasticity == pytest.approx((totals[1] / totals[0] - 1.0) / 1e-4, rel=1e-2)


def test_a_fixed_fleet_is_bounded_by_the_month_with_the_fewest():
    tree = stated(capacity=months(9e6, 9e6, 4000.0))
    tree["serving"]["fleet"] = {"fixed": "100%"}
    plan = bc.solve(Scenario.from_dict(tree))
    assert plan.serving is not None
    assert plan.serving["gpus_on_peak"] <= 4000.0 * (1 + 1e-9)


def test_batch_work_at_its_own_price_needs_none_of_the_bounded_gpus():
    tree = stated(limits={"gpus": {"max": 1}})
    tree["demand"]["batch_share"] = 1.0
    tree["serving"]["batch_price"] = 1.25
    plan = bc.solve(Scenario.from_dict(tree))
    assert plan.best is not None
    assert "gpus" not in {row.label for row in plan.limits}


def test_a_book_beside_the_scenario(tmp_path: Path):
    (tmp_path / "fleet.csv").write_text(
        'Our fleet,\nMonth,GPUs available\nJan 2027,9000\nFeb 2027,"8,000"\nMar 2027,7000\n'
    )
    (tmp_path / "prices.csv").write_text(PRICES)
    found = Scenario.from_dict(
        stated(capacity={"file": "fleet.csv"}, prices={"file": "prices.csv"}), folder=tmp_path
    ).to_dict()
    assert [row["gpus"] for row in found["capacity"]["table"]] == [9000.0, 8000.0, 7000.0]
    assert found["capacity"]["table"][0]["month"] == "2027-01"
    assert found["training"]["price"] == 2.0
    assert found["serving"]["price"] == {"h100-sxm": 2.0}
    # Read once: what was found needs no file any more.
    assert Scenario.from_dict(found).to_dict() == found


def test_a_stated_price_stays(tmp_path: Path):
    (tmp_path / "prices.csv").write_text(PRICES)
    tree = stated(prices={"file": "prices.csv"})
    tree["training"]["price"] = 3.5
    found = Scenario.from_dict(tree, folder=tmp_path).to_dict()
    assert found["training"]["price"] == 3.5
    assert found["serving"]["price"] == {"h100-sxm": 2.0}


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"capacity": months(10, 10)}, "capacity: no row for month 2027-03, which is served; add it"),
        ({"capacity": {}}, "capacity: has no months; give table"),
        ({"capacity": {"table": [{"month": "2027-01", "gpus": 0}]}}, "0 must be above zero"),
        ({"capacity": {"table": [{"month": "2027-01", "gpus": 5}] * 2}}, "capacity: 2027-01 is there twice"),
        ({"capacity": {"table": [{"month": "1", "gpus": 5}, {"month": "2027-02", "gpus": 5}]}}, "keep one kind"),
        ({"capacity": {"file": "../fleet.xlsx"}}, "lies outside the scenario's folder"),
        ({"capacity": {"file": "nowhere.xlsx"}}, "nowhere.xlsx: no such file"),
        ({"capacity": {"file": "fleet.xlsx", **months(5, 5, 5)}}, "file and table are both given"),
        ({"prices": {"file": "nowhere.csv"}}, "nowhere.csv"),
        ({"prices": "list.csv"}, "prices: expected keys below it"),
        (
            {"demand": {"requests": "1B", "input_tokens": 9, "output_tokens": 9}, "capacity": months(5)},
            "capacity.table",
        ),
    ],
)
def test_what_cannot_be_is_told(changes: dict[str, Any], says: str):
    assert says in mistakes(**changes)
