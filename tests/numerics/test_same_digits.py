"""The same plan to the last printed digit, whatever it was cut into, who computed it and in which order it was said.

What is promised: arrays give every row to the last bit on any block size and engine, so that files are equal byte by
byte; a page in text, JSON or CSV is equal byte by byte under any number of threads, hash seed, locale and time zone;
other solvers, and another order of terms, print the same text, whose JSON may differ in the last digits of a double.
"""

from __future__ import annotations

import itertools
import json
import os
import random
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shipped
import sweeps
from command_line import run
from trees import COST, changed

import beyond_chinchilla as bc
from beyond_chinchilla.analyse.risk.assess import assess
from beyond_chinchilla.analyse.sweep import plan as sweep_plan
from beyond_chinchilla.engines import engine
from beyond_chinchilla.laws.loss_law import LossLaw
from beyond_chinchilla.optimise import elementwise, universal
from beyond_chinchilla.posynomial import Posynomial, monomial

ROOT = Path(__file__).parents[2]
LIMITED = {"limits": {"tokens": {"max": "3T"}, "total_cost": {"max": "40M USD"}}}
# Of problems in a block: more than any block of these tests.
COUNT = 120
VARIED = ("law=sardana-2024,besiroglu-2024", "demand.requests=1e6:1e13:log:12", "training.price=0.5:4:lin:3")


# Blocks


def _swept(folder: Path, limits: dict[str, Any], engine_name: str = "serial") -> dict[str, bytes]:
    output = folder / "s.parquet"
    sweep_plan.plan_sweep(sweeps.scenario(**limits), vary=VARIED, output=str(output)).run(engine_name=engine_name)
    table = sweeps.rows(output)
    return {name: table[name].combine_chunks().to_numpy(zero_copy_only=False).tobytes() if _is_plain(table[name]) else
            repr(table[name].to_pylist()).encode() for name in table.column_names}  # fmt: skip


def _is_plain(column: Any) -> bool:
    return column.null_count == 0 and "float" in str(column.type)


@pytest.mark.parametrize("limits", [{}, LIMITED], ids=["universal", "elementwise"])
def test_a_sweep_has_the_same_bits_on_any_block_size(tmp_path, monkeypatch, limits) -> None:
    usual = _swept(tmp_path, limits)
    for size in (1, 7, 1000):
        monkeypatch.setattr(sweep_plan, "BLOCK", max(size, 7))
        monkeypatch.setattr(universal, "BLOCK", size)
        monkeypatch.setattr(elementwise, "BLOCK", size)
        folder = tmp_path / str(size)
        folder.mkdir()
        assert _swept(folder, limits) == usual, size


@pytest.mark.parametrize("size", [1, 2, 7, 100])
def test_the_elementwise_solver_has_the_same_bits_on_any_block_size(monkeypatch, size) -> None:
    law = LossLaw(E=1.69, A=406.4, alpha=0.336, B=410.7, beta=0.283)
    rng = np.random.default_rng(5)
    loss, rent = 1.69 + np.exp(rng.uniform(-3.0, 0.5, COUNT)), 10.0 ** rng.uniform(-300.0, 40.0, COUNT)
    # Whatever takes the rare roads must not pull its neighbours along.
    loss[[3, 70]], rent[[5, 90]] = 1.69, 1e300
    cost = monomial("training", 6.0, {"params": 1.0, "tokens": 1.0}) + monomial("rent", rent, {"params": 1.0})
    limits = [monomial("tokens", 1.0 / 10.0 ** rng.uniform(11.0, 15.0, COUNT), {"tokens": 1.0})]
    usual = elementwise.minimise(law, loss, cost, limits)
    monkeypatch.setattr(elementwise, "BLOCK", size)
    found = elementwise.minimise(law, loss, cost, limits)
    for field in ("params", "tokens", "status", "residual", "iterations"):
        assert getattr(found, field).tobytes() == getattr(usual, field).tobytes(), field
    assert len(set(usual.status.tolist())) >= 3


def test_the_rows_of_a_sweep_do_not_depend_on_their_order(tmp_path) -> None:
    values = [10.0**power for power in (-15, -3, 0, 3, 6, 9, 12, 15, 18, 23)]
    found = []
    for number, order in enumerate((values, values[::-1], random.Random(1).sample(values, len(values)))):
        output = tmp_path / f"{number}.parquet"
        vary = (f"demand.requests={','.join(map(repr, order))}",)
        sweep_plan.plan_sweep(sweeps.scenario(**LIMITED), vary=vary, output=str(output)).run(engine_name="serial")
        rows = [{**row, "row": None} for row in sweeps.rows(output).to_pylist()]
        found.append(sorted(rows, key=lambda row: row["demand.requests"]))
    assert found[0] == found[1] == found[2]
    assert {row["status"] for row in found[0]} > {"optimal"}


# Engines


@pytest.mark.parametrize("name", ["threads", pytest.param("processes", marks=pytest.mark.own_step)])
def test_a_sweep_writes_the_same_bytes_on_any_engine(tmp_path, monkeypatch, name) -> None:
    monkeypatch.setattr(sweep_plan, "BLOCK", 16)
    files = []
    for engine_name in ("serial", name):
        output = tmp_path / f"{engine_name}.parquet"
        made = sweep_plan.plan_sweep(sweeps.scenario(**LIMITED), vary=VARIED, output=str(output))
        made.run(engine_name=engine_name, workers=None if engine_name == "serial" else 2)
        files.append(sweeps.contents(output))
    assert len(files[0]) > 3
    assert files[0] == files[1]


@pytest.mark.own_step
@pytest.mark.parametrize("name", ["threads", "processes"])
def test_risk_has_the_same_figures_on_any_engine(name) -> None:
    tree = changed(COST, demand__requests={"median": "1B", "p90": "1T"}, law="besiroglu-2024")
    scenario = bc.Scenario.from_dict(tree)
    plan = bc.solve(scenario)
    usual = assess(scenario, plan, samples=1000).to_dict()
    with engine(name, workers=2) as pool:
        assert json.dumps(assess(scenario, plan, samples=1000, pool=pool).to_dict()) == json.dumps(usual)


# Threads, seeds, locales and time zones

_PRINTS = """
import sys
from pathlib import Path
from click.testing import CliRunner
from beyond_chinchilla.cli.main import cli
for path in sys.argv[1].split(","):
    for format_ in ("text", "json", "csv", "markdown"):
        result = CliRunner().invoke(cli, [path, "--format", format_])
        assert result.exit_code in (0, 1), result.output
        sys.stdout.write(result.stdout)
"""
_USUAL = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "PYTHONHASHSEED": "0", "LC_ALL": "C.UTF-8", "TZ": "UTC"}
_SOLVED = ("1B-requests", "six-limits", "flops-13B-2T-tokens", "limited-data", "shape")


def _printed(changes: dict[str, str], names: tuple[str, ...]) -> bytes:
    paths = ",".join(str(ROOT / "scenarios" / f"{name}.yaml") for name in names)
    made = subprocess.run(
        [sys.executable, "-c", _PRINTS, paths],
        env={**os.environ, **_USUAL, **changes},
        capture_output=True,
        check=False,
    )
    assert made.returncode == 0, made.stderr.decode()[-2000:]
    return made.stdout


@pytest.mark.own_step
def test_pages_are_the_same_bytes_wherever_they_are_made() -> None:
    usual = _printed({}, _SOLVED[:3])
    changes = {"OPENBLAS_NUM_THREADS": "4", "OMP_NUM_THREADS": "4", "PYTHONHASHSEED": "7", "TZ": "Asia/Kathmandu"}
    assert len(usual) > 10_000
    assert _printed({**changes, "LC_ALL": "de_DE.UTF-8"}, _SOLVED[:3]) == usual


@pytest.mark.own_step
def test_pages_are_the_same_bytes_under_any_number_of_threads() -> None:
    usual = _printed({}, _SOLVED)
    for threads, seed in (("2", "1"), ("4", "12345")):
        changes = {"OPENBLAS_NUM_THREADS": threads, "OMP_NUM_THREADS": threads, "PYTHONHASHSEED": seed}
        assert _printed(changes, _SOLVED) == usual, changes


# Solvers


@pytest.mark.parametrize("name", ["1B-requests", "flops-13B-2T-tokens", "cost-70B-35.1B-requests"])
def test_solvers_print_the_same_page(name) -> None:
    path = str(ROOT / "scenarios" / f"{name}.yaml")
    pages = {}
    for method in ("universal", "elementwise", "gp"):
        plan = bc.solve(shipped.scenario(Path(path)), method)
        record = plan.to_dict()
        assert record.pop("method") == method
        record.pop("certificate")
        pages[method] = _to_digits(record, 7)
    assert pages["universal"] == pages["elementwise"] == pages["gp"]


def _to_digits(tree: Any, digits: int) -> Any:
    """Return a record with fewer digits of every number, more than any page prints."""
    if isinstance(tree, dict):
        return {key: _to_digits(value, digits) for key, value in tree.items()}
    if isinstance(tree, list):
        return [_to_digits(value, digits) for value in tree]
    return float(f"{tree:.{digits - 1}e}") if isinstance(tree, float) else tree


# Orders


def _shuffled(tree: Any, rng: random.Random) -> Any:
    if isinstance(tree, dict):
        keys = list(tree)
        rng.shuffle(keys)
        return {key: _shuffled(tree[key], rng) for key in keys}
    return [_shuffled(value, rng) for value in tree] if isinstance(tree, list) else tree


@pytest.mark.parametrize("name", ["1B-requests", "six-limits"])
def test_the_order_of_a_files_keys_changes_nothing(tmp_path, name) -> None:
    import yaml

    tree = yaml.safe_load((ROOT / "scenarios" / f"{name}.yaml").read_text(encoding="utf-8"))
    pages = []
    for seed in (None, 1, 2):
        file = tmp_path / f"{seed}" / "s.yaml"
        file.parent.mkdir()
        said = tree if seed is None else _shuffled(tree, random.Random(seed))
        file.write_text(yaml.safe_dump(said, sort_keys=False), encoding="utf-8")
        pages.append([run(str(file), "--format", format_).stdout for format_ in ("text", "json", "csv")])
    assert pages[0] == pages[1] == pages[2]


def test_the_order_of_terms_and_limits_changes_no_printed_digit() -> None:
    problem = sweeps.scenario(**LIMITED, target={"chinchilla": "13B"}).to_problem()
    records = []
    for terms in itertools.permutations(problem.cost.terms):
        for limits in (problem.limits, problem.limits[::-1]):
            asked = replace(problem, cost=Posynomial(terms, problem.cost.unit), limits=limits)
            plan = bc.solve(asked)
            assert plan.best is not None
            records.append([f"{x:.9g}" for x in (plan.best.params, plan.best.tokens, plan.best.total)])
    assert len(records) >= 4
    assert all(record == records[0] for record in records)
