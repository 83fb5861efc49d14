"""``bc-opt hardware --prices``: what a downloaded list asks, and what was set aside."""

from __future__ import annotations

import csv
import gzip
import io
import json

import pytest
from click.testing import CliRunner

from beyond_chinchilla.cli.main import cli

LIST = """\
InstanceType,AcceleratorName,AcceleratorCount,vCPUs,MemoryGiB,GpuInfo,Price,SpotPrice,Region,AvailabilityZone
p5.48xlarge,H100,8.0,192.0,2048.0,"{'Gpus': [1]}",55.04,18.734000,us-east-1,use1-az2
p5.48xlarge,H100,8.0,192.0,2048.0,"{'Gpus': [1]}",60.00,70,us-west-2,usw2-az2
p5.48xlarge,H100,8.0,192.0,2048.0,"{'Gpus': [1]}",n/a,,eu-west-1,euw1-az2
a,H200,1,1,1,,3.50,,r,
m5.large,,,2,8,,0.096,0.03,us-east-1,use1-az2
"""


@pytest.fixture
def prices(tmp_path):
    (tmp_path / "aws").mkdir()
    path = tmp_path / "aws" / "vms.csv"
    path.write_text(LIST)
    return path


def run(*args, code=0):
    result = CliRunner().invoke(cli, ["hardware", *map(str, args)])
    assert result.exit_code == code, result.output
    return result


def refused(*args):
    result = run(*args, code=2)
    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    return line


def test_the_page_shows_prices_and_what_was_set_aside(prices):
    page = " ".join(run("--prices", prices).stdout.split())
    assert "vms.csv: 4 offers, 2 set aside (SkyPilot)" in page
    # 55.04 / 8; the median of 6.88 and 7.50; RunPod's 2.69 from the catalogue.
    assert "h100-sxm on-demand 6.88 7.19 2 2.69 aws us-east-1" in page
    assert "h100-sxm spot 2.34 2.34 1 2.69 aws us-east-1" in page
    assert "h200-sxm on-demand 3.50* 3.50 1 3.59 aws r" in page
    assert "* SXM or PCIe is not stated." in page
    assert "1 row has no accelerator." in page
    assert "1 the spot price is above the price on demand line 3:" in page
    assert "1 the price is not a number line 4:" in page


def test_one_chip_and_one_kind(prices):
    page = run("--prices", prices, "--chip", "h100-sxm", "--kind", "spot").stdout
    assert "2.34" in page
    assert "6.88" not in page
    assert "h200" not in page.split("What to know")[0]
    assert run("h100-sxm", "--prices", prices, "--kind", "spot").stdout == page


def test_json_lists_everything(prices, tmp_path):
    found = json.loads(run("--prices", prices, "--format", "json").stdout)
    assert found["schema"] == "beyond-chinchilla/prices/1"
    assert [(row["chip"], row["kind"], row["usd_per_hour"]) for row in found["prices"]] == [
        ("h100-sxm", "on-demand", 6.88),
        ("h100-sxm", "spot", 2.34175),
        ("h200-sxm", "on-demand", 3.5),
    ]
    assert [offer["line"] for offer in found["offers"]] == [2, 2, 3, 5]
    assert [(each["line"], each["reason"]) for each in found["set_aside"]] == [
        (3, "the spot price is above the price on demand"),
        (4, "the price is not a number"),
    ]
    run("--prices", prices, "-o", tmp_path / "out.json")
    assert json.loads((tmp_path / "out.json").read_text()) == found


def test_csv_and_markdown(prices):
    rows = list(csv.DictReader(io.StringIO(run("--prices", prices, "--format", "csv").stdout)))
    assert [(row["line"], row["usd_per_hour"], row["set_aside"] != "") for row in rows] == [
        ("2", "6.88", False),
        ("2", "2.34175", False),
        ("3", "7.5", False),
        ("3", "", True),
        ("4", "", True),
        ("5", "3.5", False),
    ]
    page = run("--prices", prices, "--format", "markdown").stdout
    assert "| h100-sxm | on-demand | 6.88 |" in page


def test_dates(prices, bc_data):
    page = run("--prices", bc_data / "epoch_hardware_prices.csv", "--chip", "tpu-v5e", "--since", "2025").stdout
    assert "1.20" in page
    assert "have no date" in page
    assert refused("--prices", prices, "--since", "spring") == (
        "--since spring: not a date; write it like 2026, 2026-10 or 2026-10-01"
    )


def test_a_bill_in_another_currency_needs_its_rate(tmp_path):
    bill = tmp_path / "bill.csv"
    bill.write_text(
        "BillingCurrency,ChargeCategory,EffectiveCost,PricingCategory,PricingQuantity,PricingUnit,SkuMeter,ProviderName\n"
        "EUR,Usage,43.2,Standard,1,Hours,p5.48xlarge,AWS\n"
    )
    assert "bills in EUR; state what one USD costs: --per-usd RATE" in refused("--prices", bill)
    page = run("--prices", bill, "--per-usd", "0.9").stdout
    # 43.2 / 0.9 / 8
    assert "6.00" in page
    assert "EUR converted at 0.9 for one USD, as stated" in " ".join(page.split())
    assert "not above zero" in refused("--prices", bill, "--per-usd", "-1")
    assert "a lot" in refused("--prices", bill, "--per-usd", "a lot")


def test_mistakes(prices):
    assert "did you mean 'h100-sxm'?" in refused("--prices", prices, "--chip", "h100-sx")
    assert "did you mean 'on-demand'?" in refused("--prices", prices, "--kind", "ondemand")
    assert refused("--prices", prices, "--chip", "l4") == "vms.csv: no offer of l4; it offers h100-sxm, h200-sxm"
    assert refused("--prices", prices, "--chip", "h200-sxm", "--kind", "spot") == (
        "vms.csv: no offer of h200-sxm (spot); it offers h100-sxm"
    )
    assert (
        refused("h100-sxm", "--prices", prices, "--chip", "l4") == "--chip l4 and the name h100-sxm: keep one of them"
    )
    for option in ("--chip", "--kind", "--since", "--per-usd"):
        assert refused(option, "1") == f"{option} 1: needs a price list; add --prices FILE"
    assert "no such file" in refused("--prices", prices.parent / "none.csv")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", b""),
        ("a.xlsx", b""),
        ("a.csv", b"month,price\n1,2\n"),
        ("a.csv", b"x" * 2_000_000),
        ("a.csv", b"\x7fELF\0\0"),
        ("a.csv.gz", gzip.compress(LIST.encode(), mtime=0)[:80]),
        ("a.csv", LIST.encode() + b"1,2,3,4,5,6,7,8,9,10,11,12\n"),
    ],
)
def test_what_is_no_list_is_one_line(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    line = refused("--prices", tmp_path / name)
    assert line.startswith(name)
    assert line.isprintable()


def test_a_list_without_a_usable_price_says_why(tmp_path):
    path = tmp_path / "vms.csv"
    path.write_text(LIST.splitlines()[0] + "\np5.48xlarge,H100,8,1,1,,-1,,r,\n")
    page = run("--prices", path).stdout
    assert "No offer of a chip of the catalogue." in page
    assert "the price is below zero" in page


def test_a_file_cannot_move_the_cursor_or_run_a_formula(tmp_path):
    path = tmp_path / "vms.csv"
    path.write_text(
        LIST.splitlines()[0] + "\n"
        "\x1b[2Jp5,\x1b]0;own\x07H100-SXM,8,1,1,,16,99,\x1b[31mred,\n=cmd()|x,\x1bevil,1,1,1,,-1,,=1+1,\n=cmd(),L4,1,1,1,,1,,r,\n"
    )
    for form in ("text", "markdown", "json"):
        assert "\x1b" not in run("--prices", path, "--format", form).stdout
    rows = list(csv.DictReader(io.StringIO(run("--prices", path, "--format", "csv").stdout)))
    assert all("\x1b" not in cell for row in rows for cell in row.values())
    assert [row["instance"] for row in rows if row["accelerator"] == "L4"] == ["'=cmd()"]
