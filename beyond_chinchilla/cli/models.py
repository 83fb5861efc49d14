"""``bc-opt models``: published models, which a scenario may take as its target."""

from __future__ import annotations

from pathlib import Path

import click

from beyond_chinchilla.cli import output as out
from beyond_chinchilla.cli.listing import Listing, emit
from beyond_chinchilla.costs import models as catalogue
from beyond_chinchilla.costs.models import ReferenceModel
from beyond_chinchilla.units import format_money, format_number


@click.command("models", short_help="List published models, or show one.")
@click.argument("name", required=False)
@out.output_options
def command(name: str | None, format_: str | None, output: Path | None) -> None:
    """List published models with their parameters, tokens, chip-hours and cost, or show NAME.

    A scenario may ask for a model's quality: target: {model: llama-2-7b}.

    \b
    bc-opt models
    bc-opt models llama-3.1-405b
    """
    chosen = out.choose_format(format_, output)
    found = [catalogue.reference_model(each) for each in ([name] if name else catalogue.names())]
    heads = ["model", "params", "active", "tokens", "tok/param", "chip-h", "cost", "chips"]
    listing = Listing(
        records=[vars(model) for model in found],
        flat=[vars(model) for model in found],
        heads=heads,
        cells=[_cells(each) for each in found],
        note=(
            "A scenario may ask for a model's quality: target: {model: llama-2-7b}. 'bc-opt models NAME' shows sources."
        ),
        name=name,
        fields=_fields(found[0]),
    )
    emit(listing, chosen, output)


def _cells(model: ReferenceModel) -> list[str]:
    return [
        model.name,
        format_number(model.params),
        _number(model.active_params),
        _number(model.tokens),
        "-" if model.tokens is None else format_number(model.tokens / model.params),
        _number(model.chip_hours),
        "-" if model.cost_usd is None else format_money(model.cost_usd),
        model.chips.split(",")[0] or "-",
    ]


def _number(value: float | None) -> str:
    return "-" if value is None else format_number(value)


def _fields(model: ReferenceModel) -> list[tuple[str, str]]:
    cost = "" if model.cost_usd is None else f"{format_money(model.cost_usd)}: {model.cost_method}"
    return [
        ("title", model.title),
        ("params", format_number(model.params)),
        ("active params", "" if model.active_params is None else format_number(model.active_params)),
        ("tokens", "not published" if model.tokens is None else format_number(model.tokens)),
        ("chips", model.chips),
        ("chip-hours", "" if model.chip_hours is None else format_number(model.chip_hours)),
        ("cost", cost),
        ("source", f"{model.source} ({model.date})"),
        ("note", model.note),
    ]
