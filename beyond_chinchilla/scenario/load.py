"""From a file, or a dict, to a checked scenario: every mistake at once, each with its line and a way out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from beyond_chinchilla.errors import InputError, ScenarioError, nearest
from beyond_chinchilla.optimise.problem import Problem
from beyond_chinchilla.scenario.compile import compile_problem, law_of, target_loss
from beyond_chinchilla.scenario.document import Document, Keys, override, printable, read
from beyond_chinchilla.scenario.fields import Section, describe
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

    def to_dict(self) -> dict[str, Any]:
        """Return the scenario as plain values; ``Scenario.from_dict`` reads it back."""
        return {**self.file.model_dump(exclude_none=True), "name": self.name}

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
    return check(document)


def check(document: Document) -> Scenario:
    """Check a document against the schema and across its sections.

    Raises
    ------
    ScenarioError
        Every mistake, in the order of the file.
    """
    found: list[tuple[Keys, str]] = []
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
    return Scenario(name=file.name or printable(Path(document.name).stem), file=file)


# Stands in for a section that has mistakes, so that the others can still be read.
_PLACEHOLDER: dict[str, Any] = {
    "law": "hoffmann-2022",
    "target": {"loss": 10.0},
    "demand": {"tokens": 1.0},
    "objective": "cost",
    **dict.fromkeys(("name", "training", "serving")),
}


def _sound_sections(document: Document, bad: set[Any]) -> dict[str, Any]:
    """Return what the sections without mistakes say; None for the others."""
    tree = {key: document.tree.get(key, _PLACEHOLDER[key]) for key in ScenarioFile.model_fields}
    file = ScenarioFile.model_validate(tree | {key: _PLACEHOLDER[key] for key in bad if key in tree})
    unknown = bad | (set(tree) - set(document.tree) - {"objective"})
    return {key: None if key in unknown else getattr(file, key) for key in tree}


def _across(document: Document, sections: Mapping[str, Any]) -> list[tuple[Keys, str]]:
    """Return the mistakes that no section can see alone."""
    found: list[tuple[Keys, str]] = []
    demand, objective = sections["demand"], sections["objective"]
    if objective == "cost":
        found += [
            ((), f"{key} is missing; objective cost needs it (or set objective: flops)")
            for key in ("training", "serving")
            if document.tree.get(key) is None
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
    if kind == "extra_forbidden":
        return [(keys, f"unknown key; {nearest(str(keys[-1]), _known_keys(keys[:-1]))}")]
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
    "hardware": "hardware: h100-sxm",
    "precision": "precision: bf16",
    "mfu": "mfu: 40%",
    "prefill_mfu": "prefill_mfu: 50%",
    "decode_mfu": "decode_mfu: 5%",
}


def _example(keys: Keys) -> str:
    return f"; write it like {_EXAMPLES[str(keys[-1])]}" if keys and keys[-1] in _EXAMPLES else ""


def _known_keys(keys: Keys) -> list[str]:
    """Return the keys that may stand at a place of the file."""
    model: Any = ScenarioFile
    for key in keys:
        model = _section_type(model.model_fields[str(key)].annotation)
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
