"""Which files a scenario can name: those below its own folder, and others only where the person says so."""

from __future__ import annotations

import copy
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from command_line import refused, run

import beyond_chinchilla as bc
from beyond_chinchilla.errors import ScenarioError
from beyond_chinchilla.scenario import attachments
from beyond_chinchilla.scenario.load import Scenario
from beyond_chinchilla.scenario.named_files import NamedFiles

pytestmark = pytest.mark.own_step

LAW = {"E": 1.69, "A": 406.4, "alpha": 0.336, "B": 410.7, "beta": 0.283}
CHIP = {"hardware": "h100-sxm", "precision": "bf16"}
FLOPS: dict[str, Any] = {
    "law": "sardana-2024",
    "target": {"chinchilla": "13B"},
    "demand": {"tokens": "2T"},
    "objective": "flops",
}
MONTHLY: dict[str, Any] = {
    "law": "sardana-2024",
    "target": {"chinchilla": "13B"},
    "demand": {
        "table": [{"month": "2027-01", "requests": "1B"}, {"month": "2027-02", "requests": "2B"}],
        "input_tokens": 900,
        "output_tokens": 220,
    },
    "training": {**CHIP, "mfu": "40%", "price": 2.0},
    "serving": {**CHIP, "prefill_mfu": "50%", "decode_mfu": "5%", "price": 2.0},
}
PRICES = (
    "InstanceType,AcceleratorName,AcceleratorCount,vCPUs,MemoryGiB,GpuInfo,Price,SpotPrice,Region,AvailabilityZone\n"
    "gpu_8x_h100_sxm5,H100,8,208,1800,,16.00,,us-east-1,\n"
)
TRACE = "TIMESTAMP,ContextTokens,GeneratedTokens\n" + "".join(
    f"2024-05-1{day} {hour:02d}:00:00,1000,200\n" for day in (0, 1) for hour in range(24)
)

Tree = dict[str, Any]


def _put(tree: Tree, dotted: str, value: object, *dropped: str) -> Tree:
    """Return a scenario with a value, and without what excludes it."""
    found: Any = copy.deepcopy(tree)
    for each, new in ((dotted, value), *((name, None) for name in dropped)):
        *sections, key = each.split(".")
        node = found
        for section in sections:
            node = node[int(section)] if isinstance(node, list) else node.setdefault(section, {})
        node[key] = new
    return found


# Every key of a scenario that takes a file: the scenario around it, and a file that it would take.
KEYS: dict[str, tuple[Callable[[str], Tree], str, str]] = {
    "law": (lambda name: _put(FLOPS, "law", name), "x.json", json.dumps(LAW)),
    "law.one_of.1.law": (
        lambda name: _put(FLOPS, "law", {"one_of": [{"law": "sardana-2024"}, {"law": name}]}),
        "x.json",
        '{"law": {"E": 1.69, "A": 406.4, "alpha": 0.336, "B": 410.7, "beta": 0.283}}',
    ),
    "target.suite": (
        lambda name: {**FLOPS, "target": {"error": 0.6, "suite": name}},
        "x.json",
        '{"epsilon": 0.9, "k": 2, "gamma": 0.8}',
    ),
    "demand.file": (
        lambda name: {**MONTHLY, "demand": {"file": name}},
        "x.csv",
        "month,requests,input tokens,output tokens\n2027-01,1000000,900,220\n2027-02,2000000,800,200\n",
    ),
    "demand.trace": (
        lambda name: {**MONTHLY, "demand": {"requests_per_month": "1B", "months": 2, "trace": name}},
        "x.csv",
        TRACE,
    ),
    "demand.requests.samples": (
        lambda name: {
            **MONTHLY,
            "demand": {"requests": {"samples": name}, "input_tokens": 900, "output_tokens": 220},
        },
        "x.csv",
        "requests\n" + "".join(f"{count}e9\n" for count in range(1, 200)),
    ),
    "training.prices": (lambda name: _put(MONTHLY, "training.prices", name, "training.price"), "x.csv", PRICES),
    "serving.prices": (lambda name: _put(MONTHLY, "serving.prices", name, "serving.price"), "x.csv", PRICES),
    "prices.file": (
        lambda name: _put({**MONTHLY, "prices": {"file": name}}, "training.price", None, "serving.price"),
        "x.csv",
        PRICES,
    ),
    "capacity.file": (
        lambda name: {**MONTHLY, "capacity": {"file": name}},
        "x.csv",
        "month,gpus\n2027-01,1000000\n2027-02,1000000\n",
    ),
    "thinking.file": (
        lambda name: {
            **FLOPS,
            "demand": {"requests": "1B", "input_tokens": 900, "output_tokens": 400},
            "thinking": {"file": name, "samples": 4},
            "law": {"E": 0.2, "A": 20, "alpha": 0.2, "B": 20, "beta": 0.2},
            "target": {"loss": 1.2},
        },
        "x.json",
        '{"thinking": {"G": 1.0, "g": 0.1, "variable": "samples", "seen": [1, 64]}}',
    ),
    "data.repetition": (
        lambda name: {**FLOPS, "data": {"unique_tokens": "500B", "repetition": name}},
        "x.json",
        '{"repetition": {"R_D": 15.4, "R_N": 5.3}}',
    ),
}  # fmt: skip
each_key = pytest.mark.parametrize("key", KEYS)


def _plan(folder: Path, key: str, name: str) -> Path:
    """Write the scenario that names a file at a key."""
    path = folder / "plan.yaml"
    tree, _, _ = KEYS[key]
    path.write_text(yaml.safe_dump(tree(name), sort_keys=False), encoding="utf-8")
    return path


@pytest.fixture
def apart(tmp_path: Path) -> Path:
    """Return a scenario's folder; beside it stands a file of each kind that no scenario in it may read."""
    folder = tmp_path / "plans"
    (folder / "below").mkdir(parents=True)
    (tmp_path / "plans-of-others").mkdir()
    return folder


def _outside(key: str, folder: Path) -> tuple[str, ...]:
    """Put the file that a key takes outside of the folder, and return the names by which it could be reached."""
    _, file, text = KEYS[key]
    for place in (folder.parent / file, folder.parent / "plans-of-others" / file):
        place.write_text(text, encoding="utf-8")
    if not (folder / f"linked-{file}").is_symlink():
        (folder / f"linked-{file}").symlink_to(folder.parent / file)
        (folder / "away").symlink_to(folder.parent)
    return (
        f"../{file}",
        f"below/../../{file}",
        f"./../plans-of-others/{file}",
        str(folder.parent / file),
        f"linked-{file}",
        f"away/{file}",
    )


def test_every_key_that_takes_a_file_is_in_the_table():
    read = {".".join(map(str, keys)) for keys in attachments._READERS}
    assert read | {"prices.file", "law.one_of.1.law", "demand.requests.samples"} == set(KEYS)


def test_nothing_else_in_the_scenario_room_opens_a_file():
    room = Path(attachments.__file__).parent
    opening = {
        str(path.relative_to(room))
        for path in room.rglob("*.py")
        if any(word in path.read_text(encoding="utf-8") for word in (".open(", " open(", "read_text(", "read_bytes("))
    }
    # The scenario itself, and the fits that it names, by the path that named_files allowed.
    assert opening == {"document.py", "json_file.py"}


@each_key
def test_a_file_in_the_folder_or_below_is_read(key: str, apart: Path):
    tree, file, text = KEYS[key]
    for name in (file, f"below/{file}", f"below/../{file}"):
        (apart / name).write_text(text, encoding="utf-8")
        assert bc.load(_plan(apart, key, name)).to_problem()
    assert Scenario.from_dict(tree(file), folder=apart).to_problem()


@each_key
def test_a_file_outside_is_refused_in_one_line_however_it_is_reached(
    key: str, apart: Path, monkeypatch: pytest.MonkeyPatch
):
    names = _outside(key, apart)
    opened: list[str] = []
    original = Path.open
    monkeypatch.setattr(Path, "open", lambda self, *args, **kw: opened.append(str(self)) or original(self, *args, **kw))
    for name in names:
        path = _plan(apart, key, name)
        with pytest.raises(ScenarioError) as caught:
            bc.load(path)
        told = {line.partition(" '")[2] for line in caught.value.mistakes}
        assert len(told) == 1, caught.value.mistakes
        line = caught.value.mistakes[0]
        assert line.startswith(f"{path}:")
        assert f"'{name[:60]}' lies outside the scenario's folder" in line
        assert "--allow-outside" in line
    assert [name for name in opened if Path(name).suffix in (".json", ".csv")] == []


@each_key
def test_a_file_outside_is_read_where_that_is_allowed(key: str, apart: Path):
    tree, _, _ = KEYS[key]
    for name in _outside(key, apart):
        assert bc.load(_plan(apart, key, name), allow_outside=True).to_problem()
    assert Scenario.from_dict(tree(name), folder=apart, allow_outside=True).to_problem()


@each_key
def test_what_the_person_types_may_lie_anywhere(key: str, apart: Path):
    name, *_ = _outside(key, apart)
    path = _plan(apart, key, "none.csv")
    if "one_of" in key:
        with pytest.raises(ScenarioError):
            bc.load(path)
    assert bc.load(path, [f"{key}={name}"]).to_problem()


def test_typing_a_section_allows_nothing_that_the_file_says(apart: Path):
    """A price list is handed to training and serving; who types training did not type the list."""
    name, *_ = _outside("prices.file", apart)
    path = _plan(apart, "prices.file", name)
    typed = "training={hardware: h100-sxm, precision: bf16, mfu: 40%}"
    with pytest.raises(ScenarioError, match="lies outside"):
        bc.load(path, [typed])
    assert bc.load(path, [typed, f"prices.file={name}"]).to_problem()
    with pytest.raises(ScenarioError, match="lies outside"):
        bc.load(_plan(apart, "demand.file", "../x.csv"), ["demand.batch_share=5%", "demand.peak_to_mean=2"])


def test_a_link_that_leads_in_a_circle_is_told(apart: Path):
    (apart / "round.json").symlink_to(apart / "round.json")
    with pytest.raises(ScenarioError) as caught:
        bc.load(_plan(apart, "law", "round.json"))
    assert len(caught.value.mistakes) == 1


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="pipes of Unix")
@each_key
def test_a_pipe_hangs_nobody(key: str, apart: Path):
    _, file, _ = KEYS[key]
    os.mkfifo(apart / file)
    for allowed in (False, True):
        with pytest.raises(ScenarioError, match="is a pipe or a device; a scenario names plain files"):
            bc.load(_plan(apart, key, file), allow_outside=allowed)


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="devices of Unix")
def test_a_device_is_no_file_even_where_all_is_allowed():
    tree, _, _ = KEYS["demand.file"]
    with pytest.raises(ScenarioError, match="is a pipe or a device"):
        Scenario.from_dict(tree("/dev/zero"), allow_outside=True)


@pytest.mark.parametrize("name", ["", ".", "..", "\\\\server\\share\\x.json", "C:\\x.json", "~/x.json", "a" * 5000])
def test_names_of_other_systems_reach_nothing(name: str, tmp_path: Path):
    found = _stays(tmp_path, name)
    assert found


def _stays(folder: Path, name: str) -> bool:
    from beyond_chinchilla.errors import InputError

    try:
        return NamedFiles(folder).path(name).resolve().is_relative_to(folder.resolve())
    except InputError as error:
        return "\n" not in str(error)


COMMANDS: dict[str, tuple[str, ...]] = {
    "solve": ("--format", "csv"),
    "frontier": ("--over", "target", "--points", "2", "--format", "csv"),
    "regret": ("--points", "2", "--format", "csv"),
    "sweep": ("--vary", "demand.tokens=1T,2T", "-o", "sweep.csv"),
    "explore": ("-o", "page.html"),
}


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_that_reads_a_scenario_refuses_and_allows(
    command: str, apart: Path, monkeypatch: pytest.MonkeyPatch
):
    from beyond_chinchilla.report.html import page

    monkeypatch.setattr(page, "images", lambda _: ())
    monkeypatch.chdir(apart)
    name, *_ = _outside("law", apart)
    path = str(_plan(apart, "law", name))
    asked = (command, path, *COMMANDS[command])
    (line,) = refused(*asked)
    assert f"{path}:1: law: '../x.json' lies outside" in line
    assert run(*asked, "--allow-outside").exit_code == 0


def test_capacity_too(apart: Path):
    name, *_ = _outside("capacity.file", apart)
    path = str(_plan(apart, "capacity.file", name))
    (line,) = refused("capacity", path, "--format", "csv")
    assert "lies outside the scenario's folder" in line
    assert run("capacity", path, "--format", "csv", "--allow-outside").stdout.startswith("scenario,month,")


def test_a_book_and_a_template_name_no_file_elsewhere_but_the_person_does(apart: Path):
    name, *_ = _outside("law", apart)
    book = apart / "book.csv"
    book.write_text("month,requests,input tokens,output tokens\n2027-01,1000000,900,220\n", encoding="utf-8")
    template = apart / "template.yaml"
    template.write_text(yaml.safe_dump({**MONTHLY, "law": name}), encoding="utf-8")
    asked = ("import", str(book), "--template", str(template), "--quiet")
    (line,) = refused(*asked)
    assert "law: '../x.json' lies outside the scenario's folder" in line
    assert "law: ../x.json" in run(*asked, "--allow-outside").stdout.replace('"', "")
    assert "law: ../x.json" in run(*asked, "--set", f"law={name}").stdout.replace('"', "")


def test_no_command_that_reads_a_scenario_was_forgotten():
    from beyond_chinchilla.cli.main import COMMANDS as ALL
    from beyond_chinchilla.cli.main import cli

    taking = set()
    for name in ALL:
        command = cli.get_command(None, name)
        assert command is not None
        if any("--allow-outside" in parameter.opts for parameter in command.params):
            taking.add(name)
        elif any("--set" in parameter.opts for parameter in command.params):
            pytest.fail(f"{name} takes --set and not --allow-outside")
    assert taking == {*COMMANDS, "capacity", "import"}
