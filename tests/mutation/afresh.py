"""Run pytest with one module as standard input has it: ``afresh.py costs/bill.py -x tests/costs < changed``."""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import sys
from types import CodeType

import pytest
from mutants import PACKAGE


class _Changed(importlib.machinery.SourceFileLoader):
    """Reads one file from elsewhere."""

    text = ""

    def get_code(self, fullname: str) -> CodeType:
        return compile(self.text, self.path, "exec", dont_inherit=True)


class _Finder(importlib.abc.MetaPathFinder):
    def __init__(self, name: str) -> None:
        self.name = name

    def find_spec(self, fullname: str, path: object, target: object = None) -> importlib.machinery.ModuleSpec | None:
        if fullname != self.name:
            return None
        spec = importlib.machinery.PathFinder.find_spec(fullname, path)  # type: ignore[arg-type]
        assert spec is not None
        assert spec.origin is not None
        spec.loader = _Changed(fullname, spec.origin)
        return spec


def main(module: str, *args: str) -> int:
    """Run pytest with a changed module."""
    _Changed.text = sys.stdin.read()
    parts = [PACKAGE.name, *module.removesuffix(".py").split("/")]
    sys.meta_path.insert(0, _Finder(".".join(parts[:-1] if parts[-1] == "__init__" else parts)))
    return int(pytest.main(list(args)))


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
