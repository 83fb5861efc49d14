"""From a file, or a dict, to a checked scenario: every mistake at once, each with its line and a way out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from beyond_chinchilla.errors import InputError, ScenarioError, nearest, printable
from beyond_chinchilla.optimise.limits import FLOORS
from beyond_chinchilla.optimise.problem import Problem
from beyond_chinchilla.scenario.compile import (
    compared_models,
    compared_size,
    compile_problem,
    law_of,
    setting_of,
    target_loss,
)
from beyond_chinchilla.scenario.document import Document, Keys, override, read
from beyond_chinchilla.scenario.fields import Section, describe
from beyond_chinchilla.scenario.law_file import read_law
from beyond_chinchilla.scenario.limits import compile_limits
from beyond_chinchilla.scenario.schema import ScenarioFile

# Discriminators of pydantic unions, which stand in an error's place, but not in the file, after these keys.
_TAGS = {"name", "inline"}
_TAGGED = {"law", "model", "hardware"}


@dataclass(frozen=True)
class Scenario:
    """A checked scenario.

    Attributes
    ----------
    name : str
        The file's ``name``, or its stem.
    file : ScenarioFile
        What it says, numbers in the units of the scenario reference.
    """

    name: str
    file: ScenarioFile

    def to_problem(self) -> Problem:
        """Return what the scenario asks of the solver."""
        return compile_problem(self.file, self.name)

    def compared_models(self) -> list[tuple[str, float, float]]:
        """Return name, total parameters and tokens of the plans to compare."""
        return compared_models(self.file)

    def demand(self) -> tuple[float, str]:
        """Return the demand and its unit, as the scenario states it."""
        if self.file.demand.tokens is not None:
            return self.file.demand.tokens, "tokens"
        assert self.file.demand.requests is not None
        return self.file.demand.requests, "requests"

    def to_dict(self) -> dict[str, Any]:
        """Return the scenario as plain values; ``Scenario.from_dict`` reads it back."""
        tree = {**self.file.model_dump(exclude_none=True), "name": self.name}
        compared = tree.pop("compare")
        return {**tree, "compare": list(compared)} if compared else tree

    @classmethod
    def from_dict(cls, tree: Mapping[str, Any]) -> Scenario:
        """Check a scenario that was never a file.

        Raises
        ------
        ScenarioError
            Every mistake, one line each.

        >>> scenario = Scenario.from_dict({"law": "sardana-2024", "target": {"chinchilla": "13B"},
        ...                                "demand": {"tokens": "2T"}, "objective": "flops"})
        >>> scenario.to_dict()["demand"]
        {'tokens': 2000000000000.0}
        """
        return check(Document(name=printable(str(tree.get("name") or "scenario")), tree=dict(tree)))


def load(path: str | Path, assignments: Iterable[str] = ()) -> Scenario:
    """Read and check a scenario file.

    Parameters
    ----------
    path : str or Path
    assignments : iterable of str
        Overrides such as ``"demand.requests=2B"``, applied before the check.

    Raises
    ------
    ScenarioError
        Every mistake of the file, one line each: ``file:line: key: what is wrong, and what to write``.
    """
    document = read(path)
    override(document, list(assignments))
    return check(document, _read_law_file(document, Path(path).parent))


def _read_law_file(document: Document, folder: Path) -> list[tuple[Keys, str]]:
    """Put the law of a JSON file, named relative to the scenario, in the place of its name; return what is wrong."""
    law = document.tree.get("law")
    if not (isinstance(law, str) and law.endswith(".json")):
        return []
    try:
        document.tree["law"] = read_law(folder / law)
    except InputError as error:
        document.tree["law"] = _PLACEHOLDER["law"]
        return [(("law",), str(error))]
    return []


def check(document: Document, known: Iterable[tuple[Keys, str]] = ()) -> Scenario:
    """Check a document against the schema and across its sections; `known` are mistakes found before.

    Raises
    ------
    ScenarioError
        Every mistake, in the order of the file.
    """
    found = list(known)
    try:
        file: ScenarioFile | None = ScenarioFile.model_validate(document.tree)
    except ValidationError as error:
        file = None
        found += [mistake for part in error.errors() for mistake in _mistakes(part)]
    # A section that is sound by itself still takes part in the checks between sections.
    sections = _sound_sections(document, {keys[0] for keys, _ in found if keys})
    found += _across(document, sections)
    if file is None or found:
        found.sort(key=lambda item: document.line(item[0]) or 0)
        raise ScenarioError([document.mistake(keys, message) for keys, message in found])
    scenario = Scenario(name=file.name or printable(Path(document.name).stem), file=file)
    try:
        scenario.to_problem()
    except InputError as error:
        raise ScenarioError([document.mistake((), line) for line in str(error).splitlines()]) from None
    return scenario


# Stands in for a section that has mistakes, so that the others can still be read.
_PLACEHOLDER: dict[str, Any] = {
    "law": "hoffmann-2022",
    "target": {"loss": 10.0},
    "demand": {"tokens": 1.0},
    "objective": "cost",
    "compare": (),
    **dict.fromkeys(("name", "training", "serving", "limits", "start_from")),
}


def _sound_sections(document: Document, bad: set[Any]) -> dict[str, Any]:
    """Return what the sections without mistakes say; None for the others."""
    tree = {key: document.tree.get(key, _PLACEHOLDER[key]) for key in ScenarioFile.model_fields}
    file = ScenarioFile.model_validate(tree | {key: _PLACEHOLDER[key] for key in bad if key in tree})
    unknown = bad | (set(tree) - set(document.tree) - {"objective"})
    return {key: None if key in unknown else getattr(file, key) for key in tree}


def _across(document: Document, sections: Mapping[str, Any]) -> list[tuple[Keys, str]]:
    """Return the mistakes that no section can see alone."""
    stated = {key for key, value in document.tree.items() if value is not None}
    found: list[tuple[Keys, str]] = []
    demand, objective = sections["demand"], sections["objective"]
    if objective == "loss":
        found += _for_best_loss(stated, sections)
    elif "target" not in stated:
        found.append(((), f"target is missing{_example(('target',))}"))
    if objective in ("cost", "loss"):
        found += [
            ((), f"{key} is missing; objective {objective} needs it (or set objective: flops)")
            for key in ("training", "serving")
            if key not in stated
        ]
        if demand is not None and demand.tokens is not None:
            found.append(
                (
                    ("demand", "tokens"),
                    "goes with objective flops; with cost give requests, input_tokens and output_tokens",
                )
            )
    law, target = sections["law"], sections["target"]
    if law is not None and target is not None:
        try:
            target_loss(law_of(law), target)
        except InputError as error:
            found.append((("target", *target.model_dump(exclude_none=True)), str(error)))
    if sections["limits"] is not None and all(sections[key] for key in {"demand", "training", "serving"} & stated):
        found += _of_limits(sections)
    for index, item in enumerate(sections["compare"] or ()):
        try:
            compared_size(item)
        except InputError as error:
            found.append((("compare", index, "model"), str(error)))
    return found


def _of_limits(sections: Mapping[str, Any]) -> list[tuple[Keys, str]]:
    """Return which limits need a section that is not there, or are not possible under the law."""
    try:
        limits = compile_limits(
            sections["limits"], setting_of(sections["demand"], sections["training"], sections["serving"], [])
        )
    except InputError as error:
        pairs = (line.split(": ", 1) for line in str(error).splitlines())
        return [(("limits", key), message) for key, message in pairs]
    found: list[tuple[Keys, str]] = []
    for limit in limits if sections["law"] is not None else ():
        try:
            limit.ratio(law_of(sections["law"]))
        except InputError as error:
            found.append((("limits", limit.label, limit.side), str(error).split(": ", 1)[1]))
    return found


def _for_best_loss(stated: set[str], sections: Mapping[str, Any]) -> list[tuple[Keys, str]]:
    """Return what is wrong with a scenario that asks for the best loss that money buys."""
    excluded = "does not go with objective loss, which looks for the best one; leave it out"
    found: list[tuple[Keys, str]] = [((key,), excluded) for key in ("target", "start_from") if key in stated]
    limits = sections["limits"]
    if "limits" not in stated or (limits is not None and limits.total_cost is None):
        found.append(((), "objective loss needs limits: {total_cost: {max: 5M USD}}"))
    return found


def _mistakes(error: Any) -> list[tuple[Keys, str]]:
    """Put one pydantic error into our words; a row of hardware may hold several mistakes."""
    places = error["loc"]
    befores = (None, *places)
    keys: Keys = tuple(part for before, part in zip(befores, places, strict=False) if not _is_tag(before, part))
    kind, value = error["type"], error["input"]
    if kind == "value_error":
        return [(keys, line) for line in str(error["ctx"]["error"]).splitlines()]
    if kind == "missing":
        return [(keys[:-1], f"{keys[-1]} is missing{_example(keys)}")]
    if kind == "extra_forbidden" and keys[0] == "limits" and keys[-1] == "min":
        return [(keys, f"a floor on {keys[-2]} has no certified optimum; give max, or a min on {', '.join(FLOORS)}")]
    if kind == "extra_forbidden":
        return [(keys, f"unknown key; {nearest(str(keys[-1]), _known_keys(keys[:-1]))}")]
    if kind in ("tuple_type", "list_type"):
        return [(keys, f"expected a list, got {describe(value)}{_example(keys)}")]
    if kind in ("model_type", "model_attributes_type", "dict_type"):
        return [(keys, f"expected keys below it, got {describe(value)}{_example(keys)}")]
    return [(keys, error["msg"].lower())]


def _is_tag(before: Any, part: Any) -> bool:
    return part in _TAGS and before in _TAGGED


_EXAMPLES = {
    "law": "law: sardana-2024",
    "target": "target: {chinchilla: 30B}",
    "demand": "demand: {requests: 1B, input_tokens: 70, output_tokens: 215}",
    "training": "training: {hardware: h100-sxm, precision: bf16, mfu: 40%}",
    "serving": "serving: {hardware: h100-sxm, precision: fp8, prefill_mfu: 50%, decode_mfu: 5%}",
    "compare": "compare: [{model: llama-3-8b}, {name: ours, params: 8B, tokens: 15T}]",
    "start_from": "start_from: {params: 7B, tokens: 1T}",
    "hardware": "hardware: h100-sxm",
    "precision": "precision: bf16",
    "mfu": "mfu: 40%",
    "prefill_mfu": "prefill_mfu: 50%",
    "decode_mfu": "decode_mfu: 5%",
    "limits": "limits: {params: {max: 40B}}",
    "gpus": "gpus: 4096",
}


def _example(keys: Keys) -> str:
    if len(keys) == 2 and keys[0] == "limits":
        return f"; write it like {keys[1]}: {{max: ...}}"
    return f"; write it like {_EXAMPLES[str(keys[-1])]}" if keys and keys[-1] in _EXAMPLES else ""


def _known_keys(keys: Keys) -> list[str]:
    """Return the keys that may stand at a place of the file."""
    model: Any = ScenarioFile
    for key in keys:
        # The items of a list are all of one kind.
        if isinstance(key, str):
            model = _section_type(model.model_fields[key].annotation)
    return list(model.model_fields)


def _section_type(annotation: Any) -> Any:
    """Return the section among the alternatives of an annotation."""
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return annotation
    for part in getattr(annotation, "__args__", ()):
        found = _section_type(part)
        if found is not None:
            return found
    return None
