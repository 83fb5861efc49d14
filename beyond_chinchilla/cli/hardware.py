"""``bc-opt hardware``: the accelerators that a scenario may name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from beyond_chinchilla.cli import output as out
from beyond_chinchilla.cli.listing import Listing, emit
from beyond_chinchilla.costs import hardware as catalogue
from beyond_chinchilla.costs.hardware import Accelerator, Price
from beyond_chinchilla.units import GIGA, TERA

_SHOWN = ("bf16", "fp8", "int8", "fp4")


@click.command("hardware", short_help="List the accelerators, or show one with its dated prices.")
@click.argument("name", required=False)
@out.output_options
def command(name: str | None, format_: str | None, output: Path | None) -> None:
    """List the accelerators of the catalogue, or show NAME with its dated prices and sources.

    \b
    bc-opt hardware
    bc-opt hardware h100-sxm
    """
    chosen = out.choose_format(format_, output)
    chips = [catalogue.accelerator(each) for each in ([name] if name else catalogue.names())]
    heads = ["chip", *_SHOWN, "GB", "TB/s", "W", "$/hour", "whose price"]
    listing = Listing(
        records=[_record(chip) for chip in chips],
        flat=[_flat(chip) for chip in chips],
        heads=heads,
        cells=[_cells(each) for each in chips],
        note="Dense TFLOP/s by precision. 'bc-opt hardware NAME' shows one with its dated prices and sources.",
        name=name,
        fields=_fields(chips[0]),
    )
    emit(listing, chosen, output)


def _cells(chip: Accelerator) -> list[str]:
    price = chip.default_price
    return [
        chip.name,
        *(f"{chip.peak[p] / TERA:g}" if p in chip.peak else "-" for p in _SHOWN),
        f"{chip.memory / GIGA:.0f}",
        f"{chip.bandwidth / TERA:.4g}",
        "-" if chip.power is None else f"{chip.power:.0f}",
        "-" if price is None else f"{price.usd_per_hour:.2f}",
        "-" if price is None else f"{(price.offer or price.source).split(',')[0]} {price.date[:4]}",
    ]


def _flat(chip: Accelerator) -> dict[str, Any]:
    price = chip.default_price
    return {
        "name": chip.name,
        "title": chip.title,
        **{f"peak_{precision}_flops": value for precision, value in chip.peak.items()},
        "memory_bytes": chip.memory,
        "bandwidth_bytes_per_second": chip.bandwidth,
        "scale_up_bytes_per_second": chip.scale_up,
        "power_watts": chip.power,
        "default_usd_per_hour": price.usd_per_hour if price else None,
        "default_price_date": price.date if price else None,
        "default_price_source": price.source if price else None,
        "source": chip.source,
        "date": chip.date,
        "note": chip.note,
    }


def _record(chip: Accelerator) -> dict[str, Any]:
    return {**_flat(chip), "prices": [vars(price) for price in chip.prices]}


def _fields(chip: Accelerator) -> list[tuple[str, str]]:
    peak = ", ".join(f"{precision} {value / TERA:g}" for precision, value in chip.peak.items())
    return [
        ("title", chip.title),
        ("dense TFLOP/s", peak),
        ("memory", f"{chip.memory / GIGA:.4g} GB at {chip.bandwidth / TERA:.4g} TB/s"),
        ("scale-up", "" if chip.scale_up is None else f"{chip.scale_up / GIGA:.4g} GB/s one way"),
        ("power", "" if chip.power is None else f"{chip.power:.4g} W"),
        ("default price", "none" if chip.default_price is None else _price(chip.default_price)),
        ("list prices", "\n".join(_price(price) for price in chip.prices)),
        ("source", f"{chip.source} ({chip.date})"),
        ("note", chip.note),
    ]


def _price(price: Price) -> str:
    return f"${price.usd_per_hour:.2f}/hour {price.kind}, {price.offer or 'list'}, {price.date} ({price.source})"
