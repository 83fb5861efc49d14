"""A block of rows: compiled to arrays and solved at once, or row by row where arrays do not do."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from beyond_chinchilla.analyse.baseline_block import Baselines, baselines, without_levers
from beyond_chinchilla.analyse.plan_block import Cheapest, Method, Status, cheapest, spend_ratio
from beyond_chinchilla.analyse.risk.worlds import BINDING as TOUCHES
from beyond_chinchilla.analyse.risk.worlds import name_of
from beyond_chinchilla.analyse.sweep.columns import BINDING, METHOD, WORD, Column
from beyond_chinchilla.analyse.sweep.variants import Variant
from beyond_chinchilla.errors import InputError, SolverError, UnboundedError
from beyond_chinchilla.laws.downstream import MOST_LOSS
from beyond_chinchilla.laws.loss_law import LossLaw
from beyond_chinchilla.optimise import universal
from beyond_chinchilla.optimise.plan import Candidate, Plan
from beyond_chinchilla.optimise.solver import solve
from beyond_chinchilla.optimise.universal import rates_of
from beyond_chinchilla.posynomial import Term
from beyond_chinchilla.scenario.block import ProblemBlock, compile_block
from beyond_chinchilla.scenario.compile import MOST_PARAMS, MOST_TOKENS, stated_loss
from beyond_chinchilla.scenario.field_at import Field
from beyond_chinchilla.scenario.load import Scenario
from beyond_chinchilla.scenario.past import laws as past
from beyond_chinchilla.scenario.uncertainty import Draws

Array = NDArray[np.float64]
Index = NDArray[np.intp]


@dataclass(frozen=True, kw_only=True, eq=False)
class Figures:
    """What a block of K rows comes to.

    Attributes
    ----------
    status : ndarray of int8, shape (K,)
        `Status` of each row.
    numbers : mapping of str to ndarray, shape (K,)
        nan where there is no plan.
    words : mapping of str to pair
        Of each column of words: a code for each row, and the words by code.
    """

    status: NDArray[np.int8]
    numbers: Mapping[str, Array]
    words: Mapping[str, tuple[NDArray[np.int32], Sequence[str]]]


class _Sheet:
    """Columns that are being filled."""

    def __init__(self, count: int, columns: Sequence[Column]) -> None:
        self.status = np.full(count, Status.INVALID, dtype=np.int8)
        self.numbers = {c.name: np.full(count, np.nan) for c in columns if c.kind != WORD}
        self.codes = {c.name: np.zeros(count, dtype=np.int32) for c in columns if c.kind == WORD}
        self.known: dict[str, dict[str, int]] = {name: {"": 0} for name in self.codes}

    def code(self, name: str, word: str) -> int:
        known = self.known[name]
        return known.setdefault(word, len(known))

    def figures(self) -> Figures:
        words = {name: (codes, tuple(self.known[name])) for name, codes in self.codes.items()}
        return Figures(status=self.status, numbers=self.numbers, words=words)


def solve_rows(
    variants: Sequence[Variant],
    which: int | NDArray[np.int64],
    numbers: Mapping[Field, Array],
    count: int,
    columns: Sequence[Column],
) -> Figures:
    """Solve rows.

    Parameters
    ----------
    variants : sequence of Variant
    which : int or ndarray, shape (count,)
        The variant of all rows, or of each.
    numbers : mapping of Field to ndarray, shape (count,)
        What differs from row to row.
    count : int
    columns : sequence of Column
        What is asked, but for the status.
    """
    sheet = _Sheet(count, columns)
    with np.errstate(all="ignore"):
        if isinstance(which, int):
            _fill(sheet, variants[which], numbers, np.arange(count))
        else:
            for number in np.unique(which).tolist():
                _fill(sheet, variants[number], numbers, np.flatnonzero(which == number))
    return sheet.figures()


def _fill(sheet: _Sheet, variant: Variant, numbers: Mapping[Field, Array], rows: Index) -> None:
    if variant.slow:
        _one_by_one(sheet, variant, numbers, rows)
        return
    values = {field.keys: array if len(array) == len(rows) else array[rows] for field, array in numbers.items()}
    try:
        draws = Draws(count=len(rows), values=values, law=None)
        block, apart = compile_block(variant.scenario, draws), without_levers(variant.scenario, draws, {})
    except InputError:
        # One row that no scenario could hold, such as requests of no tokens, stops its block: find it.
        if len(rows) > 1:
            half = len(rows) // 2
            _fill(sheet, variant, numbers, rows[:half])
            _fill(sheet, variant, numbers, rows[half:])
        return
    found = cheapest(block, [limit.ratio for limit in block.limits])
    low, high = _losses(past.target_law_of(variant.scenario.file))
    if variant.scenario.file.target is not None and variant.scenario.file.target.suite is not None:
        # An error that every model keeps asks for no model.
        high = min(high, float(np.nextafter(MOST_LOSS, 0.0)))
    senseless = (found.status != Status.OUT_OF_REACH) & ~((block.target_loss >= low) & (block.target_loss <= high))
    found.status[senseless] = Status.INVALID
    lost = found.status != Status.OPTIMAL
    found.params[lost] = found.tokens[lost] = np.nan
    sheet.status[rows] = found.status
    at = _At(block, found, apart)
    for name, array in sheet.numbers.items():
        value = at.figure(name)
        array[rows] = np.where(lost, np.nan, value) if lost.any() else value
    if METHOD in sheet.codes:
        table = np.array([sheet.code(METHOD, "" if m is Method.NONE else m.name.lower()) for m in Method])
        sheet.codes[METHOD][rows] = np.where(lost, 0, table[found.method])
    if BINDING in sheet.codes:
        sheet.codes[BINDING][rows] = np.where(lost, 0, at.binding(sheet))
    stopped = rows[found.status == Status.NOT_SOLVED]
    if stopped.size:
        _one_by_one(sheet, variant, numbers, stopped)


def _losses(law: LossLaw) -> tuple[float, float]:
    """Return the losses between which a scenario may state its target."""
    ends = [
        [float(law.compute_optimal(params=params).loss), float(law.compute_optimal(tokens=tokens).loss)]
        for params, tokens in ((MOST_PARAMS, MOST_TOKENS), (1.0, 1.0))
    ]
    # Rounding at the ends is no reason to refuse.
    return max(ends[0]) * (1.0 - 1e-12), min(ends[1]) * (1.0 + 1e-12)


class _At:
    """Figures of a block at its plans."""

    def __init__(self, block: ProblemBlock, found: Cheapest, apart: ProblemBlock | None) -> None:
        self.block, self.found, self.apart = block, found, apart
        self.N, self.D = found.params, found.tokens
        self._total: Array | None = None
        self._chinchilla: Baselines | None = None

    def figure(self, name: str) -> Any:
        block, law = self.block, self.block.law
        if name == "params":
            return law.total_params(self.N) if law.counts != "total" else self.N
        if name == "tokens":
            return self.D
        if name == "total":
            return self.total()
        if name == "savings_fraction":
            return self.saved()
        if name == "tokens_per_param":
            return self.D / law.total_params(self.N)
        if name == "loss":
            return block.whole.loss(self.N, self.D)
        if name == "target_loss":
            return block.target_loss
        if name in ("training_flops", "inference_flops"):
            trains = name == "training_flops"
            terms = [term for term in block.flops.terms if ("training_price" in term.drivers) == trains]
            return _sum(terms, self.N, self.D)
        if name == "spend_ratio":
            return spend_ratio(block.cost, {"params": self.N, "tokens": self.D})
        if name.startswith("baseline_") or name == "kappa":
            return self.baseline(name)
        return _sum([term for term in block.cost.terms if term.label == name], self.N, self.D)

    def total(self) -> Array:
        if self._total is None:
            self._total = _sum(self.block.cost.terms, self.N, self.D)
        return self._total

    def saved(self) -> Array:
        """Return 1 - total / that of the baseline: where no limit moved the plan, free of cancellation."""
        law, free = self.block.law, self.found.spend_ratio
        if free is None or self.apart is not None:
            return np.asarray(1.0 - self.total() / self.baseline("baseline_total"))
        saved = -np.expm1(universal.log_cost_ratio(free, law.alpha, law.beta))
        limited = np.isnan(free) & ~np.isnan(self.N)
        if limited.any():
            saved = np.where(limited, 1.0 - self.total() / self.baseline("baseline_total"), saved)
        return np.asarray(saved)

    def baseline(self, name: str) -> Any:
        if self._chinchilla is None:
            self._chinchilla = baselines(self.block, self.apart)
        found = self._chinchilla
        if name == "baseline_params":
            return self.block.law.total_params(found.params)
        if name == "baseline_tokens":
            return found.tokens
        if name == "baseline_total":
            return found.total
        return found.spend_ratio if rates_of(self.block.cost) is not None else np.nan

    def binding(self, sheet: _Sheet) -> NDArray[np.int64]:
        """Return a code for the limits that each plan touches."""
        logs = {"params": np.log(self.N), "tokens": np.log(self.D)}
        mask = np.zeros(self.block.count, dtype=np.int64)
        names = [name_of(limit) for limit in self.block.limits]
        for place, limit in enumerate(self.block.limits):
            mask |= (limit.ratio.log_value(logs) >= -TOUCHES).astype(np.int64) << place
        masks, inverse = np.unique(mask, return_inverse=True)
        words = [", ".join(name for place, name in enumerate(names) if one >> place & 1) for one in masks.tolist()]
        return np.array([sheet.code(BINDING, word) for word in words])[inverse]


def _sum(terms: Sequence[Term], N: Array, D: Array) -> Any:
    """Return what terms come to, those of power 1 without calling pow."""
    total: Any = 0.0
    for term in terms:
        value: Any = np.asarray(term.coefficient, dtype=float)
        for name, x in (("params", N), ("tokens", D)):
            power = term.power(name)
            if power:
                value = value * (x if power == 1.0 else x**power)
        total = total + value
    return total


def _one_by_one(sheet: _Sheet, variant: Variant, numbers: Mapping[Field, Array], rows: Index) -> None:
    for row in rows.tolist():
        values = {field: float(array[row]) for field, array in numbers.items()}
        try:
            plan = solve(variant.at(values))
        except UnboundedError:
            sheet.status[row] = Status.UNBOUNDED
        except SolverError:
            sheet.status[row] = Status.NOT_SOLVED
        except InputError:
            sheet.status[row] = Status.OUT_OF_REACH if _below_floor(variant.scenario, values) else Status.INVALID
        else:
            _put(sheet, row, plan)


def _below_floor(scenario: Scenario, values: Mapping[Field, float]) -> bool:
    """Say whether a target is one that the law never reaches."""
    from beyond_chinchilla.scenario.block import with_values

    file = with_values(scenario.file, {field.keys: value for field, value in values.items()})
    law = past.target_law_of(file)
    return file.target is not None and not float(stated_loss(law, file.target)) > law.E


def _put(sheet: _Sheet, row: int, plan: Plan) -> None:
    best = plan.best
    sheet.status[row] = Status.OPTIMAL if best is not None else Status.INFEASIBLE
    if best is None:
        return
    for name, array in sheet.numbers.items():
        value = _figure_of(plan, best, name)
        array[row] = math.nan if value is None else value
    if METHOD in sheet.codes:
        sheet.codes[METHOD][row] = sheet.code(METHOD, plan.method)
    if BINDING in sheet.codes:
        touched = [
            limit.label if limit.side == "max" else f"{limit.label}.min" for limit in plan.limits if limit.binding
        ]
        sheet.codes[BINDING][row] = sheet.code(BINDING, ", ".join(touched))


def _figure_of(plan: Plan, best: Candidate, name: str) -> float | None:
    if name in ("savings_fraction", "kappa", "spend_ratio", "target_loss"):
        found: float | None = getattr(plan, name)
        return found
    if name.startswith("baseline_"):
        return float(getattr(plan.baseline, name.removeprefix("baseline_")))
    if name in best.terms:
        return best.terms[name]
    # A term that this row does not have.
    return float(getattr(best, name, 0.0))
