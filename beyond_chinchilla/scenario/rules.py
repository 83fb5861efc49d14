"""What no section of a scenario can see alone: keys that need, exclude or idle each other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from beyond_chinchilla.costs.months import MAX_MONTHS, months_between
from beyond_chinchilla.errors import InputError
from beyond_chinchilla.scenario.compile import compared_size, law_of, setting_of, target_loss
from beyond_chinchilla.scenario.compute import MONTHLY_KEYS, Serving, one_alone
from beyond_chinchilla.scenario.demand import Demand, month_mistakes
from beyond_chinchilla.scenario.document import Document, Keys
from beyond_chinchilla.scenario.examples import example
from beyond_chinchilla.scenario.limits import compile_limits
from beyond_chinchilla.scenario.past import data, experts, thinking_rules
from beyond_chinchilla.scenario.past.shape import NEEDED

Found = list[tuple[Keys, str]]
# Keys that only mean something over months, by section.
_OVER_MONTHS = {
    "discounting": ("rate",),
    "training": ("gpus", "start", "delay_cost", "price_path"),
    "serving": MONTHLY_KEYS,
    "limits": ("gpus",),
    "capacity": ("table",),
}
# Keys that only mean something in money.
_OF_MONEY = {
    "training": ("development", "data_cost", "purchase"),
    "serving": ("purchase",),
}


def between_sections(document: Document, sections: Mapping[str, Any]) -> Found:
    """Return the mistakes between sections; `sections` has None for one that is absent or unsound."""
    stated = {key for key, value in document.tree.items() if value is not None}
    found = _objective(stated, sections)
    if sections["demand"] is not None:
        found += _demand(sections["demand"])
        found += _over_months(sections)
    found += _utilisations(document.tree.get("serving"))
    if sections["serving"] is not None:
        found += _serving(sections["serving"], sections)
    found += _quantisation(sections)
    found += _shape(stated, sections)
    found += data.mistakes_of(sections)
    found += _experts(sections)
    found += thinking_rules.mistakes_of(sections, by_month=_served_by_month(sections))
    found += _calendar(sections)
    law, target = sections["law"], sections["target"]
    if law is not None and target is not None:
        try:
            target_loss(law_of(law), target)
        except InputError as error:
            found.append((("target", target.way), str(error)))
    sound = all(sections[key] for key in {"demand", "training", "serving"} & stated)
    if sections["limits"] is not None and sound and not _served_by_month(sections):
        found += _of_limits(sections)
    for index, item in enumerate(sections["compare"] or ()):
        try:
            compared_size(item)
        except InputError as error:
            found.append((("compare", index, "model"), str(error)))
    return found


def _served_by_month(sections: Mapping[str, Any]) -> bool:
    """Say whether limits are compiled with the fleet that they bound, once all else is sound."""
    demand, serving = sections["demand"], sections["serving"]
    by_month = demand is not None and demand.by_month and sections["objective"] == "cost"
    return by_month or (serving is not None and serving.codesign)


def _objective(stated: set[str], sections: Mapping[str, Any]) -> Found:
    demand, objective = sections["demand"], sections["objective"]
    found: Found = []
    if objective == "loss":
        found += _for_best_loss(stated, sections)
    elif "target" not in stated:
        found.append(((), f"target is missing{example(('target',))}"))
    if objective in ("cost", "loss"):
        found += [
            ((), f"{key} is missing; objective {objective} needs it (or set objective: flops)")
            for key in ("training", "serving")
            if key not in stated
        ]
        if demand is not None and demand.tokens is not None:
            found.append(
                (
                    ("demand", "tokens"),
                    "goes with objective flops; with cost give requests, input_tokens and output_tokens",
                )
            )
    return found


def _demand(demand: Demand) -> Found:
    rows = month_mistakes(demand.table or ())
    found: Found = [(("demand", "table", index, "month"), message) for index, message in rows]
    if demand.table is not None and not found:
        try:
            demand.forecast()
        except InputError as error:
            found = [(("demand", "table"), line.removeprefix("forecast: ")) for line in str(error).splitlines()]
    return found


def _over_months(sections: Mapping[str, Any]) -> Found:
    """Return the keys over months that have no effect, or need demand by month."""
    demand, objective = sections["demand"], sections["objective"]
    if objective == "flops":
        why = "has no effect with objective flops; leave it out, or set objective: cost"
        idle = {key: (*_OVER_MONTHS.get(key, ()), *_OF_MONEY.get(key, ())) for key in ("training", "serving")}
        idle |= {key: _OVER_MONTHS[key] for key in ("discounting", "limits")}
    elif objective == "loss":
        why = "does not go with objective loss, which spends over the life as a whole; leave it out"
        idle = _OVER_MONTHS
    elif demand.by_month:
        return []
    else:
        why = "needs demand by month; give requests_per_month and months (or months beside requests)"
        idle = _OVER_MONTHS
    found: Found = []
    if objective == "loss" and demand.by_month:
        found.append((("demand",), "by month does not go with objective loss; give requests over the life, no months"))
    for section, keys in idle.items():
        if sections.get(section) is not None:
            found += [((section, key), why) for key in keys if getattr(sections[section], key) is not None]
    return found


def _utilisations(serving: Any) -> Found:
    """Return which of the two utilisations is missing; found in the text, beside any other mistake."""
    if not isinstance(serving, dict):
        return []
    both = ("prefill_mfu", "decode_mfu")
    missing = [key for key in both if serving.get(key) is None]
    return [(("serving",), f"{key} is missing{example(('serving', key))}") for key in missing if len(missing) == 1]


def _serving(serving: Serving, sections: Mapping[str, Any]) -> Found:
    demand, objective, limits = sections["demand"], sections["objective"], sections["limits"]
    found: Found = []
    if serving.batch_price is not None and demand is not None and not demand.batch_share:
        found.append((("serving", "batch_price"), "has no effect without demand.batch_share; give it, such as 20%"))
    if not serving.codesign:
        if len(serving.precisions) > 1 and objective == "loss":
            found.append((("serving", "precision"), "lists several; objective loss takes one"))
        elif len(serving.precisions) > 1 and sections["quantisation"] is None:
            message = f"{one_alone('precision', len(serving.precisions))}, or give quantisation: kumar-2024"
            found.append((("serving",), message))
        elif len(serving.precisions) > 1 and sections["start_from"] is not None:
            message = "lists several for quantisation to choose from, which start_from does not do; give one precision "
            found.append((("serving", "precision"), f"{message}and leave quantisation out, or leave start_from out"))
        if limits is not None and limits.time_to_first_token is not None:
            found.append((("limits", "time_to_first_token"), _NEEDS_CODESIGN))
        return found
    if objective != "cost" and objective is not None:
        found.append((("serving",), f"objective {objective} needs prefill_mfu: 50% and decode_mfu: 5%"))
    elif demand is not None and not demand.by_month:
        found.append(
            (
                ("demand",),
                "needs months: without prefill_mfu and decode_mfu batches follow from the load; give months: 36",
            )
        )
    if sections["start_from"] is not None:
        found.append((("start_from",), "needs prefill_mfu and decode_mfu; give both, or leave start_from out"))
    if limits is not None:
        if limits.serving_memory is not None:
            found.append(
                (
                    ("limits", "serving_memory"),
                    "is kept by itself without prefill_mfu and decode_mfu; leave it out, or set efficiency.memory",
                )
            )
        latency = limits.time_per_output_token
        if latency is not None and "gpus" in latency.model_fields_set:
            found.append(
                (("limits", "time_per_output_token", "gpus"), "has no effect here; set serving.gpus_per_replica")
            )
    return found


def _shape(stated: set[str], sections: Mapping[str, Any]) -> Found:
    """Return what does not go with a choice of the model's shape, or needs one."""
    serving, choice = sections["serving"], sections["shape"]
    if "shape" not in stated:
        if serving is None or serving.layer_time is None:
            return []
        return [(("serving", "layer_time"), f"needs shape: how many layers a model has; write {NEEDED}")]
    found: Found = []
    if choice is None:
        return found
    if sections["law"] is not None and (law := law_of(sections["law"])).power != 1.0:
        found.append(
            (("shape",), f"law {law.name} of the {law.form} form takes no shape; choose one of the chinchilla form")
        )
    if sections["start_from"] is not None:
        found.append((("shape",), "does not go with start_from, a model that has its shape; leave one of the two out"))
    return found


def _experts(sections: Mapping[str, Any]) -> Found:
    """Return what does not go with a number of experts."""
    choice, law = sections["experts"], sections["law"]
    if choice is None:
        return []
    found: Found = []
    if law is not None:
        found += [(("experts",), line) for line in experts.mistakes(choice, law)]
    for key, what in (("shape", "width over depth"), ("quantisation", "few bits")):
        if sections[key] is not None:
            found.append((("experts",), f"what {what} costs a mixture is not known; leave out {key}, or experts"))
    if isinstance(choice, tuple) and len(choice) > 1:
        if sections["objective"] == "loss":
            found.append((("experts",), "lists several; objective loss takes one"))
        if sections["start_from"] is not None:
            found.append((("experts",), "a model that is trained already has its experts; give one number"))
    return found


def _quantisation(sections: Mapping[str, Any]) -> Found:
    """Return what says nothing of bits beside the section that says what they cost."""
    if sections["quantisation"] is None or sections["serving"] is not None or sections["training"] is not None:
        return []
    return [(("quantisation",), "needs training.precision and serving.precision: which bits are meant")]


_NEEDS_CODESIGN = "follows from batch and step time; leave prefill_mfu and decode_mfu out to choose them"


def _calendar(sections: Mapping[str, Any]) -> Found:
    """Return what needs a calendar month that is not stated, and a training that starts too late."""
    demand, training, serving = (sections[key] for key in ("demand", "training", "serving"))
    starts = [None if demand is None else demand.calendar_start, None if training is None else training.start]
    found: Found = []
    known = any(starts)
    for key, section in (("training", training), ("serving", serving)):
        path = None if section is None else section.price_path
        if path is not None and path.table is not None and not known and demand is not None:
            found.append(((key, "price_path", "table"), "needs a calendar; give demand.start, such as 2027-01"))
    begins, starts_training = starts
    gap = months_between(starts_training, begins) if begins and starts_training else 0
    if abs(gap) > MAX_MONTHS:
        message = f"{starts_training} and demand from {begins} are more than {MAX_MONTHS} months apart; check the years"
        found.append((("training", "start"), message))
    elif gap < 0 and training.gpus is None:
        found.append(
            (
                ("training", "start"),
                f"{starts_training} is after demand begins in {begins}; give training.gpus, which say when it ends",
            )
        )
    return found


def _of_limits(sections: Mapping[str, Any]) -> Found:
    """Return which limits need a section that is not there, or are not possible under the law."""
    if sections["demand"] is None:
        # It is wrong itself, which is told already.
        return []
    serving = sections["serving"]
    if serving is not None and len(serving.precisions) > 1:
        # What limits can be does not hang on which one is chosen.
        serving = serving.model_copy(update={"precision": serving.precisions[0]})
    try:
        setting = setting_of(sections["demand"], sections["training"], serving, [])
        limits = compile_limits(sections["limits"], data.limited(sections["data"], setting))
    except InputError as error:
        pairs = (line.split(": ", 1) for line in str(error).splitlines())
        return [(("limits", key), message) for key, message in pairs]
    found: Found = []
    for limit in limits if sections["law"] is not None else ():
        try:
            limit.ratio(law_of(sections["law"]))
        except InputError as error:
            found.append((("limits", limit.label, limit.side), str(error).split(": ", 1)[1]))
    return found


def _for_best_loss(stated: set[str], sections: Mapping[str, Any]) -> Found:
    """Return what is wrong with a scenario that asks for the best loss that money buys."""
    excluded = "does not go with objective loss, which looks for the best one; leave it out"
    found: Found = [((key,), excluded) for key in ("target", "start_from") if key in stated]
    limits = sections["limits"]
    if "limits" not in stated or (limits is not None and limits.total_cost is None):
        found.append(((), "objective loss needs limits: {total_cost: {max: 5M USD}}"))
    return found
