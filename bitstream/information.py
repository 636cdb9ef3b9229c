"""Information of Gaussian steps in integers, so that sender and receiver agree to the last bit.

Noise levels are log2 of the signal-to-noise ratio in `OCTAVE`ths of an octave, and so are the
logarithms of variances. The tables below are computed once and compared with a literal.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

Int64s = NDArray[np.int64]

OCTAVE = 32
"""Units of levels and logarithms of variances in an octave, a factor of two."""
BIT = 2**16
"""Units of information in a bit."""
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
    crc = zlib.crc32(rise.astype("<i8").tobytes(), zlib.crc32(information.astype("<i8").tobytes()))
    if crc != _TABLE_CRC:
        raise RuntimeError("this machine's log2 gives other tables than the format asks for")
    return _Tables(information, rise)


def snr_rise(noisier: int, cleaner: int) -> int:
    """log2 of the difference of two signal-to-noise ratios, in 1/OCTAVE.

    Args:
        noisier, cleaner: levels, the second the higher one.
    """
    return int(noisier + _tables().rise[cleaner - noisier - 1])


def information(log_variance: Int64s, rise: int) -> Int64s:
    """Expected information of samples in a step: log2(1 + variance rise) / 2, in 1/BIT bit.

    The KL divergence of a Gaussian of the posterior's variance from one that is wider by the
    variance of the denoiser's error, on average over that error (arXiv 2206.08889, section 3).

    Args:
        log_variance: log2 of the variance of the denoiser's error, in 1/OCTAVE.
        rise: see `snr_rise`.
    """
    ratio = np.clip(log_variance + rise, -_REACH, _REACH)
    found: Int64s = _tables().information[ratio + _REACH]
    return found
