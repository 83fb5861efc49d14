"""What providers call a chip, and which chip of the catalogue that is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from beyond_chinchilla.costs import hardware
from beyond_chinchilla.tables.chips import chips_of, find_machine, match_chip

SAID = {
    "a100-40gb-sxm": [("NVIDIA A100 SXM4 40 GB", ""), ("A100", "p4d.24xlarge"), ("A100-40GB-SXM", "")],
    "a100-80gb-sxm": [("A100-80GB-SXM", ""), ("A100", "Standard_ND96amsr_A100_v4"), ("A100", "a2-ultragpu-8g")],
    "h100-sxm": [
        *(("H100", "p5.48xlarge"), ("H100", "gpu_8x_h100_sxm5"), ("H100", "gpu-h100-sxm_8gpu-128vcpu-1600gb")),
        *(("H100-SXM", ""), ("H100-MEGA", "a3-megagpu-8g"), ("H100 80GB SXM", ""), ("H100", "NVIDIA H100 80GB HBM3")),
    ],
    "h100-pcie": [("H100 PCIe", ""), ("H100", "gpu_1x_h100_pcie"), ("H100", "1x_H100_SECURE")],
    "h200-sxm": [("H200", "p5en.48xlarge"), ("H200-SXM", ""), ("H200", "Standard_ND96isr_H200_v5")],
    "b200-sxm": [("B200", ""), ("NVIDIA B200", "p6-b200.48xlarge")],
    "b300-sxm": [("B300", "p6-b300.48xlarge")],
    "gb200-nvl72": [("GB200", "a4x-highgpu-4g")],
    "gb300-nvl72": [("NVIDIA GB300 NVL72", "")],
    "l40s": [("L40S", "gpu-l40s-a_1gpu-8vcpu-32gb")],
    "l4": [("L4", "g2-standard-4"), ("nvidia-l4", "")],
    "rtx-4090": [("RTX4090", ""), ("NVIDIA GeForce RTX 4090", "")],
    "mi250x": [("AMD Radeon Instinct MI250X", "")],
    "mi300x": [("MI300X", "")],
    "mi325x": [("MI325X", "")],
    "mi355x": [("AMD Instinct MI355X", "")],
    "tpu-v4": [("tpu-v4-8", ""), ("Google TPU v4", ""), ("v4-8", "")],
    "tpu-v5e": [("tpu-v5litepod-8", ""), ("Google TPU v5e", ""), ("v5litepod", "v5litepod-8")],
    "tpu-v5p": [("tpu-v5p-8", "")],
    "tpu-v6e": [("tpu-v6e-8", ""), ("Google TPU v6e Trillium", "")],
    "tpu7x": [("tpu7x-8", "")],
    "trainium1": [("Trainium", "trn1.32xlarge")],
    "trainium2": [("Trainium2", "trn2.48xlarge")],
    "trainium3": [("AWS Trainium3", "")],
    "gaudi2": [("Intel Habana Gaudi2", "")],
    "gaudi3": [("Gaudi 3", "")],
}


def test_every_chip_of_the_catalogue_can_be_named():
    assert set(SAID) == set(hardware.names())


@pytest.mark.parametrize(("chip", "name", "instance"), [(chip, *said) for chip, many in SAID.items() for said in many])
def test_names_that_say_it_all(chip, name, instance):
    match = match_chip(name, instance)
    assert match.chip == chip
    assert match.remark == ""


@pytest.mark.parametrize(
    "name",
    [
        *("T4", "V100-32GB", "A10G", "L40", "GH200", "H20", "H800", "MI300A", "RTX4080", "RTX 4090 D", "A100X", "GB10"),
        *("Gaudi HL-205", "tpu-v3-8", "D4s v4", "RTX6000-Ada", "", "NVIDIA"),
    ],
)
def test_chips_that_the_catalogue_does_not_have(name):
    match = match_chip(name)
    assert match.chip is None
    assert match.remark == "not in the catalogue"


def test_a_form_is_assumed_aloud_and_a_memory_never():
    assert match_chip("H100").chip == "h100-sxm"
    assert match_chip("H100").remark == "SXM or PCIe is not stated: taken as SXM"
    assert match_chip("H100 80GB (form unstated)").remark != ""
    assert match_chip("H100", form="PCIe").chip == "h100-pcie"
    assert match_chip("A100", memory=80.0).chip == "a100-80gb-sxm"
    assert match_chip("A100", memory=80.0).remark != ""
    assert match_chip("A100").chip is None
    assert match_chip("A100", memory=48.0).chip is None


def test_another_form_or_memory_is_another_chip():
    assert match_chip("A100 PCIe 80GB").chip is None
    assert match_chip("H100 NVL").chip is None
    assert match_chip("H100", "Standard_NC40ads_H100_v5").chip is None
    assert match_chip("H100", memory=94.0).chip is None
    assert match_chip("H200 NVL").chip is None
    # gpuhunt lists the MI325X with 288 GB; 256 GB is right.
    assert match_chip("MI325X", memory=288.0).chip == "mi325x"


def test_an_instance_speaks_only_of_its_own_chips():
    assert match_chip("A100", "p5.48xlarge", 40.0).remark != ""


@pytest.mark.parametrize(
    ("name", "count", "instance", "chips"),
    [
        ("H100", 8.0, "p5.48xlarge", 8.0),
        # v2, v3, v4 and v5p count TensorCores, two to a chip; v5e and v6e count chips.
        ("tpu-v5p-8", 1.0, "", 4.0),
        ("tpu-v4-8", 1.0, "", 4.0),
        ("tpu-v3-8", 1.0, "", 4.0),
        ("tpu-v6e-8", 1.0, "", 8.0),
        ("tpu-v5litepod-16", 2.0, "TPU-VM", 32.0),
        ("v5p", 8.0, "v5p-8", 4.0),
        ("v5litepod", 8.0, "v5litepod-8", 8.0),
        ("tpu7x-8", 1.0, "", None),
        ("L4", 1.0, "weird-v5-8", 1.0),
    ],
)
def test_how_many_chips_an_offer_has(name, count, instance, chips):
    assert chips_of(name, count, instance) == chips


@pytest.mark.parametrize(
    ("text", "name", "chips"),
    [
        ("p5.48xlarge", "H100", 8),
        ("USE1-BoxUsage:p5en.48xlarge", "H200", 8),
        ("$1.3 per On Demand Linux g6e.12xlarge Instance Hour", "L40S", 4),
        ("a2-ultragpu-4g", "A100", 4),
        ("g2-standard-48", "L4", 4),
        ("Standard_NC96ads_A100_v4", "A100", 4),
        ("Standard_ND96isr_H100_v5", "H100", 8),
        ("trn2.48xlarge", "Trainium2", 16),
    ],
)
def test_known_types_of_instances(text, name, chips):
    machine, count = find_machine(text)
    assert (machine.name, count) == (name, chips)


@pytest.mark.parametrize(
    "text", ["m5.large", "p5.24xlarge", "xp5.48xlarge", "p5.48xlarge2", "a2-highgpu", "g2-standard-7"]
)
def test_unknown_types_of_instances(text):
    assert find_machine(text) is None


@given(st.text(max_size=60), st.text(max_size=60), st.floats(allow_nan=True))
def test_any_name_has_an_answer(name, instance, memory):
    match = match_chip(name, instance, memory)
    assert (match.chip is None) <= (match.remark != "")
    assert match.chip is None or match.chip in hardware.names()
