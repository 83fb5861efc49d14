"""``bc-opt hardware``: the accelerators that a scenario may name."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import click

from beyond_chinchilla.cli import output as out
from beyond_chinchilla.cli.listing import Listing, emit
from beyond_chinchilla.costs import hardware as catalogue
from beyond_chinchilla.costs.hardware import Accelerator, Price
from beyond_chinchilla.errors import InputError, nearest
from beyond_chinchilla.units import GIGA, TERA, parse_number

_DATE = re.compile(r"\d{4}(-(0[1-9]|1[0-2])(-(0[1-9]|[12]\d|3[01]))?)?")
_SHOWN = ("bf16", "fp8", "int8", "fp4")


@click.command("hardware", short_help="List the accelerators, or show one with its dated prices.")
@click.argument("name", required=False)
@click.option("--prices", type=click.Path(path_type=Path), metavar="FILE", help="Show what a price list asks.")
@click.option("--chip", metavar="NAME", help="Of the price list, show this chip alone.")
@click.option("--kind", metavar="KIND", help="... this kind: on-demand, spot, 1-year, 3-year, committed.")
@click.option("--since", metavar="DATE", help="... offers of this date or later: 2026, 2026-10 or 2026-10-01.")
@click.option("--per-usd", metavar="RATE", help="What one USD costs in the currency of a billing export.")
@out.output_options
def command(
    name: str | None,
    prices: Path | None,
    chip: str | None,
    kind: str | None,
    since: str | None,
    per_usd: str | None,
    format_: str | None,
    output: Path | None,
) -> None:
    """List the accelerators of the catalogue, or show NAME with its dated prices and sources.

    With --prices, show what a downloaded list asks for one hour of one chip, and what was set aside and why: lists of
    SkyPilot, gpuhunt, gpu-price-feed and Epoch AI, and billing exports in FOCUS 1.0 to 1.4 (CSV, JSON lines, Parquet,
    xlsx).

    \b
    bc-opt hardware
    bc-opt hardware h100-sxm
    bc-opt hardware --prices aws/vms.csv --kind spot
    bc-opt hardware --prices bill.parquet --chip h100-sxm -o prices.json
    """
    chosen = out.choose_format(format_, output)
    if prices is not None:
        if name is not None and chip not in (None, name):
            raise InputError(f"--chip {chip} and the name {name}: keep one of them")
        rate = None if per_usd is None else parse_number(per_usd)
        _show_prices(prices, chip or name, kind, since, rate, chosen, output)
        return
    for option, value in (("--chip", chip), ("--kind", kind), ("--since", since), ("--per-usd", per_usd)):
        if value is not None:
            raise InputError(f"{option} {value}: needs a price list; add --prices FILE")
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


def _show_prices(
    path: Path,
    chip: str | None,
    kind: str | None,
    since: str | None,
    rate: float | None,
    chosen: str,
    output: Path | None,
) -> None:
    from beyond_chinchilla.report import prices, tables
    from beyond_chinchilla.tables.offers import KINDS
    from beyond_chinchilla.tables.prices import read_prices

    if chip is not None:
        catalogue.accelerator(chip)  # a name with a typing error is told so
    if kind is not None and kind not in KINDS:
        raise InputError(f"--kind {kind}: {nearest(kind, KINDS)}")
    if since is not None and not _DATE.fullmatch(since):
        raise InputError(f"--since {since}: not a date; write it like 2026, 2026-10 or 2026-10-01")
    found = read_prices(path, per_usd=rate)
    if since is not None:
        found = found.since(since)
    kinds = KINDS if kind is None else (kind,)
    if chip is not None and not any(found.of(chip, each) for each in kinds):
        offered = ", ".join(each for each in found.chips if any(found.of(each, one) for one in kinds)) or "none"
        raise InputError(f"{found.source}: no offer of {chip}{f' ({kind})' if kind else ''}; it offers {offered}")
    chips = found.chips if chip is None else (chip,)
    if chosen == "json":
        out.emit(tables.to_json(prices.to_dict(found, chips, kinds)), output)
    elif chosen == "csv":
        out.emit(tables.to_csv(prices.records(found, chips, kinds)), output)
    elif chosen == "markdown":
        out.emit(prices.page(found, chips, kinds), output)
    else:
        out.show(lambda console: prices.print_page(console, found, chips, kinds), output)


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
