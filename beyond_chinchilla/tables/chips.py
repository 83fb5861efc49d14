"""Which chip of the catalogue a provider means by "H100", "A100-80GB", "tpu-v6e-8" or "p5.48xlarge".

What a name leaves open is taken from the instance that holds the chip and from its memory. Two things are treated
apart: the form (SXM or PCIe) is assumed to be SXM where nobody says it, and the match says so; the memory of an A100
(40 or 80 GB) is never assumed.
"""

from __future__ import annotations

import functools
import math
import re
from dataclasses import dataclass

from beyond_chinchilla.costs.hardware import accelerator
from beyond_chinchilla.units import GIGA

# Providers print GB, GiB and what is usable; MI325X stands as 288 GB (it has 256) in more than one list.
_MEMORY_TOLERANCE = 0.15
# Whoever writes more than that does not write a name.
_LONGEST = 300


@dataclass(frozen=True, kw_only=True)
class Match:
    """What a provider's name stands for.

    Attributes
    ----------
    chip : str or None
        Name in the catalogue of hardware; None where it has no such chip, or the name does not say which.
    remark : str
        What was assumed, or why there is no chip; "" where the name says it all.
    """

    chip: str | None
    remark: str = ""


@dataclass(frozen=True, kw_only=True)
class Machine:
    """The chips of a known type of instance; `form` and `memory` [GB] settle what its chips' name leaves open."""

    pattern: str
    name: str
    form: str = ""
    memory: float | None = None
    chips: int | None = None


# Types whose chips their provider documents. `chips` is None where the type comes in sizes: the name's size then
# stands in the group `n`.
_MACHINES = tuple(
    Machine(pattern=pattern, name=name, form=form, memory=memory, chips=chips)
    for pattern, name, form, memory, chips in (
        (r"p6-b300\.48xlarge", "B300", "SXM", None, 8),
        (r"p6-b200\.48xlarge", "B200", "SXM", None, 8),
        (r"p5en?\.48xlarge", "H200", "SXM", None, 8),
        (r"p5\.48xlarge", "H100", "SXM", None, 8),
        (r"p5\.4xlarge", "H100", "SXM", None, 1),
        (r"p4de\.24xlarge", "A100", "SXM", 80.0, 8),
        (r"p4d\.24xlarge", "A100", "SXM", 40.0, 8),
        (r"trn1n?\.32xlarge", "Trainium", "", None, 16),
        (r"trn1\.2xlarge", "Trainium", "", None, 1),
        (r"trn2u?\.48xlarge", "Trainium2", "", None, 16),
        (r"trn2\.3xlarge", "Trainium2", "", None, 1),
        (r"g6e\.48xlarge", "L40S", "", None, 8),
        (r"g6e\.(?:24|12)xlarge", "L40S", "", None, 4),
        (r"g6e\.(?:16|8|4|2)?xlarge", "L40S", "", None, 1),
        (r"g6\.48xlarge", "L4", "", None, 8),
        (r"g6\.(?:24|12)xlarge", "L4", "", None, 4),
        (r"g6\.(?:16|8|4|2)?xlarge", "L4", "", None, 1),
        (r"a2-ultragpu-(?P<n>\d{1,3})g", "A100", "SXM", 80.0, None),
        (r"a2-(?:high|mega)gpu-(?P<n>\d{1,3})g", "A100", "SXM", 40.0, None),
        (r"a3-ultragpu-(?P<n>\d{1,3})g", "H200", "SXM", None, None),
        (r"a3-(?:high|edge|mega)gpu-(?P<n>\d{1,3})g", "H100", "SXM", None, None),
        (r"a4-highgpu-(?P<n>\d{1,3})g", "B200", "SXM", None, None),
        (r"a4x-highgpu-(?P<n>\d{1,3})g", "GB200", "", None, None),
        (r"g2-standard-(?:4|8|12|16|32)", "L4", "", None, 1),
        (r"g2-standard-24", "L4", "", None, 2),
        (r"g2-standard-48", "L4", "", None, 4),
        (r"g2-standard-96", "L4", "", None, 8),
        (r"nd96amsr[_ ]a100[_ ]v4", "A100", "SXM", 80.0, 8),
        (r"nd96asr(?:[_ ]a100)?[_ ]v4", "A100", "SXM", 40.0, 8),
        (r"nc(?P<n>24|48|96)ads[_ ]a100[_ ]v4", "A100", "PCIe", 80.0, None),
        (r"nd96isr[_ ]h100[_ ]v5", "H100", "SXM", None, 8),
        (r"nd96isr[_ ]h200[_ ]v5", "H200", "SXM", None, 8),
        (r"nc(?P<n>40|80)adi?s[_ ]h100[_ ]v5", "H100", "NVL", None, None),
        (r"nd96isr[_ ]mi300x[_ ]v5", "MI300X", "", None, 8),
    )
)
_CORES_PER_GPU = {"24": 1, "48": 2, "96": 4, "40": 1, "80": 2}
_MACHINE = re.compile(
    "|".join(
        f"(?P<m{i}>(?<![a-z0-9]){re.sub(r'[?]P<n>', f'?P<n{i}>', m.pattern)}(?![0-9a-z]))"
        for i, m in enumerate(_MACHINES)
    ),
    re.IGNORECASE,
)

# Family by name, the longer before the shorter; the catalogue's names by form, "" where there is one form.
_FAMILIES: tuple[tuple[str, dict[str, str | None]], ...] = (
    (r"GB300", {"": "gb300-nvl72"}),
    (r"GB200", {"": "gb200-nvl72"}),
    (r"GH200", {"": None}),
    (r"B300", {"": "b300-sxm"}),
    (r"B200", {"": "b200-sxm"}),
    (r"H200", {"SXM": "h200-sxm", "PCIe": None, "NVL": None}),
    (r"H100", {"SXM": "h100-sxm", "PCIe": "h100-pcie", "NVL": None}),
    (r"A100", {"SXM": "", "PCIe": None}),
    (r"L40S", {"": "l40s"}),
    (r"L4", {"": "l4"}),
    (r"(?:RTX ?)4090(?! ?D)", {"": "rtx-4090"}),
    (r"MI250X", {"": "mi250x"}),
    (r"MI300X", {"": "mi300x"}),
    (r"MI325X", {"": "mi325x"}),
    (r"MI355X", {"": "mi355x"}),
    # Without TPU before it, v4 is also a generation of machines.
    (r"(?:^|TPU ?)V4", {"": "tpu-v4"}),
    (r"(?:^|TPU ?)V5 ?(?:E|LITE ?POD|LITE)", {"": "tpu-v5e"}),
    (r"(?:^|TPU ?)V5 ?P", {"": "tpu-v5p"}),
    (r"(?:^|TPU ?)V6 ?E", {"": "tpu-v6e"}),
    (r"TPU ?V?7 ?X?", {"": "tpu7x"}),
    (r"(?:AWS )?TRAINIUM ?1?|TRN1N?", {"": "trainium1"}),
    (r"(?:AWS )?TRAINIUM ?2|TRN2U?", {"": "trainium2"}),
    (r"(?:AWS )?TRAINIUM ?3|TRN3", {"": "trainium3"}),
    (r"(?:HABANA )?GAUDI ?2", {"": "gaudi2"}),
    (r"(?:HABANA )?GAUDI ?3", {"": "gaudi3"}),
)
_FAMILY = [(re.compile(rf"(?<![A-Z0-9])(?:{pattern})(?![A-Z0-9])"), forms) for pattern, forms in _FAMILIES]
_FORMS = (
    (re.compile(r"(?<![A-Z])(?:SXM\d?|HGX|MEGA|HBM3)(?![A-Z0-9])"), "SXM"),
    (re.compile(r"(?<![A-Z])PCIE(?![A-Z])"), "PCIe"),
    (re.compile(r"(?<![A-Z])NVL(?![A-Z0-9])"), "NVL"),
)
_GB = re.compile(r"(?<![0-9.])(\d{2,3}) ?G(?:I?B)?(?![A-Z0-9])")
# RunPod writes SXM and NVL into a name and leaves PCIe out: 1x_H100_SECURE.
_RUNPOD = re.compile(r"\d+x_.+_(?:SECURE|COMMUNITY)")
_TPU_NAME = re.compile(r"(?:google )?(?:tpu|v\d)", re.IGNORECASE)
_TPU = re.compile(r"(?:^|[^a-z0-9])v(\d+)[ -]?(e|p|lite ?pod|lite)?-(\d{1,6})$", re.IGNORECASE)
_TPU_ANY = re.compile(r"(?:^|[^a-z0-9])(?:tpu.*-\d+|v\d+x?-\d+)$", re.IGNORECASE)


@functools.lru_cache(maxsize=65536)
def match_chip(name: str, instance: str = "", memory: float | None = None, form: str = "") -> Match:
    """Return the chip of the catalogue that a provider's name stands for.

    Parameters
    ----------
    name : str
        As the provider writes it.
    instance : str
        Type of the instance that holds the chip; where the name does not say its form, this may.
    memory : float, optional
        Of one chip [GB], where the list has it.
    form : str
        ``SXM``, ``PCIe`` or ``NVL``, where the list has it.

    >>> match_chip("H100", "p5.48xlarge")
    Match(chip='h100-sxm', remark='')
    >>> match_chip("H100").remark
    'SXM or PCIe is not stated: taken as SXM'
    >>> match_chip("A100").remark
    '40 or 80 GB is not stated'
    """
    text, instance = _fold(name[:_LONGEST]), instance[:_LONGEST]
    forms = next((forms for pattern, forms in _FAMILY if pattern.search(text)), None)
    if forms is None:
        return Match(chip=None, remark="not in the catalogue")
    machine = find_machine(instance)
    if machine is not None and not re.search(rf"(?<![A-Z0-9]){machine[0].name.upper()}(?![A-Z0-9])", text):
        machine = None
    gigabytes = memory if memory is not None and math.isfinite(memory) and memory > 0 else None
    if gigabytes is None and (stated := _GB.search(text)):
        gigabytes = float(stated[1])
    if gigabytes is None and machine is not None:
        gigabytes = machine[0].memory
    if set(forms) == {""}:
        chip = forms[""]
        return _checked(chip, gigabytes) if chip else Match(chip=None, remark="not in the catalogue")
    stated_form = _form(_fold(form)) or _form(text) or _form(_fold(instance)) or (machine[0].form if machine else "")
    if not stated_form and _RUNPOD.fullmatch(instance):
        stated_form = "PCIe"
    assumed = "" if stated_form else "SXM or PCIe is not stated: taken as SXM"
    chip = forms.get(stated_form or "SXM")
    if chip is None:
        return Match(chip=None, remark=f"the catalogue has no {stated_form} form of it")
    if chip == "":
        size = next((size for size in (40, 80) if gigabytes is not None and abs(gigabytes - size) < 6.0), None)
        if size is None:
            return Match(chip=None, remark="40 or 80 GB is not stated")
        return Match(chip=f"a100-{size}gb-sxm", remark=assumed)
    found = _checked(chip, gigabytes)
    return Match(chip=found.chip, remark=found.remark or assumed)


def chips_of(name: str, count: float, instance: str = "") -> float | None:
    """Return how many chips an offer of `count` accelerators has, or None where nobody knows.

    A slice of TPUs is one accelerator whose name ends in its size: TensorCores, two to a chip, for v2, v3, v4 and
    v5p; chips for v5e and v6e (Google Cloud TPU documentation).

    >>> chips_of("tpu-v5p-8", 1), chips_of("tpu-v6e-8", 1), chips_of("H100", 8)
    (4.0, 8.0, 8)
    """
    if not _TPU_NAME.match(name):
        return count
    for text in (name[:_LONGEST].strip(), instance[:_LONGEST].strip()):
        if match := _TPU.search(text):
            version, letter, size = int(match[1]), (match[2] or "").lower(), int(match[3])
            if (version, letter) in ((2, ""), (3, ""), (4, ""), (5, "p")):
                return count * size / 2 if text is name else size / 2
            if version in (5, 6) and letter:
                return count * float(size) if text is name else float(size)
            return None
        if _TPU_ANY.search(text):
            return None
    return count


@functools.lru_cache(maxsize=65536)
def find_machine(text: str) -> tuple[Machine, int] | None:
    """Return the known type of instance that a text names, and how many chips it has.

    >>> machine, chips = find_machine("USE1-BoxUsage:p5.48xlarge")
    >>> machine.name, chips
    ('H100', 8)
    """
    match = _MACHINE.search(text[:_LONGEST])
    if match is None:
        return None
    index = next(i for i in range(len(_MACHINES)) if match[f"m{i}"] is not None)
    machine = _MACHINES[index]
    if machine.chips is not None:
        return machine, machine.chips
    size = match[f"n{index}"]
    return machine, _CORES_PER_GPU[size] if text[match.start() :].lower().startswith("nc") else int(size)


def _fold(text: str) -> str:
    return re.sub(r"[\s_\-]+", " ", text).strip().upper()


def _form(text: str) -> str:
    return next((form for pattern, form in _FORMS if pattern.search(text)), "")


def _checked(chip: str, gigabytes: float | None) -> Match:
    """Refuse a chip whose memory is another's."""
    known = accelerator(chip).memory / GIGA
    if gigabytes is None or abs(gigabytes - known) <= _MEMORY_TOLERANCE * known:
        return Match(chip=chip)
    return Match(chip=None, remark=f"its memory is not the {known:g} GB of {chip}")
