"""Faults injected into every writer: ``python tests/faults/inject.py --shots 3`` prints what became of them.

Kills, Ctrl-C and SIGTERM at random moments and at every change of a file, a full disk, a read-only folder, no folder
for caches or temporary files, output that nobody reads. Whatever happens, a file is the old one or the new one, byte
for byte, nothing else is left behind but by a kill, and who is told anything is told it in a line.

Mounts need root, and moments of processor time Linux; what cannot be injected is not counted.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from writers import BEFOREHAND, PRINTERS, SWEEPS, WRITERS, Writer, prepare

OLD = b"what stood here before\n"
CHILD = str(Path(__file__).with_name("child.py"))
_STOPS = {signal.SIGINT, signal.SIGTERM}
# A command that does not end at all is a fault of its own [s].
_PATIENCE = 600.0
_TICK = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100


@dataclass(frozen=True)
class Shot:
    """What became of one command.

    Attributes
    ----------
    state : str
        Its file: ``old``, ``new``, ``half`` or ``gone``; ``resumed`` if it took a --resume to be the new one.
    code : int
        Exit code; negative if a signal ended it.
    told : tuple of str
        Lines on stderr but for notes of success.
    left : tuple of str
        What stands beside the file that did not before.
    """

    state: str
    code: int
    told: tuple[str, ...]
    left: tuple[str, ...] = ()

    @property
    def traceback(self) -> bool:
        """Whether a traceback was told."""
        return any("Traceback" in line or "Exception ignored" in line for line in self.told)


class Bench:
    """A folder in which commands are run, with the bytes that each of them writes when nothing happens."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        prepare(folder)
        self.run([*BEFOREHAND])
        # What a writer writes by name, and the processor time that it takes.
        self._whole: dict[str, tuple[dict[str, bytes], float]] = {}
        self._number = 0

    def place(self) -> Path:
        """Return a new folder to write to."""
        self._number += 1
        found = self.folder / f"{self._number}"
        found.mkdir()
        return found

    def whole(self, writer: Writer) -> tuple[dict[str, bytes], float]:
        """Return what a command writes, by name, and the processor time that it takes [s]."""
        if writer.file not in self._whole:
            place = self.place()
            before = os.times()
            code, told = self.run([*writer.args, str(place / writer.file)])
            assert code == 0, (writer, told)
            after = os.times()
            spent = after.children_user + after.children_system - before.children_user - before.children_system
            self._whole[writer.file] = _contents(place / writer.file), spent
            shutil.rmtree(place)
        return self._whole[writer.file]

    def run(
        self,
        args: list[str],
        fault: str = "none",
        *,
        stop: tuple[signal.Signals, float] | None = None,
        before: tuple[str, ...] = (),
        stdout: int = subprocess.DEVNULL,
        **environment: str,
    ) -> tuple[int, list[str]]:
        """Run a command, maybe stopped after so much processor time; return exit code and what it told."""
        # A signal that comes while the interpreter itself starts is held back until the program has.
        signal.pthread_sigmask(signal.SIG_BLOCK, _STOPS)
        try:
            process = subprocess.Popen(
                [*before, sys.executable, CHILD, fault, *args],
                cwd=self.folder,
                # Warnings as users have them: stopped at any moment a program leaves files open.
                env=os.environ | {"COLUMNS": "100", "PYTHONDONTWRITEBYTECODE": "1", "PYTHONWARNINGS": ""} | environment,
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=subprocess.PIPE,
                text=True,
                start_new_session=True,
            )
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _STOPS)
        if stop is not None:
            _wait(process, stop[1])
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, stop[0])
        try:
            _, errors = process.communicate(timeout=_PATIENCE)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            raise
        return process.returncode, [line for line in errors.splitlines() if line and not line.startswith("wrote ")]

    def shoot(self, writer: Writer, fault: str = "none", place: Path | None = None, **how: object) -> Shot:
        """Run a command that writes, and say what its file then is."""
        new, _ = self.whole(writer)
        mine = place is None
        place = self.place() if place is None else place
        target = place / writer.file
        with contextlib.suppress(OSError):
            if writer.overwrites:
                target.write_bytes(OLD)
        there = {path.name for path in place.iterdir()} | {writer.file}
        code, told = self.run([*writer.args, str(target)], fault, **how)  # type: ignore[arg-type]
        if writer.file in SWEEPS and mine:
            shot = self._resumed(writer, target, Shot("", code, tuple(told)))
        else:
            shot = Shot(state_of(target, new, writer), code, tuple(told))
        # A sweep that was broken off has its parts to go on with.
        there.add(f"{writer.file}.parts")
        left = tuple(sorted(path.name for path in place.iterdir() if path.name not in there))
        if mine:
            shutil.rmtree(place)
        return replace(shot, left=left)

    def _resumed(self, writer: Writer, target: Path, shot: Shot) -> Shot:
        """Say what a sweep was, and whether it can be gone on with."""
        new, _ = self.whole(writer)
        parts = Path(f"{target}.parts")
        if _contents(target) == new and not parts.exists():
            return replace(shot, state="new")
        # Half would be a file that has its name and not all its rows.
        halves = target.exists() and target.is_file() and _contents(target) != new
        nothing = not target.exists() and not parts.exists()
        code, told = self.run([*writer.args, str(target), "--resume"])
        if code or halves or _contents(target) != new:
            return replace(shot, state="half", told=(*shot.told, *told))
        return replace(shot, state="old" if nothing else "resumed")


def _wait(process: subprocess.Popen[str], seconds: float) -> None:
    """Wait until a process has used so much processor time, or has ended."""
    start = time.monotonic()
    while process.poll() is None:
        try:
            words = Path(f"/proc/{process.pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
            used = (int(words[11]) + int(words[12])) / _TICK
        except OSError:
            # Not on Linux.
            used = time.monotonic() - start
        if used >= seconds:
            return
        time.sleep(0.002)


def _contents(target: Path) -> dict[str, bytes]:
    """Return a file's bytes, or those of the files of a folder."""
    paths = [target] if target.is_file() else sorted(target.glob("*")) if target.is_dir() else []
    return {path.name: path.read_bytes() for path in paths}


def state_of(target: Path, new: dict[str, bytes], writer: Writer) -> str:
    """Return whether a file is the old one, the new one, half of one, or gone."""
    found = _contents(target)
    if not found:
        return "gone" if writer.overwrites else "old"
    if found == {target.name: OLD}:
        return "old"
    if writer.same:
        unfinished = b'"complete": false' in found.get("_sweep.json", b"")
        return "new" if found == new else "old" if unfinished else "half"
    (data,) = found.values()
    return "new" if data.startswith(b"%PDF-") and data.rstrip().endswith(b"%%EOF") else "half"


@contextlib.contextmanager
def mounted(size: str) -> Iterator[Path | None]:
    """Give a small disk of its own; None where nobody may mount one."""
    disk = Path(tempfile.mkdtemp(prefix="disk"))
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(disk)]
    mount = shutil.which("mount")
    if mount is None or subprocess.run(command, capture_output=True, check=False).returncode:
        disk.rmdir()
        yield None
        return
    try:
        yield disk
    finally:
        subprocess.run(["umount", str(disk)], check=False)
        disk.rmdir()


def on_a_full_disk(bench: Bench, writer: Writer, spare: int = 0) -> Shot | None:
    """Write where so many bytes are left; None where no disk can be mounted."""
    with mounted("48m") as disk:
        if disk is None:
            return None
        if writer.overwrites:
            (disk / writer.file).write_bytes(OLD)
        filler = disk / "filler"
        with contextlib.suppress(OSError), filler.open("wb", buffering=0) as file:
            while True:
                file.write(b"\0" * 4096)
        os.truncate(filler, filler.stat().st_size - spare // 4096 * 4096)
        return bench.shoot(writer, place=disk)


def in_a_read_only_folder(bench: Bench, writer: Writer) -> Shot | None:
    """Write where nothing can be written; None where no disk can be mounted."""
    with mounted("1m") as disk:
        if disk is None:
            return None
        if writer.overwrites:
            (disk / writer.file).write_bytes(OLD)
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        return bench.shoot(writer, place=disk)


def _on_a_fuller_disk(bench: Bench, writer: Writer, rng: random.Random) -> Shot | None:
    """Write where there is room for a part of it."""
    return on_a_full_disk(bench, writer, rng.randrange(max(len(data) for data in bench.whole(writer)[0].values())))


_ALL_ELSE_READ_ONLY = 'for each in / /dev/shm; do mount -o remount,ro,bind "$each" || exit 99; done; exec "$@"'
NO_CACHES = {"HOME": "/nonexistent", "XDG_CACHE_HOME": "/proc/none", "MPLCONFIGDIR": "/proc/none", "TMPDIR": "/none"}


def with_all_else_read_only(bench: Bench, writer: Writer) -> Shot | None:
    """Write to a folder that is the only one that can be written, as a container may have it; None without mounts."""
    with mounted("48m") as disk:
        if disk is None or shutil.which("unshare") is None:
            return None
        before = ("unshare", "-m", "sh", "-c", _ALL_ELSE_READ_ONLY, "sh")
        shot = bench.shoot(writer, place=disk, before=before, **NO_CACHES)
        return None if shot.code == 99 else shot


def printed_to_nobody(bench: Bench, args: tuple[str, ...], where: str) -> Shot:
    """Print where nobody reads: to one of `NOBODY`."""
    if where == "closed":
        code, told = bench.run([*args], before=("sh", "-c", 'exec "$@" >&- <&-', "sh"))
    elif where == "a full disk":
        with Path("/dev/full").open("wb") as full:
            code, told = bench.run([*args], stdout=full.fileno())
    else:
        reader, end = os.pipe()
        os.close(reader)
        try:
            code, told = bench.run([*args], stdout=end)
        finally:
            os.close(end)
    return Shot("", code, tuple(told))


@dataclass(frozen=True)
class Fault:
    """A fault of writers.

    Attributes
    ----------
    name : str
    inject : callable
        Returns what became of a writer; None where it cannot be injected here.
    fine : callable
        Whether that is how it must be.
    often : bool
        Whether it differs from shot to shot.
    """

    name: str
    inject: Callable[[Bench, Writer, random.Random], Shot | None]
    fine: Callable[[Shot], bool]
    often: bool = True


def _whole(shot: Shot) -> bool:
    return shot.state in ("old", "new", "resumed") and not shot.traceback


def _cleanly_stopped(shot: Shot) -> bool:
    ends = (0, 130, 143, -signal.SIGINT, -signal.SIGTERM)
    return _whole(shot) and not shot.left and len(shot.told) <= 1 and shot.code in ends


def _refused(shot: Shot) -> bool:
    if shot.code == 0:
        return shot.state == "new" and not shot.left
    return _whole(shot) and shot.code == 2 and len(shot.told) == 1 and not shot.left


def _written(shot: Shot) -> bool:
    # What cannot be printed beside the file is an error still.
    return _whole(shot) and shot.state == "new" and shot.code in (0, 2) and not shot.left


def _undisturbed(shot: Shot) -> bool:
    return shot.state == "new" and shot.code == 0 and not shot.told and not shot.left


def _at_a_moment(which: signal.Signals) -> Callable[[Bench, Writer, random.Random], Shot]:
    return lambda bench, writer, rng: bench.shoot(writer, stop=(which, rng.uniform(0.05, 1.0) * bench.whole(writer)[1]))


def _at_a_step(which: signal.Signals) -> Callable[[Bench, Writer, random.Random], Shot]:
    return lambda bench, writer, rng: bench.shoot(writer, f"step:{rng.randint(1, 4)}:{which.name}")


def _at_a_byte(kind: str) -> Callable[[Bench, Writer, random.Random], Shot]:
    def inject(bench: Bench, writer: Writer, rng: random.Random) -> Shot:
        size = max(len(data) for data in bench.whole(writer)[0].values())
        return bench.shoot(writer, f"{kind}:{rng.randrange(size)}")

    return inject


def _with_closed_ends(bench: Bench, writer: Writer, _: random.Random) -> Shot:
    return bench.shoot(writer, before=("sh", "-c", 'exec "$@" >&- 2>&- <&-', "sh"))


FAULTS = (
    Fault("kill -9 at a random moment", _at_a_moment(signal.SIGKILL), _whole),
    Fault("kill -9 before a file is opened, renamed or removed", _at_a_step(signal.SIGKILL), _whole),
    Fault("killed in the middle of a write", _at_a_byte("byte"), _whole),
    Fault("Ctrl-C at a random moment", _at_a_moment(signal.SIGINT), _cleanly_stopped),
    Fault("Ctrl-C before a file is opened, renamed or removed", _at_a_step(signal.SIGINT), _cleanly_stopped),
    Fault("SIGTERM at a random moment", _at_a_moment(signal.SIGTERM), _cleanly_stopped),
    Fault("SIGTERM before a file is opened, renamed or removed", _at_a_step(signal.SIGTERM), _cleanly_stopped),
    Fault("no file may grow beyond a random size", _at_a_byte("full"), _refused),
    Fault("disk full", lambda bench, writer, _: on_a_full_disk(bench, writer), _refused, often=False),
    Fault("disk full in the middle of a write", _on_a_fuller_disk, _refused, often=False),
    Fault("read-only folder", lambda bench, writer, _: in_a_read_only_folder(bench, writer), _refused, often=False),
    Fault(
        "no folder for caches or temporary files named that can be written",
        lambda bench, writer, _: bench.shoot(writer, **NO_CACHES),
        _undisturbed,
        often=False,
    ),
    Fault(
        "nothing can be written but the output's folder",
        lambda bench, writer, _: with_all_else_read_only(bench, writer),
        _refused,
        often=False,
    ),
    Fault("stdin, stdout and stderr closed", _with_closed_ends, _written, often=False),
)
# Where a result is printed to, and the exit codes that say so.
NOBODY = {"a pipe that nobody reads": (0, 1), "a full disk": (2,), "closed": (0, 2)}


def heard(where: str, shot: Shot) -> bool:
    """Say whether a command that printed to nobody ended as it must."""
    return shot.code in NOBODY[where] and len(shot.told) <= (0 if "pipe" in where else 1) and not shot.traceback


def row(writer: str, fault: str, shots: list[Shot], wrong: int) -> dict[str, object]:
    """Return the row of a record."""
    states = Counter(shot.state for shot in shots)
    return {
        "writer": writer,
        "fault": fault,
        "shots": len(shots),
        **{state: states[state] for state in ("old", "new", "resumed", "half", "gone")},
        "traceback": sum(shot.traceback for shot in shots),
        "lines": max(len(shot.told) for shot in shots),
        "left": sum(bool(shot.left) for shot in shots),
        "exits": dict(sorted(Counter(str(shot.code) for shot in shots).items())),
        "wrong": wrong,
    }


def injected(bench: Bench, names: list[str], faults: list[Fault], shots: int, seed: int) -> Iterator[dict[str, object]]:
    """Inject faults into writers; yield the row of each pair."""
    for name in names:
        for fault in faults:
            # Whatever else is injected, these shots are the same.
            rng = random.Random(f"{seed} {name} {fault.name}")
            made = [fault.inject(bench, WRITERS[name], rng) for _ in range(shots if fault.often else 1)]
            found = [shot for shot in made if shot is not None]
            if found:
                wrong = [shot for shot in found if not fault.fine(shot)]
                for shot in wrong:
                    print(f"WRONG {name}, {fault.name}: {shot}", file=sys.stderr, flush=True)
                yield row(name, fault.name, found, len(wrong))


def unheard(bench: Bench) -> Iterator[dict[str, object]]:
    """Print to nobody; yield the row of each pair."""
    for name, args in PRINTERS.items():
        for where in NOBODY:
            shot = printed_to_nobody(bench, args, where)
            fine = heard(where, shot)
            if not fine:
                print(f"WRONG {name}, {where}: {shot}", file=sys.stderr, flush=True)
            yield row(name, f"stdout: {where}", [shot], int(not fine))


def main() -> int:
    """Inject every fault, and print a row for each writer and fault."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shots", type=int, default=1, help="of each fault that differs from shot to shot")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--writers", nargs="*", default=list(WRITERS), choices=WRITERS, metavar="FILE")
    parser.add_argument("--faults", default="", help="only those whose names hold this")
    parser.add_argument("--record", type=Path, help="put the rows into a JSON file, among those of other writers")
    options = parser.parse_args()
    faults = [fault for fault in FAULTS if options.faults in fault.name]
    folder = Path(tempfile.mkdtemp(prefix="faults"))
    rows = []
    try:
        bench = Bench(folder)
        found = injected(bench, options.writers, faults, options.shots, options.seed)
        for each in itertools.chain(found, () if options.faults else unheard(bench)):
            print(json.dumps(each), flush=True)
            rows.append(each)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    if options.record is not None:
        command = f"python tests/faults/inject.py --shots {options.shots} --seed {options.seed}"
        options.record.parent.mkdir(exist_ok=True)
        made = {(each["writer"], each["fault"]) for each in rows}
        before = json.loads(options.record.read_text(encoding="utf-8"))["rows"] if options.record.exists() else []
        kept = [each for each in before if (each["writer"], each["fault"]) not in made]
        record = {"command": command, "date": time.strftime("%Y-%m-%d", time.gmtime()), "rows": kept + rows}
        options.record.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    wrong = sum(int(str(each["wrong"])) for each in rows)
    print(f"{sum(int(str(each['shots'])) for each in rows)} shots, {wrong} wrong", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
