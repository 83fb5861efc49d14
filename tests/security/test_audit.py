"""The audit of installed distributions: it passes here, and each of its rules can fail."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

import audit
import pytest


def distribution(folder: Path, **changes: str) -> metadata.Distribution:
    """Return a distribution of one file, as an installer leaves it."""
    place = folder / "made-1.0.dist-info"
    place.mkdir()
    code = folder / "made.py"
    code.write_text("x = 1\n", encoding="utf-8")
    digest = base64.urlsafe_b64encode(hashlib.sha256(code.read_bytes()).digest()).rstrip(b"=").decode()
    texts = {
        "METADATA": "Metadata-Version: 2.4\nName: made\nVersion: 1.0\nLicense-Expression: MIT\n",
        "RECORD": f"made.py,sha256={digest},6\nmade-1.0.dist-info/METADATA,,\n",
    } | changes
    for name, text in texts.items():
        (place / name).write_text(text, encoding="utf-8")
    return metadata.Distribution.at(place)


def test_a_sound_distribution_passes(tmp_path: Path):
    made = distribution(tmp_path)
    assert audit.licence_faults("made", made) == audit.origin_faults("made", made) == []
    assert audit.file_faults("made", made) == ([], 1)


@pytest.mark.parametrize(
    ("licence", "free"),
    [
        ("MIT", True),
        ("BSD License", True),
        ("ISC License (ISCL)", True),
        ("Apache-2.0 OR BSD-2-Clause", True),
        ("BSD-3-Clause AND 0BSD AND MIT AND Zlib AND CC0-1.0", True),
        ("MIT License; Apache Software License", True),
        ("", False),
        ("Proprietary", False),
        ("GPL-3.0-only", False),
        ("MIT AND AGPL-3.0-only", False),
        ("Mozilla Public License 2.0 (MPL 2.0)", False),
        ("MIT or so we hope", False),
    ],
)
def test_licences(licence: str, free: bool):
    assert audit.is_free(licence) == free


def test_an_unknown_licence_is_told(tmp_path: Path):
    made = distribution(tmp_path, METADATA="Metadata-Version: 2.4\nName: made\nVersion: 1.0\n")
    assert audit.licence_faults("made", made) == ["made: licence 'not stated' is not on the list"]


def test_a_distribution_from_elsewhere_is_told(tmp_path: Path):
    made = distribution(tmp_path, **{"direct_url.json": '{"url": "git+https://e.example/made"}'})
    assert audit.origin_faults("made", made) == ["made: installed from git+https://e.example/made, not from an index"]


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lambda folder: (folder / "made.py").write_text("x = 2\n"), "made.py was changed since it was installed"),
        (lambda folder: (folder / "made.py").unlink(), "made.py is not there"),
        (lambda folder: (folder / "made-1.0.dist-info" / "RECORD").unlink(), "no list of its files"),
    ],
)
def test_a_file_that_is_not_what_was_installed_is_told(spoil: Callable[[Path], object], told: str, tmp_path: Path):
    made = distribution(tmp_path)
    spoil(tmp_path)
    (fault,), _ = audit.file_faults("made", made)
    assert told in fault


@pytest.mark.own_step
def test_imports_and_declarations_agree():
    imported = audit.imports_of(audit.ROOT / "beyond_chinchilla")
    assert {"numpy", "yaml", "rich", "click"} <= imported
    assert audit.import_faults(imported, audit.declared(), audit.declared("dask")) == []
    assert audit.shipping_faults(audit.installed()) == []


def test_an_import_that_nobody_declares_and_one_that_nobody_makes_are_told():
    stated = {"numpy", "scipy"}
    assert audit.import_faults({"numpy", "scipy"}, stated, set()) == []
    (undeclared,) = audit.import_faults({"numpy", "scipy", "yaml"}, stated, set())
    assert undeclared.startswith("import yaml: brought by pyyaml, which pyproject.toml does not declare")
    (unused,) = audit.import_faults({"numpy"}, stated, set())
    assert unused.startswith("scipy: declared")
    (unknown,) = audit.import_faults({"numpy", "scipy", "nowhere_to_be_found"}, stated, set())
    assert "not installed" in unknown


def test_every_explanation_is_needed():
    found = audit.installed()
    for name in audit.EXPLAINED:
        assert name not in found or not audit.is_free(audit.licence_of(found[name])), name


def test_what_runs_the_program_needs_no_explanation():
    """Every licence of what is installed with the program itself is on the list."""
    found = audit.installed()
    needed = audit.closure(found, audit.declared())
    assert len(needed) > 20
    assert [fault for name in sorted(needed) for fault in audit.licence_faults(name, found[name])] == []
    assert not set(needed) & set(audit.EXPLAINED)


@pytest.mark.own_step
def test_this_environment_passes(capsys: pytest.CaptureFixture[str]):
    assert audit.main(["--brief"]) == 0, capsys.readouterr().out
