"""Whatever happens to a command: its file is the old one or the new one, and it says one line at most."""

from __future__ import annotations

import json
import os
import random
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from command_line import rest_of_terminal

pytest.importorskip("resource", reason="limits and signals of POSIX")

from inject import (
    CHILD,
    FAULTS,
    NO_CACHES,
    NOBODY,
    Bench,
    Fault,
    Shot,
    heard,
    on_a_full_disk,
    printed_to_nobody,
    state_of,
)
from writers import PRINTERS, SWEEPS, WRITERS, Writer

from benchmarks.faults_table import table

SCENARIO = str(Path(__file__).parents[2] / "scenarios" / "1B-requests.yaml")


def inject(bench: Bench, fault: Fault, writer: Writer, seed: int = 1) -> None:
    """Inject a fault; it must end as it should."""
    shot = fault.inject(bench, writer, random.Random(f"{seed} {fault.name} {writer.file}"))
    if shot is None:
        pytest.skip("no disk can be mounted here: that needs root and Linux")
    assert fault.fine(shot), shot


# The command that writes soonest.
@pytest.mark.own_step
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_a_fault(bench: Bench, fault: Fault):
    inject(bench, fault, WRITERS["new.yaml"])


@pytest.mark.parametrize(("step", "which"), [(1, "SIGKILL"), (2, "SIGKILL"), (2, "SIGINT"), (3, "SIGINT")])
def test_every_step_of_a_write_may_be_the_last(bench: Bench, step: int, which: str):
    shot = bench.shoot(WRITERS["schema.json"], f"step:{step}:{which}")
    assert (shot.state, shot.traceback) == ("new" if step == 3 else "old", False), shot
    if which == "SIGINT":
        assert (shot.code, shot.told, shot.left) == (130, ("interrupted",), ())


CARELESS = Writer(("-c", "import pathlib; pathlib.Path(sys.argv[1]).write_bytes(b'new' * 100_000)"), "careless.txt")


@pytest.mark.parametrize("fault", ["byte:5000", "full:5000"])
def test_a_careless_writer_is_caught(bench: Bench, fault: str):
    assert bench.shoot(CARELESS).state == "new"
    shot = bench.shoot(CARELESS, fault)
    assert shot.state == "half"
    assert not any(each.fine(shot) for each in FAULTS)


def test_a_careless_writer_is_caught_on_a_full_disk(bench: Bench):
    shot = on_a_full_disk(bench, CARELESS, spare=8192)
    if shot is None:
        pytest.skip("no disk can be mounted here: that needs root and Linux")
    assert shot.state == "half"
    assert shot.traceback


def test_what_is_left_or_said_too_often_is_caught():
    """The verdicts themselves."""
    fine = {fault.name: fault.fine for fault in FAULTS}
    stopped = Shot("old", 130, ("interrupted",))
    assert fine["Ctrl-C at a random moment"](stopped)
    for wrong in (
        Shot("old", 1, ("Aborted!",)),
        Shot("old", 130, ("interrupted",), (".plan.json.12345678.tmp",)),
        Shot("old", 130, ("one", "two")),
        Shot("gone", 130, ("interrupted",)),
        Shot("old", 130, ("Traceback (most recent call last):",)),
    ):
        assert not fine["Ctrl-C at a random moment"](wrong)
    assert not fine["disk full"](Shot("old", 0, ()))
    assert not fine["disk full"](Shot("old", 2, ()))
    assert not fine["stdin, stdout and stderr closed"](Shot("old", 1, ()))


def test_half_of_a_file_is_told_from_the_old_and_the_new(tmp_path: Path):
    path = tmp_path / "plan.json"
    for content, state in ((b"what stood here before\n", "old"), (b"{}", "new"), (b"{", "half"), (b"", "half")):
        path.write_bytes(content)
        assert state_of(path, {"plan.json": b"{}"}, WRITERS["plan.json"]) == state
    path.unlink()
    assert state_of(path, {"plan.json": b"{}"}, WRITERS["plan.json"]) == "gone"


@pytest.mark.own_step
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("where", NOBODY)
@pytest.mark.parametrize("what", ["help", "hardware as json"])
def test_printed_to_nobody(bench: Bench, what: str, where: str):
    shot = printed_to_nobody(bench, PRINTERS[what], where)
    assert heard(where, shot), shot


def test_that_nobody_hears_of_a_mistake_does_not_change_the_exit_code(bench: Bench):
    reader, end = os.pipe()
    os.close(reader)
    try:
        command = [sys.executable, CHILD, "none", "hardware", "no-such-chip"]
        process = subprocess.run(command, stderr=end, stdout=subprocess.DEVNULL, check=False, timeout=120)
    finally:
        os.close(end)
    assert process.returncode == 2


def test_an_interrupt_that_a_library_makes_something_else_of_is_still_one(bench: Bench):
    code = """if True:
        from beyond_chinchilla.scenario import schema
        def loading(*_, **__):
            try:
                signal.raise_signal(signal.SIGINT)
            except KeyboardInterrupt:
                raise ImportError("a module cannot be loaded") from None
        schema.json_schema = loading
        sys.argv[1:] = ["schema"]
        from beyond_chinchilla.__main__ import main as run
        run()
    """
    assert bench.run(["-c", code]) == (130, ["interrupted"])


def test_the_record_is_of_every_writer_and_its_table_counts_every_shot():
    record = json.loads(
        (Path(__file__).parents[2] / "benchmarks" / "tried" / "faults.json").read_text(encoding="utf-8")
    )
    assert {row["writer"] for row in record["rows"]} == {*WRITERS, *PRINTERS}
    assert {row["fault"] for row in record["rows"] if row["writer"] in WRITERS} == {fault.name for fault in FAULTS}
    assert [row for row in record["rows"] if row["wrong"]] == []
    lines = table(record).splitlines()
    assert len(lines) - 2 == len(FAULTS) + len(NOBODY)
    counted = sum(int(line.split("|")[3]) for line in lines[2:])
    assert counted == sum(row["shots"] for row in record["rows"])


def test_the_table_adds_up_writers_and_says_what_went_wrong():
    one = {"shots": 2, "old": 1, "new": 1, "resumed": 0, "half": 0, "gone": 0, "traceback": 0, "exits": {"-9": 2}}
    other = {"shots": 1, "old": 0, "new": 0, "resumed": 0, "half": 0, "gone": 1, "traceback": 1, "exits": {"1": 1}}
    rows = [{"writer": name, "fault": "kill -9", **found} for name, found in (("a", one), ("b", other))]
    assert table({"rows": rows}).splitlines()[2] == "| kill -9 | 2 | 3 | 1 | 1 | 0 | 1 | 1 | signal 9: 2, 1: 1 |"


# From here on what takes longer.

KILLED, STOPPED, FULL = "killed in the middle of a write", "Ctrl-C at a random moment", "disk full"
LONGER = ("plan.parquet", "plan.xlsx", "report.html", "risk.json", "law.json")


@pytest.mark.own_step
@pytest.mark.parametrize(
    ("name", "which"),
    [
        *((name, which) for name in LONGER for which in (KILLED, STOPPED, FULL)),
        *((name, which) for name in SWEEPS for which in (STOPPED, FULL)),
    ],
)
def test_a_fault_of_what_takes_longer(bench: Bench, name: str, which: str):
    (fault,) = (fault for fault in FAULTS if fault.name == which)
    inject(bench, fault, WRITERS[name])


@pytest.mark.own_step
@pytest.mark.parametrize("name", SWEEPS)
def test_a_sweep_that_is_killed_goes_on_to_the_same_table(bench: Bench, name: str):
    """While it writes its parts, and while it finishes."""
    states = {bench.shoot(WRITERS[name], f"step:{step}:SIGKILL").state for step in (7, 14)}
    assert states <= {"new", "resumed"}
    assert "resumed" in states


@pytest.mark.own_step
def test_where_nothing_but_the_output_can_be_written_a_picture_says_what_it_needs(bench: Bench, tmp_path: Path):
    code = """if True:
        import tempfile
        def refuse(*_, **__):
            raise FileNotFoundError(2, "No usable temporary directory found")
        tempfile.mkdtemp = tempfile.gettempdir = refuse
        from beyond_chinchilla.__main__ import main as run
        run()
    """
    target = tmp_path / "plot.svg"
    drawn = [*WRITERS["plot.svg"].args, str(target)]
    assert bench.run(["-c", code, *drawn], **NO_CACHES) == (
        2,
        ["matplotlib, which draws, finds no folder that it may write its caches to; name one: MPLCONFIGDIR=FOLDER"],
    )
    swept = [*WRITERS["sweep.csv"].args, str(tmp_path / "sweep.csv"), "--engine", "processes"]
    code, (told,) = bench.run(["-c", code, *swept], **NO_CACHES)
    assert code == 2
    assert told.startswith("no process of its own can be started here")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.own_step
def test_workers_end_with_the_process_that_was_killed(tmp_path: Path):
    code = f"""if __name__ == "__main__":
        import signal, sys
        from engine_work import wait_for_ever
        from beyond_chinchilla.engines import engine
        with engine("processes", workers=2) as pool:
            for _ in pool.map(wait_for_ever, [{str(tmp_path)!r}] * 4):
                pass
    """
    script = tmp_path / "script.py"
    script.write_text(code, encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    process = subprocess.Popen([sys.executable, str(script)], env=environment, start_new_session=True)
    limit = time.monotonic() + 120
    while len(pids := [int(path.name) for path in tmp_path.iterdir() if path.name.isdecimal()]) < 2:
        assert time.monotonic() < limit, "no workers came"
        time.sleep(0.05)
    # The one process alone, as the kernel does when memory runs out.
    process.kill()
    process.wait()
    while any(Path(f"/proc/{pid}").exists() for pid in pids):
        assert time.monotonic() < limit, "workers are left"
        time.sleep(0.05)


@pytest.mark.own_step
@pytest.mark.parametrize(("which", "seconds"), [(signal.SIGINT, 1.8), (signal.SIGTERM, 2.4)])
def test_a_cluster_that_starts_is_stopped_without_noise(
    bench: Bench, tmp_path: Path, which: signal.Signals, seconds: float
):
    pytest.importorskip("distributed")
    varied = ("--vary", "demand.requests=1e8:1e9:log:20000", "--vary", "training.price=1:4:lin:400", "--yes")
    args = ["sweep", SCENARIO, *varied, "--engine", "dask", "--workers", "1", "-o", str(tmp_path / "s.parquet")]
    code, told = bench.run(args, stop=(which, seconds))
    if code == 0:
        # It came when all was done, or where a library heeds nobody: then the table is whole.
        assert pq.read_metadata(tmp_path / "s.parquet").num_rows == 20000 * 400
        return
    # Before Python heeds signals they end it without a word.
    assert (code, len(told)) in ((128 + which, 1), (-which, 0)), told
    assert all(line.startswith("interrupted") for line in told)


@pytest.mark.own_step
@pytest.mark.parametrize("which", [signal.SIGINT, signal.SIGTERM])
def test_a_page_that_is_served_ends_at_a_signal(which: signal.Signals):
    command = [sys.executable, CHILD, "none", "explore", SCENARIO, "--no-browser"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stderr is not None
    assert process.stdout.readline().startswith("http://127.0.0.1:")
    assert process.stderr.readline() == "Ctrl-C ends it.\n"
    process.send_signal(which)
    _, told = process.communicate(timeout=120)
    assert (process.returncode, told.strip()) == (0, "")


@pytest.mark.own_step
def test_a_terminal_has_its_cursor_back_after_an_interrupt(tmp_path: Path):
    """And the line that says so, on a line of its own."""
    import pty

    varied = ("--vary", "demand.requests=1e8:1e9:log:20000", "--vary", "training.price=1:4:lin:500")
    command = [sys.executable, CHILD, "none", "sweep", SCENARIO, *varied, "--yes", "-o", str(tmp_path / "s.parquet")]
    master, slave = pty.openpty()
    process = subprocess.Popen(
        command, stdin=slave, stdout=slave, stderr=slave, env={**os.environ, "TERM": "xterm"}, start_new_session=True
    )
    os.close(slave)
    text, limit = b"", time.monotonic() + 120
    while b"rows/s" not in text:
        assert time.monotonic() < limit, text
        if select.select([master], [], [], 0.1)[0]:
            text += os.read(master, 65536)
    process.send_signal(signal.SIGINT)
    text += rest_of_terminal(master)
    assert process.wait() == 130
    shown = text.rpartition(b"\x1b[?25h")
    assert b"\x1b[?25l" not in shown[2]
    assert b"interrupted at " in shown[2]
    assert not [path for path in (tmp_path / "s.parquet").iterdir() if path.name.startswith(".")]
    assert json.loads((tmp_path / "s.parquet" / "_sweep.json").read_text(encoding="utf-8"))["complete"] is False
