"""Entropy models with integer parameters.

A model turns an array of symbols into a sequence of small-alphabet decisions, each with a row
of integer frequencies. Coders see nothing but those integers, so a stream decodes to the same
symbols wherever the integers are the same.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from . import _kernels
from .tables import check_tables

Ints = NDArray[np.int32]
Frequencies = NDArray[np.float32]
"""Shape (n, m), m >= 2: positive integers held in float32, the sum of each row below 2^24.

The coders turn a row into probabilities in 1/2^24 by float32 arithmetic that IEEE 754 fixes:
symbol i starts at left_i = trunc(c_i * ((2^24 - m) / total)) + i, where c_i is the sum of the
frequencies before i, and ends where i + 1 starts, the last one at 2^24.
"""

Step = Callable[[Ints | None, Frequencies], Ints]
"""Codes one digit of each of n symbols.

Takes the digits (n,) when encoding, None when decoding, and their frequencies (n, m); returns the
digits (n,) in both cases.
"""


class EntropyModel(Protocol):
    """The distributions of n symbols, which may all differ."""

    def run(self, symbols: Ints | None, step: Step) -> Ints:
        """Code n symbols by calls of `step`.

        Args:
            symbols: (n,) int32 to encode; None to decode.
            step: a coder's; called once for each digit position.

        Returns:
            The symbols, (n,) int32.

        Raises:
            ValueError: a symbol is outside the model's range.
        """
        ...


@dataclass(frozen=True)
class Categorical:
    """Symbols 0 to m - 1 with given frequencies.

    Attributes:
        frequencies: (n, m), a row for each symbol; see `Frequencies`.
    """

    frequencies: Frequencies

    def run(self, symbols: Ints | None, step: Step) -> Ints:
        check_range(symbols, self.frequencies.shape[1])
        return step(symbols, self.frequencies)


@dataclass(frozen=True)
class Uniform:
    """Symbols whose values are all equally likely.

    Attributes:
        count: number of symbols, n.
        digits: base-4 digits of a symbol, which is below 4^digits.
    """

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
"""Logarithms of the scales of logistics are in 1/16 octave: 16 more doubles the scale."""
SCALE_LOW, SCALE_HIGH = -48, 128
"""Range of logarithmic scales, in 1/SCALE_UNITS octave: scales of 1/8 to 256 levels."""
DEVIATION_UNITS = 64
"""Logarithms of standard deviations are in 1/64 octave."""
DEVIATION_LOW, DEVIATION_HIGH = -4 * DEVIATION_UNITS, 10 * DEVIATION_UNITS
"""Range of those, in 1/DEVIATION_UNITS octave: deviations of 1/16 to 1024 levels."""

_LOGISTIC_CRC, _NORMAL_CRC = 0x4DDF4413, 0xCEA80C54
_INVERSE_FRAC = 20


@dataclass(frozen=True)
class _Tables:
    """Integer tables of mixtures (docs/format.md, "Logistic mixtures" and "Normal mixtures").

    Attributes:
        weight: (w,), weight of a component by how far its logit is below the largest.
        inverse: (high - low + 1,), reciprocals of scales, by logarithmic scale - low.
        cdf: cumulative distribution function of a component of scale 1 at zero.
        low, high: range of logarithmic scales.
        floor_shift: a share of 2^-floor_shift of the probability is uniform.
    """

    weight: NDArray[np.int64]
    inverse: NDArray[np.int64]
    cdf: NDArray[np.int64]
    low: int
    high: int
    floor_shift: int


def _weights() -> NDArray[np.int64]:
    octaves = np.arange(16 * LOGIT_UNITS + 1) / LOGIT_UNITS
    weights: NDArray[np.int64] = np.rint(np.exp2(16 - octaves)).astype(np.int64)
    return weights


def _inverses(low: int, high: int, units: int) -> NDArray[np.int64]:
    steps = np.arange(low, high + 1) / units
    inverses: NDArray[np.int64] = np.rint(np.exp2(_INVERSE_FRAC - steps)).astype(np.int64)
    return inverses


def _arguments() -> NDArray[np.float64]:
    spacing = 2.0 ** (_kernels.STEP_FRAC - _kernels.ARGUMENT_FRAC)
    return np.arange(-_kernels.RANGE, _kernels.RANGE + spacing, spacing)


@cache
def _logistic_tables() -> _Tables:
    cdf = np.rint(2.0**_kernels.CDF_FRAC / (1 + np.exp(-_arguments()))).astype(np.int64)
    inverse = _inverses(SCALE_LOW, SCALE_HIGH, SCALE_UNITS)
    tables = _Tables(_weights(), inverse, cdf, SCALE_LOW, SCALE_HIGH, floor_shift=12)
    check_tables("entropy", _LOGISTIC_CRC, tables.weight, inverse, cdf)
    return tables


@cache
def _normal_tables() -> _Tables:
    below = [math.erfc(-at / math.sqrt(2)) / 2 for at in _arguments()]
    cdf = np.rint(2.0**_kernels.CDF_FRAC * np.array(below)).astype(np.int64)
    inverse = _inverses(DEVIATION_LOW, DEVIATION_HIGH, DEVIATION_UNITS)
    tables = _Tables(
        _weights(), inverse, cdf, DEVIATION_LOW, DEVIATION_HIGH, floor_shift=_kernels.CDF_FRAC
    )
    check_tables("entropy", _NORMAL_CRC, tables.weight, inverse, cdf)
    return tables


@dataclass(frozen=True)
class _Mixture:
    """Integer mixtures of discretised distributions on 0 to 4^digits - 1.

    Coded as base-4 digits, the most significant first.

    Attributes:
        logits: (n, k), in 1/LOGIT_UNITS octave.
        locations: (n, k), in 1/LOCATION_UNITS of a level.
        scales: (n, k), see the subclasses; clamped to their range.
        digits: base-4 digits of a symbol.
    """

    logits: Ints
    locations: Ints
    scales: Ints
    digits: int = 4

    _tables: ClassVar[Callable[[], _Tables]]

    def run(self, symbols: Ints | None, step: Step) -> Ints:
        count = len(self.logits)
        edges = np.empty((count, 5), np.int64)

        def frequencies(prefixes: Ints, size: int) -> Frequencies:
            return self._rows(prefixes, size, edges, follows=size < 4 ** (self.digits - 1))

        return _by_digits(symbols, count, self.digits, frequencies, step)

    def frequencies(self, prefixes: Ints, size: int) -> Frequencies:
        """Frequencies (n, 4) of the next digit.

        Args:
            prefixes: (n,) int32, the smallest symbols that begin with the digits coded so far.
            size: number of symbols for each value of the next digit, a power of four.
        """
        return self._rows(prefixes, size, np.empty((len(prefixes), 5), np.int64), follows=False)

    def _rows(
        self, prefixes: Ints, size: int, edges: NDArray[np.int64], *, follows: bool
    ) -> Frequencies:
        """Frequencies (n, 4); with `follows`, `edges` (n, 5) is from the digit before."""
        tables = type(self)._tables()
        out = np.empty((len(prefixes), 4), np.float32)
        _kernels.mixture_frequencies(
            prefixes,
            size,
            4**self.digits,
            self.logits,
            self.locations,
            np.clip(self.scales, tables.low, tables.high) - tables.low,
            tables.weight,
            tables.inverse,
            tables.cdf,
            tables.floor_shift,
            follows,
            edges,
            out,
        )
        return out


class LogisticMixture(_Mixture):
    """Integer mixtures of discretised logistics on 0 to 4^digits - 1.

    The discretised mixture of PixelCNN++ (arXiv 1701.05517, eq. 2) with a small uniform
    share (2^-12), coded as base-4 digits, the most significant first.

    Attributes:
        logits: (n, k), in 1/LOGIT_UNITS octave.
        locations: (n, k), in 1/LOCATION_UNITS of a level.
        scales: (n, k), in 1/SCALE_UNITS octave; clamped to SCALE_LOW..SCALE_HIGH.
        digits: base-4 digits of a symbol.
    """

    _tables = staticmethod(_logistic_tables)


class GaussianMixture(_Mixture):
    """Integer mixtures of discretised normal distributions on 0 to 4^digits - 1.

    The probability beyond either end belongs to the last level there. There is no uniform share: a
    level far from all means costs up to 20 bits a digit.

    Attributes:
        logits: (n, k), in 1/LOGIT_UNITS octave.
        locations: (n, k), means in 1/LOCATION_UNITS of a level.
        scales: (n, k), log2 of the standard deviation in levels, in 1/DEVIATION_UNITS octave;
            clamped to DEVIATION_LOW..DEVIATION_HIGH.
        digits: base-4 digits of a symbol.
    """

    _tables = staticmethod(_normal_tables)

    @classmethod
    def single(cls, locations: Ints, scales: Ints, digits: int) -> GaussianMixture:
        """Mixtures of one component: single normal distributions.

        Args:
            locations, scales: (n,) int32, see the class.
            digits: base-4 digits of a symbol.
        """
        flat = np.zeros((len(locations), 1), np.int32)
        return cls(flat, locations[:, None], scales[:, None], digits)


@dataclass(frozen=True)
class Repeated:
    """Symbols that share a few distributions.

    Attributes:
        mixture: the m distributions.
        which: (n,), index of each symbol's distribution, 0 to m - 1.
    """

    mixture: LogisticMixture | GaussianMixture
    which: Ints

    def run(self, symbols: Ints | None, step: Step) -> Ints:
        kinds = len(self.mixture.logits)

        def frequencies(prefixes: Ints, size: int) -> Frequencies:
            """Computed for every prefix and distribution, then looked up for each symbol."""
            starts = np.arange(0, 4**self.mixture.digits, 4 * size, dtype=np.int32)
            rows = np.stack(
                [self.mixture.frequencies(np.full(kinds, start), size) for start in starts]
            )
            selected: Frequencies = rows[prefixes // (4 * size), self.which]
            return selected

        return _by_digits(symbols, len(self.which), self.mixture.digits, frequencies, step)


@dataclass(frozen=True)
class MixtureDigit:
    """One base-4 digit of symbols with a mixture distribution.

    Attributes:
        mixture: distributions of the whole symbols.
        prefixes: (n,), the smallest symbols that begin with the digits known so far.
        left: number of digits after this one.
    """

    mixture: LogisticMixture
    prefixes: Ints
    left: int

    def run(self, symbols: Ints | None, step: Step) -> Ints:
        return step(symbols, self.mixture.frequencies(self.prefixes, 4**self.left))


def check_range(symbols: Ints | None, count: int) -> None:
    """Refuse symbols that could not be decoded.

    Raises:
        ValueError: a symbol is outside 0 to count - 1.
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
    """Code symbols digit by digit, the most significant first.

    Args:
        frequencies: from the prefixes (n,) and the number of symbols for each value of the digit.
    """
    check_range(symbols, 4**digits)
    prefixes = np.zeros(count, np.int32)
    for left in reversed(range(digits)):
        digit = None if symbols is None else (symbols >> (2 * left)) & 3
        prefixes = prefixes + (step(digit, frequencies(prefixes, 4**left)) << (2 * left))
    return prefixes
