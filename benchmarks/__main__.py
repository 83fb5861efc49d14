"""Every benchmark in one command: ``python -m benchmarks [--full]`` prints them, and writes benchmarks/RESULTS.md.

Each is a process of its own, in which what is compared runs in turns; ratios are the message, seconds depend on the
machine. The fit needs public training runs (BC_DATA), and says so where they are missing.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import os
import platform
import subprocess
import sys
from pathlib import Path

from beyond_chinchilla.files import write_whole

ROOT = Path(__file__).parents[1]
RESULTS = Path(__file__).parent / "RESULTS.md"
TITLES = {
    "optimum": "One plan, a million times",
    "sweep": "Sweeps",
    "growth": "Cost of a plan as their number grows",
    "fit": "Fits and bootstraps",
}
PACKAGES = ("numpy", "scipy", "cvxpy", "clarabel", "pyarrow", "distributed")


def machine() -> str:
    """Say what it ran on."""
    model = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [
            line.split(":", 1)[1].strip() for line in info.read_text().splitlines() if line.startswith("model name")
        ]
        model = names[0] if names else model
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{model}, {cores} cores, {platform.system()}"


def busy() -> str:
    """Say how busy the machine is, where it tells."""
    if not hasattr(os, "getloadavg"):
        return ""
    load = os.getloadavg()[0]
    return f"Load when it began: {load:.1f}; other work shared the machine." if load > 0.5 else "Nothing else ran."


def versions() -> str:
    """Return the versions of what was compared."""
    found = [f"Python {platform.python_version()}"]
    for name in PACKAGES:
        try:
            found.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            continue
    return ", ".join(found)


def main() -> None:
    """Run the benchmarks and write what they print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--full", action="store_true", help="a sweep of 100 million rows as well")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"some of them alone: {' '.join(TITLES)}")
    given = parser.parse_args()
    unknown = [name for name in given.names if name not in TITLES]
    if unknown:
        parser.error(f"no benchmark '{unknown[0]}'; known: {' '.join(TITLES)}")
    head = [
        "# Results",
        "",
        f"Written by `python -m benchmarks{' --full' if given.full else ''}`. {machine()}. {busy()}",
        "",
        f"{versions()}.",
    ]
    parts = ["\n".join(head)]
    for name in given.names or TITLES:
        more = ["--full"] if given.full and name == "sweep" else []
        done = subprocess.run(
            [sys.executable, "-m", f"benchmarks.{name}", *more], cwd=ROOT, stdout=subprocess.PIPE,
            stderr=None if sys.stderr.isatty() else subprocess.PIPE, text=True,
        )  # fmt: skip
        failed = (done.stderr or "did not end well").strip().splitlines()[-1:]
        printed = done.stdout.rstrip() if done.returncode == 0 else f"not run: {failed[0] if failed else ''}"
        parts.append(f"## {TITLES[name]}\n\n`python -m benchmarks.{name}`\n\n```\n{printed}\n```")
        print(f"{parts[-1]}\n", flush=True)
    if not given.names:
        write_whole(RESULTS, "\n\n".join(parts) + "\n")
        print(f"wrote {RESULTS.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
