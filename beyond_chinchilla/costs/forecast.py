"""Demand over time: requests and token lengths month by month, constant, growing, or from a table.

Months are average months of 730.5 hours (8766 / 12). A forecast counts them from launch; with a `start` they are
calendar months, written ``2027-01``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from beyond_chinchilla.costs.demand import Demand
from beyond_chinchilla.costs.month_table import read_month_table
from beyond_chinchilla.costs.months import check_life, months_from
from beyond_chinchilla.errors import InputError
from beyond_chinchilla.units import HOURS_PER_MONTH

Array = NDArray[np.float64]

_DAYS_PER_MONTH = HOURS_PER_MONTH / 24.0
_BY_MONTH = ("requests", "input_tokens", "output_tokens")


@dataclass(frozen=True, kw_only=True)
class Forecast:
    """Requests and their token lengths by month.

    Parameters
    ----------
    requests : tuple of float, shape (M,)
        Requests of each month, >= 0, at least one month with some; M from 1 to 600.
    input_tokens, output_tokens : tuple of float, shape (M,)
        Mean per request [tokens] by month, >= 0; output with reasoning tokens.
    cached_share : float
        Share of the input tokens that a prompt cache holds, from 0 to 1: no prefill, though still in context.
    batch_share : float
        Share of the requests without a latency target, from 0 to 1.
    start : str or None
        Calendar month of the first month, ``"2027-01"``; None where months count from launch.

    Raises
    ------
    InputError
        Negative or not finite, no demand at all, or months that differ in number.
    """

    requests: tuple[float, ...]
    input_tokens: tuple[float, ...]
    output_tokens: tuple[float, ...]
    cached_share: float = 0.0
    batch_share: float = 0.0
    start: str | None = None

    def __post_init__(self) -> None:
        for name in _BY_MONTH:
            object.__setattr__(self, name, tuple(float(value) for value in getattr(self, name)))
        check_life(len(self.requests))
        for name in ("input_tokens", "output_tokens"):
            if len(getattr(self, name)) != self.months:
                raise InputError(f"forecast: {len(getattr(self, name))} months of {name}, {self.months} of requests")
        if self.start is not None:
            # A last month beyond the year 9999 is no month either.
            months_from(self.start, self.months)
        for name in _BY_MONTH:
            for label, value in zip(self.labels, getattr(self, name), strict=True):
                if not (math.isfinite(value) and value >= 0):
                    raise InputError(f"forecast: {label}: {name} must be >= 0 and finite, not {value}")
        for name in ("cached_share", "batch_share"):
            share = getattr(self, name)
            if not 0.0 <= share <= 1.0:
                raise InputError(f"forecast: {name} must be from 0 to 1, not {share}")
        if not any(self.requests):
            raise InputError("forecast: no requests in any month; at least one must have some")
        # Refuses a forecast without tokens to compute, or with more than a float holds.
        self.total()

    @property
    def months(self) -> int:
        """Number of months."""
        return len(self.requests)

    @property
    def labels(self) -> tuple[str, ...]:
        """Calendar months, or ``month 1`` onwards."""
        if self.start is None:
            return tuple(f"month {number}" for number in range(1, self.months + 1))
        return months_from(self.start, self.months)

    @property
    def prefill_tokens(self) -> Array:
        """Input tokens of each month that are computed [tokens], shape (M,): those not cached, of all requests."""
        return self._of_all(self.input_tokens) * (1.0 - self.cached_share)

    @property
    def cached_tokens(self) -> Array:
        """Input tokens of each month that a prompt cache holds [tokens], shape (M,), of all requests."""
        return self._of_all(self.input_tokens) * self.cached_share

    @property
    def decode_tokens(self) -> Array:
        """Output tokens of each month [tokens], shape (M,), of all requests."""
        return self._of_all(self.output_tokens)

    @property
    def mean_input(self) -> float:
        """Input tokens of the mean request of the whole life [tokens], cached or not."""
        return self._of_mean_request(self.input_tokens)

    @property
    def mean_output(self) -> float:
        """Output tokens of the mean request of the whole life [tokens]."""
        return self._of_mean_request(self.output_tokens)

    def total(self) -> Demand:
        """Return the demand of the whole life by phase; cached input is none.

        >>> Forecast.constant(1e6, months=12, input_tokens=1000, output_tokens=200, cached_share=0.4).total()
        Demand(prefill_tokens=7200000000.0, decode_tokens=2400000000.0)
        """
        with np.errstate(over="ignore"):
            return Demand(
                prefill_tokens=float(self.prefill_tokens.sum()), decode_tokens=float(self.decode_tokens.sum())
            )

    def scaled(self, factor: float) -> Forecast:
        """Return the forecast with `factor` > 0 times the requests in every month."""
        if not (math.isfinite(factor) and factor > 0):
            raise InputError(f"forecast: the factor must be above zero and finite, not {factor}")
        return replace(self, requests=tuple(requests * factor for requests in self.requests))

    def from_month(self, first: int) -> Forecast:
        """Return the forecast without its first `first` months: what a later launch still serves.

        Raises
        ------
        InputError
            No month, or no request, is left.
        """
        if first == 0:
            return self
        if not 0 < first < self.months:
            raise InputError(f"forecast: launched after month {first} of {self.months}, nothing is left to serve")
        return replace(
            self,
            requests=self.requests[first:],
            input_tokens=self.input_tokens[first:],
            output_tokens=self.output_tokens[first:],
            start=None if self.start is None else self.labels[first],
        )

    def _of_all(self, per_request: tuple[float, ...]) -> Array:
        with np.errstate(over="ignore"):
            return np.asarray(np.array(self.requests) * np.array(per_request))

    def _of_mean_request(self, per_request: tuple[float, ...]) -> float:
        # Relative first: the products of a life may be more than a float holds where their mean is not.
        weights = np.array(self.requests) / max(self.requests)
        return float((weights * np.array(per_request)).sum() / weights.sum())

    @classmethod
    def constant(
        cls,
        requests_per_month: float,
        *,
        months: int,
        input_tokens: float,
        output_tokens: float,
        reasoning_tokens: float = 0.0,
        cached_share: float = 0.0,
        batch_share: float = 0.0,
        start: str | None = None,
    ) -> Forecast:
        """Return the same requests every month.

        Parameters
        ----------
        requests_per_month : float
            See `requests_per_month` for other periods.
        months : int
            Life of the model, from 1 to 600.
        input_tokens, output_tokens : float
            Mean per request [tokens].
        reasoning_tokens : float
            Mean per request [tokens] that the model writes before its answer; they are output.
        cached_share, batch_share, start
            As in `Forecast`.
        """
        return cls.growing(
            requests_per_month,
            growth_per_month=0.0,
            months=months,
            input_tokens=input_tokens,
            output_tokens=output_tokens,
            reasoning_tokens=reasoning_tokens,
            cached_share=cached_share,
            batch_share=batch_share,
            start=start,
        )

    @classmethod
    def growing(
        cls,
        start_requests: float,
        *,
        growth_per_month: float,
        months: int,
        saturation: float | None = None,
        input_tokens: float,
        output_tokens: float,
        reasoning_tokens: float = 0.0,
        cached_share: float = 0.0,
        batch_share: float = 0.0,
        start: str | None = None,
    ) -> Forecast:
        """Return requests that grow by a rate, up to a saturation where one is stated.

        Without saturation, month m has r_m = r_1 (1 + g)^(m-1). With saturation K growth is logistic (Verhulst 1838;
        in whole months the Beverton-Holt recurrence, which has the same solution): 1/r_m = 1/K + (1/r_1 - 1/K)
        R^-(m-1), with R such that the second month is exactly r_1 (1 + g). So growth starts at the rate that is
        stated, slows from month to month, and never passes K. A cap on exponential growth would stop it overnight.

        Parameters
        ----------
        start_requests : float
            Requests of the first month, > 0.
        growth_per_month : float
            g, above -1: 0.05 is five percent from the first month to the second. Negative: requests fall by that
            rate every month.
        months : int
            Life of the model, from 1 to 600.
        saturation : float or None
            K, requests per month at most, >= `start_requests`. Where the second month would pass it, it holds from
            the second month.
        input_tokens, output_tokens, reasoning_tokens, cached_share, batch_share, start
            As in `constant`.

        >>> forecast = Forecast.growing(40e6, growth_per_month=0.05, months=36, saturation=80e6,
        ...                             input_tokens=900, output_tokens=220)
        >>> [f"{forecast.requests[m] / 1e6:.1f}M" for m in (0, 1, 12, 35)]
        ['40.0M', '42.0M', '61.5M', '77.7M']
        """
        check_life(months)
        requests = _grown(start_requests, growth_per_month, months, saturation)
        return cls(
            requests=tuple(requests.tolist()),
            input_tokens=(input_tokens,) * months,
            output_tokens=(output_tokens + _checked_reasoning(reasoning_tokens),) * months,
            cached_share=cached_share,
            batch_share=batch_share,
            start=start,
        )

    @classmethod
    def from_rows(
        cls,
        rows: Sequence[Mapping[str, object]],
        *,
        places: Sequence[str] | None = None,
        input_tokens: float | None = None,
        output_tokens: float | None = None,
        reasoning_tokens: float = 0.0,
        cached_share: float = 0.0,
        batch_share: float = 0.0,
    ) -> Forecast:
        """Return the forecast that a table states, one row a month.

        Parameters
        ----------
        rows : sequence of mapping
            ``month`` (``"2027-01"``, a date, or 1, 2, 3 ... from launch), ``requests``, ``input_tokens``,
            ``output_tokens``: numbers, or texts such as ``"40M"``. Other keys are ignored.
        places : sequence of str or None
            What each row is called in a message: ``"forecast.csv:7"``. Default ``row 1`` onwards.
        input_tokens, output_tokens : float or None
            Mean per request [tokens] of the rows that state none.
        reasoning_tokens, cached_share, batch_share
            As in `constant`.

        Raises
        ------
        InputError
            Every mistake of the table at once, one line each: cells that are no numbers, months that are missing, out
            of order or there twice.

        >>> rows = [{"month": "2027-01", "requests": "40M"}, {"month": "2027-03", "requests": "44M"}]
        >>> Forecast.from_rows(rows, input_tokens=900, output_tokens=220)
        Traceback (most recent call last):
        beyond_chinchilla.errors.InputError: row 2: month 2027-02 is missing before 2027-03; every month needs a row
        """
        if not rows:
            raise InputError("forecast: no rows; a table needs month, requests, input_tokens and output_tokens")
        table = read_month_table(
            rows,
            [f"row {number}" for number in range(1, len(rows) + 1)] if places is None else places,
            {"input_tokens": input_tokens, "output_tokens": output_tokens},
        )
        reasoning = _checked_reasoning(reasoning_tokens)
        return cls(
            requests=table.requests,
            input_tokens=table.input_tokens,
            output_tokens=tuple(output + reasoning for output in table.output_tokens),
            cached_share=cached_share,
            batch_share=batch_share,
            start=table.start,
        )


def requests_per_month(
    *, per_day: float | None = None, users: float | None = None, per_user_per_day: float | None = None
) -> float:
    """Return requests per average month (30.4375 days), from those of a day or from users and what each asks.

    Raises
    ------
    InputError
        Neither, both, or half of the second.

    >>> requests_per_month(per_day=1.3e6), requests_per_month(users=200e3, per_user_per_day=12)
    (39568750.0, 73050000.0)
    """
    if per_day is not None and users is None and per_user_per_day is None:
        return per_day * _DAYS_PER_MONTH
    if per_day is None and users is not None and per_user_per_day is not None:
        return users * per_user_per_day * _DAYS_PER_MONTH
    raise InputError("forecast: give requests per day, or users together with requests per user per day")


def _checked_reasoning(tokens: float) -> float:
    if not (math.isfinite(tokens) and tokens >= 0):
        raise InputError(f"forecast: reasoning_tokens must be >= 0 and finite, not {tokens}")
    return tokens


def _grown(first: float, growth: float, months: int, saturation: float | None) -> Array:
    if not (math.isfinite(first) and first > 0):
        raise InputError(f"forecast: the requests of the first month must be above zero and finite, not {first}")
    if not (math.isfinite(growth) and growth > -1):
        raise InputError(f"forecast: growth per month must be above -100% and finite, not {growth}")
    elapsed = np.arange(months, dtype=float)
    if saturation is None:
        with np.errstate(over="ignore"):
            requests = first * (1.0 + growth) ** elapsed
        beyond = np.flatnonzero(~np.isfinite(requests))
        if len(beyond):
            raise InputError(
                f"forecast: at {growth:g} a month, requests are beyond any number in month {beyond[0] + 1}; "
                "state a saturation or a smaller rate"
            )
        return requests
    if not (math.isfinite(saturation) and saturation >= first):
        raise InputError(
            f"forecast: saturation must be finite and at least the {first:g} requests of the first month, not "
            f"{saturation:g}"
        )
    if growth < 0:
        raise InputError(f"forecast: requests that fall ({growth:g} a month) reach no saturation; leave it out")
    share = first / saturation
    if (1.0 + growth) * share >= 1.0:
        return np.where(elapsed == 0, first, saturation)
    rate = (1.0 + growth) * (1.0 - share) / (1.0 - (1.0 + growth) * share)
    return np.asarray(first / (share + (1.0 - share) * rate**-elapsed))
