"""The catalogue of published models."""

from __future__ import annotations

import re

import pytest

from beyond_chinchilla.costs import hardware
from beyond_chinchilla.costs.models import names, reference_model
from beyond_chinchilla.data import load_table
from beyond_chinchilla.errors import InputError

EVERY = names()
KEYS = {
    *("title", "params", "active_params", "tokens", "chips", "hardware", "chip_hours"),
    *("cost", "source", "date", "note"),
}


def test_the_catalogue_has_the_families() -> None:
    assert len(EVERY) == len(set(EVERY)) >= 50
    families = {name.split("-")[0] for name in EVERY}
    assert families >= {"llama", "mpt", "falcon", "gemma", "olmo", "deepseek", "phi", "nemotron", "gpt"}


@pytest.mark.parametrize("name", EVERY)
def test_row_has_source_date_and_plausible_numbers(name: str) -> None:
    assert set(load_table("models")[name]) <= KEYS
    model = reference_model(name)
    assert model.name == name
    assert model.title
    assert len(model.source) > 10
    assert re.fullmatch(r"20\d\d(-\d\d(-\d\d)?)?", model.date)
    assert 1e9 <= model.params <= 1e12
    assert model.active_params is None or model.active_params < model.params
    assert model.tokens is None or 1e11 < model.tokens <= 40e12
    assert model.hardware is None or model.hardware in hardware.names()
    assert model.hardware is None or model.chips
    assert (model.cost_usd is None) == (model.cost_method == "")


@pytest.mark.parametrize("name", [name for name in EVERY if reference_model(name).chip_hours])
def test_chip_hours_agree_with_the_chip(name: str) -> None:
    # 6 N D over chip-hours x peak: every published run lies between 12 % and 65 %.
    model = reference_model(name)
    assert model.chip_hours is not None
    assert model.tokens is not None
    if model.hardware is None:
        # V100, TPU v3, H800 and A100 of unknown memory do 125 (fp16), 123, 989 and 312 TFLOP/s.
        peak = {"V100": 125e12, "v3": 123e12, "H800": 989e12, "A100": 312e12}[model.chips.split()[-1]]
    else:
        peak = hardware.accelerator(model.hardware).peak_flops("bf16")
    utilisation = 6 * model.compute_params * model.tokens / (model.chip_hours * 3600 * peak)
    if name.startswith("llama-3.2"):
        # Pruned and distilled from a larger model: 6 N D is not the whole of it.
        assert utilisation < 0.12
    else:
        assert 0.12 < utilisation < 0.65


# All-in utilisation of published runs, in whole per cent.
@pytest.mark.parametrize(
    ("name", "percent"),
    [
        ("llama-7b", 43),
        ("llama-13b", 51),
        ("llama-33b", 46),
        ("llama-65b", 48),
        ("llama-2-70b", 43),
        ("llama-3-70b", 27.9),
        ("llama-3.1-405b", 34.5),
        ("olmo-3-32b", 28.4),
    ],
)
def test_published_utilisation(name: str, percent: float) -> None:
    model = reference_model(name)
    assert model.tokens is not None
    assert model.chip_hours is not None
    assert model.hardware is not None
    peak = hardware.accelerator(model.hardware).peak_flops("bf16")
    utilisation = 6 * model.params * model.tokens / (model.chip_hours * 3600 * peak)
    assert 100 * utilisation == pytest.approx(percent, abs=0.5)


def test_numbers_as_published() -> None:
    llama = reference_model("llama-7b")
    assert (llama.params, llama.tokens, llama.chip_hours) == (6.7e9, 1e12, 82432)
    assert llama.hardware == "a100-80gb-sxm"
    big = reference_model("llama-3.1-405b")
    assert (big.params, big.tokens, big.chip_hours, big.cost_usd) == (405e9, 15.6e12, 30.84e6, 51e6)
    assert "own hardware" in big.cost_method
    assert "169.8M" in big.note
    experts = reference_model("deepseek-v3")
    assert (experts.params, experts.active_params, experts.compute_params) == (671e9, 37e9, 37e9)
    assert experts.cost_usd == 5.576e6 == pytest.approx(2 * 2.788e6)
    assert reference_model("chinchilla").compute_params == 70e9


def test_what_is_undisclosed_is_none_and_a_lower_bound_says_so() -> None:
    mistral = reference_model("mistral-7b")
    assert (mistral.tokens, mistral.chip_hours, mistral.cost_usd) == (None, None, None)
    assert mistral.params == 7.3e9
    for name in ("llama-3-8b", "llama-3-70b", "llama-3.1-8b", "llama-3.3-70b"):
        assert reference_model(name).tokens == 15e12
        assert "lower bound" in reference_model(name).note


def test_unknown_name_gets_the_nearest() -> None:
    with pytest.raises(InputError) as refused:
        reference_model("lama-3-8b")
    assert str(refused.value) == "no model 'lama-3-8b'; did you mean 'llama-3-8b'?"
