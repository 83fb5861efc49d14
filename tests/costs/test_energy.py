"""Energy against the figures that model makers and data centres publish."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from beyond_chinchilla.costs.energy import Energy, server_power
from beyond_chinchilla.costs.hardware import accelerator, names
from beyond_chinchilla.errors import InputError

H100 = accelerator("h100-sxm")


# TDP x server multiplier x average draw, Epoch AI's cost script
@pytest.mark.parametrize(
    ("name", "kilowatts"),
    [
        ("h100-sxm", 0.700 * 1.82 * 0.75),
        ("h100-pcie", 0.350 * 1.82 * 0.75),
        ("a100-80gb-sxm", 0.400 * 2.03 * 0.75),
        ("h200-sxm", 0.700 * 1.8 * 0.75),
        ("mi300x", 0.750 * 1.8 * 0.75),
        ("tpu-v4", 0.192 * 1.56 * 0.43),
        ("tpu7x", 0.980 * 1.56 * 0.43),
    ],
)
def test_power_of_a_chip_with_its_share_of_the_server(name: str, kilowatts: float) -> None:
    assert server_power(accelerator(name)) == pytest.approx(kilowatts, rel=1e-12)


# Provisioned utility kW per GPU (InferenceX, 2026-04), for servers of eight: what ours would be at full draw. The
# racks of 72 (GB200 2.1, GB300 2.1) state a TDP that has a processor in it already, and are 30% and 50% off.
@pytest.mark.parametrize(
    ("name", "provisioned"),
    [
        *(("h100-sxm", 1.73), ("h200-sxm", 1.73), ("b200-sxm", 2.17), ("b300-sxm", 2.17)),
        *(("mi300x", 1.79), ("mi325x", 2.18), ("mi355x", 2.65)),
    ],
)
def test_full_draw_is_near_what_data_centres_provision(name: str, provisioned: float) -> None:
    full = Energy().kwh(1.0, accelerator(name)) / 0.75
    assert full == pytest.approx(provisioned, rel=0.20)


@pytest.mark.parametrize(("hours", "megawatt_hours"), [(234e3, 146.0), (1.05e6, 681.0)], ids=["7B", "32B"])
def test_olmo_3_reports_the_gpus_without_their_servers(hours: float, megawatt_hours: float) -> None:
    # TDP x average draw x 1.2, the PUE that would explain it, is within 5% of both; a whole server at the default PUE
    # is near twice that. The hours are themselves from secondary sources.
    gpu_alone = Energy(pue=1.2, power_per_gpu=0.7 * 0.75).kwh(hours, H100) / 1e3
    assert gpu_alone / megawatt_hours == pytest.approx(1.0, abs=0.05)
    assert Energy().kwh(hours, H100) / 1e3 / megawatt_hours == pytest.approx(1.88, abs=0.05)


def test_bloom() -> None:
    # Luccioni et al. 2023, Table 2: 1,082,990 GPU-hours at 0.4 kW, 433,196 kWh, 57 g/kWh, 24.69 t of CO2e
    bloom = Energy(pue=1.0, grid=0.057, power_per_gpu=0.4)
    kwh = bloom.kwh(1_082_990.0, accelerator("a100-80gb-sxm"))
    assert kwh == pytest.approx(433_196, abs=0.5)
    assert bloom.tonnes_co2e(kwh) == pytest.approx(24.69, abs=0.005)


def test_epochs_energy_of_an_h100_hour() -> None:
    # $0.087 at a hyperscaler's PUE of 1.1 and 0.0826 USD/kWh
    assert Energy(pue=1.1).kwh(1.0, H100) * 0.0826 == pytest.approx(0.087, abs=0.0005)


def test_without_a_grid_there_are_no_tonnes() -> None:
    assert Energy().tonnes_co2e(1e6) is None
    assert Energy(grid=0.0).tonnes_co2e(1e6) == 0.0


def test_months_at_once() -> None:
    energy = Energy(grid=0.4)
    kwh = energy.kwh(np.array([0.0, 1.0, 1000.0]), H100)
    assert kwh.tolist() == pytest.approx([0.0, 1.194375, 1194.375], rel=1e-12)
    tonnes = energy.tonnes_co2e(kwh)
    assert tonnes is not None
    assert tonnes.tolist() == pytest.approx([0.0, 0.00047775, 0.47775], rel=1e-12)


@pytest.mark.parametrize("name", [name for name in names() if accelerator(name).power is None])
def test_chips_of_unknown_power_need_one(name: str) -> None:
    chip = accelerator(name)
    with pytest.raises(InputError) as caught:
        Energy().kwh(1.0, chip)
    assert str(caught.value) == f"{name}: its power is not published; give energy: {{power_per_gpu: 0.9 kW}}"
    assert Energy(power_per_gpu=0.5, pue=1.2).kwh(10.0, chip) == pytest.approx(6.0, rel=1e-12)


def test_there_are_chips_of_unknown_power() -> None:
    with pytest.raises(InputError, match="power is not published"):
        server_power(replace(H100, power=None))
    assert accelerator("tpu-v6e").power is None


def test_every_mistake_is_told_at_once() -> None:
    with pytest.raises(InputError) as caught:
        Energy(pue=0.9, grid=350.0, power_per_gpu=1400.0)
    assert str(caught.value).splitlines() == [
        "energy: pue must be from 1 (no cooling at all) to 5, not 0.9; write 1.25",
        "energy: grid must be from 0 to 2 kg CO2e/kWh, not 350.0; 350 g/kWh is 0.35",
        "energy: power_per_gpu must be above 0 and at most 20 kW, not 1400.0; 900 W is 0.9",
    ]


@pytest.mark.parametrize("bad", [math.nan, math.inf, -1.0])
@pytest.mark.parametrize("field", ["pue", "grid", "power_per_gpu"])
def test_numbers_that_are_none_are_refused(field: str, bad: float) -> None:
    with pytest.raises(InputError, match=f"^energy: {field} must be"):
        Energy(**{field: bad})
