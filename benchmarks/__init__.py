"""Benchmarks, each a table of ratios in one run: ``python -m benchmarks``, or one, ``python -m benchmarks.sweep``."""

import os

# Before numpy: its libraries read these once, when they load.
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS"):
    os.environ[_name] = "1"
