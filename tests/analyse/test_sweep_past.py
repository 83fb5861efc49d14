"""Sweeps of scenarios under laws past Chinchilla: every row as the solver has it, by arrays where there are any."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import sweeps

import beyond_chinchilla as bc
from beyond_chinchilla.analyse.sweep.plan import plan_sweep
from beyond_chinchilla.scenario.document import Document, override
from beyond_chinchilla.scenario.load import Scenario, check

# Hundreds of rows, each solved alone.
pytestmark = pytest.mark.own_step

FIGURES = (
    "params", "tokens", "total", "savings_fraction", "loss", "target_loss", "kappa", "spend_ratio",
    "baseline_params", "baseline_tokens", "baseline_total",
)  # fmt: skip
SERVING = {"hardware": "b200-sxm", "precision": "fp4", "price": 4.0, "prefill_mfu": 0.5, "decode_mfu": 0.02}
SCORES = {"E": 0.1, "A": 406.4, "alpha": 0.336, "B": 410.7, "beta": 0.283, "name": "scores"}


def swept(tmp_path: Path, scenario: Scenario, *vary: str, columns: tuple[str, ...] = FIGURES) -> list[dict[str, Any]]:
    """Return the rows of a sweep, after each is compared with the solver's plan."""
    output = tmp_path / "s.parquet"
    made = plan_sweep(scenario, vary=vary, columns=columns, output=str(output))
    made.run(engine_name="serial")
    rows: list[dict[str, Any]] = sweeps.rows(output).to_pylist()
    keys = [axis.partition("=")[0] for axis in vary]
    for row in rows:
        document = Document(name="row", tree=scenario.to_dict())
        override(document, [f"{key}={row[key]}" for key in keys])
        plan = bc.solve(check(document))
        assert row["status"] == plan.status
        if plan.best is None:
            assert row["params"] is None
            continue
        base = plan.baseline
        expected = {
            "params": plan.best.params, "tokens": plan.best.tokens, "total": plan.best.total,
            "loss": plan.best.loss, "target_loss": plan.target_loss, "kappa": plan.kappa,
            "spend_ratio": plan.spend_ratio, "baseline_params": base.params, "baseline_tokens": base.tokens,
            "baseline_total": base.total,
        }  # fmt: skip
        for name, value in expected.items():
            if name in row:
                assert row[name] == pytest.approx(value, rel=1e-6), name
        assert row["total"] == pytest.approx(plan.best.total, rel=1e-9)
        if "savings_fraction" in row:
            assert row["savings_fraction"] == pytest.approx(plan.savings_fraction, rel=1e-6, abs=1e-9)
    return rows


def test_over_unique_tokens(tmp_path: Path) -> None:
    scenario = sweeps.scenario(data={"unique_tokens": "1T"}, limits={"tokens": {"max": "5T"}})
    rows = swept(tmp_path, scenario, "data.unique_tokens=30B:3T:log:5", "demand.requests=1B,100B")
    assert len(rows) == 10
    totals = [row["total"] for row in rows if row["demand.requests"] == 1e9 and row["total"]]
    # Ever more data is ever less worth.
    assert totals == sorted(totals, reverse=True)
    assert len(set(totals)) > 2


def test_over_demand_under_quantisation(tmp_path: Path) -> None:
    scenario = sweeps.scenario(serving=SERVING, quantisation="kumar-2024")
    rows = swept(tmp_path, scenario, "demand.requests=10M,1B,100B", "training.precision=bf16,int8")
    assert len(rows) == 6
    # What is trained in fewer bits needs more of everything.
    by_bits = {(row["demand.requests"], row["training.precision"]): row["params"] for row in rows}
    assert by_bits[1e9, "int8"] != by_bits[1e9, "bf16"]


def test_the_method_of_a_row_tells_where_the_plain_law_holds(tmp_path: Path) -> None:
    scenario = sweeps.scenario(data={"unique_tokens": "1T"})
    rows = swept(tmp_path, scenario, "data.unique_tokens=100B,100T", columns=("params", "tokens", "total", "method"))
    assert [row["method"] for row in rows] == ["search", "universal"]


@pytest.mark.parametrize(
    "more",
    [
        {"law": SCORES, "target": {"loss": 0.3}, "thinking": {"G": 0.2, "g": 0.4, "samples": 8}},
        {"shape": {"law": "bian-2025", "aspect": 128}},
        {"law": "ludziejewski-2025", "experts": 8, "target": {"chinchilla": "20B"}},
    ],
    ids=["samples", "aspect", "experts"],
)
def test_numbers_that_are_fixed_leave_a_plain_law(tmp_path: Path, more: dict[str, Any]) -> None:
    scenario = sweeps.scenario(**more)
    rows = swept(tmp_path, scenario, "demand.requests=10M,1B,100B")
    assert [row["status"] for row in rows] == ["optimal"] * 3


@pytest.mark.parametrize(
    ("more", "axis", "baselines"),
    [
        # Whatever is sampled, the baseline answers once; of each shape there is another one.
        (
            {"law": SCORES, "target": {"loss": 0.36}, "thinking": {"G": 0.2, "g": 0.4, "samples": {"max": 64}}},
            "thinking.samples=4,16",
            2,
        ),
        ({"shape": {"law": "bian-2025", "aspect": {"min": 64, "max": 256}}}, "shape.aspect=64,128,200", 6),
    ],
    ids=["samples", "aspect"],
)
def test_over_the_number_itself(tmp_path: Path, more: dict[str, Any], axis: str, baselines: int) -> None:
    rows = swept(tmp_path, sweeps.scenario(**more), axis, "demand.requests=100M,10B")
    assert [row["status"] for row in rows] == ["optimal"] * len(rows)
    assert len({row["baseline_total"] for row in rows}) == baselines


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({"serving": {**SERVING, "precision": ["fp8", "fp4"]}, "quantisation": "kumar-2024"}, "a choice between"),
        (
            {"law": SCORES, "target": {"loss": 0.3}, "thinking": {"G": 0.2, "g": 0.4, "samples": {"max": 16}}},
            "samples chosen with each model",
        ),
    ],
    ids=["precisions", "samples"],
)
def test_what_each_row_chooses_is_solved_row_by_row(tmp_path: Path, more: dict[str, Any], why: str) -> None:
    scenario = sweeps.scenario(**more)
    made = plan_sweep(scenario, vary=("demand.requests=10M,1B",), output=str(tmp_path / "why.parquet"))
    assert made.slow is not None
    assert made.slow.why.startswith(why)
    rows = swept(tmp_path, scenario, "demand.requests=10M,1B", columns=("params", "tokens", "total"))
    assert [row["status"] for row in rows] == ["optimal"] * 2
