"""What a scenario says of experts: how many a layer may have, and under whose laws."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

from pydantic import Discriminator, Field, Tag

from beyond_chinchilla.costs.mixture import Mixture
from beyond_chinchilla.errors import InputError
from beyond_chinchilla.laws.experts import Experts, expert_laws, names
from beyond_chinchilla.laws.loss_law import LossLaw
from beyond_chinchilla.scenario.kinds import Count

if TYPE_CHECKING:
    from beyond_chinchilla.scenario.schema import LawChoice, ScenarioFile

EXAMPLE = "experts: [1, 4, 16]"


def _number_of(value: object) -> str:
    return "<many>" if isinstance(value, (list, tuple)) else "<one>"


_Experts = Annotated[int, Count("Experts of a layer, of which a token meets one; 1 is a dense model.", "8", most=4096)]
ExpertsChoice = Annotated[
    Annotated[_Experts, Tag("<one>")] | Annotated[tuple[_Experts, ...], Tag("<many>")],
    Discriminator(_number_of),
    Field(
        description="Experts of a layer under law ludziejewski-2025, 1 to 32: a number, or several to choose from. "
        "Params are then the active ones."
    ),
]


def counts_of(file: ScenarioFile) -> tuple[int, ...]:
    """Return the numbers of experts to choose from; none where the scenario says nothing of them."""
    if file.experts is None:
        return ()
    return file.experts if isinstance(file.experts, tuple) else (file.experts,)


def experts_of(file: ScenarioFile) -> Experts | None:
    """Return the number of experts with its laws, of several the first; None where none is stated."""
    counts = counts_of(file)
    if not counts:
        return None
    assert isinstance(file.law, str)
    return Experts(laws=expert_laws(file.law), count=counts[0])


def law_of_experts(file: ScenarioFile, law: LossLaw) -> LossLaw:
    """Return the plain law of the scenario's number of experts; the law itself where none is stated."""
    experts = experts_of(file)
    return law if experts is None else experts.law


def total_per_active(file: ScenarioFile) -> float:
    """Return the parameters in memory over those that compute; 1 of a dense model."""
    experts = experts_of(file)
    return 1.0 if experts is None else experts.total_per_active


def mixture_of(file: ScenarioFile) -> Mixture | None:
    """Return what a batch reads of the scenario's experts; None of a dense model."""
    experts = experts_of(file)
    if experts is None or experts.count == 1:
        return None
    return Mixture(
        experts=experts.count, active=experts.laws.active, total_per_active=experts.laws.total_per_active(experts.count)
    )


def offers(file: ScenarioFile) -> Sequence[tuple[str, ScenarioFile]]:
    """Return a file for each number of experts that a scenario may choose, by its name."""
    counts = counts_of(file)
    if len(counts) < 2:
        return (("", file),)
    return [(label(count), file.model_copy(update={"experts": count})) for count in counts]


def label(count: int) -> str:
    """Return what a choice is called.

    >>> label(1), label(8)
    ('1 expert', '8 experts')
    """
    return "1 expert" if count == 1 else f"{count} experts"


def notes_of(file: ScenarioFile) -> list[str]:
    """Return what a plan should say of its experts."""
    note = (
        "params are the active ones of a mixture of experts, and so are limits on them; memory and one read of the "
        "weights are of all its params, without embeddings, which errs on the safe side"
    )
    dense = [key for key in ("data", "thinking") if getattr(file, key) is not None]
    found = [f"the constants of {' and '.join(dense)} come from dense models; for experts nobody has measured them"]
    return [] if mixture_of(file) is None else [note, *(found if dense else [])]


def mistakes(choice: int | tuple[int, ...], law: LawChoice) -> list[str]:
    """Return what is wrong with a choice of experts under a law."""
    if not isinstance(law, str) or law not in names():
        return [f"needs a law that knows experts, not {_named(law)}; write law: {names()[0]}"]
    counts = choice if isinstance(choice, tuple) else (choice,)
    if not counts:
        return [f"an empty list offers nothing to choose from; write {EXAMPLE}"]
    if len(set(counts)) < len(counts):
        return [f"the same number twice among {', '.join(map(str, counts))}; list each once"]
    found = []
    for count in counts:
        try:
            expert_laws(law).law(count)
        except InputError as error:
            found.append(str(error).removeprefix("experts: "))
    return found


def _named(law: LawChoice) -> str:
    return law if isinstance(law, str) else "one of the file's own"
