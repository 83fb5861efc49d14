"""Benchmarks: ``python -m benchmarks.optimum``."""
