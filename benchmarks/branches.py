"""Which lines and branches of laws, costs, optimise and fit do their own tests run? ``python -m benchmarks.branches``.

Needs ``python -m pip install pytest-cov`` beside the test extra, and minutes. Writes benchmarks/tried/coverage.json.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from datetime import date
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
ROOMS = ("laws", "costs", "optimise", "fit")
TESTS = (*ROOMS, "test_doctests.py", "test_posynomial.py", "test_distributions.py", "test_units.py")
# What is read by type checkers alone is never run.
_SETTINGS = "[run]\nbranch = true\n[report]\nexclude_also =\n    if TYPE_CHECKING:\n    \\.\\.\\.$\n    @overload\n"


def main() -> int:
    """Run the tests of the four rooms, and record what they reach."""
    with tempfile.TemporaryDirectory() as folder:
        settings, report = Path(folder) / "settings", Path(folder) / "report.json"
        settings.write_text(_SETTINGS, encoding="utf-8")
        options = ["--cov=beyond_chinchilla", f"--cov-config={settings}", f"--cov-report=json:{report}"]
        tests = [f"tests/{name}" for name in TESTS]
        done = subprocess.run([sys.executable, "-m", "pytest", "-q", *options, *tests], cwd=ROOT, check=False)
        if not report.exists():
            return done.returncode
        files: dict[str, Any] = json.loads(report.read_text(encoding="utf-8"))["files"]
    record = {
        "command": "python -m benchmarks.branches",
        "date": date.today().isoformat(),
        "rooms": {room: _count([files[name]["summary"] for name in files if f"/{room}/" in name]) for room in ROOMS},
    }
    (ROOT / "benchmarks" / "tried" / "coverage.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    return done.returncode


def _count(files: list[dict[str, int]]) -> dict[str, float]:
    lines, branches = (sum(each[key] for each in files) for key in ("num_statements", "num_branches"))
    run, taken = (sum(each[key] for each in files) for key in ("covered_lines", "covered_branches"))
    return {"lines": lines, "branches": branches, "line_share": run / lines, "branch_share": taken / branches}


if __name__ == "__main__":
    sys.exit(main())
