"""How cells look: parts of a style by name, which a cell combines.

Blue on pale yellow is a cell to change, black is calculated, grey is a note: what financial models agree on.
"""

from __future__ import annotations

from typing import Any

INK, NOTE, LINE, INPUT = "#1F2A37", "#6B7280", "#D1D5DB", "#0000FF"
PLAN, BASELINE, TRAINING, PREFILL, DECODE = "#1D4ED8", "#9CA3AF", "#1E3A5F", "#7FB3D5", "#2E86C1"
GOOD, CHANGED, BAD = "#166534", "#92400E", "#B91C1C"
FONT = "Arial"
# Colours of the terms of a bill, in order.
TERMS = (TRAINING, PREFILL, DECODE, "#D97706", "#9CA3AF", "#0F766E")

_SIZE = '[>=999500000]0.00,,,"B";[>=999500]0.00,,"M";#,##0'
_TOKENS = '[>=999500000000]0.00,,,,"T";[>=999500000]0.00,,,"B";#,##0'
_MONEY = '[>=999500000]"$"0.000,,,"B";[>=999500]"$"0.000,,"M";"$"#,##0'

PARTS: dict[str, dict[str, Any]] = {
    "base": {"font_name": FONT, "font_size": 10, "font_color": INK, "valign": "vcenter"},
    # What a cell is
    "title": {"font_size": 16, "bold": True},
    "subtitle": {"font_color": NOTE},
    "section": {"bold": True, "font_size": 11, "bottom": 1, "bottom_color": LINE},
    "head": {"bold": True, "font_color": "#FFFFFF", "bg_color": TRAINING, "text_wrap": True},
    "answer": {"font_size": 13, "bold": True, "text_wrap": True, "font_color": PLAN, "valign": "top"},
    "live_answer": {"text_wrap": True, "valign": "top", "font_size": 11, "bold": True},
    "wrap": {"text_wrap": True},
    "left": {"align": "left"},
    "input": {"font_color": INPUT, "bg_color": "#FFFBE6", "border": 1, "border_color": LINE},
    "note": {"font_color": NOTE, "text_wrap": True},
    "faint": {"font_color": NOTE},
    "unit": {"font_color": NOTE, "indent": 1},
    "indent": {"indent": 1},
    "ruled": {"bottom": 1, "bottom_color": LINE, "font_color": NOTE, "text_wrap": True, "valign": "bottom"},
    "text": {"text_wrap": True, "valign": "top"},
    "top": {"valign": "top"},
    "total": {"bold": True, "top": 1},
    "bold": {"bold": True},
    "right": {"align": "right"},
    "centre": {"align": "center"},
    "changed": {"font_color": CHANGED, "bold": True},
    "alarm": {"font_color": BAD, "bold": True, "text_wrap": True},
    "good": {"font_color": GOOD, "bold": True},
    "hidden": {"font_color": "#FFFFFF"},
    "ignored": {"font_color": BASELINE},
    "figure": {"bold": True, "font_size": 14, "align": "left"},
    # How a number reads
    "size": {"num_format": _SIZE},
    "tokens": {"num_format": _TOKENS},
    "USD": {"num_format": _MONEY},
    "FLOP": {"num_format": "0.000E+00"},
    "price": {"num_format": '"$"0.00##'},
    "percent": {"num_format": "0.0%"},
    "signed_percent": {"num_format": "+0.0%;-0.0%;0.0%"},
    "signed_whole": {"num_format": "+0%;-0%;0%"},
    "share": {"num_format": "0.0##%"},
    "ratio": {"num_format": "0.000"},
    "factor": {"num_format": "0.0000"},
    "times": {"num_format": '0.00"x"'},
    "signed_share": {"num_format": "+0.00%;-0.00%;0.00%"},
    "amount": {"num_format": '[>=999500000]#,##0.00,,,"B";[>=999500]#,##0.00,,"M";#,##0.0##'},
    "loss": {"num_format": "0.0000"},
    "exact_loss": {"num_format": "0.000000"},
    "plain": {"num_format": "#,##0.0##"},
    "count": {"num_format": "#,##0"},
    "number": {"num_format": "General"},
    "exact": {"num_format": "0.000000000E+00"},
    "tiny": {"num_format": "0.0E+00"},
}


def properties(*parts: str) -> dict[str, Any]:
    """Return the properties of a cell made of parts; a later part wins.

    >>> properties("input", "percent")["num_format"]
    '0.0%'
    """
    merged: dict[str, Any] = {}
    for part in ("base", *parts):
        merged |= PARTS[part]
    return merged
