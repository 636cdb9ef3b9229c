"""Entropy models with integer parameters.

A model turns an array of symbols into a sequence of small-alphabet decisions, each with a row
of integer frequencies. Coders see nothing but those integers, so a stream decodes to the same
symbols wherever the integers are the same.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from . import _kernels

Ints = NDArray[np.int32]
Frequencies = NDArray[np.float32]
"""Shape (n, m), m >= 2: positive integers held in float32, the sum of each row below 2^24.

The coders turn a row into probabilities in 1/2^24 by float32 arithmetic that IEEE 754 fixes:
symbol i starts at left_i = trunc(c_i * ((2^24 - m) / total)) + i, where c_i is the sum of the
frequencies before i, and ends where i + 1 starts, the last one at 2^24.
"""

Step = Callable[[Ints | None, Frequencies], Ints]
"""Codes one decision for each of n symbols: digits in when encoding, digits out always."""


class EntropyModel(Protocol):
    """A distribution for each of n symbols."""

    def run(self, symbols: Ints | None, step: Step) -> Ints:
        """Code n symbols through `step`; None asks for the symbols that `step` decodes."""
        ...


@dataclass(frozen=True)
class Categorical:
    """Symbols 0 to m - 1 with the given frequencies, shape (n, m)."""

    frequencies: Frequencies

    def run(self, symbols: Ints | None, step: Step) -> Ints:
        _check_range(symbols, self.frequencies.shape[1])
        return step(symbols, self.frequencies)


@dataclass(frozen=True)
class Uniform:
    """`count` symbols of `digits` base-4 digits, all values equally likely."""

    count: int
    digits: int

    def run(self, symbols: Ints | None, step: Step) -> Ints:
        flat = np.ones((self.count, 4), np.float32)
        return _by_digits(symbols, self.count, self.digits, lambda prefixes, size: flat, step)


LOGIT_UNITS = 32
"""Mixture logits are in 1/32 octave: 32 more doubles the weight."""
LOCATION_UNITS = 16
"""Locations are in 1/16 of a level."""
SCALE_UNITS = 16
"""Logarithmic scales are in 1/16 octave: 16 more doubles the scale."""
SCALE_LOW, SCALE_HIGH = -48, 128

_TABLE_CRC = 0x4DDF4413
_INVERSE_FRAC = 20


@dataclass(frozen=True)
class _Tables:
    weight: NDArray[np.int64]
    inverse: NDArray[np.int64]
    sigmoid: NDArray[np.int64]


@cache
def _tables() -> _Tables:
    """Integer tables of the logistic mixture, the same on every machine or an error."""
    octaves = np.arange(16 * LOGIT_UNITS + 1) / LOGIT_UNITS
    weight = np.rint(np.exp2(16 - octaves))
    steps = np.arange(SCALE_LOW, SCALE_HIGH + 1) / SCALE_UNITS
    inverse = np.rint(np.exp2(_INVERSE_FRAC - steps))
    spacing = 2.0 ** (_kernels.STEP_FRAC - _kernels.ARGUMENT_FRAC)
    argument = np.arange(-_kernels.RANGE, _kernels.RANGE + spacing, spacing)
    sigmoid = np.rint(2.0**_kernels.CDF_FRAC / (1 + np.exp(-argument)))
    tables = _Tables(*(part.astype(np.int64) for part in (weight, inverse, sigmoid)))
    crc = 0
    for part in (tables.weight, tables.inverse, tables.sigmoid):
        crc = zlib.crc32(part.astype("<i8").tobytes(), crc)
    if crc != _TABLE_CRC:
        raise RuntimeError("this machine's exp and exp2 give other tables than the format asks for")
    return tables


@dataclass(frozen=True)
class LogisticMixture:
    """Integer mixtures of discretised logistics on 0 to 4^digits - 1.

    The discretised mixture of PixelCNN++ (arXiv 1701.05517, eq. 2) with a small uniform
    share (2^-12), coded as base-4 digits, the most significant first.

    Attributes:
        logits: (n, k), in 1/LOGIT_UNITS octave.
        locations: (n, k), in 1/LOCATION_UNITS of a level.
        scales: (n, k), in 1/SCALE_UNITS octave; clamped to SCALE_LOW..SCALE_HIGH.
        digits: base-4 digits of a symbol.
    """

    logits: Ints
    locations: Ints
    scales: Ints
    digits: int = 4

    def run(self, symbols: Ints | None, step: Step) -> Ints:
        count = len(self.logits)
        edges = np.empty((count, 5), np.int64)

        def frequencies(prefixes: Ints, size: int) -> Frequencies:
            return self._rows(prefixes, size, edges, follows=size < 4 ** (self.digits - 1))

        return _by_digits(symbols, count, self.digits, frequencies, step)

    def frequencies(self, prefixes: Ints, size: int) -> Frequencies:
        """Frequencies (n, 4) of the next digit.

        Args:
            prefixes: (n,), the smallest symbols that have the digits coded so far.
            size: how many symbols share one value of the next digit.
        """
        return self._rows(prefixes, size, np.empty((len(prefixes), 5), np.int64), follows=False)

    def _rows(
        self, prefixes: Ints, size: int, edges: NDArray[np.int64], *, follows: bool
    ) -> Frequencies:
        """Frequencies; with `follows`, `edges` holds what the digit before left there."""
        tables = _tables()
        out = np.empty((len(prefixes), 4), np.float32)
        _kernels.mixture_frequencies(
            prefixes,
            size,
            4**self.digits,
            self.logits,
            self.locations,
            np.clip(self.scales, SCALE_LOW, SCALE_HIGH) - SCALE_LOW,
            tables.weight,
            tables.inverse,
            tables.sigmoid,
            follows,
            edges,
            out,
        )
        return out


@dataclass(frozen=True)
class MixtureDigit:
    """One base-4 digit of symbols with a mixture distribution.

    Attributes:
        mixture: of the whole symbols.
        prefixes: (n,), the smallest symbols that have the digits known so far.
        left: digits after this one.
    """

    mixture: LogisticMixture
    prefixes: Ints
    left: int

    def run(self, symbols: Ints | None, step: Step) -> Ints:
        return step(symbols, self.mixture.frequencies(self.prefixes, 4**self.left))


def _check_range(symbols: Ints | None, count: int) -> None:
    """Refuse what could not be decoded.

    Raises:
        ValueError: a symbol is not one of 0 to count - 1.
    """
    if symbols is not None and np.any((symbols < 0) | (symbols >= count)):
        raise ValueError(f"symbols outside 0 to {count - 1}")


def _by_digits(
    symbols: Ints | None,
    count: int,
    digits: int,
    frequencies: Callable[[Ints, int], Frequencies],
    step: Step,
) -> Ints:
    """Code symbols digit by digit; `frequencies` sees the prefix and the size of a digit's step."""
    _check_range(symbols, 4**digits)
    prefixes = np.zeros(count, np.int32)
    for left in reversed(range(digits)):
        digit = None if symbols is None else (symbols >> (2 * left)) & 3
        prefixes = prefixes + (step(digit, frequencies(prefixes, 4**left)) << (2 * left))
    return prefixes
