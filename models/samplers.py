"""Samplers: from a noisy image towards the image, by calls of a denoiser at rising log-SNRs.

All share one signature: a denoiser, noisy images z (n, 3, h, w) at the first level, and rising
log-SNRs in nats; they return z at the last level. At a last level of math.inf, where there is no
noise left, that is the image on the scale of -SPAN to SPAN: the estimate at the level before.

The deterministic ones solve the probability-flow ODE. It says d(z / sigma) = x d(alpha / sigma),
x being the denoiser's estimate (DDIM, arXiv 2010.02502, eq. 14, in terms of the image instead of
the noise), so that a step with a constant estimate is exact however long it is: see `step`.
The samplers differ in what they put for the estimate.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
from torch import Tensor

from .diffusion import Denoiser, noise_from_x, noisy, posterior


def step(z: Tensor, x: Tensor, noisier: Tensor, cleaner: Tensor) -> Tensor:
    """z at the next level if the estimate stayed the same on the way; at math.inf, the estimate.

    Args:
        z, x: (n, 3, h, w).
        noisier, cleaner: (n,), log-SNRs.
    """
    return noisy(x, noise_from_x(z, x, noisier), cleaner)


@torch.no_grad()
def ddim(denoiser: Denoiser, z: Tensor, levels: Sequence[float]) -> Tensor:
    """First order, one call a step: the estimate at its start (arXiv 2010.02502, eq. 12, eta 0).

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
    """A random draw of every next z from q(z_s | z_t, x), x being the estimate.

    arXiv 2006.11239, algorithm 2, with the variance of q (section 3.2).

    Args:
        z: (n, 3, h, w), at the first level.
        levels: rising log-SNRs; the last may be math.inf.
        noise: normal numbers of z's shape for the step of an index, which ends at
            levels[index + 1]; standard ones draw from q, larger ones from a wider law. Not called
            for a step to math.inf.

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
def heun(denoiser: Denoiser, z: Tensor, levels: Sequence[float]) -> Tensor:
    """Second order, two calls a step: the mean of the estimates at its start and its end.

    The end is first reached as `ddim` would. This is Heun's method as in arXiv 2206.00364,
    algorithm 1, but with the trapezoidal rule over the estimates of the image, in alpha / sigma,
    instead of those of the noise, in sigma / alpha: long steps from almost pure noise stay stable.
    As there, a step to math.inf is of first order.

    Args:
        z: (n, 3, h, w), at the first level.
        levels: rising log-SNRs; the last may be math.inf.

    Returns:
        (n, 3, h, w), at the last level.
    """
    for noisier, cleaner in pairwise(levels):
        estimate = denoiser(z, _level(z, noisier))
        if cleaner < math.inf:
            ahead = step(z, estimate, _level(z, noisier), _level(z, cleaner))
            estimate = (estimate + denoiser(ahead, _level(z, cleaner))) / 2
        z = step(z, estimate, _level(z, noisier), _level(z, cleaner))
    return z


@torch.no_grad()
def dpm_solver(denoiser: Denoiser, z: Tensor, levels: Sequence[float]) -> Tensor:
    """Second order, one call a step: the estimate extrapolated to the middle of the step.

    DPM-Solver++(2M), arXiv 2211.01095, algorithm 2: a line in the log-SNR through the estimates at
    the start of this step and of the one before. The first step, and one to math.inf, are of first
    order.

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
