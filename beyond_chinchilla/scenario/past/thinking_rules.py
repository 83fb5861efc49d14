"""What thinking at inference needs of the other sections of a scenario, and what it excludes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from beyond_chinchilla.laws.thinking import WORDS
from beyond_chinchilla.scenario.past.thinking import InlineThinking, ReasoningRange, SampleRange
from beyond_chinchilla.units import format_size

Found = list[tuple[tuple[str, ...], str]]


def mistakes_of(sections: Mapping[str, Any], *, by_month: bool) -> Found:
    """Return what the section needs of others, by key."""
    section, demand, law = sections["thinking"], sections["demand"], sections["law"]
    if section is None:
        return []
    found: Found = []
    if by_month and isinstance(section.stated, (SampleRange, ReasoningRange)):
        steps = ", ".join(format_size(number) for number in _steps(section))
        found.append(
            (
                ("thinking", section.way),
                f"is chosen from a list where demand is by month; write {section.way}: [{steps}]",
            )
        )
    if demand is not None:
        found += _of_demand(section, demand)
    beside = [key for key in ("quantisation", "shape") if sections[key] is not None]
    if sections["data"] is not None and beside and isinstance(section.stated, (SampleRange, ReasoningRange)):
        # One program after the other for each number: minutes.
        found.append(
            (
                ("thinking", section.way),
                f"is not chosen beside data and {' and '.join(beside)}; write {section.way}: 4, or a list of a few",
            )
        )
    if sections["start_from"] is not None:
        found.append((("start_from",), "does not go with thinking; leave one of them out"))
    if law is not None:
        found += _of_law(section, law, sections["target"])
    return found


def _of_demand(section: InlineThinking, demand: Any) -> Found:
    here = ("thinking", section.way)
    if demand.tokens is not None:
        if section.way == "reasoning_tokens":
            return [(here, "adds to each request; give demand.requests, input_tokens and output_tokens")]
        if section.shared_prefill:
            where = ("thinking", "shared_prefill")
            return [
                (where, "needs demand by requests, with input_tokens and output_tokens; all tokens count alike now")
            ]
        return []
    if section.way == "reasoning_tokens" and demand.reasoning_tokens is not None:
        return [(here, "demand.reasoning_tokens is given as well; keep one of them")]
    if demand.output_tokens == 0:
        return [(here, "an answer of no tokens costs nothing to repeat; give demand.output_tokens above zero")]
    return []


def _of_law(section: InlineThinking, choice: Any, target: Any) -> Found:
    from beyond_chinchilla.scenario.compile import law_of  # which imports the schema, and that this module

    law = law_of(choice)
    if law.power != 1.0 or law.counts != "total":
        return [
            (("thinking",), f"extends L = E + A N^-alpha + B D^-beta in total parameters, which law {law.name} is not")
        ]
    if target is None or target.loss is None or target.loss <= law.E:
        return []
    thinking = section.build()
    most = max(section.stated) if isinstance(section.stated, tuple) else thinking.high
    floor = law.E + float(thinking.left(most))
    if target.loss > floor:
        return []
    message = (
        f"{target.loss:g} is at or below {floor:.4g}, what E = {law.E:.4g} and {format_size(most)} "
        f"{WORDS[thinking.variable]} leave of any model; allow more of them, or a higher loss"
    )
    return [(("target", "loss"), message)]


def _steps(section: InlineThinking) -> list[float]:
    """Return doublings over a range, as a list to choose from."""
    thinking = section.build()
    found = [thinking.low]
    while found[-1] * 4.0 <= thinking.high:
        found.append(found[-1] * 4.0)
    return found if found[-1] == thinking.high else [*found, thinking.high]
