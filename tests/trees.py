"""Scenarios as files hold them, and how tests change one value of them."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

# The main job of the README.
COST: dict[str, Any] = {
    "name": "test",
    "law": "sardana-2024",
    "target": {"chinchilla": "30B"},
    "demand": {"requests": "1B", "input_tokens": 70, "output_tokens": 215},
    "training": {"hardware": "a100-80gb-sxm", "precision": "bf16", "price": 1.5, "mfu": "50%"},
    "serving": {
        "hardware": "a100-40gb-sxm",
        "precision": "int8",
        "price": 1.1,
        "prefill_mfu": "50%",
        "decode_mfu": "1%",
    },
}


def changed(tree: Mapping[str, Any], **changes: Any) -> dict[str, Any]:
    """Return a scenario with values changed; ``demand__months`` is ``demand.months``, None removes."""
    found: dict[str, Any] = copy.deepcopy(dict(tree))
    for place, value in changes.items():
        *sections, key = place.split("__")
        node = found
        for section in sections:
            node = node.setdefault(section, {})
        if value is None:
            node.pop(key, None)
        else:
            node[key] = value
    return found
