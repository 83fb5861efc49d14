"""The sdist and the wheel: what is in them, and that they run where no source is."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
import venv
import zipfile
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace

import pytest
from packaging.metadata import Metadata
from packaging.requirements import Requirement

pytestmark = pytest.mark.own_step

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
NAME = f"beyond_chinchilla-{PROJECT['version']}"
# What a frontend and a reader of types ask for; the program reads it never.
UNREAD = {"beyond_chinchilla/py.typed"}


def run(*command: object, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a program to its end; it must succeed. It sees no source: nothing of this process's path."""
    kept = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTEST_ADDOPTS")}
    done = subprocess.run(
        [str(part) for part in command], cwd=cwd, env=kept | environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done


def build(source: Path, out: Path, *which: str) -> None:
    """Build a tree by the backend that the tests' own environment holds."""
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", out, *which, source, cwd=out.parent)


def contents(wheel: Path) -> dict[str, bytes]:
    """Return the files of a wheel."""
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def of_the_tree(folder: Path) -> set[str]:
    """Return the files of a tree's package, without what programs leave there."""
    files = (path.relative_to(folder) for path in (folder / "beyond_chinchilla").rglob("*") if path.is_file())
    return {
        file.as_posix()
        for file in files
        if file.suffix != ".pyc" and not any(part.startswith(".") for part in file.parts)
    }


def missing(wheel: Path, folder: Path) -> set[str]:
    """Return what a tree's package holds and its wheel does not."""
    return of_the_tree(folder) - set(contents(wheel))


def data_files(names: Mapping[str, bytes]) -> set[str]:
    """Return the files of the package that are not code."""
    return {name for name in names if name.startswith("beyond_chinchilla/") and not name.endswith(".py")} - UNREAD


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """Build as for a release: the sdist of the tree, and the wheel of the sdist."""
    out = tmp_path_factory.mktemp("built") / "dist"
    build(ROOT, out)
    return SimpleNamespace(sdist=out / f"{NAME}.tar.gz", wheel=out / f"{NAME}-py3-none-any.whl")


@pytest.fixture(scope="module", params=["wheel", "sdist"])
def installed(request: pytest.FixtureRequest, built: SimpleNamespace, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install what was built in an environment of its own; return its Python."""
    folder = tmp_path_factory.mktemp(request.param) / "venv"
    venv.create(folder, symlinks=os.name != "nt")
    places = sysconfig.get_paths("venv", {"base": str(folder), "platbase": str(folder)})
    python = Path(places["scripts"]) / Path(sys.executable).name
    # The dependencies are those of the tests. Path files that lie there do not count, so that an editable install of
    # the package stays unseen, and what this environment holds itself comes first.
    (Path(places["purelib"]) / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")
    # What pip warns of is its own affair.
    run(
        sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-deps", "--no-build-isolation",
        "--force-reinstall", "--no-index", getattr(built, request.param), cwd=folder, PYTHONWARNINGS="",
    )  # fmt: skip
    return python


# What is in them


def test_the_wheel_is_the_package_and_nothing_else(built: SimpleNamespace) -> None:
    found = contents(built.wheel)
    about = {f"{NAME}.dist-info/{name}" for name in ("METADATA", "WHEEL", "RECORD", "entry_points.txt")}
    assert set(found) == of_the_tree(ROOT) | about
    assert len(data_files(found)) > 10
    assert set(found) > UNREAD


def test_a_file_left_out_is_noticed(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "beyond_chinchilla", tmp_path / "source" / "beyond_chinchilla")
    for name in ("pyproject.toml", "README.md"):
        shutil.copy(ROOT / name, tmp_path / "source" / name)
    settings = tmp_path / "source" / "pyproject.toml"
    head = "[tool.hatch.build.targets.wheel]\n"
    text = settings.read_text(encoding="utf-8")
    assert text.count(head) == 1
    settings.write_text(text.replace(head, f'{head}exclude = ["shape.yaml", "*.j2"]\n'), encoding="utf-8")
    build(tmp_path / "source", tmp_path / "dist", "--wheel")
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    assert {Path(name).name for name in missing(wheel, ROOT)} == {"shape.yaml", "page.html.j2", "what_if.html.j2"}


def test_the_tree_and_its_sdist_make_the_same_wheel(built: SimpleNamespace, tmp_path: Path) -> None:
    build(ROOT, tmp_path / "dist", "--wheel")
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    assert contents(wheel) == contents(built.wheel)


def test_the_sdist_has_what_its_tests_need_and_no_leavings(built: SimpleNamespace) -> None:
    with tarfile.open(built.sdist) as archive:
        names = {name.removeprefix(f"{NAME}/") for name in archive.getnames()}
    tree = {path.relative_to(ROOT).as_posix() for path in (ROOT / "tests").rglob("*.py")}
    assert tree | of_the_tree(ROOT) | {"pyproject.toml", "README.md", ".ci/lowest.txt"} <= names
    assert not {name for name in names if "__pycache__" in name or "_cache/" in name or name.startswith(".git/")}


def test_the_metadata_is_valid_and_the_readme_renders(built: SimpleNamespace) -> None:
    stated = Metadata.from_email(contents(built.wheel)[f"{NAME}.dist-info/METADATA"], validate=True)
    assert (stated.name, str(stated.version)) == (PROJECT["name"], PROJECT["version"])
    assert str(stated.requires_python) == PROJECT["requires-python"]
    assert stated.classifiers == PROJECT["classifiers"]
    asked = {str(each) for each in stated.requires_dist or [] if "extra" not in str(each.marker)}
    assert asked == {str(Requirement(each)) for each in PROJECT["dependencies"]}
    assert stated.description_content_type == "text/markdown"
    markdown = pytest.importorskip("readme_renderer.markdown")
    page = markdown.render(stated.description or "")
    assert page is not None
    assert "Train 17.4B params on 2.99T tokens" in page


# They run

# What an sdist installs is the same, a test above says.
of_the_wheel = pytest.mark.parametrize("installed", ["wheel"], indirect=True)

OPENED = """
import json, pathlib, sys
opened = set()
sys.addaudithook(lambda event, given: opened.add(str(given[0])) if event == "open" else None)
import beyond_chinchilla
from beyond_chinchilla import data
from beyond_chinchilla.cli.main import cli
for command in json.loads(sys.argv[1]):
    try:
        cli(command, standalone_mode=False)
    except SystemExit as ended:
        assert not ended.code, (command, ended.code)
home = pathlib.Path(beyond_chinchilla.__file__).parent.parent
read = {pathlib.Path(path).relative_to(home).as_posix() for path in opened if path.startswith(str(home))}
print(json.dumps({"home": str(home), "read": sorted(read)}), file=sys.stderr)
"""
COMMANDS = [
    ["laws"],
    ["hardware"],
    ["models"],
    ["new", "mine"],
    ["mine.yaml", "--format", "json"],
    ["scenarios/1B-requests.yaml", "-o", "plan.xlsx"],
    ["scenarios/1B-requests.yaml", "-o", "plan.html"],
    *(
        [f"scenarios/{name}.yaml", "--format", "json"]
        for name in ("limited-data", "experts", "quantised", "shape", "benchmark-target", "chat-assistant")
    ),
]


@of_the_wheel
def test_jobs_run_outside_the_tree_and_read_every_data_file(
    installed: Path, built: SimpleNamespace, tmp_path: Path
) -> None:
    shutil.copytree(ROOT / "scenarios", tmp_path / "scenarios")
    done = run(installed, "-P", "-c", OPENED, json.dumps(COMMANDS), cwd=tmp_path)
    told = json.loads(done.stderr.splitlines()[-1])
    assert Path(told["home"]).is_relative_to(installed.parent.parent)
    read = {name for name in told["read"] if name.startswith("beyond_chinchilla/")}
    assert {name for name in read if not name.endswith((".py", ".pyc"))} == data_files(contents(built.wheel))
    assert zipfile.is_zipfile(tmp_path / "plan.xlsx")
    assert (tmp_path / "plan.html").read_text(encoding="utf-8").rstrip().endswith("</html>")


def test_both_commands_and_python_answer_outside_the_tree(installed: Path, tmp_path: Path) -> None:
    shutil.copy(ROOT / "scenarios" / "1B-requests.yaml", tmp_path / "plan.yaml")
    script = installed.parent / "bc-opt"
    answers = [
        run(*command, "plan.yaml", cwd=tmp_path) for command in ([script], [installed, "-m", "beyond_chinchilla"])
    ]
    assert answers[0].stdout.startswith("Train 17.4B params on 2.99T tokens")
    assert answers[0].stdout == answers[1].stdout
    assert answers[0].stderr == ""
    assert PROJECT["version"] in run(script, "--version", cwd=tmp_path).stdout
    code = "import beyond_chinchilla as bc; print(f'{bc.solve(bc.load(\"plan.yaml\")).best.params:.3g}')"
    assert run(installed, "-P", "-c", code, cwd=tmp_path).stdout == "1.74e+10\n"


@of_the_wheel
def test_the_sdists_tests_pass_against_what_is_installed(
    installed: Path, built: SimpleNamespace, tmp_path: Path
) -> None:
    with tarfile.open(built.sdist) as archive:
        archive.extractall(tmp_path, filter="data")
    tree = tmp_path / NAME
    # No source, so that it is not what is tested.
    shutil.rmtree(tree / "beyond_chinchilla")
    done = run(
        installed, "-P", "-m", "pytest", "-q", "-n", "0", "-p", "no:cacheprovider", "-m", "not slow and not own_step",
        "tests/laws", "tests/optimise/test_universal.py",
        cwd=tree, CI="true",
    )  # fmt: skip
    assert " passed" in done.stdout.splitlines()[-1]
    assert "failed" not in done.stdout.splitlines()[-1]
