"""Parts of a page about uncertainty: what to commit to, how sure it is, what knowing is worth, what moves the plan."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from beyond_chinchilla.report.blocks import Block
from beyond_chinchilla.units import format_amount, format_number, format_percent, format_size, format_times

if TYPE_CHECKING:
    from beyond_chinchilla.analyse.regret_map import RegretMap
    from beyond_chinchilla.analyse.risk.figures import Information, Interval, Risk, RiskPlan
    from beyond_chinchilla.analyse.sensitivity import Bar, Sensitivity

# Errors are printed as two standard errors.
_ERRORS = 2.0
# Figures of each sample's own optimum, as the page calls them.
_FIGURES = {"params": "params", "tokens": "tokens", "total": "total", "savings": "saved", "kappa": "kappa"}
_FOR_KNOWING = {
    "law": "another scaling-law experiment is worth at most that",
    "demand": "asking again for a forecast is worth at most that",
    "suite": "evaluating more models on it is worth at most that",
}
# Limits beside the tokens' own that may end training before the target is reached.
_END_TRAINING = {
    *("training_flops", "training_cost", "training_time", "training_gpu_hours", "total_cost", "tokens_per_param")
}
# Less than this share of the bill is nothing to anybody.
_NOTHING = 1e-4
# A size that fails more often serves few.
_OFTEN = 0.2
_BAR_WIDTH = 16
# Rows and columns of a regret map that a page has room for.
_MAP = 9


def parts(risk: Risk) -> list[Block]:
    """Return all that a page shows of an assessment of risk."""
    if risk.is_certain:
        return [Block("Uncertainty", lines=list(risk.notes))]
    return [decision(risk), plans(risk), intervals(risk), worth(risk), basis(risk)]


def record(
    risk: Risk, *, sensitivity: Sensitivity | None = None, regret_map: RegretMap | None = None
) -> dict[str, Any]:
    """Return what the JSON of a plan holds under ``risk``."""
    found = risk.to_dict()
    if sensitivity is not None:
        found["sensitivity"] = sensitivity.to_dict()
    if regret_map is not None:
        found["regret_map"] = regret_map.to_dict()
    return found


# The decision


def headline(risk: Risk) -> str:
    """Return what to commit to, in one sentence."""
    best = risk.best
    figures = (
        f"mean {format_amount(best.mean, risk.unit)}, {_tail(risk)} {format_amount(best.cvar, risk.unit)}, "
        f"{_failing(risk, best)}"
    )
    size = f"{format_number(best.params)} params"
    if best.feasible:
        return f"Commit to {size} and train until the target is reached: {figures}."
    return f"No size fails in at most {format_percent(risk.max_failure)} of the samples. {size} fails least: {figures}."


def decision(risk: Risk) -> Block:
    """Return the recommendation, what it is compared with, and how far one may go off it."""
    best, point = risk.best, risk.plan("point estimate")
    lines = [headline(risk)]
    if not best.feasible:
        # What most of its failures are.
        of_tokens = 2.0 * best.missed >= best.failure and not _holds_more_than_tokens(risk)
        cure = "Raise limits.tokens.max" if of_tokens else "Loosen the limits"
        lines.append(f"{cure}, loosen the target, or allow more by uncertainty.max_failure.")
    lines.append(
        f"The point plan, {format_number(point.params)}: mean {format_amount(point.mean, risk.unit)}, "
        f"{_tail(risk)} {format_amount(point.cvar, risk.unit)}, {_failing(risk, point)}."
    )
    one, five = (f"{format_number(low)} to {format_number(high)}" for low, high in (risk.range_1, risk.range_5))
    lines.append(f"Any size from {one} keeps the {_measure(risk)} within 1%, from {five} within 5%.")
    return Block("Decision under uncertainty", lines=lines)


def plans(risk: Risk) -> Block:
    """Return the sizes that could be committed to, side by side."""
    heads = ["commit to", "params", "mean", _tail(risk), "fails", "mean regret", "p90 regret"]
    cells = [
        [
            plan.label,
            format_number(plan.params),
            format_amount(plan.mean, risk.unit),
            format_amount(plan.cvar, risk.unit),
            format_percent(plan.failure),
            format_amount(plan.mean_regret, risk.unit),
            format_amount(plan.regret_p90, risk.unit),
        ]
        for plan in risk.plans
    ]
    tail = format_percent(1.0 - risk.level, 0)
    fails = f"the target is missed within {format_number(risk.budget)} tokens, or a limit is broken"
    regret = "what it costs beyond the best size of each sample, had one known; of a failure, all its training"
    lines = [
        f"CVaR: the mean of the dearest {tail} of the samples. Fails: {fails}; failures are paid for in every mean.",
        f"Regret: {regret}. So the size of least mean need not be the one of least regret.",
    ]
    lines += [
        f"The size of {plan.label} fails in {format_percent(plan.failure, 0)} of the samples, whose bills are small "
        "for that: lower uncertainty.max_failure."
        for plan in risk.plans
        if plan.label.startswith("least") and plan.failure > _OFTEN
    ]
    return Block("Sizes one could commit to", heads, cells, lines)


def _tail(risk: Risk) -> str:
    return f"{format_percent(risk.level, 0)} CVaR"


def _measure(risk: Risk) -> str:
    """Say what is minimised."""
    if risk.aversion == 0.0:
        return "mean"
    if risk.aversion == 1.0:
        return _tail(risk)
    return f"mix of {format_percent(1.0 - risk.aversion, 0)} mean and {format_percent(risk.aversion, 0)} CVaR"


def _failing(risk: Risk, plan: RiskPlan) -> str:
    """Say how often a size fails, and of what."""
    budget = f"within {format_number(risk.budget)} tokens{' and the limits' if _holds_more_than_tokens(risk) else ''}"
    if not plan.failure:
        return f"no failure in {risk.samples:,} samples"
    if plan.missed == plan.failure:
        return f"{format_percent(plan.failure)} chance of missing the target {budget}"
    if not plan.missed:
        return f"{format_percent(plan.failure)} chance of breaking a limit"
    return (
        f"{format_percent(plan.failure)} chance of failing ({format_percent(plan.missed)} of missing the target "
        f"{budget}, else of breaking a limit)"
    )


def _holds_more_than_tokens(risk: Risk) -> bool:
    """Say whether training may end for another reason than its tokens: dollars, days, or so."""
    return any(label in _END_TRAINING for label in risk.binding)


# How sure it is


def intervals(risk: Risk) -> Block:
    """Return where each sample's own optimum lies, how often limits bind there, and how often there is none."""
    cells = [
        [_FIGURES[name], *_quantiles(name, item, risk.unit)]
        for name, item in risk.intervals.items()
        if math.isfinite(item.median)
    ]
    lines = []
    share, error = risk.out_of_reach
    if share:
        lines.append(
            f"Out of reach: in {_with_error(share, error)} of the samples no size reaches the target within the "
            "limits; the others stand above."
        )
    bound = {label: often for label, often in risk.binding.items() if often > 0}
    if bound:
        told = ", ".join(f"{_named(label)} in {format_percent(often)}" for label, often in bound.items())
        lines.append(f"What binds at the optimum: {told} of the samples.")
    lines.append(risk.convergence)
    return Block("Each sample's own optimum", ["", "5%", "25%", "median", "75%", "95%"], cells, lines)


def _quantiles(name: str, item: Interval, unit: str) -> list[str]:
    values = (item.ninety[0], item.half[0], item.median, item.half[1], item.ninety[1])
    return [_figure(name, value, unit) for value in values]


def _figure(name: str, value: float, unit: str) -> str:
    if name == "savings":
        return format_percent(value)
    return format_amount(value, unit) if name == "total" else format_number(value)


def _named(label: str) -> str:
    """Return what a page calls a limit, or its floor."""
    name, _, side = label.partition(".")
    words = name.replace("_", " ").replace("hbm", "HBM")
    return f"{words} {side}".rstrip()


def _with_error(share: float, error: float) -> str:
    return f"{format_percent(share)} (+- {format_percent(_ERRORS * error)})" if error else format_percent(share)


# What knowing is worth


def worth(risk: Risk) -> Block:
    """Return what each group of inputs would be worth to know before the size is chosen."""
    mean = risk.plan("least mean").mean
    everything = _amount(risk.perfect_information, risk.perfect_error, mean, risk.unit)
    lines = [f"Knowing everything beforehand would save {everything} in the mean."]
    if len(risk.information) > 1:
        lines += [_knowing(row, mean, risk.unit) for row in risk.information]
    elif risk.information:
        (row,) = risk.information
        lines.append(f"All of it is {row.group}.")
    return Block("What the uncertainty is worth", lines=lines)


def _knowing(row: Information, mean: float, unit: str) -> str:
    known = f"the {row.group}" if row.group in ("law", "suite", "limits", "target") else row.group
    if row.value <= max(_NOTHING * mean, _ERRORS * row.error):
        most = max(row.value + _ERRORS * row.error, 0.0)
        said = f"no more than sampling can show here, under {format_amount(most, unit)}"
        if most <= _NOTHING * mean:
            said = "next to nothing"
        return f"Knowing {known} beforehand would save {said}."
    so = f": {_FOR_KNOWING[row.group]}" if row.group in _FOR_KNOWING else ""
    return f"Knowing {known} beforehand would save {_amount(row.value, row.error, mean, unit)}{so}."


def _amount(value: float, error: float, mean: float, unit: str) -> str:
    spread = f" +- {format_amount(_ERRORS * error, unit, 2)}" if error else ""
    return f"{format_amount(value, unit)}{spread} ({format_percent(value / mean)})"


def basis(risk: Risk) -> Block:
    """Return what is uncertain, and what the assessment stands on."""
    lines = [*risk.inputs, *(note for note in risk.notes if note not in risk.inputs)]
    return Block("What is uncertain", lines=[f"{line.rstrip('.')}." for line in lines])


def verification(difference: float, samples: int) -> Block:
    """Return how far the convex program disagrees with the direct search."""
    lines = [f"As a convex program over {samples} samples: objective differs by {difference:.0e}."]
    return Block("The decision by another method", lines=lines)


# What moves the plan


def sensitivity_parts(found: Sensitivity) -> list[Block]:
    """Return what moves a plan: input by input, by the elasticities, by Sobol' indices, and where decisions turn."""
    blocks = [_tornado(found)]
    if found.sobol:
        blocks.append(_sobol(found))
    if found.break_evens:
        blocks.append(Block("Where decisions turn", lines=[_sentence(one.sentence) for one in found.break_evens]))
    return blocks


def _tornado(found: Sensitivity) -> Block:
    """Return inputs moved one at a time, with a bar from the least to the dearest bill; ``|`` is the plan."""
    ends = [end for bar in found.bars for end in (bar.low_total, bar.high_total) if end is not None]
    ends += [bar.total for bar in found.bars]
    least, most = (min(ends), max(ends)) if ends else (1.0, 1.0)
    cells = [
        [
            bar.label,
            *("p10" if bar.low is None else format_size(bar.low), "p90" if bar.high is None else format_size(bar.high)),
            *(_total(value, found.unit) for value in (bar.low_total, bar.high_total)),
            *(_size(value) for value in (bar.low_params, bar.high_params)),
            _drawn(bar, least, most),
        ]
        for bar in found.bars
    ]
    lines = []
    if found.elasticities:
        moves = ", ".join(f"{one.label} {one.value:+.2f}%" for one in found.elasticities if abs(one.value) >= 0.005)
        lines.append(f"The bill moves, for 1% more of each: {moves}.")
    lines += [_sentence(note) for note in found.notes]
    return Block("One input at a time", ["input", "low", "high", "total", "", "params", "", ""], cells, lines)


def _total(value: float | None, unit: str) -> str:
    return "no plan" if value is None else format_amount(value, unit)


def _size(value: float | None) -> str:
    return "-" if value is None else format_number(value)


def _drawn(bar: Bar, least: float, most: float) -> str:
    """Draw the bills between both ends on a common scale of logs."""
    if not most > least > 0.0:
        return "|".center(_BAR_WIDTH, ".")

    def place(total: float | None) -> int:
        # Without a plan the bill knows no end.
        share = 1.0 if total is None else math.log(total / least) / math.log(most / least)
        return round(share * (_BAR_WIDTH - 1))

    low, high = sorted((place(bar.low_total), place(bar.high_total)))
    drawn = ["=" if low <= column <= high else "." for column in range(_BAR_WIDTH)]
    drawn[place(bar.total)] = "|"
    return "".join(drawn)


def _sobol(found: Sensitivity) -> Block:
    """Return by group the shares of variance that it makes alone, and together with others."""
    figures = list(dict.fromkeys(row.figure for row in found.sobol))
    cells = []
    for group in dict.fromkeys(row.group for row in found.sobol):
        rows = {row.figure: row for row in found.sobol if row.group == group}
        cells.append([f"{group} alone", *(_index(rows[name].first, rows[name].first_error) for name in figures)])
        cells.append(["  with others", *(_index(rows[name].total, rows[name].total_error) for name in figures)])
    lines = ["Shares of the variance (Sobol' indices) with 95% intervals: of the logs of params, tokens and total."]
    return Block("Whose uncertainty moves the optimum", ["", *(_FIGURES[name] for name in figures)], cells, lines)


def _index(value: float, error: float) -> str:
    # -0.00 is nothing.
    return f"{value + 0.0:.2f} +-{error:.2f}".replace("-0.00 ", "0.00 ")


def _sentence(text: str) -> str:
    """Return text that begins and ends as a sentence does."""
    return f"{text[:1].upper()}{text[1:]}{'' if text.endswith('.') else '.'}"


# Regret map


def regret_parts(found: RegretMap) -> list[Block]:
    """Return the cost of planning for one value and meeting another, as a table of percentages."""
    count = len(found.planned)
    shown = np.unique(np.linspace(0, count - 1, min(count, _MAP)).round().astype(int)).tolist()
    cells = [
        [
            format_number(found.planned[row], 2),
            _short(found.params[row]),
            *(_regret(float(found.regret[row, column])) for column in shown),
        ]
        for row in shown
    ]
    heads = ["planned", "size", *(format_number(found.met[column], 2) for column in shown)]
    what = f"{found.label} [{found.unit}]" if found.unit else found.label
    lines = [f"Rows: what was planned for, and the size trained; columns: the {found.label} met."]
    broken = sorted({label for row in found.breaks for cell in row for label in cell})
    if broken:
        names = ", ".join(_named(label) for label in broken)
        lines.append(f"A dash: the plan does not hold there ({names}).")
    lines += asymmetry(found)
    if len(shown) < count:
        lines.append(f"{len(shown)} of {count} values are shown; CSV and JSON hold all.")
    lines += [_sentence(note) for note in found.notes]
    return [Block(f"Cost beyond foresight when {what} is not as planned", heads, cells, lines)]


def asymmetry(found: RegretMap) -> list[str]:
    """Say whether it is worse to plan for too little or for too much."""
    both = found.asymmetry
    times = format_times(both.factor).replace(".00x", "x")
    lines = []
    if both.under is not None and both.over is not None:
        lines.append(
            f"A forecast {times} too low costs {format_percent(both.under)} more than foresight, one {times} too high "
            f"{format_percent(both.over)}: {_worse(both.under, both.over)}."
        )
    elif both.under is not None or both.over is not None:
        low = "does not hold" if both.under is None else f"costs {format_percent(both.under)} more than foresight"
        high = "does not hold" if both.over is None else f"costs {format_percent(both.over)} more than foresight"
        lines.append(f"The plan of a forecast {times} too low {low}, that of one {times} too high {high}.")
    if both.mean_under is not None and both.mean_over is not None:
        lines.append(
            f"Over the whole map, planning too low costs {format_percent(both.mean_under)} in the mean, planning too "
            f"high {format_percent(both.mean_over)}."
        )
    return lines


def _worse(under: float, over: float) -> str:
    if abs(under - over) <= 0.05 * max(under, over):
        return "about the same"
    return "too low is worse" if under > over else "too high is worse"


def _short(value: float) -> str:
    return format_number(value) if math.isfinite(value) else "-"


def _regret(value: float) -> str:
    """Write a share in five letters at most."""
    if not math.isfinite(value):
        return "-"
    if value >= 9.995:
        return f"{format_number(1.0 + value, 2)}x"
    return format_percent(value, 0 if value >= 0.0995 or value == 0.0 else 1) if value >= 5e-4 or not value else "0.0%"
