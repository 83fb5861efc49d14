"""What a scenario says about money over time: currency, discounting, price paths, purchase, commitment, buying."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

from pydantic import Field, model_validator

from beyond_chinchilla.errors import InputError
from beyond_chinchilla.scenario.fields import Choice, ModelName, Quantity, Section, Share, Text
from beyond_chinchilla.scenario.kinds import Count, Day, Money, Month, Ratio

if TYPE_CHECKING:
    from beyond_chinchilla.costs import api_price, commitment, energy, ownership, price_path
    from beyond_chinchilla.costs import currency as costs_currency
    from beyond_chinchilla.costs import discounting as costs_discounting


class Currency(Section):
    """A second currency, beside USD, at a stated rate; a bare number is always in USD."""

    code: Annotated[str, Text("Three capitals, such as EUR.")]
    per_usd: Annotated[float, Quantity("", "How many of it one dollar buys.", "0.86")]
    date: Annotated[str, Day("Day of the rate.")]
    source: Annotated[str, Text("Who published the rate.")]

    @model_validator(mode="after")
    def is_sound(self) -> Currency:
        """Refuse what `costs.currency` refuses."""
        _sound(self.build)
        return self

    def build(self) -> costs_currency.Currency:
        """Return the currency that reports use."""
        from beyond_chinchilla.costs import currency

        return currency.Currency(**self.model_dump())


class Discounting(Section):
    """What later money is worth today."""

    rate: Annotated[float, Ratio("Discount rate a year, effective.", "10%", 0.0, 1.0)]
    timing: Annotated[str, Choice("When the money of a month flows.", ("mid", "end"))] = "mid"

    def build(self) -> costs_discounting.Discounting:
        """Return the discount factors' rule."""
        from beyond_chinchilla.costs import discounting

        return discounting.Discounting(**self.model_dump())


class DatedPrice(Section):
    """A price from a month on."""

    month: Annotated[str, Month("Month from which it holds.")]
    price: Annotated[float, Money("USD/hour", "Price of one chip.", "2.50 USD/hour")]


class PricePath(Section):
    """How the price of a chip-hour moves, in exactly one way."""

    per_year: Annotated[float, Ratio("Change a year, up or down.", "-10%", -0.95, 10.0)] | None = None
    table: Annotated[tuple[DatedPrice, ...], Field(description="Prices by month, each until the next.")] | None = None

    @model_validator(mode="after")
    def one_way(self) -> PricePath:
        """Refuse both ways, none, and months out of order."""
        if (self.per_year is None) == (self.table is None):
            raise InputError("give either per_year: -10%, or table: [{month: 2027-01, price: 2.50 USD/hour}, ...]")
        _sound(lambda: self.build(1.0))
        return self

    def build(self, price: float) -> price_path.PricePath:
        """Return the path that starts at a price [USD/hour], or that of the table."""
        from beyond_chinchilla.costs.price_path import PricePath as Path

        if self.table is not None:
            return Path.table([(row.month, row.price) for row in self.table])
        assert self.per_year is not None
        return Path.changing(price, per_year=self.per_year)


class Purchase(Section):
    """A chip that is bought rather than hired: its cost becomes a price per hour."""

    capex: Annotated[float, Money("USD", "One chip with its share of server and network.", "40k USD")]
    years: Annotated[float, Quantity("year", "Years in service.", "4 years")]
    rate: Annotated[float, Ratio("Cost of capital a year.", "10%", 0.0, 1.0)]
    salvage: Annotated[float, Money("USD", "What the chip still fetches after that.", "4k USD", zero=True)] = 0.0
    availability: Annotated[float, Share("Share of the hours in which it can be used.", "97%")] = 1.0
    power: (
        Annotated[float, Quantity("kW", "Rated power of one chip with its share of the server.", "1.3 kW")] | None
    ) = None
    draw: Annotated[float, Share("Mean draw over that power.", "75%")] = 1.0
    pue: Annotated[float, Ratio("Power of the site over that of its computers.", "1.25", 1.0, 5.0)] = 1.0
    electricity: Annotated[float, Money("USD/kWh", "Price of electricity.", "0.08 USD/kWh", zero=True)] = 0.0
    colocation: Annotated[float, Money("USD/kW-month", "Rent of space and power.", "130 USD/kW-month", zero=True)] = 0.0
    opex: Annotated[float, Money("USD/hour", "Staff, spares, insurance, per chip.", "0.10 USD/hour", zero=True)] = 0.0

    @model_validator(mode="after")
    def makes_a_price(self) -> Purchase:
        """Refuse what `costs.ownership` cannot turn into a price."""
        _sound(self.build)
        return self

    def build(self) -> ownership.Purchase:
        """Return the purchase, whose `usd_per_hour` is the price."""
        from beyond_chinchilla.costs.ownership import Purchase as Owned

        return Owned(**self.model_dump(exclude={"power"}), power_kw=self.power or 0.0)


class Commitment(Section):
    """A part of the fleet that is paid for whether it works or not, at a lower price."""

    kind: Annotated[str, Text("What the contract is called: 1-year, 3-year.")] = "1-year"
    price: Annotated[float, Money("USD/hour", "Committed price of one chip.", "1.70 USD/hour")]
    share: Annotated[float, Ratio("Committed chips over those of the mean hour.", "60%", 0.0, 1.0)] | None = None
    gpus: Annotated[int, Count("Committed chips.", "200")] | None = None
    best: Annotated[bool, Field(description="Commit to as many as cost least; the default.")] = False

    @model_validator(mode="after")
    def one_way(self) -> Commitment:
        """Refuse two ways to say how many chips."""
        _sound(self.build)
        return self

    def build(self) -> commitment.Commitment:
        """Return the commitment; without a number of chips, to as many as cost least."""
        from beyond_chinchilla.costs.commitment import Commitment as Contract

        best = self.best or (self.share is None and self.gpus is None)
        return Contract(price=self.price, gpus=self.gpus, share=self.share, best=best, kind=self.kind)


class Energy(Section):
    """What the report of energy and emissions stands on."""

    pue: (
        Annotated[float, Ratio("Power of the site over that of its computers; 1.25 if left out.", "1.2", 1.0, 5.0)]
        | None
    ) = None
    grid: Annotated[float, Quantity("kg/kWh", "CO2e of a kilowatt-hour.", "0.35 kg/kWh", zero=True)] | None = None
    power_per_gpu: (
        Annotated[
            float,
            Quantity("kW", "Draw of one chip with its share of the server; the chip's own if left out.", "1.4 kW"),
        ]
        | None
    ) = None

    @model_validator(mode="after")
    def is_sound(self) -> Energy:
        """Refuse what `costs.energy` refuses."""
        _sound(self.build)
        return self

    def build(self) -> energy.Energy:
        """Return how hours become kilowatt-hours and tonnes."""
        from beyond_chinchilla.costs.energy import Energy as Reckoning

        return Reckoning(**self.model_dump(exclude_none=True))


class Buy(Section):
    """An API, or an open model, to buy from instead; prices are per million tokens."""

    name: Annotated[str, Text("Whose price it is.")] | None = None
    input: Annotated[float, Money("USD", "Per million input tokens.", "0.60 USD", zero=True)] | None = None
    output: Annotated[float, Money("USD", "Per million output tokens.", "2.40 USD", zero=True)] | None = None
    cached_input: Annotated[float, Money("USD", "Per million cached tokens.", "0.06 USD", zero=True)] | None = None
    batch_discount: Annotated[float, Ratio("Off for what may wait.", "50%", 0.0, 0.99)] | None = None
    model: Annotated[ModelName | None, Field(description="An open model, at its serving cost alone.")] = None

    @model_validator(mode="after")
    def one_way(self) -> Buy:
        """Refuse a price beside a model, half a price, and neither."""
        priced = {
            key for key in ("input", "output", "cached_input", "batch_discount") if getattr(self, key) is not None
        }
        if (self.model is None) == (not priced) or (priced and not {"input", "output"} <= priced):
            raise InputError("give either input: 0.60 USD and output: 2.40 USD, or model: llama-3-70b")
        _sound(self.build)
        return self

    def build(self) -> api_price.ApiPrice | None:
        """Return the price list; None for an open model, whose serving is the price."""
        from beyond_chinchilla.costs.api_price import ApiPrice

        return None if self.model is not None else ApiPrice(**self.model_dump(exclude_none=True))


def _sound(build: Callable[[], object]) -> None:
    """Let the module that reckons with a section refuse it; the section's own name need not be repeated."""
    try:
        build()
    except InputError as error:
        raise InputError("\n".join(line.split(": ", 1)[1] for line in str(error).splitlines())) from None
