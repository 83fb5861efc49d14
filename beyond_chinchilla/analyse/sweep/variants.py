"""The scenarios behind a sweep: one for each choice of words, with numbers that arrays take the place of."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from beyond_chinchilla.analyse.plan_block import takes_arrays
from beyond_chinchilla.analyse.sweep.axes import written
from beyond_chinchilla.analyse.variation import value_at
from beyond_chinchilla.errors import BeyondChinchillaError, InputError, ScenarioError, printable
from beyond_chinchilla.optimise.solver import solve
from beyond_chinchilla.scenario.block import READ, compile_block, takes_array
from beyond_chinchilla.scenario.document import Document, override
from beyond_chinchilla.scenario.field_at import Field
from beyond_chinchilla.scenario.load import Scenario, check
from beyond_chinchilla.scenario.past import laws as past
from beyond_chinchilla.scenario.uncertainty import Draws

# Each is a scenario that is checked and kept.
MOST_VARIANTS = 10_000
# Ends and middles of so many numbers are tried for a scenario that can be checked.
_TRIED = 32


@dataclass(frozen=True, kw_only=True)
class Variant:
    """A scenario for one choice of words.

    Attributes
    ----------
    scenario : Scenario
        With sample values of the numbers that vary.
    slow : str
        Why its rows are solved one by one; "" where arrays do.
    """

    scenario: Scenario
    slow: str

    @cached_property
    def labels(self) -> tuple[str, ...]:
        """The terms of its bill."""
        problem = self.scenario.to_problem()
        served = ("serving",) if problem.bill is not None else ()
        return (*dict.fromkeys((*problem.cost.labels, *served)),)

    @cached_property
    def unit(self) -> str:
        """Of its bill."""
        return self.scenario.to_problem().cost.unit

    def at(self, numbers: Mapping[Field, float]) -> Scenario:
        """Return the scenario with other numbers, checked as a file would be.

        Raises
        ------
        ScenarioError
            They cannot stand there.
        """
        return _stated(self.scenario, [f"{field.dotted}={written(value, field)}" for field, value in numbers.items()])

    def seconds_a_row(self) -> float:
        """Return how long one row takes that is solved by itself; the second one, which is warm."""
        for _ in range(2):
            start = time.perf_counter()
            try:
                solve(_stated(self.scenario, []))
            except BeyondChinchillaError:
                return time.perf_counter() - start
            if time.perf_counter() - start > _PATIENCE:
                break
        return time.perf_counter() - start


# A first row that takes longer need not be repeated to be timed [s].
_PATIENCE = 3.0


def parted(fields: Sequence[Field], scenario: Scenario) -> tuple[tuple[Field, ...], tuple[Field, ...]]:
    """Return the keys that make scenarios of their own, and those whose numbers are arrays.

    Raises
    ------
    InputError
        A key that moves nothing over the life.
    """
    by_month = bool(_slow(scenario))
    own: list[Field] = []
    numbers: list[Field] = []
    for field in fields:
        if not by_month and field.keys[0] not in (*READ, "objective"):
            raise InputError(f"{field.dotted}: moves nothing over the life; it needs demand by month")
        arrays = field.kind is not None and (by_month or takes_array(field.keys))
        (numbers if arrays else own).append(field)
    return tuple(own), tuple(numbers)


def build(
    scenario: Scenario,
    own: Sequence[Field],
    choices: Iterable[Sequence[str]],
    samples: Mapping[Field, Sequence[str]],
    progress: Callable[[int], None] | None = None,
) -> tuple[Variant, ...]:
    """Return a variant for each choice.

    Parameters
    ----------
    scenario : Scenario
    own : sequence of Field
        Keys that make scenarios of their own.
    choices : iterable of sequence of str
        A value for each of them.
    samples : mapping of Field to sequence of str
        A few values of each number that varies.
    progress : callable, optional
        Told how many are built.

    Raises
    ------
    InputError
        A value that the schema refuses, whatever the numbers; two keys that exclude each other.
    """
    found: list[Variant] = []
    for choice in choices:
        words = [f"{field.dotted}={value}" for field, value in zip(own, choice, strict=True)]
        stated = _first_sound(scenario, words, samples)
        for field in (*own, *samples):
            if value_at(stated, field.keys) is None:
                others = " and ".join(each.dotted for each in (*own, *samples) if each.keys[0] == field.keys[0])
                raise InputError(f"{others} exclude each other in a scenario; vary one of them")
        found.append(Variant(scenario=stated, slow=_slow(stated)))
        if progress is not None:
            progress(len(found))
    return tuple(found)


def _first_sound(scenario: Scenario, words: list[str], samples: Mapping[Field, Sequence[str]]) -> Scenario:
    """Return the scenario with the first sample of the numbers that passes its check."""
    first: InputError | None = None
    for numbers in itertools.islice(itertools.product(*samples.values()), _TRIED):
        texts = [f"{field.dotted}={value}" for field, value in zip(samples, numbers, strict=True)]
        try:
            return _stated(scenario, [*words, *texts])
        except InputError as error:
            first = first or error
    assert first is not None
    raise first


def _stated(scenario: Scenario, assignments: list[str]) -> Scenario:
    """Return a scenario with other values, checked; uncertain numbers count as their medians."""
    certain = scenario.file.model_copy(update={"uncertainty": None})
    tree = replace(scenario, file=certain, uncertain=()).to_dict()
    document = Document(name=printable(scenario.name), tree=tree)
    try:
        override(document, assignments)
    except ScenarioError as error:
        raise ScenarioError([line.replace("--set", "--vary", 1) for line in error.mistakes]) from None
    # Nobody wrote these lines with --set.
    document.lines.clear()
    return check(document)


def _slow(scenario: Scenario) -> str:
    """Say why arrays cannot do a scenario; "" where they can."""
    file = scenario.file
    if file.objective == "cost" and file.demand.by_month:
        return "demand by month"
    if file.target is None:
        return "objective loss"
    if file.start_from is not None:
        return "start_from"
    if len(scenario.alternatives) > 1:
        return f"a choice between {', '.join(scenario.alternatives)}"
    levers = [lever for lever in past.levers_of(file) if lever.variable and lever.low < lever.high]
    if levers:
        return f"{' and '.join(lever.variable for lever in levers)} chosen with each model"
    block = compile_block(scenario, Draws(count=1, values={}, law=None))
    return "" if takes_arrays(block) else "limits that need the geometric program"
