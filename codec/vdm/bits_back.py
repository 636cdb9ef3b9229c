"""Bits-back coding of hidden pixels through a chain of ever noisier values of them.

The chain y_0, y_1, ... y_T adds noise step by step; nothing of it is in the file. To send pixels x,
the sender takes y_0 from the stack as if it had been coded with q(y_0 | x), puts x there with
p(x | y_0), takes y_1 with q(y_1 | y_0), puts y_0 there with p(y_0 | y_1), and so on, and at last
puts y_T with its prior. The receiver does all of it backwards and so gets the bits back that chose
the chain: the bits-back argument with the order of Bit-Swap (arXiv 1905.06845), for which the stack
must hold no more than two values' bits in advance, for the model of arXiv 2107.00630.

Everything is in integers. Values are in 1/2^LATENT_FRAC of a pixel value; each y_i lies on a grid
of a power of two of them, a quarter to an eighth of the deviation of q. That of y_0 is finer by a
factor of four: p(y_0 | y_1) is narrower than q(y_0 | x), the more so the more steps there are.
"""

from __future__ import annotations

import math
import zlib
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...bitstream.coders import Stack
from ...bitstream.entropy import LOCATION_UNITS, EntropyModel, GaussianMixture, Ints, Repeated
from ...bitstream.information import BIT, information
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
"""Fractional bits of p's means, in units of values: the finest deviations are a few units."""

_WINDOW = 64
"""Grid points that y_i may be at, given the cleaner value; a power of four, as is y_0's."""
_FINER = 2
"""log2 of how much finer the grid of y_0 is."""
_PRIOR_SPAN = 2**11
"""In pixel values, of the noisiest y."""
_FURTHEST = 2 ** (LATENT_FRAC + MEAN_FRAC + 10)
_FRAC = 16
_TABLE_CRC = 0xB935748D


@dataclass(frozen=True)
class _Tables:
    """Levels in integers; logarithms are of base 2, in 1/UNITS.

    Attributes:
        weight: by rise of the level - 1: how far p's mean goes to the estimate, times 2^_FRAC.
        narrower: by rise - 1: logarithm of its root.
        skip, out: by level - LOG_SIGMA_MIN: `models.vdm.gauge` times 2^_FRAC, out in units of
            values.
        log_out: by level - LOG_SIGMA_MIN: logarithm of out in pixel values.
    """

    weight: Int64s
    narrower: Int64s
    skip: Int64s
    out: Int64s
    log_out: Int64s


@cache
def _tables() -> _Tables:
    """The same on every machine or an error."""
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
    found = [np.rint(part).astype(np.int64) for part in parts]
    crc = 0
    for part in found:
        crc = zlib.crc32(part.astype("<i8").tobytes(), crc)
    if crc != _TABLE_CRC:
        raise RuntimeError("this machine's exp and log give other tables than the format has")
    return _Tables(*found)


@dataclass(frozen=True)
class _Law:
    """A distribution of values on a grid.

    Attributes:
        model: of the distance from the first grid point.
        first: (n,), in steps of the grid.
        shift: the grid's step is 2^shift.
    """

    model: EntropyModel
    first: Int64s
    shift: int

    def push(self, stack: Stack, values: Int64s) -> None:
        stack.push(((values >> self.shift) - self.first).astype(np.int32), self.model)

    def pop(self, stack: Stack) -> Int64s:
        popped: Int64s = (stack.pop(self.model) + self.first) << self.shift
        return popped


def _law(mean: Int64s, scale: Int64s, first: Int64s, shift: int, count: int) -> _Law:
    """Normals on `count` grid points.

    Args:
        mean: (n,), in 1/2^MEAN_FRAC.
        scale: (n,), logarithms of the deviations in pixel values, in 1/UNITS.
    """
    model = GaussianMixture.single(
        _located(mean, first, shift), _scaled(scale, shift), _digits(count)
    )
    return _Law(model, first, shift)


def _located(mean: Int64s, first: Int64s, shift: int) -> Ints:
    """Means in 1/2^MEAN_FRAC as locations among grid points."""
    shift += MEAN_FRAC
    return (((mean - (first << shift)) * LOCATION_UNITS) >> shift).astype(np.int32)


def _scaled(scale: Int64s, shift: int) -> Ints:
    return (scale + UNITS * (LATENT_FRAC - shift)).astype(np.int32)


def levels(steps: int) -> list[int]:
    """The noise levels of a chain."""
    reach = LOG_SIGMA_MAX - LOG_SIGMA_MIN
    return [LOG_SIGMA_MIN + reach * index // steps for index in range(steps + 1)]


class BitsBack:
    """A chain of a number of steps.

    Args:
        network: frozen.
        steps: 1 to LOG_SIGMA_MAX - LOG_SIGMA_MIN.
    """

    def __init__(self, network: VdmNet, steps: int) -> None:
        self._network, self.levels = network, levels(steps)
        tables = _tables()
        rises = np.diff(self.levels) - 1
        widths = [LOG_SIGMA_MIN, *(np.array(self.levels[1:]) + tables.narrower[rises])]
        self._widths = [int(width) for width in widths]
        # The deviation is 4 to 8 steps of the grid.
        self._shifts = [LATENT_FRAC - 2 + width // UNITS for width in self._widths]
        self._shifts[0] -= _FINER

    def needed(self, count: int) -> int:
        """Bits that the stack must hold before `count` values are sent, about and rather more."""
        lent = most = 0.0
        for rung, (width, shift) in enumerate(zip(self._widths, self._shifts, strict=True)):
            lent += _entropy(width, shift)
            most = max(most, lent)
            if rung:
                rise = self.levels[rung] - self.levels[rung - 1]
                back = self.levels[rung - 1] + int(_tables().narrower[rise - 1])
                lent -= max(0.0, _entropy(back, self._shifts[rung - 1]))
        return math.ceil(1.05 * most * count) + 4096

    @torch.inference_mode()
    def push(self, stack: Stack, even: Tensor, pixels: Tensor) -> None:
        """Put pixels on the stack.

        Args:
            even: (n, 3, h, w), see `VdmNet`.
            pixels: (n, PLANES, h, w), less the interpolations; integers.

        Raises:
            CorruptError: the stack does not hold enough bits, see `needed`.
        """
        values = pixels.numpy().astype(np.int64).reshape(-1) << LATENT_FRAC
        for rung in range(len(self.levels)):
            noisier = self._forward(rung, values).pop(stack)
            self._backward(rung, even, noisier).push(stack, values)
            values = noisier
        self._backward(len(self.levels), even, None).push(stack, values)

    @torch.inference_mode()
    def pop(self, stack: Stack, even: Tensor) -> Tensor:
        """Take the pixels that `push` put there.

        Raises:
            CorruptError: the stack holds fewer bits than they need.
        """
        values = self._backward(len(self.levels), even, None).pop(stack)
        for rung in reversed(range(len(self.levels))):
            cleaner = self._backward(rung, even, values).pop(stack)
            self._forward(rung, cleaner).push(stack, values)
            values = cleaner
        count, _, height, width = even.shape
        pixels = torch.from_numpy(values >> LATENT_FRAC).view(count, PLANES, height, width)
        return pixels.float()

    def _forward(self, rung: int, cleaner: Int64s) -> _Law:
        """q(y_rung | cleaner value)."""
        shift, window = self._shifts[rung], _window(rung)
        first = (cleaner >> shift) - window // 2
        # The deviation is the same for all, and the mean is one of a few places within a step.
        places = np.arange(LOCATION_UNITS, dtype=np.int32) + window // 2 * LOCATION_UNITS
        scales = _scaled(np.full(LOCATION_UNITS, self._widths[rung]), shift)
        shared = GaussianMixture.single(places, scales, _digits(window))
        which = _located(cleaner << MEAN_FRAC, first, shift) - places[0]
        return _Law(Repeated(shared, which), first, shift)

    def _backward(self, rung: int, even: Tensor, noisier: Int64s | None) -> _Law:
        """p(cleaner value | y_rung), or the prior of the noisiest."""
        mean, scale = self.belief(rung, even, noisier)
        shift = self._shifts[rung - 1] if rung else LATENT_FRAC
        if noisier is None:
            count = _PRIOR_SPAN << LATENT_FRAC >> shift
            first = np.full(len(mean), -count // 2)
            return _law(mean, scale, first, shift, count)
        # All grid points from which _forward can have come here.
        step, window = self._shifts[rung], _window(rung)
        lowest = ((noisier >> step) + 1 - window // 2) << step
        count = window << step >> shift
        return _law(mean, scale, -(-lowest >> shift), shift, count)

    def belief(self, rung: int, even: Tensor, noisier: Int64s | None) -> tuple[Int64s, Int64s]:
        """Mean, in 1/2^MEAN_FRAC, and logarithm of the deviation, in pixel values, of p at a rung.

        Args:
            rung: of the noisier value; 0 gives p of the pixels, the number of levels the prior.
            even: see `push`.
            noisier: (n,), y_rung, or None for the prior.
        """
        tables = _tables()
        count, _, height, width = even.shape
        level = UNSEEN if noisier is None else self.levels[rung]
        known = np.zeros(count * PLANES * height * width, np.int64) if noisier is None else noisier
        latent = torch.from_numpy(known).view(count, PLANES, height, width).float()
        latent = latent.contiguous(memory_format=torch.channels_last)
        said = self._network(even, latent, torch.full((count,), level))
        told, error = (part.reshape(-1).numpy().astype(np.int64) for part in said)
        row = level - LOG_SIGMA_MIN
        estimate = tables.skip[row] * known + tables.out[row] * told
        estimate = _shifted(estimate, _FRAC - MEAN_FRAC).clip(-_FURTHEST, _FURTHEST)
        log_error = tables.log_out[row] + 2 * error
        if rung == 0:
            return estimate, log_error
        cleaner = self.levels[rung - 1]
        weight, narrower = 1 << _FRAC, 0
        if noisier is not None:
            weight = int(tables.weight[level - cleaner - 1])
            narrower = int(tables.narrower[level - cleaner - 1])
        known = known << MEAN_FRAC
        mean = known + _shifted(weight * (estimate - known), _FRAC)
        # The variance of q and, on top, that of the estimate's error: in units of q's, 4^(...).
        wider = information(log_error, narrower - cleaner)
        return mean, cleaner + narrower + (wider * UNITS + BIT // 2) // BIT


def _shifted(x: Int64s, bits: int) -> Int64s:
    """x / 2^bits, rounded."""
    rounded: Int64s = (x + (1 << (bits - 1))) >> bits
    return rounded


def _entropy(width: int, shift: int) -> float:
    """Bits of a normal with a logarithm of the deviation, in 1/UNITS, on a grid."""
    return width / UNITS + LATENT_FRAC - shift + math.log2(2 * math.pi * math.e) / 2


def _window(rung: int) -> int:
    return _WINDOW if rung else _WINDOW << _FINER


def _digits(count: int) -> int:
    """Base-4 digits of a number below `count`."""
    return ((count - 1).bit_length() + 1) // 2
