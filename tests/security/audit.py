"""The distributions that the program and its tests run on, audited from what is installed: no network is asked.

    python tests/security/audit.py          a table, and exit 1 where anything is amiss
    python tests/security/audit.py --brief  what is amiss, and how much was looked at

What this cannot see is whether a version was found vulnerable or withdrawn since: that takes a service that knows.
``pip-audit`` asks one; where none answers it says "could not be audited" of everything and exits 0 all the same.
"""

from __future__ import annotations

import argparse
import ast
import base64
import functools
import hashlib
import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]
OURS = "beyond-chinchilla"
# Licences under which whoever uses this program owes nothing but to keep a notice.
FREE = re.compile(
    r"(?:MIT(?:-0|-CMU)?|(?:0|[23]-clause )?BSD(?:-[23]-Clause)?|0BSD|Apache(?:[- ]2\.0)?|ISC|PSF-2\.0|Zlib|CC0-1\.0"
    r"|Unlicense|Python Software Foundation|Public Domain)(?: License| Software License)?(?: \(\w+\))?",
    re.IGNORECASE,
)
# Others, with the reason why they are taken all the same.
EXPLAINED = {
    "certifi": "MPL 2.0 binds whoever changes its files; tests and docs alone",
    "pathspec": "MPL 2.0, as above; of mypy alone",
    "hypothesis": "MPL 2.0, as above; tests alone",
    "docutils": "public domain and BSD; one file for Emacs is under the GPL; docs alone",
}
# Imported as the documented interface of a distribution that is declared and that needs them.
SHIPPED_WITH = {"markupsafe": "jinja2", "pydantic-core": "pydantic"}
_OPERATORS = re.compile(r"\s+(?:AND|OR|WITH)\s+|;\s*|,\s*")


@dataclass(frozen=True)
class Row:
    """One distribution as the table shows it."""

    name: str
    version: str
    licence: str
    needed_by: tuple[str, ...]


def canonical(name: str) -> str:
    """Return a name as indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def installed() -> dict[str, metadata.Distribution]:
    """Return every distribution of this environment by its name; the first on the path, where there are two."""
    found: dict[str, metadata.Distribution] = {}
    for each in metadata.distributions():
        found.setdefault(canonical(each.metadata["Name"]), each)
    return found


def declared(*extras: str) -> set[str]:
    """Return what pyproject.toml asks for, with some of its extras."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    texts = [*project["dependencies"], *(text for extra in extras for text in project["optional-dependencies"][extra])]
    return {canonical(Requirement(text).name) for text in texts}


def _requirements(each: metadata.Distribution, extras: Iterable[str] = ()) -> Iterator[Requirement]:
    for text in each.requires or ():
        requirement = Requirement(text)
        if requirement.marker is None or any(requirement.marker.evaluate({"extra": extra}) for extra in ("", *extras)):
            yield requirement


def closure(found: dict[str, metadata.Distribution], names: Iterable[str]) -> dict[str, set[str]]:
    """Return all that some distributions need, themselves among it, each with those that ask for it."""
    needed: dict[str, set[str]] = {name: {OURS} for name in names if name in found}
    waiting: list[tuple[str, frozenset[str]]] = [(name, frozenset()) for name in needed]
    done: set[tuple[str, frozenset[str]]] = set()
    while waiting:
        name, extras = waiting.pop()
        if (name, extras) in done or name not in found:
            continue
        done.add((name, extras))
        for requirement in _requirements(found[name], extras):
            other = canonical(requirement.name)
            if other in found:
                needed.setdefault(other, set()).add(name)
                waiting.append((other, frozenset(requirement.extras)))
    return needed


def licence_of(each: metadata.Distribution) -> str:
    """Return the licence as stated: an expression, or else classifiers, or else the old free text."""
    told = each.metadata
    classifiers = [text.split(" :: ")[-1] for text in told.get_all("Classifier") or () if text.startswith("License ::")]
    return told.get("License-Expression") or "; ".join(classifiers) or (told.get("License") or "").split("\n")[0][:60]


def is_free(licence: str) -> bool:
    """Say whether every part of a licence is on the list; of a choice, too, every one."""
    parts = [part.strip(" ()") + (")" if "(" in part.strip(" ()") else "") for part in _OPERATORS.split(licence)]
    return bool(licence) and all(FREE.fullmatch(part) for part in parts)


def licence_faults(name: str, each: metadata.Distribution) -> list[str]:
    """Return what is wrong with the licence."""
    licence = licence_of(each)
    if is_free(licence) or name in EXPLAINED:
        return []
    return [f"{name}: licence '{licence or 'not stated'}' is not on the list"]


def origin_faults(name: str, each: metadata.Distribution) -> list[str]:
    """Return whether it came from elsewhere than an index: a folder, a repository, an address."""
    url = each.read_text("direct_url.json")
    return (
        [] if url is None else [f"{name}: installed from {json.loads(url).get('url', 'elsewhere')}, not from an index"]
    )


def file_faults(name: str, each: metadata.Distribution) -> tuple[list[str], int]:
    """Return files that are not what was installed, and how many were looked at."""
    faults, looked = [], 0
    if not each.files:
        return [f"{name}: no list of its files (RECORD)"], 0
    for file in each.files:
        if file.hash is None:
            continue
        looked += 1
        try:
            with Path(str(file.locate())).open("rb") as opened:
                digest = hashlib.file_digest(opened, file.hash.mode).digest()
        except OSError:
            faults.append(f"{name}: {file} is not there")
            continue
        if base64.urlsafe_b64encode(digest).rstrip(b"=").decode() != file.hash.value:
            faults.append(f"{name}: {file} was changed since it was installed")
    return faults, looked


def imports_of(folder: Path) -> set[str]:
    """Return the top-level modules that the code of a folder imports, wherever in it."""
    found = set()
    for path in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                found |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                found.add(node.module.split(".")[0])
    return found - set(sys.stdlib_module_names) - {"beyond_chinchilla"}


@functools.cache
def _owners() -> dict[str, list[str]]:
    """Return the distributions that bring each top-level module."""
    return dict(metadata.packages_distributions())


def import_faults(imported: set[str], stated: set[str], optional: set[str]) -> list[str]:
    """Return imports that nobody declared, and declarations that nobody imports."""
    owners = _owners()
    faults, used = [], set()
    for module in sorted(imported):
        names = {canonical(name) for name in owners.get(module, ())}
        names = {SHIPPED_WITH.get(name, name) for name in names}
        used |= names
        if not names:
            faults.append(f"import {module}: not installed, so nobody can say what brings it")
        elif not names & (stated | optional):
            faults.append(
                f"import {module}: brought by {', '.join(sorted(names))}, which pyproject.toml does not declare"
            )
    return [*faults, *(f"{name}: declared in pyproject.toml, and imported nowhere" for name in sorted(stated - used))]


def shipping_faults(found: dict[str, metadata.Distribution]) -> list[str]:
    """Return interfaces of others that those others do not need any more."""
    return [
        f"{part}: {owner} does not need it any more; declare it"
        for part, owner in SHIPPED_WITH.items()
        if part not in {canonical(requirement.name) for requirement in _requirements(found[owner])}
    ]


def consistency_faults() -> list[str]:
    """Return what ``pip check`` finds: a requirement that is missing, or of another version."""
    # What pip itself uses may be deprecated.
    environment = os.environ | {"PYTHONWARNINGS": "ignore"}
    command = [sys.executable, "-m", "pip", "check"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    return [] if done.returncode == 0 else (done.stdout + done.stderr).strip().splitlines()


def main(words: list[str] | None = None) -> int:
    """Print the table and what is amiss; return 1 where anything is."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--brief", action="store_true", help="leave the table out")
    asked = parser.parse_args(words)
    found = installed()
    run = closure(found, declared())
    needed = closure(found, declared("test", "docs", "dask"))
    faults = [*consistency_faults(), *shipping_faults(found)]
    faults += import_faults(imports_of(ROOT / "beyond_chinchilla"), declared(), declared("dask"))
    files, rows = 0, []
    for name in sorted(needed):
        each = found[name]
        more, looked = file_faults(name, each)
        files += looked
        faults += [*licence_faults(name, each), *origin_faults(name, each), *more]
        rows.append(Row(name, each.version, licence_of(each), tuple(sorted(needed[name]))))
    if not asked.brief:
        for row in rows:
            mark = "" if row.name in run else "  (tests and docs)"
            print(f"{row.name:<32} {row.version:<18} {row.licence[:38]:<38} {', '.join(row.needed_by)[:40]}{mark}")
    print(
        f"{len(rows)} distributions, {len(run)} of them to run it; {files:,} installed files are what was installed"
        if not faults
        else "\n".join(f"amiss: {fault}" for fault in faults)
    )
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
