"""How latents become whole numbers: in which order, where each is expected, and which is chosen.

Planes of latents are coded in passes, from a coarse lattice to the finest. The mean of what is
known around a place, in the same plane, tells where its latent probably is; of smooth planes, such
as blocks' mean colours, that is most of what there is to know.
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
"""Base-4 digits of a latent's distance from where it is expected, counted from the least one."""
FURTHEST = 4**DIGITS // 2 - 1
"""Largest magnitude of that distance."""
_LOG2 = math.log(2)


@dataclass(frozen=True)
class Pass:
    """Places that are coded together: every `stride`th row and column from the first ones on.

    Attributes:
        row, column, stride: of latents.
        weights: rows of the weights of known latents (see `expected`) that it takes; none: no
            latent is known.
        law: row of how much narrower its laws are; none: they are not.
    """

    row: int
    column: int
    stride: int
    weights: tuple[int, ...] = ()
    law: int | None = None

    def of(self, planes: Planes) -> Planes:
        """A view of its places in planes (..., h, w)."""
        return planes[..., self.row :: self.stride, self.column :: self.stride]

    def expected(self, known: Tensor, weights: Tensor) -> Tensor:
        """Where its latents are expected.

        The mean of the four known latents that are nearest: those at the corners by one weight, or
        those to the left and the right by one and those above and below by another. Outside, there
        is what is as far inside.

        Args:
            known: (n, c, h, w), distances of known latents from what the hyper-latents say.
            weights: (WEIGHTS, c).

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
WEIGHTS, LAWS = 6, 4


def interval_bits(off: Tensor, deviation: Tensor) -> Tensor:
    """Bits of values rounded to whole numbers, under normals; differentiable far out as well.

    Args:
        off: values less the means.
    """
    low, high = (-off.abs() + edge for edge in (-0.5, 0.5))
    above, below = (torch.special.log_ndtr(edge / deviation) for edge in (high, low))
    bits: Tensor = -(above + torch.log1p(-torch.exp(below - above))) / _LOG2
    return bits


@torch.no_grad()
def chosen(
    values: Tensor, deviation: Tensor, worth: Tensor | float, mean: Tensor | float = 0.0
) -> Tensor:
    """The nearest whole numbers, or the next ones towards the means where those are worth more.

    Rate-distortion optimised quantisation: bits of a normal law against squared errors.

    Args:
        values: in levels.
        deviation: of the laws.
        worth: bits that a squared error of one level is worth.
        mean: of the laws.
    """
    nearest = values.round().clamp(-FURTHEST, FURTHEST)
    lower = nearest - (nearest - mean).sign()
    bits, fewer = (
        interval_bits(whole - mean, deviation).clamp(max=40) for whole in (nearest, lower)
    )
    lost = worth * ((values - lower).square() - (values - nearest).square())
    return torch.where(lost < bits - fewer, lower, nearest)
