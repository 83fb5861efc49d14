"""Traces of requests, as Azure and BurstGPT publish them: token lengths and how load is spread over the hours.

Azure LLM inference traces (2023, 2024, 2025): TIMESTAMP, ContextTokens, GeneratedTokens.
BurstGPT (Wang et al. 2024): Timestamp [seconds], Request tokens, Response tokens, and columns that are not needed here.
A row that cannot be used is set aside and counted, never repaired.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from beyond_chinchilla.costs.load import FLAT, MAX_SPAN, LoadProfile, period_of, seconds_from_first
from beyond_chinchilla.errors import SpreadsheetError, printable
from beyond_chinchilla.tables.trace_files import SetAside, read_trace_rows
from beyond_chinchilla.units import SECONDS_PER_DAY, SECONDS_PER_HOUR

Array = NDArray[np.float64]

_QUANTILES = (0.5, 0.9, 0.99)


@dataclass(frozen=True, kw_only=True, eq=False)
class Trace:
    """Requests of a trace.

    Attributes
    ----------
    place : str
        The file's name.
    format : str
        ``"Azure"`` or ``"BurstGPT"``.
    seconds : array, shape (R,)
        When each request came, after the first one [s], in the order of the file.
    input_tokens, output_tokens : array, shape (R,)
        Of each request [tokens].
    set_aside : tuple of SetAside
        Rows that were not used, and why.
    unused_columns : tuple of str
        Columns that were not looked at.
    """

    place: str
    format: str
    seconds: Array = field(repr=False)
    input_tokens: Array = field(repr=False)
    output_tokens: Array = field(repr=False)
    set_aside: tuple[SetAside, ...] = ()
    unused_columns: tuple[str, ...] = ()

    @property
    def requests(self) -> int:
        """Number of requests."""
        return len(self.seconds)

    @property
    def span(self) -> float:
        """Time from the first request to the last [s]."""
        return float(self.seconds.max())

    @property
    def mean_input(self) -> float:
        """Input tokens of the mean request [tokens]."""
        return float(self.input_tokens.mean())

    @property
    def mean_output(self) -> float:
        """Output tokens of the mean request [tokens]."""
        return float(self.output_tokens.mean())

    def input_quantiles(self) -> tuple[float, float, float]:
        """Return the input tokens [tokens] that 50%, 90% and 99% of the requests do not exceed."""
        return _quantiles(self.input_tokens)

    def output_quantiles(self) -> tuple[float, float, float]:
        """Return the output tokens [tokens] that 50%, 90% and 99% of the requests do not exceed."""
        return _quantiles(self.output_tokens)

    def forecast_lengths(self) -> dict[str, float]:
        """Return the mean lengths as `costs.forecast.Forecast` names them."""
        return {"input_tokens": self.mean_input, "output_tokens": self.mean_output}

    @functools.cached_property
    def profile(self) -> LoadProfile:
        """Requests by the hour relative to their mean; flat where the trace is too short, as `notes` say."""
        return LoadProfile.from_timestamps(self.seconds) if period_of(self.span) else FLAT

    @property
    def peak_to_mean(self) -> float:
        """Requests of the busiest hour of the profile over the mean."""
        return self.profile.peak_to_mean

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader should know: rows set aside, columns not used, and what the profile stands for."""
        notes = [str(rows) for rows in self.set_aside]
        if self.unused_columns:
            notes.append(f"columns not used: {', '.join(self.unused_columns)}")
        return (*notes, _told_span(self.span))


def read_trace(path: str | Path) -> Trace:
    """Read a trace of requests: CSV, or CSV packed with gzip (``.gz``).

    Parameters
    ----------
    path : str or Path
        A file whose first line has the columns of Azure or BurstGPT, in any order; case, spaces, hyphens and
        underscores do not matter. Times are dates or seconds.

    Raises
    ------
    InputError
        No such file, or a folder.
    SpreadsheetError
        Columns that are missing, a damaged file, no row that can be used, or times more than ten years apart.
    """
    rows = read_trace_rows(Path(path))
    place = printable(Path(path).name)
    seconds = seconds_from_first(rows.times)
    if seconds.max() > MAX_SPAN:
        raise SpreadsheetError(
            f"{place}: times run over {seconds.max() / SECONDS_PER_DAY / 365.25:.3g} years; they must be dates or "
            "seconds (not milliseconds) of one trace"
        )
    return Trace(
        place=place,
        format=rows.format,
        seconds=seconds,
        input_tokens=rows.input_tokens,
        output_tokens=rows.output_tokens,
        set_aside=rows.set_aside,
        unused_columns=rows.unused_columns,
    )


def _told_span(span: float) -> str:
    """Say what the load profile of a trace stands for."""
    match period_of(span):
        case "":
            return f"{span:.3g} seconds are too short for a load profile, so load is taken as flat"
        case "minute":
            return f"{span / 60:.3g} minutes: the load profile is by the minute, and shows no difference of hours"
        case "hour":
            return f"{span / SECONDS_PER_HOUR:.3g} hours, less than a day: the load profile shows these hours only"
        case "day":
            return f"{span / SECONDS_PER_DAY:.3g} days: the load profile has the hours of the whole days"
        case _:
            return f"{span / SECONDS_PER_DAY:.3g} days: the load profile is the mean week of the whole weeks"


def _quantiles(tokens: Array) -> tuple[float, float, float]:
    median, ninety, ninety_nine = np.quantile(tokens, _QUANTILES).tolist()
    return median, ninety, ninety_nine
