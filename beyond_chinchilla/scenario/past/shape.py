"""What a scenario says of the model's shape: whose constants tell what width costs, and which shapes are allowed."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Discriminator, Field, Tag, model_validator

from beyond_chinchilla.errors import InputError
from beyond_chinchilla.laws.loss_law import LossLaw
from beyond_chinchilla.laws.shape import ASPECT, Shape, layer_count, names, published
from beyond_chinchilla.posynomial import Posynomial
from beyond_chinchilla.scenario.fields import Name, Quantity, Section, Text

if TYPE_CHECKING:
    from beyond_chinchilla.scenario.compute import Serving
    from beyond_chinchilla.scenario.schema import ScenarioFile

ShapeName = Annotated[str, Name("law of shape", published, names)]

# Chinchilla-70B has 8192 / 80 = 102, Llama-2-70B and Llama-3-70B as well, Llama-2-7B 128.
USUAL_ASPECT = 100.0
_MICROSECONDS = 1e6
_OF_NO_SHAPE = "law {law} was fitted beside a law of shape, without which its losses are too low; give shape: {law}"
EXAMPLE = "shape: {law: bian-2025, aspect: {min: 64, max: 256}}"
# For who knows the shape and only wants its layers timed.
NEEDED = "shape: bian-2025, or of one shape alone shape: {law: bian-2025, aspect: 128}"


class AspectRange(Section):
    """Which aspect ratios, width over layers, are allowed."""

    min: Annotated[float, Quantity("", "Narrowest shape.", "64")] | None = None
    max: Annotated[float, Quantity("", "Widest shape.", "256")] | None = None

    @model_validator(mode="after")
    def ordered(self) -> AspectRange:
        """Refuse a range that bounds nothing, or that holds nothing."""
        if self.min is None and self.max is None:
            raise InputError("bounds nothing; write it like aspect: {min: 64, max: 256}, or aspect: 128")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise InputError(f"min {self.min:g} is above max {self.max:g}; no shape lies between")
        return self


def _kind_of_aspect(value: Any) -> str:
    return "<inline>" if isinstance(value, (dict, Section)) else "<one>"


class InlineShape(Section):
    """What R = width / layers does to the loss: (E + A N^-alpha + B D^-beta) (1 + epsilon R^gamma).

    Give a published law, or epsilon and gamma of one's own.
    """

    law: Annotated[ShapeName | None, Field(description="A published law of shape.")] = None
    epsilon: Annotated[float, Quantity("", "Coefficient of the aspect ratio.", "2.358e-5")] | None = None
    gamma: Annotated[float, Quantity("", "Exponent of the aspect ratio.", "1.256")] | None = None
    aspect: (
        Annotated[
            Annotated[float, Quantity("", "One aspect ratio, width over layers.", "128"), Tag("<one>")]
            | Annotated[AspectRange, Tag("<inline>")],
            Discriminator(_kind_of_aspect),
            Field(description="Which shapes are allowed; those that the law has seen if left out."),
        ]
        | None
    ) = None
    reference: Annotated[
        float,
        Quantity("", "Aspect ratio of the plain law's own models, and of a model that is a target.", "100"),
    ] = USUAL_ASPECT
    fitted_with_law: (
        Annotated[
            bool,
            Field(
                description="Whether the plain law's constants were fitted together with epsilon and gamma, and so "
                "hold for no shape alone; those of bian-2025 alone were, if left out."
            ),
        ]
        | None
    ) = None
    name: Annotated[str, Text("What to call constants of one's own.")] = "inline"
    source: Annotated[str, Text("Where they come from.")] = "written in the scenario"

    @model_validator(mode="after")
    def one_way(self) -> InlineShape:
        """Refuse both ways to give constants, half a way and none, and constants that make no law."""
        own = {key for key in ("epsilon", "gamma") if getattr(self, key) is not None}
        if (self.law is None) == (not own) or len(own) == 1:
            raise InputError(
                f"give either law: bian-2025, or epsilon: 2.358e-5 and gamma: 1.256; write it like {EXAMPLE}"
            )
        if own and (isinstance(self.aspect, AspectRange) and None in (self.aspect.min, self.aspect.max)):
            raise InputError(
                "aspect: constants of one's own need both bounds; write it like aspect: {min: 64, max: 256}"
            )
        if own and self.aspect is None:
            raise InputError("aspect is missing; which shapes were tried? Write it like aspect: {min: 64, max: 256}")
        try:
            _ = self.build()
        except InputError as error:
            raise InputError("\n".join(line.removeprefix("shape: ") for line in str(error).splitlines())) from None
        return self

    def build(self) -> Shape:
        """Return the law of shape over the aspect ratios that are allowed."""
        if isinstance(self.aspect, AspectRange):
            low, high = self.aspect.min, self.aspect.max
        else:
            low = high = self.aspect
        if self.law is not None:
            return published(self.law, low=low, high=high)
        assert self.epsilon is not None
        assert self.gamma is not None
        assert low is not None
        assert high is not None
        return Shape(epsilon=self.epsilon, gamma=self.gamma, low=low, high=high, name=self.name, source=self.source)


def built(choice: str | InlineShape) -> Shape:
    """Return the law of shape of a section."""
    return published(choice) if isinstance(choice, str) else choice.build()


def shape_of(file: ScenarioFile) -> Shape | None:
    """Return the law of shape that a scenario names or writes out; None where it leaves shapes alone."""
    if file.shape is None:
        return None
    found = built(file.shape)
    # What the runs of both covered is the plain law's to say.
    fitted = None if _fitted_together(file) else found.fitted
    return replace(found, fitted=fitted, reference=_reference(file))


def apart(file: ScenarioFile, law: LossLaw) -> LossLaw:
    """Return the law without what the shape of its own models cost them: what a `Shape` multiplies."""
    shape = shape_of(file)
    return law if shape is None or _fitted_together(file) else shape.apart(law, _reference(file))


def stated_at(file: ScenarioFile, law: LossLaw) -> LossLaw:
    """Return the law of models of the reference shape, under which targets are stated."""
    shape = shape_of(file)
    return shape.held(law, _reference(file)) if shape is not None and _fitted_together(file) else law


def depth_of(serving: Serving | None) -> Posynomial | None:
    """Return what the layers take of a decode step [second], in ``params`` and ``aspect``; None where nobody says."""
    if serving is None or serving.layer_time is None:
        return None
    return layer_count().times(serving.layer_time / _MICROSECONDS, unit="second")


def widest(file: ScenarioFile) -> dict[str, float]:
    """Return the shape that answers soonest, by variable: what a replica has until a plan says which it takes."""
    shape = shape_of(file)
    return {} if shape is None else {ASPECT: shape.high}


def notes_of(file: ScenarioFile) -> list[str]:
    """Return what a plan should say of shapes: what nothing prices, and whose models the law is taken to speak of."""
    shape = shape_of(file)
    if shape is None:
        return [_OF_NO_SHAPE.format(law=file.law)] if file.law in names() else []
    found = []
    missing = _unpriced(file)
    if missing and shape.low < shape.high:
        found.append(
            f"nothing prices a deep and narrow model but latency: without {missing} the plan takes the aspect ratio of "
            f"least loss, {shape.low:.4g}; state it, or fix the shape, such as shape: {{law: bian-2025, aspect: 128}}"
        )
    if not _fitted_together(file):
        found.append(
            f"the law is taken to speak of models of aspect ratio {_reference(file):.4g} (shape.reference); what other "
            f"shapes cost is taken from {shape.name}, fitted on other data"
        )
    return found


def _unpriced(file: ScenarioFile) -> str:
    """Return the keys that are missing before the depth of a model costs anything."""
    serving, limits = file.serving, file.limits
    missing = [] if serving is not None and serving.layer_time is not None else ["serving.layer_time"]
    timed = limits is not None and limits.time_per_output_token is not None
    # Where batch and step time are chosen, a slower step is dearer by itself.
    if not timed and not (serving is not None and serving.codesign):
        missing.append("limits.time_per_output_token")
    return " and ".join(missing)


def _fitted_together(file: ScenarioFile) -> bool:
    choice = file.shape
    if isinstance(choice, InlineShape) and choice.fitted_with_law is not None:
        return choice.fitted_with_law
    # A law that has a shape of its own is stated apart from it.
    return file.law in names()


def _reference(file: ScenarioFile) -> float:
    return file.shape.reference if isinstance(file.shape, InlineShape) else USUAL_ASPECT
