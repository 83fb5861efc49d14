"""Price lists that a user has downloaded: SkyPilot, gpuhunt, gpu-price-feed, Epoch AI, and FOCUS billing exports.

A list is recognised by its header. What comes out is the price of ONE chip for one hour; what cannot be that is set
aside with its line and the reason, never passed on and never dropped in silence.
"""

from __future__ import annotations

import re
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from beyond_chinchilla.errors import InputError, SpreadsheetError, nearest, printable
from beyond_chinchilla.tables import chip_hours, focus, gpuhunt, skypilot
from beyond_chinchilla.tables.files import read_frame
from beyond_chinchilla.tables.offers import KINDS, ON_DEMAND, Offer, Reject

# How many of its columns a list must have to be taken for one, so that a missing one can be named.
_FORMATS: dict[str, tuple[tuple[str, ...], int]] = {
    "SkyPilot": (skypilot.HEADER, 4),
    "gpuhunt": (gpuhunt.HEADER, 5),
    "FOCUS": (focus.HEADER, 3),
    "gpu-price-feed": (chip_hours.FEED_HEADER, 4),
    "gpu-price-feed history": (chip_hours.HISTORY_HEADER, 2),
    "Epoch AI": (chip_hours.EPOCH_HEADER, 8),
}
_LISTS_OF_INSTANCES = ("SkyPilot", "gpuhunt")
_SPOT_KEYS = ("provider", "instance", "region", "accelerator", "chips")
_SHOWN, _NAMED = 60, 8
# What SkyPilot and gpuhunt call the providers of their lists; other names of files and folders say nothing.
_PROVIDERS = (
    "aws azure cloudrift crusoe cudo datacrunch digitalocean do fluidstack gcp hotaisle hyperbolic ibm jarvislabs "
    "lambda lambdalabs lium mithril nebius oci ovhcloud paperspace primeintellect runpod scaleway scp seeweb shadeform "
    "simplepod tensordock vast vastai verda vultr"
)


@dataclass(frozen=True, kw_only=True)
class PriceList:
    """What a file offers.

    Attributes
    ----------
    source : str
        The file's name.
    format : str
        ``SkyPilot``, ``gpuhunt``, ``FOCUS``, ``gpu-price-feed``, ``gpu-price-feed history`` or ``Epoch AI``.
    offers : tuple of Offer
        Prices of one chip for one hour, in the order of the file.
    rejects : tuple of Reject
        What was set aside, in the order of the file.
    notes : tuple of str
        What was corrected, assumed or left out.
    """

    source: str
    format: str
    offers: tuple[Offer, ...]
    rejects: tuple[Reject, ...]
    notes: tuple[str, ...]

    @property
    def chips(self) -> tuple[str, ...]:
        """Chips of the catalogue that are offered, by name."""
        return tuple(sorted({offer.chip for offer in self.offers if offer.chip is not None}))

    def of(self, chip: str, kind: str = ON_DEMAND) -> tuple[Offer, ...]:
        """Return the offers of a chip that count, the cheapest first.

        An offer that does not say SXM or PCIe, and was taken for one, counts only where no other says it: a cheap
        PCIe card must not set the price of SXM.
        """
        found = sorted(
            (offer for offer in self.offers if offer.chip == chip and offer.kind == kind),
            key=lambda offer: (offer.usd_per_hour, offer.line),
        )
        return tuple(offer for offer in found if not offer.form_assumed) or tuple(found)

    def cheapest(self, chip: str, kind: str = ON_DEMAND) -> Offer | None:
        """Return the cheapest offer of a chip that counts (`of`), or None.

        Raises
        ------
        InputError
            No such kind of price.
        """
        if kind not in KINDS:
            raise InputError(f"no kind of price '{printable(kind)}'; {nearest(kind, KINDS)}")
        return next(iter(self.of(chip, kind)), None)

    def median(self, chip: str, kind: str = ON_DEMAND) -> float | None:
        """Return the median of the offers that count [USD/hour], or None."""
        prices = [offer.usd_per_hour for offer in self.of(chip, kind)]
        return statistics.median(prices) if prices else None

    def price_table(self, kind: str = ON_DEMAND) -> dict[str, float]:
        """Return the cheapest price of every chip that is offered [USD/hour], for the ``prices`` of a scenario."""
        found = {chip: self.cheapest(chip, kind) for chip in self.chips}
        return {chip: offer.usd_per_hour for chip, offer in found.items() if offer is not None}

    def counts(self) -> tuple[tuple[str, int, Reject], ...]:
        """Return each reason, how often it set an offer aside, and the first of them; the most frequent first."""
        first: dict[str, Reject] = {}
        count: dict[str, int] = {}
        for reject in self.rejects:
            first.setdefault(reject.reason, reject)
            count[reject.reason] = count.get(reject.reason, 0) + 1
        return tuple((reason, count[reason], first[reason]) for reason in sorted(count, key=lambda each: -count[each]))

    def since(self, date: str) -> PriceList:
        """Return the list without offers of an earlier date, and without those of none.

        Parameters
        ----------
        date : str
            ISO 8601: a year, a month or a day.
        """
        kept = tuple(offer for offer in self.offers if offer.date >= date)
        left = len(self.offers) - len(kept)
        note = f"{left:,} offers are older than {printable(date)} or have no date"
        return replace(self, offers=kept, notes=(*self.notes, note) if left else self.notes)


def read_prices(path: str | Path, *, per_usd: float | None = None, provider: str | None = None) -> PriceList:
    """Read a price list.

    Parameters
    ----------
    path : path
        CSV, TSV, JSON lines, Parquet or a workbook; texts may end in .gz.
    per_usd : float, optional
        Units of a billing export's currency for one USD; needed where it is not in USD.
    provider : str, optional
        Whose prices they are, where the rows do not say; by default what the file or its
        folder is called, if that is a provider that the lists know.

    Raises
    ------
    InputError
        A file that cannot be read, or a rate that is not above zero or not needed.
    SpreadsheetError
        A file without the header of a known list, with columns missing, or in several currencies.
    """
    path = Path(path)
    if per_usd is not None and not 0.0 < per_usd < float("inf"):
        raise InputError(f"the rate {per_usd:g} for one USD is not above zero and finite; write it like 0.86")
    table = read_frame(path, _score)
    found = _recognise(list(table.frame.columns), table.place)
    # The other lists say it in their rows, or are of many providers.
    named = _provider(path) if provider is None and found in _LISTS_OF_INSTANCES else provider or ""
    if found == "FOCUS":
        draft = focus.read_focus(table, named, per_usd)
    elif per_usd is not None:
        raise InputError(f"{table.place}: its prices are in USD; leave out the rate {per_usd:g}")
    else:
        draft = _READERS[found](table, named)
    draft.check_prices()
    if found in _LISTS_OF_INSTANCES:
        draft.check_spot((*_SPOT_KEYS, "zone") if "zone" in draft.rows else _SPOT_KEYS)
    offers = draft.offers()
    return PriceList(
        source=table.place,
        format=found,
        offers=offers,
        rejects=tuple(sorted(draft.rejects, key=lambda reject: reject.line)),
        notes=(*draft.notes, *_notes(offers)),
    )


_READERS = {
    "SkyPilot": skypilot.read_skypilot,
    "gpuhunt": gpuhunt.read_gpuhunt,
    "gpu-price-feed": chip_hours.read_feed,
    "gpu-price-feed history": chip_hours.read_history,
    "Epoch AI": chip_hours.read_epoch,
}


def _score(names: Sequence[str]) -> int:
    held = set(names)
    return max(len(held & set(header)) for header, _ in _FORMATS.values())


def _recognise(names: Sequence[str], place: str) -> str:
    held = set(names)
    enough = {
        name: len(held & set(header)) / len(header)
        for name, (header, least) in _FORMATS.items()
        if len(held & set(header)) >= least
    }
    if enough:
        return max(enough, key=lambda name: enough[name])
    known = "; ".join(f"{name}: {', '.join(header[:5])}" for name, (header, _) in _FORMATS.items())
    listed = ", ".join(printable(name[:40]) for name in names[:8])
    raise SpreadsheetError(f"{place}: no price list that is known by its columns ({listed}); known are {known}")


def _provider(path: Path) -> str:
    stem, *_ = re.split(r"[^a-z0-9]", path.name.lower())
    known = _PROVIDERS.split()
    return next((name for name in (stem, path.absolute().parent.name.lower()) if name in known), "")


def _notes(offers: Sequence[Offer]) -> list[str]:
    notes = []
    assumed = [offer for offer in offers if offer.form_assumed]
    if assumed:
        named = ", ".join(sorted({str(offer.chip) for offer in assumed}))
        notes.append(
            f"{len(assumed):,} offers do not say SXM or PCIe and are taken as SXM ({named}); they count only where no "
            "other offer says it"
        )
    unknown: dict[str, dict[str, int]] = {}
    for offer in offers:
        if offer.chip is None:
            names = unknown.setdefault(offer.remark, {})
            names[offer.accelerator] = names.get(offer.accelerator, 0) + 1
    for remark, names in unknown.items():
        often = sorted(names, key=lambda name: -names[name])
        listed = ", ".join(f"{printable(name[:_SHOWN])} ({names[name]:,})" for name in often[:_NAMED])
        more = f" and {len(often) - _NAMED} more" if len(often) > _NAMED else ""
        notes.append(f"{sum(names.values()):,} offers have no known chip ({remark}): {listed}{more}")
    return notes
