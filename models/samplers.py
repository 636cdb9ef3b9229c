"""Samplers: from a noisy image towards the image, by calls of a denoiser at rising log-SNRs.

All share one signature: a denoiser, noisy images z (n, 3, h, w) at the first level, and rising
log-SNRs in nats; they return z at the last level. At a last level of math.inf, where no noise is
left, that is the image, from -SPAN to SPAN: the estimate at the level before.

The deterministic ones solve the probability-flow ODE, d(z / sigma) = x d(alpha / sigma), where x is
the denoiser's estimate (DDIM, arXiv 2010.02502, eq. 14, in terms of the image, not the noise).
A step with a constant estimate is therefore exact however long it is, see `step`. The samplers
differ in the estimate that they use.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
from torch import Tensor

from .diffusion import Denoiser, noise_from_x, noisy, posterior


def step(z: Tensor, x: Tensor, noisier: Tensor, cleaner: Tensor) -> Tensor:
    """z at the next level if the estimate is constant on the way; at math.inf, the estimate.

    Args:
        z: (n, 3, h, w), noisy images at the first level.
        x: (n, 3, h, w), estimates of the images.
        noisier, cleaner: (n,), log-SNRs in nats.

    Returns:
        (n, 3, h, w).
    """
    return noisy(x, noise_from_x(z, x, noisier), cleaner)


@torch.no_grad()
def ddim(denoiser: Denoiser, z: Tensor, levels: Sequence[float]) -> Tensor:
    """First order, one call per step: the estimate at its start (arXiv 2010.02502, eq. 12, eta 0).

    Args:
        z: (n, 3, h, w), at the first level.
        levels: rising log-SNRs; the last may be math.inf.

    Returns:
        (n, 3, h, w), at the last level.
    """
    for noisier, cleaner in pairwise(levels):
        z = step(z, denoiser(z, _level(z, noisier)), _level(z, noisier), _level(z, cleaner))
    return z


@torch.no_grad()
def ancestral(
    denoiser: Denoiser, z: Tensor, levels: Sequence[float], noise: Callable[[int], Tensor]
) -> Tensor:
    """Draw every next z from q(z_s | z_t, x), x being the estimate at the start of the step.

    arXiv 2006.11239, algorithm 2, with the variance of q (section 3.2).

    Args:
        z: (n, 3, h, w), at the first level.
        levels: rising log-SNRs; the last may be math.inf.
        noise: gives normal noise (n, 3, h, w) for the step of an index, which ends at
            levels[index + 1]. Standard normal noise draws from q, noise of a larger variance from a
            wider distribution. Not called for a step to math.inf.

    Returns:
        (n, 3, h, w), at the last level.

    Raises:
        ValueError: the levels do not rise.
    """
    for index, (noisier, cleaner) in enumerate(pairwise(levels)):
        to = posterior(noisier, cleaner)
        z = to.of_z * z + to.of_x * denoiser(z, _level(z, noisier))
        if to.variance > 0:
            z = z + math.sqrt(to.variance) * noise(index)
    return z


@torch.no_grad()
def dpm_solver(denoiser: Denoiser, z: Tensor, levels: Sequence[float]) -> Tensor:
    """Second order, one call per step: the estimate, extrapolated to the middle of the step.

    DPM-Solver++(2M), arXiv 2211.01095, algorithm 2: extrapolated linearly in the log-SNR from the
    estimates at the start of this step and of the one before. The first step, and one to math.inf,
    are of first order.

    Args:
        z: (n, 3, h, w), at the first level.
        levels: rising log-SNRs; the last may be math.inf.

    Returns:
        (n, 3, h, w), at the last level.
    """
    before: Tensor | None = None
    width = math.nan
    for noisier, cleaner in pairwise(levels):
        estimate = denoiser(z, _level(z, noisier))
        middle = estimate
        if before is not None and cleaner < math.inf:
            middle = estimate + (cleaner - noisier) / (2 * width) * (estimate - before)
        z = step(z, middle, _level(z, noisier), _level(z, cleaner))
        before, width = estimate, cleaner - noisier
    return z


def _level(z: Tensor, logsnr: float) -> Tensor:
    return torch.full((len(z),), logsnr, dtype=z.dtype, device=z.device)
