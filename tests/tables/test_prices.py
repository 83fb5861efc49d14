"""Price lists: every known trap of every list, and what a chip costs once they are out.

The three rows as published are of SkyPilot's catalogue, v9 and v7 (2026); the form of the others follows the lists.
"""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import time

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import costly

from beyond_chinchilla.errors import InputError, SpreadsheetError
from beyond_chinchilla.tables.offers import KINDS
from beyond_chinchilla.tables.prices import read_prices

AWS = (
    "InstanceType,AcceleratorName,AcceleratorCount,vCPUs,MemoryGiB,GpuInfo,Price,SpotPrice,Region,AvailabilityZone,Arch"
)
LAMBDA = "InstanceType,AcceleratorName,AcceleratorCount,vCPUs,MemoryGiB,Price,Region,GpuInfo,SpotPrice"
GCP = "InstanceType,vCPUs,MemoryGiB,AcceleratorName,AcceleratorCount,GpuInfo,Region,AvailabilityZone,Price,SpotPrice"
GPUHUNT = "instance_name,location,price,cpu,memory,gpu_count,gpu_name,gpu_memory,spot,disk_size,gpu_vendor,flags"


def read(tmp_path, cloud, header, *rows, **options):
    (tmp_path / cloud).mkdir(exist_ok=True)
    path = tmp_path / cloud / "vms.csv"
    path.write_text("\n".join([header, *rows]) + "\n")
    return read_prices(path, **options)


def prices(found):
    return {(offer.chip, offer.kind): offer.usd_per_hour for offer in found.offers}


def reasons(found):
    return {reason: count for reason, count, _ in found.counts()}


# SkyPilot


@pytest.mark.parametrize(
    ("cloud", "header", "row", "each", "spot"),
    [
        ("aws", AWS, "p5.48xlarge,H100,8.0,192.0,2048.0,\"{'Gpus': [1]}\",55.04,18.734000,us-east-1,use1-az2,x86_64",
         55.04 / 8, 18.734 / 8),
        ("lambda", LAMBDA, 'gpu_8x_h100_sxm5,H100,8.0,208.0,1800.0,31.92,us-east-1,"{x}",', 31.92 / 8, None),
        ("nebius", LAMBDA, 'gpu-h100-sxm_8gpu-128vcpu-1600gb,H100,8,128,1600,23.60,eu-north1,"{x}",10.00',
         23.60 / 8, 10.00 / 8),
    ],
)  # fmt: skip
def test_the_rows_as_published(tmp_path, cloud, header, row, each, spot):
    found = read(tmp_path, cloud, header, row)
    assert found.format == "SkyPilot"
    assert prices(found) == {("h100-sxm", "on-demand"): each} | ({("h100-sxm", "spot"): spot} if spot else {})
    assert {offer.provider for offer in found.offers} == {cloud}
    assert {(offer.line, offer.chips_per_instance, offer.remark) for offer in found.offers} == {(2, 8.0, "")}
    assert not found.rejects


def test_a_list_saved_as_a_workbook_has_the_same_prices(tmp_path):
    row = ["p5.48xlarge", "H100", 8, 192, 2048, None, 55.04, 18.734, "us-east-1", "use1-az2", "x86_64"]
    path = tmp_path / "aws.xlsx"
    with pd.ExcelWriter(path) as book:
        pd.DataFrame([["Remarks"]]).to_excel(book, sheet_name="Read me", index=False, header=False)
        pd.DataFrame([row], columns=AWS.split(",")).to_excel(book, sheet_name="Prices", index=False, startrow=2)
    found = read_prices(path)
    assert prices(found) == {("h100-sxm", "on-demand"): 6.88, ("h100-sxm", "spot"): 2.34175}
    assert found.offers[0].line == 4


def test_columns_are_found_by_name_in_any_order(tmp_path):
    names = GCP.split(",")
    row = dict(zip(names, ["p4d.24xlarge", "96", "1152", "A100", "8", "", "us-east-1", "a", "21.96", "9"], strict=True))
    for turn in range(len(names)):
        order = names[turn:] + names[:turn]
        found = read(tmp_path, "aws", ",".join(order), ",".join(row[name] for name in order))
        assert prices(found) == {("a100-40gb-sxm", "on-demand"): 2.745, ("a100-40gb-sxm", "spot"): 1.125}


def test_google_splits_the_machine_from_its_gpus(tmp_path):
    found = read(
        tmp_path, "gcp", GCP,
        "a3-highgpu-8g,208.0,1872.0,,,,us-central1,us-central1-a,9.46006,2.17547",
        "a3-highgpu-8g,208.0,1872.0,,,,us-west1,us-west1-b,9.46006,",
        "a2-highgpu-1g,12.0,85.0,,,,us-central1,us-central1-f,0.73948,0.29576",
        "g2-standard-4,4,16,,,,us-central1,us-central1-a,0.15,0.06",
        "g2-standard-24,24,96,,,,us-central1,us-central1-a,0.9,0.36",
        "n1-highmem-8,8.0,52.0,,,,us-central1,us-central1-a,0.47321,0.09962",
        ",,,H100,8,{},us-central1,us-central1-a,78.0,20.0",
        ",,,H100,8,{},us-west1,us-west1-b,78.0,20.0",
        ",,,L4,1,{},us-central1,us-central1-a,0.56,0.2",
        ",,,L4,2,{},us-central1,us-central1-a,1.12,0.4",
        ",,,T4,1,{},us-central1,us-central1-a,0.35,0.14",
    )  # fmt: skip
    whole = [(offer.instance, offer.region, offer.kind, offer.usd_per_hour) for offer in found.offers]
    assert whole == [
        ("a3-highgpu-8g", "us-central1", "on-demand", pytest.approx((78.0 + 9.46006) / 8)),
        ("a3-highgpu-8g", "us-central1", "spot", pytest.approx((20.0 + 2.17547) / 8)),
        # The machine has no spot price there: half a price is none.
        ("a3-highgpu-8g", "us-west1", "on-demand", pytest.approx((78.0 + 9.46006) / 8)),
        ("g2-standard-4", "us-central1", "on-demand", pytest.approx(0.71)),
        ("g2-standard-4", "us-central1", "spot", pytest.approx(0.26)),
        ("g2-standard-24", "us-central1", "on-demand", pytest.approx(2.02 / 2)),
        ("g2-standard-24", "us-central1", "spot", pytest.approx(0.76 / 2)),
    ]
    assert [(reject.line, reject.reason.split(":")[0]) for reject in found.rejects] == [
        (4, "the price is of the machine alone"),
        (12, "the price is of the GPU alone"),
    ]
    assert "1 row has no accelerator" in found.notes


def test_half_a_price_of_google_is_none(tmp_path):
    alone = "a3-highgpu-8g,208.0,1872.0,,,,us-central1,us-central1-a,9.46,2.17"
    found = read(tmp_path, "gcp", GCP, alone)
    assert found.offers == ()
    assert reasons(found) == {"the price is of the machine alone: its GPUs are not in the file": 1}
    found = read(tmp_path, "gcp", GCP, alone, ",,,H100,8,{},us-central1,us-central1-a,0,0")
    assert found.offers == ()
    assert reasons(found) == {"the price is zero": 1}
    found = read(tmp_path, "gcp", GCP, alone, ",,,H100,8,{},us-central1,us-central1-a,-4,-1")
    assert reasons(found) == {"the price is below zero": 2}


def test_700_dollars_stand_for_unavailable(tmp_path):
    found = read(
        tmp_path, "gcp", GCP,
        ",,,tpu-v6e-8,1,tpu-v6e-8,us-central2,us-central2-b,700.0,700.0",
        ",,,tpu-v6e-8,1,tpu-v6e-8,us-east1,us-east1-d,21.6,5.18666",
        ",,,tpu-v6e-256,1,tpu-v6e-256,us-east1,us-east1-d,691.2,700.0",
        "a3-ultragpu-8g,1,1,,,,us-east1,us-east1-d,9.0,2.0",
        ",,,H200,8,{},us-east1,us-east1-d,700.0,30.0",
    )  # fmt: skip
    assert prices(found) == {
        ("tpu-v6e", "on-demand"): pytest.approx(2.70),
        ("tpu-v6e", "spot"): pytest.approx(0.6483325),
        ("h200-sxm", "spot"): 4.0,
    }
    assert reasons(found) == {"700.00 stands for 'not available'": 4}


def test_names_of_tpus_count_cores_or_chips(tmp_path):
    found = read(
        tmp_path, "gcp", GCP,
        ",,,tpu-v5p-8,1,x,us-east5,us-east5-a,16.8,",
        ",,,tpu-v6e-8,1,x,us-east5,us-east5-a,21.6,",
        ",,,tpu-v5litepod-4,1,x,us-east5,us-east5-a,4.8,",
        ",,,tpu7x-8,1,x,us-east5,us-east5-a,80,",
    )  # fmt: skip
    # 4.20, 2.70 and 1.20 USD per chip-hour are Google's list prices (2025-03, 2026).
    expected = {("tpu-v5p", "on-demand"): 4.20, ("tpu-v6e", "on-demand"): 2.70, ("tpu-v5e", "on-demand"): 1.20}
    assert prices(found) == pytest.approx(expected)
    assert reasons(found) == {"how many chips it has is not stated": 1}


def test_a_spot_price_that_is_not_below_the_price_on_demand_is_none(tmp_path):
    found = read(
        tmp_path, "azure", AWS,
        "Standard_ND96isr_H100_v5,H100,12,96,1900,x,98.32,98.32,eastus,,",
        "Standard_ND96isr_H200_v5,H200,8,96,1900,x,84.8,90.0,eastus,,",
        "Standard_ND96amsr_A100_v4,A100-80GB,8,96,1900,x,32.8,16.4,eastus,,",
    )  # fmt: skip
    assert prices(found) == {
        ("h100-sxm", "on-demand"): 98.32 / 8,
        ("h200-sxm", "on-demand"): 10.6,
        ("a100-80gb-sxm", "on-demand"): 4.1,
        ("a100-80gb-sxm", "spot"): 2.05,
    }
    assert reasons(found) == {
        "the spot price is the price on demand": 1,
        "the spot price is above the price on demand": 1,
    }
    assert "1 row has 12 chips for Standard_ND96isr_H100_v5, corrected to 8 (line 2)" in found.notes


def test_a_right_count_is_not_corrected(tmp_path):
    found = read(tmp_path, "azure", AWS, "Standard_ND96isr_H100_v5,H100,8,96,1900,x,98.32,,eastus,,")
    assert prices(found) == {("h100-sxm", "on-demand"): 98.32 / 8}
    assert found.notes == ()


def test_vast_writes_zero_where_it_has_no_spot_price(tmp_path):
    found = read(
        tmp_path, "vast", AWS,
        "4x-L40S,L40S,4,96,1900,x,2.48,0.00,US,,",
        "1x-L40S,L40S,1,96,1900,x,0.70,,US,,",
    )  # fmt: skip
    assert [(offer.kind, offer.usd_per_hour) for offer in found.offers] == [("on-demand", 0.62), ("on-demand", 0.70)]
    assert not found.rejects
    assert "1 row has a spot price of 0, which is read as none" in found.notes


def test_runpod_leaves_the_form_out_for_pcie(tmp_path):
    found = read(
        tmp_path, "runpod", AWS,
        "1x_H100_SECURE,H100,1,16,80,x,1.99,1.99,US,US-CA-1,",
        "1x_H100-SXM_SECURE,H100-SXM,1,16,80,x,2.69,,US,US-CA-1,",
    )  # fmt: skip
    assert prices(found) == {("h100-pcie", "on-demand"): 1.99, ("h100-sxm", "on-demand"): 2.69}
    assert reasons(found) == {"the spot price is the price on demand": 1}


@pytest.mark.parametrize(
    ("cell", "reason"),
    [
        ("n/a", "the price is not a number"),
        ("$2.50", "the price is not a number"),
        ('"2,50"', "the price is not a number"),
        ("nan", "the price is not a number"),
        ("-2.5", "the price is below zero"),
        ("0", "the price is zero"),
        ("", "no price"),
        ("0.009", "less than 0.01 or more than 1000 USD for one hour of a chip"),
        ("1001", "less than 0.01 or more than 1000 USD for one hour of a chip"),
        ("1e300", "less than 0.01 or more than 1000 USD for one hour of a chip"),
        ("inf", "less than 0.01 or more than 1000 USD for one hour of a chip"),
    ],
)
def test_what_is_no_price_is_set_aside(tmp_path, cell, reason):
    found = read(
        tmp_path, "aws", AWS, f"p5.48xlarge,H100,1,1,1,x,{cell},,us-east-1,,", "p5.48xlarge,H100,1,1,1,x,7,,r,,"
    )
    assert reasons(found) == {reason: 1}
    assert found.rejects[0].line == 2
    assert len(found.offers) == 1


def test_a_price_of_hundreds_of_digits_is_set_aside(tmp_path):
    found = read(
        tmp_path, "aws", AWS, f"p5.48xlarge,H100,1,1,1,x,{'9' * 400},,us-east-1,,", "p5.48xlarge,H100,1,1,1,x,7,,r,,"
    )
    # pandas 3 reads an infinite number, pandas 2 none.
    too_much = "less than 0.01 or more than 1000 USD for one hour of a chip"
    assert reasons(found) in ({too_much: 1}, {"the price is not a number": 1})
    assert len(found.offers) == 1


@pytest.mark.parametrize("count", ["0", "-8", "", "many", "nan"])
def test_without_a_count_there_is_no_price_of_a_chip(tmp_path, count):
    found = read(tmp_path, "aws", AWS, f"p5.48xlarge,H100,{count},1,1,x,55,,us-east-1,,")
    assert reasons(found) == {"how many chips it has is not stated": 1}


def test_chips_that_are_not_in_the_catalogue_stay_in_the_list(tmp_path):
    found = read(tmp_path, "aws", AWS, "g4dn.xlarge,T4,1,4,16,x,0.526,0.2,us-east-1,,")
    assert [(offer.chip, offer.accelerator, offer.usd_per_hour) for offer in found.offers] == [
        (None, "T4", 0.526),
        (None, "T4", 0.2),
    ]
    assert found.price_table() == {}
    assert found.notes == ("2 offers have no known chip (not in the catalogue): T4 (2)",)


def test_a_form_that_is_assumed_does_not_set_the_price_where_another_is_stated(tmp_path):
    rows = ["a,H100,1,1,1,x,1.50,,r,,", "b,H100-SXM,1,1,1,x,2.50,,r,,", "c,H200,1,1,1,x,3.50,,r,,"]
    found = read(tmp_path, "vast", AWS, *rows)
    assert found.price_table() == {"h100-sxm": 2.5, "h200-sxm": 3.5}
    assert found.cheapest("h200-sxm").form_assumed
    assert "2 offers do not say SXM or PCIe and are taken as SXM (h100-sxm, h200-sxm)" in found.notes[0]


def test_the_provider_is_the_list_s_and_never_a_folder_s(tmp_path):
    row = "p5.48xlarge,H100,8,1,1,x,55.04,,r,,"
    assert read(tmp_path, "Downloads", AWS, row).offers[0].provider == ""
    assert read(tmp_path, "Downloads", AWS, row, provider="our own").offers[0].provider == "our own"
    (tmp_path / "aws-2026-11.csv").write_text(f"{AWS}\n{row}\n")
    assert read_prices(tmp_path / "aws-2026-11.csv").offers[0].provider == "aws"


def test_google_s_spot_prices_above_the_price_on_demand_are_none(tmp_path):
    found = read(tmp_path, "gcp", GCP, ",,,tpu-v6e-8,1,x,us-east5,us-east5-a,21.6,24.0")
    assert prices(found) == {("tpu-v6e", "on-demand"): pytest.approx(2.70)}
    assert reasons(found) == {"the spot price is above the price on demand": 1}


def test_names_of_a_megabyte_are_read_in_no_time(tmp_path):
    long = "tpu" * 300_000
    start = time.process_time()
    found = read(tmp_path, "gcp", AWS, f"{long},{long},1,1,1,x,2,,r,,", f"a3-highgpu-{'9' * 5000}g,,,,,,2,,r,,")
    assert len(found.offers) == 1
    assert bill(tmp_path, {"ConsumedUnit": "1" + " " * 200_000 + "x", "SkuMeter": long}).offers == ()
    assert time.process_time() - start < 5.0


# gpuhunt


def test_gpuhunt_prices_are_of_instances(tmp_path):
    found = read(
        tmp_path, "crusoe", GPUHUNT,
        "h100-80gb-sxm-ib.8x,us-east1,31.2,176,960,8,H100,80.0,False,,nvidia,",
        "h100-80gb-sxm-ib.8x,us-east1,12.8,176,960,8,H100,80.0,True,,nvidia,",
        "a100.8x,us-east1,15.6,176,960,8,A100,80.0,False,,nvidia,",
        "a100.8x,us-east1,15.6,176,960,8,A100,80.0,True,,nvidia,",
        "mi325x.8x,us-east1,30.4,176,960,8,MI325X,288.0,False,,amd,",
        "c1a.2x,us-east1,0.1,2,8,0,,,False,,,",
        "v5p-8,us-east5,16.8,208,448,8,v5p,95,False,,google,",
        "h100.1x,us-east1,2,1,1,1,H100,80,perhaps,,nvidia,",
    )  # fmt: skip
    assert found.format == "gpuhunt"
    # Crusoe: H100 3.90 on demand and 1.60 spot, A100 1.95 (gpuhunt 0.1.34).
    assert prices(found) == pytest.approx(
        {
            ("h100-sxm", "on-demand"): 3.90,
            ("h100-sxm", "spot"): 1.60,
            ("a100-80gb-sxm", "on-demand"): 1.95,
            ("mi325x", "on-demand"): 3.80,
            ("tpu-v5p", "on-demand"): 4.20,
        }
    )
    assert reasons(found) == {
        "the spot price is the price on demand": 1,
        "it does not say whether it is a spot price": 1,
    }
    assert "1 row has no accelerator" in found.notes


# Lists per chip-hour


FEED = {
    "provider": "datacrunch", "gpu_model_raw": "H100 SXM5 80GB", "gpu_key": "H100 80GB", "gpu_form": "SXM",
    "gpu_count": 8, "vram_gb": 80, "pricing_type": "on-demand", "price_total_hr_usd": 29.04,
    "price_per_gpu_hr_usd": 3.63, "region": None,
}  # fmt: skip


def test_the_feed_is_per_chip_already(tmp_path):
    offers = [
        FEED,
        FEED | {"gpu_form": "PCIe", "price_per_gpu_hr_usd": 1.99},
        FEED | {"pricing_type": "reserved"},
        FEED | {"price_per_gpu_hr_usd": None},
        FEED | {"price_per_gpu_hr_usd": True},
    ]
    for name, content in (("a.jsonl", "\n".join(map(json.dumps, offers))), ("a.json", json.dumps({"offers": offers}))):
        (tmp_path / name).write_text(content)
        found = read_prices(tmp_path / name)
        assert found.format == "gpu-price-feed"
        assert prices(found) == {("h100-sxm", "on-demand"): 3.63, ("h100-pcie", "on-demand"): 1.99}
        assert reasons(found) == {"neither on demand nor spot": 1, "no price": 1, "the price is not a number": 1}


def test_the_history_of_the_feed_has_dates(tmp_path):
    runs = [
        {"schema_version": 2, "collected_at": f"2026-{month}-01T06:00:00+00:00", "cheapest": {"runpod": chips}}
        for month, chips in (("09", {"H100 80GB SXM": 2.49}), ("10", {"H100 80GB SXM": 2.69, "H100 80GB PCIe": 1.99}))
    ]
    (tmp_path / "2026-10.jsonl").write_text("\n".join(map(json.dumps, runs)))
    found = read_prices(tmp_path / "2026-10.jsonl")
    assert [(offer.line, offer.date, offer.provider, offer.usd_per_hour) for offer in found.offers] == [
        (1, "2026-09-01", "runpod", 2.49),
        (2, "2026-10-01", "runpod", 2.69),
        (2, "2026-10-01", "runpod", 1.99),
    ]
    assert found.price_table() == {"h100-sxm": 2.49, "h100-pcie": 1.99}
    assert found.since("2026-10").price_table() == {"h100-sxm": 2.69, "h100-pcie": 1.99}
    assert "1 offers are older than 2026-10 or have no date" in found.since("2026-10").notes


def test_the_prices_of_epoch(bc_data):
    found = read_prices(bc_data / "epoch_hardware_prices.csv")
    assert found.format == "Epoch AI"
    assert len(found.offers) + len(found.rejects) >= 591
    assert reasons(found)["the price of buying it, not of an hour"] > 100
    dated = {(o.provider, o.date, o.kind): o.usd_per_hour for o in found.offers if o.chip == "h100-sxm"}
    # RunPod's list price of July 2024.
    assert dated["RunPod", "2024-07-27", "on-demand"] == 3.99
    recent = found.since("2025")
    # Google's v5e and v6e, March 2025.
    assert recent.cheapest("tpu-v5e", "1-year").usd_per_hour == 0.84
    assert recent.cheapest("tpu-v6e", "3-year").usd_per_hour == 1.22
    assert {offer.chip for offer in found.offers if offer.accelerator == "NVIDIA A100"} == {None}


# FOCUS


USAGE = {
    "BillingCurrency": "USD", "ChargeCategory": "Usage", "ChargeClass": "", "ChargeDescription": "",
    "ChargePeriodStart": "2026-02-01T00:00:00Z", "CommitmentDiscountName": "", "CommitmentDiscountStatus": "",
    "ConsumedQuantity": "2", "ConsumedUnit": "Hours", "ContractedUnitPrice": "", "EffectiveCost": "110.08",
    "ListUnitPrice": "", "PricingCategory": "Standard", "PricingQuantity": "2", "PricingUnit": "Hours",
    "ServiceProviderName": "AWS", "RegionId": "us-east-1", "ServiceCategory": "Compute", "SkuId": "S1",
    "SkuMeter": "BoxUsage:p5.48xlarge", "SkuPriceDetails": "", "ResourceName": "",
}  # fmt: skip


def bill(tmp_path, *changes, drop=(), rename=None, **options):
    buffer = io.StringIO()
    names = [name for name in {key: 0 for row in (USAGE, *changes) for key in row} if name not in drop]
    writer = csv.DictWriter(buffer, names, extrasaction="ignore", restval="")
    writer.writeheader()
    for change in changes:
        writer.writerow(USAGE | change)
    text = buffer.getvalue()
    for old, new in (rename or {}).items():
        text = text.replace(old, new, 1)
    (tmp_path / "bill.csv").write_text(text)
    return read_prices(tmp_path / "bill.csv", **options)


def test_a_bill_is_cost_over_hours_of_chips(tmp_path):
    found = bill(
        tmp_path,
        {},
        {"EffectiveCost": "20.00", "ConsumedQuantity": "1", "ChargePeriodStart": "2026-02-03T00:00:00Z"},
        {"RegionId": "eu-west-1", "EffectiveCost": "96"},
        {"PricingCategory": "Dynamic", "EffectiveCost": "32"},
        {"PricingCategory": "Committed", "EffectiveCost": "48", "CommitmentDiscountName": "plan, 3 year"},
        {"PricingCategory": "Committed", "EffectiveCost": "64", "CommitmentDiscountName": "P1Y"},
        {"PricingCategory": "Committed", "EffectiveCost": "80"},
    )
    assert found.format == "FOCUS"
    assert [(offer.region, offer.kind, offer.usd_per_hour) for offer in found.offers] == [
        ("us-east-1", "on-demand", pytest.approx(130.08 / 3 / 8)),
        ("eu-west-1", "on-demand", 6.0),
        ("us-east-1", "spot", 2.0),
        ("us-east-1", "3-year", 3.0),
        ("us-east-1", "1-year", 4.0),
        ("us-east-1", "committed", 5.0),
    ]
    assert {offer.chip for offer in found.offers} == {"h100-sxm"}
    assert found.offers[0].date == "2026-02-03"
    assert found.offers[0].provider == "AWS"
    assert not found.rejects


def test_provider_columns_of_every_version(tmp_path):
    for rename in ({}, {"ServiceProviderName": "ProviderName"}):
        assert bill(tmp_path, {}, rename=rename).offers[0].provider == "AWS"
    found = bill(
        tmp_path,
        {"ProviderName": "old", "ServiceProviderName": "new"},
        {"ProviderName": "old", "ServiceProviderName": ""},
    )
    assert {offer.provider for offer in found.offers} == {"new", "old"}


def test_charges_that_are_no_usage_are_set_aside(tmp_path):
    found = bill(
        tmp_path,
        *({"ChargeCategory": category} for category in ("Tax", "Credit", "Purchase", "Adjustment", "Gift")),
        {"ChargeClass": "Correction"},
        {"CommitmentDiscountStatus": "Unused", "EffectiveCost": "79.11"},
        {"CommitmentDiscountStatus": "Used"},
        {"EffectiveCost": "-5"},
        {"PricingCategory": "Other"},
        {"EffectiveCost": "free"},
        {"ConsumedQuantity": "0"},
        {"ConsumedUnit": "GB", "PricingUnit": "GB"},
    )
    assert reasons(found) == {
        "tax, not usage": 1,
        "credit, not usage": 1,
        "purchase, not usage": 1,
        "adjustment, not usage": 1,
        "no known charge category": 1,
        "a correction of an earlier bill": 1,
        "a commitment that was not used": 1,
        "a credit or refund: the cost is below zero": 1,
        "neither on demand, spot nor committed": 1,
        "the price is not a number": 1,
        "no hours": 1,
        "not billed by time": 1,
    }
    assert prices(found) == {("h100-sxm", "on-demand"): 6.88}
    assert "unused commitments cost 79.11 USD more: they are in no price" in found.notes


def test_units_of_time(tmp_path):
    for quantity, unit in (
        ("7200", "Seconds"),
        ("120", "minutes"),
        ("0.02", "100 Hours"),
        ("2", "1 Hour"),
        ("2", "Hrs"),
    ):
        found = bill(tmp_path, {"ConsumedQuantity": quantity, "ConsumedUnit": unit})
        assert prices(found) == {("h100-sxm", "on-demand"): pytest.approx(6.88)}
    # Where use is counted in something else, the unit of the price says how long.
    found = bill(tmp_path, {"ConsumedQuantity": "5", "ConsumedUnit": "Instances"})
    assert prices(found) == {("h100-sxm", "on-demand"): 6.88}
    found = bill(tmp_path, {"ConsumedQuantity": "16", "ConsumedUnit": "GPU-Hours"})
    assert prices(found) == {("h100-sxm", "on-demand"): 6.88}


def test_a_missing_cost_is_made_of_unit_prices(tmp_path):
    for name in ("ContractedUnitPrice", "ListUnitPrice"):
        assert prices(bill(tmp_path, {"EffectiveCost": "", name: "55.04"})) == {("h100-sxm", "on-demand"): 6.88}
    assert reasons(bill(tmp_path, {"EffectiveCost": ""})) == {"no price": 1}


@pytest.mark.parametrize(
    ("change", "chip", "each"),
    [
        ({"SkuPriceDetails": '{"F_InstanceType": "p5en.48xlarge"}'}, "h200-sxm", 6.88),
        ({"SkuPriceDetails": '{"InstanceType": "p4d.24xlarge", "GpuCount": 8}'}, "a100-40gb-sxm", 6.88),
        ({"SkuPriceDetails": '{"GpuCount": 4, "GpuType": "H200 SXM"}'}, "h200-sxm", 13.76),
        ({"x_GpuCount": "4", "x_AcceleratorType": "MI300X"}, "mi300x", 13.76),
        ({"x_InstanceType": "Standard_ND96amsr_A100_v4"}, "a100-80gb-sxm", 6.88),
        ({"ChargeDescription": "$55.04 per On Demand Linux p5.48xlarge Instance Hour"}, "h100-sxm", 6.88),
        ({"SkuId": "Standard_ND96isr_H200_v5"}, "h200-sxm", 6.88),
    ],
)
def test_where_a_row_names_its_chips(tmp_path, change, chip, each):
    assert prices(bill(tmp_path, {"SkuMeter": ""} | change)) == {(chip, "on-demand"): pytest.approx(each)}


UNNAMED = "compute by the hour that names no known chip or type of instance"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"SkuMeter": "BoxUsage:p9.48xlarge"}, UNNAMED),
        # A resource's name is its owner's.
        ({"SkuMeter": "", "ResourceName": "p5.48xlarge"}, UNNAMED),
        ({"SkuMeter": "", "ChargeDescription": "Nvidia H100 80GB GPU running"}, "the number of chips is not stated"),
        ({"SkuPriceDetails": '{"GpuType": "H100"}', "SkuMeter": ""}, "the number of chips is not stated"),
        ({"SkuPriceDetails": '{"GpuCount": 8}', "SkuMeter": ""},
         "GPUs of a kind that is not stated, in a type of instance that is not known"),
        ({"SkuPriceDetails": '{"GpuCount": 4}'}, "its count of GPUs is not that of its type of instance"),
    ],
)  # fmt: skip
def test_what_a_bill_does_not_say_is_not_guessed(tmp_path, change, reason):
    found = bill(tmp_path, change)
    assert found.offers == ()
    assert reasons(found) == {reason: 1}


def test_rows_of_storage_are_only_counted(tmp_path):
    found = bill(tmp_path, {}, {"SkuMeter": "disk", "ServiceCategory": "Storage", "ConsumedUnit": "GB-Hours"})
    assert "1 row has no chip's name and no hours of compute" in found.notes
    assert not found.rejects


def test_currencies(tmp_path):
    with pytest.raises(SpreadsheetError, match=r"bills in EUR \(line 2\) and USD \(line 3\); keep the rows of one"):
        bill(tmp_path, {"BillingCurrency": "EUR"}, {})
    with pytest.raises(SpreadsheetError, match="bills in EUR; state what one USD costs: --per-usd RATE"):
        bill(tmp_path, {"BillingCurrency": "EUR"})
    with pytest.raises(SpreadsheetError, match="no row has a BillingCurrency"):
        bill(tmp_path, {"BillingCurrency": ""})
    with pytest.raises(InputError, match=r"bills in USD; leave out the rate 0\.86"):
        bill(tmp_path, {}, per_usd=0.86)
    with pytest.raises(InputError, match="the rate 0 for one USD is not above zero"):
        bill(tmp_path, {}, per_usd=0.0)
    found = bill(tmp_path, {"BillingCurrency": "EUR"}, per_usd=0.8)
    assert prices(found) == {("h100-sxm", "on-demand"): pytest.approx(6.88 / 0.8)}
    assert "EUR converted at 0.8 for one USD, as stated" in found.notes
    with pytest.raises(InputError, match="its prices are in USD"):
        read(tmp_path, "aws", AWS, "p5.48xlarge,H100,8,1,1,x,55.04,,r,,", per_usd=0.8)


@pytest.mark.parametrize("kind", ["parquet", "jsonl"])
def test_bills_with_types(tmp_path, kind):
    details = {"GpuCount": 8, "GpuType": "H200 SXM"}
    row = USAGE | {"EffectiveCost": 110.08, "ConsumedQuantity": 2.0, "SkuMeter": None, "ResourceName": None}
    row |= {"ChargePeriodStart": pd.Timestamp("2026-02-01", tz="UTC"), "SkuPriceDetails": json.dumps(details)}
    path = tmp_path / f"bill.{kind}"
    if kind == "parquet":
        pd.DataFrame([row, row | {"EffectiveCost": None, "ChargePeriodStart": pd.NaT}]).to_parquet(path)
    else:
        said = row | {"ChargePeriodStart": "2026-02-01", "SkuPriceDetails": details}
        path.write_text("\n".join(map(json.dumps, [said, said | {"EffectiveCost": None}])))
    found = read_prices(path)
    assert [(offer.chip, offer.date, offer.usd_per_hour) for offer in found.offers] == [
        ("h200-sxm", "2026-02-01", 6.88)
    ]
    assert reasons(found) == {"no price": 1}


# Any list


def test_a_list_that_is_not_known_says_what_is(tmp_path):
    (tmp_path / "a.csv").write_text("month,\x1b[2Jprice\n1,2\n")
    with pytest.raises(SpreadsheetError) as caught:
        read_prices(tmp_path / "a.csv")
    said = str(caught.value)
    assert "no price list that is known by its columns (month, ?[2Jprice)" in said
    for name in ("AcceleratorName", "gpu_count", "EffectiveCost", "gpu_key", "Hardware model"):
        assert name in said
    assert "\n" not in said


def test_a_missing_column_is_named(tmp_path):
    with pytest.raises(SpreadsheetError, match=r"looks like a list of SkyPilot, but has no column Region"):
        read(tmp_path, "aws", AWS.replace("Region", "Where"), "p5.48xlarge,H100,8,1,1,x,55.04,,r,,")
    with pytest.raises(SpreadsheetError, match=r"looks like a FOCUS export, but has no column PricingCategory"):
        bill(tmp_path, {}, drop=("PricingCategory",))
    with pytest.raises(SpreadsheetError, match=r"looks like a list of gpuhunt, but has no column spot"):
        read(tmp_path, "aws", GPUHUNT.replace("spot", "x"), "a,b,1,1,1,1,H100,80,False,,,")


def test_no_kind_of_price_is_told(tmp_path):
    found = read(tmp_path, "aws", AWS, "p5.48xlarge,H100,8,1,1,x,55.04,18,r,,", "p5.48xlarge,H100,8,1,1,x,48,,s,,")
    with pytest.raises(InputError, match=r"no kind of price 'ondemand'; did you mean 'on-demand'\?"):
        found.cheapest("h100-sxm", "ondemand")
    assert found.cheapest("h100-sxm").region == "s"
    assert found.median("h100-sxm") == pytest.approx((6.88 + 6.0) / 2)
    assert found.cheapest("h200-sxm") is None
    assert found.median("h200-sxm") is None
    assert found.price_table("spot") == {"h100-sxm": 2.25}


CELLS = st.one_of(
    st.sampled_from(["", "0", "700.0", "8", "2.5", "H100", "A100", "tpu-v5p-8", "p5.48xlarge", "a3-highgpu-8g", "-1"]),
    st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters='"\r\n\0'), max_size=8),
)


@costly
@given(st.lists(st.lists(CELLS, min_size=10, max_size=10), min_size=1, max_size=6))
def test_every_row_is_an_offer_or_a_reject_or_counted(tmp_path_factory, rows):
    path = tmp_path_factory.mktemp("any") / "vms.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file, quoting=csv.QUOTE_ALL, lineterminator="\n")
        writer.writerows([GCP.split(","), *rows])
    found = read_prices(path)
    for offer in found.offers:
        assert 0.01 <= offer.usd_per_hour <= 1000.0
        assert offer.kind in KINDS
    for reject in found.rejects:
        assert reject.text.isprintable()
        assert 2 <= reject.line <= len(rows) + 1
    heard = {each.line for each in (*found.offers, *found.rejects)}
    counted = sum(int(note.split()[0].replace(",", "")) for note in found.notes if "no accelerator" in note)
    filled = [index for index, row in enumerate(rows, start=2) if any(cell.strip() for cell in row)]
    assert len(heard) + counted == len(filled)


@costly
@given(st.floats(0.1, 900.0), st.integers(1, 16), st.floats(0.01, 0.99))
def test_what_an_instance_costs_is_what_its_chips_cost(tmp_path_factory, price, count, share):
    path = tmp_path_factory.mktemp("any") / "vms.csv"
    path.write_text(f"{AWS}\nx,MI300X,{count},1,1,x,{price!r},{price * share!r},r,,\n")
    found = read_prices(path)
    for offer in found.offers:
        whole = price if offer.kind == "on-demand" else price * share
        assert offer.usd_per_hour * count == pytest.approx(whole, rel=1e-12)
        assert offer.chips_per_instance == count
    assert len(found.offers) + len(found.rejects) == 2


def test_offers_are_plain_records(tmp_path):
    (offer,) = read(tmp_path, "aws", AWS, "p5.48xlarge,H100,8,1,1,x,55.04,,r,,").offers
    assert json.loads(json.dumps(dataclasses.asdict(offer)))["usd_per_hour"] == 6.88


def test_a_hundred_thousand_rows_take_about_a_second(tmp_path):
    rows = [
        f"p5.48xlarge,H100,8.0,192,2048,x,55.04,{18 + i % 7},us-east-{i % 9},az{i},x86" if i % 5 == 0
        else f"m5.large,,,2,8,,0.096,,us-east-{i % 9},az{i},x86"
        for i in range(100_000)
    ]  # fmt: skip
    start = time.process_time()
    found = read(tmp_path, "aws", AWS, *rows)
    assert len(found.offers) == 40_000
    # 0.6 s on a 2-core machine; ten times that is another algorithm.
    assert time.process_time() - start < 6.0
