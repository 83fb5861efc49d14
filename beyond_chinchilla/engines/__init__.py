"""Where blocks of work run: in this process, on its threads, on other processes, or on a Dask cluster."""

from __future__ import annotations

from beyond_chinchilla.engines.engine import ENGINES, Engine, engine

__all__ = ["ENGINES", "Engine", "engine"]
