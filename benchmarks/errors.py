"""Errors of the benchmarks."""

from __future__ import annotations

import noisepress


class BenchError(noisepress.NoisepressError):
    """A benchmark cannot start."""
