"""The ``demand:`` of a scenario: how many requests of what length, over the life or month by month."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field, model_validator

from beyond_chinchilla.costs.demand import Demand as CostsDemand
from beyond_chinchilla.costs.months import MAX_MONTHS, months_between, months_from
from beyond_chinchilla.errors import InputError
from beyond_chinchilla.scenario.fields import MOST, Quantity, Section, Text
from beyond_chinchilla.scenario.kinds import Count, Hours, Month, Ratio
from beyond_chinchilla.units import HOURS_PER_MONTH

if TYPE_CHECKING:
    from beyond_chinchilla.costs.forecast import Forecast
    from beyond_chinchilla.costs.load import LoadProfile

_HOURS_PER_DAY = 24.0
WAYS = ("requests", "requests_per_month", "requests_per_day", "users", "table")
_RATES = ("requests_per_month", "requests_per_day", "users")
# What more demand is more of; of a table its requests.
VOLUMES = ("requests", "tokens", "requests_per_month", "requests_per_day", "users", "saturation")
# What only means something when it is known in which month a request comes.
_NEEDS_MONTHS = ("start", "batch_share", "peak_to_mean", "hourly_profile")


class MonthOfDemand(Section):
    """One month of a forecast."""

    month: Annotated[str, Month("Calendar month, or its number from launch; without a gap.", counted=True)]
    requests: Annotated[float, Quantity("requests", "Requests in this month.", "40M", zero=True)]
    input_tokens: (
        Annotated[
            float,
            Quantity("tokens/request", "Mean input tokens; demand.input_tokens if left out.", "900", zero=True),
        ]
        | None
    ) = None
    output_tokens: (
        Annotated[
            float,
            Quantity("tokens/request", "Mean output tokens; demand.output_tokens if left out.", "220", zero=True),
        ]
        | None
    ) = None


class Demand(Section):
    """What the model will be asked to do over its life."""

    requests: (
        Annotated[
            float,
            Quantity("requests", "Requests over the life of the model; spread evenly over months, if given.", "1B"),
        ]
        | None
    ) = None
    input_tokens: (
        Annotated[float, Quantity("tokens/request", "Mean input tokens of a request.", "70", zero=True)] | None
    ) = None
    output_tokens: (
        Annotated[float, Quantity("tokens/request", "Mean output tokens of a request.", "215", zero=True)] | None
    ) = None
    tokens: (
        Annotated[
            float,
            Quantity("tokens", "All tokens of the model's life, read and written; with objective flops.", "2T"),
        ]
        | None
    ) = None
    reasoning_tokens: (
        Annotated[
            float,
            Quantity("tokens/request", "Mean tokens that a request thinks, beside its output.", "400", zero=True),
        ]
        | None
    ) = None
    cached_share: (
        Annotated[
            float,
            Ratio("Share of the input tokens that a prompt cache holds: not computed again.", "30%", 0.0, 1.0),
        ]
        | None
    ) = None
    batch_share: (
        Annotated[
            float, Ratio("Share of the requests that may wait for an idle hour: no latency target.", "20%", 0.0, 1.0)
        ]
        | None
    ) = None
    factor: (
        Annotated[
            float, Quantity("", "Multiplies all requests or tokens; uncertain, it makes the whole forecast so.", "1.3")
        ]
        | None
    ) = None
    requests_per_month: Annotated[float, Quantity("requests", "Requests in the first month.", "40M")] | None = None
    requests_per_day: Annotated[float, Quantity("requests", "Requests a day in the first month.", "1.3M")] | None = None
    users: Annotated[float, Quantity("", "Users in the first month.", "200k")] | None = None
    requests_per_user_per_day: Annotated[float, Quantity("requests", "What a user asks in a day.", "12")] | None = None
    growth_per_month: (
        Annotated[float, Ratio("By how much each month exceeds the one before.", "5%", -0.99, 10.0)] | None
    ) = None
    saturation: Annotated[float, Quantity("requests", "Requests a month that growth runs up to.", "400M")] | None = None
    months: (
        Annotated[int, Count("Life of the model; needed with a rate.", "36", unit="month", most=MAX_MONTHS)] | None
    ) = None
    table: (
        Annotated[tuple[MonthOfDemand, ...], Field(description="A forecast, one row a month.", max_length=MAX_MONTHS)]
        | None
    ) = None
    file: (
        Annotated[str, Text("A forecast beside this file, instead of a table: a workbook or CSV, a row a month.")]
        | None
    ) = None
    sheet: Annotated[str, Text("Sheet of the workbook, or with a cell of the table: Demand!B4.")] | None = None
    start: Annotated[str, Month("Calendar month in which demand begins.")] | None = None
    peak_to_mean: (
        Annotated[float, Ratio("Load of the busiest hour of a day over the mean.", "2.5", 1.0, 24.0)] | None
    ) = None
    hourly_profile: (
        Annotated[tuple[float, ...], Hours("Load of each hour of a day (24 numbers) or week (168), in any unit.")]
        | None
    ) = None
    trace: (
        Annotated[str, Text("A request trace beside this file (Azure or BurstGPT columns): lengths and profile.")]
        | None
    ) = None
    source: Annotated[str, Text("Where these numbers come from.")] | None = None

    @model_validator(mode="after")
    def one_way(self) -> Demand:
        """Refuse two ways to state demand, half a way, and none; every such mistake at once."""
        stated = {key for key in type(self).model_fields if getattr(self, key) is not None} - {"source", "factor"}
        if "tokens" in stated:
            if stated != {"tokens"}:
                raise InputError(f"tokens and {', '.join(sorted(stated - {'tokens'}))} are both given; keep one way")
            return self
        mistakes = [*self._ways(stated), *self._keys_without_effect(stated), *self._lengths()]
        if not mistakes and self.by_month and self.table is None:
            mistakes = self._overgrown()
        if mistakes:
            raise InputError("\n".join(mistakes))
        return self

    def _ways(self, stated: set[str]) -> list[str]:
        found: list[str] = []
        ways = [way for way in WAYS if way in stated]
        missing = {"input_tokens", "output_tokens"} - stated
        if self.table is not None:
            missing = {key for key in missing if any(getattr(row, key) is None for row in self.table)}
        if not ways and not stated & {"requests_per_user_per_day"}:
            missing.add("requests")
        if missing:
            found.append(
                f"{', '.join(sorted(missing))} missing; give requests, input_tokens and output_tokens (or tokens alone)"
            )
        if len(ways) > 1:
            found.append(f"{' and '.join(ways)} are all given; keep one way" if len(ways) > 2 else _both(*ways))
        if ("users" in stated) != ("requests_per_user_per_day" in stated):
            found.append("users and requests_per_user_per_day go together; give both, such as 200k and 12")
        rates = [way for way in ways if way in _RATES]
        if rates and self.months is None:
            found.append(f"{rates[0]} is a rate; give months too, such as months: 36")
        if self.table is not None and not any(row.requests > 0 for row in self.table):
            found.append("table has no month with requests; give at least one above zero")
        return found

    def _keys_without_effect(self, stated: set[str]) -> list[str]:
        found: list[str] = []
        rate = any(way in stated for way in _RATES)
        if "growth_per_month" in stated and not rate:
            found.append("growth_per_month goes with a rate; give requests_per_month and months")
        if "saturation" in stated and "growth_per_month" not in stated:
            found.append("saturation is what growth runs up to; give growth_per_month too, such as 5%")
        if self.saturation is not None and rate and self.saturation < self.first_month:
            found.append(
                f"saturation {self.saturation:g} is below the first month's {self.first_month:g} requests; "
                "give requests a month above that"
            )
        if self.table is not None:
            found += [f"table has its own months; leave {key} out" for key in ("months", "start") if key in stated]
        if not self.by_month and "requests" in stated:
            found += [
                f"{key} needs demand by month; give months: 36 beside requests, or requests_per_month and months"
                for key in _NEEDS_MONTHS
                if key in stated
            ]
        if "sheet" in stated:
            found.append("sheet is that of a file; give file too, such as file: forecast.xlsx")
        if self.peak_to_mean is not None and self.hourly_profile is not None:
            found.append(_both("peak_to_mean", "hourly_profile"))
        return found

    def _lengths(self) -> list[str]:
        written = (self.output_tokens or 0.0) + (self.reasoning_tokens or 0.0)
        if self.table is None and self.input_tokens == 0 and self.output_tokens is not None and written == 0:
            return ["a request of no tokens at all; give input_tokens or output_tokens above zero"]
        rows = self.table or ()
        empty = [
            row.month
            for row in rows
            if not (self.input_tokens if row.input_tokens is None else row.input_tokens)
            and not (self.output_tokens if row.output_tokens is None else row.output_tokens)
            and not self.reasoning_tokens
        ]
        return [f"table: requests of {month} have no tokens at all; give lengths above zero" for month in empty[:1]]

    def _overgrown(self) -> list[str]:
        """Say what no forecast can be, such as growth beyond the world."""
        try:
            most = max(self.forecast().requests)
        except InputError as error:
            return [line.removeprefix("forecast: ") for line in str(error).splitlines()]
        if most > MOST:
            return [f"growth makes {most:.0e} requests in a month; state a saturation, such as 400M, or a smaller rate"]
        return []

    @property
    def by_month(self) -> bool:
        """Whether it is known how many requests come in which month."""
        return self.table is not None or self.months is not None

    @property
    def first_month(self) -> float:
        """Requests in the first month of a rate, or of an even spread.

        A month has 30.4375 days, an average year's twelfth.
        """
        days = HOURS_PER_MONTH / _HOURS_PER_DAY
        if self.requests_per_month is not None:
            return self.requests_per_month
        if self.requests_per_day is not None:
            return self.requests_per_day * days
        if self.users is not None and self.requests_per_user_per_day is not None:
            return self.users * self.requests_per_user_per_day * days
        return (self.requests or 0.0) / (self.months or 1)

    def life(self) -> CostsDemand:
        """Return the tokens of the whole life."""
        # Not "or": this and the rest may be arrays over a block of scenarios.
        factor = 1.0 if self.factor is None else self.factor
        if self.tokens is not None:
            # All tokens cost alike in FLOPs, so that they may count as one phase.
            return CostsDemand(prefill_tokens=0.0, decode_tokens=factor * self.tokens)
        if self.by_month:
            return self.forecast().total()
        assert self.requests is not None
        assert self.input_tokens is not None
        assert self.output_tokens is not None
        cached = 0.0 if self.cached_share is None else self.cached_share
        reasoning = 0.0 if self.reasoning_tokens is None else self.reasoning_tokens
        return CostsDemand.from_requests(
            factor * self.requests,
            input_tokens=self.input_tokens * (1.0 - cached),
            output_tokens=self.output_tokens + reasoning,
        )

    def forecast(self) -> Forecast:
        """Return requests and lengths by month.

        Raises
        ------
        InputError
            Demand over the life alone, or numbers that make no forecast.
        """
        if not self.by_month:
            raise InputError("demand: not by month; give requests_per_month and months (or months beside requests)")
        plain = self._plain_forecast()
        return plain if self.factor is None else plain.scaled(self.factor)

    def _plain_forecast(self) -> Forecast:
        """Return the forecast before its factor."""
        from beyond_chinchilla.costs.forecast import Forecast

        reasoning, cached = self.reasoning_tokens or 0.0, self.cached_share or 0.0
        if self.table is not None:
            return Forecast.from_rows(
                [row.model_dump(exclude_none=True) for row in self.table],
                input_tokens=self.input_tokens,
                output_tokens=self.output_tokens,
                reasoning_tokens=reasoning,
                cached_share=cached,
                batch_share=self.batch_share or 0.0,
            )
        assert self.months is not None
        assert self.input_tokens is not None
        assert self.output_tokens is not None
        return Forecast.growing(
            self.first_month,
            growth_per_month=self.growth_per_month or 0.0,
            months=self.months,
            saturation=self.saturation,
            input_tokens=self.input_tokens,
            output_tokens=self.output_tokens,
            reasoning_tokens=reasoning,
            cached_share=cached,
            batch_share=self.batch_share or 0.0,
            start=self.start,
        )

    def scaled(self, factor: float) -> Demand:
        """Return the same demand with `factor` times the requests, or tokens."""
        changed: dict[str, Any] = {
            key: factor * getattr(self, key) for key in VOLUMES if getattr(self, key) is not None
        }
        if self.table is not None:
            changed["table"] = tuple(row.model_copy(update={"requests": factor * row.requests}) for row in self.table)
        return self.model_copy(update=changed)

    def profile(self) -> LoadProfile:
        """Return the load of the hours; flat where nothing is stated."""
        from beyond_chinchilla.costs.load import FLAT, LoadProfile

        if self.hourly_profile is not None:
            return LoadProfile(self.hourly_profile)
        return FLAT if self.peak_to_mean is None else LoadProfile.from_peak_to_mean(self.peak_to_mean)

    @property
    def calendar_start(self) -> str | None:
        """Calendar month in which demand begins, where it is stated."""
        if not self.table:
            return self.start
        first = self.table[0].month
        return None if first.isdecimal() else first


def _both(left: str, right: str) -> str:
    return f"{left} and {right} are both given; keep one"


def month_mistakes(table: tuple[MonthOfDemand, ...]) -> list[tuple[int, str]]:
    """Return the row and what is wrong with its month: of another kind, twice, out of order, or after a gap."""
    found: list[tuple[int, str]] = []
    seen = {table[0].month} if table else set()
    for index in range(1, len(table)):
        before, month = table[index - 1].month, table[index].month
        if before.isdecimal() != month.isdecimal():
            found.append((index, f"{month} stands after {before}; count all months from launch, or name all"))
            return found
        counted = month.isdecimal()
        step = int(month) - int(before) if counted else months_between(before, month)
        if month in seen:
            found.append((index, f"{month} stands twice; keep one row a month"))
        elif step < 0:
            found.append((index, f"{month} stands after {before}; put the rows in the order of time"))
        elif step > 1:
            gap = [str(int(before) + k) for k in range(1, step)] if counted else months_from(before, step)[1:]
            missing = f"{gap[0]} is" if len(gap) == 1 else f"{gap[0]} to {gap[-1]} are"
            found.append((index, f"{missing} missing before {month}; give every month, with requests: 0 if need be"))
        seen.add(month)
    return found
