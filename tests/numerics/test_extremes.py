"""Extreme inputs under hypothesis, room by room, and every example that ever failed."""

from __future__ import annotations

import json
import math
import random
from typing import Any

import extremes
import kept
import pytest
import strategies
from hypothesis import given, settings
from hypothesis import strategies as st
from rooms import PLAN, STATUS, Room

BY_NAME = {room.name: room for room in extremes.ROOMS}
# Of these one example takes a good part of a second.
_SLOW = ("further scenarios", "sweeps", "risk")
_QUICK = [room for room in extremes.ROOMS if room.share >= 0.2]


@pytest.mark.parametrize("room", _QUICK, ids=lambda room: room.name)
@given(randoms=st.randoms(use_true_random=False))
def test_every_example_has_a_right_answer_or_a_status(room: Room, randoms: random.Random) -> None:
    outcome = extremes.judged(room, room.draw(randoms))
    assert outcome.kind in (PLAN, STATUS)
    assert outcome.error is None or math.isfinite(outcome.error)


@pytest.mark.own_step
@pytest.mark.parametrize("room", [room for room in extremes.ROOMS if room not in _QUICK], ids=lambda room: room.name)
@settings(strategies.costly, max_examples=4)
@given(randoms=st.randoms(use_true_random=False))
def test_every_costly_example_has_a_right_answer_or_a_status(room: Room, randoms: random.Random) -> None:
    assert extremes.judged(room, room.draw(randoms)).kind in (PLAN, STATUS)


@pytest.mark.parametrize(("name", "inputs"), kept.EXAMPLES, ids=kept.ids())
def test_what_ever_failed(name: str, inputs: dict[str, Any]) -> None:
    assert extremes.judged(BY_NAME[name], inputs).kind in (PLAN, STATUS)


@pytest.mark.own_step
@pytest.mark.parametrize("room", extremes.ROOMS, ids=lambda room: room.name)
def test_a_thousand_more(room: Room) -> None:
    failures: list[str] = []
    row = extremes.tried(room, max(round(300 * room.share), 3), seed=2026, failures=failures)
    assert not failures, failures[0]
    assert row["plans"] + row["statuses"] == row["examples"]
    # A room that only ever refuses, or never does, tries nothing.
    assert row["plans"] or room.share < 0.1
    assert row["statuses"] or room.share < 0.1


def test_the_command_writes_what_it_prints(tmp_path, capsys, monkeypatch) -> None:
    record = tmp_path / "tried" / "numerics.json"
    monkeypatch.setattr("sys.argv", ["extremes.py", "--examples", "20", "--room", "units", "--record", str(record)])
    assert extremes.main() == 0
    written = json.loads(record.read_text(encoding="utf-8"))
    assert written["examples"] == written["plans"] + written["statuses"] == 20
    assert written["rooms"][0]["room"] == "units"
    assert [path.name for path in record.parent.iterdir()] == ["numerics.json"]
    assert "units" in capsys.readouterr().out


def test_a_wrong_answer_is_counted(monkeypatch) -> None:
    def wrong(number: float) -> Any:
        raise AssertionError(f"{number} is wrong")

    failures: list[str] = []
    row = extremes.tried(Room("wrong", lambda rng: {"number": rng.random()}, wrong), 3, seed=1, failures=failures)
    assert (row["failed"], row["plans"], len(failures)) == (3, 0, 3)
