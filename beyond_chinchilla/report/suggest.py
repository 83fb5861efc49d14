"""The next training runs, in words: what to train, and what each run is worth."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from beyond_chinchilla.fit.suggest import BEYOND, TOKENS_PER_PARAM
from beyond_chinchilla.report.blocks import Block
from beyond_chinchilla.units import format_number, format_percent

if TYPE_CHECKING:
    from beyond_chinchilla.fit.suggest import Suggestion

_SPENT = 0.99


def suggested(found: Suggestion) -> Block:
    """Return the runs with their share of the budget, and how much surer the compute-optimal size becomes."""
    cells = [
        [
            str(number),
            format_number(run.params),
            format_number(run.tokens),
            format_number(run.tokens / run.params),
            f"{format_number(run.flops)} FLOP",
            format_percent(run.share),
            f"{run.without:.4f}",
        ]
        for number, run in enumerate(found.runs, start=1)
    ]
    heads = ["run", "params", "tokens", "tok/param", "compute", "of budget", "error without it"]
    now, then = (_factor(error) for error in (found.before, found.after))
    sizes, lengths = ([format_number(end) for end in ends] for ends in (found.sizes, found.lengths))
    covariance = "the bootstrap's covariance" if found.resampled else "the derivatives' covariance (no bootstrap)"
    region = (
        f"{sizes[0]} to {sizes[1]} params and {lengths[0]} to {lengths[1]} tokens, as fitted and up to {BEYOND:g} "
        f"times beyond, and {TOKENS_PER_PARAM[0]:g} to {TOKENS_PER_PARAM[1]:g} tokens per param"
    )
    lines = [
        (
            f"The compute-optimal size at {found.flops:.3g} FLOP is {format_number(found.params)}: to within {now} "
            f"(one standard error of ln N*, {found.before:.4f}) now, {then} ({found.after:.4f}) with these runs."
        ),
        f"By {covariance} and a scatter of {format_percent(found.noise)} per run, as far as the law holds.",
        f"Sought within {region}.",
    ]
    spent = sum(run.share for run in found.runs)
    if spent < _SPENT:
        lines.append(f"They take {format_percent(spent)} of the budget: {len(found.runs)} larger ones would tell less.")
    title = f"The next {len(found.runs)} runs for {format_number(found.budget)} FLOP"
    return Block(
        title if len(found.runs) > 1 else f"The next run for {format_number(found.budget)} FLOP", heads, cells, lines
    )


def _factor(error: float) -> str:
    """Write a standard error of a logarithm as a factor both ways."""
    return f"a factor of {math.exp(error):.2f}" if error > 0.5 else f"{format_percent(math.expm1(error))}"
