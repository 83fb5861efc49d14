"""The examples in the docstrings of the installed package print what they say."""

from __future__ import annotations

import doctest
import importlib
import pkgutil

import pytest

import beyond_chinchilla

MODULES = sorted(
    module.name
    for module in pkgutil.walk_packages(beyond_chinchilla.__path__, "beyond_chinchilla.")
    if not module.name.endswith("__main__")
)


@pytest.mark.parametrize("name", ["beyond_chinchilla", *MODULES])
def test_examples_print_what_they_say(name: str) -> None:
    failed, _ = doctest.testmod(importlib.import_module(name))
    assert failed == 0


def test_there_are_examples() -> None:
    finder = doctest.DocTestFinder(exclude_empty=True)
    examples = sum(len(test.examples) for name in MODULES for test in finder.find(importlib.import_module(name)))
    assert examples >= 40
