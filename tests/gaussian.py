"""Gaussian images, whose ideal denoiser is known in closed form.

Its denoiser, its rate-distortion function and its probability-flow ODE are known exactly, which
makes it a reference for everything that works with a denoiser.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from noisepress.models.dct import BLOCK, CLASSES, from_blocks, to_blocks
from noisepress.models.diffusion import alpha_sigma


@dataclass(frozen=True)
class GaussianDenoiser:
    """E[x | z] of images whose coefficients of `models.dct` are normal and independent.

    Attributes:
        mean: (3,) the mean colour.
        variances: (3, 8, 8) the variance of each colour and frequency, not negative.
    """

    mean: Tensor
    variances: Tensor

    def __call__(self, z: Tensor, logsnr: Tensor) -> Tensor:
        """See `models.diffusion.Denoiser`; height and width multiples of 8.

        The Wiener filter of each coefficient. Works in z's type and on its device.
        """
        alpha, sigma = alpha_sigma(logsnr.to(z.dtype))
        mean, variances = self.mean.to(z)[:, None, None], self.variances.to(z).reshape(CLASSES, 1)
        power = (alpha**2)[:, 0] * variances
        gain = alpha[:, 0] * variances / (power + (sigma**2)[:, 0])
        return mean + from_blocks(gain * to_blocks(z - alpha * mean), *z.shape[2:])

    def sample(self, count: int, h: int, w: int, generator: torch.Generator) -> Tensor:
        """Draw images (count, 3, h, w) of the variances' type; height and width multiples of 8."""
        deviations = self.variances.reshape(CLASSES, 1).sqrt()
        shape = (count, CLASSES, h // BLOCK * (w // BLOCK))
        unit = torch.randn(shape, generator=generator, dtype=deviations.dtype)
        return self.mean[:, None, None] + from_blocks(deviations * unit, h, w)
