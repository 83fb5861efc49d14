"""Sweeps: every row as ``bc.solve`` has it, the same files whoever makes them, and never half of one."""

from __future__ import annotations

import itertools
import json
import math
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
import sweeps

import beyond_chinchilla as bc
from beyond_chinchilla.analyse.sweep import folder as folders
from beyond_chinchilla.analyse.sweep import plan, run
from beyond_chinchilla.analyse.sweep.manifest import NAME
from beyond_chinchilla.errors import BeyondChinchillaError, InputError

ROOT = Path(__file__).parents[2]
FIGURES = (
    "params", "tokens", "total", "savings_fraction", "tokens_per_param", "loss", "target_loss", "training_flops",
    "inference_flops", "kappa", "spend_ratio", "baseline_params", "baseline_tokens", "baseline_total", "training",
    "prefill", "decode", "binding", "method",
)  # fmt: skip


@pytest.fixture(autouse=True)
def _short_blocks(monkeypatch):
    """Cut small sweeps into several parts, as large ones are."""
    monkeypatch.setattr(plan, "BLOCK", 1 << 13)


def solved(scenario: bc.Scenario, row: dict, fields: list[str]) -> bc.Plan:
    """Return what the solver says of a row."""
    tree = scenario.to_dict()
    for key in fields:
        node = tree
        *above, last = key.split(".")
        for name in above:
            node[name] = dict(node.get(name) or {})
            node = node[name]
        if key.startswith("target."):
            node.clear()
        node[last] = row[key]
    return bc.solve(bc.Scenario.from_dict(tree))


def assert_as_solved(scenario: bc.Scenario, table: pa.Table, fields: list[str], places: np.ndarray) -> None:
    """Compare rows with the solver's own plans, one by one."""
    for row in table.take(pa.array(places)).to_pylist():
        try:
            found = solved(scenario, row, fields)
        except BeyondChinchillaError:
            assert row["status"] in ("out of reach", "invalid", "unbounded"), row
            assert row["params"] is None
            continue
        assert row["status"] == found.status, row
        if found.best is None:
            assert row["total"] is None
            continue
        # The bill is flat about its minimum: sizes are known to the root of what costs are.
        assert row["total"] == pytest.approx(found.best.total, rel=1e-9)
        assert row["params"] == pytest.approx(found.best.params, rel=1e-6)
        assert row["tokens"] == pytest.approx(found.best.tokens, rel=1e-6)
        assert row["savings_fraction"] == pytest.approx(found.savings_fraction, rel=1e-8, abs=1e-12)


@pytest.mark.parametrize("count", [60, pytest.param(10_000, marks=pytest.mark.own_step)])
def test_random_rows_are_as_the_solver_has_them(tmp_path, count):
    made = sweeps.small(tmp_path / "s.parquet")
    made.run(engine_name="serial")
    table = sweeps.rows(tmp_path / "s.parquet")
    assert table.num_rows == 2 * 40 * 50 * 25
    chosen = np.random.default_rng(1).choice(table.num_rows, count, replace=False)
    fields = ["law", "demand.requests", "training.price", "target.chinchilla"]
    assert_as_solved(sweeps.scenario(), table, fields, chosen)


def test_limits_and_targets_out_of_reach_keep_their_rows(tmp_path):
    limits = {"tokens": {"max": "10T"}, "total_cost": {"max": "1M USD"}, "training_time": {"max": 60, "gpus": 4096}}
    scenario = sweeps.scenario(limits=limits)
    vary = (
        "target.loss=1.6:2.6:lin:40",
        "limits.total_cost.max=100k USD:500M USD:log:30",
        "limits.tokens.max=500B,20T",
    )
    made = plan.plan_sweep(scenario, vary=vary, output=str(tmp_path / "s.parquet"))
    outcome = made.run(engine_name="serial")
    table = sweeps.rows(tmp_path / "s.parquet")
    assert table.num_rows == outcome.rows == 2400 == sum(outcome.counts.values())
    assert set(outcome.counts) == {"optimal", "infeasible", "out of reach"}
    chosen = np.random.default_rng(2).choice(table.num_rows, 40, replace=False)
    assert_as_solved(scenario, table, ["target.loss", "limits.total_cost.max", "limits.tokens.max"], chosen)


def test_every_column_is_what_the_plan_says(tmp_path):
    scenario = sweeps.scenario(limits={"tokens": {"max": "3T"}})
    vary = ("demand.requests=100M,1B,100B", "serving.precision=int8,bf16")
    plan.plan_sweep(scenario, vary=vary, columns=FIGURES, output=str(tmp_path / "s.parquet")).run(engine_name="serial")
    for row in sweeps.rows(tmp_path / "s.parquet").to_pylist():
        found = solved(scenario, row, ["demand.requests", "serving.precision"])
        best, base = found.best, found.baseline
        expected = {
            "loss": best.loss, "target_loss": found.target_loss, "training_flops": best.training_flops,
            "inference_flops": best.inference_flops, "kappa": found.kappa, "spend_ratio": found.spend_ratio,
            "baseline_params": base.params, "baseline_tokens": base.tokens, "baseline_total": base.total,
            "tokens_per_param": best.tokens_per_param, **best.terms,
        }  # fmt: skip
        for name, value in expected.items():
            assert row[name] == pytest.approx(value, rel=1e-6), name
        assert row["binding"] == ", ".join(limit.label for limit in found.limits if limit.binding)
        assert row["method"] == found.method
    assert {"", "tokens"} == {row["binding"] for row in sweeps.rows(tmp_path / "s.parquet").to_pylist()}


def test_rows_stand_in_the_order_of_the_grid(tmp_path):
    sweeps.small(
        tmp_path / "s.parquet", "training.price=1,2,3", "law=sardana-2024,besiroglu-2024", "demand.requests=1M,2M"
    ).run()
    table = sweeps.rows(tmp_path / "s.parquet").to_pylist()
    expected = itertools.product([1.0, 2.0, 3.0], ["sardana-2024", "besiroglu-2024"], [1e6, 2e6])
    assert [(row["training.price"], row["law"], row["demand.requests"]) for row in table] == list(expected)
    assert [row["row"] for row in table] == list(range(12))


def test_values_side_by_side(tmp_path):
    sweeps.small(
        tmp_path / "s.parquet", "training.price=1:3:lin:3", "law=sardana-2024,besiroglu-2024,hoffmann-2022", beside=True
    ).run()
    table = sweeps.rows(tmp_path / "s.parquet").to_pylist()
    assert [(row["training.price"], row["law"]) for row in table] == [
        (1.0, "sardana-2024"),
        (2.0, "besiroglu-2024"),
        (3.0, "hoffmann-2022"),
    ]


def test_numbers_that_arrays_cannot_hold_make_scenarios_of_their_own(tmp_path):
    law = {"E": 1.69, "A": 406.4, "alpha": 0.336, "B": 410.7, "beta": 0.283}
    scenario = sweeps.scenario(law=law)
    plan.plan_sweep(
        scenario, vary=["law.alpha=0.3:0.36:lin:4", "demand.requests=1M,1B"], output=str(tmp_path / "s.parquet")
    ).run()
    table = sweeps.rows(tmp_path / "s.parquet")
    assert table["law.alpha"].to_pylist()[::2] == pytest.approx([0.3, 0.32, 0.34, 0.36])
    assert table.schema.field("law.alpha").type == pa.float64()
    assert_as_solved(scenario, table, ["law.alpha", "demand.requests"], np.arange(8))


def test_a_request_of_no_tokens_is_one_invalid_row(tmp_path):
    vary = ["demand.input_tokens=0,70", "demand.output_tokens=0:300:lin:7"]
    outcome = plan.plan_sweep(sweeps.scenario(), vary=vary, output=str(tmp_path / "s.parquet")).run(
        engine_name="serial"
    )
    assert outcome.counts == {"optimal": 13, "invalid": 1}
    assert sweeps.rows(tmp_path / "s.parquet")["status"].to_pylist()[0] == "invalid"


# What cannot be solved as arrays


def test_demand_by_month_is_solved_row_by_row_and_said_so(tmp_path):
    tree = sweeps.LIFE | {"demand": sweeps.LIFE["demand"] | {"months": 12}}
    scenario = bc.Scenario.from_dict(tree)
    made = plan.plan_sweep(
        scenario, vary=["demand.requests=10M,1B", "discounting.rate=0%,20%"], output=str(tmp_path / "s.parquet")
    )
    assert (made.slow.rows, made.slow.why) == (4, "demand by month")
    assert made.slow.seconds > 0
    assert made.run(engine_name="serial").counts == {"optimal": 4}
    assert_as_solved(
        scenario, sweeps.rows(tmp_path / "s.parquet"), ["demand.requests", "discounting.rate"], np.arange(4)
    )


def test_objective_loss_is_solved_row_by_row(tmp_path):
    scenario = sweeps.scenario(target=None, objective="loss", limits={"total_cost": {"max": "1M USD"}})
    made = plan.plan_sweep(
        scenario, vary=["limits.total_cost.max=100k USD,1M USD"], columns=["loss"], output=str(tmp_path / "s.parquet")
    )
    assert made.slow.why == "objective loss"
    made.run(engine_name="serial")
    assert sweeps.rows(tmp_path / "s.parquet")["loss"].to_pylist()[1] == pytest.approx(
        bc.solve(scenario).best.loss, rel=1e-9
    )


# The same files, whoever makes them


@pytest.mark.parametrize(("engine", "workers"), [("threads", 1), ("threads", 2), ("processes", 2)])
def test_files_do_not_depend_on_engine_and_workers(tmp_path, engine, workers):
    vary = ("law=sardana-2024,besiroglu-2024", "demand.requests=1e6:1e12:log:2000", "training.price=1:4:lin:50")
    sweeps.small(tmp_path / "a.parquet", *vary).run(engine_name="serial")
    sweeps.small(tmp_path / "b.parquet", *vary).run(engine_name=engine, workers=workers)
    assert sweeps.contents(tmp_path / "a.parquet") == sweeps.contents(tmp_path / "b.parquet")
    assert len(sweeps.contents(tmp_path / "a.parquet")) > 4


def test_csv_and_arrow_hold_what_parquet_holds(tmp_path):
    for kind in ("parquet", "csv", "arrow"):
        sweeps.small(tmp_path / f"s.{kind}", columns=("params", "binding", "decode")).run()
    parquet = sweeps.rows(tmp_path / "s.parquet")
    with pa.memory_map(str(tmp_path / "s.arrow")) as mapped:
        arrow = pa.ipc.open_file(mapped).read_all().sort_by("row")
    # An empty column says nothing of its type.
    texts = pyarrow.csv.ConvertOptions(column_types={"binding": pa.string()})
    csv = pyarrow.csv.read_csv(tmp_path / "s.csv", convert_options=texts).sort_by("row")
    for table in (arrow, csv):
        assert table.column_names == parquet.column_names
        for name in parquet.column_names:
            assert table[name].to_pylist() == parquet[name].to_pylist()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["s.arrow", "s.csv", "s.parquet"]


def test_pandas_reads_the_folder(tmp_path):
    sweeps.small(tmp_path / "s.parquet").run()
    frame = pd.read_parquet(tmp_path / "s.parquet").sort_values("row")
    assert len(frame) == 100_000
    assert frame["total"].to_list() == sweeps.rows(tmp_path / "s.parquet")["total"].to_pylist()


def test_columns_carry_units_and_the_file_its_question(tmp_path):
    sweeps.small(tmp_path / "s.parquet", "demand.requests=1M,2M").run()
    schema = pq.read_schema(tmp_path / "s.parquet" / "part-000000.parquet")
    units = {field.name: field.metadata[b"unit"].decode() for field in schema}
    assert units == {
        "row": "", "demand.requests": "requests", "status": "", "params": "params", "tokens": "tokens", "total": "USD",
        "savings_fraction": "",
    }  # fmt: skip
    assert all(field.metadata[b"description"] for field in schema)
    told = json.loads(schema.metadata[b"beyond_chinchilla"])
    assert told["asked"]["scenario"]["law"] == "besiroglu-2024"
    assert told["asked"]["version"]
    assert json.loads((tmp_path / "s.parquet" / NAME).read_text())["complete"] is True


def test_parquet_goes_to_a_url():
    fsspec = pytest.importorskip("fsspec")
    url = "memory://sweeps/one.parquet"
    sweeps.small(url).run(engine_name="threads", workers=2)
    system = fsspec.filesystem("memory")
    names = [Path(name).name for name in system.ls("/sweeps/one.parquet", detail=False)]
    assert not [name for name in names if name.endswith(".tmp")]
    found = pa.concat_tables(
        [pq.read_table(system.open(f"/sweeps/one.parquet/{name}")) for name in names if name != NAME]
    )
    assert found.num_rows == 100_000
    from beyond_chinchilla.analyse.sweep.kept import open_sweep
    from beyond_chinchilla.analyse.sweep.summary import summarise

    assert summarise(open_sweep(url)).rows == 100_000


# Broken off, and gone on with


class _StopError(Exception):
    pass


def _broken_off(made: run.Sweep, after: int, error: Exception) -> None:
    """Run a sweep until so many parts are there."""
    calls = itertools.count()

    def stop(done: int, total: int) -> None:
        if next(calls) >= after:
            raise error

    with pytest.raises(type(error)):
        made.run(engine_name="serial", progress=stop)


@pytest.mark.parametrize("kind", ["parquet", "csv", "arrow"])
def test_what_was_broken_off_goes_on_from_its_parts(tmp_path, kind):
    sweeps.small(tmp_path / f"whole.{kind}").run()
    output = tmp_path / f"s.{kind}"
    made = sweeps.small(output)
    _broken_off(made, 2, _StopError())
    parts = Path(made.folder.place)
    assert json.loads((parts / NAME).read_text())["complete"] is False
    finished = sorted(parts.glob("part-*"))
    assert len(finished) == 2
    # Half a part, and one that a power cut has emptied.
    (parts / f".{finished[0].name}.aaaa.tmp").write_bytes(b"half")
    finished[1].write_bytes(b"")
    with pytest.raises(InputError, match="go on with --resume"):
        sweeps.small(output).run()
    outcome = sweeps.small(output).run(resume=True)
    assert (outcome.found, outcome.rows) == (made.manifest.rows_of(0), 100_000)
    if kind == "parquet":
        assert sweeps.contents(output) == sweeps.contents(tmp_path / "whole.parquet")
    else:
        assert output.read_bytes() == (tmp_path / f"whole.{kind}").read_bytes()
        assert not parts.exists()


def test_another_sweep_is_not_gone_on_with(tmp_path):
    sweeps.small(tmp_path / "s.parquet").run()
    before = sweeps.contents(tmp_path / "s.parquet")
    with pytest.raises(InputError, match=r"holds another sweep \(another grid\)"):
        sweeps.small(tmp_path / "s.parquet", "demand.requests=1M,2M").run(resume=True)
    with pytest.raises(InputError, match="is there already; take another name"):
        sweeps.small(tmp_path / "s.parquet").run()
    (tmp_path / "other.parquet").mkdir()
    (tmp_path / "other.parquet" / "mine.txt").write_text("mine")
    for resume in (False, True):
        with pytest.raises(InputError, match=r"is there already|holds no sweep"):
            sweeps.small(tmp_path / "other.parquet").run(resume=resume)
    assert sweeps.contents(tmp_path / "s.parquet") == before
    assert [path.name for path in (tmp_path / "other.parquet").iterdir()] == ["mine.txt"]


def test_a_finished_sweep_resumed_is_left_as_it_is(tmp_path):
    sweeps.small(tmp_path / "s.parquet").run()
    before = sweeps.contents(tmp_path / "s.parquet")
    assert sweeps.small(tmp_path / "s.parquet").run(resume=True).found == 100_000
    assert sweeps.contents(tmp_path / "s.parquet") == before


def test_a_full_disk_leaves_finished_parts_and_is_one_line(tmp_path, monkeypatch):
    made = sweeps.small(tmp_path / "s.parquet")
    real = folders.Path.replace
    moved = itertools.count()

    def full(self: Path, target: Path) -> Path:
        if self.name.startswith(".part") and next(moved) >= 2:
            raise OSError(28, os.strerror(28))
        return real(self, target)

    monkeypatch.setattr(folders.Path, "replace", full)
    with pytest.raises(InputError, match="cannot be written: No space left on device") as told:
        made.run(engine_name="serial")
    monkeypatch.setattr(folders.Path, "replace", real)
    assert run.is_full(told.value)
    assert len(str(told.value).splitlines()) == 1
    assert len(list((tmp_path / "s.parquet").glob("*.tmp"))) == 0
    outcome = sweeps.small(tmp_path / "s.parquet").run(resume=True)
    assert outcome.found == 2 * made.manifest.rows_per_part


@pytest.mark.own_step
@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="mounts a small disk")
def test_a_disk_that_is_really_full(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)], capture_output=True).returncode:
        pytest.skip("cannot mount here")
    try:
        with pytest.raises(InputError, match="No space left on device") as told:
            sweeps.small(disk / "s.parquet", allowed=True).run(workers=2)
        assert "\n" not in str(told.value)
        assert not list((disk / "s.parquet").glob("*.tmp"))
        assert list((disk / "s.parquet").glob("part-*.parquet"))
        subprocess.run(["mount", "-o", "remount,size=100m", str(disk)], check=True)
        sweeps.small(tmp_path / "whole.parquet").run()
        assert sweeps.small(disk / "s.parquet").run(resume=True).found > 0
        assert sweeps.contents(disk / "s.parquet") == sweeps.contents(tmp_path / "whole.parquet")
    finally:
        subprocess.run(["umount", str(disk)], check=True)


_COMMAND = (sys.executable, "-m", "beyond_chinchilla", "sweep", str(ROOT / "scenarios" / "1B-requests.yaml"))
_LARGE = ("--vary", "demand.requests=1e6:1e12:log:2000", "--vary", "training.price=1:4:lin:1000")


@pytest.mark.own_step
def test_one_that_was_killed_goes_on_to_the_same_files(tmp_path):
    process = subprocess.Popen([*_COMMAND, *_LARGE, "-o", "s.parquet"], cwd=tmp_path)
    _wait_for_parts(tmp_path / "s.parquet", 2)
    process.kill()
    process.wait()
    there = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "s.parquet").glob("part-*")}
    assert 2 <= len(there) < 16
    assert json.loads((tmp_path / "s.parquet" / NAME).read_text())["complete"] is False
    subprocess.run([*_COMMAND, *_LARGE, "-o", "s.parquet", "--resume"], cwd=tmp_path, check=True, capture_output=True)
    subprocess.run([*_COMMAND, *_LARGE, "-o", "whole.parquet"], cwd=tmp_path, check=True, capture_output=True)
    assert sweeps.contents(tmp_path / "s.parquet") == sweeps.contents(tmp_path / "whole.parquet")
    for name, at in there.items():
        assert (tmp_path / "s.parquet" / name).stat().st_mtime_ns == at


# A shell that runs tests in the background has them ignore Ctrl-C.
_HEARING = """
import signal
from beyond_chinchilla.cli.main import main
signal.signal(signal.SIGINT, signal.default_int_handler)
if __name__ == "__main__":
    main()
"""


@pytest.mark.own_step
@pytest.mark.parametrize("engine", ["threads", "processes"])
def test_an_interrupt_says_how_to_go_on(tmp_path, engine):
    options = [*_COMMAND[3:], *_LARGE, "-o", "s.parquet", "--engine", engine, "--workers", "1"]
    command = [sys.executable, "-c", _HEARING, *options]
    process = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True, start_new_session=True)
    _wait_for_parts(tmp_path / "s.parquet", 2)
    os.killpg(process.pid, signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert said.splitlines()[-1].startswith("interrupted at ")
    assert "--resume goes on from there" in said
    assert "Traceback" not in said
    assert not list((tmp_path / "s.parquet").glob(".*.tmp"))


def _wait_for_parts(place: Path, count: int) -> None:
    limit = time.monotonic() + 60
    while len(list(place.glob("part-*"))) < count:
        assert time.monotonic() < limit, "no parts came"
        time.sleep(0.005)


_MEASURE = """
import pathlib, sys
from beyond_chinchilla.cli.main import cli
cli([*sys.argv[1:]], standalone_mode=False)
(line,) = [line for line in pathlib.Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM")]
print(line.split()[1])
"""


@pytest.mark.own_step
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_memory_does_not_grow_with_rows(tmp_path):
    peaks = []
    for count in (20_000, 80_000):
        rows = ("--vary", f"demand.requests=1e6:1e12:log:{count}", "--vary", "training.price=1:4:lin:50")
        command = [sys.executable, "-c", _MEASURE, *_COMMAND[3:], *rows, "--workers", "2", "-o", f"{count}.parquet"]
        done = subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, text=True)
        peaks.append(int(done.stdout.split()[-1]) / 1e3)
        shutil.rmtree(tmp_path / f"{count}.parquet")
    small, large = peaks
    # [MB] four times the rows, 72 MB of columns each million
    assert large < small + 60
    assert large < 1000


@pytest.mark.own_step
def test_a_cluster_that_loses_a_worker_gives_the_same_files(tmp_path):
    distributed = pytest.importorskip("distributed")
    vary = ("law=sardana-2024,besiroglu-2024", "demand.requests=1e6:1e12:log:20000", "training.price=1:4:lin:50")
    sweeps.small(tmp_path / "a.parquet", *vary).run()
    made = sweeps.small(tmp_path / "b.parquet", *vary)
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None) as cluster:
        victim = next(iter(cluster.workers.values())).process.pid
        killed = []

        def tell(done: int, total: int) -> None:
            if done and not killed:
                killed.append(victim)
                os.kill(victim, signal.SIGKILL)

        outcome = made.run(engine_name="dask", scheduler=cluster.scheduler_address, progress=tell)
    assert killed
    assert outcome.counts == {"optimal": 2_000_000}
    assert sweeps.contents(tmp_path / "a.parquet") == sweeps.contents(tmp_path / "b.parquet")


# What is refused


@pytest.mark.parametrize(
    ("vary", "words"),
    [
        (["demand.requests=1e6:1e12:log:1e9", "training.price=1:4:lin:1e6"], "1,000,000,000,000,000 rows, about 50 PB"),
        (["demand.requets=1,2"], "did you mean 'demand.requests'"),
        (["law=1:2:lin:3"], "law: holds words, which have no range"),
        (["law=sardana"], "no law named 'sardana'"),
        (["law=sardana-2024", "law=hoffmann-2022"], "law: stands twice"),
        (["demand.requests=1B,1e9"], "the same number"),
        (["demand.requests=1:2:3"], "is no range"),
        (["demand.requests=0:1B:log:3"], "0 must be above zero"),
        (["training.mfu=50%:150%:lin:3"], "150% must be above 0 and at most 100%"),
        (["training.price=1:4:log:0"], "give a whole number from 1 on"),
        (["training.price=1:4:log:2.5"], "give a whole number from 1 on"),
        (["training.price="], "write --vary KEY="),
        (["target.loss=1.9,2.0", "target.chinchilla=7B,8B"], "target.loss and target.chinchilla exclude each other"),
        (["energy.pue=1.1,1.2"], "moves no plan"),
        (["discounting.rate=5%,6%"], "moves nothing over the life"),
        (["target.loss=1.5,1.6"], "at or below the floor"),
        (["serving.precision=int8,int9"], "int9"),
        ([], "nothing varies"),
    ],
)  # fmt: skip
def test_what_cannot_vary_is_refused_before_anything_is_written(tmp_path, vary, words):
    with pytest.raises(InputError) as told:
        plan.plan_sweep(sweeps.scenario(), vary=vary, output=str(tmp_path / "s.parquet")).run()
    assert words in str(told.value)
    assert list(tmp_path.iterdir()) == []


def test_more_than_the_disk_holds_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(folders.Folder, "free", lambda self: 1_000_000)
    with pytest.raises(InputError, match=r"100,000 rows, about .* MB, where 1 MB are free"):
        sweeps.small(tmp_path / "s.parquet")
    assert sweeps.small(tmp_path / "s.parquet", allowed=True).rows == 100_000


def test_too_many_scenarios_of_their_own_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"20,000 choices of serving\.purchase\.pue"):
        sweeps.small(tmp_path / "s.parquet", "serving.purchase.pue=1:2:lin:20000")


def test_ends_are_as_they_were_given(tmp_path):
    sweeps.small(tmp_path / "s.parquet", "demand.requests=0.1B:0.7B:log:7").run()
    values = sweeps.rows(tmp_path / "s.parquet")["demand.requests"].to_pylist()
    assert (values[0], values[-1]) == (1e8, 7e8)
    ratios = {round(math.log(b / a), 12) for a, b in itertools.pairwise(values)}
    assert len(ratios) == 1
