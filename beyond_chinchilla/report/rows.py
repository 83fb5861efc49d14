"""The figures of a plan as labelled rows; text, markdown and CSV all print these."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from beyond_chinchilla.analyse.disagreement import Opinion
from beyond_chinchilla.optimise.advice import NEGLIGIBLE_KAPPA
from beyond_chinchilla.optimise.past.effect import Effect
from beyond_chinchilla.optimise.plan import Candidate, Plan
from beyond_chinchilla.units import format_amount, format_number, format_percent, format_size, format_times

# A figure with its unit's prefix, as reasons quote them; and how many choices a line names that fail alike.
_NUMBER = re.compile(r"\d[\d.,]*\w*")
_MOST_ALIKE = 7
# What the search of a law past Chinchilla goes over, by the kind of its effect; None where its first figure says it.
_SEARCHED = {"quantisation": "the loss that rounding adds", "shape": "aspect ratios", "thinking": None}
# What is the plan's own for all sizes of its flat range; others may do with more or less of it.
_HELD = {"shape": " in this shape", "thinking": " with as much thinking"}


@dataclass(frozen=True)
class Row:
    """One figure of the plan beside the same figure of the baseline, as text."""

    label: str
    plan: str
    baseline: str
    ratio: str
    total: bool = False


def sized(candidate: Candidate) -> str:
    """Return how large a model is: "7.00B", or of a mixture "1.07B active of 24.0B"."""
    if candidate.total_params is None:
        return format_number(candidate.params)
    return f"{format_number(candidate.params)} active of {format_number(candidate.total_params)}"


def headline(plan: Plan) -> str:
    """Return the answer in one sentence."""
    best, base = plan.best, plan.baseline
    if best is None:
        return f"No plan: {plan.name} is {plan.status}."
    unit = best.unit
    if plan.objective == "loss":
        return (
            f"{format_amount(best.total, unit)} buys loss {best.loss:.4f}: {sized(best)} params on "
            f"{format_number(best.tokens)} tokens. The whole budget on Chinchilla's ratio, "
            f"{sized(base)} on {format_number(base.tokens)}, gives {base.loss:.4f}, "
            f"{abs(plan.savings):.2g} nats {'more' if plan.savings >= 0 else 'less'}."
        )
    outcome = f"{format_percent(abs(plan.savings_fraction))} {'saved' if plan.savings_fraction >= 0 else 'more'}"
    if best.unit == "USD" and base.breaks and plan.savings_fraction < 0:
        outcome += ", but Chinchilla's model breaks limits"
    act, preposition = "Train", "on"
    if plan.method == "start_from":
        act, preposition = ("Go on training", "to") if best.training_flops else ("Serve", "as they are after")
    return (
        f"{act} {sized(best)} params {preposition} {format_number(best.tokens)} tokens instead of "
        f"{sized(base)} on {format_number(base.tokens)}: {format_amount(best.total, unit)} instead of "
        f"{format_amount(base.total, unit)} over the model's life, {outcome}."
    )


def subtitle(plan: Plan) -> str:
    """Return what was asked, in one line."""
    asked = "least loss" if plan.objective == "loss" else f"target loss {plan.target_loss:.4g}"
    # By month the title of the part on serving says what was chosen.
    chosen = f" | {plan.choice}" if plan.choice and plan.serving is None else ""
    return f"{plan.name} | {laws(plan)}{chosen} | {asked}"


def laws(plan: Plan) -> str:
    """Return the names of all laws behind a plan: "law sardana-2024, data muennighoff-2023"."""
    return ", ".join([f"law {plan.law.name}", *(f"{_section(effect)} {effect.name}" for effect in _named(plan))])


def _law_in_short(plan: Plan) -> str:
    """Return the law and what extends it in few letters: "sardana-2024 + data"."""
    return " + ".join([plan.law.name, *(_section(effect) for effect in plan.effects)])


def _named(plan: Plan) -> list[Effect]:
    """Return the effects that a law's own name does not tell."""
    return [effect for effect in plan.effects if effect.kind != "experts"]


def _section(effect: Effect) -> str:
    """Return what a scenario calls the section of a law past Chinchilla."""
    return "data" if effect.kind == "repetition" else effect.kind


def sizes(plan: Plan) -> list[Row]:
    """Return the rows of what is trained."""
    figures: list[tuple[str, str]] = [
        ("params", "params"),
        ("tokens", "tokens"),
        ("tokens per param", "tokens_per_param"),
        ("training FLOPs", "training_flops"),
        ("inference FLOPs", "inference_flops"),
    ]
    rows = [_row(label, *_pair(plan, key)) for label, key in figures]
    best = plan.best or plan.baseline
    rows.insert(3, Row("loss [nats/token]", f"{best.loss:.4g}", f"{plan.baseline.loss:.4g}", ""))
    if (all_params := _total_params(plan)) is not None:
        rows[0] = replace(rows[0], label="active params")
        rows.insert(1, all_params)
    return rows


def _total_params(plan: Plan) -> Row | None:
    """Return the row of all parameters where the plan or its baseline is a mixture of experts."""
    best, base = plan.best or plan.baseline, plan.baseline
    if best.total_params is None and base.total_params is None:
        return None
    return _row("all params", best.total_params or best.params, base.total_params or base.params)


def terms(plan: Plan) -> list[Row]:
    """Return the rows of the bill, with its total last."""
    best, base = plan.best or plan.baseline, plan.baseline
    unit = best.unit
    labels = dict.fromkeys([*best.terms, *base.terms])
    rows = [_row(label, best.terms.get(label, 0.0), base.terms.get(label, 0.0), unit) for label in labels]
    return [*rows, _row("total", best.total, base.total, unit, total=True)]


def why(plan: Plan) -> list[str]:
    """Return why there is no plan, and what else is worth knowing; choices that fail alike share a line.

    Alike: the same words, whatever the numbers. The first choice of each kind is quoted.
    """
    alike: dict[str, list[str]] = {}
    for row in plan.choices:
        alike.setdefault(_NUMBER.sub("#", row.reason), []).append(row.label)
    own = {f"{row.label}: {row.reason}": row for row in plan.choices}
    lines = []
    for warning in plan.warnings:
        if warning not in own:
            lines.append(warning)
            continue
        row = own[warning]
        first, *others = alike[_NUMBER.sub("#", row.reason)]
        if row.label == first:
            more = f" and {len(others) - _MOST_ALIKE} more" if len(others) > _MOST_ALIKE else ""
            same = f"; likewise, with its own numbers, {', '.join(others[:_MOST_ALIKE])}{more}" if others else ""
            lines.append(f"{warning}{same}")
    return lines


def drivers(plan: Plan) -> list[str]:
    """Return what moves the bill, one sentence each."""
    best = plan.best
    if best is None:
        return []
    lines = []
    if plan.kappa is not None:
        lines.append(
            f"Kappa {format_number(plan.kappa)}: serving over training spend of the Chinchilla model "
            f"({'so little that it hardly matters' if plan.kappa < NEGLIGIBLE_KAPPA else 'from 0.05 on it matters'})."
        )
    if plan.spend_ratio is not None:
        lines.append(f"Serving costs {format_times(plan.spend_ratio)} training in this plan.")
    # A loss moves by less than a bill.
    decimals = 3 if plan.objective == "loss" else 2
    named = {"demand": "demand", "training_price": "training price", "serving_price": "serving price"}
    if best.unit != "USD":
        named = {"demand": "demand"}
    shares = ", ".join(
        f"{label} +1%: {plan.elasticities[key]:+.{decimals}f}%"
        for key, label in named.items()
        if key in plan.elasticities
    )
    moved = [item for effect in plan.effects for item in effect.elasticities.items()]
    shares += "".join(f", {key.replace('_', ' ')} +1%: {value:+.{decimals}f}%" for key, value in moved)
    target = plan.elasticities.get("target_loss")
    if _slack(plan):
        lines.append(f"The floors make it better than asked: loss {best.loss:.4g} instead of {plan.target_loss:.4g}.")
    elif target is not None:
        shares += f", target loss -0.01: {-0.01 / plan.target_loss * target * 100:+.1f}%"
    lines.append(f"{plan.objective.capitalize()} moves with {shares}.")
    if plan.one_percent_range:
        low, high = plan.one_percent_range
        held = "".join(_HELD.get(effect.kind, "") for effect in plan.effects)
        lines.append(f"Any size from {format_number(low)} to {format_number(high)} costs at most 1% more{held}.")
    return lines


def _searched(plan: Plan) -> str:
    """Return over what the method of a plan was run, and on which law, as the proof says it."""
    over = [_SEARCHED[effect.kind] or _variable(effect) for effect in plan.effects if effect.kind in _SEARCHED]
    if plan.settled is not None and plan.settled.mixture is not None:
        over.append("batches (no other is 0.01% cheaper)")
    bent = any(effect.kind == "repetition" for effect in plan.effects)
    return (f" over {' and '.join(over)}" if over else "") + (" on the law's tangent at the plan" if bent else "")


def _variable(effect: Effect) -> str:
    return next(iter(effect.figures)).replace("_", " ")


def _slack(plan: Plan) -> bool:
    """Say whether floors hold the plan off its target."""
    return plan.best is not None and plan.best.loss < plan.target_loss * (1.0 - 1e-6)


def proof(plan: Plan) -> str:
    """Return the certificate in one sentence."""
    if plan.method == "start_from" and plan.best:
        return f"The fewest further tokens that do: loss reached {plan.best.loss:.6g} of {plan.target_loss:.6g}."
    return (
        f"Global optimum by method {plan.method}{_searched(plan)}: duality gap {_tiny(plan.duality_gap)}, "
        f"KKT residual {_tiny(plan.kkt_residual)}, loss reached {plan.best.loss:.6g}, asked {plan.target_loss:.6g}."
        if plan.best
        else ""
    )


def flat(plan: Plan) -> dict[str, Any]:
    """Return a plan as one record: the JSON's figures, nested names joined by ``_``."""
    record: dict[str, Any] = {
        "scenario": plan.name,
        "status": plan.status,
        "method": plan.method,
        "law": plan.law.name,
        "target_loss": plan.target_loss,
    }
    for prefix, candidate in (("", plan.best), ("baseline_", plan.baseline)):
        record |= {prefix + key: value for key, value in _figures(candidate, plan.baseline).items()}
    record |= {"savings_absolute": plan.savings, "savings_fraction": plan.savings_fraction, "kappa": plan.kappa}
    record["spend_ratio"] = plan.spend_ratio
    record |= {f"elasticity_{key}": value for key, value in plan.elasticities.items()}
    low, high = plan.one_percent_range or (None, None)
    record |= {"range_1_percent_low": low, "range_1_percent_high": high}
    record |= {"kkt_residual": plan.kkt_residual, "duality_gap": plan.duality_gap}
    record["warnings"] = " | ".join(plan.warnings)
    return record | _of_effects(plan) | _of_service(plan)


def _of_effects(plan: Plan) -> dict[str, Any]:
    """Return what laws past Chinchilla say, and what was chosen; no column of a table without them."""
    record: dict[str, Any] = {}
    for effect in plan.effects:
        record[f"{effect.kind}_law"] = effect.name
        # "thinking_loss" stays as it is.
        record |= {
            key if key.startswith(f"{effect.kind}_") else f"{effect.kind}_{key}": value
            for key, value in effect.figures.items()
        }
        record |= {f"elasticity_{key}": value for key, value in effect.elasticities.items()}
    return record | ({"choice": plan.choice} if plan.choice else {})


def _of_service(plan: Plan) -> dict[str, Any]:
    """Return what only a plan that is served by month has; no column of a table without one."""
    if plan.serving is None:
        return {}
    record: dict[str, Any] = {"nominal_total": plan.best.nominal_total if plan.best else None, "choice": plan.choice}
    record |= {f"serving_{key}": value for key, value in plan.serving.items()}
    if plan.launch is not None:
        record |= {"launch_month": plan.launch.month, "training_months": plan.launch.training_months}
    return record


def comparison(plans: Sequence[Plan]) -> tuple[list[str], list[list[str]]]:
    """Return heads and rows of a table with one scenario a line."""
    heads = ["scenario", "law", "params", "tokens", "tok/param", "total", "saved", "kappa", "instead of"]
    rows = []
    for plan in plans:
        best, base = plan.best, plan.baseline
        if best is None:
            rows.append([plan.name, _law_in_short(plan), plan.status, *[""] * 6])
            continue
        rows.append(
            [
                plan.name,
                _law_in_short(plan),
                format_number(best.params),
                format_number(best.tokens),
                format_number(best.tokens_per_param),
                format_amount(best.total, best.unit),
                # A share of loss would stand among shares of cost.
                "-" if plan.objective == "loss" else format_percent(plan.savings_fraction),
                "" if plan.kappa is None else format_number(plan.kappa),
                format_number(base.params),
            ]
        )
    return heads, rows


def opinions_title(size: float) -> str:
    """Return what the other laws were asked for."""
    return f"Other laws, each asked for the quality of its own Chinchilla-{format_size(size)}"


def opinions(found: Sequence[Opinion]) -> tuple[list[str], list[list[str]]]:
    """Return heads and rows of the table of other laws."""
    heads = ["law", "params", "tokens", "saved", "kappa", ""]
    cells = [
        [
            opinion.law,
            format_number(opinion.params),
            format_number(opinion.tokens),
            format_percent(opinion.savings_fraction),
            "" if opinion.kappa is None else format_number(opinion.kappa),
            "" if opinion.beyond_range else "within its runs",
        ]
        for opinion in found
    ]
    return heads, cells


def _figures(candidate: Candidate | None, like: Candidate) -> dict[str, Any]:
    """Return the figures of a candidate by name, each cost term as its own; all None without a candidate."""
    record = (candidate or like).to_dict()
    record |= {f"term_{term['label']}": term["value"] for term in record.pop("terms")}
    # Those of the plan stand among the figures of its service.
    for key in ("variables", "nominal_total"):
        record.pop(key, None)
    return record if candidate else dict.fromkeys(record)


def _tiny(value: float) -> str:
    return f"{value:.0e}" if value >= 1e-17 else "0"


def _pair(plan: Plan, key: str) -> tuple[float, float]:
    return getattr(plan.best or plan.baseline, key), getattr(plan.baseline, key)


def _row(label: str, best: float, base: float, unit: str = "", *, total: bool = False) -> Row:
    left, right = (format_amount(x, unit).strip() for x in (best, base))
    return Row(label, left, right, format_times(best / base) if base else "", total)
