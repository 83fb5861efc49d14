"""What a scenario says of its data: how many different tokens there are, what repeats are worth, what more cost."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Discriminator, Field, Tag

from beyond_chinchilla.errors import InputError
from beyond_chinchilla.laws import catalogue
from beyond_chinchilla.laws.loss_law import LossLaw
from beyond_chinchilla.laws.repetition import Repetition, names, published
from beyond_chinchilla.posynomial import Posynomial
from beyond_chinchilla.scenario.fields import Choice, Name, Quantity, Section, Text
from beyond_chinchilla.scenario.json_file import read_json, verdict_of
from beyond_chinchilla.scenario.kinds import Money
from beyond_chinchilla.scenario.limits import Limits, Setting, TokensLimit
from beyond_chinchilla.units import format_number, format_size

if TYPE_CHECKING:
    from beyond_chinchilla.scenario.schema import ScenarioFile

PUBLISHED = "muennighoff-2023"
EXAMPLE = f"data: {{unique_tokens: 1.5T, repetition: {PUBLISHED}}}"
# What a fit's file says that a scenario takes.
_TAKEN = ("R_D", "R_N", "most_epochs", "name", "source")
# Far below any answer.
_LEAST_TOKENS = 1e-3
# The label of data in a bill, and what a licence of the tokens used comes to.
_DATA = "data"
_ONCE, _WHOLE = "tokens seen once", "all unique tokens"


def _look_up(name: str) -> Repetition:
    return published(name, unique_tokens=1.0)


RepetitionName = Annotated[str, Name("repetition law", _look_up, names)]


def _kind_of(value: Any) -> str:
    return "<inline>" if isinstance(value, (dict, Section)) else "<name>"


class InlineRepetition(Section):
    """How soon repeated tokens and excess parameters lose their worth, in one's own constants.

    Muennighoff et al. 2023, Eqs. 5 and 6; their R_D* is R_D and their R_N* is R_N.
    """

    R_D: Annotated[float, Quantity("", "Further passes over the data after which it is spent.", "15.4")]
    R_N: Annotated[float, Quantity("", "The same for multiples of the parameters that it can fill.", "5.3")]
    most_epochs: Annotated[float, Quantity("", "Most passes of the runs behind them.", "14")] | None = None
    base: Annotated[str, Text("The law that they were fitted with.")] = ""
    name: Annotated[str, Text("What to call the constants.")] = "inline"
    source: Annotated[str, Text("Where they come from.")] = "written in the scenario"
    verdict: Annotated[str, Text("What the fit thinks of itself: good, usable or do not use.")] | None = None


class Data(Section):
    """How much different data there is to train on; beyond it tokens are repeated."""

    unique_tokens: Annotated[float, Quantity("tokens", "Different tokens that there are to train on.", "1.5T")]
    repetition: Annotated[
        Annotated[RepetitionName, Tag("<name>")] | Annotated[InlineRepetition, Tag("<inline>")],
        Discriminator(_kind_of),
        Field(
            description="What repeated tokens are worth: a published law, a file.json that bc-opt fit --repetition "
            "wrote, or {R_D, R_N}."
        ),
    ] = PUBLISHED
    price: (
        Annotated[
            float,
            Money("USD", "Price of a million new tokens: up to where buying them pays.", "5 USD per million tokens"),
        ]
        | None
    ) = None
    licence: (
        Annotated[
            str,
            Choice(
                "What training.data_cost pays for: the unique tokens that are used (if left out), all of them, used or "
                "not, or every token trained on, each time.",
                ("used", "all", "trained"),
            ),
        ]
        | None
    ) = None

    def build(self) -> Repetition:
        """Return the law of repetition over the unique tokens."""
        if isinstance(self.repetition, str):
            return published(self.repetition, unique_tokens=self.unique_tokens)
        stated = self.repetition
        return Repetition(
            unique_tokens=self.unique_tokens,
            R_D=stated.R_D,
            R_N=stated.R_N,
            most_epochs=stated.most_epochs,
            base=stated.base,
            name=stated.name,
            source=stated.source,
        )


# From a file


def read_repetition(path: Path) -> dict[str, Any]:
    """Return R_D, R_N and what else a fit's file says of them, as a scenario writes it.

    Raises
    ------
    InputError
        No such file, too large, not JSON, or without the two constants.
    """
    way_out = "give what 'bc-opt fit RUNS --repetition -o FILE' writes"
    tree = read_json(path, f"repetition file {path.name}", way_out)
    found = tree.get("repetition", tree) if isinstance(tree, Mapping) else None
    if not isinstance(found, Mapping) or not {"R_D", "R_N"} <= set(found):
        raise InputError(f"repetition file {path.name}: has no R_D and R_N; {way_out}")
    taken = {key: found[key] for key in _TAKEN if found.get(key) not in (None, "")}
    taken.setdefault("name", path.stem)
    taken |= verdict_of(tree)
    base = tree.get("base_law")
    if isinstance(base, Mapping) and isinstance(base.get("name"), str):
        taken["base"] = base["name"][:200]
    return taken


# From the section to the problem


def repetition_of(file: ScenarioFile) -> Repetition | None:
    """Return what limited data costs, where the scenario says how much there is."""
    return None if file.data is None else file.data.build()


def limited(section: Data | None, setting: Setting) -> Setting:
    """Return the bill with what its data costs, and what limits on epochs are stated about.

    A licence of all unique tokens is a constant. One of those used, min(D, U), is no posynomial, but the lesser of two:
    of the tokens trained on, where none is seen twice, and of all unique ones; `offers` has both solved.
    """
    if section is None:
        return setting
    cost = None if setting.cost is None else licensed(section, setting.cost)
    return replace(setting, cost=cost, unique_tokens=section.unique_tokens)


def licensed(section: Data | None, bill: Posynomial) -> Posynomial:
    """Return a bill, or its nominal one, that pays for all unique tokens where the licence says so."""
    if section is None or section.licence != "all":
        return bill
    terms = [
        replace(term.times(section.unique_tokens), powers={}) if term.label == _DATA else term for term in bill.terms
    ]
    return Posynomial(tuple(terms), bill.unit)


def offers(file: ScenarioFile) -> Sequence[tuple[str, ScenarioFile]]:
    """Return the two files of which the cheaper pays for the unique tokens that are used; see `limited`."""
    section = file.data
    paid = file.training is not None and file.training.data_cost is not None and file.objective != "flops"
    if section is None or not paid or section.licence not in (None, "used"):
        return (("", file),)
    once = _with_licence(_seen_once(file, section.unique_tokens), section, "trained")
    return [(_ONCE, once), (_WHOLE, _with_licence(file, section, "all"))]


def _seen_once(file: ScenarioFile, unique_tokens: float) -> ScenarioFile:
    """Return the file with as many tokens at most as there are unique ones."""
    limits = Limits() if file.limits is None else file.limits
    tokens = TokensLimit(max=unique_tokens) if limits.tokens is None else limits.tokens
    most = unique_tokens if tokens.max is None else min(tokens.max, unique_tokens)
    tokens = tokens.model_copy(update={"max": most})
    return file.model_copy(update={"limits": limits.model_copy(update={"tokens": tokens})})


def _with_licence(file: ScenarioFile, section: Data, licence: str) -> ScenarioFile:
    return file.model_copy(update={"data": section.model_copy(update={"licence": licence})})


def notes_of(file: ScenarioFile) -> list[str]:
    """Return what a plan should say of the constants."""
    from beyond_chinchilla.scenario.compile import law_of  # which imports the schema, and that this module

    section = file.data
    if section is None:
        return []
    found, repetition, law = [], section.build(), law_of(file.law)
    if repetition.base in catalogue.names() and repetition.base != law.name:
        found.append(
            f"R_D and R_N of {repetition.name} were fitted with law {repetition.base} and its data, not with "
            f"{law.name}: repetition may cost more or less there; fit them with bc-opt fit --repetition"
        )
    if isinstance(section.repetition, InlineRepetition) and section.repetition.verdict not in (None, "good"):
        name, verdict = section.repetition.name, section.repetition.verdict
        found.append(f"the fit of repetition {name} calls itself '{verdict}': see 'bc-opt fit' on its runs")
    return found


# What no section can see alone


def mistakes_of(sections: Mapping[str, Any]) -> list[tuple[tuple[str, ...], str]]:
    """Return what the section needs of others, and a target that no number of passes reaches, by key."""
    section, training, choice = sections["data"], sections["training"], sections["law"]
    if section is None:
        return []
    found: list[tuple[tuple[str, ...], str]] = []
    if section.licence is not None and (training is None or training.data_cost is None):
        found.append((("data", "licence"), "says what training.data_cost pays for; give that, or leave licence out"))
    paid = training is not None and training.data_cost is not None
    if paid and sections["objective"] == "loss" and section.licence in (None, "used"):
        # The lesser of two bills is no one budget.
        found.append((("data",), "needs licence: all or licence: trained; objective loss takes one of them"))
    if section.price is not None and sections["objective"] not in ("cost", None):
        found.append((("data", "price"), f"has no effect with objective {sections['objective']}; leave it out"))
    if sections["start_from"] is not None:
        found.append((("start_from",), "does not go with data; leave one of them out"))
    if choice is not None:
        found += _of_law(section, sections)
    return found


def _of_law(section: Data, sections: Mapping[str, Any]) -> list[tuple[tuple[str, ...], str]]:
    from beyond_chinchilla.scenario.compile import law_of, stated_loss  # which imports the schema, and that this module

    law, target = law_of(sections["law"]), sections["target"]
    if law.power != 1.0 or law.counts != "total":
        message = f"extends L = E + A N^-alpha + B D^-beta in total parameters, which law {law.name} is not"
        return [(("data",), message)]
    # What other laws add to the loss is not known here.
    if target is None or target.suite is not None or any(sections[key] is not None for key in _OTHERS):
        return []
    loss, repetition = float(stated_loss(law, target)), section.build()
    least = repetition.least_loss(law)
    if not law.E < loss <= least:
        return []
    needed = unique_tokens_for(law, repetition, loss)
    message = (
        f"asks for loss {loss:.4f}, and {format_size(section.unique_tokens)} unique tokens reach {least:.4f} at best, "
        f"however often they are repeated; more than {format_number(needed)} can reach it"
    )
    return [(("target", target.way), message)]


_OTHERS = ("shape", "quantisation", "thinking", "experts")


def unique_tokens_for(law: LossLaw, repetition: Repetition, loss: float) -> float:
    """Return the unique tokens without which a loss is out of reach at any size and number of passes.

    >>> from beyond_chinchilla.laws.catalogue import law
    >>> unique = unique_tokens_for(law("muennighoff-2023"), published(PUBLISHED, unique_tokens=1e9), 2.2)
    >>> f"{unique:.4g}"
    '1.666e+10'
    """

    def gap(unique: float) -> float:
        return replace(repetition, unique_tokens=unique).least_loss(law) - loss

    low, high = math.log(_LEAST_TOKENS), math.log(repetition.unique_tokens)
    while gap(math.exp(high)) > 0.0:
        high += 1.0
    for _ in range(100):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if gap(math.exp(middle)) > 0.0 else (low, middle)
    return math.exp(high)
