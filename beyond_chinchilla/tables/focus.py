"""Billing exports in FOCUS 1.0 to 1.4: what was paid for an hour of a chip, discounts and commitments included.

The price of a machine is its effective cost divided by its chip-hours, over all usage rows of one SKU, region and
kind. A row counts where it is usage billed by time, and names its chips: by ``SkuPriceDetails`` (GpuCount,
InstanceType, with or without ``F_``), a provider's ``x_`` column, or a known type of instance in ``SkuMeter``,
``SkuId``, ``SkuPriceId`` or the description. Names of resources are their owners' and prove nothing. Taxes, purchases,
credits, adjustments, corrections and unused commitments are set aside.

The columns are those of the FinOps Open Cost and Usage Specification; 1.4 has ``ServiceProviderName`` for
``ProviderName``.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from beyond_chinchilla.errors import InputError, SpreadsheetError, printable
from beyond_chinchilla.tables.chips import find_machine, match_chip
from beyond_chinchilla.tables.files import Frame
from beyond_chinchilla.tables.offers import COMMITTED, ON_DEMAND, SPOT, Draft, numbers, require, rows_that, texts

HEADER = (
    *("BillingCurrency", "ChargeCategory", "EffectiveCost", "ChargePeriodStart", "PricingCategory"),
    *("PricingQuantity", "PricingUnit", "ConsumedQuantity", "ConsumedUnit", "SkuId", "ServiceCategory"),
)
_PROVIDERS = ("ServiceProviderName", "ProviderName")
_CATEGORIES = {"Tax", "Credit", "Purchase", "Adjustment"}
_PLACES_OF_TYPES = ("SkuMeter", "SkuId", "SkuPriceId", "ChargeDescription")

_TIME = re.compile(r"(?P<size>\d+)?\s*(?P<chip>gpu|chip|accelerator)?[\s-]*(?P<unit>h|hrs?|hours?|minutes?|seconds?|s)")
_ACCELERATOR = re.compile(r"[gt]pu|nvidia|accelerator|trainium|gaudi", re.IGNORECASE)
_LONGEST_UNIT = 40
_SECONDS = {"h": 3600.0, "m": 60.0, "s": 1.0}
_YEARS = re.compile(r"(?<!\d)([13])[\s_-]?(?:y\b|yr|year)|\bP([13])Y\b", re.IGNORECASE)
# What a property or a provider's own column may be called, without case, punctuation, x_ and F_.
_TYPE_KEYS = ("instancetype", "skuinstancetype", "machinetype", "vmsize", "servicetype")
_COUNT_KEYS = ("gpucount", "acceleratorcount", "numberofgpus", "gpus")
_CHIP_KEYS = ("gpuname", "gputype", "gpumodel", "acceleratorname", "acceleratortype", "accelerator", "gpu")
_KEYS = {*_TYPE_KEYS, *_COUNT_KEYS, *_CHIP_KEYS}


def read_focus(table: Frame, provider: str, per_usd: float | None) -> Draft:
    """Read an export.

    Parameters
    ----------
    table : Frame
        The export.
    provider : str
        Where a row names none.
    per_usd : float or None
        Units of the export's currency for one USD, where it is not in USD.

    Raises
    ------
    SpreadsheetError
        A column is missing, two currencies in one file, or a currency without its rate.
    """
    names = list(table.frame.columns)
    wanted = ["BillingCurrency", "ChargeCategory", "PricingCategory"]
    require(names, wanted, table.place, "a FOCUS export")
    rows = _columns(table, provider)
    rate = _rate(rows, table.place, per_usd)
    draft = Draft(rows=rows)
    if rate != 1.0:
        draft.notes.append(f"{rows['currency'].iloc[0]} converted at {rate:g} for one USD, as stated")
    _set_aside_charges(draft, rate)
    _set_aside_unnamed(draft)
    draft.rows = _effective(draft.rows, rate)
    return draft


def _columns(table: Frame, provider: str) -> pd.DataFrame:
    frame = table.frame
    blank = pd.Series([""] * len(frame), dtype="str")

    def text(name: str) -> pd.Series[Any]:
        return texts(frame[name]) if name in frame else blank

    rows = pd.DataFrame({"line": table.lines, "provider": provider})
    for name in reversed(_PROVIDERS):
        rows["provider"] = text(name).where(text(name) != "", rows["provider"])
    rows["region"] = text("RegionId").where(text("RegionId") != "", text("RegionName"))
    rows["currency"] = text("BillingCurrency").str.upper()
    rows["category"] = text("ChargeCategory")
    rows["charge_class"] = text("ChargeClass")
    rows["unused"] = text("CommitmentDiscountStatus").str.lower().eq("unused")
    rows["pricing"] = text("PricingCategory").str.lower()
    rows["term"] = text("CommitmentDiscountName") + " " + text("CommitmentDiscountType")
    rows["service"] = text("ServiceCategory")
    rows["date"] = text("ChargePeriodStart").str[:10]
    rows["cell"], rows["cost"] = _cost(text)
    rows["hours"], rows["is_chip_hours"] = _hours(frame, text)
    rows["sku"] = text("SkuPriceId").where(text("SkuPriceId") != "", text("SkuId"))
    own = [name for name in frame.columns if name.lower().startswith("x_") and _key(name) in _KEYS]
    details = [text("SkuPriceDetails"), *(text(name) for name in own)]
    places = [text(name) for name in _PLACES_OF_TYPES]
    keys = ("SkuPriceDetails", *own)
    found = [
        _find_chips(keys, tuple(said[: len(keys)]), tuple(said[len(keys) :]))
        for said in zip(*(column.tolist() for column in (*details, *places)), strict=True)
    ]
    rows["instance"] = [each[0] for each in found]
    rows["accelerator"] = [each[1] for each in found]
    rows["count"] = np.array([each[2] for each in found], dtype=np.float64)
    rows["memory"] = np.array([each[3] for each in found], dtype=np.float64)
    rows["form"] = [each[4] for each in found]
    rows["problem"] = [each[5] for each in found]
    terms = zip(rows["pricing"].tolist(), rows["term"].tolist(), strict=True)
    rows["kind"] = [_kind(pricing, term) for pricing, term in terms]
    return rows


def _cost(text: Any) -> tuple[pd.Series[Any], NDArray[np.float64]]:
    """Return the effective cost; where it is missing, what the contract's or the list's unit price makes."""
    cell = text("EffectiveCost")
    cost = numbers(cell)
    quantity = numbers(text("PricingQuantity"))
    for name in ("ContractedUnitPrice", "ListUnitPrice"):
        price = text(name)
        fills = ((cell == "") & (price != "") & (text("PricingQuantity") != "")).to_numpy(dtype=bool)
        cost = np.where(fills, numbers(price) * quantity, cost)
        cell = cell.where(~fills, price + " x " + text("PricingQuantity"))
    return cell, cost


def _hours(frame: pd.DataFrame, text: Any) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return hours of the resource [hour], and whether they are hours of single chips; nan for other units."""
    hours = np.full(len(frame), np.nan)
    of_chips = np.zeros(len(frame), dtype=bool)
    for kind in ("Consumed", "Pricing"):
        units = text(f"{kind}Unit").str.lower()
        scale = {unit: _unit(unit) for unit in units.unique()}
        size = units.map(lambda unit, scale=scale: scale[unit][0]).to_numpy(dtype=np.float64)
        found = np.isnan(hours) & np.isfinite(size)
        hours = np.where(found, numbers(text(f"{kind}Quantity")) * size, hours)
        of_chips |= found & units.map(lambda unit, scale=scale: scale[unit][1]).to_numpy(dtype=bool)
    return hours, of_chips


def _unit(unit: str) -> tuple[float, bool]:
    match = _TIME.fullmatch(unit) if len(unit) <= _LONGEST_UNIT else None
    if match is None:
        return np.nan, False
    return float(match["size"] or 1) * _SECONDS[match["unit"][0]] / 3600.0, match["chip"] is not None


def _kind(pricing: str, term: str) -> str:
    if pricing == "committed":
        match = _YEARS.search(term)
        return f"{match[1] or match[2]}-year" if match else COMMITTED
    return {"standard": ON_DEMAND, "dynamic": SPOT}.get(pricing, "")


def _rate(rows: pd.DataFrame, place: str, per_usd: float | None) -> float:
    """Return the units of the export's one currency for one USD."""
    first = rows[rows["currency"] != ""].groupby("currency", sort=False)["line"].min()
    currencies = [printable(str(name)[:10]) for name in first.index]
    if len(currencies) > 1:
        listed = " and ".join(f"{name} (line {line})" for name, line in zip(currencies[:2], first, strict=False))
        raise SpreadsheetError(f"{place}: bills in {listed}; keep the rows of one currency")
    if not currencies:
        raise SpreadsheetError(f"{place}: no row has a BillingCurrency; write USD there, or whatever it is")
    if currencies[0] == "USD":
        if per_usd is not None:
            raise InputError(f"{place}: bills in USD; leave out the rate {per_usd:g}")
        return 1.0
    if per_usd is None:
        raise SpreadsheetError(f"{place}: bills in {currencies[0]}; state what one USD costs: --per-usd RATE")
    return per_usd


def _set_aside_charges(draft: Draft, rate: float) -> None:
    for category in sorted(_CATEGORIES):
        draft.set_aside(
            _mask(draft, lambda rows, name=category: rows["category"] == name), f"{category.lower()}, not usage"
        )
    draft.set_aside(_mask(draft, lambda rows: rows["category"] != "Usage"), "no known charge category")
    draft.set_aside(_mask(draft, lambda rows: rows["charge_class"] == "Correction"), "a correction of an earlier bill")
    unused = _mask(draft, lambda rows: rows["unused"])
    if unused.any():
        money = float(np.nansum(draft.rows["cost"].to_numpy(dtype=np.float64)[unused])) / rate
        draft.notes.append(f"unused commitments cost {money:,.2f} USD more: they are in no price")
    draft.set_aside(unused, "a commitment that was not used")
    draft.set_aside(_mask(draft, lambda rows: rows["currency"] == ""), "no currency")
    draft.set_aside(_mask(draft, lambda rows: rows["cost"] < 0.0), "a credit or refund: the cost is below zero")


def _mask(draft: Draft, test: Any) -> NDArray[np.bool_]:
    mask: NDArray[np.bool_] = test(draft.rows).to_numpy(dtype=bool)
    return mask


def _set_aside_unnamed(draft: Draft) -> None:
    """Set aside rows that do not say which chips were used for how long; storage and the like are only counted."""
    silent = _mask(draft, lambda rows: (rows["accelerator"] == "") & (rows["problem"] == ""))
    compute = draft.rows["service"].isin(("Compute", "AI and Machine Learning", "")).to_numpy(dtype=bool)
    timed = np.isfinite(draft.rows["hours"].to_numpy(dtype=np.float64))
    other = silent & ~(compute & timed)
    if other.any():
        draft.notes.append(rows_that(int(other.sum()), "no chip's name and no hours of compute"))
        draft.rows = draft.rows[~other].reset_index(drop=True)
    silent = silent[~other]
    draft.set_aside(silent, "compute by the hour that names no known chip or type of instance")
    for problem in draft.rows["problem"].unique():
        if problem:
            draft.set_aside(_mask(draft, lambda rows, said=problem: rows["problem"] == said), problem)
    draft.set_aside(~np.isfinite(draft.rows["hours"].to_numpy(dtype=np.float64)), "not billed by time")
    draft.set_aside(_mask(draft, lambda rows: ~(rows["hours"] > 0.0)), "no hours")
    draft.set_aside(_mask(draft, lambda rows: rows["kind"] == ""), "neither on demand, spot nor committed")
    draft.set_aside(_mask(draft, lambda rows: rows["cell"] == ""), "no price")
    draft.set_aside(_mask(draft, lambda rows: ~np.isfinite(rows["cost"])), "the price is not a number")
    draft.set_aside(_mask(draft, lambda rows: rows["cost"] == 0.0), "the price is zero")


def _effective(rows: pd.DataFrame, rate: float) -> pd.DataFrame:
    """Return a row for every SKU, region and kind: cost over hours."""
    by_chip = rows["is_chip_hours"].to_numpy(dtype=bool)
    # An hour of a chip is an hour of one chip, whatever machine it is in.
    rows = rows.assign(count=np.where(by_chip, 1.0, rows["count"]))
    keys = ["provider", "instance", "region", "accelerator", "kind", "sku", "count", "memory", "form"]
    if rows.empty:
        return rows.assign(price=np.array([], dtype=np.float64))
    grouped = rows.groupby(keys, sort=False, dropna=False)
    made = grouped.agg(line=("line", "min"), date=("date", "max"), cost=("cost", "sum"), hours=("hours", "sum"))
    made = made.reset_index()
    made["price"] = made["cost"] / rate / made["hours"]
    made["cell"] = [
        f"{cost:,.2f} for {hours:,.6g} hours" for cost, hours in zip(made["cost"], made["hours"], strict=True)
    ]
    return made


# What a row says about its chips: instance, accelerator, count, memory, form, and what is wrong
_Chips = tuple[str, str, float, float, str, str]


@functools.lru_cache(maxsize=65536)
def _find_chips(keys: tuple[str, ...], details: tuple[str, ...], places: tuple[str, ...]) -> _Chips:
    said = dict(_properties(keys, details))
    stated = next((said[key] for key in _TYPE_KEYS if said.get(key)), "")
    machine = next((found for text in (stated, *places) if text and (found := find_machine(text))), None)
    count = _count(next((said[key] for key in _COUNT_KEYS if said.get(key)), ""))
    name = next((said[key] for key in _CHIP_KEYS if said.get(key)), "")
    if machine is not None:
        kind, chips = machine
        if np.isfinite(count) and count != chips:
            return stated, kind.name, count, np.nan, "", "its count of GPUs is not that of its type of instance"
        instance = stated or next(text for text in places if find_machine(text))
        return instance, kind.name, float(chips), np.nan if kind.memory is None else kind.memory, kind.form, ""
    if name:
        problem = "" if np.isfinite(count) else "the number of chips is not stated"
        return stated, name, count, np.nan, "", problem
    if np.isfinite(count) and count > 0.0:
        return (
            stated,
            "",
            count,
            np.nan,
            "",
            "GPUs of a kind that is not stated, in a type of instance that is not known",
        )
    if any(_ACCELERATOR.search(text) and match_chip(text).chip for text in places):
        return stated, "", np.nan, np.nan, "", "the number of chips is not stated"
    return stated, "", np.nan, np.nan, "", ""


def _properties(keys: tuple[str, ...], details: tuple[str, ...]) -> Iterable[tuple[str, str]]:
    """Yield what is stated, by folded key: the provider's columns, then the properties, which win."""
    for key, text in zip(keys[1:], details[1:], strict=True):
        if text:
            yield _key(key), text
    try:
        loaded = json.loads(details[0]) if details[0] else {}
    except (ValueError, RecursionError):
        return
    if isinstance(loaded, Mapping):
        for key, value in loaded.items():
            if isinstance(value, (str, int, float)) and not isinstance(value, bool):
                yield _key(key), str(value)


def _key(name: str) -> str:
    return "".join(
        letter for letter in re.sub(r"^(?:x_|f_)+", "", name, flags=re.IGNORECASE).lower() if letter.isalnum()
    )


def _count(text: str) -> float:
    try:
        return float(text) if text else np.nan
    except (ValueError, OverflowError):
        return np.nan
