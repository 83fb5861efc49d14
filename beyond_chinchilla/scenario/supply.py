"""What can be had, and at what price, from files beside a scenario: ``prices:`` and ``capacity:``."""

from __future__ import annotations

from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from beyond_chinchilla.costs.months import MAX_MONTHS, months_from
from beyond_chinchilla.errors import InputError
from beyond_chinchilla.scenario.fields import Quantity, Section, Text
from beyond_chinchilla.scenario.kinds import Month


class PriceList(Section):
    """A price list for training and serving alike."""

    file: Annotated[
        str, Text("A price list or billing export beside this file: its cheapest on-demand price of each named chip.")
    ]


class MonthOfGpus(Section):
    """GPUs that can be had in one month."""

    month: Annotated[str, Month("Calendar month, or its number from launch.", counted=True)]
    gpus: Annotated[float, Quantity("", "GPUs that can be had for serving.", "512")]


class Capacity(Section):
    """GPUs that can be had for serving, month by month."""

    table: Annotated[tuple[MonthOfGpus, ...], Field(description="One row a month.", max_length=MAX_MONTHS)] = ()
    file: Annotated[str, Text("That table in a workbook or CSV beside this file.")] | None = None
    sheet: Annotated[str, Text("Of the workbook: its name, or Fleet!B4.")] | None = None
    source: Annotated[str, Text("Where the table comes from.")] | None = None

    @model_validator(mode="after")
    def months_once(self) -> Capacity:
        """Refuse no table, and a month that is there twice."""
        if not self.table:
            raise InputError("has no months; give table: [{month: 2027-01, gpus: 512}] or file: fleet.xlsx")
        months = [row.month for row in self.table]
        twice = [month for month in dict.fromkeys(months) if months.count(month) > 1]
        if twice:
            raise InputError(f"{', '.join(twice)} is there twice; keep one row")
        if len({"-" in row.month for row in self.table}) > 1:
            raise InputError("has months of the calendar and months from launch; keep one kind")
        return self

    def available(self, months: int, first: str | None) -> NDArray[np.float64]:
        """Return the GPUs of each month that is served, shape (months,).

        Parameters
        ----------
        months : int
        first : str or None
            Calendar month of the first of them, where it is known.

        Raises
        ------
        InputError
            Calendar months without a calendar, or a month that no row speaks of.
        """
        by_month = {row.month: row.gpus for row in self.table}
        if "-" not in self.table[0].month:
            labels: tuple[str, ...] = tuple(str(number) for number in range(1, months + 1))
        elif first is None:
            raise InputError(
                "capacity: its months are of the calendar; give demand.start, the month of the first request"
            )
        else:
            labels = months_from(first, months)
        missing = [label for label in labels if label not in by_month]
        if missing:
            rest = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
            raise InputError(f"capacity: no row for month {missing[0]}{rest}, which is served; add it")
        return np.array([by_month[label] for label in labels])
