"""Bits-back coding of pixels with a variational diffusion model.

The latent values y_0, y_1, ... y_T are the pixels x with more and more noise; none of them is in
the file. To send x, the sender pops y_0 from the stack with q(y_0 | x), pushes x with p(x | y_0),
pops y_1 with q(y_1 | y_0), pushes y_0 with p(y_0 | y_1), and so on, and finally pushes y_T with its
prior. The receiver does the reverse of each, in reverse order, which returns the popped bits to the
stack. The model is that of arXiv 2107.00630, the order that of Bit-Swap (arXiv 1905.06845), for
which the stack needs initial bits for no more than two or three latent values at a time.

All arithmetic is in integers. Values are in 1/2^LATENT_FRAC of a pixel value; each y_i lies on a
grid with a step of a power of two, a quarter to an eighth of the standard deviation of q. The grid
of y_0 is finer by a factor of four: p(y_0 | y_1) is narrower than q(y_0 | x), the more so the more
steps there are.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...bitstream.coders import Stack
from ...bitstream.entropy import LOCATION_UNITS, EntropyModel, GaussianMixture, Ints, Repeated
from ...bitstream.errors import CorruptError
from ...bitstream.information import BIT, information
from ...bitstream.tables import check_tables
from ...models.vdm import (
    ESTIMATE_FRAC,
    LATENT_FRAC,
    LOG_SIGMA_MAX,
    LOG_SIGMA_MIN,
    PLANES,
    SPREAD,
    UNITS,
    UNSEEN,
    VdmNet,
)

Int64s = NDArray[np.int64]

MEAN_FRAC = 4
"""Fractional bits of the means of p, in units of values: the narrowest p is a few units wide."""

_WINDOW = 64
"""Grid points that y_i may be at, given y_(i-1); a power of four, as is the number for y_0."""
_FINER = 2
"""log2 of how much finer the grid of y_0 is."""
_PRIOR_SPAN = 2**11
"""Width of the range of y_T, in pixel values."""
_MEAN_MAX = 2 ** (LATENT_FRAC + MEAN_FRAC + 10)
"""Largest magnitude of an estimate, in 1/2^MEAN_FRAC: 1024 pixel values."""
_MARGIN, _SPARE_BITS = 1.05, 4096
"""Safety factor and summand of `BitsBack.initial_bits`."""
_FRAC = 16
"""Fractional bits of the factors in the tables."""
_TABLE_CRC = 0xB935748D


@dataclass(frozen=True)
class _Tables:
    """Functions of noise levels in integers; logarithms are log2 in 1/UNITS.

    A step to the cleaner level l - d from the level l has the rise d, 1 or more.

    Attributes:
        weight: by d - 1: weight of the estimate in the mean of p, times 2^_FRAC.
        narrower: by d - 1: logarithm of the square root of that weight.
        skip, out: by l - LOG_SIGMA_MIN: the factors of `models.vdm.gauge` times 2^_FRAC, out for
            the network's units and those of values.
        log_out: by l - LOG_SIGMA_MIN: logarithm of the second factor of `gauge`, in pixel values.
    """

    weight: Int64s
    narrower: Int64s
    skip: Int64s
    out: Int64s
    log_out: Int64s


@cache
def _tables() -> _Tables:
    """The tables, with their checksum verified.

    Raises:
        RuntimeError: see `check_tables`.
    """
    rise = np.arange(1, LOG_SIGMA_MAX - LOG_SIGMA_MIN + 1) / UNITS
    weight = -np.expm1(-2 * math.log(2) * rise)
    power = 4.0 ** (np.arange(LOG_SIGMA_MIN, UNSEEN + 1) / UNITS)
    around = 4.0**SPREAD
    skip, out = around / (power + around), np.sqrt(power * around / (power + around))
    skip[-1], out[-1] = 0, 2.0**SPREAD
    parts = (
        weight * 2**_FRAC,
        np.log2(weight) / 2 * UNITS,
        skip * 2**_FRAC,
        out * 2 ** (_FRAC + LATENT_FRAC - ESTIMATE_FRAC),
        np.log2(out) * UNITS,
    )
    tables = [np.rint(part).astype(np.int64) for part in parts]
    check_tables("bits-back", _TABLE_CRC, *tables)
    return _Tables(*tables)


@dataclass(frozen=True)
class _GridModel:
    """Distributions of n values on a grid.

    Attributes:
        model: of the number of grid points from the first.
        first: (n,), the first grid point of each value, in steps of the grid.
        shift: log2 of the grid's step, in units of values.
    """

    model: EntropyModel
    first: Int64s
    shift: int

    def push(self, stack: Stack, values: Int64s) -> None:
        stack.push(((values >> self.shift) - self.first).astype(np.int32), self.model)

    def pop(self, stack: Stack) -> Int64s:
        popped: Int64s = (stack.pop(self.model) + self.first) << self.shift
        return popped


def _normals(mean: Int64s, scale: Int64s, first: Int64s, shift: int, count: int) -> _GridModel:
    """Normal distributions on a grid.

    Args:
        mean: (n,), in 1/2^MEAN_FRAC.
        scale: (n,), log2 of the standard deviations in pixel values, in 1/UNITS.
        first, shift: see `_GridModel`.
        count: number of grid points.
    """
    model = GaussianMixture.single(
        _located(mean, first, shift), _scaled(scale, shift), _digits(count)
    )
    return _GridModel(model, first, shift)


def _located(mean: Int64s, first: Int64s, shift: int) -> Ints:
    """Means in 1/2^MEAN_FRAC as locations on a grid, for `GaussianMixture`."""
    shift += MEAN_FRAC
    return (((mean - (first << shift)) * LOCATION_UNITS) >> shift).astype(np.int32)


def _scaled(scale: Int64s, shift: int) -> Ints:
    """Scales of pixel values as scales of grid points, for `GaussianMixture`."""
    return (scale + UNITS * (LATENT_FRAC - shift)).astype(np.int32)


def noise_levels(steps: int) -> list[int]:
    """The noise levels of y_0 to y_T, log2 of the standard deviation in pixel values in 1/UNITS.

    They are equally spaced: the bound of a continuous chain does not depend on their spacing
    (arXiv 2107.00630, section 5.1).
    """
    reach = LOG_SIGMA_MAX - LOG_SIGMA_MIN
    return [LOG_SIGMA_MIN + reach * index // steps for index in range(steps + 1)]


class BitsBack:
    """Codes pixels by bits-back with a chain of latent values.

    Args:
        network: predicts pixels and its own errors; frozen to integers.
        steps: T, 1 to LOG_SIGMA_MAX - LOG_SIGMA_MIN.

    Attributes:
        levels: see `noise_levels`.
    """

    def __init__(self, network: VdmNet, steps: int) -> None:
        self._network, self.levels = network, noise_levels(steps)
        tables = _tables()
        rises = np.diff(self.levels) - 1
        widths = [LOG_SIGMA_MIN, *(np.array(self.levels[1:]) + tables.narrower[rises])]
        self._widths = [int(width) for width in widths]
        # The deviation is 4 to 8 steps of the grid.
        self._shifts = [LATENT_FRAC - 2 + width // UNITS for width in self._widths]
        self._shifts[0] -= _FINER

    def initial_bits(self, count: int) -> int:
        """Bits that the stack must hold before `count` values are pushed, with a margin.

        The estimate counts what q takes at each step, and what p returns if the network's errors
        are zero. With the bundled model and 10 to 250 steps, tiles of two photographs of Kodak (5
        and 20, one and four tiles at a time) needed 0.936 to 1.000 times the estimate; the margin
        is 5 % and 4096 bits above it. If it were not enough, encoding would fail, never decoding.
        """
        popped = most = 0.0
        for index, (width, shift) in enumerate(zip(self._widths, self._shifts, strict=True)):
            popped += _entropy(width, shift)
            most = max(most, popped)
            if index:
                rise = self.levels[index] - self.levels[index - 1]
                back = self.levels[index - 1] + int(_tables().narrower[rise - 1])
                popped -= max(0.0, _entropy(back, self._shifts[index - 1]))
        return math.ceil(_MARGIN * most * count) + _SPARE_BITS

    @torch.inference_mode()
    def push(self, stack: Stack, even: Tensor, pixels: Tensor) -> None:
        """Put pixels on the stack.

        Args:
            stack: receives the pixels; its bits are popped and pushed as well.
            even: (n, 3, h, w) float32, planes of the even sub-lattice, see `VdmNet`.
            pixels: (n, PLANES, h, w) float32, integers: the other pixels less their interpolation.

        Raises:
            CorruptError: the stack does not hold enough bits, see `initial_bits`.
        """
        values = pixels.numpy().astype(np.int64).reshape(-1) << LATENT_FRAC
        for index in range(len(self.levels)):
            noisier = self._forward(index, values).pop(stack)
            self._backward(index, even, noisier).push(stack, values)
            values = noisier
        self._backward(len(self.levels), even, None).push(stack, values)

    @torch.inference_mode()
    def pop(self, stack: Stack, even: Tensor) -> Tensor:
        """Take the pixels that `push` put on the stack, which is then as it was before.

        Args:
            stack, even: see `push`.

        Returns:
            The argument `pixels` of `push`.

        Raises:
            CorruptError: the stack holds fewer bits than the pixels need, or other values than
                `push` puts on it.
        """
        values = self._backward(len(self.levels), even, None).pop(stack)
        for index in reversed(range(len(self.levels))):
            cleaner = self._backward(index, even, values).pop(stack)
            try:
                self._forward(index, cleaner).push(stack, values)
            except ValueError as error:  # an encoder pops no values that are that far apart
                raise CorruptError("the stack holds values that do not go together") from error
            values = cleaner
        count, _, height, width = even.shape
        pixels = torch.from_numpy(values >> LATENT_FRAC).view(count, PLANES, height, width)
        return pixels.float()

    def _forward(self, index: int, cleaner: Int64s) -> _GridModel:
        """q(y_index | the cleaner value), which is y_(index - 1) or x."""
        shift, window = self._shifts[index], _window(index)
        first = (cleaner >> shift) - window // 2
        # All have the same standard deviation, and means at one of a few places within a step.
        places = np.arange(LOCATION_UNITS, dtype=np.int32) + window // 2 * LOCATION_UNITS
        scales = _scaled(np.full(LOCATION_UNITS, self._widths[index]), shift)
        shared = GaussianMixture.single(places, scales, _digits(window))
        which = _located(cleaner << MEAN_FRAC, first, shift) - places[0]
        return _GridModel(Repeated(shared, which), first, shift)

    def _backward(self, index: int, even: Tensor, noisier: Int64s | None) -> _GridModel:
        """p(the cleaner value | y_index), or the prior of y_T."""
        mean, scale = self.prediction(index, even, noisier)
        shift = self._shifts[index - 1] if index else LATENT_FRAC
        if noisier is None:
            count = _PRIOR_SPAN << LATENT_FRAC >> shift
            first = np.full(len(mean), -count // 2)
            return _normals(mean, scale, first, shift, count)
        # All grid points for which y_index is within the window of _forward.
        step, window = self._shifts[index], _window(index)
        lowest = ((noisier >> step) + 1 - window // 2) << step
        count = window << step >> shift
        return _normals(mean, scale, -(-lowest >> shift), shift, count)

    def prediction(self, index: int, even: Tensor, noisier: Int64s | None) -> tuple[Int64s, Int64s]:
        """The parameters of p, a normal distribution of each cleaner value.

        As in arXiv 2107.00630, section 3.3, but wider by the error that the network predicts.

        Args:
            index: of the noisier values, 0 to T; for the prior, T + 1.
            even: (m, 3, h, w), see `push`.
            noisier: (n,), y_index, with n = m PLANES h w; None for the prior.

        Returns:
            Means in 1/2^MEAN_FRAC, and log2 of the standard deviations in pixel values in 1/UNITS;
            (n,) int64 both. For index 0 they are those of the pixels.
        """
        tables = _tables()
        count, _, height, width = even.shape
        level = UNSEEN if noisier is None else self.levels[index]
        known = np.zeros(count * PLANES * height * width, np.int64) if noisier is None else noisier
        latent = torch.from_numpy(known).view(count, PLANES, height, width).float()
        latent = latent.contiguous(memory_format=torch.channels_last)
        outputs = self._network(even, latent, torch.full((count,), level))
        pixels, error = (part.reshape(-1).numpy().astype(np.int64) for part in outputs)
        row = level - LOG_SIGMA_MIN
        estimate = tables.skip[row] * known + tables.out[row] * pixels
        estimate = _shifted(estimate, _FRAC - MEAN_FRAC).clip(-_MEAN_MAX, _MEAN_MAX)
        log_error = tables.log_out[row] + 2 * error
        if index == 0:
            return estimate, log_error
        cleaner = self.levels[index - 1]
        weight, narrower = 1 << _FRAC, 0
        if noisier is not None:
            weight = int(tables.weight[level - cleaner - 1])
            narrower = int(tables.narrower[level - cleaner - 1])
        known = known << MEAN_FRAC
        mean = known + _shifted(weight * (estimate - known), _FRAC)
        # log2 of the ratio of standard deviations with and without the variance of the errors.
        wider = information(log_error, narrower - cleaner)
        return mean, cleaner + narrower + (wider * UNITS + BIT // 2) // BIT


def _shifted(x: Int64s, bits: int) -> Int64s:
    """x / 2^bits, rounded to nearest."""
    rounded: Int64s = (x + (1 << (bits - 1))) >> bits
    return rounded


def _entropy(width: int, shift: int) -> float:
    """Bits of a normal distribution on a grid of 2^shift.

    Args:
        width: log2 of its standard deviation in pixel values, in 1/UNITS.
    """
    return width / UNITS + LATENT_FRAC - shift + math.log2(2 * math.pi * math.e) / 2


def _window(index: int) -> int:
    """Number of grid points that y_index may be at."""
    return _WINDOW if index else _WINDOW << _FINER


def _digits(count: int) -> int:
    """Base-4 digits of numbers below `count`."""
    return ((count - 1).bit_length() + 1) // 2
