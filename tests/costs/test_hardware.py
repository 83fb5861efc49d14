"""The hardware catalogue against the published figures, and rows that users write."""

from __future__ import annotations

import math
import pickle
import re
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest

import beyond_chinchilla.data
from beyond_chinchilla.costs.hardware import (
    BYTES_PER_PARAMETER,
    Accelerator,
    Price,
    accelerator,
    accelerator_from_row,
    names,
)
from beyond_chinchilla.data import load_row, load_table, row_names
from beyond_chinchilla.errors import InputError, UnitError

EVERY = names()
INLINE = {"peak": {"bf16": "500 TFLOP/s"}, "memory": "96 GB", "bandwidth": "4 TB/s"}
ISO_DATE = re.compile(r"20\d\d(-\d\d(-\d\d)?)?")


def every_price(chip: Accelerator) -> list[Price]:
    return [*chip.prices, *([chip.default_price] if chip.default_price else [])]


def test_there_are_at_least_twenty_accelerators_and_the_scenarios_ones_among_them() -> None:
    assert len(EVERY) >= 24
    assert {"a100-40gb-sxm", "a100-80gb-sxm", "h100-sxm", "tpu7x", "trainium3", "gaudi3"} <= set(EVERY)


def test_no_row_is_written_twice() -> None:
    text = Path(beyond_chinchilla.data.__file__).with_name("hardware.yaml").read_text(encoding="utf-8")
    heads = re.findall(r"^(\S+):$", text, re.MULTILINE)
    assert sorted(heads) == sorted(set(heads)) == sorted(EVERY)


@pytest.mark.parametrize("name", EVERY)
def test_row_has_source_date_and_plausible_numbers(name: str) -> None:
    chip = accelerator(name)
    assert chip.name == name
    assert chip.title
    assert len(chip.source) > 10
    assert ISO_DATE.fullmatch(chip.date)
    assert chip.peak["bf16"] <= 1e16
    assert all(1e13 < rate < 2e16 for rate in chip.peak.values())
    assert 16e9 <= chip.memory <= 300e9
    assert 0.3e12 <= chip.bandwidth <= 8e12
    assert chip.scale_up is None or 32e9 <= chip.scale_up <= 900e9
    assert chip.power is None or 72 <= chip.power <= 1400


@pytest.mark.parametrize("name", EVERY)
def test_prices_are_plausible_dated_and_in_order(name: str) -> None:
    chip = accelerator(name)
    for price in every_price(chip):
        assert 0.05 <= price.usd_per_hour <= 200
        assert ISO_DATE.fullmatch(price.date)
        assert price.kind in {"on-demand", "spot", "1-year", "3-year", "capacity-block", "3-year-rental"}
        assert price.source
        assert price.offer
    assert all(one.date <= two.date for one, two in pairwise(chip.prices))


@pytest.mark.parametrize("name", EVERY)
def test_default_price_is_a_recent_list_price_on_demand_or_the_note_says_there_is_none(name: str) -> None:
    chip = accelerator(name)
    if chip.default_price is None:
        assert "price" in chip.note
        assert all(price.kind != "on-demand" for price in chip.prices)
    else:
        assert chip.default_price in chip.prices
        assert chip.default_price.kind == "on-demand"
        assert chip.default_price.date >= "2025"


# Published dense figures: TFLOP/s, GB (or GiB), TB/s, GB/s in one direction.
@pytest.mark.parametrize(
    ("name", "peak", "memory", "bandwidth", "scale_up"),
    [
        ("a100-40gb-sxm", {"fp32": 19.5, "tf32": 156, "bf16": 312, "int8": 624}, 40, 1.555, 300),
        ("a100-80gb-sxm", {"fp32": 19.5, "tf32": 156, "bf16": 312, "int8": 624}, 80, 2.039, 300),
        # Marketing's 3958 is with 2:4 sparsity.
        ("h100-sxm", {"fp32": 66.9, "tf32": 494.7, "bf16": 989, "fp8": 1979, "int8": 1979}, 80, 3.35, 450),
        ("h100-pcie", {"fp32": 51.2, "tf32": 378, "bf16": 756, "fp8": 1513, "int8": 1513}, 80, 2.04, 64),
        ("h200-sxm", {"fp32": 66.9, "tf32": 494.5, "bf16": 989, "fp8": 1979, "int8": 1979}, 141, 4.8, 450),
        ("b300-sxm", {"bf16": 2250, "fp8": 4500, "fp4": 13500}, 268, 7.75, 900),
        ("l40s", {"bf16": 362, "fp8": 733, "int8": 733}, 48, 0.864, 32),
        (
            "rtx-4090",
            {"fp32": 82.6, "tf32": 82.6, "bf16": 165.2, "fp8": 330.3, "int8": 660.6, "int4": 1321},
            24,
            1.008,
            None,
        ),
        # 288 GB in some lists.
        ("mi325x", {"fp32": 163.4, "tf32": 653.7, "bf16": 1307, "fp8": 2615, "int8": 2615}, 256, 6.0, 448),
        ("tpu-v4", {"bf16": 275, "int8": 275}, 32 * 1.073741824, 1.2, 270),
        ("tpu-v5e", {"bf16": 197, "int8": 394}, 16, 0.819, 200),
        # 9.8 TB/s in one data set.
        (
            "trainium1",
            {"fp32": 47.5, "tf32": 190, "bf16": 190, "fp8": 190, "int8": 380},
            32 * 1.073741824,
            0.82,
            None,
        ),
    ],
)
def test_published_dense_figures(
    name: str, peak: dict[str, float], memory: float, bandwidth: float, scale_up: float | None
) -> None:
    chip = accelerator(name)
    assert {precision: rate / 1e12 for precision, rate in chip.peak.items()} == pytest.approx(peak, rel=1e-12)
    assert chip.memory == pytest.approx(memory * 1e9, rel=1e-12)
    assert chip.bandwidth == pytest.approx(bandwidth * 1e12, rel=1e-12)
    assert chip.scale_up == (None if scale_up is None else pytest.approx(scale_up * 1e9, rel=1e-12))


# bf16 FLOP per byte of memory traffic, as printed to the whole number.
@pytest.mark.parametrize(
    ("name", "ridge"),
    [
        ("a100-80gb-sxm", 153),
        ("h100-sxm", 295),
        ("h200-sxm", 206),
        ("mi300x", 247),
        ("mi355x", 315),
        ("tpu-v5p", 166),
        ("tpu-v6e", 560),
    ],
)
def test_ridge_at_half_a_printed_digit(name: str, ridge: float) -> None:
    chip = accelerator(name)
    assert chip.peak_flops("bf16") / chip.bandwidth == pytest.approx(ridge, abs=0.5)


@pytest.mark.parametrize("name", EVERY)
def test_fewer_bits_are_never_slower(name: str) -> None:
    peak = accelerator(name).peak
    ladder = [peak[precision] for precision in ("fp32", "tf32", "bf16", "fp8", "fp4") if precision in peak]
    assert len(ladder) >= 1
    assert ladder == sorted(ladder)
    assert peak.get("int8", math.inf) >= peak["bf16"]


@pytest.mark.parametrize("name", EVERY)
def test_no_figure_is_a_sparse_one(name: str) -> None:
    # Halving the bits doubles the dense rate, give or take 2 %, and a sparse figure would double it again.
    # The exceptions are as published: int8 of the RTX 4090, fp8 of Trainium3, fp4 of Blackwell Ultra.
    peak = accelerator(name).peak
    eight = {"trainium3": 3.76, "rtx-4090": 4.01}.get(name, 2.03)
    four = {"b300-sxm": 3.01, "gb300-nvl72": 3.01}.get(name, 2.03)
    assert peak.get("fp8", 0.0) <= eight * peak["bf16"]
    assert peak.get("int8", 0.0) <= eight * peak["bf16"]
    assert peak.get("fp4", 0.0) <= four * peak.get("fp8", 0.0)


def test_a_precision_that_the_chip_lacks_is_an_error_that_lists_what_it_has() -> None:
    with pytest.raises(InputError) as refused:
        accelerator("b300-sxm").peak_flops("int8")
    assert str(refused.value) == "b300-sxm has no int8 peak; it has bf16, fp8, fp4"
    with pytest.raises(InputError, match=r"a100-80gb-sxm has no fp8 peak; it has fp32, tf32, bf16, int8$"):
        accelerator("a100-80gb-sxm").peak_flops("fp8")


def test_unknown_name_gets_the_nearest() -> None:
    with pytest.raises(InputError) as refused:
        accelerator("h100-smx")
    assert str(refused.value) == "no hardware 'h100-smx'; did you mean 'h100-sxm'?"


def test_inline_chip_in_base_units() -> None:
    chip = accelerator_from_row(
        "own",
        {
            **INLINE,
            "memory": "96 GiB",
            "scale_up": 400,
            "power": "0.5 kW",
            "date": 2026,
            "default_price": {"price": "$2.25/hour", "date": "2026-10"},
        },
    )
    assert chip == Accelerator(
        name="own",
        title="own",
        peak={"bf16": 5e14},
        memory=96 * 2**30,
        bandwidth=4e12,
        scale_up=4e11,
        power=500.0,
        date="2026",
        default_price=Price(2.25, kind="on-demand", date="2026-10", source=""),
    )


@pytest.mark.parametrize("name", EVERY)
def test_catalogue_rows_are_what_a_user_may_write_inline(name: str) -> None:
    assert accelerator_from_row(name, load_table("hardware")[name]) == accelerator(name)


def test_override_changes_only_what_it_names() -> None:
    base = accelerator("h100-sxm")
    chip = accelerator_from_row("h100-96gb", {"memory": "96 GB", "peak": {"fp8": "1500 TFLOP/s"}}, base=base)
    assert chip.memory == 96e9
    assert chip.peak == {**base.peak, "fp8": 1.5e15}
    assert chip.peak_flops("bf16") == 989e12
    assert (chip.name, chip.title, chip.bandwidth) == ("h100-96gb", base.title, base.bandwidth)
    assert (chip.default_price, chip.prices) == (base.default_price, base.prices)
    assert chip.source == f"h100-sxm with other memory, peak; the rest: {base.source}"
    assert base.peak["fp8"] == 1979e12, "the catalogue's own row must stay as it is"


def test_an_empty_override_is_the_base() -> None:
    base = accelerator("tpu-v5p")
    assert accelerator_from_row("tpu-v5p", {}, base=base) == base


def test_every_mistake_of_a_row_is_reported_at_once() -> None:
    row = {
        "peak": {"bf16": "-5 TFLOP/s", "bf17": "1 TFLOP/s", "fp8": "80 GB"},
        "memory": 0,
        "bandwith": "4 TB/s",
        "power": True,
        "date": "yesterday",
        "note": 7,
        "prices": [{"price": "2 USD/hour", "dat": "2026"}, {"kind": "spot"}, 3],
        "default_price": 3,
    }
    with pytest.raises(InputError) as refused:
        accelerator_from_row("own", row)
    lines = str(refused.value).splitlines()
    assert [line.split(": ")[:2] for line in lines] == [
        ["own", "bandwith"],
        ["own", "bandwidth"],
        ["own", "peak.bf17"],
        ["own", "peak.bf16"],
        ["own", "peak.fp8"],
        ["own", "memory"],
        ["own", "power"],
        ["own", "default_price"],
        ["own", "prices[0].dat"],
        ["own", "prices[1].price"],
        ["own", "prices[2]"],
        ["own", "date"],
        ["own", "note"],
    ]
    assert lines[0] == "own: bandwith: not a field; did you mean 'bandwidth'?"
    assert lines[1] == "own: bandwidth: missing; write it like '3.35 TB/s'"
    assert lines[3] == ("own: peak.bf16: '-5 TFLOP/s' is not above zero and finite; write it like '989 TFLOP/s'")
    assert lines[5] == "own: memory: '0' is not above zero and finite; write it like '80 GB'"
    assert lines[11] == "own: date: 'yesterday' is not a date; write it like 2026, 2026-10 or 2026-10-01"


@pytest.mark.parametrize("value", ["nan", float("nan"), float("inf"), "1e300 TB/s", None, [], "4 W"])
def test_a_bandwidth_that_is_no_bandwidth_is_refused(value: object) -> None:
    with pytest.raises(InputError, match=r"^own: bandwidth: "):
        accelerator_from_row("own", {**INLINE, "bandwidth": value})


@pytest.mark.parametrize("peak", [{}, "989 TFLOP/s", None])
def test_peak_is_by_precision(peak: object) -> None:
    with pytest.raises(InputError, match=r"own: peak: .* write it like '\{bf16: 989 TFLOP/s\}'"):
        accelerator_from_row("own", {**INLINE, "peak": peak})


def test_a_row_that_is_no_mapping_is_refused() -> None:
    with pytest.raises(InputError, match="own: '80 GB' is not a set of fields; write at least peak, mem"):
        accelerator_from_row("own", "80 GB")  # type: ignore[arg-type]


def test_accelerators_hash_and_pickle() -> None:
    chip = accelerator("mi300x")
    assert {chip: 1}[accelerator_from_row("mi300x", load_row("hardware", "mi300x"))] == 1
    assert pickle.loads(pickle.dumps(chip)) == chip


@pytest.mark.parametrize("table", ["hardware", "models", "laws"])
def test_rows_read_one_by_one_are_the_whole_table_and_dates_stay_text(table: str) -> None:
    import yaml

    path = Path(beyond_chinchilla.data.__file__).with_name(f"{table}.yaml")
    whole = yaml.load(path.read_text(encoding="utf-8"), Loader=yaml.BaseLoader)
    assert row_names(table) == list(whole)
    for name, row in load_table(table).items():
        assert row.get("date") == whole[name].get("date")
        assert list(row) == list(whole[name])


def test_reading_an_accelerator_loads_no_heavy_package() -> None:
    # tpu-v4 has GiB, which must not load the unit registry
    code = (
        "import sys; from beyond_chinchilla.costs.hardware import accelerator; accelerator('tpu-v4');"
        "print(sorted({'pint', 'pandas', 'scipy', 'pydantic'} & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_a_unit_error_is_an_input_error_so_that_one_handler_catches_both() -> None:
    with pytest.raises(InputError) as refused:
        accelerator_from_row("own", {**INLINE, "memory": "80 W"})
    assert issubclass(UnitError, InputError)
    assert "'80 W' is not in GB" in str(refused.value)


@pytest.mark.parametrize("prices", ["2 USD/hour", {"price": 2}, 3, None])
def test_prices_are_a_list(prices: object) -> None:
    with pytest.raises(InputError) as refused:
        accelerator_from_row("own", {**INLINE, "prices": prices})
    assert str(refused.value) == (
        f"own: prices: '{prices}' is not a list; write it like '- {{price: 2.50 USD/hour, kind: on-demand, "
        'date: "2026-10", source: offer of our provider}\''
    )


@pytest.mark.parametrize(
    ("date", "fine"),
    [
        ("2026", True), ("2026-12", True), ("2026-13", False), ("2026-00", False), ("2026-10-31", True),
        ("2026-10-32", False), ("2026-10-00", False), ("26", False), ("2026-1", False), ("2026-10-1", False),
    ],
)  # fmt: skip
def test_dates_of_prices(date: str, fine: bool) -> None:
    row = {**INLINE, "prices": [{"price": 2, "date": date}]}
    if fine:
        assert accelerator_from_row("own", row).prices == (Price(2.0, kind="on-demand", date=date, source=""),)
    else:
        with pytest.raises(InputError, match=rf"^own: prices\[0\]\.date: '{date}' is not a date"):
            accelerator_from_row("own", row)


def test_each_quantity_in_its_own_unit() -> None:
    row = {
        "peak": {"bf16": 500, "fp8": "1 PFLOP/s"}, "memory": "96 GiB ", "bandwidth": 4, "scale_up": "0.45 TB/s",
        "power": 700, "default_price": {"price": 2.5},
    }  # fmt: skip
    chip = accelerator_from_row("own", row)
    assert dict(chip.peak) == {"bf16": 5e14, "fp8": 1e15}
    assert (chip.memory, chip.bandwidth, chip.power) == (96 * 2.0**30, 4e12, 700.0)
    assert chip.scale_up == pytest.approx(4.5e11, rel=1e-14)
    assert chip.default_price is not None
    assert chip.default_price.usd_per_hour == 2.5
    assert (chip.title, chip.prices, chip.source, chip.date, chip.note) == ("own", (), "", "", "")
    assert accelerator_from_row("own", row | {"memory": 80}).memory == 80e9


def test_a_parameter_takes_as_many_bytes_as_its_bits_say() -> None:
    # tf32 is kept as fp32.
    bits = {name: 32 if name == "tf32" else int(re.sub(r"\D", "", name)) for name in BYTES_PER_PARAMETER}
    assert {name: bits[name] / 8 for name in bits} == BYTES_PER_PARAMETER
