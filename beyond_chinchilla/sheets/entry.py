"""From a solved scenario to the case that a workbook is written of."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

from beyond_chinchilla.analyse.deployment import problem_of
from beyond_chinchilla.errors import BeyondChinchillaError
from beyond_chinchilla.optimise import universal
from beyond_chinchilla.optimise.solver import solve
from beyond_chinchilla.scenario.fields import chip_of
from beyond_chinchilla.sheets.case import ROUNDING, Case, Entry, Fleet, smoothed
from beyond_chinchilla.sheets.charges import bill_obstacle, months_of
from beyond_chinchilla.sheets.standing import standing_of


def case_of(entry: Entry) -> Case:
    """Find out what of a scenario the formulas can follow."""
    stated, problem, plan = entry
    scenario = stated
    if len(stated.alternatives) > 1:
        # What is billed is what was chosen.
        scenario, problem = stated.chosen(plan.choice), problem_of(stated, plan)
    file = scenario.file
    priced = problem.cost.unit == "USD"
    case = Case(
        scenario=scenario,
        stated=stated,
        problem=problem,
        plan=plan,
        training=_fleet(file.training) if priced else None,
        serving=_fleet(file.serving) if priced else None,
        training_mfu=_share(file.training, "mfu"),
        prefill_mfu=_share(file.serving, "prefill_mfu"),
        decode_mfu=_share(file.serving, "decode_mfu"),
        live=None,
        obstacle="",
    )
    if problem.is_extended:
        found = standing_of(case)
        return replace(case, obstacle=found) if isinstance(found, str) else replace(case, standing=found)
    obstacle = _obstacle(case)
    if obstacle:
        return replace(case, obstacle=obstacle)
    asked = replace(problem, target_loss=plan.target_loss, limits=(), objective="cost", start_from=None)
    try:
        live = solve(asked, "universal")
    except BeyondChinchillaError as error:
        return replace(case, obstacle=str(error))
    assert live.best is not None
    saved = live.savings_fraction
    if live.best.terms.get(ROUNDING, 0.0) > 0 and live.spend_ratio is not None:
        saved = -math.expm1(float(universal.log_cost_ratio(live.spend_ratio, problem.law.alpha, problem.law.beta)))
    smooth = replace(live, best=smoothed(live.best), baseline=smoothed(live.baseline), savings_fraction=saved)
    case = replace(case, live=smooth)
    return replace(case, months=months_of(case))


def _fleet(section: Any) -> Fleet | None:
    """Return the one chip of a section with its one price; None where there are several, or neither."""
    if section is None or not isinstance(section.precision, str) or not isinstance(section.hardware, (str, dict)):
        return None
    chip = chip_of(section.hardware)
    price, source = section.price, "stated in the scenario"
    if price is None and chip.default_price is not None:
        listed = chip.default_price
        price, source = listed.usd_per_hour, f"{listed.offer}, {listed.kind}, {listed.date} ({listed.source})"
    if isinstance(price, dict):
        price = price.get(chip.name)
    if not isinstance(price, float):
        return None
    peak = chip.peak_flops(section.precision)
    return Fleet(chip=chip, precision=section.precision, price=price, peak=peak, price_source=source)


def _share(section: Any, key: str) -> float:
    """Return a utilisation; nan where none is stated."""
    stated = getattr(section, key, None)
    return math.nan if stated is None else float(stated)


def _obstacle(case: Case) -> str:
    """Say why the formulas cannot follow a scenario; nothing where they can."""
    law = case.problem.law
    if law.power != 1.0 or law.counts != "total":
        how = "counts no embeddings" if law.counts != "total" else "raises its sum to a power"
        return f"law {law.name} {how}, for which the optimum has no closed curve"
    if case.plan.objective == "loss" and case.plan.best is None:
        return "nothing within the limits reaches any loss that could be a target"
    return bill_obstacle(case.problem)
