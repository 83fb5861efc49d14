"""The cost model against measured figures: throughput of serving, and hours of published training runs.

The figures are ``data/measured.yaml``. Three efficiencies are fitted, once, to six throughputs of one model; the
other rows say how far off a prediction is: 10% in the median, 35% at worst. The worst are long prompts in fp4, and
all but one fp4 row is predicted too high, all fp8 rows too low: fp4 kernels reach less of their peak. An efficiency
for each precision would fit better, and predict nothing that it has not seen.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np

from beyond_chinchilla.costs.efficiency import DEFAULT_EFFICIENCY, Efficiency
from beyond_chinchilla.costs.flops import training_flops
from beyond_chinchilla.costs.hardware import accelerator
from beyond_chinchilla.costs.kv_cache import kv_of_shape
from beyond_chinchilla.costs.models import ReferenceModel, reference_model
from beyond_chinchilla.costs.models import names as model_names
from beyond_chinchilla.costs.serving import Replica
from beyond_chinchilla.data import load_row
from beyond_chinchilla.errors import InputError
from beyond_chinchilla.units import SECONDS_PER_HOUR, parse_number

if TYPE_CHECKING:
    import pandas as pd

# Replicas that a planner would try.
REPLICA_SIZES = (1, 2, 4, 8)
FITTED = ("prefill", "decode", "bandwidth")
# Bounds of the fit; they are wide, and no fitted share touches them.
_LEAST_SHARE, _FIRST_SHARE = 0.1, 0.5
# What a run would be planned with: the median utilisation that the makers of 18 models reported (Epoch AI), and the
# middle of .75 to .95, what failures and restarts leave of it.
REPORTED_MFU = 0.375
GOODPUT = 0.85


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """A measured throughput.

    Attributes
    ----------
    replica : Replica
        Chip, precision, number of chips, and the request.
    params : float
        Of the served model [parameters].
        Active ones of a mixture of experts.
    value : float
        Output tokens per second and chip, at full load.
    use : {"fit", "check"}
        Whether the default efficiencies may see it.
    model : str
        What is served.
    """

    replica: Replica
    params: float
    value: float
    use: str
    model: str


@dataclass(frozen=True, kw_only=True)
class ServingRow:
    """A predicted throughput beside the measured one.

    Attributes
    ----------
    hardware, precision : str
    gpus : int
        Chips of a replica, as measured.
    best_gpus : int
        What the model would choose of 1, 2, 4 and 8.
    input_tokens, output_tokens : float
    batch : float
        Sequences that memory holds.
    predicted, measured : float
        Output tokens per second and chip.
    ratio : float
        Predicted / measured.
    use : {"fit", "check"}
        Whether the efficiencies were fitted to the row.
    model : str
    """

    hardware: str
    precision: str
    gpus: int
    best_gpus: int
    input_tokens: float
    output_tokens: float
    batch: float
    predicted: float
    measured: float
    ratio: float
    use: str
    model: str

    def to_dict(self) -> dict[str, Any]:
        """Return the row as JSON holds it."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True)
class TrainingRow:
    """Predicted hours of a published run beside the reported ones.

    Attributes
    ----------
    model, hardware : str
    predicted, reported : float
        Hours of one chip.
    ratio : float
        Predicted / reported.
    all_in_mfu : float
        6 N D / (hours x peak bf16), as a share.
    published_percent : str
        The same as published, in percent, to its printed digits; empty where it is not among those.
    catalogue_mfu : float or None
        The same with the counts of the catalogue of models; None where it does not know the chip.
    note : str
        Why the two differ.
    """

    model: str
    hardware: str
    predicted: float
    reported: float
    ratio: float
    all_in_mfu: float
    published_percent: str
    catalogue_mfu: float | None
    note: str

    def to_dict(self) -> dict[str, Any]:
        """Return the row as JSON holds it."""
        return asdict(self)


def measurements(efficiency: Efficiency = DEFAULT_EFFICIENCY) -> tuple[Measurement, ...]:
    """Return the measured throughputs, in the order of the table.

    >>> [measurements()[0].replica.label, measurements()[0].value]
    ['h100-sxm fp8 x 2', 2209.0]
    """
    table = load_row("measured", "serving")
    cache = kv_of_shape(**table["shape"])
    return tuple(
        Measurement(
            replica=Replica(
                chip=accelerator(row["hardware"]),
                precision=row["precision"],
                gpus=row["gpus"],
                kv=cache,
                efficiency=efficiency,
                input_tokens=float(row["input"]),
                output_tokens=float(row["output"]),
            ),
            params=parse_number(table["params"]),
            value=float(row["value"]),
            use=row["use"],
            model=table["model"],
        )
        for row in (*table["rows"], *table["more"])
    )


def serving_table(efficiency: Efficiency = DEFAULT_EFFICIENCY) -> tuple[ServingRow, ...]:
    """Predict every measured throughput at full load.

    Under in-flight batching a chip shares its time between prompts and decode steps of the largest batch that memory
    holds: output / (input x prefill seconds + output x decode seconds). Chips per replica are those of the
    measurement.

    Parameters
    ----------
    efficiency : Efficiency

    Returns
    -------
    tuple of ServingRow

    Examples
    --------
    >>> row = serving_table()[1]
    >>> row.hardware, row.measured, f"{row.ratio:.2f}"
    ('h200-sxm', 2587.0, '0.85')
    """
    return tuple(serving_row(measurement) for measurement in measurements(efficiency))


def fit_efficiencies(rows: Sequence[Measurement], start: Efficiency = DEFAULT_EFFICIENCY) -> Efficiency:
    """Fit prefill, decode and bandwidth to measured throughputs: least squares in ln(predicted / measured).

    Parameters
    ----------
    rows : sequence of Measurement
        At least three.
    start : Efficiency
        Where the other shares are taken from; the fitted ones do not depend on it.

    Raises
    ------
    InputError
        Fewer rows than shares.

    Examples
    --------
    >>> fitted = fit_efficiencies([row for row in measurements() if row.use == "fit"])
    >>> f"{fitted.prefill:.2f} {fitted.decode:.2f} {fitted.bandwidth:.2f}"
    '0.54 0.34 0.60'
    """
    from scipy.optimize import minimize  # 0.2 s

    if len(rows) < len(FITTED):
        raise InputError(f"{len(rows)} measured throughputs: {len(FITTED)} efficiencies need at least as many")

    def with_shares(logs: Any) -> Efficiency:
        return replace(start, **dict(zip(FITTED, (min(float(share), 1.0) for share in np.exp(logs)), strict=True)))

    def squares(logs: Any) -> float:
        efficiency = with_shares(logs)
        errors = (full_load(replace(row.replica, efficiency=efficiency), row.params) / row.value for row in rows)
        return sum(math.log(error) ** 2 for error in errors)

    # The sum of squares has its least value in a kink, where a step is bound by compute and by weights alike: a method
    # that follows gradients stops beside it.
    found = minimize(
        squares,
        [math.log(_FIRST_SHARE)] * len(FITTED),
        method="Nelder-Mead",
        bounds=[(math.log(_LEAST_SHARE), 0.0)] * len(FITTED),
        options={"xatol": 1e-3, "fatol": 1e-8},
    )
    return with_shares(found.x)


def training_table(mfu: float = REPORTED_MFU, goodput: float = GOODPUT) -> tuple[TrainingRow, ...]:
    """Predict the chip-hours of published runs: 6 N D / (peak bf16 x MFU x goodput x 3600).

    Parameters
    ----------
    mfu : float
        Model FLOPs utilisation while the run runs, in (0, 1].
    goodput : float
        Share of the paid hours in which it does, in (0, 1].

    Returns
    -------
    tuple of TrainingRow
        Every model of the catalogue with tokens, hours and a known chip; N are the active parameters. Pruned and
        distilled models are set aside.

    Examples
    --------
    >>> {row.model: f"{row.ratio:.2f} {row.all_in_mfu:.1%}" for row in training_table()}["llama-3.1-405b"]
    '1.08 34.5%'
    """
    for name, share in (("mfu", mfu), ("goodput", goodput)):
        if not 0.0 < share <= 1.0:
            raise InputError(f"{name} must be above 0 and at most 1, not {share}")
    published = load_row("measured", "all-in-mfu")["rows"]
    aside = load_row("measured", "set-aside")
    rows = []
    for name in model_names():
        row = _training_row(reference_model(name), published.get(name, {}), mfu * goodput)
        if row is not None and name not in aside:
            rows.append(row)
    return tuple(rows)


def log_error(ratios: Sequence[float]) -> tuple[float, float]:
    """Return the median and the largest |ln ratio|.

    >>> [round(error, 3) for error in log_error([1.1, 0.9, 1.3])]
    [0.105, 0.262]
    """
    errors = [abs(math.log(ratio)) for ratio in ratios]
    return median(errors), max(errors)


def to_frame(rows: Sequence[ServingRow] | Sequence[TrainingRow]) -> pd.DataFrame:
    """Return the rows as a table, one column for each attribute."""
    import pandas as pd  # 0.3 s

    return pd.DataFrame([row.to_dict() for row in rows])


def full_load(replica: Replica, params: float) -> float:
    """Return output tokens per second and chip with as many sequences as memory holds; 0 where it holds none."""
    batch = float(replica.best_batch(params))
    if batch < 1.0:
        return 0.0
    return replica.describe(params, batch, float(replica.step_time(params, batch)))["output_tokens_per_second"]


def serving_row(measurement: Measurement) -> ServingRow:
    """Return the predicted throughput beside a measured one."""
    replica, params = measurement.replica, measurement.params
    predicted = full_load(replica, params)
    by_size = {gpus: full_load(replace(replica, gpus=gpus), params) for gpus in REPLICA_SIZES}
    return ServingRow(
        hardware=replica.chip.name,
        precision=replica.precision,
        gpus=replica.gpus,
        best_gpus=max(by_size, key=by_size.__getitem__),
        input_tokens=replica.input_tokens,
        output_tokens=replica.output_tokens,
        batch=float(replica.best_batch(params)),
        predicted=predicted,
        measured=measurement.value,
        ratio=predicted / measurement.value,
        use=measurement.use,
        model=measurement.model,
    )


def _training_row(model: ReferenceModel, published: dict[str, Any], share: float) -> TrainingRow | None:
    """Return a run's row with the counts of its own where they are known; None where hours, tokens or chip are not."""
    hardware = published.get("hardware", model.hardware)
    tokens = parse_number(published["tokens"]) if "tokens" in published else model.tokens
    hours = parse_number(published["chip_hours"]) if "chip_hours" in published else model.chip_hours
    params = parse_number(published["params"]) if "params" in published else model.compute_params
    if hardware is None or tokens is None or hours is None:
        return None
    per_hour = accelerator(hardware).peak_flops("bf16") * SECONDS_PER_HOUR
    at_peak = training_flops(params, tokens) / per_hour
    of_catalogue = None
    if model.hardware is not None and model.tokens is not None and model.chip_hours is not None:
        of_catalogue = training_flops(model.compute_params, model.tokens) / per_hour / model.chip_hours
    return TrainingRow(
        model=model.name,
        hardware=hardware,
        predicted=at_peak / share,
        reported=hours,
        ratio=at_peak / share / hours,
        all_in_mfu=at_peak / hours,
        published_percent=published.get("percent", ""),
        catalogue_mfu=of_catalogue,
        note=published.get("note", model.note),
    )
