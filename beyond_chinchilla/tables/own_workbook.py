"""Our own workbook, read back: its inputs stand in named cells, each with the key of the scenario that it came from.

A hidden sheet may hold the whole scenario as JSON. Then it is that scenario, with the inputs that were changed since.
Without it the scenario is made of the inputs alone, and what the formulas leave out (limits, chips to choose from) is
lost, which is said.
"""

from __future__ import annotations

import io
import json
import re
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from beyond_chinchilla.costs.hardware import accelerator, names
from beyond_chinchilla.errors import InputError, SpreadsheetError, nearest, printable
from beyond_chinchilla.stated_distributions import is_distribution, read_distribution
from beyond_chinchilla.tables.clean import is_number, shown
from beyond_chinchilla.tables.grids import Fault, Grid
from beyond_chinchilla.tables.packages import defined_names
from beyond_chinchilla.units import TERA

_NAME = re.compile(r"(?P<prefix>(?:s(?P<number>\d+)_)?in_)(?P<key>\w+)")
_CELL = re.compile(r"(?P<sheet>.+)!\$(?P<column>[A-Z]{1,3})\$(?P<row>\d{1,7})")
_LAW = ("E", "A", "alpha", "B", "beta")
_SECTION = re.compile(r"(?P<use>Training|Serving) on (?P<title>.+), (?P<precision>[^,]+)")
_HARDWARE = "Hardware and prices"
_INPUTS = re.compile(r"Inputs(?: \d+)?")
# The sheet with the whole scenario: "Scenario", or "Scenario 2" beside "Inputs 2".
_SCENARIO = "Scenario"
# Columns from an input to what was written.
_AS_WRITTEN = 2
_KEYS: dict[str, tuple[str, ...]] = {
    **{key: ("demand", key) for key in ("requests", "input_tokens", "output_tokens")},
    "decode_tokens": ("demand", "tokens"),
    "training_price": ("training", "price"),
    "training_mfu": ("training", "mfu"),
    "serving_price": ("serving", "price"),
    "prefill_mfu": ("serving", "prefill_mfu"),
    "decode_mfu": ("serving", "decode_mfu"),
    "unique_tokens": ("data", "unique_tokens"),
}
# What demand.factor multiplies before it stands in a cell.
_TIMES_FACTOR = (("demand", "requests"), ("demand", "tokens"))
# What the model adds up itself, and what the solver chooses anew: sizes, and the numbers of laws past Chinchilla.
_DERIVED = {"target", "gap", "changes"} | {
    f"{key}_{side}" for key in ("params", "tokens", "thinking", "shape") for side in ("plan", "chinchilla")
}
# What makes another law of the one that the scenario names.
_BENDS = ("experts", "quantisation", "shape")
# The tokens of a life as requests: any number of them makes the same bill.
_REQUESTS = 1e6


@dataclass
class OwnInputs:
    """What one scenario's inputs say.

    Attributes
    ----------
    sheet : str
    tree : dict
        The scenario, as it would be written.
    sources : dict of tuple to str
        Cell of each key.
    notes : list of str
    """

    sheet: str
    tree: dict[str, Any] = field(default_factory=dict)
    sources: dict[tuple[str, ...], str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def put(self, key: str, value: Any, place: str) -> None:
        """Set a key, ``training.price``."""
        *sections, last = key.split(".")
        node = self.tree
        for section in sections:
            node = node.setdefault(section, {})
        node[last] = value
        self.sources[tuple(key.split("."))] = place


def is_own(path: Path, grids: Sequence[Grid]) -> bool:
    """Whether a workbook is one that we wrote: its sheets are called so, and its Inputs say the keys of a scenario."""
    return path.suffix.lower() in (".xlsx", ".xlsm") and any(
        _INPUTS.fullmatch(grid.sheet) and any("Key in the scenario file" in row for row in grid.rows[:8])
        for grid in grids
    )


def read_own(path: Path, grids: Sequence[Grid], sheet: str | None = None) -> OwnInputs:
    """Read the inputs of a workbook that we wrote; `sheet` says which, where it holds several scenarios.

    Raises
    ------
    InputError
        Several scenarios and no sheet, or one that is not there.
    SpreadsheetError
        A workbook of values alone, a cell that is no number, or a bill that a scenario cannot state.
    """
    book = grids[0].book
    by_name = {grid.sheet: grid for grid in grids}
    sheets = [name for name in by_name if _INPUTS.fullmatch(name)]
    if sheet is None and len(sheets) > 1:
        raise InputError(
            f'{book}: holds {len(sheets)} scenarios ({", ".join(sheets)}); say which: --sheet "{sheets[0]}"'
        )
    chosen = sheets[0] if sheet is None else sheet
    if chosen not in sheets:
        raise InputError(f"{book}: no inputs on '{printable(chosen)}'; {nearest(chosen, sheets)}")
    values: dict[str, tuple[Any, str]] = {}
    changed = []
    for (_, key), (at, row, column) in _named_cells(path).items():
        if at == chosen and key not in _DERIVED:
            values[key] = _cell(by_name[at], row, column)
            if values[key][0] != _cell(by_name[at], row, column + _AS_WRITTEN)[0]:
                changed.append(key)
    whole = _embedded(by_name.get(chosen.replace("Inputs", _SCENARIO)))
    if whole is None and not values:
        raise SpreadsheetError(
            f"{book}: written by bc-opt with values alone, no inputs to read; import the scenario that it was made of"
        )
    if whole is None:
        return _Reader(book, by_name[chosen], by_name.get(_HARDWARE), values).read()
    found = OwnInputs(chosen, tree=whole, sources={(key,): f"{chosen}, as written" for key in whole})
    if changed:
        made = _Reader(book, by_name[chosen], by_name.get(_HARDWARE), values).read()
        _overlay(found, made, {key: values[key][1] for key in changed}, book)
    found.notes.append(f"a workbook of bc-opt: its scenario, with {len(changed)} inputs changed")
    return found


def _embedded(grid: Grid | None) -> dict[str, Any] | None:
    """Return the scenario of the hidden sheet, JSON in the first cells of its rows."""
    if grid is None:
        return None
    try:
        tree = json.loads("".join(str(row[0]) for row in grid.rows))
    except (ValueError, RecursionError):
        return None
    return tree if isinstance(tree, dict) else None


def _overlay(found: OwnInputs, made: OwnInputs, changed: Mapping[str, str], book: str) -> None:
    """Put the inputs that were changed into the scenario.

    Raises
    ------
    SpreadsheetError
        An input that is no key of a scenario.
    """
    for key, place in changed.items():
        if key in _LAW:
            keys: tuple[str, ...] = ("law",)
        elif key.startswith("target_"):
            keys = ("target",)
        elif key.endswith("_peak"):
            keys = (key.removesuffix("_peak"), "hardware")
        else:
            keys = _KEYS.get(key, ())
        node: Any = made.tree
        for part in keys:
            node = node.get(part) if isinstance(node, dict) else None
        if (
            not keys
            or node is None
            or (key in _LAW and any(section in found.tree for section in _BENDS))
            or (key in ("prefill_tokens", "decode_tokens") and "tokens" not in found.tree["demand"])
        ):
            raise SpreadsheetError(
                f"{book}, {place}: was changed, but no key of the scenario states it; undo that, and change the "
                "scenario"
            )
        target = found.tree
        for part in keys[:-1]:
            target = target[part]
        if keys in _TIMES_FACTOR and "factor" in target:
            # The cell holds the product.
            node = repr(float(node) / _certain(target["factor"]))
        if is_distribution(target.get(keys[-1])):
            found.notes.append(f"{'.'.join(keys)} was uncertain, and is the number of {place} now")
        target[keys[-1]] = node
        found.sources[keys] = place


def _certain(stated: Any) -> float:
    """Return a number, or the median of an uncertain one; 1 for what the scenario's own check will refuse."""
    if not is_distribution(stated):
        return float(stated)
    distribution, _ = read_distribution(stated)
    return 1.0 if distribution is None else distribution.median


def _named_cells(path: Path) -> dict[tuple[str, str], tuple[str, int, int]]:
    """Return sheet, row and column of every named input, by prefix and key."""
    with zipfile.ZipFile(io.BytesIO(path.read_bytes())) as archive:
        stated = defined_names(archive)
    found = {}
    for name, reference in stated.items():
        match, cell = _NAME.fullmatch(name), _CELL.fullmatch(reference)
        if match and cell:
            column = 0
            for letter in cell["column"]:
                column = column * 26 + ord(letter) - 64
            found[match["prefix"], match["key"]] = (cell["sheet"].strip("'"), int(cell["row"]) - 1, column - 1)
    return found


def _cell(grid: Grid, row: int, column: int) -> tuple[Any, str]:
    if row not in grid.numbers or not 0 <= column - grid.left < grid.width:
        return "", f"{grid.book}, {grid.sheet}"
    index = grid.numbers.index(row)
    return grid.rows[index][column - grid.left], grid.address(index, column - grid.left)


@dataclass
class _Reader:
    book: str
    sheet: Grid
    hardware: Grid | None
    values: dict[str, tuple[Any, str]]

    def read(self) -> OwnInputs:
        found = OwnInputs(self.sheet.sheet)
        for name in _LAW:
            self._copy(found, name, f"law.{name}")
        self._target(found)
        priced = "training_price" in self.values
        self._demand(found, priced=priced)
        if not priced:
            found.put("objective", "flops", self.sheet.address(0, 0))
        for use, title, precision, place in self._sections():
            found.put(f"{use}.hardware", self._chip(use, title, precision), place)
            found.put(f"{use}.precision", precision, place)
            self._copy(found, f"{use}_price", f"{use}.price")
        for key in ("training_mfu", "prefill_mfu", "decode_mfu", "unique_tokens"):
            if key in self.values:
                self._copy(found, key, ".".join(_KEYS[key]))
        self._multipliers(found)
        found.notes.append("a workbook of bc-opt: its inputs are read, without the limits and choices of its scenario")
        return found

    def number(self, key: str) -> float:
        cell, place = self.values.get(key, ("", self.sheet.sheet))
        if isinstance(cell, Fault):
            raise SpreadsheetError(f"{self.book}, {place}: {cell.found('a number')}")
        if not is_number(cell):
            raise SpreadsheetError(f"{self.book}, {place}: {shown(cell)} is not a number; type it without letters")
        return float(cell)

    def _copy(self, found: OwnInputs, key: str, at: str) -> None:
        found.put(at, repr(self.number(key)), self.values[key][1])

    def _target(self, found: OwnInputs) -> None:
        way, place = self.values.get("target_way", ("", self.sheet.sheet))
        if way == "model":
            self._copy(found, "target_params", "target.model.params")
            self._copy(found, "target_tokens", "target.model.tokens")
        elif way in ("chinchilla", "loss"):
            self._copy(found, f"target_{way}", f"target.{way}")
        else:
            raise SpreadsheetError(f"{self.book}, {place}: {shown(way)}; choose chinchilla, loss or model")

    def _demand(self, found: OwnInputs, *, priced: bool) -> None:
        if "requests" in self.values:
            for key in ("requests", "input_tokens", "output_tokens"):
                self._copy(found, key, f"demand.{key}")
        elif not priced:
            self._copy(found, "decode_tokens", "demand.tokens")
        else:
            place = self.values["prefill_tokens"][1]
            found.put("demand.requests", repr(_REQUESTS), place)
            for key, at in (("prefill_tokens", "input_tokens"), ("decode_tokens", "output_tokens")):
                found.put(f"demand.{at}", repr(self.number(key) / _REQUESTS), self.values[key][1])
            found.notes.append(
                "the workbook holds the tokens of the whole life: stated as a million requests of their mean"
            )

    def _sections(self) -> list[tuple[str, str, str, str]]:
        return [
            (match["use"].lower(), match["title"], match["precision"], self.sheet.address(index, column))
            for index, row in enumerate(self.sheet.rows)
            for column, cell in enumerate(row)
            if isinstance(cell, str) and (match := _SECTION.fullmatch(cell))
        ]

    def _chip(self, use: str, title: str, precision: str) -> str | dict[str, Any]:
        """Return the chip by name; written out where its peak rate, or itself, is not the catalogue's."""
        peak = self.number(f"{use}_peak")
        peaks = {"peak": {precision: f"{peak!r} TFLOP/s"}}
        for name in names():
            chip = accelerator(name)
            if title in (chip.title, chip.name):
                same = abs(chip.peak.get(precision, 0.0) / TERA / peak - 1.0) < 1e-12
                return name if same else {"base": name, **peaks}
        memory, bandwidth = self._specification(title)
        return {"name": title, **peaks, "memory": f"{memory!r} GB", "bandwidth": f"{bandwidth!r} TB/s"}

    def _specification(self, title: str) -> tuple[float, float]:
        for row in self.hardware.rows if self.hardware else ():
            sizes = [cell for cell in row if is_number(cell)]
            if title in row and len(sizes) >= 2:
                return float(sizes[0]), float(sizes[1])
        raise SpreadsheetError(f"{self.book}: no chip {shown(title)} in the catalogue, nor on '{_HARDWARE}'")

    def _multipliers(self, found: OwnInputs) -> None:
        """Put what the scenario added to the plain prices into them, where they can hold it."""
        rates = [key for key in self.values if key.startswith("rate_") and self.number(key) != 0.0]
        if rates:
            place = self.values[rates[0]][1]
            raise SpreadsheetError(
                f"{self.book}, {place}: the bill has a rate of {rates[0].removeprefix('rate_')} that only its scenario "
                "states; import that scenario's own tables, or solve it with --set"
            )
        factors = {key.removeprefix("factor_"): key for key in self.values if key.startswith("factor_")}
        uses: tuple[tuple[str, Callable[[], list[str]]], ...] = (
            ("training", lambda: ["training"]),
            ("serving", lambda: [phase for phase in ("prefill", "decode") if phase in factors]),
        )
        for use, phases_of in uses:
            phases = [phase for phase in phases_of() if phase in factors]
            stated = [self.number(factors[phase]) for phase in phases]
            if not stated:
                continue
            if max(stated) > min(stated) * (1 + 1e-9) or (use == "serving" and len(phases) == 1):
                raise SpreadsheetError(
                    f"{self.book}, {self.values[factors[phases[0]]][1]}: prefill and decode have multipliers of "
                    "their own, which no scenario can state; import the tables that its scenario was made of"
                )
            price = self.number(f"{use}_price") * stated[0]
            found.put(f"{use}.price", repr(price), self.values[f"{use}_price"][1])
            found.notes.append(f"the price of {use} holds the multiplier {stated[0]:.6g} of {self.sheet.sheet}")
