"""The time that layers take of a decode step, whatever their width."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from strategies import floats, log_floats

from beyond_chinchilla.costs.fleet import Fleet
from beyond_chinchilla.costs.hardware import accelerator
from beyond_chinchilla.costs.load import LoadProfile
from beyond_chinchilla.costs.service import Service
from beyond_chinchilla.costs.serving import FixedUse, Replica
from beyond_chinchilla.costs.shortfall import explain_latency
from beyond_chinchilla.posynomial import monomial

# 10 microseconds for each of (N / (12 aspect^2))^(1/3) layers
DEPTH = monomial("layers", 1e-5 / 12 ** (1 / 3), {"params": 1 / 3, "aspect": -2 / 3}, unit="second")
PLAIN = Replica(chip=accelerator("h100-sxm"), precision="fp8", gpus=2, input_tokens=900, output_tokens=200)
DEEP = replace(PLAIN, depth=DEPTH, held={"aspect": 128.0})

sizes, batches = log_floats(1e9, 1e11), log_floats(1.0, 1e3)


@given(sizes, batches, log_floats(17.5, 384))
def test_a_step_takes_longer_by_its_layers(N: float, batch: float, aspect: float) -> None:
    deep = DEEP.hold({"aspect": aspect, "samples": 8.0})
    layers = (N / (12 * aspect**2)) ** (1 / 3)
    assert float(deep.step_time(N, batch) - PLAIN.step_time(N, batch)) == pytest.approx(1e-5 * layers, rel=1e-6)
    point = {"params": N, "batch": batch, "step_time": float(deep.step_time(N, batch))}
    assert max(float(relation.value(point)) for relation in deep.relations()[:2]) == pytest.approx(1.0)


def test_llama_2_7b_waits_a_third_of_a_millisecond() -> None:
    # 32.5 layers by N = 12 layers width^2, of 10 microseconds each
    assert float(DEEP.fastest_step(6.74e9) - PLAIN.fastest_step(6.74e9)) == pytest.approx(325e-6, abs=5e-7)


@given(sizes, floats(1.0, 40.0))
def test_the_best_batch_is_in_time(N: float, milliseconds: float) -> None:
    batch = float(DEEP.best_batch(N, milliseconds / 1e3))
    if batch >= 1.0:
        assert float(DEEP.step_time(N, batch)) <= milliseconds / 1e3 * (1 + 1e-9)


def test_layers_are_shared_by_ever_more_sequences() -> None:
    # Beyond the critical batch a plain step writes no more tokens a second; layers are the same for any batch.
    batch = 4 * PLAIN.critical_batch
    assert PLAIN.settle(7e9, batch)["batch"] < batch
    assert DEEP.settle(7e9, batch)["batch"] == batch


def test_what_a_use_does_not_know_it_does_not_hold() -> None:
    assert PLAIN.hold({"aspect": 64.0}) is PLAIN
    assert DEEP.hold({"samples": 8.0}) is DEEP
    assert DEEP.hold({"aspect": 64.0}).held == {"aspect": 64.0}
    fixed = FixedUse(chip=accelerator("h100-sxm"), precision="fp8", prefill_mfu=0.5, decode_mfu=0.02)
    assert fixed.hold({"aspect": 64.0}) is fixed


def test_a_service_holds_what_its_use_knows() -> None:
    once = np.ones(3)
    fleet = Fleet(
        prefill_tokens=9e10 * once,
        decode_tokens=2e10 * once,
        batch_prefill_tokens=0 * once,
        batch_decode_tokens=0 * once,
        profile=LoadProfile.flat(),
        price=2.5 * once,
        weights=once,
    )
    service = Service(use=DEEP, fleet=fleet)
    narrow = service.hold({"aspect": 17.5})
    assert narrow.use == DEEP.hold({"aspect": 17.5})
    assert narrow.fleet is fleet
    assert service.hold({"samples": 8.0}) is service
    # A deeper model holds its GPUs for longer.
    step = float(narrow.use.step_time(7e9, 64.0))  # type: ignore[union-attr]
    point = {"params": 7e9, "batch": 64.0, "step_time": step}
    quick = {**point, "step_time": float(DEEP.step_time(7e9, 64.0))}
    assert narrow.terms(point)["decode"] > service.terms(quick)["decode"]


def test_a_latency_out_of_reach_names_the_layers() -> None:
    line = explain_latency(DEEP, 70e9, 2.0)
    assert line is not None
    assert "one read of the weights and the time of its layers, not 2 ms" in line
