"""From the sections on laws past Chinchilla to the law, the levers and the data that a problem is made of."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from beyond_chinchilla.laws.lever import Lever
from beyond_chinchilla.laws.loss_law import LossLaw
from beyond_chinchilla.laws.repetition import Repetition
from beyond_chinchilla.scenario.compile import law_of
from beyond_chinchilla.scenario.past import data, experts, quantisation, shape, suite, thinking
from beyond_chinchilla.scenario.schema import ScenarioFile, Target

Alternative = tuple[str, ScenarioFile]


def law_of_file(file: ScenarioFile, stated: LossLaw | None = None) -> LossLaw:
    """Return the plain law that a scenario trains under; of several alternatives, the first one's.

    What training alone decides is in it, such as the number of experts and the precision of training.

    Parameters
    ----------
    file : ScenarioFile
    stated : LossLaw, optional
        A law, or a batch, drawn in the place of the one that the file states.
    """
    law = experts.law_of_experts(file, law_of(file.law) if stated is None else stated)
    return quantisation.trained(file, shape.apart(file, quantisation.counted(file, law)))


def target_law_of(file: ScenarioFile, stated: LossLaw | None = None) -> LossLaw:
    """Return the plain law that a target is stated under, whatever is chosen; `stated` as in `law_of_file`."""
    law = law_of(file.law) if stated is None else stated
    return thinking.stated_at(file, shape.stated_at(file, quantisation.counted(file, law)))


def size_law_of(file: ScenarioFile) -> LossLaw | None:
    """Return the plain law under which the size of a compute-optimal model states a target; None for `law_of_file`."""
    stated = target_law_of(file.model_copy(update={"target": Target.model_construct(chinchilla=1.0)}))
    return None if stated == law_of_file(file) else stated


def notes_of(file: ScenarioFile, serving_precision: str | None = None) -> list[str]:
    """Return what a plan should say of the laws past Chinchilla that it rests on; see `levers_of`."""
    return [
        *suite.notes_of(file.target, target_law_of(file)),
        *experts.notes_of(file),
        *shape.notes_of(file),
        *quantisation.notes_of(file, serving_precision),
        *thinking.notes_of(file),
        *data.notes_of(file),
    ]


def levers_of(file: ScenarioFile, serving_precision: str | None = None) -> tuple[Lever, ...]:
    """Return what laws past Chinchilla add, in the order in which they are applied: those that scale the law first.

    Parameters
    ----------
    file : ScenarioFile
    serving_precision : str, optional
        Of the chips that serve, where they are chosen; the scenario's own one if left out.
    """
    found = (shape.shape_of(file), quantisation.lever(file, serving_precision), thinking.thinking_of(file))
    return tuple(lever for lever in found if lever is not None)


def repetition_of(file: ScenarioFile) -> Repetition | None:
    """Return what limited data costs, where the scenario says how much there is."""
    return data.repetition_of(file)


def alternatives(file: ScenarioFile) -> tuple[Alternative, ...]:
    """Return the scenarios between which a file leaves the choice, each with its label; one without a label if none.

    What can be mixed is no alternative, nor are chips and replicas by month, which `scenario.services` lists.
    """
    found: tuple[Alternative, ...] = (("", file),)
    for offers in _OFFERS:
        found = tuple(
            (", ".join(part for part in (label, more) if part), chosen)
            for label, one in found
            for more, chosen in offers(one)
        )
    return found


# Each returns the files between which one section leaves the choice, with their labels.
_OFFERS: tuple[Callable[[ScenarioFile], Sequence[Alternative]], ...] = (
    experts.offers,
    quantisation.offers,
    thinking.offers,
    data.offers,
)
