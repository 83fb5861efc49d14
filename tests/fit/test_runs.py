"""Runs out of files and arrays: what is read comes back exactly, and what is not used is named with its reason."""

from __future__ import annotations

import gzip
import json
import math
import random
import subprocess
import sys
from dataclasses import FrozenInstanceError
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from beyond_chinchilla.errors import InputError, SpreadsheetError
from beyond_chinchilla.fit import run_files
from beyond_chinchilla.fit.checks import accuracies, contradicts_6ND, find_duplicates
from beyond_chinchilla.fit.columns import fold, recognise
from beyond_chinchilla.fit.filters import (
    drop_highest_loss,
    filter_runs,
    max_flops,
    max_params,
    max_tokens_per_param,
    min_flops,
    min_params,
    min_tokens_per_param,
)
from beyond_chinchilla.fit.runs import Runs, SetAside, make_runs, read_runs

PARAMS = ["Model Size", "Parameters", "Params", "N", "n_params", "num params", "parameter_count", "params_total"]
TOKENS = ["Tokens", "D", "training_tokens", "Tokens Seen", "total-tokens", "token_num"]
RATIOS = ["Tokens/Params", "tokens_per_param", "TPP", "tokens per parameter"]
FLOPS = ["Training FLOP", "C", "Compute", "FLOPs", "training_flops"]
LOSSES = ["Smoothed Loss", "loss", "final loss", "val_loss", "train_loss", "Eval Loss"]


def write(path: Path, text: str | bytes) -> Path:
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def csv(folder: Path, text: str, name: str = "runs.csv") -> Path:
    return write(folder / name, text)


def law(N: Any, D: Any) -> Any:
    return 1.69 + 406.4 / np.power(N, 0.336) + 410.7 / np.power(D, 0.283)


def complaint(path: Path, **options: Any) -> str:
    """Return the message of the one error that a file may raise: one line, with the file's name."""
    with pytest.raises(InputError) as caught:
        read_runs(path, **options)
    message = str(caught.value)
    assert "\n" not in message
    assert path.name in message
    return message


@st.composite
def tables(draw: st.DrawFn, fewest: int = 2) -> pd.DataFrame:
    """Draw runs of distinct sizes and lengths, with losses of a law and some noise."""
    sizes = st.integers(10**6, 10**12)
    N = draw(st.lists(sizes, min_size=fewest, max_size=12, unique=True))
    ratio = draw(st.lists(st.floats(0.1, 1e4), min_size=len(N), max_size=len(N)))
    noise = draw(st.lists(st.floats(-0.01, 0.01), min_size=len(N), max_size=len(N)))
    params = np.array(N, dtype=float)
    tokens = params * np.array(ratio)
    return pd.DataFrame({"params": params, "tokens": tokens, "loss": law(params, tokens) + np.array(noise)})


def save(frame: pd.DataFrame, path: Path) -> Path:
    match path.name.split(".", 1)[1]:
        case "csv" | "csv.gz":
            frame.to_csv(path, index=False)
        case "tsv" | "tsv.gz":
            frame.to_csv(path, index=False, sep="\t")
        case "parquet":
            frame.to_parquet(path)
        case "xlsx":
            frame.to_excel(path, index=False, engine="openpyxl")
        case "json":
            path.write_text(json.dumps(frame.to_dict(orient="records")))
        case "jsonl":
            path.write_text("\n".join(json.dumps(row) for row in frame.to_dict(orient="records")))
        case "jsonl.gz":
            rows = "\n".join(json.dumps(row) for row in frame.to_dict(orient="records"))
            path.write_bytes(gzip.compress(rows.encode()))
        case kind:
            raise AssertionError(kind)
    return path


# Round trips


@pytest.mark.parametrize("kind", ["csv", "csv.gz", "tsv", "tsv.gz", "parquet", "xlsx", "json", "jsonl", "jsonl.gz"])
@settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_what_is_written_is_read_back_exactly(kind: str, tmp_path: Path, data: st.DataObject) -> None:
    frame = data.draw(tables())
    names = {
        "params": data.draw(st.sampled_from(PARAMS)),
        "tokens": data.draw(st.sampled_from(TOKENS)),
        "loss": data.draw(st.sampled_from(LOSSES)),
    }
    recased = {role: data.draw(st.sampled_from([name, name.upper(), name.lower()])) for role, name in names.items()}
    extra = frame.rename(columns=recased).assign(seed=1, remark="ok; fine")
    order = data.draw(st.permutations(list(extra.columns)))
    runs = read_runs(save(extra[order], tmp_path / f"runs.{kind}"))
    # openpyxl writes 16 digits.
    error = 1e-15 if kind == "xlsx" else 0.0
    for column in ("params", "tokens", "loss"):
        np.testing.assert_allclose(getattr(runs, column), frame[column], rtol=error, atol=0.0)
    assert runs.set_aside == ()
    assert runs.flops is None
    assert runs.source == f"runs.{kind}"
    assert error or runs.fingerprint == make_runs(frame.params, frame.tokens, frame.loss).fingerprint
    first = 1 if kind.startswith(("json", "parquet")) else 2
    assert runs.rows.tolist() == list(range(first, first + len(frame)))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    frame=tables(), size=st.sampled_from(PARAMS), known=st.sampled_from(FLOPS + RATIOS), loss=st.sampled_from(LOSSES)
)
def test_tokens_come_from_flops_or_the_ratio(
    tmp_path: Path, frame: pd.DataFrame, size: str, known: str, loss: str
) -> None:
    values = 6 * frame.params * frame.tokens if known in FLOPS else frame.tokens / frame.params
    table = pd.DataFrame({known: values, loss: frame.loss, size: frame.params})
    runs = read_runs(save(table, tmp_path / "runs.csv"))
    np.testing.assert_allclose(runs.tokens, frame.tokens, rtol=1e-14)
    assert ("C/(6N)" in runs.conventions["tokens"]) == (known in FLOPS)
    assert f"column '{known}'" in runs.conventions["tokens"]
    if known in FLOPS:
        np.testing.assert_array_equal(runs.flops, values)


@given(frame=tables(3), seed=st.integers(0, 99))
def test_fingerprint_ignores_order_and_sees_every_number(frame: pd.DataFrame, seed: int) -> None:
    order = np.random.default_rng(seed).permutation(len(frame))
    columns = [np.array(frame[name]) for name in ("params", "tokens", "loss")]
    first = make_runs(*columns)
    assert make_runs(*(column[order] for column in columns)).fingerprint == first.fingerprint
    for column in columns:
        column[0] = np.nextafter(column[0], np.inf)
        assert make_runs(*columns).fingerprint != first.fingerprint
        column[0] = np.nextafter(column[0], 0)
    assert first.take(np.arange(len(frame)) > 0, "test").fingerprint != first.fingerprint


# Rows that are not used

GOOD = "1e8,2e9,3.4\n1e9,2e10,2.6\n"


@pytest.mark.parametrize(
    ("row", "reason", "detail"),
    [
        (",2e9,3.1", "params missing", ""),
        ("n/a,2e9,3.1", "params missing", ""),
        ("1e8,NaN,3.1", "tokens missing", ""),
        ("1e8", "tokens missing", ""),
        ("1e8,2e9,-", "loss missing", ""),
        ("big,2e9,3.1", "params not a number", "big"),
        ("1e8,2e9 tokens,3.1", "tokens not a number", "2e9 tokens"),
        ("1e8,2e9,diverged", "loss not a number", "diverged"),
        ("0,2e9,3.1", "params not positive", "0"),
        ("1e8,-1,3.1", "tokens not positive", "-1"),
        ("1e8,2e9,-0.5", "loss not positive", "-0.5"),
        ("1e999,2e9,3.1", "params infinite", ""),
        ("1e8,inf,3.1", "tokens infinite", ""),
        ("1e8,2e9,-Infinity", "loss infinite", ""),
        ("100M,2B,3.4", "duplicate", "same numbers as row 2"),
    ],
)
def test_each_unusable_row_is_listed_with_its_reason(tmp_path: Path, row: str, reason: str, detail: str) -> None:
    runs = read_runs(csv(tmp_path, f"N,D,loss\n{GOOD}{row}\n1e10,2e11,2.2\n"))
    assert len(runs) == 3
    (aside,) = runs.set_aside
    assert (aside.row, aside.reason) == (4, reason)
    assert not detail or aside.detail == detail
    assert runs.reasons() == {reason: [4]}
    assert runs.to_dict()["set_aside"] == [{"reason": reason, "count": 1, "rows": [4]}]
    assert runs.rows.tolist() == [2, 3, 5]


@given(frame=tables(), spoilt=st.lists(st.sampled_from([math.nan, math.inf, -math.inf, 0.0, -1.0]), max_size=5))
def test_no_row_disappears(frame: pd.DataFrame, spoilt: list[float]) -> None:
    loss = np.concatenate([frame.loss, spoilt, frame.loss[:1]])
    params = np.concatenate([frame.params, np.full(len(spoilt), 1e9), frame.params[:1]])
    tokens = np.concatenate([frame.tokens, np.full(len(spoilt), 1e9), frame.tokens[:1]])
    runs = make_runs(params, tokens, loss)
    assert len(runs) == len(frame)
    assert sorted([*runs.rows.tolist(), *(aside.row for aside in runs.set_aside)]) == list(range(1, len(loss) + 1))
    assert sum(len(rows) for rows in runs.reasons().values()) == len(spoilt) + 1
    assert runs.set_aside[-1] == SetAside(len(loss), "duplicate", "same numbers as row 1")


def test_duplicates_point_to_the_first_of_them() -> None:
    ones = np.array([1.0, 2.0, 1.0, 1.0, 2.0])
    assert find_duplicates(ones, ones, ones, np.arange(5)) == [(2, 0), (3, 0), (4, 1)]
    assert find_duplicates(ones, ones, ones, np.array([1, 3, 4])) == [(4, 1)]
    assert find_duplicates(ones, ones, ones, np.arange(0)) == []


def test_flops_that_are_not_needed_may_be_missing(tmp_path: Path) -> None:
    runs = read_runs(csv(tmp_path, "N,D,C,loss\n1e8,2e9,1.3e18,3.4\n1e9,2e10,,2.6\n"))
    assert runs.flops is not None
    assert np.isnan(runs.flops[1])
    np.testing.assert_allclose(runs.compute, [1.3e18, 1.2e20])
    assert runs.set_aside == ()


def test_tokens_that_overflow_are_set_aside() -> None:
    runs = make_runs([1e8, 1e-10, 1e9], None, [3.4, 3.0, 2.6], flops=[1e18, 1e39, 1e20])
    assert [(aside.row, aside.reason) for aside in runs.set_aside] == [(2, "tokens out of this world")]


def test_blank_rows_and_titles_keep_the_numbering_of_the_file(tmp_path: Path) -> None:
    runs = read_runs(csv(tmp_path, "Our runs\n\nN,D,loss\n1e8,2e9,3.4\n\n1e9,2e10,2.6\nx,1,1\n\n"))
    assert runs.rows.tolist() == [4, 6]
    assert runs.set_aside == (SetAside(7, "params not a number", "x"),)


# Names, units and conventions


@pytest.mark.parametrize(
    ("name", "role", "kind", "scale"),
    [
        ("Model Size (B)", "params", "", 1e9),
        ("Params [millions]", "params", "", 1e6),
        ("params_b", "params", "", 1e9),
        ("N (non-embedding)", "params", "non-embedding", 1),
        ("N_no_emb", "params", "non-embedding", 1),
        ("non_embedding_params", "params", "non-embedding", 1),
        ("total_parameter_count", "params", "total", 1),
        ("Params (total)", "params", "total", 1),
        ("Pretraining Data Size (T)", "tokens", "", 1e12),
        ("throughput/total_tokens", "tokens", "", 1),
        ("Tokens in billions", "tokens", "", 1e9),
        ("tokens (B tokens)", "tokens", "", 1e9),
        ("Tokens/Params", "tokens_per_param", "", 1),
        ("D/N", "tokens_per_param", "", 1),
        ("FLOPs (1E21)", "flops", "", 1e21),
        ("throughput/total_gflops", "flops", "", 1e9),
        ("Compute (EFLOP)", "flops", "", 1e18),
        ("Compute (PF-days)", "flops", "", 8.64e19),
        ("PF-days", "flops", "", 8.64e19),
        ("loss (bits)", "loss", "bits", 1),
        ("bits per token", "loss", "bits", 1),
        ("loss_bits", "loss", "bits", 1),
        ("val loss [nats/token]", "loss", "nats", 1),
        ("eval/paloma/macro_loss", "loss", "", 1),
    ],
)
def test_names_say_role_kind_and_unit(name: str, role: str, kind: str, scale: float) -> None:
    meaning = recognise(name)
    assert meaning is not None
    assert (meaning.role, meaning.kind, meaning.scale) == (role, kind, scale)


@pytest.mark.parametrize(
    "name",
    [
        "TFLOPs",
        "USD/tokens",
        "MMLU",
        "bits per byte",
        "bpb",
        "perplexity",
        "aux_loss",
        "step",
        "params (GB)",
        "N_b",
        "",
    ],
)
def test_other_names_are_nothing(name: str) -> None:
    assert recognise(name) is None


@given(st.text(max_size=60))
def test_any_name_has_a_meaning_or_none(name: str) -> None:
    meaning = recognise(name)
    assert meaning is None or (meaning.scale > 0 and math.isfinite(meaning.scale))
    assert fold(fold(name)) == fold(name)


def test_conventions_and_notes_are_stated(tmp_path: Path) -> None:
    text = "run,N_no_emb (M),Training FLOP,train_loss,Loss (bits)\na,100,1e18,3.5,4.0\nb,1000,1e20,2.5,3.5\n"
    runs = read_runs(csv(tmp_path, text))
    assert runs.conventions == {
        "params": "column 'N_no_emb (M)', times 1e+06",
        "flops": "column 'Training FLOP'",
        "tokens": "C/(6N), C from column 'Training FLOP'",
        "loss": "column 'Loss (bits)'",
        "name": "column 'run'",
        "counts": "non-embedding",
        "loss_unit": "bits",
    }
    assert runs.notes == ("loss: 'Loss (bits)' is used, 'train_loss' not",)
    assert runs.names is not None
    assert runs.names.tolist() == ["a", "b"]
    np.testing.assert_allclose(runs.loss, np.array([4.0, 3.5]) * math.log(2))
    summary = runs.to_dict()
    assert json.loads(json.dumps(summary)) == summary
    assert summary["range"]["params"] == [1e8, 1e9]
    assert str(tmp_path) not in json.dumps(summary)


def test_bits_by_option_alone(tmp_path: Path) -> None:
    path = csv(tmp_path, f"N,D,loss\n{GOOD}")
    np.testing.assert_allclose(read_runs(path, loss_unit="bits").loss, read_runs(path).loss * math.log(2))
    assert read_runs(path, loss_unit="bits").conventions["loss_unit"] == "bits"
    named = csv(tmp_path, f"N,D,loss_bits\n{GOOD}", "bits.csv")
    np.testing.assert_array_equal(read_runs(named, loss_unit="nats").loss, read_runs(path).loss)
    with pytest.raises(InputError, match="nats or bits"):
        read_runs(path, loss_unit="bytes")  # type: ignore[arg-type]


RANKED = ["smoothed loss", "final_val_loss", "final loss", "val loss", "test loss", "loss", "train loss", "loss_c4"]


@pytest.mark.parametrize("count", range(2, len(RANKED) + 1))
def test_the_best_loss_wins_wherever_it_stands(tmp_path: Path, count: int) -> None:
    names = RANKED[-count:]
    shuffled = random.Random(count).sample(names, count)
    rows = [",".join(["1e8,2e9", *(f"{3 + names.index(name) / 10}" for name in shuffled)])]
    rows += [",".join(["1e9,2e10", *(f"{2 + names.index(name) / 10}" for name in shuffled)])]
    runs = read_runs(csv(tmp_path, "\n".join([",".join(["N", "D", *shuffled]), *rows])))
    assert runs.loss.tolist() == [3.0, 2.0]
    assert runs.conventions["loss"] == f"column '{names[0]}'"
    assert all(f"'{name}'" in runs.notes[0] for name in names)


def test_stated_columns_win(tmp_path: Path) -> None:
    path = csv(tmp_path, "N,D,loss,size,lm,C\n1e8,2e9,3.4,0.2,3,6e17\n1e9,2e10,2.6,2,2,6e19\n")
    runs = read_runs(path, columns={"params": "size (B)", "loss": "lm"})
    assert runs.params.tolist() == [2e8, 2e9]
    assert runs.loss.tolist() == [3, 2]
    assert read_runs(path, columns={"tokens": "none"}).tokens.tolist() == [1e9, 1e10]
    assert read_runs(path, columns={"N": "n", "loss_bits": "LM"}).conventions["loss_unit"] == "bits"
    assert read_runs(path, columns={"non_embedding_params": "N"}).conventions["counts"] == "non-embedding"
    assert "did you mean 'loss'" in complaint(path, columns={"loss": "los"})
    assert "no unit" in complaint(path, columns={"params": "size (apples)"})
    with pytest.raises(InputError, match="did you mean 'tokens'"):
        read_runs(path, columns={"tokns": "D"})
    with pytest.raises(InputError, match="twice"):
        read_runs(path, columns={"N": "N", "params": "size"})


def test_two_equally_good_columns_are_an_error_unless_they_agree(tmp_path: Path) -> None:
    path = csv(tmp_path, "N,D,tokens,loss\n1e8,2e9,2e9,3.4\n1e9,2e10,2.1e10,2.6\n")
    message = complaint(path)
    assert "'D' and 'tokens'" in message
    assert "--columns tokens='D'" in message
    assert read_runs(path, columns={"tokens": "tokens"}).tokens[1] == 2.1e10
    same = csv(tmp_path, "N,D,tokens,loss\n1e8,2e9,2B,3.4\n1e9,2e10,20B,2.6\n", "same.csv")
    assert read_runs(same).notes == ("tokens: 'D' is used, 'tokens' not",)
    twice = csv(tmp_path, "N,D,loss,loss\n1e8,2e9,3.4,3.5\n1e9,2e10,2.6,2.5\n", "twice.csv")
    assert "'loss' and 'loss'" in complaint(twice)
    assert "2 columns have that name" in complaint(twice, columns={"loss": "loss"})
    # FLOPs that nobody needs are no reason to stop.
    spare = csv(tmp_path, "N,D,loss,C,flops\n1e8,2e9,3.4,1e18,2e18\n1e9,2e10,2.6,1e20,2e20\n", "spare.csv")
    assert read_runs(spare).flops is None
    assert "not needed" in read_runs(spare).notes[0]
    assert "'C' and 'flops'" in complaint(spare, columns={"tokens": "none"})


def test_a_column_without_numbers_is_passed_over(tmp_path: Path) -> None:
    runs = read_runs(csv(tmp_path, "param_count,N,D,loss\nstandard,1e8,2e9,3.4\nkaplan,1e9,2e10,2.6\n"))
    assert runs.params.tolist() == [1e8, 1e9]
    assert runs.notes == ("params: 'N' is used, 'param_count' not",)


def test_flops_that_contradict_6nd_are_not_used(tmp_path: Path) -> None:
    path = csv(tmp_path, "N,D,loss,flops\n1e8,2e9,3.4,1e24\n1e9,2e10,2.6,1e22\n")
    runs = read_runs(path)
    assert runs.flops is None
    assert "flops" not in runs.conventions
    assert "times 6ND" in runs.notes[0]
    np.testing.assert_allclose(runs.compute, [1.2e18, 1.2e20])
    stated = read_runs(path, columns={"flops": "flops"})
    assert stated.compute.tolist() == [1e24, 1e22]
    assert contradicts_6ND(np.array([np.nan]), np.ones(1), np.ones(1)) == ""


# Texts of all sorts


def test_numbers_as_people_write_them(tmp_path: Path) -> None:
    runs = read_runs(csv(tmp_path, 'N,D,loss\n1.2B,"2,000,000,000",3.4\n50M,1e9, 3.9 \n0.3 billion,10_000_000,4.1\n'))
    assert runs.params.tolist() == [1.2e9, 5e7, 3e8]
    assert runs.tokens.tolist() == [2e9, 1e9, 1e7]


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "latin-1", "utf-16"])
@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
def test_delimiters_encodings_and_line_ends(tmp_path: Path, delimiter: str, encoding: str, ending: str) -> None:
    rows = [["Modèle", "N", "D", "loss"], ["é", "1e8", "2e9", "3.4"], ["ü", "1e9", "2e10", "2.6"]]
    text = ending.join(delimiter.join(row) for row in rows) + ending
    runs = read_runs(write(tmp_path / "runs.csv", text.encode(encoding)))
    assert runs.loss.tolist() == [3.4, 2.6]


def test_decimal_commas_under_semicolons(tmp_path: Path) -> None:
    runs = read_runs(csv(tmp_path, "N;D;loss\n100.000.000;2.000.000.000;3,412\n1,5B;2e10;2,6\n"))
    assert runs.params.tolist() == [1e8, 1.5e9]
    assert runs.loss.tolist() == [3.412, 2.6]
    assert runs.notes == ("numbers are read with a decimal comma",)
    points = read_runs(csv(tmp_path, "N;D;loss\n100,000,000;2e9;3.4\n1e9;2e10;2.6\n", "points.csv"))
    assert points.params.tolist() == [1e8, 1e9]
    assert points.notes == ()


def test_header_may_stand_under_titles_in_a_workbook_of_several_sheets(tmp_path: Path) -> None:
    path = tmp_path / "book.xlsx"
    runs = pd.DataFrame([["Runs of 2024", None, None], ["N", "D", "loss"], [1e8, 2e9, 3.4], [1e9, 2e10, 2.6]])
    notes = pd.DataFrame([["nothing here"]])
    with pd.ExcelWriter(path, engine="openpyxl") as book:
        notes.to_excel(book, sheet_name="notes", header=False, index=False)
        runs.to_excel(book, sheet_name="runs", header=False, index=False)
    assert read_runs(path).rows.tolist() == [3, 4]
    assert read_runs(path, sheet="runs").fingerprint == read_runs(path).fingerprint
    assert "sheet 'notes'" in complaint(path, sheet="notes")
    assert "did you mean 'runs'" in complaint(path, sheet="run")
    with pd.ExcelWriter(path, engine="openpyxl") as book:
        runs.to_excel(book, sheet_name="first", header=False, index=False)
        runs.to_excel(book, sheet_name="second", header=False, index=False)
    assert "'first' and 'second'" in complaint(path)
    assert len(read_runs(path, sheet="second")) == 2
    assert "only a workbook" in complaint(csv(tmp_path, f"N,D,loss\n{GOOD}"), sheet="first")


def test_cells_of_other_types_are_no_numbers(tmp_path: Path) -> None:
    frame = pd.DataFrame(
        {"N": [1e8, 1e9, True, pd.Timestamp(2024, 1, 1)], "D": [2e9, 10**11, 1e9, 1e9], "loss": [3.4, 2.6, 3, 3]}
    )
    runs = read_runs(save(frame, tmp_path / "runs.xlsx"))
    assert [aside.reason for aside in runs.set_aside] == ["params not a number"] * 2
    lines = '{"N": 1e8, "D": 2e9, "loss": 3.4}\n\n{"N": "1B", "D": 2e10, "loss": 2.6, "C": [1]}\n'
    lines += (
        f'{{"N": {{}}, "D": 1, "loss": 1}}\n{{"N": 1{"0" * 400}, "D": 1, "loss": 1}}\n{{"N": 1, "D": 1, "loss": NaN}}'
    )
    runs = read_runs(write(tmp_path / "runs.jsonl", lines))
    assert runs.rows.tolist() == [1, 3]
    expected = {"params not a number": [4], "params infinite": [5], "loss missing": [6]}
    assert runs.reasons() == expected


# Files that cannot be used


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("empty.csv", "", "empty"),
        ("blank.csv", "\n \n", "empty"),
        ("header.csv", "N,D,loss\n", "no rows"),
        ("one.csv", "N,D,loss\n1e8,2e9,3.4\n", "1 usable of 1 runs, at least 2"),
        (
            "none.csv",
            "N,D,loss\n1e8,x,3.4\n1e8,x,3.2\n1e8,1,0",
            r"0 usable of 3 runs.*tokens not a number \(2, first in row",
        ),
        ("loss.csv", "N,D,score\n1,2,3\n", "no column for the loss among 'N', 'D', 'score'; .*--columns loss=NAME"),
        ("size.csv", "D,loss\n1,2\n", "the number of parameters"),
        ("tokens.csv", "N,loss\n1,2\n", "the training tokens .or tokens per parameter, or training FLOPs."),
        ("wide.csv", f"N,D,loss\n{GOOD}1e9,2e9,3,3\n", "row 4 has 4 cells under 3 column names"),
        ("wider.csv", f"N,D,loss\n{GOOD}1e9,2e9,3,3,3\n", "row 4 has 5 cells under 3 column names"),
        ("quote.csv", f'N,D,loss\n{GOOD}"1e9,2e9,3\n', "cannot be read as a table"),
        ("binary.csv", b"PAR1\x00\x01", "binary"),
        ("zeros.csv", b"N,D\x00,loss", "binary"),
        ("packed.csv.gz", "N,D,loss", "gzip"),
        ("torn.csv.gz", gzip.compress(b"N,D,loss\n" * 99, mtime=0)[:-9], "gzip"),
        ("runs.parquet", "N,D,loss", "no Parquet file"),
        ("torn.parquet", b"PAR1 and no more PAR1", "no Parquet file"),
        ("runs.xlsx", "N,D,loss", "no workbook"),
        ("torn.xlsx", b"PK\x03\x04 and no more", "no workbook"),
        ("locked.xlsx", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "password"),
        ("runs.jsonl", '{"N": 1}\n{"N": ', "runs.jsonl:2: no JSON"),
        ("deep.jsonl", "[" * 100_000, "no JSON"),
        ("digits.jsonl", '{"N": ' + "1" * 5000 + "}", "no JSON"),
        ("list.jsonl", "1\n2\n", "no object"),
        ("nothing.json", "[]", "no records"),
        ("runs.pdf", "x", "no known extension"),
        ("runs", "x", "no known extension"),
        ("runs.parquet.gz", "x", "no known extension"),
        ("billions.csv", "N,D,loss\n7,2,2.1\n13,2,2.0\n", "largest model has 13 parameters.*NAME .B."),
        ("tokens_in_billions.csv", "N,D,loss\n7e9,200,2.1\n13e9,200,2.0\n", "tokens per parameter"),
        ("accuracy.csv", "N,D,loss\n1e8,2e9,0.4\n1e9,2e10,0.6\n1e9,4e10,0.7\n", "accuracies"),
        ("percent.csv", "N,D,loss\n1e8,2e9,40\n1e9,2e10,60\n1e9,4e10,70\n", "accuracies"),
    ],
)
def test_files_that_cannot_be_used_say_so_in_one_line(
    tmp_path: Path, name: str, content: str | bytes, words: str
) -> None:
    path = write(tmp_path / name, content)
    complaint(path)
    with pytest.raises(InputError, match=words):
        read_runs(path)


def test_places_that_are_no_files(tmp_path: Path) -> None:
    assert "no such file" in complaint(tmp_path / "runs.csv")
    (tmp_path / "folder.csv").mkdir()
    assert "a folder" in complaint(tmp_path / "folder.csv")
    with pytest.raises(InputError, match="cannot be read"):
        read_runs("a\0b.csv")


def test_files_that_are_too_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    frame = pd.DataFrame({"N": [1e8, 1e9, 1e10], "D": [2e9, 2e10, 2e11], "loss": [3.4, 2.6, 2.2]})
    monkeypatch.setattr(run_files, "MAX_ROWS", 2)
    for kind in ("csv", "jsonl", "parquet", "xlsx", "csv.gz", "json"):
        assert "more than 2 rows" in complaint(save(frame, tmp_path / f"runs.{kind}"))
    monkeypatch.setattr(run_files, "MAX_BYTES", 200)
    assert "larger than" in complaint(csv(tmp_path, "N,D,loss\n" + GOOD * 20))
    assert "larger than" in complaint(write(tmp_path / "bomb.csv.gz", gzip.compress(b"N,D,loss\n" * 5000)))


def test_a_perplexity_is_no_loss(tmp_path: Path) -> None:
    path = csv(tmp_path, "N,D,val_perplexity\n1e8,2e9,30\n1e9,2e10,20\n")
    assert "no column for the loss" in complaint(path)
    assert "convert it" in complaint(path, columns={"loss": "val_perplexity"})


@given(tables(4))
def test_losses_are_never_taken_for_accuracies(frame: pd.DataFrame) -> None:
    N, D = frame.params.to_numpy(), frame.tokens.to_numpy()
    bits_per_byte = law(N, D) / 30
    assert accuracies(N, D, bits_per_byte) == ""
    comparable = any((np.sign(N - n) * np.sign(D - d) > 0).any() for n, d in zip(N, D, strict=True))
    assert bool(accuracies(N, D, 1 / law(N, D))) == comparable


def test_accuracies_of_one_size_rise_with_tokens() -> None:
    N, D = np.full(3, 1e9), np.array([1e9, 1e10, 1e11])
    assert accuracies(N, D, np.array([0.2, 0.3, 0.4]))
    assert not accuracies(N, D, np.array([0.4, 0.3, 0.2]))
    assert not accuracies(N, D, np.array([0.4, 0.4, 0.4]))
    with pytest.raises(InputError, match="accuracies"):
        make_runs(N, D, [0.2, 0.3, 0.4])


# What nobody meant

HEADERS = st.sampled_from(
    ["N,D,loss", "N;D;loss", "N\tC\tval_loss", "a,b,c", "Model Size (B),Tokens (B),bits per token"]
)


@pytest.mark.parametrize("kind", ["csv", "tsv", "jsonl", "json", "csv.gz", "parquet", "xlsx", "ods"])
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.binary(max_size=300), packed=st.booleans())
def test_random_bytes_raise_only_input_errors(kind: str, tmp_path: Path, content: bytes, packed: bool) -> None:
    starts = {"parquet": b"PAR1", "xlsx": b"PK\x03\x04", "ods": b"PK\x03\x04"}
    content = starts.get(kind, b"") + content
    path = write(tmp_path / f"noise.{kind}", gzip.compress(content) if packed and kind == "csv.gz" else content)
    assert complaint(path)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    header=HEADERS,
    body=st.lists(
        st.text(alphabet="0123456789.,;eE-+BMinfa\"' \t\n\rµ|", max_size=40)
        | st.sampled_from(["1e9,2e10,2.5", "1;2;3"]),
        max_size=8,
    ),
    columns=st.dictionaries(st.text(max_size=8) | st.sampled_from(["loss", "N"]), st.text(max_size=8), max_size=2),
)
def test_random_texts_raise_only_input_errors(
    tmp_path: Path, header: str, body: list[str], columns: dict[str, str]
) -> None:
    path = csv(tmp_path, "\n".join([header, *body]))
    try:
        runs = read_runs(path, columns=columns)
    except InputError as error:
        assert "\n" not in str(error)  # noqa: PT017
    else:
        assert len(runs) >= 2
        assert np.isfinite([runs.params, runs.tokens, runs.loss]).all()
        json.dumps(runs.to_dict(), allow_nan=False)


@pytest.mark.parametrize("kind", ["xlsx", "parquet"])
def test_damaged_files_raise_only_input_errors(tmp_path: Path, kind: str) -> None:
    frame = pd.DataFrame({"N": [1e8, 2e8, 1e9] * 9, "D": np.arange(1, 28) * 2e9, "loss": 3.5 - np.arange(27) / 100})
    whole = save(frame, tmp_path / f"runs.{kind}").read_bytes()
    chance = random.Random(0)
    refused = 0
    for _ in range(150):
        torn = bytearray(whole)
        for _ in range(chance.choice([1, 3, 30])):
            torn[chance.randrange(len(torn))] = chance.randrange(256)
        path = write(tmp_path / f"torn.{kind}", bytes(torn[: chance.choice([len(torn), chance.randrange(len(torn))])]))
        try:
            read_runs(path)
        except InputError:
            refused += 1
    assert refused > 75


def test_nothing_is_imported_before_a_file_is_read() -> None:
    code = "import sys, beyond_chinchilla.fit.filters; print({'pandas', 'pyarrow'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "set()\n"


# Arrays


def test_arrays_from_python() -> None:
    runs = make_runs([1e8, 1e9], None, [5, 4], flops=[6e17, 6e19], loss_unit="bits", counts="total", names=["a", "b"])
    assert runs.tokens.tolist() == [1e9, 1e10]
    assert runs.tokens_per_param.tolist() == [10, 10]
    assert runs.conventions["tokens"] == "C/(6N)"
    assert runs.conventions["counts"] == "total"
    assert runs.fitted.flops == (6e17, 6e19)
    with pytest.raises(FrozenInstanceError):
        runs.params = runs.tokens  # type: ignore[misc]
    with pytest.raises(ValueError, match="read-only"):
        runs.params[0] = 1
    given_array = np.array([1e8, 1e9])
    make_runs(given_array, [1e9, 1e10], [5, 4])
    given_array[0] = 1


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        (([1e8, 1e9], [1e9], [3, 2]), "unequal length: params 2, tokens 1, loss 2"),
        (([1e8, 1e9], None, [3, 2]), "tokens, or their FLOPs"),
        ((["a", "b"], [1, 2], [3, 2]), "params: not an array of numbers"),
        (([[1e8]], [[1e9]], [[3]]), "shape"),
        (([], [], []), "0 usable of 0 runs"),
        ((1e8, 1e9, 3), "shape"),
        (([1e8, 1e9], [1e9, np.nan], [3, 2]), r"1 usable of 2 runs.*tokens missing \(1, first in row 2\)"),
    ],
)
def test_arrays_that_cannot_be_used(arrays: Any, words: str) -> None:
    with pytest.raises(InputError, match=words) as caught:
        make_runs(*arrays)
    assert not isinstance(caught.value, SpreadsheetError)


# Filters


def some_runs() -> Runs:
    N = np.repeat([1e8, 1e9, 1e10], 3)
    D = N * np.tile([10.0, 100.0, 1000.0], 3)
    return make_runs(N, D, law(N, D))


@pytest.mark.parametrize(
    ("function", "bound", "left", "reason"),
    [
        (min_params, 1e9, 6, "under 1.00B params"),
        (max_params, 1e9, 6, "over 1.00B params"),
        (min_tokens_per_param, 100, 6, "under 100 tokens per param"),
        (max_tokens_per_param, 100, 6, "over 100 tokens per param"),
        (min_flops, 1e20, 5, "under 1.00e20 FLOP"),
        (max_flops, 1e20, 4, "over 1.00e20 FLOP"),
        (drop_highest_loss, 2, 7, "one of the 2 highest losses"),
    ],
)
def test_filters_set_aside_with_a_reason(function: Any, bound: float, left: int, reason: str) -> None:
    runs = some_runs()
    filtered = function(runs, bound)
    assert len(filtered) == left
    assert list(filtered.reasons()) == [reason]
    assert len(filtered.set_aside) == 9 - left
    assert filtered.conventions == runs.conventions
    name = function.__name__
    assert filter_runs(runs, **{name: bound}).fingerprint == filtered.fingerprint
    assert len(runs) == 9


def test_filters_compose_and_refuse_to_leave_nothing() -> None:
    runs = some_runs()
    both = filter_runs(runs, max_tokens_per_param=100, drop_highest_loss=1)
    assert {why: len(rows) for why, rows in both.reasons().items()} == {
        "over 100 tokens per param": 3,
        "highest loss": 1,
    }
    assert both.loss.max() < runs.loss.max()
    assert [aside.row for aside in both.set_aside] == sorted(aside.row for aside in both.set_aside)
    with pytest.raises(
        InputError, match=r"all but 0 of 9 runs are over 5\.00 tokens per param; they cover 10\.0 to 1\.00k"
    ):
        filter_runs(runs, max_tokens_per_param=5)
    for bound in (0, -1, math.nan, math.inf):
        with pytest.raises(InputError, match="above 0"):
            filter_runs(runs, min_flops=bound)
    for count in (-1, 8, 1.5, True):
        with pytest.raises(InputError, match="whole number from 0 to 7"):
            drop_highest_loss(runs, count)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="the -1 highest losses of 9 runs"):
        filter_runs(runs, drop_highest_loss=-1)
    with pytest.raises(InputError, match="mask of shape"):
        runs.take([True], "test")


@given(frame=tables(4), count=st.integers(0, 2))
def test_the_highest_losses_go(frame: pd.DataFrame, count: int) -> None:
    runs = make_runs(frame.params, frame.tokens, frame.loss)
    left = drop_highest_loss(runs, count)
    assert sorted(left.loss) == sorted(runs.loss)[: len(runs) - count]


# Public runs


@pytest.mark.parametrize(
    ("name", "count", "aside", "tokens"),
    [
        ("epoch_chinchilla_svg_extracted_data.csv", 245, 0, "C/(6N), C from column 'Training FLOP'"),
        ("sardana_mpt_47runs.csv", 47, 0, "column 'Tokens'"),
        ("kyotakano_chinchilla_df.csv", 234, 0, "column 'D'"),
        ("mlscalefit_chinchilla_isoflops.csv", 124, 0, "column 'tokens'"),
        ("marin_isoflop_comma_raw.csv", 92, 0, "column 'throughput/total_tokens'"),
        ("marin_isoflop_dclm_raw.csv", 85, 0, "column 'throughput/total_tokens'"),
        ("misfitting_final_ckpt.csv", 240, 21, "column 'D'"),
        ("porian_isoflop_points.csv", 1264, 0, "column 'D'"),
        ("colpret_datablations_losses.csv", 8929, 332, "column 'token_num'"),
    ],
)
def test_public_runs_are_read_as_they_are(bc_data: Any, name: str, count: int, aside: int, tokens: str) -> None:
    runs = read_runs(bc_data / name)
    assert (len(runs), len(runs.set_aside)) == (count, aside)
    assert set(runs.reasons()) <= {"duplicate"}
    assert runs.conventions["tokens"] == tokens
    assert runs.conventions["loss_unit"] == "nats"
    assert 1 < runs.loss.min() < runs.loss.max() < 11


def test_epoch_points_become_the_240_of_besiroglu(bc_data: Any) -> None:
    runs = read_runs(bc_data / "epoch_chinchilla_svg_extracted_data.csv")
    kept = filter_runs(runs, drop_highest_loss=5)
    assert len(kept) == 240
    assert kept.reasons() == {"one of the 5 highest losses": [2, 3, 4, 5, 6]}
    np.testing.assert_allclose(kept.compute, 6 * kept.params * kept.tokens)


@pytest.mark.parametrize(
    ("bound", "count"), [(50, 25), (100, 34), (250, 39), (500, 43), (1000, 45), (5000, 46), (10000, 47)]
)
def test_the_47_runs_by_ratio(bc_data: Any, bound: float, count: int) -> None:
    """Sardana et al. 2024, Section 4: the runs behind each fit of Table 1."""
    assert len(filter_runs(read_runs(bc_data / "sardana_mpt_47runs.csv"), max_tokens_per_param=bound)) == count


def test_the_wrong_flops_of_datablations_are_not_used(bc_data: Any) -> None:
    path = bc_data / "colpret_datablations_losses.csv"
    runs = read_runs(path)
    assert runs.flops is None
    assert "column 'flops' is" in runs.notes[0]
    assert runs.params.max() == 8.7e9
    stated = read_runs(path, columns={"flops": "flops"})
    assert np.median(stated.compute / runs.compute) > 4
    # And for D, one says where it is.
    assert read_runs(path, columns={"flops": "none"}).notes == ()


def test_public_tables_of_something_else_are_refused(bc_data: Any) -> None:
    path = bc_data / "obsscaling_base_llm_benchmark_eval.csv"
    assert "no column for the loss" in complaint(path)
    for score in ("MMLU", "HellaSwag", "ARC-C"):
        assert "as accuracies do" in complaint(path, columns={"loss": score})
    assert "training tokens" in complaint(bc_data / "dm_routing_moe_curves.csv.gz")
    assert "number of parameters" in complaint(bc_data / "epoch_hardware_prices.csv")
    assert "number of parameters" in complaint(bc_data / "llama_curves" / "llama2-7B.tsv")


def test_non_embedding_parameters_by_choice(bc_data: Any) -> None:
    path = bc_data / "misfitting_final_ckpt.csv"
    runs = read_runs(path, columns={"params": "N_no_emb"})
    assert runs.conventions["counts"] == "non-embedding"
    assert runs.params.max() < read_runs(path).params.max()


def test_a_delimiter_at_the_end_of_each_row_is_harmless(tmp_path: Path) -> None:
    for header in ("N,D,loss,", "N,D,loss"):
        runs = read_runs(csv(tmp_path, f"{header}\n1e8,2e9,3.4,\n1e9,2e10,2.6,\n"))
        assert runs.loss.tolist() == [3.4, 2.6]
