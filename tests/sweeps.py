"""What several tests of sweeps share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from trees import COST, changed

from beyond_chinchilla.analyse.sweep.plan import plan_sweep
from beyond_chinchilla.analyse.sweep.run import Sweep
from beyond_chinchilla.scenario.load import Scenario

LIFE = changed(COST, name="sweep", law="besiroglu-2024", target__chinchilla="7B")
WIDE = (
    "law=sardana-2024,besiroglu-2024",
    "demand.requests=1e6:1e12:log:40",
    "training.price=1:4:lin:50",
    "target.chinchilla=1B:100B:log:25",
)


def scenario(**changes: Any) -> Scenario:
    """Return the scenario over the life, with other sections."""
    return Scenario.from_dict({**LIFE, **changes})


def small(output: Path | str, *vary: str, **options: Any) -> Sweep:
    """Return a sweep of the scenario."""
    return plan_sweep(scenario(), vary=vary or WIDE, output=str(output), **options)


def rows(output: Path | str) -> pa.Table:
    """Return the rows of a Parquet sweep, by their place in the grid."""
    parts = sorted(Path(output).glob("part-*.parquet"))
    table = pa.concat_tables([pq.read_table(part, partitioning=None) for part in parts]).sort_by("row")
    plain = [field.with_type(pa.string()) if pa.types.is_dictionary(field.type) else field for field in table.schema]
    return table.cast(pa.schema(plain))


def contents(output: Path | str) -> dict[str, bytes]:
    """Return every file of a sweep, hidden ones as well."""
    return {path.name: path.read_bytes() for path in sorted(Path(output).iterdir())}
