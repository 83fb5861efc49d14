"""The sheet of chips and their dated prices, each with its source."""

from __future__ import annotations

from typing import Any

from beyond_chinchilla.costs.hardware import BYTES_PER_GB, BYTES_PER_TB, FLOP_PER_TFLOP, Accelerator
from beyond_chinchilla.scenario.fields import chip_of
from beyond_chinchilla.sheets.book import Page
from beyond_chinchilla.sheets.case import Case
from beyond_chinchilla.sheets.formula import Formula

_FIRST = 1
_SPECIFICATION = (
    "Chip",
    "Used for",
    "Memory [GB]",
    "Bandwidth [TB/s]",
    "Power [W]",
    "Peak [TFLOP/s]",
    "Date",
    "Source",
)
_PRICES = ("Chip", "Offer", "USD/hour", "Against training", "Against serving", "Kind", "Date", "Source")
_SOURCE_WIDTH = 80
_USES = ("training", "serving")


def chips_of(cases: list[Case]) -> dict[str, tuple[Accelerator, list[str]]]:
    """Return the chips that scenarios name, with what they are used for, by name."""
    found: dict[str, tuple[Accelerator, list[str]]] = {}
    for case in cases:
        for use in _USES if case.unit == "USD" else ():
            for chip in _chips(getattr(case.scenario.file, use)):
                uses = found.setdefault(chip.name, (chip, []))[1]
                if use not in uses:
                    uses.append(use)
    return found


def _chips(section: Any) -> list[Accelerator]:
    if section is None:
        return []
    stated = section.hardware
    return [chip_of(one) for one in ([stated] if isinstance(stated, (str, dict)) else stated)]


def write_hardware(page: Page, cases: list[Case], prices: dict[str, Formula]) -> None:
    """Write the chips of every scenario; `prices` are cells of what is paid, by use, where there is one scenario."""
    page.lay_out((2, 26, 46, 13, 17, 17, 60, 12, _SOURCE_WIDTH), freeze=3)
    page.put(0, _FIRST, "Hardware and prices", "title")
    page.put(1, _FIRST, "Published by others; values, not live. Prices are those of one chip for one hour.", "faint")
    row = 3
    page.heads(row, _FIRST, _SPECIFICATION, words=(0, 1, 5, 6, 7))
    chips = chips_of(cases)
    for chip, uses in chips.values():
        row += 1
        page.put(row, _FIRST, chip.title or chip.name, "top")
        page.put(row, _FIRST + 1, ", ".join(uses), "top")
        page.put(row, _FIRST + 2, chip.memory / BYTES_PER_GB, "plain", "top")
        page.put(row, _FIRST + 3, chip.bandwidth / BYTES_PER_TB, "plain", "top")
        if chip.power is not None:
            page.put(row, _FIRST + 4, chip.power, "count", "top")
        peaks = "; ".join(f"{name} {peak / FLOP_PER_TFLOP:g}" for name, peak in chip.peak.items())
        page.put(row, _FIRST + 5, peaks, "note", "top", "indent")
        page.put(row, _FIRST + 6, chip.date, "top")
        source = f"{chip.source}. {chip.note}" if chip.note else chip.source
        page.put(row, _FIRST + 7, source, "note", "top")
        page.fit_row(row, source, _SOURCE_WIDTH)
    row += 2
    page.put(row, _FIRST, "Dated list prices", "section")
    page.blank(row, _FIRST + 1, _FIRST + 7, "section")
    row += 1
    page.heads(row, _FIRST, _PRICES, words=(0, 1, 5, 6, 7))
    for chip, _ in chips.values():
        for price in chip.prices:
            row += 1
            page.put(row, _FIRST, chip.title or chip.name)
            page.put(row, _FIRST + 1, price.offer)
            listed = page.put(row, _FIRST + 2, price.usd_per_hour, "price")
            for offset, use in enumerate(_USES):
                if use in prices and use in chips[chip.name][1]:
                    page.put(row, _FIRST + 3 + offset, listed / prices[use] - 1.0, "signed_percent")
            page.put(row, _FIRST + 5, price.kind, "indent")
            page.put(row, _FIRST + 6, price.date)
            page.put(row, _FIRST + 7, price.source, "faint")
