"""Parts of a page about a plan by month: the replica that serves it, what else could, the training run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from beyond_chinchilla.errors import InfeasibleError
from beyond_chinchilla.report import money
from beyond_chinchilla.report.blocks import Block
from beyond_chinchilla.units import format_amount, format_money, format_number, format_percent

if TYPE_CHECKING:
    from beyond_chinchilla.analyse.deployment import Deployment
    from beyond_chinchilla.optimise.choices import ChoiceRow
    from beyond_chinchilla.optimise.plan import Plan
    from beyond_chinchilla.scenario.load import Scenario

# Rows of a table of choices, and reasons below it, that a page has room for.
_MOST_CHOICES = 8
_MOST_REASONS = 3
_DAYS_PER_MONTH = 30.4375
# From this share of the bill on, what whole replicas add is worth a sentence.
_MUCH_ROUNDING = 0.01
# Figures by phase: the row, its key after "prefill_" or "decode_", and how it is written.
_PHASES = (
    ("tokens/s per GPU", "tokens_per_second", format_number),
    ("MFU", "mfu", format_percent),
    ("MBU", "mbu", format_percent),
)


def serving(deployment: Deployment) -> Block:
    """Return how the plan is served: rates and utilisation by phase, latencies, GPUs, and what that assumes."""
    figures = deployment.plan.serving or {}
    cells = [
        [label, *(write(figures[f"{phase}_{key}"]) for phase in ("prefill", "decode"))]
        for label, key, write in _PHASES
        if f"prefill_{key}" in figures
    ]
    price = [format_money(figures[f"usd_per_million_{side}"]) for side in ("input", "output")]
    cells.append(["USD per million tokens", *price])
    lines = []
    if "batch" in figures:
        gpus = figures["gpus"]
        replica = "one GPU" if gpus == 1 else f"{gpus:g} GPUs"
        lines.append(
            f"A replica of {replica} writes {format_number(figures['batch'])} sequences at once, a token of each every "
            f"{format_number(figures['time_per_output_token_ms'])} ms; the first one comes after "
            f"{format_number(figures['time_to_first_token_ms'])} ms without a queue."
        )
        lines.append(
            f"Weights and cache take {format_number(figures['memory_used_gb'])} of "
            f"{format_number(figures['memory_available_gb'])} GB."
        )
    lines += [*_at_work(deployment), *_assumptions(deployment)]
    return Block(f"Serving on {deployment.service.label}", ["", "prefill", "decode"], cells, lines)


def _at_work(deployment: Deployment) -> list[str]:
    """Return how many GPUs work, how much of what is paid that is, and what whole replicas add to the bill."""
    figures, best = deployment.plan.serving or {}, deployment.best
    fleet = deployment.service.fleet
    parts, whole = (fleet.use(*deployment.seconds, whole_replicas=rounded) for rounded in (False, True))
    apart = float(parts.spot[parts.need.argmax()])
    line = f"GPUs at work in the busiest month: {format_number(figures['gpus_mean'])} in the mean, "
    if not figures["gpus_peak"]:
        line += "all on batch work at its own price, at whichever hours"
    elif apart:
        line += (
            f"{format_number(apart)} of them on batch work at its own price, at whichever hours; the others are "
            f"{format_number(figures['gpus_peak'])} in the peak hour"
        )
    else:
        line += f"{format_number(figures['gpus_peak'])} in its peak hour"
    # Every GPU-hour is paid: also those that only fill up a replica.
    share = float(parts.need.sum() / (whole.on + whole.spot).sum())
    lines = [f"{line}; of all GPU-hours paid, in whole replicas, {format_percent(share)} work."]
    added = best.terms.get("rounding", 0.0) / best.total
    if added >= _MUCH_ROUNDING:
        lines.append(
            f"Whole replicas are {format_percent(added)} of the bill. The optimum was found without them: another "
            "size may round to a little less."
        )
    return lines


def _assumptions(deployment: Deployment) -> list[str]:
    """Return what the figures of a replica stand on."""
    from beyond_chinchilla.analyse.validation import FITTED, measurements, serving_table
    from beyond_chinchilla.costs.efficiency import DEFAULT_EFFICIENCY
    from beyond_chinchilla.costs.serving import Replica

    use = deployment.service.use
    if not isinstance(use, Replica):
        return ["The utilisations are those of the scenario, whatever the batch."]
    reached = use.efficiency
    shares = (
        f"Assumes that kernels reach {format_percent(reached.prefill, 0)} of the peak rate in prefill and "
        f"{format_percent(reached.decode, 0)} in decode, and {format_percent(reached.bandwidth, 0)} of the bandwidth"
    )
    if all(getattr(reached, name) == getattr(DEFAULT_EFFICIENCY, name) for name in FITTED):
        seen = sum(row.use == "fit" for row in measurements())
        errors = sorted(abs(row.ratio - 1.0) for row in serving_table() if row.use == "check")
        middle = len(errors) // 2
        median = 0.5 * (errors[middle] + errors[-middle - 1])
        shares += (
            f": fitted to {seen} measured throughputs; {len(errors)} others are off by "
            f"{format_percent(median, 0)} in the median, {format_percent(errors[-1], 0)} at worst"
        )
    if deployment.scenario.file.quantisation is not None:
        return [f"{shares}."]
    return [f"{shares}.", f"Assumes that serving in {use.precision} costs no quality."]


def _size_of(row: ChoiceRow) -> str:
    active = format_number(row.params or 0.0)
    return active if row.total_params is None else f"{active} of {format_number(row.total_params)}"


def choices(plan: Plan) -> list[Block]:
    """Return what else could serve, or be trained, and what it costs more."""
    if len(plan.choices) < 2:
        return []
    found = [row for row in plan.choices if row.total is not None]
    without = [row for row in plan.choices if row.total is None]
    unit = plan.baseline.unit
    cells = [
        [
            row.label,
            _size_of(row),
            format_number(row.tokens or 0.0),
            f"{format_number(row.variables['batch'])}" if "batch" in row.variables else "",
            f"{format_number(1e3 * row.variables['step_time'])} ms" if "step_time" in row.variables else "",
            format_amount(row.total or 0.0, unit),
            f"+{format_percent(row.excess_fraction or 0.0)}" if row.excess_fraction else "chosen",
        ]
        for row in found[:_MOST_CHOICES]
    ]
    # Over the life, nothing is known of batches.
    heads = ["choice" if plan.serving is None else "served on", "params", "tokens", "batch", "token", "total", ""]
    shown = [place for place, head in enumerate(heads) if not head or any(line[place] for line in cells)]
    heads, cells = [heads[place] for place in shown], [[line[place] for place in shown] for line in cells]
    lines = []
    if len(found) > _MOST_CHOICES:
        lines.append(f"And {len(found) - _MOST_CHOICES} dearer ones: --format json.")
    lines += [f"No plan on {row.label}: {row.reason}." for row in without[:_MOST_REASONS]]
    if len(without) > _MOST_REASONS:
        rest = ", ".join(row.label for row in without[_MOST_REASONS:])
        lines.append(f"Nor on {rest}.")
    return [Block("Choices", heads, cells, lines)]


def training(deployment: Deployment) -> Block:
    """Return what the training run takes: time, hours, and what is paid beside them."""
    stated, best = deployment.monthly.training, deployment.best
    hours = deployment.training_gpu_hours
    months = deployment.monthly.training_months(best.params, best.tokens)
    lines = []
    if months is None:
        lines.append(f"{format_number(hours)} GPU-hours; give training.gpus to learn how long they take.")
    else:
        lines.append(
            f"{format_number(months * _DAYS_PER_MONTH)} days on {stated.gpus:,} GPUs, {format_number(hours)} GPU-hours."
        )
    goodput = "failures and restarts are left out" if stated.goodput is None else (
        f"failures and restarts leave {format_percent(stated.goodput, 0)} of the hours"
    )  # fmt: skip
    lines.append(f"MFU {format_percent(stated.mfu, 0)} while it runs; {goodput}.")
    terms = best.nominal_terms or best.terms
    if stated.development:
        lines.append(
            f"Experiments before the run: {format_money(terms['development'])}, "
            f"{format_percent(stated.development, 0)} of what it costs."
        )
    else:
        lines.append("Experiments before the run are left out: training.development.")
    if stated.data_cost is not None:
        lines.append(
            f"Data: {format_money(terms['data'])} at {format_money(stated.data_cost)} per million tokens, paid when "
            "training starts."
        )
    return Block("Training", lines=lines)


def training_record(deployment: Deployment) -> dict[str, Any]:
    """Return the figures of the training run as JSON holds them."""
    best, stated = deployment.best, deployment.monthly.training
    months = deployment.monthly.training_months(best.params, best.tokens)
    return {
        "gpu_hours": deployment.training_gpu_hours,
        "gpus": stated.gpus,
        "days": None if months is None else months * _DAYS_PER_MONTH,
        "mfu": stated.mfu,
        "goodput": stated.goodput,
        "development": stated.development,
        "data_usd_per_million_tokens": stated.data_cost,
    }


def parts(scenario: Scenario, plan: Plan) -> tuple[list[Block], dict[str, Any]]:
    """Return what a page shows of serving by month, and the keys that it adds to the JSON.

    Parameters
    ----------
    scenario : Scenario
    plan : Plan
        Of this scenario, with a model.
    """
    found: list[Block] = []
    record: dict[str, Any] = {}
    nominal = None
    asked = {"energy": scenario.energy() is not None, "buy": scenario.file.buy is not None}
    if plan.serving is None:
        missed = " and ".join(key for key, is_asked in asked.items() if is_asked)
        if missed:
            line = f"No {missed} on this page: give demand by month, such as demand.months: 36 beside requests."
            found.append(Block("Left out", lines=[line]))
    else:
        from beyond_chinchilla.analyse.capacity import capacity
        from beyond_chinchilla.analyse.footprint import footprint

        table = capacity(scenario, plan)
        deployment = table.deployment
        if deployment.monthly.discounting.rate:
            nominal = table.totals["cost"]
        found += [serving(deployment), *choices(plan), training(deployment), money.bill(table)]
        record |= {"training": training_record(deployment), "money": money.record(table)}
        if asked["energy"]:
            used = footprint(deployment)
            found.append(money.energy(used))
            record["energy"] = used.to_dict()
        if asked["buy"]:
            try:
                bought = money.purchase(deployment)
            except InfeasibleError as error:
                # The plan stands, whatever is offered beside it.
                found.append(Block("Buy instead", lines=[f"{str(error).removeprefix('buy.model: ').capitalize()}."]))
                record["buy"] = {"status": "infeasible", "reason": str(error)}
            else:
                found.append(money.buy(bought, plan))
                record["buy"] = bought.to_dict()
    stated = scenario.currency()
    if stated is not None and plan.baseline.unit == "USD":
        found.append(money.currency(plan, stated, nominal))
        record["currency"] = money.currency_record(plan, stated)
    return found, record
