"""What a column's header says: which quantity, in which scale, per what.

A header matches regardless of case, spaces and punctuation. Words that say how a number was made ("average",
"forecast") do not matter; units in brackets or behind a slash do: ``Requests (M)``, ``Input tokens in thousands``,
``Tokens per request | Output`` under a merged header, ``Total output tokens`` for those of the whole month.
"""

from __future__ import annotations

import functools
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

from beyond_chinchilla.tables.clean import CURRENCIES, scale_of
from beyond_chinchilla.units import HOURS_PER_MONTH

# What a forecast may hold, and all that its columns may be called.
ALIASES: dict[str, tuple[str, ...]] = {
    "month": ("month", "months", "period", "date", "month beginning", "month ending", "month start", "start of month",
              "day", "time", "timestamp", "calendar month", "hour", "datetime"),
    "requests": ("requests", "request", "calls", "api calls", "queries", "query", "prompts sent", "request volume",
                 "query volume", "call volume", "inference requests", "api requests", "reqs", "inferences"),
    "input_tokens": ("input tokens", "input", "prompt tokens", "prompt", "prompt length", "input length",
                     "context tokens", "tokens in", "prefill tokens", "input token count"),
    "output_tokens": ("output tokens", "output", "completion tokens", "completion", "generated tokens",
                      "generated", "response tokens", "response length", "output length", "tokens out",
                      "decode tokens", "answer tokens", "completion length"),
    "cached_share": ("cached share", "cache hit rate", "cached", "cache share", "prompt cache hit rate",
                     "cached input", "cached tokens share", "share cached"),
    "batch_share": ("batch share", "batch", "share batch", "offline share", "async share"),
    "price": ("price", "gpu price", "gpu hour price", "price per gpu hour", "gpu hour", "gpu hourly rate",
              "gpu rate", "hourly price", "rate per gpu hour", "cost per gpu hour", "gpu cost", "on demand price"),
    "commitment": ("commitment", "committed gpus", "reserved gpus", "committed", "reserved", "commitment gpus"),
    "gpus": ("gpus available", "gpus", "available gpus", "gpu capacity", "capacity", "gpu count", "accelerators",
             "accelerators available", "gpu supply"),
}  # fmt: skip
LENGTHS = ("input_tokens", "output_tokens")
SHARES = ("cached_share", "batch_share")
COUNTS = ("requests", *LENGTHS, "commitment", "gpus")

_OF = {_alias: _name for _name, _aliases in ALIASES.items() for _alias in _aliases}
# Words that say how a number was made, and change nothing. "Total" changes what a length is, and is read apart.
_NOISE = {
    *("average", "avg", "mean", "number", "no", "of", "the", "expected", "forecast", "forecasted", "planned", "plan"),
    *("projected", "projection", "estimated", "est", "monthly", "count", "volume", "num", "nr", "in", "and", "count"),
    *("base", "case", "llm", "user", "a", "for"),
}
_TOTAL = {"total", "sum", "all"}
_PER_REQUEST = re.compile(r"(?:\bper\b|/|\ba\b)\s*(?:request|req|call|query|prompt|inference)s?\b")
_PER_TIME = re.compile(r"(?:\bper\b|/)\s*(month|mo|day|d|hour|h|hr|week|second|s|sec|year|yr|annum)\b")
_DAILY = re.compile(r"\bdaily\b")
_GPU_HOUR = re.compile(r"(?:\bper\b|/)\s*(?:gpu|chip|accelerator)?[\s-]*(?:hour|hr|h)\b|\bgpu[\s-]*(?:hours?|hrs?|h)\b")
_BRACKETS = re.compile(r"[(\[{]([^)\]}]*)[)\]}]")
_PER_MONTH = {
    **dict.fromkeys(("day", "d"), HOURS_PER_MONTH / 24.0),
    **dict.fromkeys(("hour", "h", "hr"), HOURS_PER_MONTH),
    **dict.fromkeys(("second", "s", "sec"), HOURS_PER_MONTH * 3600.0),
    **dict.fromkeys(("week",), HOURS_PER_MONTH / 168.0),
    **dict.fromkeys(("year", "yr", "annum"), 1.0 / 12.0),
    **dict.fromkeys(("month", "mo"), 1.0),
}
# Units that no column here can be in.
_FOREIGN = {
    "words",
    "word",
    "chars",
    "characters",
    "char",
    "bytes",
    "byte",
    "kb",
    "mb",
    "gb",
    "kib",
    "mib",
    "gib",
    "ms",
}
_LONGEST = 120


@dataclass(frozen=True)
class Header:
    """What a header says.

    Attributes
    ----------
    name : str
        One of `ALIASES`.
    scale : float
        What a number below it is multiplied by.
    rate : float
        Requests, and lengths in total: how often the unit of time comes in a month, 1 where it is the month.
    total : bool
        Lengths: tokens of all requests of the month, not of one.
    percent : bool
        Shares: numbers are percentages.
    currency : str
        Prices: ``""`` where it is not said.
    """

    name: str
    scale: float = 1.0
    rate: float = 1.0
    total: bool = False
    percent: bool = False
    currency: str = ""


@functools.lru_cache(maxsize=65536)
def read_header(*parts: str) -> Header | None:
    """Return what a header says, or None where it is none that is known.

    Parameters
    ----------
    parts : str
        The texts over a column, from above: several where a merged header spans others.

    >>> read_header("Requests (M)").scale, read_header("Avg. prompt tokens / request").name
    (1000000.0, 'input_tokens')
    >>> read_header("Tokens per request", "Output").name, read_header("Total output tokens (bn)").total
    ('output_tokens', True)
    >>> read_header("Comment") is None
    True
    """
    text = " ".join(part for part in parts if part)
    if not text or len(text) > _LONGEST or not re.search(r"[^\W\d]", text):
        return None
    text = unicodedata.normalize("NFKC", text).casefold().replace("_", " ")
    units = " ".join(_BRACKETS.findall(text))
    words = _words(_BRACKETS.sub(" ", text))
    if _FOREIGN & {*_words(units), *words}:
        return None
    rate = _PER_TIME.search(text)
    hourly = _GPU_HOUR.search(text) is not None
    plain = _PER_REQUEST.sub(" ", _BRACKETS.sub(" ", text))
    money = _currency(text)
    bare = _words(_PER_TIME.sub(" ", plain))
    kept = [word for word in bare if word not in _NOISE and not _is_unit(word)]
    # The unit may be the header's other half: "Requests | M", "Tokens per request | Output".
    name = _name(bare) or _name(kept)
    if name is None and money is not None and hourly:
        name = "price"
    if name is None:
        return None
    if name == "price" and not hourly and "gpu" not in text and "hour" not in text:
        return None
    scales = [scale for word in [*_words(units), *bare] if (scale := scale_of(word)) is not None]
    if len(scales) > 1 and len(set(scales)) > 1:
        return None
    scale = scales[0] if scales else 1.0
    is_summed = bool(_TOTAL & set(bare)) or scale >= 1e6 or rate is not None
    total = name in LENGTHS and not _PER_REQUEST.search(text) and is_summed
    time = 1.0
    if name == "requests" or total:
        time = _PER_MONTH["day"] if _DAILY.search(text) else 1.0 if rate is None else _PER_MONTH[rate[1]]
    return Header(
        name=name,
        scale=scale,
        rate=time,
        total=total,
        percent=name in SHARES and ("%" in text or "percent" in text or "per cent" in text),
        currency=(money or "") if name == "price" else "",
    )


def _name(words: Sequence[str]) -> str | None:
    """Return the quantity that the words stand for, in their order or with the last one first."""
    kept = [word for word in words if word not in _TOTAL]
    # "tokens input" of a merged header is "input tokens".
    orders = (kept, [*kept[1:], *kept[:1]], [word for word in kept if word not in ("per", "share")])
    for order in orders:
        found = _OF.get(" ".join(order))
        if found is not None:
            return found
    return None


def _words(text: str) -> list[str]:
    return re.findall(r"[^\W_]+", text.replace("'", ""))


def _is_unit(word: str) -> bool:
    return scale_of(word) is not None or word in ("daily", "percent") or word in CURRENCIES


def _currency(text: str) -> str | None:
    for sign, code in CURRENCIES.items():
        if sign in text if not sign.isalpha() else re.search(rf"\b{sign}\b", text):
            return code
    return None


def is_unit_alone(text: str) -> bool:
    """Whether a text is no name but a unit, as stands below or beside a name: ``(M)``, ``tokens``, ``%``.

    >>> is_unit_alone("millions"), is_unit_alone("tokens/request"), is_unit_alone("Output")
    (True, True, False)
    """
    words = _words(text.casefold())
    if not text or len(text) > 40:
        return False
    return all(_is_unit(word) or word in ("token", "tokens", "request", "requests", "per", "month", "day", "hour",
                                          "gpu", "gpus", "in", "count") for word in words)  # fmt: skip
