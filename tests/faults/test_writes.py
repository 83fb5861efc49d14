"""`files.write_whole` and `write_anew`: what stands there already, and what is no file."""

from __future__ import annotations

import os
import stat
import threading
from pathlib import Path

import pytest

from beyond_chinchilla import files
from beyond_chinchilla.errors import InputError
from beyond_chinchilla.files import write_anew, write_whole

posix = pytest.mark.skipif(os.name == "nt", reason="needs links and permissions of POSIX")


@posix
def test_a_link_stays_and_what_it_leads_to_is_written(tmp_path: Path):
    kept = tmp_path / "kept"
    kept.mkdir()
    link = tmp_path / "link.json"
    link.symlink_to(kept / "plan.json")
    for content in ("first", "second"):
        write_whole(link, content)
        assert link.is_symlink()
        assert (kept / "plan.json").read_text() == content
    assert [path.name for path in kept.iterdir()] == ["plan.json"]


@posix
def test_a_private_file_stays_private(tmp_path: Path):
    path = tmp_path / "plan.json"
    path.write_text("old")
    path.chmod(0o600)
    write_whole(path, "new")
    assert path.read_text() == "new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_protected_file_is_not_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = tmp_path / "plan.json"
    path.write_text("old")
    path.chmod(0o400)
    # Root may write everything.
    monkeypatch.setattr(files.os, "access", lambda place, mode: mode != os.W_OK)
    with pytest.raises(InputError, match="Permission denied"):
        write_whole(path, "new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@posix
def test_what_is_no_file_is_written_to_and_stays_what_it_is(tmp_path: Path):
    pipe = tmp_path / "pipe.json"
    os.mkfifo(pipe)
    read: list[bytes] = []
    reader = threading.Thread(target=lambda: read.append(pipe.read_bytes()))
    reader.start()
    write_whole(pipe, "through")
    reader.join()
    assert read == [b"through"]
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    assert list(tmp_path.iterdir()) == [pipe]


@pytest.mark.parametrize("letter", ["n", "\N{CJK UNIFIED IDEOGRAPH-6F22}"])
def test_the_longest_name_that_a_disk_takes_can_be_written(tmp_path: Path, letter: str):
    path = tmp_path / (letter * (250 // len(letter.encode())) + ".json")
    write_whole(path, "whole")
    assert path.read_text() == "whole"


@pytest.mark.parametrize("has_links", [True, False])
def test_what_is_new_never_replaces_and_leaves_no_draft(
    has_links: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    if not has_links:
        monkeypatch.setattr(Path, "hardlink_to", refuse)
    path = tmp_path / "plan.yaml"
    write_anew(path, "first")
    with pytest.raises(FileExistsError):
        write_anew(path, "second")
    assert path.read_text() == "first"
    assert list(tmp_path.iterdir()) == [path]


def test_an_interrupt_while_a_draft_is_removed_leaves_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    remove, calls = files._remove, []

    def interrupted(draft: Path) -> None:
        calls.append(draft)
        if len(calls) == 1:
            raise KeyboardInterrupt
        remove(draft)

    monkeypatch.setattr(files, "_remove", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_anew(tmp_path / "plan.yaml", "whole")
    assert [path.name for path in tmp_path.iterdir()] == ["plan.yaml"]
