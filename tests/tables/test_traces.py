"""Traces of requests in the columns of Azure and BurstGPT: written here, since the published ones are large."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from beyond_chinchilla.costs.forecast import Forecast
from beyond_chinchilla.costs.load import FLAT, LoadProfile
from beyond_chinchilla.errors import InputError, SpreadsheetError
from beyond_chinchilla.tables import trace_files
from beyond_chinchilla.tables.traces import Trace, read_trace

AZURE = "TIMESTAMP,ContextTokens,GeneratedTokens"
BURST = "Timestamp,Session ID,Elapsed time,Model,Request tokens,Response tokens,Total tokens,Log Type"
BOTH = "TIMESTAMP, ContextTokens, GeneratedTokens (Azure) or Timestamp, Request tokens, Response tokens (BurstGPT)"


def read(folder: Path, text: str, name: str = "trace.csv") -> Trace:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return read_trace(path)


def azure(*rows: str) -> str:
    return "\n".join([AZURE, *rows, ""])


# What a trace says


def test_azure_2023(tmp_path: Path) -> None:
    # Seven decimals and no time zone, as that trace is written
    trace = read(
        tmp_path,
        azure(
            "2023-11-16 18:15:46.6805900,374,44",
            "2023-11-16 18:15:50.9951690,396,109",
            "2023-11-16 18:45:46.6805900,879,55",
        ),
    )
    assert (trace.format, trace.place, trace.requests) == ("Azure", "trace.csv", 3)
    assert trace.seconds == pytest.approx([0.0, 4.314579, 1800.0], abs=2e-6)
    assert trace.input_tokens.tolist() == [374, 396, 879]
    assert (trace.mean_input, trace.mean_output) == (pytest.approx(549.667, abs=5e-4), pytest.approx(69.333, abs=5e-4))
    assert trace.set_aside == ()
    assert trace.notes == ("30 minutes: the load profile is by the minute, and shows no difference of hours",)


def test_azure_2024_and_2025_and_dates_with_and_without_a_fraction(tmp_path: Path) -> None:
    trace = read(
        tmp_path,
        "TIMESTAMP,NumImages,ContextTokens,GeneratedTokens\n"
        "2024-05-10 00:00:00.009930+00:00,0,2162,5\n"
        "2024-05-10 00:00:01+00:00,2,2399,6\n"
        "2024-05-10T03:00:00+02:00,0,1,7\n",
    )
    assert trace.seconds == pytest.approx([0.0, 0.99007, 3599.99007], abs=2e-6)
    assert trace.output_tokens.tolist() == [5, 6, 7]
    assert trace.unused_columns == ("NumImages",)
    assert "columns not used: NumImages" in trace.notes


def test_burstgpt_and_its_failures(tmp_path: Path) -> None:
    trace = read(
        tmp_path,
        f"{BURST}\n"
        "5,,,ChatGPT,472,18,490,Conversation log\n"
        "45,7,1.25,ChatGPT,1087,0,1087,Conversation log\n"
        "118.5,7,2,GPT-4,417,276,693,API log\n"
        "600,,,GPT-4,400,0,400,API log\n"
        "905,,,GPT-4,100,20,120,API log\n",
    )
    assert (trace.format, trace.requests) == ("BurstGPT", 3)
    assert trace.seconds.tolist() == [0.0, 113.5, 900.0]
    assert trace.output_tokens.tolist() == [18, 276, 20]
    (failures,) = trace.set_aside
    assert (failures.rows, failures.first_line) == (2, 3)
    assert trace.notes[0] == "2 rows set aside: Response tokens is 0, a request that failed (first in line 3)"
    assert trace.unused_columns == ("Session ID", "Elapsed time", "Model", "Total tokens", "Log Type")


def test_an_answer_of_no_token_is_no_failure_in_azure(tmp_path: Path) -> None:
    trace = read(tmp_path, azure("2024-05-10,5,0", "2024-05-11,5,2"))
    assert (trace.requests, trace.mean_output) == (2, 1.0)


def test_lengths_and_their_quantiles(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    read_tokens, written = rng.integers(1, 9000, 5000), rng.integers(0, 900, 5000)
    rows = [f"{second},{i},{o}" for second, (i, o) in enumerate(zip(read_tokens, written, strict=True))]
    trace = read(tmp_path, azure(*rows))
    assert trace.input_quantiles() == pytest.approx(np.quantile(read_tokens, [0.5, 0.9, 0.99]), rel=1e-12)
    assert trace.output_quantiles() == pytest.approx(np.quantile(written, [0.5, 0.9, 0.99]), rel=1e-12)
    forecast = Forecast.constant(1e6, months=12, **trace.forecast_lengths())
    assert forecast.mean_input == pytest.approx(read_tokens.mean(), rel=1e-12)
    assert forecast.total().decode_tokens == pytest.approx(12e6 * written.mean(), rel=1e-12)


@pytest.mark.parametrize(
    "header",
    [
        "time_stamp,context tokens,generated-tokens",
        "TIMESTAMP, ContextTokens ,GENERATEDTOKENS",
        '"TIMESTAMP","ContextTokens","GeneratedTokens"',
        "\ufeffTIMESTAMP,ContextTokens,GeneratedTokens",
        "timestamp,request_tokens,response_tokens",
        "GeneratedTokens;TIMESTAMP;ContextTokens",
        "ContextTokens\tGeneratedTokens\tTIMESTAMP",
    ],
)
def test_case_spaces_order_and_delimiter_do_not_matter(tmp_path: Path, header: str) -> None:
    delimiter = next(mark for mark in ",;\t" if mark in header)
    folded = [name.strip('" \ufeff').casefold() for name in header.split(delimiter)]

    def cells(time: str, read_tokens: str, written: str) -> str:
        return delimiter.join(
            time if "time" in n else written if n[:1] == "g" or "resp" in n else read_tokens for n in folded
        )

    trace = read(tmp_path, "\r\n".join([header, cells("0", "5", "6"), cells("60", "7", "8"), ""]))
    assert trace.seconds.tolist() == [0.0, 60.0]
    assert trace.input_tokens.tolist() == [5, 7]
    assert trace.output_tokens.tolist() == [6, 8]
    assert trace.set_aside == ()


def test_packed_is_the_same(tmp_path: Path) -> None:
    text = azure(*(f"{second},{second % 7 + 1},{second % 5}" for second in range(1000)))
    plain, path = read(tmp_path, text), tmp_path / "trace.csv.gz"
    path.write_bytes(gzip.compress(text.encode()))
    packed = read_trace(str(path))
    assert packed.input_tokens.tolist() == plain.input_tokens.tolist()
    assert packed.profile == plain.profile


# Load


def test_the_profile_of_a_day(tmp_path: Path) -> None:
    day = LoadProfile.from_peak_to_mean(2.5)
    counts = np.round(np.array(day.hours) * 200).astype(int)
    hour = np.repeat(np.arange(24), counts)
    seconds = hour * 3600.0 + np.concatenate([np.linspace(0, 3599, count) for count in counts])
    stamps = pd.Timestamp("2024-05-10", tz="UTC") + pd.to_timedelta(seconds, unit="s")
    # Out of order, as traces of several services are
    order = np.random.default_rng(0).permutation(len(stamps))
    trace = read(tmp_path, azure(*(f"{stamp.isoformat()},9,9" for stamp in stamps[order])))
    assert trace.profile.hours == pytest.approx(tuple(counts / counts.mean()), rel=1e-12)
    assert trace.peak_to_mean == pytest.approx(2.5, abs=0.01)
    assert trace.notes == ("1 days: the load profile has the hours of the whole days",)


@pytest.mark.parametrize(
    ("span", "length", "note"),
    [
        (100, 24, "100 seconds are too short for a load profile, so load is taken as flat"),
        (3540, 59, "59 minutes: the load profile is by the minute, and shows no difference of hours"),
        (18000, 5, "5 hours, less than a day: the load profile shows these hours only"),
        (5 * 86400, 120, "5 days: the load profile has the hours of the whole days"),
        (61 * 86400, 168, "61 days: the load profile is the mean week of the whole weeks"),
    ],
)
def test_a_note_says_what_the_profile_stands_for(tmp_path: Path, span: int, length: int, note: str) -> None:
    trace = read(tmp_path, azure(*(f"{second:.3f},1,1" for second in np.linspace(0, span, 2000))))
    assert (len(trace.profile.hours), trace.notes[-1]) == (length, note)
    assert trace.span == span
    assert (trace.profile == FLAT) == (span == 100)


# What cannot be used


def test_rows_that_cannot_be_used_are_counted_with_their_first_line(tmp_path: Path) -> None:
    trace = read(
        tmp_path,
        azure(
            "2024-05-10 00:00:00,1,2",  # line 2
            "",
            "soon,1,2",  # 4
            "2024-05-10 00:00:01,-1,2",
            "2024-05-10 00:00:02,1,many",  # 6
            "2024-05-10 00:00:03,1,inf",
            "2024-05-10 00:00:04,,2",  # 8
            "2024-05-10 00:00:05,7",
            "2024-05-10 00:00:06,1,024,55",  # 10
            "2024-05-10 00:00:07,1e12,1",
            ",1,1",  # 12
            "2024-05-10 00:00:08,3,4,",
            "2024-13-40 00:00:00,1,1",  # 14
        ),
    )
    assert trace.input_tokens.tolist() == [1, 3]
    found = {rows.reason: (rows.rows, rows.first_line) for rows in trace.set_aside}
    assert found == {
        "more cells than column names": (1, 10),
        "TIMESTAMP is missing": (1, 12),
        "TIMESTAMP is no time": (2, 4),
        "ContextTokens is missing": (1, 8),
        "ContextTokens is negative": (1, 5),
        "ContextTokens is above 1e+09": (1, 11),
        "GeneratedTokens is no number": (2, 6),
        "GeneratedTokens is missing": (1, 9),
    }


def test_counts_and_lines_run_on_over_the_parts_of_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [f"{second},{'x' if second % 40 == 39 else 5},{second % 11}" for second in range(1000)]
    whole = read(tmp_path, azure(*rows))
    monkeypatch.setattr(trace_files, "ROWS_AT_ONCE", 64)
    parts = read(tmp_path, azure(*rows))
    assert parts.set_aside == whole.set_aside
    assert [(rows.rows, rows.first_line) for rows in parts.set_aside] == [(25, 41)]
    assert parts.seconds.tolist() == whole.seconds.tolist()
    assert parts.output_tokens.tolist() == whole.output_tokens.tolist()


@given(st.lists(st.tuples(st.integers(0, 10**6), st.integers(-3, 5000), st.integers(-3, 500)), min_size=1, max_size=60))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_every_row_is_used_or_set_aside(tmp_path: Path, rows: list[tuple[int, int, int]]) -> None:
    text = "\n".join(["Timestamp,Request tokens,Response tokens", *(",".join(map(str, row)) for row in rows)])
    used = [row for row in rows if row[1] >= 0 and row[2] > 0]
    if not used:
        with pytest.raises(SpreadsheetError, match="no request that can be used"):
            read(tmp_path, text)
        return
    trace = read(tmp_path, text)
    assert trace.requests + sum(aside.rows for aside in trace.set_aside) == len(rows)
    assert trace.mean_input == pytest.approx(sum(row[1] for row in used) / len(used), rel=1e-12)
    assert trace.span == max(row[0] for row in used) - min(row[0] for row in used)


@given(st.text(alphabet='0123456789,;"\n\r\t.-:TZae+ \0é', max_size=200))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_any_text_gives_a_trace_or_a_plain_refusal(tmp_path: Path, text: str) -> None:
    try:
        trace = read(tmp_path, f"{AZURE}\n{text}")
    except SpreadsheetError:
        return
    assert trace.requests >= 1
    assert np.isfinite(trace.seconds).all()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", f"trace.csv: the first line is empty; it must hold the columns {BOTH}"),
        ("a,b\n1,2\n", f"trace.csv: no columns of a trace among 'a', 'b'; it needs {BOTH}"),
        (
            "TIMESTAMP,ContextTokens,tokens\n",
            (
                "trace.csv: no column GeneratedTokens among 'TIMESTAMP', 'ContextTokens', 'tokens'; "
                "a trace has TIMESTAMP, ContextTokens, GeneratedTokens (Azure)"
            ),
        ),
        (
            "Timestamp,Model,Response tokens\n",
            (
                "trace.csv: no column Request tokens among 'Timestamp', 'Model', 'Response tokens'; "
                "a trace has Timestamp, Request tokens, Response tokens (BurstGPT)"
            ),
        ),
        (f"{AZURE},Time stamp\n", "trace.csv: 2 columns are called TIMESTAMP; rename or drop one"),
        (f"{AZURE}\n", "trace.csv: no request that can be used: there is nothing under the header"),
        (
            f"{AZURE}\n1,2,x\n3,4,y\n",
            "trace.csv: no request that can be used: 2 rows set aside: GeneratedTokens is no number (first in line 2)",
        ),
        (
            f"{AZURE}\n1,2,3\n\n1,2,3,4,5,6,7,8\n",
            "trace.csv: line 4 has 8 cells under 3 column names; quote cells that hold the delimiter",
        ),
        # No time, and more than 64 bits
        (
            f"{AZURE}\n20000000000000000000,1,2\nsoon,1,2\n99999999999999999999,1,1\n",
            "trace.csv: times run over 2.54e+12",
        ),
        (f'{AZURE}\n"1,2,3\n', "trace.csv: cannot be read as a table: "),
        (
            # A week in milliseconds
            f"{AZURE}\n1715299200000,1,1\n1715904000000,1,1\n",
            "trace.csv: times run over 19.2 years; they must be dates or seconds (not milliseconds) of one trace",
        ),
    ],
)
def test_what_is_no_trace_is_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(SpreadsheetError) as refused:
        read(tmp_path, text)
    assert str(refused.value).startswith(message)
    assert "\n" not in str(refused.value)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.csv: no such file$"):
        read_trace(tmp_path / "none.csv")
    with pytest.raises(InputError, match="a folder, not a file; name the trace in it"):
        read_trace(tmp_path)
    with pytest.raises(InputError, match="no file has such a name"):
        read_trace("trace\0.csv")
    damaged = tmp_path / "damaged.csv.gz"
    text = azure(*(f"{second},{second % 977},{second % 13}" for second in range(5000))).encode()
    for data in (text, gzip.compress(text)[:-9]):
        damaged.write_bytes(data)
        with pytest.raises(SpreadsheetError, match=r"damaged\.csv\.gz: no gzip file, or a damaged one"):
            read_trace(damaged)
    other = tmp_path / "latin.csv"
    other.write_bytes(f"{AZURE},Model\n1,2,3,é\n".encode("latin-1"))
    with pytest.raises(SpreadsheetError, match=r"latin\.csv: not UTF-8 text; save it as CSV in UTF-8"):
        read_trace(other)


def test_a_file_of_too_many_rows_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trace_files, "MAX_ROWS", 10)
    assert read(tmp_path, azure(*["1,2,3"] * 10)).requests == 10
    with pytest.raises(SpreadsheetError, match="more than 10 rows; take a week of it"):
        read(tmp_path, azure(*["1,2,3"] * 11))
