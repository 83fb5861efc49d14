"""A scenario's plan with all that was asked for beside it: comparisons, break-even demand, architectures, risk."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from beyond_chinchilla.errors import InputError
from beyond_chinchilla.optimise.solver import solve
from beyond_chinchilla.report import blocks

if TYPE_CHECKING:
    from beyond_chinchilla.analyse.regret_map import RegretMap
    from beyond_chinchilla.analyse.risk.figures import Risk
    from beyond_chinchilla.analyse.sensitivity import Sensitivity
    from beyond_chinchilla.cli.progress import Progress
    from beyond_chinchilla.optimise.plan import Plan
    from beyond_chinchilla.optimise.problem import Problem
    from beyond_chinchilla.report.blocks import Block
    from beyond_chinchilla.report.plots.subject import Subject
    from beyond_chinchilla.scenario.load import Scenario

VOCABULARY = 128_000


@dataclass(frozen=True, kw_only=True)
class Questions:
    """What was asked beside the plan.

    Attributes
    ----------
    verify, break_even, realise, risk : bool
        As the options of those names.
    vocabulary : int
        For `realise`.
    seed : int
        Of the risk run.
    samples : int or None
        Of the risk run; None for as many as suit the scenario.
    aversion : float
        0 for the least mean, 1 for the least CVaR.
    """

    verify: bool = False
    break_even: bool = False
    realise: bool = False
    vocabulary: int = VOCABULARY
    risk: bool = False
    seed: int = 1
    samples: int | None = None
    aversion: float = 0.0


@dataclass
class Answer:
    """A plan and what is shown beside it: parts of the page, and keys of the JSON."""

    scenario: Scenario
    problem: Problem
    plan: Plan
    parts: list[Block] = field(default_factory=list)
    record: dict[str, Any] = field(default_factory=dict)
    risk: Risk | None = None
    sensitivity: Sensitivity | None = None
    regret_map: RegretMap | None = None
    stated: Scenario | None = None

    @property
    def subject(self) -> Subject:
        """What plots and reports are drawn of."""
        from beyond_chinchilla.report.plots.subject import Subject

        return Subject(
            scenario=self.scenario,
            problem=self.problem,
            plan=self.plan,
            risk=self.risk,
            sensitivity=self.sensitivity,
            regret_map=self.regret_map,
            stated=self.stated,
        )


def plan_of(scenario: Scenario, method: str = "auto") -> Answer:
    """Return a scenario's plan with the alternative and the problem whose optimum it is."""
    problem = scenario.to_problem()
    if problem.bill is None and len(scenario.alternatives) == 1:
        return Answer(scenario, problem, solve(problem, method))
    from beyond_chinchilla.analyse.deployment import problem_of

    plan = solve(scenario, method)
    # What follows is asked of what was chosen.
    chosen = scenario.chosen(plan.choice)
    return Answer(chosen, problem_of(chosen, plan), plan, stated=scenario)


def answer(answer: Answer, asked: Questions, progress: Progress, *, whole_page: bool) -> None:
    """Add to a plan what was asked for; of several scenarios a page is one line each, so that serving is left out.

    Raises
    ------
    InputError
        What this scenario cannot be asked.
    """
    if answer.plan.best is not None:
        if whole_page:
            _add_past(answer)
            _add_service(answer)
        _add_comparisons(answer)
        if asked.break_even:
            _add_break_even(answer)
        if asked.realise:
            _add_architectures(answer, asked.vocabulary)
    if asked.risk:
        _add_risk(answer, asked, progress)
    if asked.verify:
        _add_verification(answer)
        if asked.risk:
            _add_verified_risk(answer, asked)


def opinions_of(answer: Answer) -> tuple[Sequence[Any], float]:
    """Return what other laws say, and the Chinchilla-equivalent size that they were asked for [params]."""
    from beyond_chinchilla.analyse.disagreement import equivalent_size, other_laws

    asked = replace(answer.problem, target_loss=answer.plan.target_loss, objective="cost", start_from=None)
    # Constants of thinking and of shape belong to their law's own losses; data and rounding are the same for all.
    speaks = answer.plan.best is not None and not any(lever.variable for lever in asked.levers)
    return (other_laws(asked) if speaks else []), equivalent_size(asked)


def _add_service(answer: Answer) -> None:
    file = answer.scenario.file
    if answer.plan.serving is None:
        from beyond_chinchilla.report.serving import choices

        # Precisions alone, or samples, have a table of their own, with what they do to the loss.
        if answer.problem.experts is not None or any(", " in row.label for row in answer.plan.choices):
            answer.parts += choices(answer.plan)
    if answer.plan.serving is None and not (file.currency or file.energy or file.buy):
        return
    from beyond_chinchilla.report.serving import parts

    found, record = parts(answer.scenario, answer.plan)
    answer.parts += found
    answer.record |= record


def _add_past(answer: Answer) -> None:
    from beyond_chinchilla.report.past.parts import parts

    found, record = parts(answer.scenario, answer.problem, answer.plan)
    answer.parts += found
    answer.record |= record


def _add_comparisons(answer: Answer) -> None:
    models = answer.scenario.compared_models()
    if not models:
        return
    from beyond_chinchilla.analyse.compare import compare

    at = replace(answer.problem, target_loss=answer.plan.target_loss)
    found = [compare(at, name, params=params, tokens=tokens) for name, params, tokens in models]
    answer.parts.append(blocks.comparisons(found))
    answer.record["comparison"] = [item.to_dict() for item in found]


def _add_break_even(answer: Answer) -> None:
    from beyond_chinchilla.analyse import frontier

    problem = answer.problem
    if problem.objective == "loss" or problem.start_from is not None:
        raise InputError(f"{problem.name}: --break-even compares costs at a target; it needs a plain scenario")
    found = frontier.break_even(problem)
    demand, unit = answer.scenario.demand()
    answer.parts.append(blocks.break_even(found, demand, unit))
    answer.record["break_even"] = [
        {"savings_fraction": fraction, "demand": None if factor is None else factor * demand, "unit": unit}
        for fraction, factor in found
    ]


def _add_architectures(answer: Answer, vocabulary: int) -> None:
    from beyond_chinchilla.analyse.realise import realise

    problem, plan = answer.problem, answer.plan
    assert plan.best is not None
    if problem.objective == "loss":
        raise InputError(
            f"{problem.name}: --realise rounds a plan that meets a target; "
            f"use objective: cost and target: {{loss: {plan.best.loss:.4f}}}"
        )
    if problem.start_from is not None:
        raise InputError(f"{problem.name}: --realise proposes new models, but start_from has its architecture already")
    found = realise(problem, plan.best.params, vocabulary=vocabulary)
    answer.parts.append(blocks.realisations(found, plan.one_percent_range))
    answer.record["architectures"] = [item.to_dict() for item in found]


def find_risk(
    answer: Answer, asked: Questions, progress: Progress, parts: Collection[str] = ("risk", "sensitivity", "regret-map")
) -> None:
    """Carry the scenario's uncertain inputs to the decision, and find which of them matter.

    Parameters
    ----------
    answer : Answer
        Given what is found.
    asked : Questions
    progress : Progress
    parts : collection of str
        What to find, as each takes its time.

    Raises
    ------
    InputError
        What `analyse.risk` refuses.
    """
    scenario, plan = answer.scenario, answer.plan
    if "risk" in parts:
        from beyond_chinchilla.analyse.risk.assess import assess
        from beyond_chinchilla.engines import engine
        from beyond_chinchilla.engines.engine import cores

        progress.stage = f"{scenario.name}: drawing what may come"
        # Samples by month are solved one by one, in Python.
        with engine("serial" if plan.serving is None or cores() == 1 else "processes") as pool:
            answer.risk = assess(
                scenario,
                plan,
                samples=asked.samples,
                seed=asked.seed,
                aversion=asked.aversion,
                progress=progress.advance,
                pool=pool,
            )
    if "sensitivity" in parts:
        from beyond_chinchilla.analyse.sensitivity import sensitivity

        progress.stage = f"{scenario.name}: changing one input at a time"
        answer.sensitivity = sensitivity(scenario, plan, seed=asked.seed)
    if "regret-map" in parts:
        from beyond_chinchilla.analyse.regret_map import regret_map

        progress.stage = f"{scenario.name}: planning for one demand, meeting another"
        answer.regret_map = regret_map(scenario, plan)


def _add_risk(answer: Answer, asked: Questions, progress: Progress) -> None:
    from beyond_chinchilla.report import risk as page

    find_risk(answer, asked, progress)
    assert answer.risk is not None
    assert answer.sensitivity is not None
    assert answer.regret_map is not None
    answer.parts += page.parts(answer.risk)
    answer.parts += page.sensitivity_parts(answer.sensitivity)
    answer.parts += page.regret_parts(answer.regret_map)
    # That they count as their medians is no longer so.
    medians = set(answer.scenario.uncertainty.notes())
    warnings = tuple(warning for warning in answer.plan.warnings if warning not in medians)
    answer.plan = replace(answer.plan, warnings=warnings)
    answer.record["risk"] = page.record(answer.risk, sensitivity=answer.sensitivity, regret_map=answer.regret_map)


def _add_verified_risk(answer: Answer, asked: Questions) -> None:
    from beyond_chinchilla.analyse.risk.cvar import verify_risk
    from beyond_chinchilla.report import risk as page

    difference, samples = verify_risk(answer.scenario, answer.plan, seed=asked.seed, aversion=asked.aversion)
    answer.parts.append(page.verification(difference, samples))
    answer.record["risk"]["verification"] = {"difference": difference, "samples": samples}


def _add_verification(answer: Answer) -> None:
    from beyond_chinchilla.optimise.best_loss import verify_loss
    from beyond_chinchilla.optimise.locate import verify

    problem = answer.problem
    if problem.start_from is not None:
        raise InputError(
            f"{problem.name}: --verify compares solvers, but a start_from has one size and nothing to solve"
        )
    found = verify_loss(problem) if problem.objective == "loss" else verify(problem)
    answer.parts.append(blocks.verification(found, found=answer.plan.best is not None))
    answer.record["verification"] = found
