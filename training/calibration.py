"""Tables of the errors of a denoiser, which its codec needs."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..bitstream.information import OCTAVE
from ..models.dct import CLASSES, to_blocks
from ..models.diffusion import Denoiser, noisy, to_unit
from .data import Crops

FIRST, LAST = -13, 11
"""Log2 of the lowest and the highest signal-to-noise ratio that are tabulated."""
_PART = 8
"""Crops that the denoiser gets at once."""


@torch.no_grad()
def error_tables(denoiser: Denoiser, crops: Crops) -> dict[str, Any]:
    """Variances of a denoiser's errors for each class of coefficients (`models.dct`).

    Args:
        crops: (n, size, size, 3), size a multiple of 16.

    Returns:
        Integers, as a model file has them: `first`, log2 of the lowest signal-to-noise ratio;
        `errors`, a row of CLASSES for it and every next octave; `prior`, CLASSES, of the images
        themselves. All are log2 in 1/OCTAVE.
    """
    x = to_unit(torch.from_numpy(np.ascontiguousarray(crops.transpose(0, 3, 1, 2))))
    generator = torch.Generator().manual_seed(0)
    rows = []
    for octave in range(FIRST, LAST + 1):
        total = torch.zeros(CLASSES)
        for part in torch.split(x, _PART):
            level = torch.full((len(part),), octave * math.log(2))
            z = noisy(part, torch.randn(part.shape, generator=generator), level)
            estimate = denoiser(z.contiguous(memory_format=torch.channels_last), level)
            total += to_blocks(part - estimate).square().mean(2).sum(0)
        rows.append(_logarithms(total / len(x)))
    prior = _logarithms(to_blocks(x).square().mean((0, 2)))
    return {"first": FIRST * OCTAVE, "errors": rows, "prior": prior}


def _logarithms(variances: Tensor) -> list[int]:
    """Log2 of variances (CLASSES,), in 1/OCTAVE."""
    logarithms: list[int] = (variances.clamp_min(1e-9).log2() * OCTAVE).round().int().tolist()
    return logarithms
