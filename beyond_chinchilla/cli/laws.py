"""``bc-opt laws``: the published loss laws."""

from __future__ import annotations

from pathlib import Path

import click

from beyond_chinchilla.cli import output as out
from beyond_chinchilla.cli.listing import Listing, emit
from beyond_chinchilla.laws import catalogue
from beyond_chinchilla.laws.loss_law import LossLaw
from beyond_chinchilla.units import format_number


@click.command("laws", short_help="List the published loss laws, or show one.")
@click.argument("name", required=False)
@out.output_options
def command(name: str | None, format_: str | None, output: Path | None) -> None:
    """List the published loss laws, or show NAME with its range and source.

    \b
    bc-opt laws
    bc-opt laws sardana-2024
    """
    chosen = out.choose_format(format_, output)
    laws = [catalogue.law(name)] if name else [catalogue.law(each) for each in catalogue.names()]
    heads = ["law", "E", "A", "alpha", "B", "beta", "tok/param"]
    listing = Listing(
        records=[_record(law) for law in laws],
        flat=[law.to_dict() | {"source": law.source} for law in laws],
        heads=heads,
        cells=[_cells(each) for each in laws],
        note="tok/param: compute-optimal at 1e21 FLOPs. 'bc-opt laws NAME' shows one with its range and source.",
        name=name,
        fields=_fields(laws[0]),
    )
    emit(listing, chosen, output)


def _cells(law: LossLaw) -> list[str]:
    numbers = [law.E, law.A, law.alpha, law.B, law.beta]
    return [law.name, *(f"{x:.4g}".replace("e+", "e") for x in numbers), _optimal_ratio(law)]


def _optimal_ratio(law: LossLaw) -> str:
    point = law.compute_optimal(flops=1e21)
    return format_number(float(point.tokens / point.params))


def _record(law: LossLaw) -> dict[str, object]:
    return {
        **law.to_dict(),
        "counts": law.counts,
        "range": law.fitted.to_dict(),
        "standard_errors": dict(law.standard_errors),
        "source": law.source,
        "note": law.note,
    }


def _fields(law: LossLaw) -> list[tuple[str, str]]:
    power = "" if law.power == 1 else f"^{law.power:g}"
    sum_ = f"{law.A:.6g} N^-{law.alpha:.6g} + {law.B:.6g} D^-{law.beta:.6g}"
    formula = f"L = {law.E:.6g} + {sum_}" if law.power == 1 else f"L = ({sum_}){power}"
    spread = ", ".join(f"{key} {value:g}" for key, value in law.standard_errors.items())
    covered = law.fitted.to_dict()
    return [
        ("formula", f"{formula}  [nats/token]"),
        ("N counts", f"{law.counts} parameters"),
        ("standard errors", spread),
        *((f"fitted {key.replace('_', ' ')}", _span(pair)) for key, pair in covered.items()),
        ("tokens/param", f"{_optimal_ratio(law)} compute-optimal at 1e21 FLOPs"),
        ("source", law.source),
        ("note", law.note),
    ]


def _span(pair: list[float] | None) -> str:
    return "not stated" if pair is None else f"{format_number(pair[0])} to {format_number(pair[1])}"
