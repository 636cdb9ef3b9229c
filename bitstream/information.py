"""Expected information of Gaussian diffusion steps, in integers, so that both sides agree exactly.

Noise levels are log2 of the signal-to-noise ratio, in 1/OCTAVE octave; so are logarithms of
variances. The tables below are computed once and compared with a checksum.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from .tables import check_tables

Int64s = NDArray[np.int64]

OCTAVE = 32
"""Noise levels and logarithms of variances are in 1/32 octave: 32 more doubles the ratio."""
BIT = 2**16
"""Information is in 1/65536 bit."""
LEVEL_LOW, LEVEL_HIGH = -20 * OCTAVE, 20 * OCTAVE
"""Range of noise levels."""

_REACH = 16 * OCTAVE
_TABLE_CRC = 0x2C24C9C1


@dataclass(frozen=True)
class _Tables:
    information: Int64s
    rise: Int64s


@cache
def _tables() -> _Tables:
    ratio = np.exp2(np.arange(-_REACH, _REACH + 1) / OCTAVE)
    information = np.rint(0.5 * np.log2(1 + ratio) * BIT).astype(np.int64)
    steps = np.arange(1, LEVEL_HIGH - LEVEL_LOW + 1) / OCTAVE
    rise = np.rint((steps + np.log2(-np.expm1(-steps * np.log(2)))) * OCTAVE).astype(np.int64)
    check_tables("information", _TABLE_CRC, information, rise)
    return _Tables(information, rise)


def snr_rise(noisier: int, cleaner: int) -> int:
    """log2 of the difference of two signal-to-noise ratios, in 1/OCTAVE octave.

    Args:
        noisier, cleaner: noise levels of the two, LEVEL_LOW to LEVEL_HIGH; the second is higher.
    """
    return int(noisier + _tables().rise[cleaner - noisier - 1])


def information(log_variance: Int64s, rise: int) -> Int64s:
    """Expected information of samples in a step: log2(1 + variance * rise) / 2, in 1/BIT bit.

    The KL divergence of the posterior q from p, a Gaussian whose variance is larger by that of the
    denoiser's error, averaged over that error (arXiv 2206.08889, section 3).

    Args:
        log_variance: (n,), log2 of the variance of the denoiser's error, in 1/OCTAVE octave.
        rise: the step's, from `snr_rise`.

    Returns:
        (n,) int64; of ratios beyond 2^-16 to 2^16 the values at these ends.
    """
    ratio = np.clip(log_variance + rise, -_REACH, _REACH)
    expected: Int64s = _tables().information[ratio + _REACH]
    return expected
