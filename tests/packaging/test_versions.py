"""Which versions are supported: what pyproject.toml says, and what `.ci/versions` runs the tests on."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
LOWEST = ROOT / ".ci" / "lowest.txt"


def requirements() -> Iterator[Requirement]:
    """Yield what the package, its extras and its build ask for."""
    project = PYPROJECT["project"]
    for texts in (
        PYPROJECT["build-system"]["requires"],
        project["dependencies"],
        *project["optional-dependencies"].values(),
    ):
        yield from map(Requirement, texts)


def lower_bounds(asked: list[Requirement]) -> dict[str, str]:
    """Return the least version of each package; each must be asked for by a lower bound and nothing else."""
    found: dict[str, str] = {}
    for each in asked:
        (bound,) = each.specifier
        assert bound.operator == ">=", each
        assert found.setdefault(canonicalize_name(each.name), bound.version) == bound.version, each
    return found


def constraints(operator: str) -> dict[str, str]:
    """Return the version of each package that the constraints bound in one way."""
    lines = [line.split("#")[0].strip() for line in LOWEST.read_text(encoding="utf-8").splitlines()]
    bounds = [(each.name, bound) for each in map(Requirement, filter(None, lines)) for bound in each.specifier]
    assert {bound.operator for _, bound in bounds} <= {"==", "<"}
    return {canonicalize_name(name): bound.version for name, bound in bounds if bound.operator == operator}


def test_the_lowest_versions_are_those_that_the_package_asks_for() -> None:
    bounds = lower_bounds(list(requirements()))
    assert constraints("==") == bounds
    assert len(bounds) > 30


def test_only_what_others_ask_for_is_capped() -> None:
    assert not set(constraints("<")) & set(lower_bounds(list(requirements())))


@pytest.mark.parametrize("asked", [["numpy>=1.26,<3"], ["numpy==2.0"], ["numpy>=1.26", "numpy>=2.0"]])
def test_a_cap_and_two_bounds_are_noticed(asked: list[str]) -> None:
    with pytest.raises((AssertionError, ValueError)):
        lower_bounds([Requirement(each) for each in asked])


def test_each_python_that_is_supported_has_its_classifier() -> None:
    supported = SpecifierSet(PYPROJECT["project"]["requires-python"])
    start = "Programming Language :: Python :: 3."
    named = [each.removeprefix(start) for each in PYPROJECT["project"]["classifiers"] if each.startswith(start)]
    assert named == sorted(named, key=int)
    assert named == [str(minor) for minor in range(int(named[0]), int(named[-1]) + 1)]
    assert all(f"3.{minor}" in supported for minor in named)
    assert f"3.{int(named[0]) - 1}" not in supported
