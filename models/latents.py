"""Quantisation of latents: their order, their expected values, and the integers that are coded.

Planes of latents are coded in passes, from a coarse lattice to the finest. A latent is predicted
from the known latents around it in the same plane, which is most accurate in smooth planes such as
the mean colours of blocks.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

Planes = TypeVar("Planes", Tensor, NDArray[np.int64])

DIGITS = 5
"""Base-4 digits of a latent's rounded distance from its expected value, plus 4^DIGITS / 2."""
FURTHEST = 4**DIGITS // 2 - 1
"""Largest magnitude of that distance."""
_LOG2 = math.log(2)


@dataclass(frozen=True)
class Pass:
    """Latents that are coded together: those of every `stride`th row and column.

    Attributes:
        row, column: the first row and column.
        stride: rows and columns from a latent to the next.
        weights: rows of the weights of known latents (see `expected`) that predict the pass; none:
            it is not predicted.
        narrowing: row of `Autoencoder.surer` that narrows the distributions of the pass; None: they
            are not narrowed.
    """

    row: int
    column: int
    stride: int
    weights: tuple[int, ...] = ()
    narrowing: int | None = None

    def of(self, planes: Planes) -> Planes:
        """A view of the pass in planes (..., h, w)."""
        return planes[..., self.row :: self.stride, self.column :: self.stride]

    def expected(self, known: Tensor, weights: Tensor) -> Tensor:
        """Expected values of the latents of the pass.

        The weighted mean of the four nearest known latents: one weight for the four corners, or one
        for left and right and another for above and below. Beyond the border, planes are reflected.

        Args:
            known: (n, c, h, w), distances of known latents from the means that the hyper-latents
                predict, in levels.
            weights: (WEIGHTS, c), for each plane.

        Returns:
            (n, c, h / stride, w / stride). Exact for whole numbers in float64.
        """
        if not self.weights:
            return torch.zeros_like(self.of(known))
        step = self.stride // 2
        around = functional.pad(known[..., ::step, ::step], (1, 1, 1, 1), mode="reflect")
        rows, columns = (side - 3 for side in around.shape[-2:])

        def beside(down: int, right: int) -> Tensor:
            row, column = self.row // step + 1 + down, self.column // step + 1 + right
            return around[..., row : row + rows : 2, column : column + columns : 2]

        if len(self.weights) == 1:
            corners = beside(-1, -1) + beside(-1, 1) + beside(1, -1) + beside(1, 1)
            return corners * weights[self.weights[0], :, None, None] / 4
        across, down = (weights[row, :, None, None] for row in self.weights)
        sides = (beside(0, -1) + beside(0, 1)) * across + (beside(-1, 0) + beside(1, 0)) * down
        return sides / 2


PASSES = (
    Pass(0, 0, 4),
    Pass(2, 2, 4, (0,), 0),
    Pass(0, 2, 4, (1, 2), 1),
    Pass(2, 0, 4, (1, 2), 1),
    Pass(1, 1, 2, (3,), 2),
    Pass(0, 1, 2, (4, 5), 3),
    Pass(1, 0, 2, (4, 5), 3),
)
"""From a lattice of every fourth row and column to the finest: (h, w) are multiples of 4."""
WEIGHTS, NARROWINGS = 6, 4
"""Rows of weights and of narrowings that the passes name."""


def interval_bits(off: Tensor, deviation: Tensor) -> Tensor:
    """Bits of the unit intervals around values under normal distributions.

    Finite and differentiable far from the mean as well.

    Args:
        off: distances of the values from the means, in levels, of any shape.
        deviation: standard deviations in levels, of a shape that broadcasts.

    Returns:
        Bits, of the broadcast shape.
    """
    low, high = (-off.abs() + edge for edge in (-0.5, 0.5))
    above, below = (torch.special.log_ndtr(edge / deviation) for edge in (high, low))
    bits: Tensor = -(above + torch.log1p(-torch.exp(below - above))) / _LOG2
    return bits


@torch.no_grad()
def chosen(
    values: Tensor, deviation: Tensor, worth: Tensor | float, mean: Tensor | float = 0.0
) -> Tensor:
    """Rate-distortion optimised quantisation under normal distributions.

    The nearest integer, or the next one towards the mean if that saves more bits than its larger
    squared error is worth. All arguments broadcast.

    Args:
        values: in levels.
        deviation: standard deviations in levels.
        worth: bits that a squared error of one level is worth.
        mean: means in levels.

    Returns:
        Integers of magnitude at most FURTHEST, of the shape of `values`.
    """
    nearest = values.round().clamp(-FURTHEST, FURTHEST)
    lower = nearest - (nearest - mean).sign()
    bits, fewer = (
        interval_bits(whole - mean, deviation).clamp(max=40) for whole in (nearest, lower)
    )
    lost = worth * ((values - lower).square() - (values - nearest).square())
    return torch.where(lost < bits - fewer, lower, nearest)
