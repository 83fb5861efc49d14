"""Faults injected into every writer: ``python tests/faults/inject.py --shots 20`` prints what became of them.

Kills (SIGKILL) and Ctrl-C (SIGINT) at random moments, a full disk, a read-only folder, no folder for caches, and a
reader that closes the pipe. Whatever happens, a file is the old one or the new one, and who is told anything is told it
in a line.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
OLD = b"what stood here before\n"
# A shell that runs tests in the background has them ignore Ctrl-C.
_STARTS = (
    "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
    "from beyond_chinchilla.cli.main import main; main()"
)
_SCENARIO = str(ROOT / "scenarios" / "1B-requests.yaml")
_UNCERTAIN = str(ROOT / "scenarios" / "uncertain-demand.yaml")


@dataclass(frozen=True)
class Writer:
    """A command that writes a file, whose name comes last."""

    args: tuple[str, ...]
    file: str
    same: bool = True
    """Whether two runs write the same bytes."""


WRITERS: dict[str, Writer] = {
    "plan.json": Writer((_SCENARIO, "-o"), "plan.json"),
    "plan.csv": Writer((_SCENARIO, "-o"), "plan.csv"),
    "plan.xlsx": Writer((_SCENARIO, "-o"), "plan.xlsx", same=False),
    "plan.parquet": Writer((_SCENARIO, "-o"), "plan.parquet"),
    "report.html": Writer((_SCENARIO, "-o"), "report.html", same=False),
    "report.md": Writer((_SCENARIO, "-o"), "report.md"),
    "risk.json": Writer((_UNCERTAIN, "--risk", "--samples", "500", "-o"), "risk.json"),
    "plot.svg": Writer((_SCENARIO, "--plot", "cost-curve", "-o"), "plot.svg", same=False),
    "law.json": Writer(("fit", "runs.csv", "--bootstraps", "20", "-o"), "law.json"),
    "frontier.csv": Writer(("frontier", _SCENARIO, "--over", "demand", "-o"), "frontier.csv"),
    "sweep.csv": Writer(
        ("sweep", _SCENARIO, "--over", "demand.requests=100M..10B:20000", "--quiet", "-o"), "sweep.csv"
    ),
    "plan.yaml": Writer(("import", "forecast.csv", "-o"), "plan.yaml"),
}


def prepare(folder: Path) -> None:
    """Write what the commands read beside themselves."""
    rows = ["params,tokens,loss"]
    for size in range(1, 7):
        for ratio in (10, 20, 50, 100):
            N, D = 1e8 * 2**size, 1e8 * 2**size * ratio
            rows.append(f"{N},{D},{1.69 + 406.4 * N**-0.336 + 410.7 * D**-0.283:.6f}")
    (folder / "runs.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    months = [f"2027-{month:02d},{month}000000,700,200" for month in range(1, 13)]
    heads = "Month,Requests,Input tokens,Output tokens"
    (folder / "forecast.csv").write_text("\n".join([heads, *months]) + "\n", encoding="utf-8")


def start(writer: Writer, folder: Path, target: Path, **environment: str) -> subprocess.Popen[str]:
    """Start a command that writes `target`, in a process group of its own."""
    command = [sys.executable, "-c", _STARTS, *writer.args, str(target)]
    return subprocess.Popen(
        command,
        cwd=folder,
        env={**os.environ, "COLUMNS": "100", **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def run(writer: Writer, folder: Path, target: Path, **environment: str) -> tuple[int, str, float]:
    """Run a command to its end; return exit code, stderr and seconds."""
    begun = time.monotonic()
    process = start(writer, folder, target, **environment)
    _, errors = process.communicate(timeout=120)
    return process.returncode, errors, time.monotonic() - begun


def interrupted(writer: Writer, folder: Path, how: signal.Signals, after: float) -> tuple[str, int, str]:
    """Stop a command after so many seconds; return what its file then is, its exit code and stderr."""
    target = folder / writer.file
    target.write_bytes(OLD)
    process = start(writer, folder, target)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(timeout=after)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, how)
    _, errors = process.communicate(timeout=60)
    return state_of(target), process.returncode, errors


def state_of(target: Path, new: bytes | None = None) -> str:
    """Return whether a file is the old one, a new one, or half of one."""
    if not target.exists():
        return "gone"
    found = target.read_bytes()
    if found == OLD:
        return "old"
    if new is not None:
        return "new" if found == new else "half"
    return "new" if _is_whole(target, found) else "half"


def _is_whole(target: Path, found: bytes) -> bool:
    ends = {".xlsx": b"PK\x05\x06", ".parquet": b"PAR1", ".html": b"</html>", ".svg": b"</svg>", ".json": b"}"}
    end = ends.get(target.suffix, b"\n")
    return end in found[-64:] and len(found) > len(OLD)


def lines_of(errors: str) -> list[str]:
    """Return what was told, without notes of success and progress."""
    return [line for line in errors.splitlines() if line.strip() and not line.startswith("wrote ")]


@contextlib.contextmanager
def mounted(size: str, *, read_only: bool = False) -> Iterator[Path | None]:
    """Give a small disk of its own; None where nobody may mount one."""
    disk = Path(tempfile.mkdtemp(prefix="disk"))
    options = f"size={size}" + (",ro" if read_only else "")
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(disk)], capture_output=True, check=False)
    if done.returncode:
        disk.rmdir()
        yield None
        return
    try:
        yield disk
    finally:
        subprocess.run(["umount", str(disk)], check=False)
        disk.rmdir()


def main() -> int:
    """Inject every fault so many times, and print a table of outcomes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shots", type=int, default=10)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    rng = random.Random(options.seed)
    folder = Path(tempfile.mkdtemp(prefix="faults"))
    bad = 0
    print("| writer | kill -9 | Ctrl-C | disk full | read-only | no caches |\n|---|---|---|---|---|---|")
    try:
        prepare(folder)
        for name, writer in WRITERS.items():
            code, errors, seconds = run(writer, folder, folder / writer.file)
            assert code == 0, (name, errors)
            kills = Counter(
                interrupted(writer, folder, signal.SIGKILL, rng.uniform(0.2, 1.05) * seconds)[0]
                for _ in range(options.shots)
            )
            stops: Counter[str] = Counter()
            for _ in range(options.shots):
                state, code, errors = interrupted(writer, folder, signal.SIGINT, rng.uniform(0.2, 1.05) * seconds)
                stops[state if "Traceback" not in errors else "traceback"] += 1
            with mounted("4k") as disk:
                full = "not tried" if disk is None else _told(writer, folder, disk)
            with mounted("1m", read_only=True) as disk:
                closed = "not tried" if disk is None else _told(writer, folder, disk)
            nowhere = {"HOME": "/nonexistent", "XDG_CACHE_HOME": "/proc/none", "MPLCONFIGDIR": "/proc/none"}
            code, errors, _ = run(writer, folder, folder / writer.file, **nowhere)
            caches = "new" if code == 0 and not lines_of(errors) else f"exit {code}: {errors[:60]}"
            cells = [_shown(kills), _shown(stops), full, closed, caches]
            bad += bool({"half", "gone", "traceback"} & (set(kills) | set(stops)))
            print(f"| {name} | {' | '.join(cells)} |", flush=True)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return 1 if bad else 0


def _told(writer: Writer, folder: Path, disk: Path) -> str:
    code, errors, _ = run(writer, folder, disk / writer.file)
    left = "nothing left" if not (disk / writer.file).exists() else "a file left"
    return f"exit {code}, {len(lines_of(errors))} line, {left}"


def _shown(outcomes: Counter[str]) -> str:
    return ", ".join(f"{count} {state}" for state, count in sorted(outcomes.items()))


if __name__ == "__main__":
    sys.exit(main())
