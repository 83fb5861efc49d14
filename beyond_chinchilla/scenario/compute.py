"""What a scenario says about ``training:`` and ``serving:``: chips, prices, utilisation, fleets."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Discriminator, Field, Tag, model_validator

from beyond_chinchilla.costs.hardware import Accelerator
from beyond_chinchilla.errors import InputError, nearest
from beyond_chinchilla.scenario.fields import Chip, HardwareName, Quantity, Section, Share, Text, chip_of
from beyond_chinchilla.scenario.kinds import Count, Money, Month, Ratio
from beyond_chinchilla.scenario.money import Commitment, PricePath, Purchase

# Replicas that co-design tries where none are stated.
REPLICA_SIZES = (1, 2, 4, 8)


def kind_of(value: Any) -> str:
    """Tell a name from something written out in the file."""
    return "<inline>" if isinstance(value, (dict, Section)) else "<name>"


def _number_of(value: Any) -> str:
    return "<many>" if isinstance(value, (list, tuple)) else "<one>"


def _one_price_or_many(value: Any) -> str:
    return "<by chip>" if isinstance(value, dict) else "<price>"


HardwareChoice = Annotated[
    Annotated[HardwareName, Tag("<name>")] | Annotated[dict[str, Any], Chip(), Tag("<inline>")],
    Discriminator(kind_of),
    Field(
        description="A chip of the catalogue, {base: NAME, ...} with fields changed, or a whole chip: "
        "{name, peak, memory, bandwidth}."
    ),
]
Precision = Annotated[str, Text("Precision of the arithmetic: bf16, fp8, int8 ...")]
Price = Annotated[
    float,
    Money("USD/hour", "Price of one chip; left out, the catalogue's dated price is used.", "1.50 USD/hour"),
]
PriceByChip = Annotated[
    Annotated[Price, Tag("<price>")] | Annotated[dict[str, Price], Tag("<by chip>")],
    Discriminator(_one_price_or_many),
    Field(description="One price, or one for each chip by its name."),
]


def _needs_price(chip: Accelerator) -> InputError:
    return InputError(f"{chip.name} has no list price on demand; give price, such as 2.50 USD/hour")


class Training(Section):
    """What training runs on."""

    hardware: HardwareChoice
    precision: Precision
    price: Price | None = None
    prices: (
        Annotated[str, Text("A price list beside this file, instead of price: the cheapest on-demand price.")] | None
    ) = None
    mfu: Annotated[float, Share("Model FLOPs utilisation of training.", "50%")]
    goodput: (
        Annotated[float, Share("Share of the hours that failures and restarts leave; all if left out.", "90%")] | None
    ) = None
    development: (
        Annotated[
            float,
            Ratio("Spend on experiments before the final run, over that of the run; none if left out.", "20%", 0, 100),
        ]
        | None
    ) = None
    data_cost: (
        Annotated[float, Money("USD", "Price of a million training tokens.", "0.5 USD per million tokens")] | None
    ) = None
    gpus: Annotated[int, Count("Chips that train at once: how long training takes.", "2048")] | None = None
    start: Annotated[str, Month("Calendar month in which training starts.")] | None = None
    delay_cost: (
        Annotated[float, Money("USD/month", "What a month of training costs in lost time.", "100k USD/month")] | None
    ) = None
    price_path: Annotated[PricePath | None, Field(description="How the price moves.")] = None
    purchase: Annotated[Purchase | None, Field(description="Bought chips, instead of a price.")] = None

    @model_validator(mode="after")
    def chip_can_do_it(self) -> Training:
        """Refuse a chip that lacks the precision or has no price, and keys that exclude or need each other."""
        chip = chip_of(self.hardware)
        mistakes = [*_two_prices(self.price, self.price_path, self.purchase)]
        try:
            chip.peak_flops(self.precision)
        except InputError as error:
            mistakes.append(str(error))
        if self.price is None and self.purchase is None and not _dated(self.price_path) and chip.default_price is None:
            mistakes.append(str(_needs_price(chip)))
        if self.delay_cost is not None and self.gpus is None:
            mistakes.append("delay_cost needs gpus: how long training takes depends on them; write it like gpus: 2048")
        if mistakes:
            raise InputError("\n".join(mistakes))
        return self


class KVCache(Section):
    """What a token takes in the cache: its bytes, or the shape of the attention, at 2-byte values."""

    bytes_per_token: (
        Annotated[float, Quantity("byte", "Keys and values of one token, all layers.", "160 KB")] | None
    ) = None
    layers: Annotated[int, Count("Transformer layers.", "80")] | None = None
    kv_heads: Annotated[int, Count("Heads of keys and values.", "8")] | None = None
    head_size: Annotated[int, Count("Width of a head.", "128")] | None = None

    @model_validator(mode="after")
    def one_way(self) -> KVCache:
        """Refuse both ways, half a way, and none."""
        shape = [key for key in ("layers", "kv_heads", "head_size") if getattr(self, key) is not None]
        if (self.bytes_per_token is None) == (not shape) or len(shape) in (1, 2):
            raise InputError("give either bytes_per_token: 160 KB, or layers: 80, kv_heads: 8 and head_size: 128")
        return self


class Efficiency(Section):
    """What kernels reach of the chip's data sheet; what is left out has its default and source in the reference."""

    prefill: Annotated[float, Share("Of peak FLOP/s, while reading the input.", "50%")] | None = None
    decode: Annotated[float, Share("Of peak FLOP/s, while writing the output.", "60%")] | None = None
    bandwidth: Annotated[float, Share("Of the memory's bandwidth.", "70%")] | None = None
    memory: Annotated[float, Share("Of the memory, for weights and cache.", "90%")] | None = None
    experts: Annotated[float, Share("Of a dense model's shares, by routed experts alone.", "38%")] | None = None


class FleetRule(Section):
    """How many chips are kept: between a floor and a ceiling, or always the same."""

    floor: Annotated[int, Count("Chips paid at all times; one replica if left out.", "8 GPUs")] | None = None
    ceiling: Annotated[int, Count("Chips that can be had at most.", "512")] | None = None
    fixed: (
        Annotated[float, Share("A fixed fleet, large enough for this share of the busiest month's hours.", "99%")]
        | None
    ) = None

    @model_validator(mode="after")
    def ordered(self) -> FleetRule:
        """Refuse a rule that says nothing, two rules, and a floor above the ceiling."""
        if self.floor is None and self.ceiling is None and self.fixed is None:
            raise InputError("says nothing; give floor: 8, ceiling: 512 or fixed: 99%")
        if self.fixed is not None and self.floor is not None:
            raise InputError("fixed and floor are both given; a fixed fleet is its own floor")
        if self.floor is not None and self.ceiling is not None and self.floor > self.ceiling:
            raise InputError(f"floor {self.floor} is above ceiling {self.ceiling}; no fleet lies between")
        return self


# What only the co-design reads, and what goes with the fixed utilisations alone.
CODESIGN_KEYS = ("gpus_per_replica", "context", "kv_cache", "efficiency")
# What only means something when it is known in which month a request comes.
MONTHLY_KEYS = ("price_path", "commitment", "batch_price", "fleet")


class Serving(Section):
    """What serving runs on.

    With prefill_mfu and decode_mfu at a fixed utilisation by phase (Sardana et al. 2024, Eq. 6); without them batch
    and step time are chosen with the model, and so are chip, precision and replica among those listed.
    """

    hardware: Annotated[
        Annotated[HardwareChoice, Tag("<one>")] | Annotated[tuple[HardwareChoice, ...], Tag("<many>")],
        Discriminator(_number_of),
        Field(description="A chip, or several to choose from (without prefill_mfu and decode_mfu)."),
    ]
    precision: Annotated[
        Annotated[Precision, Tag("<one>")] | Annotated[tuple[Precision, ...], Tag("<many>")],
        Discriminator(_number_of),
        Field(description="A precision, or several to choose from (without prefill_mfu and decode_mfu)."),
    ]
    price: PriceByChip | None = None
    prices: (
        Annotated[str, Text("A price list beside this file, instead of price: its cheapest on-demand prices.")] | None
    ) = None
    price_source: Annotated[str, Text("Whose prices these are, and of when.")] | None = None
    prefill_mfu: Annotated[float, Share("Model FLOPs utilisation while reading the input.", "50%")] | None = None
    decode_mfu: Annotated[float, Share("Model FLOPs utilisation while writing the output.", "1%")] | None = None
    gpus_per_replica: (
        Annotated[
            Annotated[int, Count("Chips that serve one copy of the model.", "1"), Tag("<one>")]
            | Annotated[tuple[Annotated[int, Count("Chips of a replica.", "1", most=1024)], ...], Tag("<many>")],
            Discriminator(_number_of),
            Field(description="Chips that serve one copy of the model; [1, 2, 4, 8] if left out."),
        ]
        | None
    ) = None
    context: (
        Annotated[float, Quantity("tokens", "Tokens that a sequence may hold; input and output if left out.", "4096")]
        | None
    ) = None
    kv_cache: (
        Annotated[
            Annotated[str, Text("A family of models, by name: llama-3."), Tag("<name>")]
            | Annotated[KVCache, Tag("<inline>")],
            Discriminator(kind_of),
            Field(description="A family by name (llama-3), {bytes_per_token}, or {layers, kv_heads, head_size}."),
        ]
        | None
    ) = None
    efficiency: Annotated[Efficiency | None, Field(description="What kernels reach.")] = None
    layer_time: (
        Annotated[
            float,
            Quantity(
                "us",
                "What a layer adds to every step whatever its width (kernel launches, exchanges between chips), with "
                "`shape`; measure it on two depths.",
                "10 us",
            ),
        ]
        | None
    ) = None
    price_path: Annotated[PricePath | None, Field(description="How the price moves.")] = None
    purchase: Annotated[Purchase | None, Field(description="Bought chips, instead of a price.")] = None
    commitment: Annotated[Commitment | None, Field(description="A committed base at a lower price.")] = None
    batch_price: (
        Annotated[float, Money("USD/hour", "Price of one chip for what may wait (spot).", "1.20 USD/hour")] | None
    ) = None
    fleet: Annotated[FleetRule | None, Field(description="How many chips are kept.")] = None

    @model_validator(mode="after")
    def chips_can_do_it(self) -> Serving:
        """Refuse chips without precision or price, and keys that exclude or need each other."""
        mistakes = [*self._combinations(), *_two_prices(self.price, self.price_path, self.purchase)]
        if self.purchase is not None and self.commitment is not None:
            mistakes.append("purchase and commitment are both given; a bought chip needs no contract")
        several = [key for key in ("purchase", "commitment", "batch_price") if getattr(self, key) is not None]
        if len(self.chips) > 1:
            mistakes += [f"{key} states one chip's price; give one hardware, not {len(self.chips)}" for key in several]
            if _dated(self.price_path):
                mistakes.append("price_path.table states one chip's price; give per_year, or one hardware")
        if not self.codesign:
            mistakes += self._fixed_mistakes()
        if mistakes:
            raise InputError("\n".join(mistakes))
        return self

    def _combinations(self) -> list[str]:
        chips, precisions = self.chips, self.precisions
        found: list[str] = []
        if not chips or not precisions:
            return ["an empty list offers nothing to choose from; give hardware: h100-sxm and precision: fp8"]
        able = [chip for chip in chips if any(precision in chip.peak for precision in precisions)]
        if not able:
            try:
                chips[0].peak_flops(precisions[0])
            except InputError as error:
                found.append(str(error))
        names = [chip.name for chip in chips]
        if len(set(names)) < len(names):
            found.append("two chips have one name; give each inline chip a name of its own")
        if isinstance(self.price, dict):
            found += [
                f"price: no chip '{name}' here; {nearest(name, names)}" for name in self.price if name not in names
            ]
        if self.purchase is None and not _dated(self.price_path) and not isinstance(self.price, float):
            priced = self.price or {}
            found += [
                str(_needs_price(chip)) for chip in able if chip.name not in priced and chip.default_price is None
            ]
        return found

    def _fixed_mistakes(self) -> list[str]:
        found = []
        if len(self.chips) > 1:
            found.append(one_alone("hardware", len(self.chips)))
        if len(set(self.precisions)) < len(self.precisions):
            found.append("precision lists one twice; leave it out once")
        found += [
            f"{self.chips[0].name} has no {precision} peak; leave it out of precision"
            for precision in self.precisions
            if len(self.precisions) > 1 and all(precision not in chip.peak for chip in self.chips)
        ]
        return found + [
            f"{key} has no effect beside prefill_mfu and decode_mfu; leave it out, or both of them"
            for key in CODESIGN_KEYS
            if getattr(self, key) is not None
        ]

    @property
    def codesign(self) -> bool:
        """Whether batch and step time are chosen with the model."""
        return self.prefill_mfu is None and self.decode_mfu is None

    @property
    def chips(self) -> tuple[Accelerator, ...]:
        """The chips to choose from."""
        choices = self.hardware if isinstance(self.hardware, tuple) else (self.hardware,)
        return tuple(chip_of(choice) for choice in choices)

    @property
    def precisions(self) -> tuple[str, ...]:
        """The precisions to choose from."""
        return self.precision if isinstance(self.precision, tuple) else (self.precision,)

    @property
    def replica_sizes(self) -> tuple[int, ...]:
        """The replicas to choose from, by chips."""
        sizes = self.gpus_per_replica
        if sizes is None:
            return REPLICA_SIZES
        return sizes if isinstance(sizes, tuple) else (sizes,)

    def stated_price(self, chip: Accelerator) -> float | None:
        """Return the price [USD/hour] that the scenario states for a chip, if it does."""
        return self.price.get(chip.name) if isinstance(self.price, dict) else self.price


def one_alone(key: str, count: int) -> str:
    """Say that fixed utilisations leave no choice of a key."""
    return f"{key} lists {count}; one alone goes with prefill_mfu and decode_mfu (leave both out to choose)"


def _dated(path: PricePath | None) -> bool:
    return path is not None and path.table is not None


def _two_prices(price: Any, path: PricePath | None, purchase: Purchase | None) -> list[str]:
    found = []
    if purchase is not None:
        stated = [key for key, value in (("price", price), ("price_path", path)) if value is not None]
        found += [f"purchase and {key} are both given; a bought chip has its cost alone" for key in stated]
    if _dated(path) and price is not None:
        found.append("price and price_path.table are both given; the table is the price")
    return found
