"""Numbers as people write them, at the edges: text in, floats in base units inside, human text out.

Inside the package every number is a float in base units: parameters, tokens, FLOP, second, byte, USD.
Only scenario files, tables and reports carry units, and all of them come through here.
"""

from __future__ import annotations

import functools
import math
import re
from typing import TYPE_CHECKING, Any

from beyond_chinchilla.errors import UnitError

if TYPE_CHECKING:
    import pint

SECONDS_PER_HOUR = 3600.0
SECONDS_PER_DAY = 86400.0
# A year of 365.25 days; a month is a twelfth of it, 730.5 hours, whatever the calendar says.
HOURS_PER_YEAR = 8766.0
HOURS_PER_MONTH = HOURS_PER_YEAR / 12.0
TERA = 1e12
GIGA = 1e9

_WORDS = {"thousand": "k", "million": "M", "billion": "B", "trillion": "T"}
SUFFIXES = {"k": 1e3, "K": 1e3, "M": 1e6, "B": 1e9, "T": 1e12, "Q": 1e15}

# What `pint` must know, and no more: its default registry reads T as tesla and B as bel, and costs 0.2 s.
_DEFINITIONS = """
second = [time] = s = sec
minute = 60 second = min
hour = 60 minute = h = hr
day = 24 hour = d
week = 7 day
year = 365.25 day = yr
month = year / 12 = mo
gpu_hour = hour
USD = [currency] = usd = dollar
FLOP = [computation] = flop = FLOPs = flops
byte = [information] = bytes
bit = byte / 8
joule = [energy] = J
watt = joule / second = W
parameter = [parameter] = params = param
token = [token] = tok
request = [request] = req
nat = [loss] = nats
kilo- = 1e3 = k-
mega- = 1e6 = M-
giga- = 1e9 = G-
tera- = 1e12 = T-
peta- = 1e15 = P-
exa- = 1e18 = E-
milli- = 1e-3 = m-
micro- = 1e-6 = u- = µ-
kB = 1e3 byte = KB
MB = 1e6 byte
GB = 1e9 byte
TB = 1e12 byte
KiB = 1024 byte
MiB = 1048576 byte
GiB = 1073741824 byte
TiB = 1099511627776 byte
FLOPS = FLOP / second = FLOP_per_second
"""

# Spellings that mean the unit itself, so that everyday files never load `pint` (0.1 s of a cold start).
# Identities only: a factor belongs to the registry.
_SAME = {
    "USD/hour": {"$/hour", "USD/h", "$/h", "USD/GPU-hour", "$/GPU-hour", "USD/gpu-hour", "$/gpu-hour"},
    "USD": {"$", "usd", "dollars"},
    "day": {"days"},
    "hour": {"hours"},
    "month": {"months"},
    "params": {"param", "parameter", "parameters"},
    "tokens": {"token"},
    "requests": {"request"},
    "tokens/request": {"token/request", "tokens", "token"},
    "FLOP": {"FLOPs", "FLOPS", "flops", "flop"},
    "nats/token": {"nat/token", "nats", "nat"},
}

_BYTES = {"byte", "MB", "GB", "TB", "GB/s", "TB/s"}

_NUMBER = re.compile(
    r"""(?P<sign>[-+]?)
        (?P<digits>(?:\d{1,3}(?:,\d{3})+|\d[\d_]*)(?:\.\d*)?|\.\d+)
        (?P<exponent>[eE][-+]?\d+)?""",
    re.VERBOSE,
)
_WORD = re.compile(r"\s*(thousand|million|billion|trillion)\b", re.IGNORECASE)
# Nobody writes units with powers or of this length; a tower of powers could keep the registry busy for ever.
_UNIT = re.compile(r"(?!.*\*\*)[A-Za-zµ_$/*() .-]{1,40}")
_EXAMPLES = "write it like 1e9, 2.5B, 300k, 10T or 50%"


def parse_number(value: str | float) -> float:
    """Read a plain number: ``1e9``, ``1_000``, ``1,000``, ``1.5B``, ``2T``, ``50%``.

    Raises
    ------
    UnitError
        Not a number, or not finite.

    >>> parse_number("1.5B"), parse_number("50%"), parse_number("1,000")
    (1500000000.0, 0.5, 1000.0)
    """
    number, unit = _split(value)
    if unit:
        raise UnitError(f"{_quote(value)} is not a number; {_EXAMPLES}")
    return number


def parse_quantity(value: str | float, unit: str) -> float:
    """Read a number in `unit`; a bare number means that unit, another unit of the same kind is converted.

    Parameters
    ----------
    value : str or float
        ``"1.50 USD/hour"``, ``"$1.50/hour"``, ``"60 days"``, ``"989 TFLOP/s"``, ``"5M USD"``, ``40e9``.
    unit : str
        The unit of the result.

    Raises
    ------
    UnitError
        Not a number, not finite, or a unit of another kind.

    >>> parse_quantity("36 hours", "day"), parse_quantity("$1.50/hour", "USD/hour")
    (1.5, 1.5)
    """
    number, given = _split(value)
    if not given and unit in _BYTES and isinstance(value, str) and value.rstrip().endswith("B"):
        raise UnitError(f"{_quote(value)} could mean bytes or a billion; write it like '80 {unit}'")
    if not given or given == unit or given in _SAME.get(unit, ()):
        return number
    return _finite(number * _factor(given, unit, str(value)), value)


def _split(value: str | float) -> tuple[float, str]:
    """Split ``"5M USD"`` into ``(5e6, "USD")``; ``"$5M"`` and ``"$1.5/hour"`` likewise."""
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        raise UnitError(f"{_quote(value)} is not a number; {_EXAMPLES}")
    if not isinstance(value, str):
        try:
            return _finite(float(value), value), ""
        except OverflowError:
            raise UnitError(f"{_quote(value)} is too large for a number") from None
    text = value.strip()
    dollar = text.startswith("$")
    match = _NUMBER.match(text[1:].lstrip() if dollar else text)
    if match is None:
        raise UnitError(f"{_quote(value)} is not a number; {_EXAMPLES}")
    number = float(match["sign"] + re.sub("[,_]", "", match["digits"]) + (match["exponent"] or ""))
    rest = match.string[match.end() :]
    if rest.startswith("%"):
        number, rest = number / 100.0, rest[1:]
    elif rest[:1] in SUFFIXES and not rest[1:2].isalnum():
        number, rest = number * SUFFIXES[rest[0]], rest[1:]
    elif word := _WORD.match(rest):
        number, rest = number * SUFFIXES[_WORDS[word[1].lower()]], rest[word.end() :]
    rest = rest.strip()
    if dollar:
        rest = "USD" + rest
    return _finite(number, value), rest


def _finite(number: float, value: object) -> float:
    if not math.isfinite(number):
        raise UnitError(f"{_quote(value)} is not a finite number; {_EXAMPLES}")
    return number


@functools.cache
def _registry() -> pint.UnitRegistry[Any]:
    import pint  # 0.1 s: only for a unit that is not spelled as the field's own

    registry: pint.UnitRegistry[Any] = pint.UnitRegistry(None)
    for line in _DEFINITIONS.strip().splitlines():
        registry.define(line)
    return registry


def _factor(given: str, unit: str, value: str) -> float:
    """Return how many `unit` one `given` is, or say why it is none."""
    refused = UnitError(f"{_quote(value)} is not in {unit}; write it like '{_EXAMPLE_OF.get(unit, 1)} {unit}'")
    if not _UNIT.fullmatch(given):
        raise refused
    registry = _registry()
    try:
        one = registry.Quantity(1.0, registry.parse_units(_as_pint(given)))
        return float(one.to(registry.parse_units(_as_pint(unit))).magnitude)
    # Another dimension, an unknown name, or whatever pint's tokenizer makes of arbitrary text.
    except Exception:
        raise refused from None


_EXAMPLE_OF = {"USD/hour": "1.50", "day": "60", "TFLOP/s": "989", "GB": "80", "params": "30B", "tokens": "2T"}


def _as_pint(unit: str) -> str:
    unit = unit.replace("$", "USD")
    # A GPU-hour is an hour of one GPU: the hyphen is no minus.
    return re.sub(r"(?i)\b(?:gpu|chip|accelerator)[- ]?h(?:ou)?rs?\b", "hour", unit)


def _quote(value: object) -> str:
    text = str(value)
    return f"'{text if len(text) <= 40 else text[:37] + '...'}'"


def format_number(value: float, digits: int = 3) -> str:
    """Write a number as people say it.

    >>> format_number(1.3612e10), format_number(4.426e12), format_number(711.04), format_number(0.0123)
    ('13.6B', '4.43T', '711', '0.0123')
    """
    if value == 0 or not math.isfinite(value):
        return f"{value:g}"
    rounded = float(f"{value:.{digits - 1}e}")
    if not math.isfinite(rounded):
        # The largest doubles have nothing above them to be rounded to.
        return repr(value).replace("e+", "e")
    for suffix, scale in (("T", 1e12), ("B", 1e9), ("M", 1e6), ("k", 1e3)):
        if abs(rounded) >= scale:
            if abs(rounded) >= 1e16:
                break
            return _significant(rounded / scale, digits) + suffix
    if 1e-4 <= abs(rounded) < 1e3:
        return _significant(rounded, digits)
    return f"{rounded:.{digits - 1}e}".replace("e+", "e").replace("e0", "e").replace("e-0", "e-")


def _significant(value: float, digits: int) -> str:
    decimals = max(digits - 1 - math.floor(math.log10(abs(value))), 0)
    return f"{value:.{decimals}f}"


def format_size(value: float) -> str:
    """Write a number as a name: without the zeros that only state precision.

    >>> format_size(3e10), format_size(1.3612e10), format_size(1e20)
    ('30B', '13.6B', '1e20')
    """
    text, mark, exponent = format_number(value).partition("e")
    digits, suffix = (text[:-1], text[-1]) if text[-1].isalpha() else (text, "")
    return (digits.rstrip("0").rstrip(".") if "." in digits else digits) + suffix + mark + exponent


def format_money(value: float, digits: int = 3) -> str:
    """Write dollars.

    >>> format_money(1383452.0), format_money(950.0), format_money(-0.0042)
    ('$1.38M', '$950', '-$0.00420')
    """
    sign = "-" if value < 0 else ""
    return sign + "$" + format_number(abs(value), digits)


def format_amount(value: float, unit: str, digits: int = 3) -> str:
    """Write a number with its unit: dollars with their sign, anything else with the unit behind.

    >>> format_amount(1.2e6, "USD"), format_amount(8.004e22, "FLOP"), format_amount(3e10, "params")
    ('$1.20M', '8.00e22 FLOP', '30.0B params')
    """
    return format_money(value, digits) if unit == "USD" else f"{format_number(value, digits)} {unit}".rstrip()


# From here on nobody reads a percentage digit by digit.
_MANY_TIMES = 100.0


def format_percent(fraction: float, decimals: int = 1) -> str:
    """Write a share.

    >>> format_percent(0.12987), format_percent(3e-5), format_percent(4e-23), format_percent(-532.657)
    ('13.0%', '0.0030%', 'under 0.0001%', '-53.3k%')
    """
    if 0 < abs(fraction) < 1e-6:
        return "under 0.0001%"
    # -0.0 is nothing.
    fraction += 0.0
    if fraction != 0 and abs(fraction) * 100 < 0.5 * 10**-decimals:
        return f"{_significant(fraction * 100, 2)}%"
    if abs(fraction) >= _MANY_TIMES:
        # A hundred times as much may be more than a double holds.
        return f"{format_number(fraction * 100)}%" if math.isfinite(fraction * 100) else format_times(fraction)
    return f"{fraction * 100:.{decimals}f}%"


def format_times(ratio: float) -> str:
    """Write a ratio.

    >>> format_times(2.845), format_times(15.2)
    ('2.85x', '15.2x')
    """
    return format_number(ratio) + "x"
