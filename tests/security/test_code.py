"""What the package never does: run text as code, unpickle, start a shell, open a socket but on loopback."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

PACKAGE = Path(__file__).parent.parent.parent / "beyond_chinchilla"
MODULES = sorted(PACKAGE.rglob("*.py"))

CALLS = {"eval", "exec", "compile", "__import__", "breakpoint", "input"}
IMPORTS = {
    "pickle",
    "cPickle",
    "shelve",
    "marshal",
    "dill",
    "joblib",
    "cloudpickle",
    "ctypes",
    "telnetlib",
    "ftplib",
    "xmlrpc",
}
# Module and attribute: what runs a program, reads YAML with objects, or takes a pickle for an array.
ATTRIBUTES = {
    ("os", "system"),
    ("os", "popen"),
    ("yaml", "full_load"),
    ("yaml", "unsafe_load"),
    ("pd", "read_pickle"),
}
# Who may start another program: the browser that prints a PDF.
STARTS_PROGRAMS = {"report/pdf.py"}


def _calls(tree: ast.AST) -> Iterator[ast.Call]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.Call))


def _faults(text: str, name: str) -> list[str]:
    tree = ast.parse(text)
    found = []
    for node in ast.walk(tree):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        found += [f"imports {each}" for each in names if each.split(".")[0] in IMPORTS]
        found += [
            "imports subprocess" for each in names if each.split(".")[0] == "subprocess" and name not in STARTS_PROGRAMS
        ]
        dotted = isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)
        if dotted and (node.value.id, node.attr) in ATTRIBUTES:
            found.append(f"uses {node.value.id}.{node.attr}")
    for call in _calls(tree):
        if isinstance(call.func, ast.Name) and call.func.id in CALLS:
            found.append(f"calls {call.func.id}")
        if ast.unparse(call.func) == "yaml.load" and not {"_loader()", "yaml.SafeLoader"} & {
            ast.unparse(word.value) for word in call.keywords
        }:
            found.append("uses yaml.load")
        for keyword in call.keywords:
            if keyword.arg in ("allow_pickle", "shell") and not (
                isinstance(keyword.value, ast.Constant) and keyword.value.value is False
            ):
                found.append(f"passes {keyword.arg}")
    return found


def test_no_module_runs_text_or_unpickles():
    found = {str(path.relative_to(PACKAGE)): path.read_text(encoding="utf-8") for path in MODULES}
    faults = {name: _faults(text, name) for name, text in found.items()}
    assert {name: each for name, each in faults.items() if each} == {}
    assert len(found) > 300


@pytest.mark.parametrize(
    "text",
    [
        "eval('1')",
        "import pickle",
        "from pickle import loads",
        "import os\nos.system('true')",
        "import yaml\nyaml.load(x)",
        "import numpy as np\nnp.load(x, allow_pickle=True)",
        "import subprocess",
    ],
)
def test_the_check_can_fail(text: str):
    assert _faults(text, "x.py")


def test_the_packages_own_tables_are_read_by_a_safe_loader():
    from beyond_chinchilla import data

    assert issubclass(data._loader(), (yaml.SafeLoader, yaml.CSafeLoader))
