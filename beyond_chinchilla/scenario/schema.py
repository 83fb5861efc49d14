"""What a scenario file may say: every key with its unit, bounds and meaning.

The JSON Schema that editors use, and the reference in the docs, come from here.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import ConfigDict, Discriminator, Field, Tag, model_validator

from beyond_chinchilla.errors import InputError
from beyond_chinchilla.scenario.compute import Serving, Training, kind_of
from beyond_chinchilla.scenario.demand import Demand
from beyond_chinchilla.scenario.fields import Choice, LawName, ModelName, Quantity, Section, Share, Span, Text
from beyond_chinchilla.scenario.kinds import Pair, Ratio
from beyond_chinchilla.scenario.law_kinds import Covariance, Refits
from beyond_chinchilla.scenario.limits import Limits
from beyond_chinchilla.scenario.money import Buy, Currency, Discounting, Energy
from beyond_chinchilla.scenario.past.data import Data
from beyond_chinchilla.scenario.past.experts import ExpertsChoice
from beyond_chinchilla.scenario.past.quantisation import InlineQuantisation, PrecisionName
from beyond_chinchilla.scenario.past.shape import InlineShape, ShapeName
from beyond_chinchilla.scenario.past.suite import EXAMPLE, InlineSuite, SuiteName
from beyond_chinchilla.scenario.past.thinking import InlineThinking
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
    covariance: (
        Annotated[tuple[tuple[float, ...], ...], Covariance("Of ln A, ln B, ln E, alpha and beta: 5 rows of 5.")] | None
    ) = None
    refits: (
        Annotated[
            tuple[str, ...],
            Refits("ln A, ln B, ln E, alpha and beta of laws refitted to resampled runs, as bc-opt fit writes them."),
        ]
        | None
    ) = None

    @model_validator(mode="after")
    def one_way(self) -> InlineLaw:
        """Refuse two ways to state how sure the law is."""
        if self.covariance is not None and self.refits is not None:
            raise InputError("covariance and refits are both given; keep one")
        return self


class MemberLaw(Section):
    """A law of a set."""

    law: Annotated[
        Annotated[LawName, Tag("<name>")] | Annotated[InlineLaw, Tag("<inline>")],
        Discriminator(kind_of),
        Field(description="A law of the catalogue, a law.json that bc-opt fit wrote, or {E, A, alpha, B, beta}."),
    ]
    weight: Annotated[float, Quantity("", "How likely it is, over the sum of the weights.", "2")] = 1.0


class LawSet(Section):
    """Several laws, one of which holds: the heaviest counts, --risk draws from all."""

    one_of: Annotated[tuple[MemberLaw, ...], Field(description="The laws with their weights.")]

    @model_validator(mode="after")
    def not_empty(self) -> LawSet:
        """Refuse a set without laws."""
        if not self.one_of:
            raise InputError(
                "one_of is empty; write it like one_of: [{law: besiroglu-2024, weight: 2}, {law: sardana-2024}]"
            )
        return self

    @property
    def heaviest(self) -> MemberLaw:
        """The law that counts where no risk is asked for: the first of equals."""
        return max(self.one_of, key=lambda member: member.weight)


class Correlated(Section):
    """Two uncertain numbers that move together."""

    between: Annotated[tuple[str, ...], Pair("Their keys: [demand.requests, training.price].")]
    value: Annotated[float, Ratio("Correlation of their normal scores (close to that of ranks).", "0.4", -1.0, 1.0)]


class UncertaintyRules(Section):
    """How the uncertain numbers of the file go together, and what counts as failure."""

    correlations: Annotated[
        tuple[Correlated, ...], Field(description="Pairs that move together; all others are independent.")
    ] = ()
    hold: Annotated[
        str,
        Choice(
            "What stays if the law is another one: the loss to reach, or the size that states it.", ("loss", "size")
        ),
    ] = "loss"
    max_failure: Annotated[
        float, Ratio("Chance of missing the target or breaking a limit that a plan may have.", "5%", 0.0, 1.0)
    ] = 0.05
    independent_law: Annotated[
        bool, Field(description="Draw a law's constants independently, though they never are: far too wide.")
    ] = False


LawChoice = str | InlineLaw | LawSet


class ModelSize(Section):
    """A model by its size."""

    params: Annotated[float, Quantity("params", "Total parameters.", "7B")]
    tokens: Annotated[float, Quantity("tokens", "Training tokens.", "2T")]


# In which a target may be stated.
TARGET_WAYS = ("chinchilla", "loss", "model", "error", "score")


class Target(Section):
    """The quality to reach, in exactly one way."""

    model_config = ConfigDict(
        json_schema_extra={
            "minProperties": 1,
            "maxProperties": 2,
            "oneOf": [
                {"required": ["chinchilla"], "maxProperties": 1},
                {"required": ["loss"], "maxProperties": 1},
                {"required": ["model"], "maxProperties": 1},
                {"required": ["error", "suite"]},
                {"required": ["score", "suite"]},
            ],
        }
    )

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
    error: Annotated[float, Share("A mean error on the tasks of `suite`.", "45%")] | None = None
    score: Annotated[float, Share("A mean score on the tasks of `suite`, 1 - error.", "55%")] | None = None
    suite: (
        Annotated[
            Annotated[SuiteName, Tag("<name>")] | Annotated[InlineSuite, Tag("<inline>")],
            Discriminator(kind_of),
            Field(
                description="Which tasks: a published suite, a suite.json that bc-opt fit --downstream wrote, or "
                "{epsilon, k, gamma}; with `error` or `score`."
            ),
        ]
        | None
    ) = None

    @property
    def way(self) -> str:
        """The key that states it: one of `TARGET_WAYS`."""
        return next(key for key in TARGET_WAYS if getattr(self, key) is not None)

    @property
    def wanted_error(self) -> Any:
        """The error on the suite (numeric), whichever of error and score is stated."""
        assert self.error is not None or self.score is not None
        return self.error if self.score is None else 1.0 - self.score

    @model_validator(mode="after")
    def exactly_one(self) -> Target:
        """Refuse two targets, and none, and a suite that does not go with its target."""
        stated = [key for key in TARGET_WAYS if getattr(self, key) is not None]
        ways = "chinchilla: 30B, loss: 1.958, model: llama-2-7b, or error: 45% with suite: gadre-17"
        if len(stated) != 1:
            found = f"{' and '.join(sorted(stated))} are both given; keep one" if stated else "is empty"
            raise InputError(f"{found}; write {ways}")
        on_suite = stated[0] in ("error", "score")
        if on_suite and self.suite is None:
            raise InputError(f"{stated[0]} needs the suite of tasks on which it is measured; write {EXAMPLE}")
        if not on_suite and self.suite is not None:
            raise InputError(f"suite goes with error or score, not with {stated[0]}; write {EXAMPLE}")
        return self


def _kind_of_law(value: Any) -> str:
    """Tell a set of laws from one law."""
    several = isinstance(value, LawSet) or (isinstance(value, dict) and "one_of" in value)
    return "<set>" if several else kind_of(value)


class ScenarioFile(Section):
    """A scenario: which model to train for a stated quality, demand and prices."""

    name: Annotated[str, Text("What to call the plan; the file's name if left out.")] | None = None
    law: Annotated[
        Annotated[LawName, Tag("<name>")] | Annotated[InlineLaw, Tag("<inline>")] | Annotated[LawSet, Tag("<set>")],
        Discriminator(_kind_of_law),
        Field(
            description="A law of the catalogue, a law.json that bc-opt fit wrote, {E, A, alpha, B, beta}, or "
            "{one_of: [...]}."
        ),
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
    data: Annotated[Data | None, Field(description="How many different tokens there are to train on.")] = None
    experts: ExpertsChoice | None = None
    shape: (
        Annotated[
            Annotated[ShapeName, Tag("<name>")] | Annotated[InlineShape, Tag("<inline>")],
            Discriminator(kind_of),
            Field(description="Width over depth as a choice: a published law of shape, or {law, aspect}."),
        ]
        | None
    ) = None
    quantisation: (
        Annotated[
            Annotated[PrecisionName, Tag("<name>")] | Annotated[InlineQuantisation, Tag("<inline>")],
            Discriminator(kind_of),
            Field(description="What fewer bits cost: a published law of precision, or its constants."),
        ]
        | None
    ) = None
    thinking: Annotated[
        InlineThinking | None, Field(description="Samples or tokens of reasoning per request, and what they bring.")
    ] = None
    uncertainty: Annotated[
        UncertaintyRules | None, Field(description="How uncertain numbers go together; for --risk.")
    ] = None
    compare: Annotated[tuple[Compared, ...], Field(description="One's own plans, beside ours.")] = ()
    start_from: Annotated[
        ModelSize | None, Field(description="A model that is trained already and goes on: its size stays.")
    ] = None
    energy: Annotated[Energy | None, Field(description="For the report of energy and emissions.")] = None
    buy: Annotated[Buy | None, Field(description="What one could buy instead, beside the plan.")] = None


def json_schema(*, distributions: bool = False) -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of a scenario file, with every catalogue name listed.

    Parameters
    ----------
    distributions : bool
        Whether numbers may be distributions: what an editor needs, and a reference need not repeat at every key.
    """
    schema = ScenarioFile.model_json_schema()
    if distributions:
        schema["$defs"] = {
            name: definition if name in _CERTAIN else _with_distributions(definition)
            for name, definition in schema["$defs"].items()
        } | {"Distribution": _distribution()}
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    schema["title"] = "bc-opt scenario"
    schema["if"] = {"properties": {"objective": {"const": "loss"}}, "required": ["objective"]}
    schema["then"] = {"required": ["limits"]}
    schema["else"] = {"required": ["target"]}
    return schema


# Sections whose numbers take no distribution.
_CERTAIN = (
    "Currency",
    "UncertaintyRules",
    "Correlated",
    "InlineShape",
    "AspectRange",
    "Data",
    "InlineRepetition",
    "InlineThinking",
    "SampleRange",
    "ReasoningRange",
)


def _distribution() -> dict[str, Any]:
    from beyond_chinchilla.stated_distributions import FORMS, KEYS

    return {
        "type": "object",
        "description": f"An uncertain number: {FORMS}.",
        "properties": dict.fromkeys((*KEYS, "column", "source"), True),
        "additionalProperties": False,
        "minProperties": 1,
    }


def _with_distributions(schema: Any) -> Any:
    """Let every number of a schema that may be text be a distribution, too."""
    if isinstance(schema, list):
        return [_with_distributions(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    changed = {key: _with_distributions(value) for key, value in schema.items()}
    if [one.get("type") for one in schema.get("anyOf", ())] == ["number", "string"]:
        changed["anyOf"].append({"$ref": "#/$defs/Distribution"})
    return changed
