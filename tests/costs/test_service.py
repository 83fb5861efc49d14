"""A model in service: its pieces as posynomials against its bill, and the figures that it reports."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from strategies import floats, log_floats

from beyond_chinchilla.costs.commitment import Commitment
from beyond_chinchilla.costs.demand import Demand
from beyond_chinchilla.costs.discounting import Discounting
from beyond_chinchilla.costs.fleet import Fleet
from beyond_chinchilla.costs.hardware import accelerator
from beyond_chinchilla.costs.lifetime import HiredCompute, lifetime_cost
from beyond_chinchilla.costs.load import FLAT, LoadProfile
from beyond_chinchilla.costs.mixture import Mixture
from beyond_chinchilla.costs.service import Service
from beyond_chinchilla.costs.serving import FixedUse, Replica

REQUESTS = 40e6 * 1.05 ** np.arange(36)
INPUT, OUTPUT = 900.0, 220.0
REPLICA = Replica(chip=accelerator("h100-sxm"), precision="fp8", gpus=2, input_tokens=INPUT, output_tokens=OUTPUT)
PAPER = FixedUse(chip=accelerator("a100-40gb-sxm"), precision="int8", prefill_mfu=0.5, decode_mfu=0.01)
CHAT = Fleet(
    prefill_tokens=0.8 * INPUT * REQUESTS,
    decode_tokens=0.8 * OUTPUT * REQUESTS,
    batch_prefill_tokens=0.2 * INPUT * REQUESTS,
    batch_decode_tokens=0.2 * OUTPUT * REQUESTS,
    profile=LoadProfile.from_peak_to_mean(2.5),
    price=np.full(36, 2.69),
    weights=Discounting(rate=0.1).weights(36),
    floor=2.0,
    replica_gpus=2,
)
FLEETS = {
    "floor": CHAT,
    "none": replace(CHAT, floor=0.0),
    "fixed": replace(CHAT, fixed_percentile=0.99),
    "committed": replace(CHAT, committed=Commitment(price=1.70, gpus=40)),
    "share": replace(CHAT, committed=Commitment(price=1.70, share=0.6)),
    "best": replace(CHAT, committed=Commitment(price=1.70, best=True)),
    "spot": replace(CHAT, batch_price=np.full(36, 1.2)),
}
POINT = {"params": 8e9, "batch": 64.0, "step_time": 0.02}

fleets = st.sampled_from(sorted(FLEETS)).map(FLEETS.__getitem__)
uses = st.sampled_from([REPLICA, PAPER])
points = st.fixed_dictionaries(
    {"params": log_floats(1e8, 1e12), "batch": log_floats(1.0, 1e3), "step_time": log_floats(1e-3, 10.0)}
)


def _total(service: Service, point: dict[str, float]) -> float:
    return sum(service.terms(point).values())


@given(uses, fleets, points, points)
def test_a_piece_is_the_bill_at_its_point_and_nowhere_above(
    use: Replica | FixedUse, fleet: Fleet, here: dict[str, float], there: dict[str, float]
) -> None:
    service = Service(use=use, fleet=fleet)
    piece = service.piece(here)
    assert piece.unit == "USD"
    assert float(piece.value(here)) - service.shift == pytest.approx(_total(service, here), rel=1e-11)
    paid = _total(service, there)
    assert float(piece.value(there)) - service.shift <= paid + 1e-11 * (paid + service.shift)


@given(uses, fleets, points, log_floats(0.5, 2.0))
def test_the_terms_of_a_piece_know_their_drivers(
    use: Replica | FixedUse, fleet: Fleet, point: dict[str, float], k: float
) -> None:
    piece = Service(use=use, fleet=fleet).piece(point)
    drivers = {term.label: term.drivers for term in piece.terms}
    expected = {"floor": ("serving_price",)} | dict.fromkeys(("prefill", "decode"), ("demand", "serving_price"))
    assert drivers.items() <= expected.items()
    dearer = replace(
        fleet,
        price=k * fleet.price,
        batch_price=None if fleet.batch_price is None else k * fleet.batch_price,
        committed=fleet.committed and replace(fleet.committed, price=k * fleet.committed.price),
    )
    assert float(Service(use=use, fleet=dearer).piece(point).value(point)) == pytest.approx(
        k * float(piece.value(point)), rel=1e-11
    )


@given(uses, fleets, points)
def test_the_slopes_are_finite_differences(use: Replica | FixedUse, fleet: Fleet, point: dict[str, float]) -> None:
    def scaled(k: float) -> float:
        more = replace(
            fleet,
            prefill_tokens=k * fleet.prefill_tokens,
            decode_tokens=k * fleet.decode_tokens,
            batch_prefill_tokens=k * fleet.batch_prefill_tokens,
            batch_decode_tokens=k * fleet.batch_decode_tokens,
        )
        return _total(Service(use=use, fleet=more), point)

    step = 1e-4
    service = Service(use=use, fleet=fleet)
    slopes = service.slopes(point)
    # At a kink every slope between those of its two sides is right.
    paid = scaled(1.0)
    left, right = (paid - scaled(1 - step)) / step, (scaled(1 + step) - paid) / step
    rounding = 1e-9 * paid
    assert left - rounding <= slopes["demand"] <= right + rounding
    assert slopes["serving_price"] == pytest.approx(paid, rel=1e-12)
    # The share of the terms that demand drives, as reports take it
    driven = sum(float(t.value(point)) for t in service.piece(point).terms if "demand" in t.drivers)
    assert slopes["demand"] == pytest.approx(driven, rel=1e-9, abs=rounding)


def test_a_fixed_use_without_fleet_troubles_is_the_papers_bill() -> None:
    # Sardana et al. 2024, Eq. 6: steady load, no discounting
    months = np.ones(12)
    fleet = Fleet(
        prefill_tokens=70e9 / 12 * months,
        decode_tokens=215e9 / 12 * months,
        batch_prefill_tokens=0 * months,
        batch_decode_tokens=0 * months,
        profile=FLAT,
        price=1.10 * months,
        weights=months,
    )
    hired = HiredCompute(price=1.10, peak=6.24e14)
    bill = lifetime_cost(
        training=hired,
        training_mfu=0.5,
        serving=hired,
        prefill_mfu=0.5,
        decode_mfu=0.01,
        demand=Demand.from_requests(1e9, input_tokens=70, output_tokens=215),
    ).totals({"params": 13e9, "tokens": 1.0})
    service = Service(use=PAPER, fleet=fleet)
    assert service.is_linear
    assert service.relations == ()
    assert service.start(13e9) == {}
    terms = service.terms({"params": 13e9})
    assert terms["prefill"] == pytest.approx(bill["prefill"], rel=1e-12)
    assert terms["decode"] == pytest.approx(bill["decode"], rel=1e-12)
    assert terms["idle"] == 0.0
    piece = service.piece({"params": 1e9})
    assert piece.labels == ("prefill", "decode")
    assert piece.totals({"params": 13e9}) == pytest.approx({"prefill": terms["prefill"], "decode": terms["decode"]})


@given(uses, points, points)
def test_a_linear_bill_has_the_same_piece_everywhere(
    use: Replica | FixedUse, here: dict[str, float], there: dict[str, float]
) -> None:
    service = Service(use=use, fleet=FLEETS["none"])
    assert service.is_linear
    assert float(service.piece(here).value(there)) == pytest.approx(_total(service, there), rel=1e-11)
    assert not Service(use=use, fleet=FLEETS["floor"]).is_linear


@given(uses, fleets, points)
def test_the_peaks_are_the_gpus_on_at_once(use: Replica | FixedUse, fleet: Fleet, point: dict[str, float]) -> None:
    # A share below the floor is billed as that of a larger need.
    assume(fleet is not FLEETS["share"])
    service = Service(use=use, fleet=fleet)
    always = max(fleet.floor, (fleet.committed.gpus if fleet.committed else None) or 0.0)
    asked = max(float(peak.value(point)) for peak in service.peaks)
    assert {peak.unit for peak in service.peaks} == {"GPU"}
    assert service.describe(point)["gpus_on_peak"] == pytest.approx(max(asked, always), rel=1e-11)
    assert (
        service.describe(point)["gpus_peak"] <= max(asked, always) * (1 + 1e-11) or fleet.fixed_percentile is not None
    )


@given(uses, fleets, points)
def test_what_is_described_is_what_is_paid(use: Replica | FixedUse, fleet: Fleet, point: dict[str, float]) -> None:
    service = Service(use=use, fleet=fleet)
    figures = service.describe(point)
    nominal = sum(service.nominal_terms(point).values())
    tokens_in = float((fleet.prefill_tokens + fleet.batch_prefill_tokens).sum())
    tokens_out = float((fleet.decode_tokens + fleet.batch_decode_tokens).sum())
    by_token = figures["usd_per_million_input"] * tokens_in + figures["usd_per_million_output"] * tokens_out
    assert by_token / 1e6 == pytest.approx(nominal, rel=1e-11)
    assert 0 < figures["utilisation"] <= 1 + 1e-12
    hours = nominal / figures["usd_per_gpu_hour"]
    assert figures["utilisation"] * hours == pytest.approx(
        730.5 * float(fleet.need(*_seconds(use, point)).sum()), rel=1e-11
    )
    assert figures["gpus_mean"] == pytest.approx(float(fleet.need(*_seconds(use, point)).max()), rel=1e-12)
    assert figures["gpus_peak"] >= figures["gpus_mean"] or fleet.batch_price is not None


def _seconds(use: Replica | FixedUse, point: dict[str, float]) -> tuple[float, float]:
    return float(use.prefill_seconds().value(point)), float(use.decode_seconds().value(point))


def test_the_busiest_hour_of_the_busiest_month() -> None:
    # 0.8 of the last month's need at 2.5 times its mean; 8B on a replica of 2 at 64 sequences in 20 ms
    figures = Service(use=REPLICA, fleet=CHAT).describe(POINT)
    assert figures["gpus_peak"] / figures["gpus_mean"] == pytest.approx(0.8 * 2.5, rel=1e-9)
    decode = 2 * 0.02 / 64
    prefill = float(REPLICA.prefill_seconds().value(POINT))
    by_hand = REQUESTS[-1] * (INPUT * prefill + OUTPUT * decode) / (730.5 * 3600)
    assert figures["gpus_mean"] == pytest.approx(by_hand, rel=1e-12)
    assert figures["gpus"] == 2.0


@given(uses, fleets, points)
def test_rounding_is_what_whole_replicas_cost_more(
    use: Replica | FixedUse, fleet: Fleet, point: dict[str, float]
) -> None:
    service = Service(use=use, fleet=fleet)
    whole = sum(fleet.bill(*_seconds(use, point), whole_replicas=True).values())
    assert service.rounding(point) >= 0
    assert _total(service, point) + service.rounding(point) == pytest.approx(whole, rel=1e-12)


def test_a_lone_replica_costs_what_it_costs() -> None:
    # A thousand requests a month leave two H100 idle all but always: 36 months x 730.5 hours x 2 x 2.69 USD
    few = replace(
        CHAT,
        prefill_tokens=np.full(36, 1e3 * INPUT),
        decode_tokens=np.full(36, 1e3 * OUTPUT),
        batch_prefill_tokens=np.zeros(36),
        batch_decode_tokens=np.zeros(36),
    )
    service = Service(use=REPLICA, fleet=few)
    assert sum(service.nominal_terms(POINT).values()) == pytest.approx(36 * 730.5 * 2 * 2.69, rel=1e-12)
    assert service.rounding(POINT) == 0.0
    figures = service.describe(POINT)
    assert figures["utilisation"] < 1e-4
    assert figures["gpus_peak"] < 1e-3
    assert figures["gpus_on_peak"] == 2.0
    assert service.piece(POINT).labels == ("floor",)
    assert service.slopes(POINT)["demand"] == pytest.approx(0.0, abs=1e-6)


@given(fleets, points, floats(0.0, 1.0))
def test_a_longer_step_is_never_cheaper(fleet: Fleet, point: dict[str, float], more: float) -> None:
    service = Service(use=REPLICA, fleet=fleet)
    slower = point | {"step_time": point["step_time"] * math.exp(more)}
    assert _total(service, slower) >= _total(service, point) * (1 - 1e-11)


def test_the_replica_lends_its_relations() -> None:
    service = Service(use=REPLICA, fleet=CHAT)
    assert service.relations == REPLICA.relations()
    assert service.label == "h100-sxm fp8 x 2"
    start = service.start(8e9) | {"params": 8e9}
    assert max(float(relation.value(start)) for relation in service.relations) <= 1.0


# What bounds the GPUs on at once

TWO = np.ones(2)
SHORT = Fleet(
    prefill_tokens=np.array([4e10, 1e10]),
    decode_tokens=np.array([1e9, 3e9]),
    batch_prefill_tokens=0 * TWO,
    batch_decode_tokens=0 * TWO,
    profile=LoadProfile((1.0, 3.0)),
    price=2.0 * TWO,
    weights=TWO,
)
MONTH = 8766 / 12 * 3600.0


def _most(service: Service, point: dict[str, float], most: float | None) -> tuple[float, float]:
    peaks, bound = service.bounded_peaks(most)
    return max(float(peak.value(point)) for peak in peaks), bound


@pytest.mark.parametrize(
    ("changes", "most", "scales", "bound"),
    [
        ({}, None, (1.0, 1.0), math.inf),
        ({}, 30.0, (1.0, 1.0), 30.0),
        ({"ceiling": 20.0}, None, (1.0, 1.0), 20.0),
        ({"ceiling": 20.0}, 30.0, (1.0, 1.0), 20.0),
        ({"ceiling": 40.0}, 30.0, (1.0, 1.0), 30.0),
        # A month that may have twice the GPUs counts half.
        ({"available": np.array([50.0, 100.0])}, None, (1.0, 0.5), 50.0),
        ({"available": np.array([50.0, 100.0])}, 80.0, (1.0, 50.0 / 80.0), 50.0),
        ({"available": np.array([50.0, 100.0]), "ceiling": 40.0}, 80.0, (1.0, 1.0), 40.0),
        # A fixed fleet is the same in both.
        ({"available": np.array([50.0, 100.0]), "fixed_percentile": 1.0}, None, (1.0, 1.0), 50.0),
    ],
)
@pytest.mark.parametrize("params", [1e9, 1e11])
def test_peaks_count_in_proportion_to_the_tightest_month(
    changes: dict[str, object], most: float | None, scales: tuple[float, float], bound: float, params: float
) -> None:
    service = Service(use=PAPER, fleet=replace(SHORT, **changes))  # type: ignore[arg-type]
    point = {"params": params}
    seconds = _seconds(PAPER, point)
    # 3 of 1 and 3 is 1.5 times the mean.
    by_hand = [
        1.5 * scale * (read * seconds[0] + written * seconds[1]) / MONTH
        for scale, read, written in zip(scales, (4e10, 1e10), (1e9, 3e9), strict=True)
    ]
    assert _most(service, point, most) == (pytest.approx(max(by_hand), rel=1e-12), bound)
    # In either phase alone a month that is the busiest keeps its posynomial.
    assert len(service.bounded_peaks(most)[0]) == 2


def test_batch_work_at_its_own_price_needs_nothing_of_the_fleet() -> None:
    apart = replace(
        SHORT,
        prefill_tokens=0 * TWO, decode_tokens=0 * TWO, batch_decode_tokens=1e9 * TWO, batch_price=TWO,
    )  # fmt: skip
    assert Service(use=PAPER, fleet=apart).peaks == ()
    shared = Service(use=PAPER, fleet=replace(apart, batch_price=None))
    (peak,) = shared.peaks
    assert peak.labels == ("decode",)
    assert {term.drivers for term in peak.terms} == {("demand",)}
    assert float(peak.value({"params": 1e9})) == pytest.approx(1e9 * _seconds(PAPER, {"params": 1e9})[1] / MONTH)


def test_a_service_takes_what_its_use_takes() -> None:
    mixture = Mixture(experts=8, active=2, total_per_active=3.0)
    sparse = Service(use=replace(REPLICA, mixture=mixture), fleet=CHAT)
    assert sparse.mixture is mixture
    assert Service(use=REPLICA, fleet=CHAT).mixture is None
    assert Service(use=PAPER, fleet=CHAT).mixture is None
    touched = sparse.touching((0.5, 0.25))
    assert isinstance(touched.use, Replica)
    assert touched.use.touching == (0.5, 0.25)
    assert touched.fleet is sparse.fleet
    more = sparse.scaled(3.0)
    assert more.fleet.decode_tokens.tolist() == (3.0 * CHAT.decode_tokens).tolist()
    assert more.fleet.batch_prefill_tokens.tolist() == (3.0 * CHAT.batch_prefill_tokens).tolist()
    assert (more.fleet.floor, more.use) == (2.0, sparse.use)
    # Neither knows an aspect ratio.
    assert sparse.hold({"aspect": 100.0}) is sparse


def test_a_piece_is_made_once_and_few_are_kept() -> None:
    service = Service(use=PAPER, fleet=CHAT)
    first = service.piece({"params": 1e9})
    assert service.piece({"params": 1e9}) is first
    kept = []
    for number in range(1, 230):
        service.piece({"params": 1e9 + number})
        kept.append(len(service._pieces))
    assert max(kept) == 100
    assert service.piece({"params": 1e9}) == first


@pytest.mark.parametrize("name", ["floor", "best", "spot"])
def test_rounding_and_rounded_by_the_months(name: str) -> None:
    service = Service(use=REPLICA, fleet=FLEETS[name])
    use = FLEETS[name].use(*_seconds(REPLICA, POINT), whole_replicas=True)
    whole = float(FLEETS[name].weights @ use.cost)
    assert service.rounded(POINT) == pytest.approx(whole, rel=1e-12)
    assert service.rounding(POINT) == pytest.approx(whole - _total(service, POINT), rel=1e-9)
    assert service.rounding(POINT) > 0.0
