"""How the keys of a scenario are written: what a message shows where one is missing or of another kind."""

from __future__ import annotations

from beyond_chinchilla.scenario.document import Keys

_EXAMPLES = {
    "law": "law: sardana-2024",
    "target": "target: {chinchilla: 30B}",
    "demand": "demand: {requests: 1B, input_tokens: 70, output_tokens: 215}",
    "training": "training: {hardware: h100-sxm, precision: bf16, mfu: 40%}",
    "serving": "serving: {hardware: h100-sxm, precision: fp8, prefill_mfu: 50%, decode_mfu: 5%}",
    "compare": "compare: [{model: llama-3-8b}, {name: ours, params: 8B, tokens: 15T}]",
    "start_from": "start_from: {params: 7B, tokens: 1T}",
    "hardware": "hardware: h100-sxm",
    "precision": "precision: bf16",
    "mfu": "mfu: 40%",
    "prefill_mfu": "prefill_mfu: 50%",
    "decode_mfu": "decode_mfu: 5%",
    "limits": "limits: {params: {max: 40B}}",
    "gpus": "gpus: 4096",
    "currency": "currency: {code: EUR, per_usd: 0.86, date: 2026-11-01, source: ECB reference rate}",
    "discounting": "discounting: {rate: 10%}",
    "table": "table: [{month: 2027-01, requests: 40M, input_tokens: 900, output_tokens: 220}]",
    "month": "month: 2027-01",
    "requests": "requests: 40M",
    "rate": "rate: 10%",
    "price": "price: 2.50 USD/hour",
    "capex": "capex: 40k USD",
    "years": "years: 4",
    "purchase": "purchase: {capex: 40k USD, years: 4, rate: 10%}",
    "price_path": "price_path: {per_year: -10%}",
    "commitment": "commitment: {price: 1.70 USD/hour, share: 60%}",
    "fleet": "fleet: {floor: 8, ceiling: 512}",
    "efficiency": "efficiency: {prefill: 50%, decode: 30%, bandwidth: 60%}",
    "experts": "experts: [1, 4, 16]",
    "shape": "shape: {law: bian-2025, aspect: {min: 64, max: 256}}",
    "aspect": "aspect: {min: 64, max: 256}",
    "layer_time": "layer_time: 10 us",
    "quantisation": "quantisation: kumar-2024",
    "data": "data: {unique_tokens: 1.5T, repetition: muennighoff-2023}",
    "unique_tokens": "unique_tokens: 1.5T",
    "repetition": "repetition: {R_D: 15.4, R_N: 5.3}",
    "thinking": "thinking: {G: 0.9, g: 0.5, samples: {max: 64}}",
    "energy": "energy: {pue: 1.2, grid: 0.35 kg/kWh}",
    "between": "between: [demand.requests, training.price]",
    "value": "value: 0.4",
    "one_of": "one_of: [{law: besiroglu-2024, weight: 2}, {law: sardana-2024}]",
    "correlations": "correlations: [{between: [demand.requests, training.price], value: 0.4}]",
    "buy": "buy: {input: 0.60 USD, output: 2.40 USD}",
    "code": "code: EUR",
    "per_usd": "per_usd: 0.86",
    "date": "date: 2026-11-01",
    "source": "source: ECB reference rate",
}


def example(keys: Keys) -> str:
    """Return ``; write it like ...``, or nothing where no example helps."""
    if len(keys) == 2 and keys[0] == "limits":
        return f"; write it like {keys[1]}: {{max: ...}}"
    return f"; write it like {_EXAMPLES[str(keys[-1])]}" if keys and keys[-1] in _EXAMPLES else ""
