"""Price lists that are per chip-hour already: gpu-price-feed (JSON) and Epoch AI's hardware prices (CSV)."""

from __future__ import annotations

import numpy as np
import pandas as pd

from beyond_chinchilla.tables.files import Frame
from beyond_chinchilla.tables.offers import ON_DEMAND, SPOT, Draft, numbers, texts

FEED_HEADER = ("provider", "gpu_key", "gpu_form", "pricing_type", "price_per_gpu_hr_usd")
HISTORY_HEADER = ("schema_version", "collected_at", "cheapest")
EPOCH_HEADER = (
    *("Price date", "Hardware model", "Vendor", "Location", "Price per chip-hour (on-demand)"),
    *("Price per chip-hour (1-year CUD)", "Price per chip-hour (3-year CUD)", "Price (hardware purchase)"),
)
_FEED_KINDS = {"on-demand": ON_DEMAND, "spot": SPOT, "interruptible": SPOT}
_EPOCH_KINDS = dict(zip(EPOCH_HEADER[4:7], (ON_DEMAND, "1-year", "3-year"), strict=True))


def read_feed(table: Frame, provider: str) -> Draft:
    """Read gpu-price-feed's offers; its prices in other currencies are converted by the feed, with its dated rate."""
    frame = table.frame
    blank = pd.Series([""] * len(frame), dtype="str")

    def column(name: str) -> pd.Series:
        return texts(frame[name]) if name in frame else blank

    named = column("provider")
    rows = pd.DataFrame({"line": table.lines, "provider": named.where(named != "", provider)})
    rows["instance"] = column("gpu_model_raw")
    rows["region"] = column("region")
    rows["accelerator"] = column("gpu_key")
    rows["form"] = column("gpu_form")
    rows["memory"] = numbers(frame["vram_gb"]) if "vram_gb" in frame else np.nan
    rows["date"] = column("collected_at").str[:10]
    # The price is of one chip whatever the instance holds.
    rows["count"] = 1.0
    rows["cell"] = column("price_per_gpu_hr_usd")
    rows["price"] = numbers(rows["cell"])
    kinds = column("pricing_type").str.lower().map(_FEED_KINDS)
    rows["kind"] = kinds.fillna("")
    draft = Draft(rows=rows)
    draft.set_aside(kinds.isna().to_numpy(dtype=bool), "neither on demand nor spot")
    return draft


def read_history(table: Frame, provider: str) -> Draft:
    """Read gpu-price-feed's history: one run a line, the cheapest price on demand by provider and chip."""
    records: list[dict[str, object]] = []
    lines: list[int] = []
    runs = zip(table.lines.tolist(), texts(table.frame["collected_at"]), table.frame["cheapest"], strict=True)
    for line, date, providers in runs:
        for name, prices in providers.items() if isinstance(providers, dict) else ():
            for chip, price in prices.items() if isinstance(prices, dict) else ():
                said = (str(name), str(chip), price, date, "on-demand")
                records.append(dict(zip(("provider", *_HISTORY_FIELDS), said, strict=True)))
                lines.append(line)
    frame = pd.DataFrame.from_records(records, columns=["provider", *_HISTORY_FIELDS]).astype(object)
    return read_feed(Frame(place=table.place, frame=frame, lines=np.array(lines, dtype=np.int64)), provider)


_HISTORY_FIELDS = ("gpu_key", "price_per_gpu_hr_usd", "collected_at", "pricing_type")


def read_epoch(table: Frame, provider: str) -> Draft:
    """Read Epoch AI's dated prices: up to three kinds a row; what was bought is set aside."""
    frame = table.frame
    base = pd.DataFrame({"line": table.lines})
    named = texts(frame["Vendor"])
    base["provider"] = named.where(named != "", provider)
    base["instance"] = ""
    base["region"] = texts(frame["Location"])
    base["accelerator"] = texts(frame["Hardware model"])
    base["date"] = texts(frame["Price date"])
    base["count"] = 1.0
    parts = [
        base.assign(kind=kind, cell=texts(frame[name]), price=numbers(frame[name]))
        for name, kind in _EPOCH_KINDS.items()
    ]
    hourly = np.any([(part["cell"] != "").to_numpy(dtype=bool) for part in parts], axis=0)
    rows = pd.concat([part[(part["cell"] != "").to_numpy(dtype=bool)] for part in parts], ignore_index=True)
    bought = base[~hourly].assign(kind="", cell=texts(frame["Price (hardware purchase)"])[~hourly], price=np.nan)
    rest = Draft(rows=bought)
    rest.set_aside((bought["cell"] != "").to_numpy(dtype=bool), "the price of buying it, not of an hour")
    rest.set_aside(np.ones(len(rest.rows), dtype=bool), "no price")
    return Draft(rows=rows, rejects=rest.rejects)
