"""What a scenario says of thinking at inference: whose constants tell what it brings, how much a request may think."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Discriminator, Field, Tag, model_validator

from beyond_chinchilla.errors import InputError
from beyond_chinchilla.laws.loss_law import LossLaw
from beyond_chinchilla.laws.thinking import WORDS, Thinking
from beyond_chinchilla.posynomial import Posynomial
from beyond_chinchilla.scenario.fields import Choice, Quantity, Section, Span, Text
from beyond_chinchilla.scenario.kinds import Count
from beyond_chinchilla.units import format_size

if TYPE_CHECKING:
    from beyond_chinchilla.costs.forecast import Forecast
    from beyond_chinchilla.scenario.demand import Demand
    from beyond_chinchilla.scenario.schema import ScenarioFile

EXAMPLE = "thinking: {G: 0.9, g: 0.5, samples: {max: 64}}"
_FIT = "no constants of thinking are published; fit them, bc-opt fit SCORES --thinking -o fit.json, and give "
_FIT += "file: fit.json, or give G and g"
_MOST = 1_000_000


class SampleRange(Section):
    """How many samples a request may draw: the cheapest number is chosen."""

    min: Annotated[int, Count("Fewest samples of a request.", "1", most=_MOST)] = 1
    max: Annotated[int, Count("Most samples of a request.", "64", most=_MOST)]

    @model_validator(mode="after")
    def ordered(self) -> SampleRange:
        """Refuse a range that holds nothing."""
        if self.min > self.max:
            raise InputError(f"min {self.min} is above max {self.max}; no number of samples lies between")
        return self


class ReasoningRange(Section):
    """How many tokens a request may think before it answers: the cheapest number is chosen."""

    min: Annotated[float, Quantity("tokens/request", "Fewest, which stand for not thinking.", "100")] | None = None
    max: Annotated[float, Quantity("tokens/request", "Most tokens of reasoning.", "8k")]


def _way_of(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return "<many>"
    return "<inline>" if isinstance(value, (dict, Section)) else "<one>"


class InlineThinking(Section):
    """Loss that thinking at inference takes away, + G k^-g, k samples or reasoning tokens per request.

    No constants of it are published: fit them (bc-opt fit --thinking) or give your own. `law` is then that of endless
    thinking, whose E no k takes away.
    """

    G: Annotated[float, Quantity("", "Coefficient, in the unit of the loss.", "0.9")] | None = None
    g: Annotated[float, Quantity("", "Exponent of the samples or reasoning tokens.", "0.5")] | None = None
    file: Annotated[str, Text("A fit.json beside this file, instead of G and g.")] | None = None
    samples: (
        Annotated[
            Annotated[int, Count("Samples of every request.", "8", most=_MOST), Tag("<one>")]
            | Annotated[tuple[Annotated[int, Count("Samples to choose from.", "8", most=_MOST)], ...], Tag("<many>")]
            | Annotated[SampleRange, Tag("<inline>")],
            Discriminator(_way_of),
            Field(description="Samples of a request: a number, a list to choose from, or {max: 64}."),
        ]
        | None
    ) = None
    reasoning_tokens: (
        Annotated[
            Annotated[float, Quantity("tokens/request", "Tokens that every request thinks.", "2k"), Tag("<one>")]
            | Annotated[
                tuple[Annotated[float, Quantity("tokens/request", "Tokens to choose from.", "2k")], ...], Tag("<many>")
            ]
            | Annotated[ReasoningRange, Tag("<inline>")],
            Discriminator(_way_of),
            Field(description="Tokens of reasoning, beside the output: a number, a list, or {max: 8k}."),
        ]
        | None
    ) = None
    baseline: (
        Annotated[
            float,
            Quantity(
                "tokens/request", "Tokens of reasoning that stand for not thinking; the fewest if left out.", "100"
            ),
        ]
        | None
    ) = None
    shared_prefill: (
        Annotated[bool, Field(description="Whether the prompt is read once for all samples; true if left out.")] | None
    ) = None
    seen: Annotated[tuple[float, float] | None, Span("Smallest and largest k behind G and g.")] = None
    variable: Annotated[str, Choice("What the fit of G and g counted.", ("samples", "reasoning_tokens"))] | None = None
    name: Annotated[str, Text("What to call the constants.")] = "inline"
    source: Annotated[str, Text("Where they come from.")] = "written in the scenario"
    verdict: Annotated[str, Text("What the fit thinks of itself: good, usable or do not use.")] | None = None

    @model_validator(mode="after")
    def sound(self) -> InlineThinking:
        """Refuse constants that are missing, two variables or none, and a list or range that holds nothing."""
        mistakes = []
        missing = [key for key in ("G", "g") if getattr(self, key) is None]
        if missing:
            mistakes.append(f"{' and '.join(missing)} missing: {_FIT}")
        ways = [key for key in WORDS if getattr(self, key) is not None]
        if len(ways) != 1:
            found = (
                "samples and reasoning_tokens are both given; keep one" if ways else "says not how much may be thought"
            )
            mistakes.append(f"{found}; write it like samples: {{max: 64}} or reasoning_tokens: {{max: 8k}}")
        else:
            mistakes += self._of_way(ways[0])
        if mistakes:
            raise InputError("\n".join(mistakes))
        return self

    def _of_way(self, way: str) -> list[str]:
        found = []
        if self.variable is not None and self.variable != way:
            found.append(f"G and g were fitted to {self.variable}, not to {way}; write {self.variable}: {{max: ...}}")
        if way == "reasoning_tokens" and self.shared_prefill is not None:
            found.append("shared_prefill has no effect with reasoning_tokens; leave it out")
        if way == "samples" and self.baseline is not None:
            found.append("baseline is one sample; leave it out")
        stated = getattr(self, way)
        if isinstance(stated, tuple):
            if not stated:
                found.append(f"{way} is an empty list; write it like {way}: [1, 4, 16]")
            if len(set(stated)) < len(stated):
                found.append(f"{way} lists a number twice; keep one")
        numbers = stated if isinstance(stated, tuple) else () if isinstance(stated, Section) else (stated,)
        if any(number < 1 for number in numbers):
            found.append(f"{way} must be 1 at least")
        if isinstance(stated, ReasoningRange):
            least = self.low
            if not 1.0 <= least <= stated.max:
                found.append(
                    f"reasoning_tokens: max {format_size(stated.max)} is below {format_size(max(least, 1.0))}; "
                    "no number lies between"
                )
        return found

    @property
    def way(self) -> str:
        """What is varied: ``"samples"`` or ``"reasoning_tokens"``."""
        return "samples" if self.samples is not None else "reasoning_tokens"

    @property
    def stated(self) -> Any:
        """How much a request may think: a number, several, or a range."""
        return getattr(self, self.way)

    @property
    def once(self) -> float:
        """The k that stands for not thinking: one sample; the fewest tokens of reasoning that are stated or fitted."""
        stated = self.reasoning_tokens
        if stated is None:
            return 1.0
        if self.baseline is not None:
            return self.baseline
        if isinstance(stated, ReasoningRange):
            return self.low
        return min(stated) if isinstance(stated, tuple) else stated

    @property
    def low(self) -> float:
        """The least that a request may think; of a list, its first number."""
        stated = self.stated
        if isinstance(stated, (SampleRange, ReasoningRange)):
            return float(stated.min or (1.0 if self.seen is None else self.seen[0]))
        return float(stated[0] if isinstance(stated, tuple) else stated)

    def build(self) -> Thinking:
        """Return the law over what a request may think; of a list, its first number."""
        stated, low = self.stated, self.low
        high = float(stated.max) if isinstance(stated, (SampleRange, ReasoningRange)) else low
        assert self.G is not None
        assert self.g is not None
        return Thinking(
            G=self.G,
            g=self.g,
            variable="samples" if self.samples is not None else "reasoning_tokens",
            low=low,
            high=high,
            once=self.once,
            seen=self.seen,
            name=self.name,
            source=self.source,
        )


def thinking_of(file: ScenarioFile) -> Thinking | None:
    """Return the lever that a scenario states; of a list, its first number held."""
    return None if file.thinking is None else file.thinking.build()


def stated_at(file: ScenarioFile, law: LossLaw) -> LossLaw:
    """Return the law under which a target is stated: that of a model by its size answers once, as it was published."""
    if file.thinking is None or file.target is None or file.target.way not in ("chinchilla", "model"):
        return law
    thinking = file.thinking.build()
    return thinking.held(law, thinking.once)


def offers(file: ScenarioFile) -> Sequence[tuple[str, ScenarioFile]]:
    """Return a file for each number that is listed, by its label."""
    section = file.thinking
    if section is None or not isinstance(section.stated, tuple):
        return (("", file),)
    if len(section.stated) == 1:
        return (("", held_at(file, section.stated[0])),)
    return [(label_of(section, number), held_at(file, number)) for number in section.stated]


def held_at(file: ScenarioFile, number: float) -> ScenarioFile:
    """Return the file with so many samples or reasoning tokens of every request."""
    assert file.thinking is not None
    way = file.thinking.way
    # What stands for not thinking stays what it was.
    update = {way: int(number)} if way == "samples" else {way: float(number), "baseline": file.thinking.once}
    return file.model_copy(update={"thinking": file.thinking.model_copy(update=update)})


def label_of(section: InlineThinking, number: float) -> str:
    """Return what a choice is called: ``8 samples``."""
    word = "samples" if section.way == "samples" else "tokens of reasoning"
    return f"{format_size(float(number))} {word.removesuffix('s') if number == 1 and word == 'samples' else word}"


def notes_of(file: ScenarioFile) -> list[str]:
    """Return what a plan should say of the constants and of what they multiply."""
    section = file.thinking
    if section is None:
        return []
    found = []
    if section.verdict not in (None, "good"):
        found.append(
            f"the fit of thinking {section.name} calls itself '{section.verdict}': see 'bc-opt fit' on its rows"
        )
    if file.demand.tokens is not None:
        found.append(
            "every sample pays for all tokens of the demand; give requests with input_tokens and output_tokens, and "
            "the prompt is read once"
        )
    return found


def multiplied(file: ScenarioFile, bill: Posynomial) -> Posynomial:
    """Return a bill over the life, or its FLOPs, with what thinking multiplies, in the variable of the law.

    Each sample is written anew, and reads the prompt again unless that is shared; tokens of reasoning are written
    beside the output.
    """
    section = file.thinking
    if section is None:
        return bill
    terms = []
    for term in bill.terms:
        if section.way == "samples" and term.label in _sampled(section):
            terms.append(term.times(1.0, {"samples": 1.0}))
            continue
        terms.append(term)
        if section.way == "reasoning_tokens" and term.label == "decode":
            each = term.times(_requests(file.demand) / file.demand.life().decode_tokens, {"reasoning_tokens": 1.0})
            terms.append(replace(each, label="reasoning"))
    return Posynomial(tuple(terms), bill.unit)


def forecast_of(file: ScenarioFile) -> Forecast:
    """Return demand by month, whose requests think for as many tokens as is stated."""
    section = file.thinking
    if section is None or section.way != "reasoning_tokens":
        return file.demand.forecast()
    return file.demand.model_copy(update={"reasoning_tokens": section.build().low}).forecast()


def served(file: ScenarioFile, forecast: Forecast) -> Forecast:
    """Return what a fleet reads and writes by month: the samples of all requests.

    Requests as such, and the length of a context, stay as in `forecast`.
    """
    section = file.thinking
    if section is None or section.way != "samples":
        return forecast
    k = section.build().low
    read = 1.0 if section.shared_prefill is not False else k
    return replace(
        forecast,
        input_tokens=tuple(read * tokens for tokens in forecast.input_tokens),
        output_tokens=tuple(k * tokens for tokens in forecast.output_tokens),
    )


def _requests(demand: Demand) -> Any:
    """Return the requests of the whole life (numeric, over a block of scenarios)."""
    if demand.by_month:
        return sum(demand.forecast().requests)
    assert demand.requests is not None
    return demand.requests if demand.factor is None else demand.factor * demand.requests


def _sampled(section: InlineThinking) -> tuple[str, ...]:
    return ("prefill", "decode") if section.shared_prefill is False else ("decode",)
