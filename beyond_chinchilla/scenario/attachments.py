"""Files that a scenario names: each is read once, and what it says stands in its place.

So a loaded scenario needs no file any more: it can be written out, changed and read back.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from beyond_chinchilla.errors import InputError
from beyond_chinchilla.scenario.demand import WAYS
from beyond_chinchilla.scenario.document import Document, Keys
from beyond_chinchilla.scenario.law_file import read_law
from beyond_chinchilla.scenario.named_files import NamedFiles
from beyond_chinchilla.scenario.numbers import currency_of, distributions_in, reader_of
from beyond_chinchilla.scenario.past.data import PUBLISHED, read_repetition
from beyond_chinchilla.scenario.past.suite_file import read_suite
from beyond_chinchilla.scenario.past.thinking_file import read_thinking, take_file
from beyond_chinchilla.scenario.schema import ScenarioFile

# Stands in for a law whose file cannot be read, so that the rest can be checked.
_SOME_LAW = "hoffmann-2022"
# The same for a suite.
_SOME_SUITE = "gadre-17"
# The one price list of a scenario.
_SHARED: Keys = ("prices", "file")


def attach(document: Document, folder: Path, *, allow_outside: bool = False) -> list[tuple[Keys, str]]:
    """Put what the named files say in the place of their names; return what is wrong, by key.

    Parameters
    ----------
    document : Document
        Changed in place.
    folder : Path
        The scenario's: names are relative to it.
    allow_outside : bool
        Whether files may lie outside of it. Those that were named by ``--set`` may in any case.
    """
    found: list[tuple[Keys, str]] = []
    shared = _share_prices(document.tree)

    def files(keys: Keys) -> NamedFiles:
        # A whole section may be typed, and yet take the name of a price list that is not.
        return NamedFiles(folder, allow_outside, document.is_typed(_SHARED if keys in shared else keys))

    found += _laws_of_set(document.tree, files)
    for keys, read in _READERS.items():
        *sections, key = keys
        section: Any = document.tree
        for part in sections:
            section = section.get(part) if isinstance(section, dict) else None
        name = section.get(key) if isinstance(section, dict) else None
        # Anything else is no name, and told by the schema; a number may be one.
        if not isinstance(section, dict) or isinstance(name, bool) or not isinstance(name, (str, int, float)):
            continue
        if sections:
            # An alias may share this mapping with another place: change a copy.
            section = document.tree[str(sections[0])] = dict(section)
        try:
            read(section, files(keys))
        except InputError as error:
            found += [(keys, line) for line in str(error).splitlines()]
    return found + _samples(document, files)


def _samples(document: Document, files: Callable[[Keys], NamedFiles]) -> list[tuple[Keys, str]]:
    """Put the samples of files in the place of their names; return what is wrong, by key."""
    found: list[tuple[Keys, str]] = []
    currency = currency_of(document.tree)
    document.tree = dict(document.tree)
    for place in distributions_in(document.tree, ScenarioFile):
        name, column = place.stated.get("samples"), place.stated.get("column")
        if not isinstance(name, str):
            continue
        try:
            reader = reader_of(place.kind, currency)
            path = files((*place.keys, "samples")).path(name)
            from beyond_chinchilla.tables.samples import read_samples  # pandas: only for who has samples in a file

            values = read_samples(path, reader.number, None if column is None else str(column))
        except InputError as error:
            found += [((*place.keys, "samples"), line) for line in str(error).splitlines()]
            # So that the rest can be checked.
            place.holder[place.keys[-1]] = place.kind.example
        else:
            kept = {key: value for key, value in place.stated.items() if key != "column"}
            place.holder[place.keys[-1]] = {"source": name[:200]} | kept | {"samples": values}
    return found


def _share_prices(tree: dict[str, Any]) -> set[Keys]:
    """Hand a price list to training and serving, as far as they state no price; return where it stands now."""
    stated = tree.get("prices")
    if not (isinstance(stated, dict) and set(stated) == {"file"} and isinstance(stated["file"], str)):
        return set()
    priced = ("price", "prices", "purchase")
    takers = [
        use
        for use in ("training", "serving")
        if isinstance(tree.get(use), dict) and not any(tree[use].get(key) is not None for key in priced)
    ]
    if takers:
        del tree["prices"]
    for use in takers:
        tree[use] = {**tree[use], "prices": stated["file"]}
    return {(use, "prices") for use in takers}


def _capacity(capacity: dict[str, Any], files: NamedFiles) -> None:
    """Take the GPUs by month of a book."""
    name, sheet = str(capacity.pop("file")), capacity.pop("sheet", None)
    if capacity.get("table") is not None:
        raise InputError("file and table are both given; keep one")
    # Where the file cannot be read, the rest is checked without it.
    capacity["table"] = [{"month": "1", "gpus": 1.0}]
    path = files.path(name)
    from beyond_chinchilla.tables.capacity import read_capacity  # pandas: only for who has a fleet in a file

    found = read_capacity(path, None if sheet is None else str(sheet))
    capacity["table"] = [{"month": str(month), "gpus": gpus} for month, gpus in found.months]
    capacity.setdefault("source", found.place[:200])


def _thinking(section: dict[str, Any], files: NamedFiles) -> None:
    """Take the constants of a fit with samples or tokens of reasoning."""
    name = take_file(section)
    section |= read_thinking(files.path(name))


def _repetition(section: dict[str, Any], files: NamedFiles) -> None:
    """Take the constants of a fit of repeated tokens."""
    name = section["repetition"]
    if isinstance(name, str) and name.endswith(".json"):
        # Where the file cannot be read, the rest is checked without it.
        section["repetition"] = PUBLISHED
        section["repetition"] = read_repetition(files.path(name))


def _law(tree: dict[str, Any], files: NamedFiles) -> None:
    name = tree["law"]
    if isinstance(name, str) and name.endswith(".json"):
        tree["law"] = _SOME_LAW
        tree["law"] = read_law(files.path(name))


def _suite(target: dict[str, Any], files: NamedFiles) -> None:
    name = target["suite"]
    if isinstance(name, str) and name.endswith(".json"):
        target["suite"] = _SOME_SUITE
        target["suite"] = read_suite(files.path(name))


def _laws_of_set(tree: dict[str, Any], files: Callable[[Keys], NamedFiles]) -> list[tuple[Keys, str]]:
    """Take the laws of a set out of their files; return what is wrong, by key."""
    law = tree.get("law")
    members = law.get("one_of") if isinstance(law, dict) else None
    if not isinstance(law, dict) or not isinstance(members, (list, tuple)):
        return []
    found: list[tuple[Keys, str]] = []
    # An alias may share a member with another place: change copies.
    copies = [dict(member) if isinstance(member, dict) else member for member in members]
    tree["law"] = {**law, "one_of": copies}
    for index, member in enumerate(copies):
        try:
            if isinstance(member, dict) and "law" in member:
                _law(member, files(("law", "one_of", index, "law")))
        except InputError as error:
            found += [(("law", "one_of", index, "law"), line) for line in str(error).splitlines()]
    return found


def _forecast(demand: dict[str, Any], files: NamedFiles) -> None:
    """Take the months of a book, and its shares where the scenario does not state its own."""
    name, sheet = str(demand.pop("file")), demand.pop("sheet", None)
    ways = [key for key in WAYS if demand.get(key) is not None]
    if ways:
        raise InputError(f"file and {ways[0]} are both given; keep one")
    stated = set(demand)
    # Where the file cannot be read, the rest is checked as if it stated one request.
    demand["table"] = [{"month": "1", "requests": 1.0, "input_tokens": 1.0, "output_tokens": 1.0}]
    path = files.path(name)
    from beyond_chinchilla.tables.forecasts import read_forecast  # pandas: only for who has a forecast in a file

    table = read_forecast(path, None if sheet is None else str(sheet))
    demand["table"] = [dict(row) for row in table.rows]
    shares = {"cached_share": table.cached_share, "batch_share": table.batch_share}
    demand |= {key: share for key, share in shares.items() if share is not None and key not in stated}
    demand.setdefault("source", table.place[:200])


def _trace(demand: dict[str, Any], files: NamedFiles) -> None:
    """Take lengths and profile of a trace where the scenario does not state its own."""
    name = str(demand.pop("trace"))
    stated = {key for key, value in demand.items() if value is not None}
    demand.setdefault("input_tokens", 1.0)
    demand.setdefault("output_tokens", 1.0)
    path = files.path(name)
    from beyond_chinchilla.tables.traces import read_trace  # pandas: only for who has a trace

    trace = read_trace(path)
    demand |= {key: value for key, value in trace.forecast_lengths().items() if key not in stated}
    by_month = stated & {"months", "table", "requests_per_month", "requests_per_day", "users"}
    if by_month and not stated & {"hourly_profile", "peak_to_mean"}:
        demand["hourly_profile"] = list(trace.profile.hours)
    if "source" not in stated:
        demand["source"] = f"{name}: {trace.requests:,} requests ({trace.format})"[:200]


def _prices(serving: dict[str, Any], files: NamedFiles) -> None:
    """Take the cheapest price on demand of each chip that a price list has; the others keep the catalogue's."""
    name, prices = _price_list(serving, files)
    stated = serving.get("hardware")
    chips = [chip for chip in (stated if isinstance(stated, list) else [stated]) if isinstance(chip, str)]
    found = {chip: prices[chip] for chip in chips if chip in prices}
    if not found:
        known = ", ".join(sorted(prices)) or "none of the catalogue"
        raise InputError(f"'{name[:60]}' has no price on demand for {', '.join(chips) or 'this chip'}; it has {known}")
    serving["price"] = found
    serving.setdefault("price_source", f"cheapest on demand in {name}"[:200])


def _training_price(training: dict[str, Any], files: NamedFiles) -> None:
    """Take the cheapest price on demand of the chip that trains; without one the catalogue's holds."""
    _, prices = _price_list(training, files)
    price = prices.get(str(training.get("hardware")))
    if price is not None:
        training["price"] = price


def _price_list(section: dict[str, Any], files: NamedFiles) -> tuple[str, dict[str, float]]:
    """Take the name of a price list out of a section, and read its cheapest price on demand of each chip."""
    name = str(section.pop("prices"))
    clash = [key for key in ("price", "purchase") if section.get(key) is not None]
    if clash:
        raise InputError(f"prices and {clash[0]} are both given; keep one")
    path = files.path(name)
    from beyond_chinchilla.tables.prices import read_prices  # pandas: only for who has a price list

    return name, read_prices(path).price_table()


_READERS: dict[Keys, Callable[[dict[str, Any], NamedFiles], None]] = {
    ("law",): _law,
    ("target", "suite"): _suite,
    ("demand", "file"): _forecast,
    ("demand", "trace"): _trace,
    ("training", "prices"): _training_price,
    ("serving", "prices"): _prices,
    ("capacity", "file"): _capacity,
    ("thinking", "file"): _thinking,
    ("data", "repetition"): _repetition,
}
