"""What a scenario file may say: every key with its unit, bounds and meaning.

The JSON Schema that editors use, and the reference in the docs, come from here.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import ConfigDict, Discriminator, Field, Tag, model_validator

from beyond_chinchilla.errors import InputError
from beyond_chinchilla.scenario.compute import Serving, Training, kind_of
from beyond_chinchilla.scenario.demand import Demand
from beyond_chinchilla.scenario.fields import Choice, LawName, ModelName, Quantity, Section, Span, Text
from beyond_chinchilla.scenario.limits import Limits
from beyond_chinchilla.scenario.money import Buy, Currency, Discounting, Energy
from beyond_chinchilla.scenario.supply import Capacity, PriceList


class Compared(Section):
    """A plan of one's own: a published model, or a size with its tokens."""

    name: Annotated[str, Text("What to call it.")] | None = None
    model: Annotated[ModelName | None, Field(description="A published model.")] = None
    params: Annotated[float, Quantity("params", "Total parameters.", "8B")] | None = None
    tokens: Annotated[float, Quantity("tokens", "Training tokens.", "15T")] | None = None

    @model_validator(mode="after")
    def one_way(self) -> Compared:
        """Refuse both ways to state a model, half a way, and none."""
        sized = {key for key in ("params", "tokens") if getattr(self, key) is not None}
        if (self.model is None) == (len(sized) == 0) or len(sized) == 1:
            raise InputError("give either model: llama-3-8b, or params: 8B and tokens: 15T")
        return self


class RangeOfRuns(Section):
    """[smallest, largest] of the runs behind a law."""

    params: Annotated[tuple[float, float] | None, Span("Parameters, as the law counts them.")] = None
    tokens: Annotated[tuple[float, float] | None, Span("Training tokens.")] = None
    tokens_per_param: Annotated[tuple[float, float] | None, Span("Their ratio.")] = None
    flops: Annotated[tuple[float, float] | None, Span("Training FLOPs, 6ND.")] = None


class InlineLaw(Section):
    """A loss law of one's own: L = E + (A N^-alpha + B D^-beta)^power."""

    E: Annotated[float, Quantity("", "Irreducible loss [nats/token].", "1.69", zero=True)]
    A: Annotated[float, Quantity("", "Coefficient of the model term.", "406.4")]
    alpha: Annotated[float, Quantity("", "Exponent of the model term.", "0.336")]
    B: Annotated[float, Quantity("", "Coefficient of the data term.", "410.7")]
    beta: Annotated[float, Quantity("", "Exponent of the data term.", "0.283")]
    power: Annotated[float, Quantity("", "Exponent of the sum: 1 but in Kaplan's form.", "1")] = 1.0
    counts: Annotated[str, Choice("Which parameters N counts.", ("total", "non-embedding"))] = "total"
    name: Annotated[str, Text("What to call the law.")] = "inline"
    source: Annotated[str, Text("Where it comes from.")] = "written in the scenario"
    verdict: Annotated[str, Text("What the fit thinks of itself: good, usable or do not use.")] | None = None
    range: Annotated[RangeOfRuns | None, Field(description="What the runs behind it covered.")] = None


class ModelSize(Section):
    """A model by its size."""

    params: Annotated[float, Quantity("params", "Total parameters.", "7B")]
    tokens: Annotated[float, Quantity("tokens", "Training tokens.", "2T")]


class Target(Section):
    """The quality to reach, in exactly one way."""

    model_config = ConfigDict(json_schema_extra={"minProperties": 1, "maxProperties": 1})

    chinchilla: (
        Annotated[float, Quantity("params", "As good as the compute-optimal model of this size.", "30B")] | None
    ) = None
    loss: Annotated[float, Quantity("nats/token", "A loss in nats per token.", "1.958")] | None = None
    model: (
        Annotated[
            Annotated[ModelName, Tag("<name>")] | Annotated[ModelSize, Tag("<inline>")],
            Discriminator(kind_of),
            Field(description="As good as a published model, or as one of {params, tokens}."),
        ]
        | None
    ) = None

    @model_validator(mode="after")
    def exactly_one(self) -> Target:
        """Refuse two targets, and none."""
        stated = sorted(self.model_dump(exclude_none=True))
        if len(stated) != 1:
            found = f"{' and '.join(stated)} are both given; keep one" if stated else "is empty"
            raise InputError(f"{found}; write chinchilla: 30B, loss: 1.958 or model: llama-2-7b")
        return self


class ScenarioFile(Section):
    """A scenario: which model to train for a stated quality, demand and prices."""

    name: Annotated[str, Text("What to call the plan; the file's name if left out.")] | None = None
    law: Annotated[
        Annotated[LawName, Tag("<name>")] | Annotated[InlineLaw, Tag("<inline>")],
        Discriminator(kind_of),
        Field(description="A law of the catalogue, a law.json that bc-opt fit wrote, or {E, A, alpha, B, beta}."),
    ]
    target: Annotated[Target | None, Field(description="The quality to reach; none with objective loss.")] = None
    demand: Demand
    objective: Annotated[
        str,
        Choice("Least cost or FLOPs over the model's life, or least loss for a total_cost.", ("cost", "flops", "loss")),
    ] = "cost"
    currency: Annotated[Currency | None, Field(description="A second currency, at a stated rate.")] = None
    discounting: Annotated[Discounting | None, Field(description="What later money is worth today.")] = None
    training: Training | None = None
    serving: Serving | None = None
    prices: Annotated[PriceList | None, Field(description="A price list for both, where they state no price.")] = None
    capacity: Annotated[Capacity | None, Field(description="GPUs that can be had for serving, by month.")] = None
    limits: Limits | None = None
    compare: Annotated[tuple[Compared, ...], Field(description="One's own plans, beside ours.")] = ()
    start_from: Annotated[
        ModelSize | None, Field(description="A model that is trained already and goes on: its size stays.")
    ] = None
    energy: Annotated[Energy | None, Field(description="For the report of energy and emissions.")] = None
    buy: Annotated[Buy | None, Field(description="What one could buy instead, beside the plan.")] = None


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of a scenario file, with every catalogue name listed."""
    schema = ScenarioFile.model_json_schema()
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    schema["title"] = "bc-opt scenario"
    schema["if"] = {"properties": {"objective": {"const": "loss"}}, "required": ["objective"]}
    schema["then"] = {"required": ["limits"]}
    schema["else"] = {"required": ["target"]}
    return schema
