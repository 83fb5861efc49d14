"""A price list's page: what each chip costs, what was assumed, and what was set aside and why."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from beyond_chinchilla.costs.hardware import accelerator
from beyond_chinchilla.errors import printable
from beyond_chinchilla.report import markdown, text
from beyond_chinchilla.report.blocks import Block
from beyond_chinchilla.tables.offers import KINDS

if TYPE_CHECKING:
    from rich.console import Console

    from beyond_chinchilla.tables.offers import Offer, Reject
    from beyond_chinchilla.tables.prices import PriceList

SCHEMA = "beyond-chinchilla/prices/1"
_WIDEST = 46


def rows(found: PriceList, chips: Sequence[str], kinds: Sequence[str]) -> list[dict[str, Any]]:
    """Return the cheapest and the median price of each chip and kind that is offered, beside the catalogue's."""
    made = []
    for chip in chips:
        default = accelerator(chip).default_price
        for kind in kinds:
            cheapest, counted = found.cheapest(chip, kind), found.of(chip, kind)
            if cheapest is not None:
                made.append(
                    {
                        "chip": chip,
                        "kind": kind,
                        "usd_per_hour": cheapest.usd_per_hour,
                        "median_usd_per_hour": found.median(chip, kind),
                        "offers": len(counted),
                        "provider": printable(cheapest.provider),
                        "instance": printable(cheapest.instance),
                        "region": printable(cheapest.region),
                        "date": printable(cheapest.date),
                        "line": cheapest.line,
                        "form_assumed": cheapest.form_assumed,
                        "catalogue_usd_per_hour": default.usd_per_hour if default else None,
                    }
                )
    return made


def to_dict(found: PriceList, chips: Sequence[str], kinds: Sequence[str]) -> dict[str, Any]:
    """Return everything that was read: the table, every offer of these chips and kinds, every reject."""
    offers = [offer for offer in found.offers if offer.kind in kinds and (offer.chip is None or offer.chip in chips)]
    return {
        "schema": SCHEMA,
        "source": found.source,
        "format": found.format,
        "prices": rows(found, chips, kinds),
        "offers": [_plain(offer) for offer in offers],
        "set_aside": [_plain(reject) for reject in found.rejects],
        "notes": list(found.notes),
    }


def records(found: PriceList, chips: Sequence[str], kinds: Sequence[str]) -> list[dict[str, Any]]:
    """Return offers and rejects as rows of one table, in the order of the file; a reject has a reason and no price."""
    said = to_dict(found, chips, kinds)
    offers = [{**offer, "set_aside": ""} for offer in said["offers"]]
    rejects = [
        {"line": each["line"], "accelerator": each["text"], "set_aside": each["reason"]} for each in said["set_aside"]
    ]
    return sorted([*offers, *rejects], key=lambda record: record["line"])


def blocks(found: PriceList, chips: Sequence[str], kinds: Sequence[str]) -> list[Block]:
    """Return the parts of the page."""
    cells = [
        [
            row["chip"],
            row["kind"],
            f"{row['usd_per_hour']:.2f}{'*' if row['form_assumed'] else ''}",
            f"{row['median_usd_per_hour']:.2f}",
            f"{row['offers']:,}",
            "-" if row["catalogue_usd_per_hour"] is None else f"{row['catalogue_usd_per_hour']:.2f}",
            " ".join(filter(None, (row["provider"], row["date"], row["region"])))[:_WIDEST],
        ]
        for row in rows(found, chips, kinds)
    ]
    starred = any(cell[2].endswith("*") for cell in cells)
    lines = ["USD for one hour of one chip; catalogue: what a scenario without a price pays, on demand."]
    lines += ["* SXM or PCIe is not stated."] if starred else []
    heads = ["chip", "kind", "cheapest", "median", "offers", "catalogue", "whose is the cheapest"]
    made = [
        Block("Prices", heads, cells, lines if cells else ["No offer of a chip of the catalogue."], _words(0, 1, 6))
    ]
    if found.notes:
        made.append(Block("What to know", lines=[f"{note[:1].upper()}{note[1:]}." for note in found.notes]))
    if found.rejects:
        aside = [[f"{count:,}", reason, f"line {first.line}: {first.text}"] for reason, count, first in found.counts()]
        note = "--format json or csv lists every one."
        made.append(Block("Set aside", ["offers", "because", "the first of them"], aside, [note], _words(1, 2)))
    return made


def print_page(console: Console, found: PriceList, chips: Sequence[str], kinds: Sequence[str] = KINDS) -> None:
    """Print the page."""
    text.say(console, headline(found), style="bold")
    console.print()
    for block in blocks(found, chips, kinds):
        text.draw(console, block)


def page(found: PriceList, chips: Sequence[str], kinds: Sequence[str] = KINDS) -> str:
    """Return the page as markdown."""
    lines = [f"# {markdown.escape(headline(found))}", *markdown.render(blocks(found, chips, kinds)), ""]
    return "\n".join(lines)


def headline(found: PriceList) -> str:
    """Return what was read, in one line."""
    return f"{found.source}: {len(found.offers):,} offers, {len(found.rejects):,} set aside ({found.format})"


def _plain(each: Offer | Reject) -> dict[str, Any]:
    """Return the fields of an offer or reject, in texts that cannot move a cursor."""
    fields = {field.name: getattr(each, field.name) for field in dataclasses.fields(each)}
    return {name: printable(value) if isinstance(value, str) else value for name, value in fields.items()}


def _words(*columns: int) -> frozenset[int]:
    return frozenset(columns)
