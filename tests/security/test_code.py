"""What the package never does: run text as code, unpickle, start a shell, read unbounded XML, leave loopback."""

from __future__ import annotations

import ast
import json
import pickle
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from command_line import refused

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "beyond_chinchilla"
MODULES = sorted(PACKAGE.rglob("*.py"))
# What is run beside it, by hand or by the tests: no pickles and no code out of texts either.
BESIDE = sorted([*(ROOT / "benchmarks").rglob("*.py"), *(ROOT / "docs").rglob("*.py")])
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))

# Built-in functions that make code of text, or stop to ask.
CALLS = {"eval", "exec", "compile", "__import__", "breakpoint", "input"}
# Names that do so wherever they come from, as attributes or imported: os.system, pd.read_pickle, frame.query, sympify.
NAMES = {
    *("system", "popen", "startfile", "execv", "execve", "execvp", "execl", "spawnl", "spawnv", "fork"),
    *("read_pickle", "to_pickle", "unsafe_load", "full_load", "UnsafeLoader", "FullLoader", "Loader", "CLoader"),
    *("mktemp", "sympify", "lambdify", "parse_expr", "literal_eval", "eval", "query", "read_html", "read_hdf"),
    *("from_string", "select_autoescape", "getoutput", "getstatusoutput", "read_sql", "read_clipboard"),
}
HARMLESS = {"platform.system"}
# Modules of code in files, of other processes, of XML, of the network.
IMPORTS: dict[str, set[str]] = {
    **{
        name: set()
        for name in (
            *("pickle", "cPickle", "_pickle", "pickletools", "shelve", "marshal", "dill", "joblib", "cloudpickle"),
            *("ctypes", "cffi", "code", "codeop", "runpy", "imp", "pty", "sympy", "numexpr", "copyreg", "zipimport"),
            *("telnetlib", "ftplib", "smtplib", "poplib", "imaplib", "nntplib", "xmlrpc", "urllib.request", "requests"),
            *("httpx", "aiohttp", "urllib3", "http.client", "socket", "ssl", "asyncio"),
            *("xml.sax", "xml.dom", "xml.parsers", "lxml", "defusedxml", "random"),
        )
    },
    # The browser that prints a PDF; the page that is served; the browser that shows it; parts of a workbook, bounded.
    "subprocess": {"report/pdf.py"},
    "http.server": {"report/html/serve.py"},
    "socketserver": {"report/html/serve.py"},
    "webbrowser": {"cli/explore.py"},
    "xml.etree": {"tables/packages.py"},
    "multiprocessing": {"engines/"},
}
# Words of a call that must be what is said here wherever they stand.
WORDS = {"allow_pickle": "False", "shell": "False", "autoescape": "True", "feature_external_ges": "False"}
# Calls that must say a word.
NEEDED = {"Environment": "autoescape", "yaml.load": "Loader"}
SAFE_LOADERS = {"_loader()", "yaml.SafeLoader", "_LOADER"}


def _imported(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _faults(text: str, name: str = "x.py") -> list[str]:
    """Return what a module does that none may; `name` is its path below the package."""
    tree = ast.parse(text)
    found = []
    for module in _imported(tree):
        found += [
            f"imports {known}"
            for known, allowed in IMPORTS.items()
            if (module == known or module.startswith(f"{known}.")) and not name.startswith(tuple(allowed))
        ]
        found += [f"imports {module}"] if module.rsplit(".", 1)[-1] in NAMES and not _own(module) else []
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr in NAMES and ast.unparse(node) not in HARMLESS:
            found.append(f"uses .{node.attr}")
        if not isinstance(node, ast.Call):
            continue
        called = ast.unparse(node.func)
        words = {word.arg: ast.unparse(word.value) for word in node.keywords}
        if isinstance(node.func, ast.Name) and called in CALLS:
            found.append(f"calls {called}")
        if called == "yaml.load" and words.get("Loader") not in SAFE_LOADERS:
            found.append("loads YAML with objects")
        found += [f"passes {word}" for word, value in WORDS.items() if words.get(word, value) != value]
        found += [f"{called} without {word}" for each, word in NEEDED.items() if called == each and word not in words]
        if called.endswith("Markup") and name != "report/html/page.py":
            found.append("marks text as safe")
    return found


def _own(module: str) -> bool:
    return module.startswith("beyond_chinchilla")


def test_no_module_runs_text_or_unpickles():
    found = {path.relative_to(PACKAGE).as_posix(): path.read_text(encoding="utf-8") for path in MODULES}
    faults = {name: _faults(text, name) for name, text in found.items()}
    assert {name: each for name, each in faults.items() if each} == {}
    assert len(found) > 300


def test_nor_does_what_stands_beside_it():
    """Benchmarks and docs start programs of their own; they unpickle nothing and run no text either."""
    allowed = {"imports subprocess"}
    faults = {str(path.relative_to(ROOT)): set(_faults(path.read_text(encoding="utf-8"))) - allowed for path in BESIDE}
    for path in NOTEBOOKS:
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        text = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
        lines = [line for line in text.splitlines() if not line.startswith(("%", "!"))]
        faults[path.name] = set(_faults("\n".join(lines))) - allowed
    assert {name: each for name, each in faults.items() if each} == {}
    assert len(faults) > 10


def test_what_is_allowed_is_used():
    """An allowance for a module that needs it no more would hide the next one."""
    for module, allowed in IMPORTS.items():
        for name in allowed:
            paths = sorted((PACKAGE / name).glob("*.py")) if name.endswith("/") else [PACKAGE / name]
            found = {each for path in paths for each in _imported(ast.parse(path.read_text(encoding="utf-8")))}
            assert any(each == module or each.startswith(f"{module}.") for each in found), (module, name)


@pytest.mark.parametrize(
    "text",
    [
        *(f"{name}('1')" for name in sorted(CALLS)),
        *(f"import {name}" for name in sorted(IMPORTS)),
        *(f"from {name} import x" for name in sorted(IMPORTS)),
        *(f"import a\na.{name}(x)" for name in sorted(NAMES)),
        *(f"from a import {name}" for name in sorted(NAMES)),
        "import yaml\nyaml.load(x)",
        "import yaml\nyaml.load(x, Loader=yaml.Loader)",
        "import numpy as np\nnp.load(x, allow_pickle=True)",
        "np.load(x, allow_pickle=flag)",
        "run('a', shell=True)",
        "import xml.etree.ElementTree as ET",
        "from jinja2 import Environment\nEnvironment(loader=x)",
        "Environment(autoescape=False)",
        "from markupsafe import Markup\nMarkup(x)",
        "from urllib import request",
    ],
)
def test_each_rule_can_fail(text: str):
    assert _faults(text)


@pytest.mark.parametrize(
    "text",
    [
        "import re\nre.compile('a')",
        "import numpy as np\nnp.load(x, allow_pickle=False)",
        "from jinja2 import Environment\nEnvironment(autoescape=True)",
        "from beyond_chinchilla.scenario import compile",
        "import yaml\nyaml.parse(x, Loader=_LOADER)",
        "import urllib.parse",
        "from http import HTTPStatus",
    ],
)
def test_and_passes_what_is_harmless(text: str):
    assert _faults(text) == []


def test_every_yaml_is_read_by_a_safe_loader():
    from beyond_chinchilla import data
    from beyond_chinchilla.scenario import document

    assert issubclass(data._loader(), (yaml.SafeLoader, yaml.CSafeLoader))
    assert issubclass(document._LOADER, (yaml.SafeLoader, yaml.CSafeLoader))


class _Owned:
    """Touches a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[Path]]:
        return Path.touch, (self.path,)


@pytest.mark.parametrize("command", [("fit",), ("import",), ("hardware", "--prices"), ("race",), ("solve",)])
def test_a_pickle_by_any_name_is_refused_and_runs_nothing(command: tuple[str, ...], tmp_path: Path):
    owned = tmp_path / "owned"
    for ending in ("csv", "tsv", "json", "jsonl", "parquet", "xlsx", "xls", "csv.gz", "yaml", "pkl"):
        path = tmp_path / f"data.{ending}"
        path.write_bytes(pickle.dumps(_Owned(owned)))
        assert refused(*command, str(path))
        assert not owned.exists()
    pickle.loads((tmp_path / "data.pkl").read_bytes())
    assert owned.exists()
