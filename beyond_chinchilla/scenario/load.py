"""From a file, or a dict, to a checked scenario: every mistake at once, each with its line and a way out."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from beyond_chinchilla.errors import InputError, ScenarioError, nearest, printable
from beyond_chinchilla.optimise.limits import FLOORS
from beyond_chinchilla.optimise.problem import Problem
from beyond_chinchilla.scenario.attachments import attach
from beyond_chinchilla.scenario.compile import compared_models, compile_problem
from beyond_chinchilla.scenario.demand import VOLUMES
from beyond_chinchilla.scenario.document import Document, Keys, override, read
from beyond_chinchilla.scenario.examples import example
from beyond_chinchilla.scenario.fields import Section, describe
from beyond_chinchilla.scenario.limits import Limits
from beyond_chinchilla.scenario.numbers import currency_of
from beyond_chinchilla.scenario.rules import between_sections
from beyond_chinchilla.scenario.schema import InlineLaw, ScenarioFile
from beyond_chinchilla.scenario.uncertain_inputs import put_back, take_medians
from beyond_chinchilla.units import SECONDS_PER_HOUR

if TYPE_CHECKING:
    from beyond_chinchilla.costs.api_price import ApiPrice
    from beyond_chinchilla.costs.currency import Currency
    from beyond_chinchilla.costs.discounting import Discounting
    from beyond_chinchilla.costs.energy import Energy
    from beyond_chinchilla.costs.forecast import Forecast
    from beyond_chinchilla.costs.service import Service
    from beyond_chinchilla.optimise.study import Study
    from beyond_chinchilla.scenario.study import Monthly
    from beyond_chinchilla.scenario.uncertainty import UncertainInput, Uncertainty

# Discriminators of pydantic unions, which stand in an error's place, but not in the file.
_TAGS = {"<name>", "<inline>", "<set>", "<one>", "<many>", "<price>", "<by chip>"}


@dataclass(frozen=True)
class Scenario:
    """A checked scenario.

    Attributes
    ----------
    name : str
        The file's ``name``, or its stem.
    file : ScenarioFile
        What it says, numbers in the units of the scenario reference; uncertain ones as their medians.
    uncertain : tuple of UncertainInput
        The distributions that it states, the law's own among them; `uncertainty` is all that is not known for certain.
    """

    name: str
    file: ScenarioFile
    uncertain: tuple[UncertainInput, ...] = ()

    @cached_property
    def uncertainty(self) -> Uncertainty:
        """What is not known for certain, and how to draw it.

        >>> scenario = Scenario.from_dict({"law": "besiroglu-2024", "target": {"chinchilla": "13B"},
        ...                                "demand": {"tokens": {"median": "2T", "p90": "6T"}}, "objective": "flops"})
        >>> [group.name for group in scenario.uncertainty.groups]
        ['demand', 'law']
        """
        from beyond_chinchilla.scenario.uncertain_build import uncertainty_of

        return uncertainty_of(self.file, self.uncertain)

    def to_problem(self) -> Problem:
        """Return what the scenario asks of the solver: of several, the first way to serve, launched at once."""
        first, *others = self.alternatives.values()
        if others:
            return first.to_problem()
        if not self._by_month:
            problem = compile_problem(self.file, self.name)
            return replace(problem, notes=(*problem.notes, *self._doubts)) if self._doubts else problem
        monthly = self.monthly()
        return monthly.problem(monthly.uses[0], 0)

    def to_study(self) -> Study:
        """Return all that the scenario asks of the solver: every way to serve, at every launch."""
        from beyond_chinchilla.optimise.study import Study, joined

        if len(self.alternatives) > 1:
            return joined(self.name, {label: one.to_study() for label, one in self.alternatives.items()})
        if self._by_month:
            return self.monthly().study()
        return Study(name=self.name, problems_at=lambda _: [("", self.to_problem())])

    @cached_property
    def alternatives(self) -> dict[str, Scenario]:
        """The scenarios between which this one leaves the choice, by label, such as numbers of experts.

        Ways to serve by month are not among them. Without a choice it is this scenario itself, with an empty label.
        """
        from beyond_chinchilla.scenario.past import laws as past

        found = past.alternatives(self.file)
        if len(found) == 1:
            return {"": self}
        return {label: replace(self, file=file) for label, file in found}

    def chosen(self, choice: str) -> Scenario:
        """Return the alternative that a plan's choice names: this scenario without its other alternatives."""
        for label, one in self.alternatives.items():
            if choice == label or choice.startswith(f"{label}, "):
                return one
        return next(iter(self.alternatives.values()))

    @property
    def _by_month(self) -> bool:
        return self.file.objective == "cost" and self.file.demand.by_month

    def monthly(self) -> Monthly:
        """Return the scenario month by month, from which forecast, services and training follow.

        Raises
        ------
        InputError
            Its demand is over the life alone, or its objective is not cost.
        """
        if not self._by_month:
            raise InputError(
                f"{self.name}: needs objective cost and demand by month; give demand.requests_per_month and months "
                "(or months beside requests)"
            )
        from beyond_chinchilla.scenario.study import Monthly

        return Monthly(self.file, self.name, self._doubts)

    @property
    def _doubts(self) -> tuple[str, ...]:
        """What a page without risk says of uncertain numbers; without any, nothing is built."""
        several = not isinstance(self.file.law, (str, InlineLaw))
        return self.uncertainty.notes() if self.uncertain or several else ()

    def forecast(self) -> Forecast:
        """Return the demand by month; raises as `monthly` where there is none."""
        return self.file.demand.forecast()

    def services(self, launch_month: int = 0) -> tuple[tuple[str, Service], ...]:
        """Return every way to serve with its label and fleet, for a launch in a month; raises as `monthly`."""
        monthly = self.monthly()
        return tuple((use.label, monthly.service(use, launch_month, [])) for use in monthly.uses)

    def discounting(self) -> Discounting:
        """Return the discount factors' rule; 0% where none is stated."""
        from beyond_chinchilla.costs.discounting import Discounting

        return Discounting() if self.file.discounting is None else self.file.discounting.build()

    def api_price(self) -> ApiPrice | None:
        """Return the price list to buy from instead; None where none is stated, or a model by name."""
        return None if self.file.buy is None else self.file.buy.build()

    def energy(self) -> Energy | None:
        """Return how hours become energy and emissions, where the scenario asks for that."""
        return None if self.file.energy is None else self.file.energy.build()

    def currency(self) -> Currency | None:
        """Return the second currency, where one is stated."""
        return None if self.file.currency is None else self.file.currency.build()

    def training_gpu_hours(self, params: float, tokens: float) -> float:
        """Return the GPU-hours of training a model, failures included.

        Raises
        ------
        InputError
            The scenario has no section on training.
        """
        if self.file.training is None:
            raise InputError(f"{self.name}: needs the section training: its hardware, precision and utilisation")
        from beyond_chinchilla.costs.flops import training_flops
        from beyond_chinchilla.scenario.prices import hire_training

        hired = hire_training(self.file.training, [], price=1.0)
        return training_flops(params, tokens) / (hired.flops_per_second * SECONDS_PER_HOUR)

    def scaled(self, factor: float) -> Scenario:
        """Return the same scenario with `factor` > 0 times the demand."""
        if not (math.isfinite(factor) and factor > 0):
            raise InputError(f"{self.name}: the factor must be above zero and finite, not {factor}")
        uncertain = tuple(
            replace(each, distribution=each.distribution.scaled(factor)) if _is_volume(each) else each
            for each in self.uncertain
        )
        file = self.file.model_copy(update={"demand": self.file.demand.scaled(factor)})
        return replace(self, file=file, uncertain=uncertain)

    def compared_models(self) -> list[tuple[str, float, float]]:
        """Return name, total parameters and tokens of the plans to compare."""
        return compared_models(self.file)

    def demand(self) -> tuple[float, str]:
        """Return the demand and its unit, as the scenario states it; by month, the requests of the whole life."""
        stated = self.file.demand
        factor = 1.0 if stated.factor is None else stated.factor
        if stated.tokens is not None:
            return factor * stated.tokens, "tokens"
        if stated.requests is not None:
            return factor * stated.requests, "requests"
        return sum(stated.forecast().requests), "requests"

    def to_dict(self) -> dict[str, Any]:
        """Return the scenario as plain values, uncertain ones as stated; ``Scenario.from_dict`` reads it back."""
        stated = put_back(self.file.model_dump(exclude_none=True, exclude_unset=True), self.uncertain)
        tree = {**stated, "objective": self.file.objective, "name": self.name}
        compared = tree.pop("compare", ())
        return {**tree, "compare": list(compared)} if compared else tree

    @classmethod
    def from_dict(cls, tree: Mapping[str, Any], *, folder: str | Path = ".", allow_outside: bool = False) -> Scenario:
        """Check a scenario that was never a file; files that it names lie in `folder`, or anywhere if allowed.

        Raises
        ------
        ScenarioError
            Every mistake, one line each.

        Examples
        --------
        >>> scenario = Scenario.from_dict({"law": "sardana-2024", "target": {"chinchilla": "13B"},
        ...                                "demand": {"tokens": "2T"}, "objective": "flops"})
        >>> scenario.to_dict()["demand"]
        {'tokens': 2000000000000.0}
        """
        document = Document(name=printable(str(tree.get("name") or "scenario")), tree=dict(tree))
        return check(document, attach(document, Path(folder), allow_outside=allow_outside))


def load(path: str | Path, assignments: Iterable[str] = (), *, allow_outside: bool = False) -> Scenario:
    """Read and check a scenario file.

    Parameters
    ----------
    path : str or Path
    assignments : iterable of str
        Overrides such as ``"demand.requests=2B"``, applied before the check. A file that one of them names may lie
        anywhere.
    allow_outside : bool
        Whether files that the scenario names may lie outside of its folder.

    Raises
    ------
    ScenarioError
        Every mistake of the file, one line each: ``file:line: key: what is wrong, and what to write``.
    """
    document = read(path)
    override(document, list(assignments))
    return check(document, attach(document, Path(path).parent, allow_outside=allow_outside))


def check(document: Document, known: Iterable[tuple[Keys, str]] = ()) -> Scenario:
    """Check a document against the schema and across its sections; `known` are mistakes found before.

    Raises
    ------
    ScenarioError
        Every mistake, in the order of the file.
    """
    uncertain, found = take_medians(document)
    found = [*known, *found]
    try:
        file: ScenarioFile | None = ScenarioFile.model_validate(document.tree, context=currency_of(document.tree))
    except ValidationError as error:
        file = None
        found += [mistake for part in error.errors() for mistake in _mistakes(part)]
    # A section that is sound by itself still takes part in the checks between sections.
    sections = _sound_sections(document, {keys[0] for keys, _ in found if keys})
    found += between_sections(document, sections)
    if uncertain or not isinstance(document.tree.get("law"), str) or "uncertainty" in document.tree:
        from beyond_chinchilla.scenario.uncertain_build import uncertainty_mistakes  # not for who is certain

        found += uncertainty_mistakes(sections["uncertainty"], uncertain, sections["law"], sections["target"])
    if file is None or found:
        found.sort(key=lambda item: document.line(item[0]) or 0)
        raise ScenarioError([document.mistake(keys, message) for keys, message in found])
    scenario = Scenario(name=file.name or printable(Path(document.name).stem), file=file, uncertain=uncertain)
    try:
        scenario.to_problem()
    except InputError as error:
        raise ScenarioError([_placed(document, line) for line in str(error).splitlines()]) from None
    return scenario


def _is_volume(each: UncertainInput) -> bool:
    """Say whether a number is one of those that `Demand.scaled` scales."""
    return each.keys[0] == "demand" and (each.keys[1] in VOLUMES or each.keys[-1] == "requests")


# How messages of the modules below begin, and which key they are about.
_SUBJECTS: dict[str, Keys] = {
    "fleet: commitment: ": ("serving", "commitment"),
    "fleet: ": ("serving", "fleet"),
    "price path: ": ("serving", "price_path"),
    "forecast: ": ("demand",),
    "efficiency: ": ("serving", "efficiency"),
    "KV cache: ": ("serving", "kv_cache"),
    "no KV cache family": ("serving", "kv_cache"),
    "serving: a context": ("serving", "context"),
    "serving: ": ("serving",),
    "experts: ": ("experts",),
    "shape: ": ("shape",),
    "quantisation inline: ": ("quantisation",),
    "thinking: ": ("thinking",),
    "repetition ": ("data", "repetition"),
    **{f"{prefix}{label}: ": ("limits", label) for prefix in ("", "limits.") for label in Limits.model_fields},
}


def _placed(document: Document, line: str) -> str:
    """Return a mistake of the problem as a whole with the line of the key that it is about."""
    for start, keys in _SUBJECTS.items():
        if line.startswith(start):
            return document.mistake(keys, line.removeprefix(start if start.endswith(": ") else "serving: "))
    return document.mistake((), line)


# Stands in for a section that has mistakes, so that the others can still be read.
_PLACEHOLDER: dict[str, Any] = {
    "law": "hoffmann-2022",
    "target": {"loss": 10.0},
    "demand": {"tokens": 1.0},
    "objective": "cost",
    "compare": (),
    "uncertainty": None,
    **dict.fromkeys(("name", "currency", "discounting", "training", "serving", "prices", "capacity")),
    **dict.fromkeys(("limits", "data", "experts", "shape", "quantisation", "thinking", "start_from", "energy", "buy")),
}


def _sound_sections(document: Document, bad: set[Any]) -> dict[str, Any]:
    """Return what the sections without mistakes say; None for the others."""
    tree = {key: document.tree.get(key, _PLACEHOLDER[key]) for key in ScenarioFile.model_fields}
    sound = tree | {key: _PLACEHOLDER[key] for key in bad if key in tree}
    file = ScenarioFile.model_validate(sound, context=currency_of(document.tree))
    unknown = bad | (set(tree) - set(document.tree) - {"objective"})
    return {key: None if key in unknown else getattr(file, key) for key in tree}


def _mistakes(error: Any) -> list[tuple[Keys, str]]:
    """Put one pydantic error into our words; a row of hardware may hold several mistakes."""
    places = error["loc"]
    keys: Keys = tuple(part for part in places if part not in _TAGS)
    kind, value = error["type"], error["input"]
    if kind == "value_error":
        return [(keys, line) for line in str(error["ctx"]["error"]).splitlines()]
    if kind == "missing":
        return [(keys[:-1], f"{keys[-1]} is missing{example(keys)}")]
    if kind == "extra_forbidden" and keys[0] == "limits" and keys[-1] == "min":
        return [(keys, f"a floor on {keys[-2]} has no certified optimum; give max, or a min on {', '.join(FLOORS)}")]
    if kind == "extra_forbidden":
        return [(keys, f"unknown key; {nearest(str(keys[-1]), _known_keys(keys[:-1]))}")]
    if kind in ("tuple_type", "list_type"):
        return [(keys, f"expected a list, got {describe(value)}{example(keys)}")]
    if kind in ("model_type", "model_attributes_type", "dict_type"):
        return [(keys, f"expected keys below it, got {describe(value)}{example(keys)}")]
    return [(keys, error["msg"].lower())]


def _known_keys(keys: Keys) -> list[str]:
    """Return the keys that may stand at a place of the file."""
    models: list[Any] = [ScenarioFile]
    for key in keys:
        # The items of a list are all of one kind.
        if isinstance(key, str):
            fields = [model.model_fields[key] for model in models if key in model.model_fields]
            models = [section for field in fields for section in _sections_of(field.annotation)]
    return list(dict.fromkeys(key for model in models for key in model.model_fields))


def _sections_of(annotation: Any) -> list[Any]:
    """Return the sections among the alternatives of an annotation."""
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return [annotation]
    return [found for part in getattr(annotation, "__args__", ()) for found in _sections_of(part)]
