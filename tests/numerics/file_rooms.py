"""What users write, with extreme numbers in it: scenarios, sweeps, risk, units, run tables, cells of a spreadsheet."""

from __future__ import annotations

import copy
import json
import math
import random
import tempfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from core_rooms import sound
from rooms import ODD, PLAN, STATUS, Outcome, Room, all_numbers, must_say, positive

import beyond_chinchilla as bc
from beyond_chinchilla import units
from beyond_chinchilla.analyse.risk.assess import assess
from beyond_chinchilla.analyse.sweep.plan import plan_sweep
from beyond_chinchilla.errors import BeyondChinchillaError, InputError, UnitError
from beyond_chinchilla.fit.isoflop import fit_isoflop
from beyond_chinchilla.fit.parametric import fit_parametric
from beyond_chinchilla.laws.loss_law import LossLaw
from beyond_chinchilla.sheets import functions

SCENARIOS = Path(__file__).parents[2] / "scenarios"
# Serving by month takes seconds for each plan.
_BY_MONTH = ("batch-by-month", "batch-summariser", "chat-assistant", "code-assistant", "limited-fleet", "owned-cluster")
_PAST = ("benchmark-target", "thinking", "shape", "experts", "quantised", "limited-data")
_SLOW = (*_BY_MONTH, *_PAST, "chat-on-three-chips", "uncertain-demand")


@cache
def _trees() -> dict[str, Any]:
    return {path.stem: yaml.safe_load(path.read_text(encoding="utf-8")) for path in sorted(SCENARIOS.glob("*.yaml"))}


def _leaves(tree: Any, place: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return the place of every value that could be a number."""
    if isinstance(tree, dict):
        return [found for key, value in tree.items() for found in _leaves(value, (*place, key))]
    if isinstance(tree, list):
        return [found for index, value in enumerate(tree) for found in _leaves(value, (*place, index))]
    numeric = isinstance(tree, (int, float)) or (isinstance(tree, str) and any(sign.isdigit() for sign in tree))
    return [place] if numeric and not isinstance(tree, bool) and "hardware" not in place else []


_WRITTEN = ("1e-300", "1e300", "0.0000001%", "1e-12", "1e400", "1e-400", "5e-324", "-0", "1e15T", "1e308B")


def _value(rng: random.Random) -> Any:
    kind = rng.random()
    if kind < 0.35:
        return rng.choice(ODD)
    if kind < 0.6:
        return positive(rng)
    if kind < 0.75:
        return rng.choice(_WRITTEN)
    return 10.0 ** rng.uniform(-15.0, 25.0)


def changed(name: str, changes: Sequence[tuple[Sequence[Any], Any]]) -> dict[str, Any]:
    """Return a shipped scenario with values put in the place of others."""
    tree = copy.deepcopy(_trees()[name])
    for place, value in changes:
        node = tree
        for key in place[:-1]:
            node = node[key]
        node[place[-1]] = value
    return tree


def _draw_scenario(rng: random.Random, names: Sequence[str]) -> dict[str, Any]:
    name = rng.choice(names)
    leaves = _leaves(_trees()[name])
    chosen = rng.sample(leaves, min(rng.choice((1, 1, 1, 2, 4)), len(leaves)))
    return {"name": name, "changes": [(place, _value(rng)) for place in chosen]}


def draw_plain(rng: random.Random) -> dict[str, Any]:
    """Draw a scenario of the plain law over the life, and other values for one to four of its numbers."""
    return _draw_scenario(rng, [name for name in _trees() if name not in _SLOW])


def draw_further(rng: random.Random) -> dict[str, Any]:
    """Draw a scenario of laws past Chinchilla, of serving by month or of an owned fleet, likewise."""
    return _draw_scenario(rng, [name for name in _trees() if name in _SLOW and name != "chat-on-three-chips"])


def judge_scenario(name: str, changes: Sequence[tuple[Sequence[Any], Any]]) -> Outcome:
    """Solve it: a plan that is sound and that JSON holds, or a message without nan."""
    with tempfile.TemporaryDirectory() as folder:
        for path in SCENARIOS.iterdir():
            if path.is_file() and path.suffix != ".yaml":
                (Path(folder) / path.name).write_bytes(path.read_bytes())
        file = Path(folder) / f"{name}.yaml"
        file.write_text(yaml.safe_dump(changed(name, changes), sort_keys=False), encoding="utf-8")
        try:
            plan = bc.solve(bc.load(file))
        except BeyondChinchillaError as error:
            must_say(error, [value for _, value in changes])
            return Outcome(STATUS)
    json.dumps(plan.to_dict(), allow_nan=False)
    if plan.status != "optimal":
        assert plan.warnings
        return Outcome(STATUS)
    sound(plan)
    return Outcome(PLAN)


# Sweeps

# Decades between which most values are drawn.
_AXES = {
    "demand.requests": (-3.0, 22.0),
    "demand.input_tokens": (-3.0, 9.0),
    "training.price": (-9.0, 12.0),
    "training.mfu": (-9.0, 0.0),
    "serving.price": (-9.0, 12.0),
    "serving.decode_mfu": (-9.0, 0.0),
    "target.loss": (0.2279, 0.7),
    "target.chinchilla": (4.0, 15.0),
    "limits.tokens.max": (8.0, 18.0),
    "limits.params.min": (5.0, 14.0),
    "limits.total_cost.max": (2.0, 12.0),
}


def draw_sweep(rng: random.Random) -> dict[str, Any]:
    """Draw two axes of a sweep with a few values each."""
    axes = rng.sample(list(_AXES), 2)
    if {"target.loss", "target.chinchilla"} == set(axes):
        axes[0] = "training.price"
    values = []
    for axis in axes:
        low, high = _AXES[axis]
        few = [positive(rng) if rng.random() < 0.1 else 10.0 ** rng.uniform(low, high) for _ in range(3)]
        values.append((axis, few))
    return {"values": values}


def judge_sweep(values: Sequence[tuple[str, Sequence[float]]]) -> Outcome:
    """Compare every row with the solver's own plan, to what a page prints."""
    import pyarrow.parquet as pq

    tree = _trees()["1B-requests"]
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "s.parquet"
        vary = [f"{axis}={','.join(map(repr, few))}" for axis, few in values]
        try:
            plan_sweep(bc.Scenario.from_dict(tree), vary=vary, output=str(output)).run(engine_name="serial")
        except InputError as error:
            must_say(error)
            return Outcome(STATUS)
        rows = pq.read_table(output).to_pylist()
    plans = 0
    for row in rows:
        assert (row["status"] == "optimal") == (row["params"] is not None), row
        for _, number in all_numbers({key: value for key, value in row.items() if value is not None}):
            assert math.isfinite(number), row
        alone = copy.deepcopy(tree)
        for axis, _ in values:
            section, *rest = axis.split(".")
            if section == "target":
                alone["target"] = {}
            node = alone.setdefault(section, {})
            for key in rest[:-1]:
                node = node.setdefault(key, {})
            node[rest[-1]] = row[axis]
        try:
            plan = bc.solve(bc.Scenario.from_dict(alone))
        except BeyondChinchillaError:
            refused = True
        else:
            refused = False
        if refused:
            assert row["status"] != "optimal", row
            continue
        assert row["status"] == plan.status, (row, plan.status)
        if plan.best is None:
            continue
        sound(plan)
        plans += 1
        assert row["total"] is not None
        assert abs(row["total"] / plan.best.total - 1.0) < 1e-8, (row, plan.best.total)
    return Outcome(PLAN if plans else STATUS)


# Risk


def draw_risk(rng: random.Random) -> dict[str, Any]:
    """Draw a distribution for one of the inputs."""
    key = rng.choice((("demand", "requests"), ("demand", "output_tokens"), ("serving", "price"), ("training", "price")))
    middle = positive(rng) if rng.random() < 0.3 else 10.0 ** rng.uniform(-2.0, 12.0)
    wide = 10.0 ** rng.choice((rng.uniform(-12.0, 2.0), rng.uniform(0.0, 250.0)))
    stated = rng.choice(
        ({"median": middle, "p90": middle * (1.0 + wide)}, {"p10": middle, "p90": middle * (1.0 + wide)})
    )
    return {"key": key, "stated": stated, "law": rng.choice(("sardana-2024", "besiroglu-2024"))}


def judge_risk(key: Sequence[str], stated: dict[str, float], law: str) -> Outcome:
    """Carry it to the decision: no figure that is not a number, none negative that may not be."""
    tree = copy.deepcopy(_trees()["1B-requests"])
    tree["law"] = law
    tree[key[0]][key[1]] = stated
    try:
        scenario = bc.Scenario.from_dict(tree)
        plan = bc.solve(scenario)
        if plan.best is None:
            return Outcome(STATUS)
        risk = assess(scenario, plan, samples=200, points=0)
    except BeyondChinchillaError as error:
        must_say(error, stated.values())
        return Outcome(STATUS)
    record = risk.to_dict()
    json.dumps(record, allow_nan=False)
    return Outcome(PLAN)


# Units and figures

_UNITS = ("", "USD/hour", "USD", "day", "hour", "TFLOP/s", "GB", "params", "tokens", "month", "nats/token")


def draw_units(rng: random.Random) -> dict[str, Any]:
    """Draw a number as a person would write it, and the unit that is expected."""
    number = rng.choice(
        (
            repr(positive(rng)),
            repr(rng.choice(ODD)),
            f"1e{rng.randint(-400, 400)}",
            "9" * rng.randint(1, 400),
            "0." + "0" * 330 + "1",
        )
    )
    suffix = rng.choice(("", "", "k", "M", "B", "T", "Q", "%", " billion"))
    unit = rng.choice(_UNITS)
    given = rng.choice(("", unit, "hours", "minutes", "weeks", "$/hour", "TiB", "EFLOP/s"))
    return {"text": f"{rng.choice(('', '', '-', '$'))}{number}{suffix} {given}".strip(), "unit": unit}


def judge_units(text: str, unit: str) -> Outcome:
    """Read and write it back: the same number to the digits shown, or one line of what is wrong."""
    try:
        number = units.parse_quantity(text, unit) if unit else units.parse_number(text)
    except UnitError as error:
        must_say(error, (math.nan,))
        return Outcome(STATUS)
    assert math.isfinite(number), number
    written = [
        units.format_number(number),
        units.format_money(number),
        units.format_percent(number),
        units.format_times(number),
    ]
    written += [units.format_size(number), units.format_amount(number, "USD")]
    assert not any(word in line for line in written for word in ("nan", "inf")), written
    read = units.parse_number(written[0])
    error = abs(read - number) / abs(number) if abs(number) > 1e-305 else 0.0
    assert error <= 5.01e-3, (number, written[0])
    return Outcome(PLAN)


# Fits


def draw_runs(rng: random.Random) -> dict[str, Any]:
    """Draw runs of a law of any scale, some of them spoilt."""
    alpha, beta = rng.uniform(0.05, 2.0), rng.uniform(0.05, 2.0)
    decades = [rng.choice((0.0, rng.uniform(-8.0, 20.0))) for _ in range(3)]
    if rng.random() < 0.1:
        decades[rng.randrange(3)] = rng.uniform(-290.0, 290.0)
    rows = []
    for _ in range(rng.choice((3, 6, 12, 20))):
        N, D = rng.uniform(0.0, 3.0), rng.uniform(0.0, 3.0)
        loss = 1.0 + 10.0 ** (-alpha * N) + 10.0 ** (-beta * D)
        rows.append([10.0 ** (8.0 + N + decades[0]), 10.0 ** (9.0 + D + decades[1]), loss * 10.0 ** decades[2]])
    for _ in range(rng.choice((0, 0, 1, 3))):
        rng.choice(rows)[rng.randrange(3)] = rng.choice(ODD)
    return {"rows": rows, "how": rng.choice(("parametric", "parametric", "tied", "isoflop"))}


_STARTS = np.array(
    [
        [a, b, e, s, t]
        for a in (0.0, 10.0, 20.0)
        for b in (0.0, 10.0, 20.0)
        for e in (-1.0, 0.5)
        for s in (0.3, 1.0)
        for t in (0.3, 1.0)
    ]
)


def judge_runs(rows: Sequence[Sequence[float]], how: str) -> Outcome:
    """Fit them: a law whose constants are numbers, or one of the package's own errors."""
    N, D, loss = np.array(rows, dtype=float).T
    try:
        if how == "isoflop":
            with np.errstate(over="ignore", invalid="ignore"):
                flops = 6.0 * N * D
            found = fit_isoflop(flops, N, loss).to_dict()
        else:
            found = fit_parametric(N, D, loss, tied=how == "tied", grid=_STARTS).to_dict()
    except BeyondChinchillaError as error:
        must_say(error, [value for row in rows for value in row])
        return Outcome(STATUS)
    for place, number in all_numbers(found):
        assert math.isfinite(number), (place, number)
    return Outcome(PLAN)


# Cells of a spreadsheet

_FUNCTIONS = {
    "LOSS": 2, "CHINCHILLA_LOSS": 1, "CHINCHILLA_PARAMS": 1, "CHINCHILLA_TOKENS": 1, "TOKENS_FOR": 2, "TRAIN_RATE": 3,
    "SERVE_RATE": 7, "OPTIMAL_PARAMS": 3, "OPTIMAL_TOKENS": 3, "SPEND_RATIO": 3, "KAPPA": 3, "LIFETIME_COST": 3,
    "CHINCHILLA_COST": 3, "SAVINGS": 3, "MODEL_COST": 4,
}  # fmt: skip


def draw_cells(rng: random.Random) -> dict[str, Any]:
    """Draw a function and its arguments."""
    name = rng.choice(list(_FUNCTIONS))
    values = [rng.choice((_value(rng), 10.0 ** rng.uniform(-20.0, 16.0))) for _ in range(_FUNCTIONS[name])]
    if rng.random() < 0.6 and name.startswith(("OPT", "SPEND", "KAPPA", "LIFE", "CHIN", "SAV")):
        values[0] = 1.69 + 10.0 ** rng.uniform(-15.0, 1.0) if name != "CHINCHILLA_LOSS" else values[0]
    return {"name": name, "values": values}


def judge_cells(name: str, values: Sequence[Any]) -> Outcome:
    """Ask for the cell: a finite number, not below zero, or a text that begins with #."""
    found = getattr(functions, name)(*values)
    if isinstance(found, str):
        assert found.startswith("#")
        assert len(found) <= 80
        return Outcome(STATUS)
    assert math.isfinite(found), found
    assert found >= 0.0, found
    return Outcome(PLAN)


# Losses of a law as a file states it


def draw_inline(rng: random.Random) -> dict[str, Any]:
    """Draw a law of a file, and a target."""
    law = {"E": 1.69, "A": 406.4, "alpha": 0.336, "B": 410.7, "beta": 0.283}
    for key in rng.sample(list(law), rng.choice((1, 1, 2))):
        law[key] = _value(rng) if rng.random() < 0.7 else 10.0 ** rng.uniform(-9.0, 1.0)
    wanted = rng.choice(
        (
            {"loss": rng.choice((2.0, 1.69, math.nextafter(1.69, 2.0), 1.6900001, 1e300, 1e-300))},
            {"chinchilla": _value(rng)},
        )
    )
    return {"law": law, "target": wanted, "objective": rng.choice(("flops", "flops", "cost"))}


def judge_inline(law: dict[str, Any], target: dict[str, Any], objective: str) -> Outcome:
    """Solve it as any scenario."""
    tree = {**_trees()["1B-requests"], "law": law, "target": target, "objective": objective}
    if objective == "flops":
        tree = {key: value for key, value in tree.items() if key not in ("training", "serving")}
    try:
        plan = bc.solve(bc.Scenario.from_dict(tree))
    except BeyondChinchillaError as error:
        must_say(error, [*law.values(), *target.values()])
        return Outcome(STATUS)
    json.dumps(plan.to_dict(), allow_nan=False)
    if plan.status != "optimal":
        return Outcome(STATUS)
    sound(plan)
    assert isinstance(plan.law, LossLaw)
    return Outcome(PLAN)


ROOMS = (
    Room("scenarios", draw_plain, judge_scenario, share=0.2),
    Room("further scenarios", draw_further, judge_scenario, share=0.02),
    Room("laws of a file", draw_inline, judge_inline, share=0.2),
    Room("sweeps", draw_sweep, judge_sweep, share=0.05),
    Room("risk", draw_risk, judge_risk, share=0.03),
    Room("units", draw_units, judge_units),
    Room("fits", draw_runs, judge_runs, share=0.05),
    Room("cells", draw_cells, judge_cells),
)
