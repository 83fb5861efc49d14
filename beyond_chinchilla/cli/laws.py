"""``bc-opt laws``: the published loss laws."""

from __future__ import annotations

from pathlib import Path

import click

from beyond_chinchilla.cli import output as out
from beyond_chinchilla.cli.listing import Listing, emit
from beyond_chinchilla.laws import catalogue, suites
from beyond_chinchilla.laws.downstream import DownstreamMap
from beyond_chinchilla.laws.loss_law import LossLaw
from beyond_chinchilla.units import format_number


@click.command("laws", short_help="List the published loss laws, or show one.")
@click.argument("name", required=False)
@click.option("--downstream", is_flag=True, help="The maps from loss to error on a suite of tasks instead.")
@out.output_options
def command(name: str | None, downstream: bool, format_: str | None, output: Path | None) -> None:
    """List the published loss laws, or show NAME with its range and source.

    \b
    bc-opt laws
    bc-opt laws sardana-2024
    bc-opt laws --downstream
    bc-opt laws --downstream gadre-17-c4
    """
    chosen = out.choose_format(format_, output)
    if downstream:
        emit(_maps(name), chosen, output)
        return
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


def _maps(name: str | None) -> Listing:
    maps = [suites.published_map(name)] if name else [suites.published_map(each) for each in suites.names()]
    heads = ["map", "epsilon", "k", "gamma", "residual", "losses seen", "of law"]
    return Listing(
        records=[found.to_dict() for found in maps],
        flat=[{key: getattr(found, key) for key in _MAP_COLUMNS} for found in maps],
        heads=heads,
        cells=[_map_cells(found) for found in maps],
        note="error = epsilon - k exp(-gamma loss); residual: one model's scatter. In a scenario: target: {score: 55%, "
        "suite: gadre-17}.",
        name=name,
        fields=_map_fields(maps[0]),
    )


_MAP_COLUMNS = ("name", "suite", "data", "epsilon", "k", "gamma", "residual", "law", "source")


def _map_cells(found: DownstreamMap) -> list[str]:
    constants = [f"{value:.3f}" for value in (found.epsilon, found.k, found.gamma)]
    return [found.name, *constants, f"{found.residual:.4f}", _losses(found), found.law]


def _losses(found: DownstreamMap) -> str:
    return "not stated" if found.losses is None else f"{found.losses[0]:.2f} to {found.losses[1]:.2f}"


def _map_fields(found: DownstreamMap) -> list[tuple[str, str]]:
    return [
        ("formula", f"error = {found.epsilon:g} - {found.k:g} exp(-{found.gamma:g} L)  [L in nats/token]"),
        ("suite", found.suite),
        ("data", found.data),
        ("losses of", f"law {found.law}"),
        ("losses seen", _losses(found)),
        ("residual", f"{found.residual:g}: standard deviation of one model's error about the map"),
        ("source", found.source),
        ("note", found.note),
    ]
