"""Price lists of gpuhunt: a row per instance, region and kind, the price of an INSTANCE."""

from __future__ import annotations

import numpy as np
import pandas as pd

from beyond_chinchilla.tables.files import Frame
from beyond_chinchilla.tables.offers import ON_DEMAND, SPOT, Draft, numbers, require, rows_that, texts

HEADER = ("instance_name", "location", "price", "gpu_count", "gpu_name", "gpu_memory", "spot")


def read_gpuhunt(table: Frame, provider: str) -> Draft:
    """Read a list; a column ``provider``, where there is one, goes before the file's name.

    Raises
    ------
    SpreadsheetError
        A column of the format is missing.
    """
    frame = table.frame
    require(list(frame.columns), [name for name in HEADER if name != "gpu_memory"], table.place, "a list of gpuhunt")
    rows = pd.DataFrame({"line": table.lines, "provider": provider, "date": ""})
    if "provider" in frame:
        named = texts(frame["provider"])
        rows["provider"] = named.where(named != "", provider)
    rows["instance"] = texts(frame["instance_name"])
    rows["region"] = texts(frame["location"])
    rows["accelerator"] = texts(frame["gpu_name"])
    rows["count"] = numbers(frame["gpu_count"])
    rows["cell"] = texts(frame["price"])
    rows["price"] = numbers(frame["price"])
    rows["memory"] = numbers(frame["gpu_memory"]) if "gpu_memory" in frame else np.nan
    said = texts(frame["spot"]).str.lower()
    rows["kind"] = np.where(said.isin(("true", "1")), SPOT, ON_DEMAND)
    cpu = ((rows["accelerator"] == "") & ~(rows["count"] > 0.0)).to_numpy(dtype=bool)
    notes = [rows_that(int(cpu.sum()), "no accelerator")] if cpu.any() else []
    unsaid = (~said.isin(("true", "false", "1", "0"))).to_numpy(dtype=bool)[~cpu]
    draft = Draft(rows=rows[~cpu].reset_index(drop=True), notes=notes)
    draft.set_aside(unsaid, "it does not say whether it is a spot price")
    return draft
