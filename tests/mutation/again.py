"""Do these tests notice what none did? ``python tests/mutation/again.py fit/kaplan.py tests/fit/test_kaplan.py``.

Tries each survivor of a module again, against the tests that are named alone: what to do after writing one.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from harness import KILLED, SURVIVED, afresh, done
from mutants import REPOSITORY, Mutant


def main() -> None:
    """Print what becomes of each survivor."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("module", help="below the package: fit/kaplan.py")
    parser.add_argument("tests", nargs="+", help="files or tests")
    parser.add_argument("--folder", type=Path, default=REPOSITORY / ".mutation", help="of the run that it survived")
    parser.add_argument("--line", type=int, help="of this line alone")
    options = parser.parse_args()
    for row in done(options.folder / "results.jsonl"):
        if row["module"] != options.module or row["outcome"] != "survived":
            continue
        if options.line is not None and row["line"] != options.line:
            continue
        mutant = Mutant(**{name: row[name] for name in ("module", "operator", "occurrence", "line", "definition")})
        if mutant.lines() != (row["before"], row["after"]):
            print(f"line {row['line']}: the module has changed since")
            continue
        outcome = {KILLED: "noticed", SURVIVED: "not noticed"}.get(afresh(mutant, options.tests, 60.0), "timed out")
        print(f"line {row['line']}: {outcome}\n  - {row['before']}\n  + {row['after']}", flush=True)


if __name__ == "__main__":
    main()
