"""Look for what breaks a reader, guided by which lines it ran: ``python tests/fuzz/guided.py scenario --seconds 600``.

Readers are those of `entries.py`: scenario, units, law, suite, runs, book, text-book, prices, trace and command. Needs
atheris (``pip install atheris``), which the package's tests do without. What breaks a reader is written to
``tests/fuzz/seeds/READER`` under a name that begins with ``crash-``, and is from then on part of ``test_fuzz.py``.
``--merge`` keeps the inputs found that reach new lines there, up to two kilobytes each.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import entries

HERE = Path(__file__).parent
LONGEST = 20_000
"""Bytes of an input: longer ones read the same lines more slowly."""
MOST_MEMORY_MB = 1024


def main() -> int:
    """Run one reader for as long as was asked, in a process of its own; print and record what was found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("reader", choices=sorted(entries.ENTRIES))
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--merge", action="store_true", help="keep inputs that reach new lines in tests/fuzz/seeds")
    parser.add_argument("--record", type=Path, help="JSON file to which the counts are added")
    options = parser.parse_args()
    if importlib.util.find_spec("atheris") is None:
        print(
            "guided.py needs atheris: pip install atheris (wheels for CPython 3.11 to 3.13 on Linux)", file=sys.stderr
        )
        return 2
    kept = HERE / "seeds" / options.reader
    kept.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="guided") as name:
        folder = Path(name)
        found, begun = folder / "found", folder / "begun"
        for each in (found, begun):
            each.mkdir()
        for number, data in enumerate(entries.seeds(options.reader)):
            (begun / f"{number:03d}").write_bytes(data[:LONGEST])
        (folder / "words").write_text("\n".join(map(_quoted, entries.words(options.reader))), encoding="utf-8")
        flags = [
            *(f"-max_total_time={options.seconds}", f"-seed={options.seed}", f"-dict={folder / 'words'}"),
            *(f"-max_len={LONGEST}", "-timeout=60", f"-rss_limit_mb={MOST_MEMORY_MB}", "-print_final_stats=1"),
            f"-artifact_prefix={kept}{os.sep}",
        ]
        said = _child(options.reader, [*flags, str(found), str(begun)])
        if options.merge:
            _child(options.reader, ["-merge=1", "-max_len=2000", str(kept), str(found), str(begun)])
    executions = int(_last(r"stat::number_of_executed_units: (\d+)", said) or _last(r"#(\d+)\t", said) or 0)
    covered = int(_last(r"cov: (\d+)", said) or 0)
    peak = int(_last(r"stat::peak_rss_mb: +(\d+)", said) or 0)
    crashes = sorted({Path(path).name for path in re.findall(r"Test unit written to (\S+)", said)})
    print(f"{options.reader}: {executions:,} executions, {covered:,} edges, {len(crashes)} failures, peak {peak} MB")
    if crashes:
        print(said[-4000:])
    if options.record is not None:
        from fuzz import note

        command = f"python tests/fuzz/guided.py {options.reader} --seconds {options.seconds} --seed {options.seed}"
        counts = {"executions": executions, "edges": covered, "failures": crashes, "peak_mb": peak}
        note(options.record, "guided", {"command": command, "reader": options.reader, **counts})
    return 1 if crashes else 0


def _child(reader: str, flags: list[str]) -> str:
    """Run the fuzzer, which ends its process, and return what it said."""
    code = "import sys; import guided; guided.look(sys.argv[1], sys.argv[2:])"
    ran = subprocess.run(
        [sys.executable, "-c", code, reader, *flags],
        cwd=HERE,
        env={**os.environ, "PYTHONWARNINGS": "error", "PYTHONPATH": str(HERE)},
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    return ran.stdout + ran.stderr


def look(reader: str, flags: list[str]) -> None:
    """Give a reader inputs until the time is up; never returns."""
    import atheris

    atheris.enabled_hooks.add("str")
    with atheris.instrument_imports(include=["beyond_chinchilla"]):
        for data in entries.seeds(reader):
            # Imports what it needs, so that it is watched.
            entries.read(reader, data)
    atheris.Setup([sys.argv[0], *flags], lambda data: entries.read(reader, data))
    atheris.Fuzz()


def _quoted(word: str) -> str:
    return '"' + "".join(f"\\x{byte:02x}" for byte in word.encode()) + '"'


def _last(pattern: str, text: str) -> str | None:
    found = re.findall(pattern, text)
    return found[-1] if found else None


if __name__ == "__main__":
    sys.exit(main())
