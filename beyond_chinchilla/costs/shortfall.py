"""Why a replica cannot serve a model, and what could."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from beyond_chinchilla.costs.hardware import accelerator, names
from beyond_chinchilla.costs.serving import MILLISECONDS, Replica
from beyond_chinchilla.errors import InputError
from beyond_chinchilla.units import format_number, format_size

# What is tried where no alternatives are given.
REPLICA_SIZES = (1, 2, 4, 8)
# How many ways out a message lists.
_WAYS = 3


def explain_memory(replica: Replica, N: float, candidates: Sequence[Replica] = ()) -> str | None:
    """Say why a replica does not hold a model and one sequence, and which would; None where it does.

    Parameters
    ----------
    replica : Replica
    N : float
        Parameters [parameters].
    candidates : sequence of Replica
        What may be hired instead; without any, other precisions, 1 to 8 chips, and the chips of the catalogue.

    Returns
    -------
    str or None
        One line.

    Examples
    --------
    >>> replica = Replica(chip=accelerator("h100-sxm"), precision="bf16", input_tokens=1000, output_tokens=1000)
    >>> for part in explain_memory(replica, 70e9, [replace(replica, gpus=4)]).split("; "):
    ...     print(part)
    h100-sxm bf16 x 1 has 68.5 GB for a model of 70B (140 GB) and a context of 2,000 tokens (0.589 GB)
    h100-sxm bf16 x 4 would hold it
    """
    if _holds(replica, N):
        return None
    weights, cache = (float(value) for value in replica.memory_used().values({"params": N, "batch": 1.0}))
    works = _ways_out(replica, candidates, lambda other: _holds(other, N), "would hold it")
    return (
        f"{replica.label} has {format_number(replica.memory_available)} GB for a model of {format_size(N)} "
        f"({format_number(weights)} GB) and a context of {replica.held_context:,.0f} tokens "
        f"({format_number(cache)} GB); {works}"
    )


def explain_latency(replica: Replica, N: float, milliseconds: float, candidates: Sequence[Replica] = ()) -> str | None:
    """Say why a replica cannot write a token in time, and which could; None where it can.

    Parameters
    ----------
    replica : Replica
    N : float
        Parameters [parameters].
    milliseconds : float
        Time per output token [ms].
    candidates : sequence of Replica
        As for `explain_memory`. Only those that hold the model are named.

    Returns
    -------
    str or None
        One line, with the least reachable time.

    Examples
    --------
    >>> replica = Replica(chip=accelerator("h100-sxm"), precision="fp8", gpus=2, input_tokens=1000, output_tokens=1000)
    >>> for part in explain_latency(replica, 70e9, 5.0, [replace(replica, gpus=8)]).split("; "):
    ...     print(part)
    70B parameters on h100-sxm fp8 x 2: a token takes 17.5 ms at least, one read of the weights, not 5 ms
    h100-sxm fp8 x 8 would do
    """

    def in_time(other: Replica) -> bool:
        return float(other.fastest_step(N)) * MILLISECONDS <= milliseconds

    if in_time(replica):
        return None
    least = float(replica.fastest_step(N)) * MILLISECONDS
    works = _ways_out(replica, candidates, lambda other: in_time(other) and _holds(other, N), "would do")
    layers = "" if replica.depth is None else " and the time of its layers"
    return (
        f"{format_size(N)} parameters on {replica.label}: a token takes {format_number(least)} ms at least, "
        f"one read of the weights{layers}, not {milliseconds:g} ms; {works}"
    )


def _holds(replica: Replica, N: float) -> bool:
    return float(replica.largest_batch(N)) >= 1.0


def _ways_out(replica: Replica, candidates: Sequence[Replica], works: Callable[[Replica], bool], verb: str) -> str:
    """Name alternatives that work: one with another number of chips, precision or chip alone, else whatever does."""
    ways = [other for other in _alternatives(replica, candidates) if works(other)]
    if not ways:
        tried = "none of the candidates" if candidates else "nothing in the catalogue with up to 8 chips"
        return f"{tried} {verb}: serve a smaller model, or a shorter context"
    ways.sort(key=lambda other: (other.gpus, other.memory_available))
    single = {_changes(replica, other): other for other in reversed(ways)}
    named = [single[change] for change in (("gpus",), ("precision",), ("chip",)) if change in single]
    return " or ".join(other.label for other in named or ways[:_WAYS]) + f" {verb}"


def _changes(one: Replica, other: Replica) -> tuple[str, ...]:
    different = {
        "gpus": one.gpus != other.gpus,
        "precision": one.precision != other.precision,
        "chip": one.chip != other.chip,
    }
    return tuple(name for name, differs in different.items() if differs)


def _alternatives(replica: Replica, candidates: Sequence[Replica]) -> Iterator[Replica]:
    """Go through the candidates, or this chip and those of the catalogue at every precision, under the same request."""
    kinds = [(other.chip, other.precision, other.gpus) for other in candidates]
    if not kinds:
        chips = [replica.chip, *(accelerator(name) for name in names() if name != replica.chip.name)]
        kinds = [(chip, precision, gpus) for chip in chips for precision in chip.peak for gpus in REPLICA_SIZES]
    for chip, precision, gpus in kinds:
        try:
            yield replace(replica, chip=chip, precision=precision, gpus=gpus)
        except InputError:
            # Several chips whose link is not known.
            continue
