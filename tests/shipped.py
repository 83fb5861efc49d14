"""The scenarios that come with the repository, each read, compiled and solved once however many tests ask."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

import beyond_chinchilla as bc
from beyond_chinchilla.analyse.disagreement import Opinion, other_laws
from beyond_chinchilla.optimise.problem import Problem

SCENARIOS = sorted((Path(__file__).parents[1] / "scenarios").glob("*.yaml"))
each_scenario = pytest.mark.parametrize("path", SCENARIOS, ids=lambda path: path.stem)


# By month as others are, which stay: each takes seconds whenever it is solved.
_SLOWEST = ("batch-by-month", "chat-on-three-chips")


def slowest_apart(paths: Sequence[Path]) -> list[Any]:
    """Return scenarios as parameters of a test that solves each anew: the slowest run by themselves."""
    return [
        pytest.param(path, id=path.stem, marks=pytest.mark.own_step if path.stem in _SLOWEST else ()) for path in paths
    ]


@functools.cache
def scenario(path: Path) -> bc.Scenario:
    """Return a scenario."""
    return bc.load(path)


@functools.cache
def problem(path: Path) -> Problem:
    """Return what a scenario asks of the solver of params and tokens."""
    return scenario(path).to_problem()


@functools.cache
def plan(path: Path) -> bc.Plan:
    """Return the plan of a scenario."""
    return bc.solve(scenario(path))


@functools.cache
def opinions(path: Path) -> tuple[Opinion, ...]:
    """Return what the other laws say."""
    return tuple(other_laws(problem(path)))
