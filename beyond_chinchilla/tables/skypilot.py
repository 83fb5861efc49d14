"""Price lists of SkyPilot's catalogue: one CSV per cloud, the price of an INSTANCE, columns in any order.

What the lists are known to get wrong is corrected or set aside, never passed on:

- Google's machines and GPUs stand in separate rows. The price of a chip needs both: each GPU row is added to every
  machine of its zone that carries it.
- Google writes 700.00 where it has no price.
- Azure's ND96isr H100 v5 has 8 GPUs, where lists say 12.
- Vast writes a spot price of 0.00 where it has none; RunPod and Azure repeat the price on demand.
- A slice of TPUs is one accelerator whose name says how large it is (`chips.chips_of`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from beyond_chinchilla.tables.files import Frame
from beyond_chinchilla.tables.offers import ON_DEMAND, SPOT, Draft, numbers, require, rows_that, texts

HEADER = ("InstanceType", "AcceleratorName", "AcceleratorCount", "Region", "Price", "SpotPrice")
_UNAVAILABLE = 700.0
_RIGHT_COUNTS = {"standard_nd96isr_h100_v5": 8.0}

# Google's machines by the accelerator that SkyPilot's list says they carry.
_HOSTS = (
    (re.compile(r"a2-(?:high|mega)gpu-(\d{1,3})g"), "A100"),
    (re.compile(r"a2-ultragpu-(\d{1,3})g"), "A100-80GB"),
    (re.compile(r"a3-(?:high|edge)gpu-(\d{1,3})g(?:-nolssd)?"), "H100"),
    (re.compile(r"a3-megagpu-(\d{1,3})g(?:-nolssd)?"), "H100-MEGA"),
    (re.compile(r"a3-ultragpu-(\d{1,3})g(?:-nolssd)?"), "H200"),
    (re.compile(r"a4-highgpu-(\d{1,3})g(?:-nolssd)?"), "B200"),
    (re.compile(r"a4x-highgpu-(\d{1,3})g(?:-nolssd)?"), "GB200"),
)
_L4_HOST = re.compile(r"g2-standard-(\d{1,3})")
_L4_COUNT = {4: 1, 8: 1, 12: 1, 16: 1, 32: 1, 24: 2, 48: 4, 96: 8}


def read_skypilot(table: Frame, provider: str) -> Draft:
    """Read a list; prices stay those of instances until `Draft.check_prices` divides them.

    Raises
    ------
    SpreadsheetError
        A column of the format is missing.
    """
    require(list(table.frame.columns), HEADER[1:5], table.place, "a list of SkyPilot")
    rows = _columns(table, provider)
    notes = []
    zero = (rows["spot"] == 0.0).to_numpy(dtype=bool)
    if zero.any():
        notes.append(rows_that(int(zero.sum()), "a spot price of 0, which is read as none"))
        rows["spot_cell"] = rows["spot_cell"].where(~zero, "")
    machines, alone = _split_rows(rows)
    draft = Draft(rows=rows[~machines & ~alone].reset_index(drop=True), notes=notes)
    carried = {instance: _carried(instance) for instance in rows["instance"][machines].unique()}
    hosts = machines & rows["instance"].map(lambda name: carried.get(name) is not None).to_numpy(dtype=bool)
    if hosts.any() or alone.any():
        whole, parts = _join_parts(_with_gpus(rows[hosts], carried), rows[alone])
        draft.rows = pd.concat([draft.rows, whole], ignore_index=True)
        for part, reason in parts:
            _reject(draft, part, reason)
    cpu = int((machines & ~hosts).sum())
    if cpu:
        draft.notes.append(rows_that(cpu, "no accelerator"))
    _correct_counts(draft)
    draft.rows = _by_kind(draft)
    unavailable = draft.rows["part_700"].to_numpy(dtype=bool)
    draft.set_aside(unavailable, "700.00 stands for 'not available'")
    return draft


def _columns(table: Frame, provider: str) -> pd.DataFrame:
    frame = table.frame
    blank = pd.Series([""] * len(frame), dtype="str")
    rows = pd.DataFrame({"line": table.lines, "provider": provider, "kind": ON_DEMAND, "date": ""})
    rows["instance"] = texts(frame["InstanceType"]) if "InstanceType" in frame else blank
    rows["accelerator"] = texts(frame["AcceleratorName"])
    rows["region"] = texts(frame["Region"])
    zone = texts(frame["AvailabilityZone"]) if "AvailabilityZone" in frame else blank
    rows["zone"] = zone.where(zone != "", rows["region"])
    rows["count"] = numbers(frame["AcceleratorCount"])
    rows["cell"] = texts(frame["Price"])
    rows["spot_cell"] = texts(frame["SpotPrice"]) if "SpotPrice" in frame else blank
    rows["price"] = numbers(frame["Price"])
    rows["spot"] = numbers(rows["spot_cell"])
    # SkyPilot calls the chip of 80 GB A100-80GB, and that of 40 GB A100.
    rows["memory"] = np.where(rows["accelerator"] == "A100", 40.0, np.nan)
    return rows


def _split_rows(rows: pd.DataFrame) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return which rows are machines without an accelerator, and which are GPUs without a machine."""
    machines = (rows["accelerator"] == "").to_numpy(dtype=bool)
    # A slice of TPUs is hired whole.
    slices = rows["accelerator"].str.lower().str.startswith("tpu").to_numpy(dtype=bool)
    return machines, ~machines & ~slices & (rows["instance"] == "").to_numpy(dtype=bool)


def _carried(instance: str) -> tuple[str, float] | None:
    for pattern, name in _HOSTS:
        if match := pattern.fullmatch(instance):
            return name, float(match[1])
    match = _L4_HOST.fullmatch(instance)
    return ("L4", float(_L4_COUNT[int(match[1])])) if match and int(match[1]) in _L4_COUNT else None


def _with_gpus(machines: pd.DataFrame, carried: Mapping[str, tuple[str, float] | None]) -> pd.DataFrame:
    """Give machines the accelerators that they carry."""
    known = [carried[instance] or ("", np.nan) for instance in machines["instance"].tolist()]
    names = pd.Series([name for name, _ in known], index=machines.index, dtype="str")
    return machines.assign(accelerator=names, count=np.array([count for _, count in known], dtype=np.float64))


def _join_parts(hosts: pd.DataFrame, gpus: pd.DataFrame) -> tuple[pd.DataFrame, list[tuple[pd.DataFrame, str]]]:
    """Add each GPU row to the machines of its zone that carry it; return also what has no other half."""
    both = gpus.merge(hosts, on=["accelerator", "count", "zone"], suffixes=("", "_host"))
    whole = both.assign(
        instance=both["instance_host"],
        price=_sum(both["price"], both["price_host"]),
        spot=_sum(both["spot"], both["spot_host"]),
        part_700=both["price"].eq(_UNAVAILABLE) | both["price_host"].eq(_UNAVAILABLE),
        spot_700=both["spot"].eq(_UNAVAILABLE) | both["spot_host"].eq(_UNAVAILABLE),
        cell=_sum_of(both["cell"], both["cell_host"]),
        spot_cell=_sum_of(both["spot_cell"], both["spot_cell_host"]),
    )[[*gpus.columns, "part_700", "spot_700"]]
    lone_gpus = gpus[~gpus["line"].isin(both["line"])]
    lone_hosts = hosts[~hosts["line"].isin(both["line_host"])]
    return whole, [
        (lone_gpus, "the price is of the GPU alone: no machine of its zone is known to carry it"),
        (lone_hosts, "the price is of the machine alone: its GPUs are not in the file"),
    ]


def _sum(first: pd.Series, second: pd.Series) -> NDArray[np.float64]:
    """Return the sum of two prices; a part that is no price makes the sum none."""
    parts = np.array([first.to_numpy(dtype=np.float64), second.to_numpy(dtype=np.float64)])
    least = np.minimum(parts[0], parts[1])
    total: NDArray[np.float64] = np.where(least > 0.0, parts[0] + parts[1], least)
    return total


def _sum_of(first: pd.Series, second: pd.Series) -> pd.Series:
    # Half a price is none.
    return (first + " + " + second).where((first != "") & (second != ""), "")


def _reject(draft: Draft, rows: pd.DataFrame, reason: str) -> None:
    part = Draft(rows=rows)
    part.set_aside(np.ones(len(rows), dtype=bool), reason)
    draft.rejects += part.rejects


def _correct_counts(draft: Draft) -> None:
    rows = draft.rows
    right = rows["instance"].str.lower().map(_RIGHT_COUNTS).to_numpy(dtype=np.float64, na_value=np.nan)
    wrong = np.isfinite(right) & (rows["count"].to_numpy(dtype=np.float64) != right)
    for (instance, count), lines in rows[wrong].groupby(["instance", "count"])["line"]:
        known = _RIGHT_COUNTS[instance.lower()]
        said = rows_that(len(lines), f"{count:g} chips for {instance}, corrected to {known:g}")
        draft.notes.append(f"{said} (line {lines.min()})")
    draft.rows = rows.assign(count=np.where(wrong, right, rows["count"]))


def _by_kind(draft: Draft) -> pd.DataFrame:
    """Return a row for each price: on demand, and spot where there is one."""
    rows = draft.rows
    for name, column in (("part_700", "price"), ("spot_700", "spot")):
        joined = rows[name].eq(True).to_numpy(dtype=bool) if name in rows else np.zeros(len(rows), dtype=bool)
        rows = rows.assign(**{name: joined | rows[column].eq(_UNAVAILABLE).to_numpy(dtype=bool)})
    has_spot = (rows["spot_cell"] != "").to_numpy(dtype=bool)
    # A row with a spot price alone is an offer; one without either is set aside later.
    has_demand = (rows["cell"] != "").to_numpy(dtype=bool) | ~has_spot
    spot = rows[has_spot]
    spot = spot.assign(kind=SPOT, cell=spot["spot_cell"], price=spot["spot"], part_700=spot["spot_700"])
    return pd.concat([rows[has_demand], spot], ignore_index=True)
